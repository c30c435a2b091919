import Testing

@testable import WeightFormats

private func index(_ text: String, chunk: Int = FormatLimits.chunkBytes) throws(FormatError) -> ShardIndex {
    let bytes = Array(text.utf8)
    return try parse(ShardIndexParser(fileSize: UInt64(bytes.count), hashSeed: 7, chunkBytes: chunk), bytes)
}

private func header(_ names: [String]) throws -> SafetensorsSummary {
    let entries = names.map { #""\#($0)":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"# }
    let bytes = safetensors("{" + entries.joined(separator: ",") + "}")
    return try parse(SafetensorsParser(fileSize: UInt64(bytes.count), hashSeed: 7), bytes)
}

@Suite struct ShardIndexTests {
    static let files: [Row<String>] = [
        Row("usual", #"{"metadata":{"total_size":1},"weight_map":{"a":"m-1.safetensors"}}"#, "ok"),
        Row("no metadata", #"{"weight_map":{"a":"m"}}"#, "ok"),
        Row("empty metadata", #"{"metadata":{},"weight_map":{"a":"m"}}"#, "ok"),
        Row("metadata null", #"{"metadata":null,"weight_map":{}}"#, "ok"),
        Row("metadata nested", #"{"metadata":{"a":[{"b":1e3}],"c":"d"},"weight_map":{}}"#, "ok"),
        Row("metadata a list", #"{"metadata":[],"weight_map":{}}"#, "invalid MetadataNotAnObject"),
        Row("metadata a text", #"{"metadata":"x","weight_map":{}}"#, "invalid MetadataNotAnObject"),
        Row("other keys", #"{"x":[1,{"weight_map":3}],"y":"z","w":null,"weight_map":{}}"#, "ok"),
        Row("empty map", #"{"weight_map":{}}"#, "ok"),
        Row("no map", #"{"metadata":{}}"#, "invalid MissingWeightMap"),
        Row("map inside another object", #"{"x":{"weight_map":{}}}"#, "invalid MissingWeightMap"),
        Row("map by escape", #"{"weight\u005fmap":{}}"#, "ok"),
        Row("map a list", #"{"weight_map":[]}"#, "invalid WeightMapNotAnObject"),
        Row("map null", #"{"weight_map":null}"#, "invalid WeightMapNotAnObject"),
        Row("shard a number", #"{"weight_map":{"a":1}}"#, "invalid ShardNameNotAString"),
        Row("shard null", #"{"weight_map":{"a":null}}"#, "invalid ShardNameNotAString"),
        Row("shard a list", #"{"weight_map":{"a":["m"]}}"#, "invalid ShardNameNotAString"),
        Row("shard an object", #"{"weight_map":{"a":{"m":1}}}"#, "invalid ShardNameNotAString"),
        Row("not an object", "[]", "invalid NotAnObject"),
        Row("a text", #""x""#, "invalid NotAnObject"),
        Row("empty file", "", "invalid InvalidJSON"),
        Row("cut short", #"{"weight_map":{"a":"m""#, "invalid InvalidJSON"),
        Row("trailing garbage", #"{"weight_map":{}}x"#, "invalid InvalidJSON"),
        Row("trailing NUL", "{\"weight_map\":{}}\u{0}", "invalid InvalidJSON"),
    ]

    @Test(arguments: files) func file(_ row: Row<String>) {
        let bytes = Array(row.input.utf8)
        for chunk in [1, 5, 1_000] {
            let parser = ShardIndexParser(fileSize: UInt64(bytes.count), hashSeed: 7, chunkBytes: chunk)
            #expect(verdict(parser, bytes) == row.expected)
        }
    }

    @Test func invalidUTF8() {
        let bytes = Array(#"{"weight_map":{""#.utf8) + [0xFF] + Array(#"":"m"}}"#.utf8)
        #expect(verdict(ShardIndexParser(fileSize: UInt64(bytes.count), hashSeed: 7), bytes) == "invalid InvalidUTF8")
    }

    @Test func shardsInFirstSeenOrder() throws {
        let text = #"{"weight_map":{"a":"two","b":"one","c":"two","d":"sub/three"}}"#
        for chunk in [1, 3, 1_000] {
            let found = try index(text, chunk: chunk)
            #expect(found.shards.map(\.name) == ["two", "one", "sub/three"])
            #expect(found.shards.map(\.tensorCount) == [2, 1, 1])
            #expect(found.tensorCount == 4)
        }
    }

    @Test func shardNamesAreComparedByBytes() throws {
        let found = try index(#"{"weight_map":{"a":"\#("e\u{301}")","b":"\#("\u{e9}")"}}"#)
        #expect(found.shards.count == 2)
    }

    @Test func lastWeightMapWins() throws {
        let found = try index(#"{"weight_map":{"a":"one"},"weight_map":{"b":"two"}}"#)
        #expect(found.shards.map(\.name) == ["two"])
    }

    @Test func fingerprintProvesPlacement() throws {
        let found = try index(#"{"weight_map":{"l.0":"one","l.1":"two","l\u002e2":"one"}}"#, chunk: 2)
        #expect(try header(["l.2", "l.0"]).fingerprint == found.shards[0].fingerprint)
        #expect(try header(["l.1"]).fingerprint == found.shards[1].fingerprint)
        #expect(try header(["l.0"]).fingerprint != found.shards[0].fingerprint)
        #expect(try header(["l.0", "l.3"]).fingerprint != found.shards[0].fingerprint)
        #expect(try header(["l.0", "l.2", "l.3"]).fingerprint != found.shards[0].fingerprint)
    }

    @Test func limits() throws {
        #expect(
            verdict(ShardIndexParser(fileSize: FormatLimits.maxIndexBytes + 1, hashSeed: 7), [])
                == "invalid IndexTooLarge")
        #expect(ShardIndexParser(fileSize: FormatLimits.maxIndexBytes, hashSeed: 7).demand != nil)
        func shards(_ count: Int) -> [UInt8] {
            Array(("{\"weight_map\":{" + (0..<count).map { "\"\($0)\":\"\($0)\"" }.joined(separator: ",") + "}}").utf8)
        }
        let most = shards(10_000)
        #expect(verdict(ShardIndexParser(fileSize: UInt64(most.count), hashSeed: 7), most) == "ok")
        let more = shards(10_001)
        #expect(verdict(ShardIndexParser(fileSize: UInt64(more.count), hashSeed: 7), more) == "invalid TooManyShards")
        func named(_ length: Int) -> [UInt8] {
            Array((#"{"weight_map":{"a":""# + String(repeating: "m", count: length) + #""}}"#).utf8)
        }
        for chunk in [100, 10_000] {
            let long = named(4_095)
            let longer = named(4_096)
            #expect(
                verdict(ShardIndexParser(fileSize: UInt64(long.count), hashSeed: 7, chunkBytes: chunk), long) == "ok")
            #expect(
                verdict(ShardIndexParser(fileSize: UInt64(longer.count), hashSeed: 7, chunkBytes: chunk), longer)
                    == "invalid ShardNameTooLong")
        }
    }

    static let names: [Row<String>] = [
        Row("plain", "model-00001-of-00002.safetensors", "true"),
        Row("sub-folder", "a/b/model.bin", "true"),
        Row("dots inside", "a..b/...c", "true"),
        Row("space and Unicode", "a b/\u{e9}", "true"),
        Row("colon later", "ab:c", "true"),
        Row("empty", "", "false"),
        Row("absolute", "/etc/passwd", "false"),
        Row("parent", "..", "false"),
        Row("parent first", "../a", "false"),
        Row("parent inside", "a/../b", "false"),
        Row("parent last", "a/..", "false"),
        Row("here", ".", "false"),
        Row("here inside", "a/./b", "false"),
        Row("empty component", "a//b", "false"),
        Row("trailing slash", "a/", "false"),
        Row("backslash", "a\\..\\b", "false"),
        Row("network path", "\\\\host\\x", "false"),
        Row("drive", "C:/x", "false"),
        Row("relative drive", "c:x", "false"),
        Row("NUL", "a\u{0}b", "false"),
        Row("longest", String(repeating: "a", count: 4_095), "true"),
        Row("too long", String(repeating: "a", count: 4_096), "false"),
    ]

    @Test(arguments: names) func shardName(_ row: Row<String>) {
        #expect(String(ShardIndex.isSafeShardName(row.input.utf8)) == row.expected)
    }
}

@Suite struct ShardPlacementTests {
    private func misplaced(
        _ text: String, _ headers: [(String, [String])], chunk: Int = FormatLimits.chunkBytes
    ) throws -> MisplacedTensors {
        let bytes = Array(text.utf8)
        let given = try headers.map {
            ShardPlacementParser.Header(nameBytes: Array($0.0.utf8), nameHashes: try header($0.1).nameHashes)
        }
        return try parse(
            ShardPlacementParser(fileSize: UInt64(bytes.count), hashSeed: 7, headers: given, chunkBytes: chunk), bytes)
    }

    @Test func namesWhatIsMissing() throws {
        let text = #"{"weight_map":{"a":"one","b":"one","c\u0001":"two","d":"three"}}"#
        for chunk in [1, 4, 1_000] {
            let found = try misplaced(text, [("one", ["a", "x"]), ("two", [])], chunk: chunk)
            #expect(found.total == 2)
            #expect(!found.isLowerBound)
            #expect(found.tensors.map(\.name) == ["b", "c\\x01"])
            #expect(found.tensors.map(\.header) == [0, 1])
        }
    }

    @Test func lastMappingWins() throws {
        let moved = #"{"weight_map":{"a":"one","a":"two"}}"#
        #expect(try misplaced(moved, [("one", []), ("two", ["a"])]).total == 0)
        #expect(try misplaced(moved, [("one", ["a"]), ("two", [])]).tensors.map(\.header) == [1])
        #expect(try misplaced(moved, [("one", [])]).total == 0)
        let replaced = #"{"weight_map":{"a":"one"},"weight_map":{"b":"one"}}"#
        #expect(try misplaced(replaced, [("one", ["b"])]).total == 0)
    }

    @Test func manyAreCountedAndSomeNamed() throws {
        let map = (0..<150).map { "\"t\($0)\":\"one\"" }.joined(separator: ",")
        let found = try misplaced("{\"weight_map\":{\(map)}}", [("one", [])])
        #expect(found.total == 150)
        #expect(found.tensors.count == FormatLimits.maxMissingNamed)
        #expect(found.tensors.first?.name == "t0")
    }

    @Test func longNamesAreCut() throws {
        let name = String(repeating: "n", count: 200)
        let found = try misplaced("{\"weight_map\":{\"\(name)\":\"one\"}}", [("one", [])], chunk: 7)
        #expect(found.tensors.first?.name == String(repeating: "n", count: FormatLimits.maxExcerptBytes) + "…")
    }

    @Test func brokenIndex() {
        #expect(
            verdict(ShardPlacementParser(fileSize: 2, hashSeed: 7, headers: []), Array("[]".utf8))
                == "invalid NotAnObject")
    }
}
