/// Judges a GGUF file by its header: versions 1, 2 and 3, little-endian.
///
/// Reads the header only, and jumps over what it does not need. A count or length for which the file has no room makes
/// it `truncated`; one beyond this module's own bounds (``FormatLimits``), a big-endian file, a newer version or a newer
/// value type make it `unverifiable`. Reasons are this module's own, since the readers of the format have no names for
/// errors.
///
/// Not judged: the contents of strings, repeated names, and whether tensors leave gaps or overlap.
public struct GGUFParser: WeightFileParser {
    private enum Step {
        case magic
        case version
        case tensorCount
        case keyValueCount
        case keyLength
        case key
        case valueType
        case scalar
        case stringLength
        case stringText
        case arrayType
        case arrayCount
        case tensorNameLength
        case dimensionCount
        case dimension
        case tensorType
        case tensorOffset
        case done
    }

    private struct OpenArray {
        var type: GGUFValueType
        var remaining: UInt64
    }

    /// Longer keys cannot be one of those that matter and are skipped.
    private static let longestKnownKey = 32
    /// Longer texts are skipped, whatever their key.
    private static let longestKeptText = 64
    private static let magic: UInt64 = 0x4655_4747

    private let fileSize: UInt64
    private let chunkBytes: Int
    private var step = Step.magic
    private var field = GGUFFieldReader()
    private var header = GGUFHeader()
    private var wordBytes = 8
    private var keyValuesLeft: UInt64 = 0
    private var tensorsLeft: UInt64 = 0
    private var arrays: [OpenArray] = []
    private var walkedElements: UInt64 = 0
    private var valueType = GGUFValueType.uint8

    /// The bytes needed next.
    public private(set) var demand: ByteDemand?

    /// Starts the parse of a file of `fileSize` bytes.
    public init(fileSize: UInt64, chunkBytes: Int = FormatLimits.chunkBytes) {
        self.fileSize = fileSize
        self.chunkBytes = boundedChunk(chunkBytes)
        field.wantInteger(4)
        let first = min(UInt64(min(self.chunkBytes, FormatLimits.firstChunkBytes)), fileSize)
        if fileSize > 0 { demand = ByteDemand(offset: 0, count: Int(first)) }
    }

    /// Takes the demanded bytes.
    public mutating func consume(_ bytes: Span<UInt8>) throws(FormatError) {
        let start = try accept(bytes).offset
        let end = start + UInt64(bytes.count)
        while step != .done, field.position < end || field.isComplete {
            if !field.isComplete { field.take(bytes, startingAt: start) }
            if field.isComplete { try advance() }
        }
        demand = nil
        guard step != .done else { return }
        guard field.position < fileSize else { throw shortFile("in the middle of its header") }
        let rest = fileSize - field.position
        demand = ByteDemand(offset: field.position, count: Int(min(UInt64(chunkBytes), rest)))
    }

    /// The verdict.
    public consuming func finish() throws(FormatError) -> GGUFSummary {
        precondition(demand == nil, "finish before every demand was met")
        guard step == .done else { throw shortFile("before its header") }
        return try header.summary(headerEnd: field.position, fileSize: fileSize)
    }

    /// Handles a complete field and asks for the next.
    private mutating func advance() throws(FormatError) {
        let value = field.integer
        switch step {
        case .magic:
            guard value == Self.magic else { throw FormatError(.invalid, "InvalidMagic", at: 0, "not a GGUF file") }
            want(.version, 4)
        case .version:
            try header.setVersion(UInt32(truncatingIfNeeded: value))
            wordBytes = header.version == 1 ? 4 : 8
            want(.tensorCount, wordBytes)
        case .tensorCount:
            header.tensorCount = value
            tensorsLeft = value
            want(.keyValueCount, wordBytes)
        case .keyValueCount:
            header.keyValueCount = value
            keyValuesLeft = value
            try checkCounts()
            nextKeyValue()
        case .keyLength, .key, .valueType: try advanceKey(value)
        case .scalar:
            try header.note(key: field.text, integer: value, type: valueType, at: field.position)
            endValue()
        case .stringLength:
            if arrays.isEmpty, field.text == GGUFHeader.architectureKey, value <= UInt64(Self.longestKeptText) {
                step = .stringText
                field.wantText(Int(value))
                return
            }
            try skipString(value)
            endValue()
        case .stringText:
            header.architecture = String(validating: field.text, as: UTF8.self)
            endValue()
        case .arrayType, .arrayCount: try advanceArray(value)
        default: try advanceTensor(value)
        }
    }

    private mutating func want(_ next: Step, _ bytes: Int) {
        step = next
        field.wantInteger(bytes)
    }

    /// Room for the least that the counts promise is a matter of the file; the bounds beyond that are our own.
    private func checkCounts() throws(FormatError) {
        let word = UInt64(wordBytes)
        // A tensor: name length, dimension count, type, offset. A pair: key length, type, one byte.
        let (tensors, o1) = header.tensorCount.multipliedReportingOverflow(by: word + 4 + 4 + 8)
        let (pairs, o2) = header.keyValueCount.multipliedReportingOverflow(by: word + 4 + 1)
        let (total, o3) = tensors.addingReportingOverflow(pairs)
        guard !o1, !o2, !o3, total <= fileSize - field.position else {
            throw shortFile("with no room for \(header.tensorCount) tensors and \(header.keyValueCount) keys")
        }
        try limit(header.tensorCount, FormatLimits.maxGGUFTensors, "TooManyTensors")
        try limit(header.keyValueCount, FormatLimits.maxGGUFKeyValues, "TooManyKeys")
    }

