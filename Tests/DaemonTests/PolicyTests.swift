import Foundation
import HubCache
import TestSupport
import Testing

/// A daemon whose policy is edited, and the commands that talk to it.
@Suite(.serialized) struct PolicyTests {
    @Test func editsTakeEffectAndBadOnesDoNot() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let policy = cache.outer.path.appending("policy.yaml")
            let state = cache.outer.path.appending("state")
            try cache.outer.write("policy.yaml", "mode: observe\n")
            let daemon = try RunningTestDaemon(cache: cache.path, policy: policy, state: state)
            try daemon.wait(for: "daemon-ready")

            try cache.outer.write("policy.yaml", "mode: observe\npins:\n  - {repo: org/model}\n")
            let applied = try daemon.wait(for: "policy-applied")
            #expect(applied.message.contains("pin added: org/model"))

            try cache.outer.write("policy.yaml", "mode: observe\nrulez: []\n")
            let rejected = try daemon.wait(for: "policy-rejected")
            #expect(rejected.message.contains("policy.yaml:2:1"))
            #expect(rejected.message.contains("rules"))
            // What it tells of itself follows the event.
            func verdict() -> [String: Any]? {
                ((try? status(state))?["daemon"] as? [String: Any])?["policy"] as? [String: Any]
            }
            #expect(daemon.wait { verdict()?["ok"] as? Bool == false })
            #expect((verdict()?["error"] as? String)?.contains("policy.yaml:2:1") ?? false)

            for (name, content) in [("emptied", ""), ("vanished", nil)] {
                let mark = daemon.mark
                if let content {
                    try cache.outer.write("policy.yaml", content)
                } else {
                    cache.outer.delete("policy.yaml")
                }
                try daemon.wait(for: "policy-rejected", after: mark)
                #expect(daemon.isRunning, "\(name)")
            }
            let mark = daemon.mark
            try cache.outer.write("policy.yaml", "mode: observe\n")
            let again = try daemon.wait(for: "policy-applied", after: mark)
            #expect(again.message.contains("pin removed: org/model"))
            #expect(daemon.stop() == 0)
        }
    }

    @Test func reloadTellsTheVerdict() throws {
        try withTestCache { cache in
            let policy = cache.outer.path.appending("policy.yaml")
            let state = cache.outer.path.appending("state")
            let environment = ["XDG_STATE_HOME": state.text]
            #expect(try Program.run(["reload"], environment: environment).status == 69)
            try cache.outer.write("policy.yaml", "mode: observe\n")
            let daemon = try RunningTestDaemon(cache: cache.path, policy: policy, state: state)
            try daemon.wait(for: "daemon-ready")
            #expect(daemon.wait { (try? status(state)["daemon"]) is [String: Any] })
            #expect(try Program.run(["reload"], environment: environment).status == 0)
            try cache.outer.write("policy.yaml", "mode: [\n")
            let bad = try Program.run(["reload"], environment: environment)
            #expect(bad.status == 78)
            #expect(bad.errors.contains("policy.yaml:"))
            try cache.outer.write("policy.yaml", "mode: observe\n")
            daemon.signal(SIGHUP)
            try daemon.wait(for: "policy-applied", after: daemon.mark - 1)
            #expect(try Program.run(["reload"], environment: environment).status == 0)
            #expect(daemon.stop() == 0)
            #expect(try status(state)["daemon"] is NSNull)
            #expect(try Program.run(["reload"], environment: environment).status == 69)
        }
    }

    @Test func aBadPolicyAtTheStartIs78() throws {
        try withTestCache { cache in
            let policy = cache.outer.path.appending("policy.yaml")
            try cache.outer.write("policy.yaml", "mode: maybe\n")
            let daemon = try RunningTestDaemon(
                cache: cache.path, policy: policy, state: cache.outer.path.appending("state"))
            #expect(daemon.waitForEnd() == 78)
            let rejected = try daemon.wait(for: "policy-rejected")
            #expect(rejected.message.contains("policy.yaml:1:7"))
        }
    }

    private func status(_ state: BytePath) throws -> [String: Any] {
        try Program.run(["status", "--json"], environment: ["XDG_STATE_HOME": state.text]).json
    }
}
