internal import HubCache
internal import HubClient

/// What a repo's configuration says of its model. All of it is the publisher's word.
public struct ModelFacts: Sendable, Hashable {
    /// The classes that load it.
    public var architectures: [String] = []
    /// The family, such as `llama`.
    public var modelType: String?
    /// The tokens it was made for.
    public var contextLength: UInt64?
    /// The type its weights are meant to be loaded in, such as `bfloat16`.
    public var dtype: String?
    /// How it is quantised, such as `gptq`.
    public var quantization: String?
    /// Bits of a quantised weight.
    var quantizedBits: UInt64?
    /// The kind of an adapter, such as `LORA`.
    public var adapterType: String?
    /// The model that an adapter goes on.
    public var baseModel: String?
    /// Whether the configuration names code of the repo (`auto_map`), which only runs when it is trusted.
    public var namesOwnCode = false
    /// The folders of a pipeline's components.
    var components: Set<BytePath> = []

    /// Knows nothing yet.
    public init() {}

    /// The documents that say something, all at the top of a repo.
    static let documents = [
        "config.json", "adapter_config.json", "model_index.json", "tokenizer_config.json", "processor_config.json",
        "preprocessor_config.json",
    ]

    private static let contextKeys: [BytePath] = [
        "max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length", "n_ctx",
    ]
    /// Where models of text and pictures have what concerns the text.
    private static let textKeys: [BytePath] = ["text_config", "llm_config", "language_config"]
    private static let longestText = 200
    private static let mostNames = 20

    /// Takes what one of the documents says.
    mutating func take(_ document: HubJSON, named name: String) {
        if let map = document["auto_map"], case .object = map { namesOwnCode = true }
        switch name {
        case "config.json": takeConfiguration(document)
        case "adapter_config.json":
            adapterType = Self.text(document["peft_type"])
            baseModel = Self.text(document["base_model_name_or_path"])
        case "model_index.json": takePipeline(document)
        default: break
        }
    }

    private mutating func takeConfiguration(_ document: HubJSON) {
        architectures = Self.texts(document["architectures"])
        modelType = Self.text(document["model_type"])
        let text = Self.textKeys.lazy.compactMap { document[$0] }.first
        let keys = Self.contextKeys
        contextLength =
            keys.lazy.compactMap { document[$0]?.count }.first ?? keys.lazy.compactMap { text?[$0]?.count }.first
        dtype = [document, text].lazy.compactMap { Self.text($0?["dtype"]) ?? Self.text($0?["torch_dtype"]) }.first
            .map { $0.hasPrefix("torch.") ? String($0.dropFirst(6)) : $0 }
        guard let quantized = document["quantization_config"] ?? text?["quantization_config"] else { return }
        quantization = Self.text(quantized["quant_method"]) ?? Self.text(quantized["quant_algo"]) ?? "unnamed"
        quantizedBits = Self.bits(quantized, quantization)
    }

    private static func bits(_ quantized: HubJSON, _ method: String?) -> UInt64? {
        if let bits = quantized["bits"]?.count ?? quantized["w_bit"]?.count { return bits }
        if quantized["load_in_4bit"]?.truth == true { return 4 }
        if quantized["load_in_8bit"]?.truth == true { return 8 }
        if case .object(let groups) = quantized["config_groups"] {
            let found = Set(groups.values.compactMap { $0["weights"]?["num_bits"]?.count })
            // With several widths nobody can tell which tensor has which.
            return found.count == 1 ? found.first : nil
        }
        return ["mxfp4": 4, "fp8": 8, "fbgemm_fp8": 8][method ?? ""]
    }

    /// A diffusers pipeline: each key without `_` before it is a component, in a folder of that name.
    private mutating func takePipeline(_ document: HubJSON) {
        guard case .object(let members) = document else { return }
        if case .array(let pair) = document["_class_name"] {
            // A file of the repo and the class in it.
            architectures = pair.suffix(1).compactMap(Self.text)
            namesOwnCode = true
        } else {
            architectures = [Self.text(document["_class_name"])].compactMap(\.self)
        }
        modelType = "diffusers"
        components = Set(members.keys.filter { !$0.hasPrefix("_") })
    }

    private static func text(_ value: HubJSON?) -> String? {
        guard let text = value?.text, !text.isEmpty, text.utf8.count <= longestText else { return nil }
        return text
    }

    private static func texts(_ value: HubJSON?) -> [String] {
        guard case .array(let items) = value else { return [] }
        return items.prefix(mostNames).compactMap { text($0) }
    }
}
