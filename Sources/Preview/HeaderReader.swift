internal import HubCache
internal import HubClient
internal import LinuxIO
internal import Synchronization
internal import WeightFormats

/// What the header of one weight file says.
struct WeightHeader: Sendable {
    var count = ParameterCount()
    var architecture: String?
    var contextLength: UInt64?
    /// What could not be counted.
    var problem: String?
}

/// All headers together are longer than is read.
struct TooManyHeaderBytes: Error, CustomStringConvertible {
    var description: String { "the headers are longer than is read" }
}

/// Reads headers of weight files on the Hub, by ranges.
struct HeaderReader: Sendable {
    let repo: RepoID
    let commit: CommitHash
    let deadline: ContinuousClock.Instant
    let cancellation: Cancellation
    let budget: ByteBudget

    /// Bytes of the first read: nearly every safetensors header ends before.
    private static let firstWindow: UInt64 = 128 << 10

    /// Reads one header; of a format without one that tells, nothing.
    ///
    /// - Throws: `HubFailure`, `FormatError` or `TooManyHeaderBytes`.
    func header(of file: HubTreeFile, _ format: WeightFormat, _ client: HubClient) throws -> WeightHeader {
        switch format {
        case .safetensors: try safetensors(file, client)
        case .gguf: try gguf(file, client)
        case .torch, .hdf5, .msgpack, .onnx, .tflite: WeightHeader()
        }
    }

    private func safetensors(_ file: HubTreeFile, _ client: HubClient) throws -> WeightHeader {
        let parser = SafetensorsParser(
            fileSize: file.size, hashSeed: .random(in: 0 ... .max), chunkBytes: FormatLimits.maxChunkBytes)
        let summary = try read(file, with: parser, client)
        var header = WeightHeader()
        for total in summary.dtypes { header.count.add(total.elements, total.dtype.rawValue) }
        header.count.storedBytes = summary.dataBytes
        header.problem = summary.unverifiable?.detail
        return header
    }

    private func gguf(_ file: HubTreeFile, _ client: HubClient) throws -> WeightHeader {
        let parser = GGUFParser(fileSize: file.size, chunkBytes: FormatLimits.maxChunkBytes)
        let summary = try read(file, with: parser, client)
        var header = WeightHeader()
        for total in summary.types { header.count.add(total.elements, total.type) }
        header.count.storedBytes = summary.dataBytes
        header.architecture = summary.architecture
        header.contextLength = summary.contextLength
        header.problem = summary.unverifiable?.detail
        return header
    }

    private func read<Parser: WeightFileParser>(
        _ file: HubTreeFile, with parser: consuming Parser, _ client: HubClient
    ) throws -> Parser.Summary {
        var parser = parser
        var window = Window()
        while let demand = parser.demand {
            if !window.holds(demand) { window = try fetch(demand, of: file, isFirst: window.bytes.isEmpty, client) }
            try window.give(demand, to: &parser)
        }
        return try parser.finish()
    }

    private func fetch(
        _ demand: ByteDemand, of file: HubTreeFile, isFirst: Bool, _ client: HubClient
    ) throws -> Window {
        let wanted = isFirst ? max(UInt64(demand.count), Self.firstWindow) : UInt64(FormatLimits.maxChunkBytes)
        let end = demand.offset + max(UInt64(demand.count), min(wanted, file.size - demand.offset))
        guard budget.take(end - demand.offset) else { throw TooManyHeaderBytes() }
        let bytes = try client.read(
            demand.offset..<end, of: file, repo: repo, commit: commit, deadline: deadline, cancellation: cancellation)
        return Window(start: demand.offset, bytes: bytes)
    }
}

/// Bytes of a file that have been read, of which a parser wants one part after the other.
private struct Window {
    var start: UInt64 = 0
    var bytes: [UInt8] = []

    func holds(_ demand: ByteDemand) -> Bool {
        demand.offset >= start && demand.offset + UInt64(demand.count) <= start + UInt64(bytes.count)
    }

    func give(_ demand: ByteDemand, to parser: inout some WeightFileParser) throws(FormatError) {
        let first = Int(demand.offset - start)
        try parser.consume(bytes.span.extracting(first..<first + demand.count))
    }
}

/// How many bytes may still be read, by all threads together.
final class ByteBudget: Sendable {
    private let left: Mutex<UInt64>

    init(_ bytes: UInt64) { left = Mutex(bytes) }

    /// Takes a part of what is left, or says that there is not so much.
    func take(_ bytes: UInt64) -> Bool {
        left.withLock { left in
            guard bytes <= left else { return false }
            left -= bytes
            return true
        }
    }
}
