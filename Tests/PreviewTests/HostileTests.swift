import Foundation
import HubCache
import HubClient
import Preview
import TestSupport
import Testing

/// A Hub that lies, fails or refuses.
@Suite struct HostileTests {
    private static let file = weights([("BF16", 1_000_000, 2_000_000)])
    private static let files = [
        "model.safetensors": file, "config.json": json("{\"model_type\": \"llama\"}"),
    ]

    /// A server that knows no ranges: as right, and it is not read to its end.
    @Test func noRanges() throws {
        try withModel(Self.files) { model in
            try model.hub.fault("ignore-range", ["origin": "cdn"])
            #expect(try model.preview().parameters?.total == 1_000_000)
        }
    }

    private static let faults: [(String, [String: any Sendable])] = [
        ("shift-range", ["after": 8]), ("gzip", [:]), ("endless", [:]), ("truncate", ["after": 100]),
        ("drop", ["after": 100]), ("cut", ["after": 100]), ("status", ["status": 416]), ("status", ["status": 500]),
        ("status", ["status": 403]),
    ]

    @Test(arguments: faults)
    func wrongRanges(kind: String, settings: [String: any Sendable]) throws {
        try withModel(Self.files) { model in
            try model.hub.fault(kind, settings.merging(["origin": "cdn"]) { old, _ in old })
            let preview = try model.preview()
            // The listing and the configuration are known all the same.
            #expect(preview.parameters == nil && preview.facts.modelType == "llama" && preview.files.count == 2)
            let code = try #require(preview.stop?.code)
            #expect([.network, .incompleteDownload].contains(code), "\(kind): \(code)")
        }
    }

    /// Answers whose own words about themselves do not fit together.
    @Test(arguments: [
        "Content-Range: bytes 0-131071/7\r\nContent-Length: 131072", "Content-Length: 131072",
        "Content-Range: bytes 0-131071/\(file.count)\r\nContent-Length: 5",
        "Content-Range: bytes 0-131071/\(file.count)", "Content-Range: bytes 1-131072/*\r\nContent-Length: 131072",
    ])
    func lyingLengths(headers: String) throws {
        try withModel(Self.files) { model in
            let body = String(repeating: " ", count: 200_000)
            try model.hub.fault(
                "raw", ["origin": "cdn"], body: "HTTP/1.1 206 Partial Content\r\n\(headers)\r\n\r\n\(body)")
            let preview = try model.preview()
            #expect(preview.parameters == nil && preview.stop?.code == .network)
        }
    }

    private static let refusals: [(Int, String, HubErrorCode)] = [
        (401, "", .repoNotFound), (401, "GatedRepo", .gated), (403, "GatedRepo", .gated), (403, "", .gated),
        (404, "EntryNotFound", .entryNotFound), (404, "RevisionNotFound", .revisionNotFound), (429, "", .rateLimited),
        (503, "", .network),
    ]

    /// What a Hub that is well says no to.
    @Test(arguments: refusals) func refusedListing(status: Int, code: String, expected: HubErrorCode) throws {
        try withModel(Self.files) { model in
            try model.refuse("/api/*", status, code)
            let refusal = model.refusal()
            #expect(refusal == expected)
        }
    }

    /// The listing is public, the content is not.
    @Test(arguments: refusals) func refusedContent(status: Int, code: String, expected: HubErrorCode) throws {
        let stop: HubErrorCode? = [.entryNotFound, .revisionNotFound].contains(expected) ? nil : expected
        try withModel(Self.files) { model in
            try model.refuse("*/resolve/*", status, code)
            let preview = try model.preview()
            #expect(preview.bytes > 2_000_000 && preview.parameters == nil && preview.facts.modelType == nil)
            #expect(preview.stop?.code == stop)
            #expect(preview.notes.count == (stop == nil ? 2 : 0))
        }
    }

    @Test func otherContentThanListed() throws {
        try withModel(Self.files) { model in
            try model.hub.fault("flip", ["path": "*/config.json", "after": 3])
            let preview = try model.preview()
            #expect(preview.facts.modelType == nil && preview.parameters?.total == 1_000_000)
            #expect(preview.notes.count == 1 && preview.notes[0].contains("not what the Hub's listing says"))
        }
    }

