/// Every bound that the parsers of this module keep, in one place.
///
/// Bounds that a reference reader has too lead to an `invalid` verdict, since no reader would load the file. Bounds that
/// only this module has lead to `unverifiable`: declining to judge is not a proof of damage.
public enum FormatLimits {
    /// Bytes a parser asks for at a time unless told otherwise.
    public static let chunkBytes = 256 << 10
    /// The most bytes a parser ever asks for at a time; a larger `chunkBytes` argument is cut to this.
    public static let maxChunkBytes = 1 << 20
    /// Bytes of the first read of a header whose length is not known yet; 97 % of safetensors headers fit in 100 kB.
    public static let firstChunkBytes = 64 << 10
    /// Open arrays and objects in a JSON text; `serde_json` counts down from 128 and refuses to reach zero.
    public static let maxJSONDepth = 127
    /// Bytes of a safetensors header (`MAX_HEADER_SIZE` of the reference library).
    public static let maxSafetensorsHeaderBytes: UInt64 = 100_000_000
    /// Tensors in one safetensors header; the largest models have half as many in all their shards.
    public static let maxSafetensorsTensors = 1 << 20
    /// Bytes of a shard index (the Hub's own JavaScript reader).
    public static let maxIndexBytes: UInt64 = 250_000_000
    /// Distinct shard names in one index (the Hub's own JavaScript reader).
    public static let maxShards = 10_000
    /// Bytes of one shard name; Linux opens no longer path (`PATH_MAX`, including the terminating NUL).
    public static let maxShardNameBytes = 4_095
    /// Misplaced tensors that are remembered with their last mapping; past this the total is a lower bound.
    public static let maxMissingTracked = 1 << 20
    /// Misplaced tensors whose names are kept.
    public static let maxMissingNamed = 100
    /// Bytes of a tensor name in a report, before escaping.
    public static let maxExcerptBytes = 96
    /// Tensors in one GGUF file.
    public static let maxGGUFTensors: UInt64 = 10_000_000
    /// Key-value pairs in one GGUF file.
    public static let maxGGUFKeyValues: UInt64 = 100_000
    /// Elements of one GGUF array whose elements must be walked one by one (strings and arrays).
    public static let maxGGUFArrayElements: UInt64 = 1_000_000
    /// Such elements in all arrays of a GGUF file together.
    public static let maxGGUFWalkedElements: UInt64 = 10_000_000
    /// Bytes of one GGUF string.
    public static let maxGGUFStringBytes: UInt64 = 10_000_000
    /// Arrays inside arrays in a GGUF value.
    public static let maxGGUFArrayDepth = 4
    /// Bytes of a GGUF tensor name (the specification; `llama.cpp` wants room for a NUL in the same 64).
    public static let maxGGUFTensorNameBytes: UInt64 = 64
    /// Dimensions of a GGUF tensor (`GGML_MAX_DIMS`).
    public static let maxGGUFDimensions: UInt64 = 4
    /// Entries of a zip archive; torch writes one for each storage.
    public static let maxZipEntries: UInt64 = 1_000_000
    /// Bytes from the end of a zip file in which its end record must start: 22 plus the longest comment.
    public static let zipEndSearchBytes = 65_557
    /// Bytes of a revision's manifest; the Hub recommends fewer than 100,000 files, which make some 30 MB.
    public static let maxManifestBytes: UInt64 = 256 << 20
    /// Files in a revision's manifest.
    public static let maxManifestFiles = 1_000_000
    /// Bytes that ``ContentSniff`` looks at.
    public static let sniffBytes = 1_024
}
