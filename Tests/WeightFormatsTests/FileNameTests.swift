import Testing
import WeightFormats

private func describe(_ name: ShardFileName?) -> String {
    guard let name else { return "none" }
    return "\(String(decoding: name.prefix, as: UTF8.self)) \(name.number)/\(name.total) "
        + String(decoding: name.suffix, as: UTF8.self)
}

@Suite struct FileNameTests {
    static let shards: [Row<String>] = [
        Row("transformers", "model-00001-of-00005.safetensors", "model 1/5 .safetensors"),
        Row("transformers bin", "pytorch_model-00001-of-00005.bin", "pytorch_model 1/5 .bin"),
        Row(
            "diffusers", "diffusion_pytorch_model-00001-of-00009.safetensors",
            "diffusion_pytorch_model 1/9 .safetensors"),
        Row("Mistral", "consolidated-00001-of-00013.safetensors", "consolidated 1/13 .safetensors"),
        Row("TF", "tf_model-00001-of-00002.h5", "tf_model 1/2 .h5"),
        Row("Flax", "flax_model-00001-of-00002.msgpack", "flax_model 1/2 .msgpack"),
        Row("GGUF", "q4-00001-of-00003.gguf", "q4 1/3 .gguf"),
        Row("pt", "m-1-of-2.pt", "m 1/2 .pt"),
        Row("BLOOM", "model_00001-of-00072.safetensors", "model 1/72 .safetensors"),
        Row("DeepSeek", "model-00001-of-000163.safetensors", "model 1/163 .safetensors"),
        Row("Kimi", "model-1-of-61.safetensors", "model 1/61 .safetensors"),
        Row("variant", "model.fp16-00001-of-00002.safetensors", "model.fp16 1/2 .safetensors"),
        Row("legacy variant", "model-00001-of-00002.fp16.safetensors", "model 1/2 .fp16.safetensors"),
        Row(
            "extension in the prefix", "model.safetensors-00001-of-00002.safetensors",
            "model.safetensors 1/2 .safetensors"),
        Row("no prefix", "-1-of-2.bin", " 1/2 .bin"),
        Row("six digits", "m-000001-of-999999.bin", "m 1/999999 .bin"),
        Row("the first place counts", "a-1-of-2.x-3-of-4.bin", "a 1/2 .x-3-of-4.bin"),
        Row("a later place", "a-of-b-3-of-4.bin", "a-of-b 3/4 .bin"),
        Row("seven digits", "m-0000001-of-2.bin", "none"),
        Row("seven digits in the total", "m-1-of-0000002.bin", "none"),
        Row("zero", "m-0-of-2.bin", "m 0/2 .bin"),
        Row("past the total", "m-3-of-2.bin", "none"),
        Row("no separator", "m1-of-2.bin", "none"),
        Row("only digits", "1-of-2.bin", "none"),
        Row("no number", "m--of-2.bin", "none"),
        Row("no total", "m-1-of-.bin", "none"),
        Row("text after the total", "m-1-of-2a.bin", "none"),
        Row("other extension", "m-1-of-2.txt", "none"),
        Row("no extension", "m-1-of-2", "none"),
        Row("index", "model.safetensors.index.json", "none"),
        Row("single", "model.safetensors", "none"),
        Row("empty", "", "none"),
    ]

    @Test(arguments: shards) func shard(_ row: Row<String>) {
        #expect(describe(ShardFileName(row.input.utf8)) == row.expected)
    }

    /// A name, the number of a sibling, and that sibling's name.
    static let siblings: [[String]] = [
        ["model-00001-of-00005.safetensors", "5", "model-00005-of-00005.safetensors"],
        ["model_00001-of-00072.safetensors", "72", "model_00072-of-00072.safetensors"],
        ["model-00001-of-000163.safetensors", "163", "model-00163-of-000163.safetensors"],
        ["model-00163-of-000163.safetensors", "1", "model-00001-of-000163.safetensors"],
        ["model-1-of-61.safetensors", "61", "model-61-of-61.safetensors"],
        ["model-61-of-61.safetensors", "1", "model-1-of-61.safetensors"],
        ["model-10000-of-12345.safetensors", "1", "model-00001-of-12345.safetensors"],
        ["model-09-of-10.bin", "10", "model-10-of-10.bin"],
        ["model-00001-of-00002.fp16.safetensors", "2", "model-00002-of-00002.fp16.safetensors"],
        ["m-1-of-2.bin", "0", "m-0-of-2.bin"],
        ["m-1-of-2.bin", "3", "none"],
    ]

