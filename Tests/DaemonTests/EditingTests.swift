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

    /// As the kubelet writes a ConfigMap: a folder of a new name, then the link `..data` is renamed over the old one.
    @Test func aVolumeOfKubernetesIsSwappedLive() throws {
        try withTestCache { cache in
            let volume = cache.outer
            func write(_ version: BytePath, _ text: String?) throws {
                try volume.makeFolder(BytePath("etc").appending(version))
                try volume.chmod(BytePath("etc").appending(version), 0o755)
                if let text { try volume.write(BytePath("etc").appending(version).appending("policy.yaml"), text) }
            }
            func swap(to version: BytePath) throws {
                try volume.link("etc/..data_tmp", to: version)
                try volume.move("etc/..data_tmp", to: "etc/..data")
            }
            try volume.makeFolder("etc")
            try volume.chmod("etc", 0o755)
            try write("..1", text("first"))
            try volume.link("etc/..data", to: "..1")
            try volume.link("etc/policy.yaml", to: "..data/policy.yaml")
            let daemon = try RunningTestDaemon(
                cache: cache.path, policy: volume.path.appending("etc/policy.yaml"),
                state: volume.path.appending("state"))
            try daemon.wait(for: "daemon-ready")

            try write("..2", text("second"))
            var mark = daemon.mark
            try swap(to: "..2")
            volume.delete("etc/..1")
            var applied = try daemon.wait(for: "policy-applied", after: mark)
            #expect(applied.message.contains("pin added: org/second"), "\(applied.message)")

            // Without the file, a bad one, a folder that is gone: the last good one stays.
            for (version, text): (BytePath, String?) in [("..3", nil), ("..4", "mode: obsrve\n")] {
                try write(version, text)
                mark = daemon.mark
                try swap(to: version)
                try daemon.wait(for: "policy-rejected", after: mark)
            }
            mark = daemon.mark
            volume.delete("etc/..4")
            volume.delete("etc/..data")
            try daemon.wait(for: "policy-rejected", after: mark)
            #expect(
                !daemon.events.contains {
                    $0.event == "policy-applied" && $0.message.contains("pin removed: org/second")
                })

            mark = daemon.mark
            try write("..5", text("fifth"))
            try swap(to: "..5")
            applied = try daemon.wait(for: "policy-applied", after: mark)
            #expect(applied.message.contains("pin added: org/fifth"), "\(applied.message)")
            #expect(daemon.stop() == 0)
        }
    }
}
