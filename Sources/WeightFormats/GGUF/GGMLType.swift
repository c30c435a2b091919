/// The storage layout of one GGML tensor type: elements are stored in blocks of fixed size.
///
/// The table is that of `ggml` as mirrored by the `gguf` Python package 0.19. Forks use other numbers for types of their
/// own, and new ones appear: an absent number means unknown, not wrong.
struct GGMLType: Equatable {
    /// Elements in a block.
    let blockElements: UInt64
    /// Bytes of a block.
    let blockBytes: UInt64
    /// The name that everybody uses, such as `Q4_K`.
    let name: String

    /// The layout of the type with this number; nil if unknown.
    init?(id: UInt32) {
        let layout: (UInt64, UInt64, String)
        switch id {
        case 0: layout = (1, 4, "F32")
        case 1: layout = (1, 2, "F16")
        case 2: layout = (32, 18, "Q4_0")
        case 3: layout = (32, 20, "Q4_1")
        case 6: layout = (32, 22, "Q5_0")
        case 7: layout = (32, 24, "Q5_1")
        case 8: layout = (32, 34, "Q8_0")
        case 9: layout = (32, 40, "Q8_1")
        case 10: layout = (256, 84, "Q2_K")
        case 11: layout = (256, 110, "Q3_K")
        case 12: layout = (256, 144, "Q4_K")
        case 13: layout = (256, 176, "Q5_K")
        case 14: layout = (256, 210, "Q6_K")
        case 15: layout = (256, 292, "Q8_K")
        case 16: layout = (256, 66, "IQ2_XXS")
        case 17: layout = (256, 74, "IQ2_XS")
        case 18: layout = (256, 98, "IQ3_XXS")
        case 19: layout = (256, 50, "IQ1_S")
        case 20: layout = (32, 18, "IQ4_NL")
        case 21: layout = (256, 110, "IQ3_S")
        case 22: layout = (256, 82, "IQ2_S")
        case 23: layout = (256, 136, "IQ4_XS")
        case 24: layout = (1, 1, "I8")
        case 25: layout = (1, 2, "I16")
        case 26: layout = (1, 4, "I32")
        case 27: layout = (1, 8, "I64")
        case 28: layout = (1, 8, "F64")
        case 29: layout = (256, 56, "IQ1_M")
        case 30: layout = (1, 2, "BF16")
        case 34: layout = (256, 54, "TQ1_0")
        case 35: layout = (256, 66, "TQ2_0")
        case 39: layout = (32, 17, "MXFP4")
        case 40: layout = (64, 36, "NVFP4")
        case 41: layout = (128, 18, "Q1_0")
        default: return nil
        }
        (blockElements, blockBytes, name) = layout
    }
}

/// The type of a GGUF metadata value.
enum GGUFValueType: UInt32 {
    case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// Bytes of one value; nil where that is not fixed.
    var fixedBytes: UInt64? {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        case .string, .array: nil
        }
    }
}
