/// Receives the entries of a weight map.
protocol WeightMapCollector {
    /// A weight map starts. A later one replaces an earlier one, as in Python.
    mutating func begin()
    /// One entry. `tensorName` holds the first bytes of the name, `shardName` the whole name.
    mutating func entry(
        tensorHash: UInt64, tensorName: [UInt8], shardHash: UInt64, shardName: [UInt8], at offset: UInt64
    ) throws(JSONFault)
}

/// Finds the weight map in the events of an index file and hands on its entries.
struct WeightMapReader<Collector: WeightMapCollector>: JSONSink {
    private enum Place {
        case root
        case topKey
        case mapValue
        case mapKey
        case shardName
        case metadataValue
        case extraValue
        case finished
    }

    private static var mapKey: [UInt8] { Array("weight_map".utf8) }
    private static var metadataKey: [UInt8] { Array("metadata".utf8) }

    var collector: Collector
    private let hashSeed: UInt64
    private let capturesTensorNames: Bool
    private let mapKeyBytes = Self.mapKey
    private let metadataKeyBytes = Self.metadataKey
    private var place = Place.root
    private var extraDepth = 0
    private var hasMap = false
    private var hasher: NameHasher
    private var tensorHash: UInt64 = 0
    private var tensorName: [UInt8] = []
    private var shardName: [UInt8] = []
    private var stringOffset: UInt64 = 0

    init(collector: Collector, hashSeed: UInt64, capturesTensorNames: Bool) {
        self.collector = collector
        self.hashSeed = hashSeed
        self.capturesTensorNames = capturesTensorNames
        hasher = NameHasher(seed: hashSeed)
    }

    /// Checks, at the end of the text, that there was a weight map.
    func requireMap(at offset: UInt64) throws(JSONFault) {
        guard hasMap else { throw JSONFault(.meaning("MissingWeightMap"), at: offset, "there is no weight_map") }
    }

    mutating func beginObject(at offset: UInt64) throws(JSONFault) {
        switch place {
        case .root: place = .topKey
        case .mapValue:
            hasMap = true
            collector.begin()
            place = .mapKey
        case .metadataValue, .extraValue:
            place = .extraValue
            extraDepth += 1
        default: throw mistyped(at: offset)
        }
    }

    mutating func endObject(at offset: UInt64) {
        switch place {
        case .topKey: place = .finished
        case .mapKey: place = .topKey
        default: closeExtra()
        }
    }

    mutating func beginArray(at offset: UInt64) throws(JSONFault) {
        guard place == .extraValue else { throw mistyped(at: offset) }
        extraDepth += 1
    }

    mutating func endArray(at offset: UInt64) {
        closeExtra()
    }

    private mutating func closeExtra() {
        extraDepth -= 1
        if extraDepth == 0 { place = .topKey }
    }

    mutating func scalar(_ scalar: JSONScalar, at offset: UInt64) throws(JSONFault) {
        switch (place, scalar) {
        case (.extraValue, _): if extraDepth == 0 { place = .topKey }
        case (.metadataValue, .null): place = .topKey
        default: throw mistyped(at: offset)
        }
    }

    mutating func beginString(isKey: Bool, at offset: UInt64) throws(JSONFault) {
        stringOffset = offset
        switch place {
        case .mapKey, .topKey:
            hasher = NameHasher(seed: hashSeed)
            tensorName.removeAll(keepingCapacity: true)
        case .shardName:
            hasher = NameHasher(seed: hashSeed)
            shardName.removeAll(keepingCapacity: true)
        case .extraValue: break
        default: throw mistyped(at: offset)
        }
    }

    @inline(__always)
    mutating func stringBytes(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) throws(JSONFault) {
        switch place {
        case .mapKey:
            hasher.append(bytes, range)
            if capturesTensorNames { captureTensorName(bytes, range) }
        case .shardName:
            hasher.append(bytes, range)
            guard shardName.count + range.count <= FormatLimits.maxShardNameBytes else {
                throw JSONFault(
                    .meaning("ShardNameTooLong"), at: stringOffset,
                    "a shard name is longer than \(FormatLimits.maxShardNameBytes) bytes")
            }
            for index in range { shardName.append(bytes[index]) }
        case .topKey: captureTensorName(bytes, range)
        default: break
        }
    }

    private mutating func captureTensorName(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) {
        // One byte more than is ever quoted, so that a longer name shows as cut.
        for index in range.prefix(FormatLimits.maxExcerptBytes + 1 - tensorName.count) {
            tensorName.append(bytes[index])
        }
    }

    mutating func endString(isKey: Bool, at offset: UInt64) throws(JSONFault) {
        switch place {
        case .topKey:
            if tensorName == mapKeyBytes {
                place = .mapValue
            } else {
                place = tensorName == metadataKeyBytes ? .metadataValue : .extraValue
            }
        case .mapKey:
            tensorHash = hasher.finish()
            place = .shardName
        case .shardName:
            try collector.entry(
                tensorHash: tensorHash, tensorName: tensorName, shardHash: hasher.finish(), shardName: shardName,
                at: stringOffset)
            place = .mapKey
        default: if !isKey, extraDepth == 0 { place = .topKey }
        }
    }

    private func mistyped(at offset: UInt64) -> JSONFault {
        switch place {
        case .root: JSONFault(.meaning("NotAnObject"), at: offset, "an index is a JSON object")
        case .mapValue: JSONFault(.meaning("WeightMapNotAnObject"), at: offset, "weight_map is not an object")
        case .metadataValue: JSONFault(.meaning("MetadataNotAnObject"), at: offset, "metadata is not an object")
        default:
            JSONFault(.meaning("ShardNameNotAString"), at: offset, "weight_map maps a tensor to something not a string")
        }
    }
}

/// Streams an index file through a tokenizer; what both passes over an index share.
struct IndexFileReader<Collector: WeightMapCollector> {
    private let fileSize: UInt64
    private let chunkBytes: Int
    private var position: UInt64 = 0
    private var tokenizer = JSONTokenizer()
    private var reader: WeightMapReader<Collector>

    init(fileSize: UInt64, chunkBytes: Int, reader: WeightMapReader<Collector>) {
        self.fileSize = fileSize
        self.chunkBytes = boundedChunk(chunkBytes)
        self.reader = reader
    }

    var demand: ByteDemand? {
        guard fileSize <= FormatLimits.maxIndexBytes, position < fileSize else { return nil }
        return ByteDemand(offset: position, count: Int(min(UInt64(chunkBytes), fileSize - position)))
    }

    mutating func consume(_ bytes: Span<UInt8>) throws(FormatError) {
        do throws(JSONFault) {
            try tokenizer.feed(bytes, 0..<bytes.count, into: &reader)
        } catch {
            throw FormatError(error)
        }
        position += UInt64(bytes.count)
    }

    consuming func finish() throws(FormatError) -> Collector {
        guard fileSize <= FormatLimits.maxIndexBytes else {
            throw FormatError(
                .invalid, "IndexTooLarge",
                "the index has \(fileSize) bytes, more than \(FormatLimits.maxIndexBytes)")
        }
        precondition(position == fileSize, "finish before every demand was met")
        var tokenizer = tokenizer
        var reader = reader
        do throws(JSONFault) {
            try tokenizer.finish(into: &reader)
            try reader.requireMap(at: position)
        } catch {
            throw FormatError(error)
        }
        return reader.collector
    }
}
