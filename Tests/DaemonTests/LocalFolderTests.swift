import Foundation
import HubCache
import TestSupport
import Testing

/// The folders of `local-dirs`.
@Suite(.serialized) struct LocalFolderTests {
    @Test func weightsInLocalFoldersAreVerified() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.outer.makeFolder("local/org/sound")
            try cache.outer.makeFolder("local/org/cut")
            let weights = safetensors([("a", Array(repeating: 1, count: 100))])
            try cache.outer.write("local/org/sound/model.safetensors", weights)
            try cache.outer.write("local/org/cut/model.safetensors", Array(weights.dropLast(10)))
            let policy = cache.outer.path.appending("policy.yaml")
            func listing(_ folders: String) -> String {
                "mode: observe\ncaches:\n  - {path: \(cache.path.text), local-dirs: [\(folders)]}\n"
            }
            let local = cache.outer.path.appending("local").text
            try cache.outer.write("policy.yaml", listing("\(local), \(local)-absent"))
            let daemon = try RunningTestDaemon(
                cache: nil, policy: policy, state: cache.outer.path.appending("state"))
            let said = try daemon.wait(for: "finding") { $0.code == "truncated" }
            #expect(said.repo == "local:\(local)/org/cut")
            try daemon.wait(for: "watch-degraded") { $0.code == "local-dir" && $0.message.contains("-absent") }
            #expect(daemon.events.filter { $0.event == "finding" }.count == 1)
            // It is looked at anew after an edit.
            try cache.outer.write("local/org/cut/model.safetensors", weights)
            try cache.outer.write("policy.yaml", listing("\"\(local)\""))
            try daemon.wait(for: "finding-cleared") { $0.repo == "local:\(local)/org/cut" }
            #expect(daemon.standing.isEmpty)
            #expect(daemon.stop() == 0)
        }
    }
}
