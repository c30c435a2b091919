import Foundation
import HubCache
import TestSupport
import Testing

/// The ways in which editors and tools write a policy.
@Suite(.serialized) struct EditingTests {
    private func text(_ pin: String) -> String { "mode: observe\npins:\n  - {repo: org/\(pin)}\n" }

    @Test func everyWayOfSavingTakesEffect() throws {
        try withTestCache { cache in
            let place = cache.outer.path.appending("policy.yaml").text
            try cache.outer.write("policy.yaml", text("first"))
            let daemon = try RunningTestDaemon(
                cache: cache.path, policy: cache.outer.path.appending("policy.yaml"),
                state: cache.outer.path.appending("state"))
            try daemon.wait(for: "daemon-ready")
            let ways: [(name: String, script: String)] = [
                ("renamed", "cat > \"$1.new\" && mv \"$1.new\" \"$1\""),
                ("truncated", "cat > \"$1\""),
                ("made-anew", "rm \"$1\"; sleep 0.3; cat > \"$1\""),
                ("backed-up", "mv \"$1\" \"$1~\"; cat > \"$1\"; chmod 644 \"$1\"; sleep 0.1; rm \"$1~\""),
                ("swapped", "cat > \"$1.swp\"; cp \"$1.swp\" \"$1\"; rm \"$1.swp\""),
            ]
            for way in ways {
                let mark = daemon.mark
                let process = Process()
                let input = Pipe()
                process.executableURL = URL(fileURLWithPath: "/bin/sh")
                process.arguments = ["-c", way.script, "editor", place]
                process.standardInput = input
                try process.run()
                input.fileHandleForWriting.write(Data(text(way.name).utf8))
                try input.fileHandleForWriting.close()
                process.waitUntilExit()
                let applied = try daemon.wait(for: "policy-applied", after: mark)
                #expect(applied.message.contains("pin added: org/\(way.name)"), "\(way.name): \(applied.message)")
            }
            #expect(!daemon.events.contains { $0.event == "policy-rejected" }, "\(daemon.text)")
            #expect(daemon.events.count { $0.event == "policy-applied" } == ways.count)
            #expect(daemon.stop() == 0)
        }
    }

    /// What is written piece by piece counts when it is whole.
    @Test func aSlowEditIsReadOnce() throws {
        try withTestCache { cache in
            try cache.outer.write("policy.yaml", text("first"))
            let daemon = try RunningTestDaemon(
                cache: cache.path, policy: cache.outer.path.appending("policy.yaml"),
                state: cache.outer.path.appending("state"))
            try daemon.wait(for: "daemon-ready")
            try cache.outer.resize("policy.yaml", to: 0)
            for line in ["mode: observe\n", "pins:\n", "  - {repo: org/", "slow}\n"] {
                try cache.outer.append("policy.yaml", Array(line.utf8))
                usleep(400_000)
            }
            let applied = try daemon.wait(for: "policy-applied")
            #expect(applied.message.contains("pin added: org/slow"))
            #expect(daemon.stop() == 0)
        }
    }
}
