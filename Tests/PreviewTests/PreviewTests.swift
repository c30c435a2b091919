import Foundation
import HubCache
import HubClient
import Preview
import TestSupport
import Testing

/// What a preview says of sound repos.
@Suite struct PreviewTests {
    private static let shards: [String: [UInt8]] = [
        "model-00001-of-00002.safetensors": weights([("BF16", 100_000, 200_000), ("F32", 10, 40)]),
        "model-00002-of-00002.safetensors": weights([("BF16", 50_000, 100_000)]),
        "model.safetensors.index.json": shardIndex([
            ("t0", "model-00001-of-00002.safetensors"), ("t1", "model-00001-of-00002.safetensors"),
            ("t2", "model-00002-of-00002.safetensors"),
        ]),
        "pytorch_model.bin": [UInt8](repeating: 1, count: 1000),
        "config.json": json(
            """
            {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 131072,
            "torch_dtype": "bfloat16"}
            """),
        "README.md": json("# x"),
    ]

    @Test func shardsWithIndex() throws {
        try withModel(Self.shards) { model in
            let preview = try model.preview()
            #expect(preview.files.count == 6 && preview.notes.isEmpty && preview.stop == nil)
            #expect(preview.bytes == UInt64(Self.shards.values.reduce(0) { $0 + $1.count }))
            let parameters = try #require(preview.parameters)
            #expect(parameters.byType == ["BF16": 150_000, "F32": 10] && parameters.total == 150_010)
            #expect(!parameters.isEstimated && parameters.storedBytes == 300_040)
            #expect(preview.facts.architectures == ["LlamaForCausalLM"] && preview.facts.modelType == "llama")
            #expect(preview.facts.contextLength == 131_072 && !preview.needsOwnCode && preview.pythonFiles == 0)
            #expect(preview.memory.map(\.weightBytes) == [300_040, 300_020, 150_010, 75_005])
            #expect(preview.memory.map(\.bytes) == [360_048, 360_024, 180_012, 90_006])
            #expect(preview.main.map(\.name) == ["model.safetensors.index.json"] && preview.sets.count == 2)
        }
    }

    /// No weights are fetched, and who serves them sees no token.
    @Test func readsHeadersOnly() throws {
        let file = weights([("BF16", 5_000_000, 10_000_000)])
        try withModel(["model.safetensors": file]) { model in
            #expect(try model.preview().parameters?.total == 5_000_000)
            let log = try model.hub.log()
            let sent = log.filter { $0["origin"] as? String == "cdn" }.compactMap { $0["sent"] as? Int }
            #expect(sent == [128 << 10])
            #expect(try model.hub.originsWithToken() == ["hub"])
        }
    }

    /// A header longer than the first read, and a few reads after it.
    @Test func longHeader() throws {
        let tensors = (0..<40_000).map { _ in ("F16", 1, 2) }
        let file = weights(tensors)
        #expect(file.count > 2 << 20)
        try withModel(["model.safetensors": file]) { model in
            let preview = try model.preview()
            #expect(preview.parameters?.byType == ["F16": 40_000])
        }
    }

    @Test func torchIsEstimated() throws {
        let files = [
            "pytorch_model.bin": [UInt8](repeating: 1, count: 1000),
            "config.json": json("{\"text_config\": {\"dtype\": \"float16\", \"max_position_embeddings\": 9}}"),
        ]
        try withModel(files) { model in
            let preview = try model.preview()
            #expect(preview.parameters?.byType == ["float16": 500] && preview.parameters?.isEstimated == true)
            #expect(preview.facts.contextLength == 9)
        }
    }

    @Test func ggufAlternatives() throws {
        let files = ["a-Q4.gguf": gguf(), "b-Q8.gguf": gguf() + [0, 0], "mm.gguf": gguf()]
        try withModel(files) { model in
            let preview = try model.preview()
            #expect(preview.main.map(\.name) == ["b-Q8.gguf"] && preview.sets.count == 3)
            #expect(preview.parameters?.byType == ["F32": 8] && preview.facts.architectures == ["llama"])
            #expect(try model.preview(include: ["a-*"]).main.map(\.name) == ["a-Q4.gguf"])
            #expect(try model.preview(exclude: ["*.gguf"]).parameters == nil)
        }
    }

    @Test func pipeline() throws {
        let files = [
            "model_index.json": json(
                "{\"_class_name\": [\"own.py\", \"P\"], \"unet\": [\"a\", \"b\"], \"vae\": [\"a\", \"b\"]}"),
            "unet/diffusion_pytorch_model.safetensors": weights([("F32", 10, 40)]),
            "unet/diffusion_pytorch_model.fp16.safetensors": weights([("F16", 10, 20)]),
            "vae/diffusion_pytorch_model.safetensors": weights([("F16", 7, 14)]),
            "other/model.safetensors": weights([("F64", 1, 8)]),
            "all-in-one.safetensors": weights([("F32", 100, 400)]), "own.py": json("x"),
        ]
        try withModel(files) { model in
            let preview = try model.preview()
            #expect(preview.parameters?.byType == ["F32": 10, "F16": 7])
            #expect(preview.facts.modelType == "diffusers" && preview.facts.architectures == ["P"])
            #expect(preview.needsOwnCode && preview.pythonFiles == 1 && preview.sets.count == 5)
        }
    }

    private static let packings: [(String, UInt64?)] = [
        ("{\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4}}", 8 * 10 + 5),
        ("{\"quantization_config\": {\"quant_method\": \"bitsandbytes\", \"load_in_8bit\": true}}", 4 * 10 + 5),
        (
            "{\"quantization_config\": {\"config_groups\": {\"a\": {\"weights\": {\"num_bits\": 2}}}}}",
            16 * 10 + 5
        ), ("{}", 15), ("{\"quantization_config\": {\"bits\": 0}}", nil),
        ("{\"quantization_config\": {\"quant_method\": \"new\"}}", nil),
    ]

    @Test(arguments: packings) func packedWeights(configuration: String, expected: UInt64?) throws {
        let files = [
            "model.safetensors": weights([("I32", 10, 40), ("F16", 5, 10)]), "config.json": json(configuration),
        ]
        try withModel(files) { model in
            let memory = try model.preview().memory
            #expect(memory.first { $0.precision == .int8 }?.weightBytes == expected)
            #expect(memory.first?.weightBytes == 50)
        }
    }

    @Test func adapterAndOwnCode() throws {
        let files = [
            "adapter_model.safetensors": weights([("F32", 2, 8)]),
            "adapter_config.json": json("{\"peft_type\": \"LORA\", \"base_model_name_or_path\": \"acme/base\"}"),
            "tokenizer_config.json": json("{\"auto_map\": {\"AutoTokenizer\": [\"t.T\", null]}}"),
        ]
        try withModel(files) { model in
            let preview = try model.preview()
            #expect(preview.facts.adapterType == "LORA" && preview.facts.baseModel == "acme/base")
            #expect(preview.needsOwnCode && preview.parameters?.total == 2)
        }
    }

    /// What the Hub itself says of the repo.
    @Test func accessAndLicence() throws {
        try withModel(["a.txt": [1]]) { model in
            let commit = model.hub.commit
            try model.hub.fault(
                "status", ["status": 200, "path": "*/revision/*"],
                body: """
                    {"sha": "\(commit)", "gated": "auto", "private": true, "tags": [1, "license:mit", "license:x"]}
                    """)
            let preview = try model.preview()
            #expect(preview.info.gating == .automatic && preview.info.isPrivate && preview.info.license == "mit")
            #expect(preview.main.isEmpty && preview.parameters == nil && preview.memory.isEmpty)
        }
    }
}