    @Test(arguments: [
        ("{\"__metadata__\":{}", "broken"), ("[]", "broken"), ("{\"a\":{\"dtype\":\"F4\"}}", "broken"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", "broken"),
        ("{\"a\":{\"dtype\":\"NEW\",\"shape\":[1],\"data_offsets\":[0,8]}}", "NEW"),
        ("{\"a\":{\"dtype\":\"F64\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", "broken"),
    ])
    func brokenHeaders(header: String, expected: String) throws {
        let broken = safetensors(header: header) + Array(repeating: 0, count: 8)
        try withModel(["model.safetensors": broken]) { model in
            let preview = try model.preview()
            #expect(preview.parameters == nil && preview.stop == nil && preview.memory.isEmpty)
            #expect(preview.notes.count == 1 && preview.notes[0].contains(expected), "\(preview.notes)")
        }
    }

    /// A header that claims to be as long as it likes.
    @Test(arguments: [UInt64.max, 1 << 40, 100_000_001, 100_000_000, 200_000])
    func giantHeaders(claim: UInt64) throws {
        let lying = littleEndian(claim) + Array(repeating: UInt8(ascii: " "), count: 150_000)
        try withModel(["model.safetensors": lying, "model.gguf": lying]) { model in
            let preview = try model.preview(include: ["*.safetensors"])
            #expect(preview.parameters == nil && preview.notes.count == 1 && preview.stop == nil)
            #expect(try model.preview(include: ["*.gguf"]).parameters == nil)
        }
    }

    @Test(arguments: [
        "", "[", "{\"a\": 1", "nul", "{\"model_type\": \"a\", \"model_type\": \"b\"}", "\u{FEFF}{}",
        String(repeating: "[", count: 100_000), "{\"model_type\": \"\\ud800\"}", "{}x",
    ])
    func hostileConfiguration(text: String) throws {
        try withModel(["config.json": json(text), "model.safetensors": Self.file]) { model in
            let preview = try model.preview()
            #expect(preview.facts == ModelFacts() && preview.notes == ["'config.json' is not JSON"])
            #expect(preview.parameters?.total == 1_000_000)
        }
    }

    @Test(arguments: [
        "[]", "1e999", "{\"architectures\": 1, \"model_type\": [], \"max_position_embeddings\": -1}",
        "{\"model_type\": {\"a\": []}, \"auto_map\": 1, \"quantization_config\": 7, \"dtype\": null}",
        "{\"max_position_embeddings\": 99999999999999999999, \"n_ctx\": 1.5, \"text_config\": []}",
    ])
    func oddConfiguration(text: String) throws {
        try withModel(["config.json": json(text)]) { model in
            let facts = try model.preview().facts
            #expect(facts.architectures.isEmpty && facts.modelType == nil && facts.contextLength == nil)
            #expect(!facts.namesOwnCode)
        }
    }

    /// Names of every kind of mischief in an index, and shards that the repo lacks.
    @Test func hostileIndex() throws {
        let index = shardIndex([
            ("a", "../../etc/passwd"), ("b", "model-1-of-2.safetensors"), ("c", "model-2-of-2.safetensors"),
        ])
        let files = ["model.safetensors.index.json": index, "model-1-of-2.safetensors": Self.file]
        try withModel(files) { model in
            let preview = try model.preview()
            #expect(preview.parameters == nil && preview.main.count == 1)
            #expect(
                preview.notes == [
                    "'model.safetensors.index.json' names files that the repo does not have (1), such as 'model-2-of-2.safetensors'"
                ])
        }
    }

    /// Sizes that no double holds, and that no sum does.
    @Test func giantSizes() throws {
        try withModel(Self.files) { model in
            let id = String(repeating: "a", count: 40)
            func list(_ size: String) -> String {
                let entries = (0..<3).map {
                    "{\"type\":\"file\",\"path\":\"pytorch_model-\($0)-of-3.bin\",\"oid\":\"\(id)\",\"size\":\(size)}"
                }
                return "[\(entries.joined(separator: ","))]"
            }
            try model.hub.fault("status", ["status": 200, "path": "*/tree/*"], body: list("9007199254740993"))
            let large = try model.preview()
            #expect(large.bytes == 3 * 9_007_199_254_740_993 && large.parameters?.isEstimated == true)
            let run = try model.run(["acme/x", "--json"])
            #expect(run.status == 0 && run.output.contains("\"bytes\":27021597764222979"))
            try model.hub.clear()
            try model.hub.fault("status", ["status": 200, "path": "*/tree/*"], body: list("9223372036854775807"))
            let larger = try model.preview()
            #expect(larger.bytes == .max && larger.memory.allSatisfy { $0.bytes > 0 })
            #expect(try model.run(["acme/x"]).status == 0)
            try model.hub.clear()
            try model.hub.fault("status", ["status": 200, "path": "*/tree/*"], body: list("9223372036854775808"))
            #expect(model.refusal() == .digestMismatch)
        }
    }
}
