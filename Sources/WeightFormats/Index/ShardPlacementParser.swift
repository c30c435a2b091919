/// The tensors that an index places in a shard whose header lacks them.
public struct MisplacedTensors: Sendable, Equatable {
    /// One such tensor.
    public struct Tensor: Sendable, Equatable {
        /// The start of its name, escaped and bounded as by ``Excerpt``.
        public let name: String
        /// The position of its shard among the headers that were given.
        public let header: Int
        /// Where the index names it, in bytes from the start of the file.
        public let offset: UInt64
    }

    /// How many there are.
    public let total: Int
    /// Whether `total` is a lower bound, because there are more than ``FormatLimits/maxMissingTracked``.
    public let isLowerBound: Bool
    /// The names of at most ``FormatLimits/maxMissingNamed`` of them, in the order of the index.
    public let tensors: [Tensor]
}

/// The second pass over an index: names the tensors behind a fingerprint that did not match.
///
/// When the index repeats a tensor, the last mapping counts, as in Python. Memory is bounded by
/// ``FormatLimits/maxMissingTracked``, whatever the size of the index.
public struct ShardPlacementParser: WeightFileParser {
    /// The header of one shard to hold the index against.
    public struct Header: Sendable {
        /// The shard's name as the index spells it.
        public let nameBytes: [UInt8]
        /// ``SafetensorsSummary/nameHashes`` of the shard: ascending, from the same seed.
        public let nameHashes: [UInt64]

        /// Makes a header from its parts.
        public init(nameBytes: [UInt8], nameHashes: [UInt64]) {
            self.nameBytes = nameBytes
            self.nameHashes = nameHashes
        }
    }

    private var file: IndexFileReader<PlacementCollector>

    /// Starts the pass. Shards of the index that are not among `headers` are not judged.
    public init(
        fileSize: UInt64, hashSeed: UInt64, headers: [Header], chunkBytes: Int = FormatLimits.chunkBytes
    ) {
        let collector = PlacementCollector(headers: headers, hashSeed: hashSeed)
        file = IndexFileReader(
            fileSize: fileSize, chunkBytes: chunkBytes,
            reader: WeightMapReader(collector: collector, hashSeed: hashSeed, capturesTensorNames: true))
    }

    /// The bytes needed next.
    public var demand: ByteDemand? { file.demand }

    /// Takes the demanded bytes.
    public mutating func consume(_ bytes: Span<UInt8>) throws(FormatError) {
        _ = try accept(bytes)
        try file.consume(bytes)
    }

    /// The misplaced tensors, or why the index cannot be used.
    public consuming func finish() throws(FormatError) -> MisplacedTensors {
        try file.finish().misplaced
    }
}

private struct PlacementCollector: WeightMapCollector {
    private struct Entry {
        /// Nil for all but the first few: names are bulky, and the rest are only counted.
        let name: [UInt8]?
        let header: Int
        let offset: UInt64
    }

    private let headers: [ShardPlacementParser.Header]
    private let headerByShard: [UInt64: Int]
    /// By tensor hash, so that a later mapping of the same tensor can replace it.
    private var missing: [UInt64: Entry] = [:]
    private var untracked = 0

    init(headers: [ShardPlacementParser.Header], hashSeed: UInt64) {
        self.headers = headers
        var numbers: [UInt64: Int] = [:]
        for (number, header) in headers.enumerated() {
            var hasher = NameHasher(seed: hashSeed)
            hasher.append(header.nameBytes.span, 0..<header.nameBytes.count)
            numbers[hasher.finish()] = number
        }
        headerByShard = numbers
    }

    mutating func begin() {
        missing.removeAll()
        untracked = 0
    }

    mutating func entry(
        tensorHash: UInt64, tensorName: [UInt8], shardHash: UInt64, shardName: [UInt8], at offset: UInt64
    ) {
        guard let header = headerByShard[shardHash], !contains(headers[header].nameHashes, tensorHash) else {
            if !missing.isEmpty { missing[tensorHash] = nil }
            return
        }
        let isNamed = missing.count < FormatLimits.maxMissingNamed
        if missing[tensorHash] != nil || missing.count < FormatLimits.maxMissingTracked {
            missing[tensorHash] = Entry(name: isNamed ? tensorName : nil, header: header, offset: offset)
        } else {
            untracked += 1
        }
    }

    private func contains(_ sorted: [UInt64], _ hash: UInt64) -> Bool {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = low + (high - low) / 2
            if sorted[middle] < hash { low = middle + 1 } else { high = middle }
        }
        return low < sorted.count && sorted[low] == hash
    }

    var misplaced: MisplacedTensors {
        let named = missing.values.compactMap { entry in
            entry.name.map {
                MisplacedTensors.Tensor(name: Excerpt.escaped($0), header: entry.header, offset: entry.offset)
            }
        }
        return MisplacedTensors(
            total: missing.count + untracked, isLowerBound: untracked > 0,
            tensors: named.sorted { $0.offset < $1.offset })
    }
}
