import ArgumentParser
import CacheScan
import FoundationEssentials
import HubCache
import HubClient
import LinuxIO
import Repair

struct Fetch: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Fetch a revision from the Hub, as the Python client lays it out.",
        discussion: """
            Every file is proven by its digest before anybody can see it. What an interrupted run left is gone on with, what is \
            somewhere else on this machine is copied, and what another process is fetching is waited for. Nothing is fetched \
            that would leave less free than the policy's critical-free.

            Patterns are those of huggingface_hub: * crosses folders, a pattern that ends in / means everything below.

            Exit status: 0 all of it is here; 65 the Hub gives other content than it says; 66 no such repo or revision; 69 the \
            Hub cannot be reached; 73 no room, or cannot write; 75 another download is running, or something of your own stands in \
            a file's place and was left alone; 77 gated, or no permission; 78 \
            policy file wrong.
            """)

    @OptionGroup var named: HubRepoOptions

    @OptionGroup var caches: CacheOptions

    fileprivate struct Document: Encodable {
        struct File: Encodable {
            var file: String
            var bytes: UInt64
            var how: String
        }

        struct Left: Encodable {
            var file: String
            var reason: String
        }

        var schema = "hfjanitor.fetch/1"
        var repo: String
        var revision: String
        var commit: String?
        var path: String?
        var files: [File] = []
        /// What stands in the place of a file and was left alone.
        var left: [Left]?
        var warnings: [String]?
        var bytes: UInt64 = 0
        var bytesFetched: UInt64 = 0
        var errorCode: String?
        var errorMessage: String?

        enum CodingKeys: String, CodingKey {
            case schema, repo, revision, commit, path, files, left, warnings, bytes
            case bytesFetched = "bytes_fetched"
            case errorCode = "error_code"
            case errorMessage = "error_message"
        }
    }

    func run() throws {
        try reportingFailures {
            let (repo, revision) = try named.revisionOnHub()
            let request = FetchRequest(
                repo: repo, revision: revision, include: named.include, exclude: named.exclude)
            var opened = try OpenedCaches(caches.choice, needing: .rules)
            var made: [BytePath] = []
            defer { Self.removeEmpty(made) }
            if opened.roots.isEmpty, let path = opened.absentDefault {
                made = try Self.makeCache(path)
                opened = try OpenedCaches(caches.choice, needing: .rules)
            }
            guard
                let root = opened.roots.first(where: { (try? $0.stat(at: request.repo.folder)) != nil })
                    ?? opened.roots.first
            else {
                throw CommandFailure(status: .absent, message: "there is no cache to fetch into; name one with --cache")
            }
            Interruption.install()
            let session = try HubSession(opened, caches)
            let progress = TransferProgress()
            let fetcher = Fetcher(
                root: root, others: opened.roots, settings: session.settings(of: root, opened),
                ledger: openLedger(besides: opened.roots), progress: progress,
                cancellation: Interruption.cancellation)
            var document = Document(repo: request.repo.description, revision: request.revision)
            let line = ProgressLine(progress)
            defer { line.end() }
            do {
                let outcome = try fetcher.fetch(request, from: session.client)
                line.end()
                document.take(outcome, in: root)
                outcome.warnings.forEach { Terminal.complain(displayText(of: $0)) }
                let left = outcome.left.sorted { $0.key < $1.key }.map(\.value)
                document.errorCode = left.first?.code?.rawValue
                document.errorMessage = left.first?.message
                left.forEach { Terminal.complain(displayText(of: $0.message)) }
                if caches.json {
                    try printJSON(document)
                } else {
                    Terminal.complain(Self.summary(request, outcome))
                    if let path = document.path { Terminal.print(displayText(of: path)) }
                }
                return left.first?.exitStatus ?? .good
            } catch let error as RepairFailure {
                line.end()
                if caches.json {
                    document.errorCode = error.code?.rawValue
                    document.errorMessage = error.message
                    try printJSON(document)
                }
                let code = error.code.map { "\($0.rawValue): " } ?? ""
                let rest =
                    error.code == .downloadCancelled ? "; what came so far stays, and the next run goes on with it" : ""
                throw CommandFailure(status: error.exitStatus, message: code + displayText(of: error.message) + rest)
            }
        }
    }

    /// - Returns: the folders that were not there, the deepest first.
    private static func makeCache(_ path: BytePath) throws -> [BytePath] {
        var made: [BytePath] = []
        var folder = path
        while !folder.isEmpty, !FileManager.default.fileExists(atPath: folder.text) {
            made.append(folder)
            folder = folder.parent
        }
        do {
            try FileManager.default.createDirectory(atPath: path.text, withIntermediateDirectories: true)
        } catch {
            throw CommandFailure(status: .cannotWrite, message: "cannot make the cache '\(path.display)': \(error)")
        }
        return made
    }

    /// Takes folders away that were made for what then did not come; what has anything in it stays.
    private static func removeEmpty(_ folders: [BytePath]) {
        for path in folders {
            guard let parent = try? OwnedDescriptor.open(trustedPath: path.parent, options: .directory),
                (try? parent.removeFolder(path.lastComponent)) != nil
            else { return }
        }
    }

    private static func summary(_ request: FetchRequest, _ outcome: FetchOutcome) -> String {
        let bytes = outcome.files.reduce(UInt64(0)) { $0.addingUpTo($1.bytes) }
        return
            "\(request.repo)@\(outcome.commit.short): \(counted(outcome.files.count, "file")), \(formatBytes(bytes)), "
            + "\(formatBytes(outcome.bytesFetched)) fetched"
    }
}

extension Fetch.Document {
    fileprivate mutating func take(_ outcome: FetchOutcome, in root: CacheRoot) {
        commit = outcome.commit.hex
        path = root.path.appending(outcome.folder).text
        files = outcome.files.map { File(file: $0.path.text, bytes: $0.bytes, how: $0.means.rawValue) }
        bytes = outcome.files.reduce(0) { $0.addingUpTo($1.bytes) }
        bytesFetched = outcome.bytesFetched
        if !outcome.left.isEmpty {
            left = outcome.left.sorted { $0.key < $1.key }.map { Left(file: $0.key.text, reason: $0.value.message) }
        }
        if !outcome.warnings.isEmpty { warnings = outcome.warnings }
    }
}
