/// The file formats that hold weights.
public enum WeightFormat: String, Sendable, CaseIterable {
    case safetensors
    /// A pickle in a zip archive, or one of the older forms.
    case torch
    case gguf
    case hdf5
    case msgpack
    case onnx
    case tflite

    /// The format that a file extension, without its dot, promises; nil if none.
    public init?(extension bytes: some Collection<UInt8>) {
        switch String(decoding: bytes.prefix(16), as: UTF8.self) {
        case "safetensors": self = .safetensors
        case "bin", "pt", "pth", "ckpt": self = .torch
        case "gguf": self = .gguf
        case "h5": self = .hdf5
        case "msgpack": self = .msgpack
        case "onnx", "onnx_data": self = .onnx
        case "tflite": self = .tflite
        default: return nil
        }
    }

    /// The format that a last path component promises; nil if the file is not for weights.
    ///
    /// This judges the name only. `.bin` and `.pt` are used for anything, so known names of other things (optimizer and
    /// scheduler states, random states, training arguments, tokenizers) are excluded; what is in the file is for
    /// ``ContentSniff`` to say.
    public init?(fileName: some Collection<UInt8>) {
        let name = Array(fileName)
        guard let dot = name.lastIndex(of: UInt8(ascii: ".")), dot > 0 else { return nil }
        guard let format = WeightFormat(extension: name[(dot + 1)...]) else { return nil }
        let isOther = Self.otherPrefixes.contains { name.starts(with: $0) }
        if format == .torch, isOther { return nil }
        self = format
    }

    /// How names of files start that share an extension with torch weights and are none.
    private static let otherPrefixes = [
        "training_args", "trainer_state", "optimizer", "scheduler", "rng_state", "random_states", "scaler.",
        "tokenizer", "vocab", "merges", "sentencepiece", "spiece",
    ].map { Array($0.utf8) }
}
