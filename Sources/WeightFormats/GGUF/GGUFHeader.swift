/// The meaning of a GGUF header: the keys that matter, the tensors, and the rules about them.
struct GGUFHeader {
    private static let newestVersion: UInt32 = 3
    private static let defaultAlignment: UInt64 = 32
    private static let alignmentKey = Array("general.alignment".utf8)
    private static let splitNumberKey = Array("split.no".utf8)
    private static let splitCountKey = Array("split.count".utf8)
    private static let splitTensorsKey = Array("split.tensors.count".utf8)
    private static let contextSuffix = Array(".context_length".utf8)
    /// The one text that is kept.
    static let architectureKey = Array("general.architecture".utf8)

    private(set) var version: UInt32 = 0
    var tensorCount: UInt64 = 0
    var keyValueCount: UInt64 = 0
    private var alignment = Self.defaultAlignment
    private var splitNumber: UInt64?
    private var splitCount: UInt64?
    private var splitTensorCount: UInt64?
    private var unverifiable: FormatError?
    var architecture: String?
    private var contextLength: UInt64?
    private var types: [String: GGUFSummary.TypeTotal] = [:]

    // The tensor being read.
    private var dimensionsLeft: UInt64 = 0
    private var isFirstDimension = true
    private var firstDimension: UInt64 = 1
    private var elements: UInt64? = 1
    private var type: GGMLType?

    /// The largest end of a tensor in the data section, and of a tensor of unknown type its start.
    private var dataBytes: UInt64 = 0

    mutating func setVersion(_ value: UInt32) throws(FormatError) {
        // The readers' own test: a small version read in the wrong order has its low half empty.
        if value != 0, value & 0xFFFF == 0 {
            throw FormatError(.unverifiable, "BigEndian", at: 4, "a big-endian GGUF file")
        }
        guard value != 0 else { throw FormatError(.invalid, "InvalidVersion", at: 4, "there is no GGUF version 0") }
        guard value <= Self.newestVersion else {
            throw FormatError(.unverifiable, "UnknownVersion", at: 4, "the GGUF version \(value) is not known")
        }
        version = value
    }

    /// Takes a value if its key matters; `integer` holds its raw little-endian bytes, nil for strings and arrays.
    mutating func note(
        key: [UInt8], integer: UInt64?, type: GGUFValueType, at offset: UInt64
    ) throws(FormatError) {
        if key == Self.alignmentKey {
            guard type == .uint32, let integer else {
                throw FormatError(.invalid, "InvalidAlignment", at: offset, "general.alignment is not a u32")
            }
            guard integer != 0, integer & (integer - 1) == 0 else {
                throw FormatError(
                    .invalid, "InvalidAlignment", at: offset, "general.alignment is \(integer), not a power of two")
            }
            alignment = integer
        } else if let integer, isUnsigned(integer, type) {
            if key == Self.splitNumberKey { splitNumber = integer }
            if key == Self.splitCountKey { splitCount = integer }
            if key == Self.splitTensorsKey { splitTensorCount = integer }
            if key.suffix(Self.contextSuffix.count).elementsEqual(Self.contextSuffix) { contextLength = integer }
        }
    }

    /// Whether raw bytes of this type are a non-negative integer.
    private func isUnsigned(_ integer: UInt64, _ type: GGUFValueType) -> Bool {
        switch type {
        case .uint8, .uint16, .uint32, .uint64: true
        case .int8: integer < 1 << 7
        case .int16: integer < 1 << 15
        case .int32: integer < 1 << 31
        case .int64: integer < 1 << 63
        case .float32, .float64, .bool, .string, .array: false
        }
    }

    mutating func beginTensor() {
        isFirstDimension = true
        firstDimension = 1
        elements = 1
    }

    mutating func setDimensionCount(_ value: UInt64, at offset: UInt64) throws(FormatError) {
        guard value <= FormatLimits.maxGGUFDimensions else {
            throw FormatError(.invalid, "TooManyDimensions", at: offset, "a tensor claims \(value) dimensions")
        }
        dimensionsLeft = value
    }

    var needsDimension: Bool { dimensionsLeft > 0 }

    mutating func addDimension(_ value: UInt64) {
        dimensionsLeft -= 1
        if isFirstDimension { firstDimension = value }
        isFirstDimension = false
        // Readers hold dimensions in a signed integer.
        guard let product = elements, value <= UInt64(Int64.max) else {
            elements = nil
            return
        }
        let (next, overflow) = product.multipliedReportingOverflow(by: value)
        elements = overflow ? nil : next
    }

    mutating func setTensorType(_ id: UInt32, at offset: UInt64) throws(FormatError) {
        type = GGMLType(id: id)
        if type == nil, unverifiable == nil {
            unverifiable = FormatError(
                .unverifiable, "UnknownTensorType", at: offset, "the tensor type \(id) is not known")
        }
    }

    mutating func endTensor(offset: UInt64, at position: UInt64) throws(FormatError) {
        guard let elements else {
            throw FormatError(.invalid, "TensorTooLarge", at: position, "the size of a tensor exceeds 64 bits")
        }
        // The alignment key may stand anywhere, but all keys precede all tensors.
        guard offset % alignment == 0 else {
            throw FormatError(
                .invalid, "MisalignedTensor", at: position,
                "a tensor starts at \(offset) in the data section, no multiple of \(alignment)")
        }
        var bytes: UInt64 = 0
        if let type {
            guard firstDimension % type.blockElements == 0 else {
                throw FormatError(
                    .invalid, "PartialBlock", at: position,
                    "a row of \(firstDimension) elements is no multiple of the block of \(type.blockElements)")
            }
            let (product, overflow) = (elements / type.blockElements).multipliedReportingOverflow(by: type.blockBytes)
            guard !overflow else {
                throw FormatError(.invalid, "TensorTooLarge", at: position, "the size of a tensor exceeds 64 bits")
            }
            bytes = product
            var total = types[type.name] ?? GGUFSummary.TypeTotal(type: type.name, tensors: 0, elements: 0)
            let (sum, isOverflow) = total.elements.addingReportingOverflow(elements)
            total.tensors += 1
            total.elements = isOverflow ? .max : sum
            types[type.name] = total
        }
        let (end, overflow) = offset.addingReportingOverflow(bytes)
        guard !overflow else {
            throw FormatError(.invalid, "TensorTooLarge", at: position, "the end of a tensor exceeds 64 bits")
        }
        dataBytes = max(dataBytes, end)
    }

    /// Holds the tensors against the size of the file; `headerEnd` is where the last tensor's entry ends.
    func summary(headerEnd: UInt64, fileSize: UInt64) throws(FormatError) -> GGUFSummary {
        let padding = headerEnd % alignment == 0 ? 0 : alignment - headerEnd % alignment
        let (dataStart, o1) = headerEnd.addingReportingOverflow(padding)
        let (end, o2) = dataStart.addingReportingOverflow(dataBytes)
        // A file without tensor data need not be padded.
        guard dataBytes == 0 || (!o1 && !o2 && end <= fileSize) else {
            throw FormatError(
                .truncated, "TensorDataIncomplete", at: fileSize,
                "the tensors end at byte \(dataStart) + \(dataBytes), the file at \(fileSize)")
        }
        return GGUFSummary(
            version: version, tensorCount: tensorCount, keyValueCount: keyValueCount, dataStart: dataStart,
            dataBytes: dataBytes, alignment: alignment, splitNumber: splitNumber, splitCount: splitCount,
            splitTensorCount: splitTensorCount, architecture: architecture, contextLength: contextLength,
            types: types.values.sorted { $0.type < $1.type }, unverifiable: unverifiable)
    }
}
