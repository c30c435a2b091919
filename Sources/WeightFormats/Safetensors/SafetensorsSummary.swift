/// The element types of the safetensors reference library 0.8.0.
public enum SafetensorsDtype: String, Sendable, CaseIterable {
    case bool = "BOOL"
    case f4 = "F4"
    case f6E2M3 = "F6_E2M3"
    case f6E3M2 = "F6_E3M2"
    case u8 = "U8"
    case i8 = "I8"
    case f8E5M2 = "F8_E5M2"
    case f8E4M3 = "F8_E4M3"
    case f8E8M0 = "F8_E8M0"
    case f8E4M3FNUZ = "F8_E4M3FNUZ"
    case f8E5M2FNUZ = "F8_E5M2FNUZ"
    case i16 = "I16"
    case u16 = "U16"
    case f16 = "F16"
    case bf16 = "BF16"
    case i32 = "I32"
    case u32 = "U32"
    case f32 = "F32"
    case c64 = "C64"
    case f64 = "F64"
    case i64 = "I64"
    case u64 = "U64"

    /// Bits of one element.
    public var bits: UInt64 {
        switch self {
        case .f4: 4
        case .f6E2M3, .f6E3M2: 6
        case .bool, .u8, .i8, .f8E5M2, .f8E4M3, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ: 8
        case .i16, .u16, .f16, .bf16: 16
        case .i32, .u32, .f32: 32
        case .c64, .f64, .i64, .u64: 64
        }
    }
}

/// What a sound safetensors header says.
public struct SafetensorsSummary: Sendable {
    /// Tensors and elements of one type.
    public struct DtypeTotal: Sendable, Equatable {
        /// The type.
        public let dtype: SafetensorsDtype
        /// Tensors of this type.
        public var tensors: Int
        /// Their elements.
        public var elements: UInt64
    }

    /// Tensors, each name once.
    public let tensorCount: Int
    /// Bytes of the JSON header, without the eight of its length.
    public let headerBytes: UInt64
    /// Bytes of tensor data.
    public let dataBytes: UInt64
    /// Totals of the types that occur, in the order of ``SafetensorsDtype``; unknown types are not among them.
    public let dtypes: [DtypeTotal]
    /// The seeded hashes of the decoded tensor names, ascending and distinct.
    public let nameHashes: [UInt64]
    /// The fingerprint of the same names.
    public let fingerprint: NameSetFingerprint
    /// Set when everything that could be checked is right, but a tensor has a type this module does not know.
    ///
    /// Offsets, coverage and names are proven even then; only the size of such tensors is not. New types appear, so
    /// this is no damage, although today's reference library refuses the file.
    public let unverifiable: FormatError?
}
