internal import Digests
public import HubCache
public import HubClient
public import LinuxIO
internal import Synchronization
internal import WeightFormats

/// Asks the Hub what a repo is, and reads no more of its weights than their headers.
public struct Previewer: Sendable {
    private let repo: RepoID
    private let filter: NameFilter
    private let cancellation: Cancellation
    private let makeClient: @Sendable () -> HubClient

    /// Bytes of a configuration.
    private static let documentBytes: UInt64 = 8 << 20
    /// Bytes of an index: the largest that are known have ten million.
    private static let indexBytes: UInt64 = 64 << 20
    private static let mostIndexes = 50
    /// Bytes of all headers together: the largest models have twenty million.
    private static let headerBytes: UInt64 = 256 << 20
    private static let mostHeaders = 4000
    private static let mostNotes = 20
    private static let connections = 6
    /// For all headers together.
    private static let patience = Duration.seconds(600)

    /// Makes a previewer.
    ///
    /// - Parameters:
    ///   - filter: which files would be fetched.
    ///   - makeClient: called for each of a few threads, since a client belongs to one.
    public init(
        repo: RepoID, filter: NameFilter, cancellation: Cancellation, makeClient: @escaping @Sendable () -> HubClient
    ) {
        self.repo = repo
        self.filter = filter
        self.cancellation = cancellation
        self.makeClient = makeClient
    }

    /// Asks.
    ///
    /// What fails after the listing is in the preview's `stop` and `notes`, since the listing tells much already.
    ///
    /// - Parameter revision: a branch, a tag, `refs/pr/n` or a commit.
    /// - Throws: `HubFailure` when there is not even a listing.
    public func preview(revision: String) throws -> RepoPreview {
        let client = makeClient()
        let info = try client.repoInfo(repo, revision: revision, cancellation: cancellation)
        let listing = try client.tree(of: repo, commit: info.commit, cancellation: cancellation)
        let wanted = listing.filter { filter.includes($0.path) }
        var preview = RepoPreview(repo: repo, info: info, files: wanted)
        preview.pythonFiles = listing.count { $0.path.hasSuffix(".py") }
        takeDocuments(listing, into: &preview, client)
        let shards = shardsByIndex(listing, into: &preview, client)
        preview.sets = WeightSet.find(in: wanted, known: Set(listing.map(\.path)), shards: shards)
        preview.main = WeightSet.main(of: preview.sets, components: preview.facts.components)
        for set in preview.main where !set.missing.isEmpty {
            preview.note(
                "'\(set.name.display)' names files that the repo does not have (\(set.missing.count)), such as "
                    + "'\(set.missing[0].display)'", atMost: Self.mostNotes)
        }
        countParameters(of: &preview)
        return preview
    }

    // MARK: - Documents

    private func takeDocuments(_ listing: [HubTreeFile], into preview: inout RepoPreview, _ client: HubClient) {
        for name in ModelFacts.documents {
            guard let file = listing.first(where: { $0.path == BytePath(name) }) else { continue }
            guard let bytes = content(of: file, atMost: Self.documentBytes, into: &preview, client) else { continue }
            guard let document = HubJSON(document: bytes) else {
                preview.note("'\(name)' is not JSON", atMost: Self.mostNotes)
                continue
            }
            preview.facts.take(document, named: name)
        }
    }

    /// The shards that each index of safetensors names, as paths in the repo.
    private func shardsByIndex(
        _ listing: [HubTreeFile], into preview: inout RepoPreview, _ client: HubClient
    ) -> [BytePath: [BytePath]] {
        let folders = Set(preview.files.filter { $0.path.hasSuffix(".safetensors") }.map(\.path.parent))
        let indexes = listing.filter {
            folders.contains($0.path.parent) && IndexFileName($0.path.lastComponent.bytes)?.format == .safetensors
        }
        var shards: [BytePath: [BytePath]] = [:]
        for file in indexes.prefix(Self.mostIndexes) {
            guard let bytes = content(of: file, atMost: Self.indexBytes, into: &preview, client) else { continue }
            do throws(FormatError) {
                let index = try parse(bytes, with: ShardIndexParser(fileSize: file.size, hashSeed: 0))
                shards[file.path] = index.shards.filter { ShardIndex.isSafeShardName($0.nameBytes) }.map {
                    file.path.parent.appending(BytePath(bytes: $0.nameBytes))
                }
            } catch {
                preview.note("'\(file.path.display)' is no index: \(error.detail)", atMost: Self.mostNotes)
            }
        }
        return shards
    }

    private func parse<Parser: WeightFileParser>(
        _ bytes: [UInt8], with parser: consuming Parser
    ) throws(FormatError) -> Parser.Summary {
        var parser = parser
        while let demand = parser.demand {
            let start = Int(demand.offset)
            try parser.consume(bytes.span.extracting(start..<start + demand.count))
        }
        return try parser.finish()
    }

