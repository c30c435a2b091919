import Foundation
import HubCache
import TestSupport
import Testing

/// The program, as people and scripts meet it.
@Suite struct CommandTests {
    private static let weight = weights([("BF16", 100_000, 200_000)])
    private static let files = [
        "model.safetensors": weight, "pytorch_model.bin": [UInt8](repeating: 7, count: 5000),
        "config.json": json("{\"architectures\": [\"L\\u001b[31m\\u202e\"], \"model_type\": \"llama\"}"),
    ]

    @Test func document() throws {
        try withModel(Self.files) { model in
            let run = try model.run(["acme/x", "--json"])
            #expect(run.status == 0 && run.errors.isEmpty)
            let document = try run.json
            #expect(document["schema"] as? String == "hfjanitor.preview/1")
            #expect(document["repo"] as? String == "model/acme/x" && document["revision"] as? String == "main")
            #expect(document["commit"] as? String == model.hub.commit.hex && document["files"] as? Int == 3)
            let parameters = try #require(document["parameters"] as? [String: Any])
            #expect(parameters["by_dtype"] as? [String: Int] == ["BF16": 100_000])
            let memory = try #require(document["memory"] as? [String: Any])
            #expect((memory["int4"] as? [String: Any])?["weights_bytes"] as? Int == 50_000)
            #expect(memory["overhead_percent"] as? Int == 20)
            let disk = try #require(document["disk"] as? [String: Any])
            #expect(disk["here_bytes"] as? Int == 0 && disk["fits"] is Bool)
            #expect(disk["missing_bytes"] as? Int == document["bytes"] as? Int)
            // Nothing was made on the way.
            #expect((try? FileManager.default.contentsOfDirectory(atPath: model.folder.absolute("home").text)) == nil)
        }
    }

    @Test func text() throws {
        try withModel(Self.files) { model in
            let run = try model.run(["hf://acme/x@main"])
            #expect(run.status == 0 && run.errors.isEmpty)
            #expect(run.output.contains("parameters    100000 BF16"))
            #expect(run.output.contains("counted") && run.output.contains("pytorch_model.bin"))
            // Neither our colours nor the publisher's.
            #expect(!run.output.contains("\u{1b}") && run.output.contains("L\\x1B[31m\\xE2\\x80\\xAE"))
            let longest = run.output.split(separator: "\n").map(\.count).max() ?? 0
            #expect(longest <= 80, "\(run.output)")
        }
    }

    @Test func patternsThatNoFileFitsAreToldOf() throws {
        try withModel(Self.files) { model in
            for patterns in [["--include", "*.nope", "--exclude", "x"], ["--exclude", "*"]] {
                let run = try model.run(["acme/x"] + patterns)
                #expect(run.status == 66 && run.output.isEmpty, "\(run)")
                #expect(run.errors.contains("no file of model/acme/x@main is chosen by "), "\(run.errors)")
                #expect(run.errors.contains("'\(patterns[1])'"), "\(run.errors)")
            }
            let run = try model.run(["acme/x", "--include", "*.nope", "--json"])
            #expect(try run.status == 66 && run.json["error_code"] as? String == "entry_not_found")
        }
    }

    @Test func whatHelpsIsSaidOnce() throws {
        try withModel(Self.files) { model in
            let offline = try model.run(["acme/x"], environment: ["HF_HUB_OFFLINE": "1"]).errors
            #expect(offline.components(separatedBy: "unset").count == 2, "\(offline)")
            let absent = try model.run(["acme/none"]).errors
            #expect(absent.components(separatedBy: "check the name").count == 2, "\(absent)")
        }
    }

    @Test func exitCodes() throws {
        try withModel(Self.files) { model in
            #expect(try model.run(["acme/none"]).status == 66)
            #expect(try model.run(["acme/x", "--revision", "none"]).status == 66)
            #expect(try model.run(["acme/x", "--type", "dataset"]).status == 66)
            #expect(try model.run(["dataset/acme/x"]).status == 66)
            for wrong in [["a//b"], [], ["acme/x", "--type", "thing"], ["acme/x@a", "--revision", "b"]] {
                #expect(try model.run(wrong).status == 64)
            }
            let offline = try model.run(["acme/x", "--json"], environment: ["HF_HUB_OFFLINE": "1"])
            #expect(offline.status == 69 && offline.errors.contains("offline: "))
            #expect(try offline.json["error_code"] as? String == "offline")
            let policy = model.folder.absolute("policy.yaml").text
            try model.folder.write("policy.yaml", Array("mode: [\n".utf8))
            #expect(try model.run(["acme/x", "--policy", policy]).status == 78)
            #expect(try model.run(["acme/x", "--cache", "/nowhere/at/all"]).status == 66)
        }
    }

    /// Of a gated repo the listing is public: it is shown, and the exit status says that the content is not.
    @Test func gated() throws {
        try withModel(Self.files) { model in
            try model.refuse("*/resolve/*", 403, "GatedRepo")
            let run = try model.run(["acme/x", "--json"])
            #expect(run.status == 77 && run.errors.contains("gated: ") && !run.errors.contains(secret))
            let document = try run.json
            #expect(document["error_code"] as? String == "gated" && document["files"] as? Int == 3)
        }
    }

    /// The policy's endpoints are asked, and only the Hub's own sees the token.
    @Test(arguments: [true, false]) func endpoints(isOwn: Bool) throws {
        try withModel(Self.files) { model in
            let url = isOwn ? model.hub.hub : model.hub.other
            let text = "mode: observe\nrepair: {endpoints: [\"\(url)\"]}\n"
            try model.folder.write("policy.yaml", Array(text.utf8))
            let run = try model.run(["acme/x", "--policy", model.folder.absolute("policy.yaml").text])
            let origins = try model.hub.originsWithToken()
            #expect(run.status == 0 && origins == (isOwn ? ["hub"] : []), "\(run.errors)")
        }
    }

    /// What is here already, in the repo or in the store that all share, need not be fetched.
    @Test func whatIsHere() throws {
        try withModel(Self.files) { model in
            try withTestCache { cache in
                _ = try cache.repo("acme/x").blob(Self.weight)
                let run = try model.run(["acme/x", "--json", "--cache", cache.path.text])
                let disk = try #require(try run.json["disk"] as? [String: Any])
                #expect(disk["here_bytes"] as? Int == Self.weight.count)
                #expect(try run.json["bytes"] as? Int == (disk["missing_bytes"] as? Int ?? 0) + Self.weight.count)
                #expect(disk["cache"] as? String == cache.path.text)
                #expect(try model.run(["acme/x", "--cache", cache.path.text]).output.contains("are here"))
            }
        }
    }

    /// The floor is the larger of what the policy says.
    @Test(arguments: [
        ("min-free: 98%", "min-free", false), ("critical-free: 1B", "critical-free", true),
        ("critical-free: 99%", "critical-free", false),
    ])
    func floor(limits: String, expected: String, fits: Bool) throws {
        try withModel(Self.files) { model in
            try withTestCache { cache in
                let policy = "mode: observe\ncaches:\n  - {path: \(cache.path.text), \(limits)}\n"
                try model.folder.write("policy.yaml", Array(policy.utf8))
                let run = try model.run(["acme/x", "--json", "--policy", model.folder.absolute("policy.yaml").text])
                let disk = try #require(try run.json["disk"] as? [String: Any], "\(run.errors)")
                #expect(disk["floor"] as? String == expected && disk["fits"] as? Bool == fits)
            }
        }
    }
}
