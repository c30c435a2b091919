/// The meaning of a safetensors header, event by event.
///
/// It accepts what `serde` accepts for the reference's types, including two forms that no writer produces: a tensor as
/// the array `[dtype, shape, data_offsets]`, and a dtype as `{"F32": null}`.
struct SafetensorsHeader: JSONSink {
    private enum Place {
        case root
        case topKey
        case metadataValue
        case metadataKey
        case metadataEntry
        case tensorValue
        case tensorKey
        case tensorItem
        case dtypeValue
        case dtypeMapKey
        case dtypeMapValue
        case dtypeMapEnd
        case shapeValue
        case shapeItem
        case offsetsValue
        case offsetItem
        case extraValue
        case finished
    }

    private static let metadataKey = Array("__metadata__".utf8)
    private static let longestKey = metadataKey.count
    private static let dtypeKey = Array("dtype".utf8)
    private static let shapeKey = Array("shape".utf8)
    private static let offsetsKey = Array("data_offsets".utf8)
    private static let dtypeNames = SafetensorsDtype.allCases.map { Array($0.rawValue.utf8) }
    private static let dtypeBits = SafetensorsDtype.allCases.map(\.bits)

    private let hashSeed: UInt64
    var tensors = SafetensorsTensors()

    private var place = Place.root
    private var extraDepth = 0
    private var seenMetadata = false
    private var hasher: NameHasher
    private var isHashing = false
    /// How many bytes of the current string matter.
    private var captureLimit = 0
    /// The first bytes of the current string, when they matter.
    private var capture: [UInt8] = []
    private var stringOffset: UInt64 = 0

    // The tensor being read.
    private var nameHash: UInt64 = 0
    private var entryOffset: UInt64 = 0
    private var isArrayForm = false
    private var itemsSeen = 0
    private var dtype: Int?
    private var hasDtype = false
    private var hasShape = false
    private var elements: UInt64?
    private var offsets: (begin: UInt64, end: UInt64) = (0, 0)
    private var offsetCount = 0
    private var hasOffsets = false

    init(hashSeed: UInt64) {
        self.hashSeed = hashSeed
        hasher = NameHasher(seed: hashSeed)
        capture.reserveCapacity(FormatLimits.maxExcerptBytes + 1)
    }

    mutating func beginObject(at offset: UInt64) throws(JSONFault) {
        switch place {
        case .root: place = .topKey
        case .metadataValue: place = .metadataKey
        case .tensorValue: beginTensor(arrayForm: false)
        case .tensorItem where itemsSeen == 0: place = .dtypeMapKey
        case .dtypeValue: place = .dtypeMapKey
        case .extraValue: extraDepth += 1
        default: throw mistyped(at: offset, "an object")
        }
    }

    mutating func endObject(at offset: UInt64) throws(JSONFault) {
        switch place {
        case .topKey: place = .finished
        case .metadataKey: place = .topKey
        case .tensorKey: try endTensor(at: offset)
        case .dtypeMapEnd: endField()
        case .extraValue: closeExtra()
        default: throw mistyped(at: offset, "the end of an object")
        }
    }

    mutating func beginArray(at offset: UInt64) throws(JSONFault) {
        switch place {
        case .tensorValue: beginTensor(arrayForm: true)
        case .shapeValue: beginShape()
        case .offsetsValue: place = .offsetItem
        case .tensorItem where itemsSeen == 1: beginShape()
        case .tensorItem where itemsSeen == 2: place = .offsetItem
        case .extraValue: extraDepth += 1
        default: throw mistyped(at: offset, "an array")
        }
    }

    mutating func endArray(at offset: UInt64) throws(JSONFault) {
        switch place {
        case .shapeItem:
            hasShape = true
            endField()
        case .offsetItem:
            guard offsetCount == 2 else { throw malformed(at: offset, "data_offsets needs two numbers") }
            hasOffsets = true
            endField()
        case .tensorItem: try endTensor(at: offset)
        case .extraValue: closeExtra()
        default: throw mistyped(at: offset, "the end of an array")
        }
    }

    mutating func scalar(_ scalar: JSONScalar, at offset: UInt64) throws(JSONFault) {
        if case .hugeNumber = scalar { throw malformed(at: offset, "a number out of range") }
        switch (place, scalar) {
        case (.metadataValue, .null): place = .topKey
        case (.dtypeMapValue, .null): place = .dtypeMapEnd
        case (.shapeItem, .unsigned(let dimension)):
            if let product = elements {
                let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
                elements = overflow ? nil : next
            }
        case (.offsetItem, .unsigned(let value)):
            guard offsetCount < 2 else { throw malformed(at: offset, "data_offsets has more than two numbers") }
            if offsetCount == 0 { offsets.begin = value } else { offsets.end = value }
            offsetCount += 1
        case (.extraValue, _): if extraDepth == 0 { place = .tensorKey }
        default: throw mistyped(at: offset, "this value")
        }
    }