    /// A small file's proven content; nil, with a note, where there is none.
    private func content(
        of file: HubTreeFile, atMost limit: UInt64, into preview: inout RepoPreview, _ client: HubClient
    ) -> [UInt8]? {
        guard preview.stop == nil else { return nil }
        guard file.size <= limit else {
            preview.note("'\(file.path.display)' is too large to be read", atMost: Self.mostNotes)
            return nil
        }
        do {
            let bytes = try client.content(
                of: file, repo: repo, commit: preview.info.commit, cancellation: cancellation)
            if proves(bytes, file) { return bytes }
            preview.note("'\(file.path.display)' is not what the Hub's listing says", atMost: Self.mostNotes)
        } catch {
            preview.take(error, of: file.path, atMost: Self.mostNotes)
        }
        return nil
    }

    private func proves(_ bytes: [UInt8], _ file: HubTreeFile) -> Bool {
        guard let expected = ContentDigest(hex: file.etag.text) else { return false }
        var digest = StreamingDigest(expected.algorithm, length: UInt64(bytes.count))
        digest.update(bytes.span)
        return (try? digest.finish()) == expected
    }

    // MARK: - Weights

    private func countParameters(of preview: inout RepoPreview) {
        guard !preview.main.isEmpty, preview.stop == nil else { return }
        var count = ParameterCount()
        var isWhole = true
        for set in preview.main {
            switch set.format {
            case .safetensors, .gguf:
                guard let counted = headers(of: set, into: &preview) else {
                    isWhole = false
                    continue
                }
                count.add(counted)
            case .torch:
                count.add(.estimated(bytes: set.bytes, dtype: preview.facts.dtype))
            case .hdf5, .msgpack, .onnx, .tflite:
                isWhole = false
                preview.note("parameters of \(set.format.rawValue) files are not counted", atMost: Self.mostNotes)
            }
            isWhole = isWhole && set.missing.isEmpty
        }
        if isWhole { preview.parameters = count }
    }

    /// The parameters of a set by its headers; nil, with a note, where one is not to be had.
    private func headers(of set: WeightSet, into preview: inout RepoPreview) -> ParameterCount? {
        guard preview.stop == nil else { return nil }
        guard set.files.count <= Self.mostHeaders else {
            preview.note("'\(set.name.display)' has more files than are looked into", atMost: Self.mostNotes)
            return nil
        }
        let reader = HeaderReader(
            repo: repo, commit: preview.info.commit, deadline: .now + Self.patience, cancellation: cancellation,
            budget: ByteBudget(Self.headerBytes))
        let queue = Mutex(HeaderQueue(files: set.files))
        runOnThreads(min(Self.connections, set.files.count), name: "hfj-headers") { [makeClient] _ in
            let client = makeClient()
            while let (index, file) = queue.withLock({ $0.next() }) {
                let result = Result { try reader.header(of: file, set.format, client) }
                queue.withLock { $0.take(result, of: index) }
            }
        }
        var count = ParameterCount()
        var isWhole = true
        for (file, result) in zip(set.files, queue.withLock(\.results)) {
            switch result {
            case .success(let header):
                count.add(header.count)
                if let architecture = header.architecture, preview.facts.architectures.isEmpty {
                    preview.facts.architectures = [architecture]
                }
                preview.facts.contextLength = preview.facts.contextLength ?? header.contextLength
                guard let problem = header.problem else { continue }
                isWhole = false
                preview.note("'\(file.path.display)': \(problem)", atMost: Self.mostNotes)
            case .failure(let error):
                isWhole = false
                preview.take(error, of: file.path, atMost: Self.mostNotes)
            case nil: isWhole = false
            }
        }
        return isWhole ? count : nil
    }
}

/// The headers of a set, and who reads which.
private struct HeaderQueue {
    let files: [HubTreeFile]
    private(set) var results: [Result<WeightHeader, any Error>?]
    private var position = 0
    private var isStopped = false

    init(files: [HubTreeFile]) {
        self.files = files
        results = Array(repeating: nil, count: files.count)
    }

    mutating func next() -> (Int, HubTreeFile)? {
        guard !isStopped, position < files.count else { return nil }
        defer { position += 1 }
        return (position, files[position])
    }

    mutating func take(_ result: Result<WeightHeader, any Error>, of index: Int) {
        results[index] = result
        // One that is missing makes the count useless.
        if case .failure = result { isStopped = true }
    }
}

extension RepoPreview {
    /// Adds a note, unless there are many.
    mutating func note(_ text: String, atMost limit: Int) {
        if notes.count < limit { notes.append(text) }
    }

    /// Takes why a file was not read: as a reason to stop when the next one would fare no better.
    mutating func take(_ error: any Error, of file: BytePath, atMost limit: Int) {
        switch error {
        case let failure as HubFailure:
            switch failure.code {
            case .digestMismatch, .entryNotFound, .revisionNotFound:
                note("'\(file.display)': \(displayText(of: failure.detail))", atMost: limit)
            default: stop = stop ?? failure
            }
        case let format as FormatError:
            note("'\(file.display)' is broken as published: \(format.detail)", atMost: limit)
        default: note("'\(file.display)': \(displayText(of: "\(error)"))", atMost: limit)
        }
    }
}
