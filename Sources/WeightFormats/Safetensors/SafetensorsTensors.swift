/// One tensor of a header; 32 bytes.
struct SafetensorsTensor {
    /// What the tensor's own numbers say about each other.
    enum Consistency: UInt8 {
        case right
        case unknownDtype
        case overflow
        case misaligned
        case wrongSize
    }

    var nameHash: UInt64
    var begin: UInt64
    var end: UInt64
    /// Where its entry starts in the JSON text; a header is at most 100 MB.
    var entryOffset: UInt32
    /// Index in `SafetensorsDtype.allCases`, if known.
    var dtype: UInt8
    var consistency: Consistency
}

/// The tensors of a header, and the rules that concern more than one of them.
struct SafetensorsTensors {
    private var tensors: [SafetensorsTensor] = []
    private(set) var nameHashes: [UInt64] = []
    /// Set for the first unknown type, even in an entry that a later one of the same name replaces: the reference
    /// reads both.
    var unverifiable: FormatError?

    var count: Int { tensors.count }

    mutating func append(_ tensor: SafetensorsTensor) {
        tensors.append(tensor)
    }

    /// Applies the reference's `Metadata::validate` and returns the end of the last tensor.
    mutating func validate() throws(FormatError) -> UInt64 {
        keepLastOfEachName()
        let isSorted = zip(tensors, tensors.dropFirst()).allSatisfy { !Self.precedes($1, $0) }
        if !isSorted { tensors.sort(by: Self.precedes) }
        var start: UInt64 = 0
        for tensor in tensors {
            let offset = UInt64(tensor.entryOffset) + 8
            guard tensor.begin == start, tensor.end >= tensor.begin else {
                throw FormatError(
                    .invalid, "InvalidOffset", at: offset,
                    "a tensor occupies \(tensor.begin) to \(tensor.end) where one must start at \(start)")
            }
            start = tensor.end
            switch tensor.consistency {
            case .right, .unknownDtype: break
            case .overflow:
                throw FormatError(.invalid, "ValidationOverflow", at: offset, "the size of a tensor exceeds 64 bits")
            case .misaligned:
                throw FormatError(.invalid, "MisalignedSlice", at: offset, "a tensor is not a whole number of bytes")
            case .wrongSize:
                throw FormatError(
                    .invalid, "TensorInvalidInfo", at: offset,
                    "shape and type of a tensor do not give the \(tensor.end - tensor.begin) bytes of its range")
            }
        }
        return start
    }

    private static func precedes(_ a: SafetensorsTensor, _ b: SafetensorsTensor) -> Bool {
        a.begin != b.begin ? a.begin < b.begin : a.end < b.end
    }

    /// The reference keeps the last of two entries with one name.
    private mutating func keepLastOfEachName() {
        nameHashes = tensors.map(\.nameHash)
        nameHashes.sort()
        guard zip(nameHashes, nameHashes.dropFirst()).contains(where: { $0 == $1 }) else { return }
        var seen = Set<UInt64>(minimumCapacity: tensors.count)
        tensors = tensors.reversed().filter { seen.insert($0.nameHash).inserted }
        nameHashes = seen.sorted()
    }

    /// What a validated header says.
    func summary(headerBytes: UInt64, dataBytes: UInt64) -> SafetensorsSummary {
        var totals = SafetensorsDtype.allCases.map {
            SafetensorsSummary.DtypeTotal(dtype: $0, tensors: 0, elements: 0)
        }
        for tensor in tensors where tensor.consistency == .right {
            let index = Int(tensor.dtype)
            totals[index].tensors += 1
            // Validated: elements × bits fits in 64 bits and the range has exactly that many.
            totals[index].elements &+= (tensor.end - tensor.begin) &* 8 / totals[index].dtype.bits
        }
        var fingerprint = NameSetFingerprint()
        for hash in nameHashes { fingerprint.insert(hash) }
        return SafetensorsSummary(
            tensorCount: tensors.count, headerBytes: headerBytes, dataBytes: dataBytes,
            dtypes: totals.filter { $0.tensors > 0 }, nameHashes: nameHashes, fingerprint: fingerprint,
            unverifiable: unverifiable)
    }
}