    private func limit(_ value: UInt64, _ bound: UInt64, _ reason: String) throws(FormatError) {
        guard value <= bound else {
            throw FormatError(
                .unverifiable, reason, at: field.position, "\(value) is more than the \(bound) that are checked")
        }
    }

    private func shortFile(_ what: String) -> FormatError {
        FormatError(.truncated, "UnexpectedEndOfFile", at: fileSize, "the file ends \(what)")
    }

    private mutating func skip(_ bytes: UInt64) throws(FormatError) {
        guard bytes <= fileSize - field.position else { throw shortFile("inside a value of \(bytes) bytes") }
        field.skip(bytes)
    }

    // MARK: - Key-value pairs

    private mutating func nextKeyValue() {
        if keyValuesLeft > 0 {
            keyValuesLeft -= 1
            want(.keyLength, wordBytes)
        } else {
            nextTensor()
        }
    }

    private mutating func advanceKey(_ value: UInt64) throws(FormatError) {
        switch step {
        case .keyLength:
            if value <= UInt64(Self.longestKnownKey) {
                step = .key
                field.wantText(Int(value))
            } else {
                try skipString(value)
                field.wantText(0)
                want(.valueType, 4)
            }
        case .key: want(.valueType, 4)
        default: try beginValue(try valueType(value))
        }
    }

    private func valueType(_ value: UInt64) throws(FormatError) -> GGUFValueType {
        guard let type = GGUFValueType(rawValue: UInt32(truncatingIfNeeded: value)) else {
            throw FormatError(
                .unverifiable, "UnknownValueType", at: field.position - 4, "the value type \(value) is not known")
        }
        return type
    }

    private mutating func beginValue(_ type: GGUFValueType) throws(FormatError) {
        valueType = type
        if let bytes = type.fixedBytes {
            want(.scalar, Int(bytes))
        } else if type == .string {
            try header.note(key: field.text, integer: nil, type: type, at: field.position)
            want(.stringLength, wordBytes)
        } else {
            try header.note(key: field.text, integer: nil, type: type, at: field.position)
            want(.arrayType, 4)
        }
    }

    private mutating func skipString(_ bytes: UInt64) throws(FormatError) {
        // Room first: a length that the file cannot hold proves damage, one beyond our bound proves nothing.
        guard bytes <= fileSize - field.position else { throw shortFile("inside a string of \(bytes) bytes") }
        try limit(bytes, FormatLimits.maxGGUFStringBytes, "StringTooLong")
        try skip(bytes)
    }

    private mutating func advanceArray(_ value: UInt64) throws(FormatError) {
        if step == .arrayType {
            try limit(UInt64(arrays.count + 1), UInt64(FormatLimits.maxGGUFArrayDepth), "ArrayTooDeep")
            arrays.append(OpenArray(type: try valueType(value), remaining: 0))
            want(.arrayCount, wordBytes)
            return
        }
        let type = arrays[arrays.count - 1].type
        // An element takes its own bytes, a string at least its length, an array at least its type and count.
        let least = type.fixedBytes ?? (type == .string ? UInt64(wordBytes) : UInt64(wordBytes) + 4)
        let (bytes, overflow) = value.multipliedReportingOverflow(by: least)
        guard !overflow, bytes <= fileSize - field.position else {
            throw shortFile("inside an array of \(value) elements")
        }
        if type.fixedBytes != nil {
            try skip(bytes)
            arrays.removeLast()
        } else {
            try limit(value, FormatLimits.maxGGUFArrayElements, "ArrayTooLong")
            walkedElements += value
            try limit(walkedElements, FormatLimits.maxGGUFWalkedElements, "TooManyArrayElements")
            arrays[arrays.count - 1].remaining = value
        }
        endValue()
    }

    /// Goes on after a value: with the next element of the innermost open array, or with the next pair.
    private mutating func endValue() {
        while let array = arrays.last {
            if array.remaining > 0 {
                arrays[arrays.count - 1].remaining -= 1
                if array.type == .string {
                    want(.stringLength, wordBytes)
                } else {
                    want(.arrayType, 4)
                }
                return
            }
            arrays.removeLast()
        }
        nextKeyValue()
    }

    // MARK: - Tensors

    private mutating func nextTensor() {
        if tensorsLeft > 0 {
            tensorsLeft -= 1
            header.beginTensor()
            want(.tensorNameLength, wordBytes)
        } else {
            step = .done
        }
    }

    private mutating func advanceTensor(_ value: UInt64) throws(FormatError) {
        switch step {
        case .tensorNameLength:
            guard value <= FormatLimits.maxGGUFTensorNameBytes else {
                throw FormatError(
                    .invalid, "TensorNameTooLong", at: field.position,
                    "a tensor name claims \(value) bytes, more than \(FormatLimits.maxGGUFTensorNameBytes)")
            }
            try skip(value)
            want(.dimensionCount, 4)
        case .dimensionCount:
            try header.setDimensionCount(value, at: field.position)
            nextDimension()
        case .dimension:
            header.addDimension(value)
            nextDimension()
        case .tensorType:
            try header.setTensorType(UInt32(truncatingIfNeeded: value), at: field.position)
            want(.tensorOffset, 8)
        default:
            try header.endTensor(offset: value, at: field.position)
            nextTensor()
        }
    }

    private mutating func nextDimension() {
        if header.needsDimension {
            want(.dimension, wordBytes)
        } else {
            want(.tensorType, 4)
        }
    }
}