    mutating func beginString(isKey: Bool, at offset: UInt64) throws(JSONFault) {
        stringOffset = offset
        switch place {
        case .topKey:
            hasher = NameHasher(seed: hashSeed)
            isHashing = true
            startCapture(Self.longestKey + 1)
        case .tensorKey: startCapture(Self.longestKey + 1)
        case .dtypeMapKey, .dtypeValue: startCapture(FormatLimits.maxExcerptBytes + 1)
        case .tensorItem where itemsSeen == 0: startCapture(FormatLimits.maxExcerptBytes + 1)
        case .metadataKey, .metadataEntry, .extraValue: break
        default: throw mistyped(at: offset, "a string")
        }
    }

    /// One byte more than can matter is kept, so that a longer string equals no known one and shows as cut.
    private mutating func startCapture(_ limit: Int) {
        captureLimit = limit
        capture.removeAll(keepingCapacity: true)
    }

    @inline(__always)
    mutating func stringBytes(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) {
        if isHashing { hasher.append(bytes, range) }
        let room = captureLimit - capture.count
        guard room > 0 else { return }
        for index in range.lowerBound..<min(range.upperBound, range.lowerBound + room) { capture.append(bytes[index]) }
    }

    mutating func endString(isKey: Bool, at offset: UInt64) throws(JSONFault) {
        isHashing = false
        captureLimit = 0
        switch place {
        case .topKey: try endTopKey()
        case .metadataKey: place = .metadataEntry
        case .metadataEntry: place = .metadataKey
        case .tensorKey: try endTensorKey()
        case .dtypeMapKey:
            setDtype()
            place = .dtypeMapValue
        case .dtypeValue, .tensorItem:
            setDtype()
            endField()
        case .extraValue: if !isKey, extraDepth == 0 { place = .tensorKey }
        default: break
        }
    }

    private mutating func endTopKey() throws(JSONFault) {
        if capture == Self.metadataKey {
            guard !seenMetadata else { throw malformed(at: stringOffset, "__metadata__ occurs twice") }
            seenMetadata = true
            place = .metadataValue
        } else {
            nameHash = hasher.finish()
            entryOffset = stringOffset
            place = .tensorValue
        }
    }

    private mutating func endTensorKey() throws(JSONFault) {
        let isRepeated: Bool
        if capture == Self.dtypeKey {
            isRepeated = hasDtype
            place = .dtypeValue
        } else if capture == Self.shapeKey {
            isRepeated = hasShape
            place = .shapeValue
        } else if capture == Self.offsetsKey {
            isRepeated = hasOffsets
            place = .offsetsValue
        } else {
            isRepeated = false
            place = .extraValue
        }
        if isRepeated { throw malformed(at: stringOffset, "a field of a tensor occurs twice") }
    }

    private mutating func beginTensor(arrayForm: Bool) {
        isArrayForm = arrayForm
        place = arrayForm ? .tensorItem : .tensorKey
        itemsSeen = 0
        hasDtype = false
        hasShape = false
        hasOffsets = false
        offsetCount = 0
    }

    private mutating func beginShape() {
        elements = 1
        place = .shapeItem
    }

    private mutating func endField() {
        itemsSeen += 1
        place = isArrayForm ? .tensorItem : .tensorKey
    }

    private mutating func closeExtra() {
        extraDepth -= 1
        if extraDepth == 0 { place = .tensorKey }
    }

    private mutating func setDtype() {
        hasDtype = true
        // Most headers have one type throughout.
        if let dtype, Self.dtypeNames[dtype] == capture { return }
        dtype = Self.dtypeNames.firstIndex(of: capture)
        if dtype == nil, tensors.unverifiable == nil {
            tensors.unverifiable = FormatError(
                .unverifiable, "UnknownDtype", at: stringOffset + 8,
                "the element type '\(Excerpt.escaped(capture))' is not known")
        }
    }

    private mutating func endTensor(at offset: UInt64) throws(JSONFault) {
        guard hasDtype, hasShape, hasOffsets else {
            throw malformed(at: offset, "a tensor lacks dtype, shape or data_offsets")
        }
        guard tensors.count < FormatLimits.maxSafetensorsTensors else {
            throw JSONFault(
                .declined("TooManyTensors"), at: offset,
                "the header has more than the \(FormatLimits.maxSafetensorsTensors) tensors that are checked")
        }
        tensors.append(
            SafetensorsTensor(
                nameHash: nameHash, begin: offsets.begin, end: offsets.end, entryOffset: UInt32(entryOffset),
                dtype: UInt8(dtype ?? 0), consistency: consistency))
        place = .topKey
    }

    private var consistency: SafetensorsTensor.Consistency {
        guard let elements else { return .overflow }
        guard let dtype else { return .unknownDtype }
        let (bits, overflow) = elements.multipliedReportingOverflow(by: Self.dtypeBits[dtype])
        if overflow { return .overflow }
        if bits % 8 != 0 { return .misaligned }
        // A range that ends before it begins is refused as an invalid offset before this counts.
        return offsets.end &- offsets.begin == bits / 8 ? .right : .wrongSize
    }

    private func mistyped(at offset: UInt64, _ found: String) -> JSONFault {
        malformed(at: offset, "\(found) may not stand here")
    }

    private func malformed(at offset: UInt64, _ detail: String) -> JSONFault {
        JSONFault(.meaning("InvalidHeaderDeserialization"), at: offset, detail)
    }
}