    @Test(arguments: siblings) func sibling(_ row: [String]) {
        let found = Int(row[1]).flatMap { ShardFileName(row[0].utf8)?.sibling($0) }
        #expect(found.map { String(decoding: $0, as: UTF8.self) } ?? "none" == row[2])
    }

    @Test func setKeys() {
        func key(_ name: String) -> ShardFileName.SetKey? { ShardFileName(name.utf8)?.key }
        #expect(key("m-1-of-61.bin") == key("m-10-of-61.bin"))
        #expect(key("m-00001-of-00002.bin") != key("m-00001-of-00003.bin"))
        #expect(key("m-00001-of-00002.bin") != key("m_00001-of-00002.bin"))
        #expect(key("m-00001-of-00002.bin") != key("n-00001-of-00002.bin"))
        #expect(key("m-00001-of-00002.bin") != key("m-00001-of-00002.fp16.bin"))
    }

    static let indexes: [Row<String>] = [
        Row("transformers", "model.safetensors.index.json", "safetensors"),
        Row("transformers bin", "pytorch_model.bin.index.json", "bin"),
        Row("diffusers", "diffusion_pytorch_model.safetensors.index.json", "safetensors"),
        Row("diffusers bin", "diffusion_pytorch_model.bin.index.json", "bin"),
        Row("Mistral", "consolidated.safetensors.index.json", "safetensors"),
        Row("TF", "tf_model.h5.index.json", "h5"),
        Row("Flax", "flax_model.msgpack.index.json", "msgpack"),
        Row("variant", "model.safetensors.index.fp16.json", "safetensors fp16"),
        Row("legacy variant", "model.safetensors.fp16.index.json", "safetensors fp16"),
        Row("model_index", "model_index.json", "none"),
        Row("no weight extension", "model.index.json", "none"),
        Row("no weight extension, variant", "model.index.fp16.json", "none"),
        Row("no name", "safetensors.index.json", "none"),
        Row("hidden", ".safetensors.index.json", "safetensors"),
        Row("two variants", "model.safetensors.index.a.b.json", "none"),
        Row("empty variant", "model.safetensors.index..json", "none"),
        Row("not JSON", "model.safetensors.index.txt", "none"),
        Row("weights", "model.safetensors", "none"),
        Row("empty", "", "none"),
    ]

    @Test(arguments: indexes) func index(_ row: Row<String>) {
        let found = IndexFileName(row.input.utf8).map { name in
            ([name.shardExtension] + (name.variant.map { [$0] } ?? [])).map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(found?.joined(separator: " ") ?? "none" == row.expected)
    }

    static let weights: [(String, WeightFormat?)] = [
        ("model.safetensors", .safetensors), ("model.fp16.safetensors", .safetensors), ("pytorch_model.bin", .torch),
        ("adapter_model.bin", .torch), ("consolidated.00.pth", .torch), ("v1-5.ckpt", .torch), ("m.pt", .torch),
        ("q4.gguf", .gguf), ("tf_model.h5", .hdf5), ("flax_model.msgpack", .msgpack), ("model.onnx", .onnx),
        ("model.onnx_data", .onnx), ("m.tflite", .tflite), ("training_args.bin", nil), ("optimizer.bin", nil),
        ("optimizer.pt", nil), ("scheduler.pt", nil), ("rng_state_0.pth", nil), ("random_states_0.pt", nil),
        ("scaler.pt", nil), ("tokenizer.bin", nil), ("optimizer.safetensors", .safetensors), ("config.json", nil),
        ("README.md", nil), ("bin", nil), (".bin", nil), ("model.SAFETENSORS", nil), ("", nil),
    ]

    @Test(arguments: weights) func weight(_ name: String, _ expected: WeightFormat?) {
        #expect(WeightFormat(fileName: name.utf8) == expected)
    }
}
