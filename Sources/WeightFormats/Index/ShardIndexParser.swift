/// Reads a shard index (`*.index.json`) in one pass and in memory for its distinct shard names only.
///
/// The file is a JSON object with `weight_map`, an object from tensor names to shard file names; `metadata` may be an
/// object or null, anything else is ignored but must be JSON. Names are untrusted: see
/// ``ShardIndex/isSafeShardName(_:)``. When a key is repeated at the top, the last weight map counts, as in Python.
public struct ShardIndexParser: WeightFileParser {
    private var file: IndexFileReader<ShardCollector>

    /// Starts the parse of a file of `fileSize` bytes; see ``SafetensorsParser`` for `hashSeed`.
    public init(fileSize: UInt64, hashSeed: UInt64, chunkBytes: Int = FormatLimits.chunkBytes) {
        file = IndexFileReader(
            fileSize: fileSize, chunkBytes: chunkBytes,
            reader: WeightMapReader(collector: ShardCollector(), hashSeed: hashSeed, capturesTensorNames: false))
    }

    /// The bytes needed next.
    public var demand: ByteDemand? { file.demand }

    /// Takes the demanded bytes.
    public mutating func consume(_ bytes: Span<UInt8>) throws(FormatError) {
        _ = try accept(bytes)
        try file.consume(bytes)
    }

    /// The shards, or why the index cannot be used.
    public consuming func finish() throws(FormatError) -> ShardIndex {
        ShardIndex(shards: try file.finish().shards)
    }
}

/// Gathers the distinct shards of a weight map.
private struct ShardCollector: WeightMapCollector {
    private(set) var shards: [ShardIndex.Shard] = []
    private var numberByHash: [UInt64: Int] = [:]
    // Neighbours in an index are often in the same shard.
    private var lastHash: UInt64?
    private var lastNumber = 0

    mutating func begin() {
        shards.removeAll()
        numberByHash.removeAll()
        lastHash = nil
    }

    mutating func entry(
        tensorHash: UInt64, tensorName: [UInt8], shardHash: UInt64, shardName: [UInt8], at offset: UInt64
    ) throws(JSONFault) {
        if lastHash != shardHash {
            lastNumber = try number(of: shardName, hash: shardHash, at: offset)
            lastHash = shardHash
        }
        shards[lastNumber].fingerprint.insert(tensorHash)
    }

    private mutating func number(
        of name: [UInt8], hash: UInt64, at offset: UInt64
    ) throws(JSONFault) -> Int {
        if let number = numberByHash[hash] { return number }
        guard shards.count < FormatLimits.maxShards else {
            throw JSONFault(
                .meaning("TooManyShards"), at: offset, "the index names more than \(FormatLimits.maxShards) shards")
        }
        numberByHash[hash] = shards.count
        shards.append(ShardIndex.Shard(nameBytes: name, fingerprint: NameSetFingerprint()))
        return shards.count - 1
    }
}
