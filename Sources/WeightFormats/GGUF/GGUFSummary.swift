/// What a sound GGUF header says.
public struct GGUFSummary: Sendable, Equatable {
    /// Tensors and elements of one type.
    public struct TypeTotal: Sendable, Equatable {
        /// The type's name, such as `Q4_K`.
        public let type: String
        /// Tensors of this type.
        public var tensors: UInt64
        /// Their elements, at most the largest number there is.
        public var elements: UInt64
    }

    /// The version of the format: 1, 2 or 3.
    public let version: UInt32
    /// Tensors in this file.
    public let tensorCount: UInt64
    /// Key-value pairs in this file.
    public let keyValueCount: UInt64
    /// Where the data section starts, in bytes from the start of the file.
    public let dataStart: UInt64
    /// Bytes of the data section that tensors use; the file may be longer.
    public let dataBytes: UInt64
    /// `general.alignment`, in bytes; 32 if absent.
    public let alignment: UInt64
    /// `split.no`: the position of this file in its split, from 0.
    public let splitNumber: UInt64?
    /// `split.count`: files in the split.
    public let splitCount: UInt64?
    /// `split.tensors.count`: tensors in all files of the split.
    public let splitTensorCount: UInt64?
    /// `general.architecture`, where it is a text of at most 64 bytes.
    public let architecture: String?
    /// `<architecture>.context_length`: the tokens the model was made for.
    public let contextLength: UInt64?
    /// Totals of the types that occur, in order of their names; unknown types are not among them.
    public let types: [TypeTotal]
    /// Set when everything that could be checked is right, but a tensor has a type this module does not know.
    public let unverifiable: FormatError?
}
