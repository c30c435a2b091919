import Foundation
import HubCache
import TestSupport
import Testing

/// What is said before it is too late: hardly any room, a Hub that would not give back what has to go, a memory that fails.
@Suite(.serialized) struct OutlookTests {
    private func start(_ cache: TestCache, _ policy: String, environment: [String: String] = [:]) throws
        -> RunningTestDaemon
    {
        try cache.outer.write("policy.yaml", policy)
        return try RunningTestDaemon(
            cache: nil, policy: cache.outer.path.appending("policy.yaml"),
            state: cache.outer.path.appending("state"), environment: environment)
    }

    private func floor(_ cache: TestCache, mode: String = "enforce", irreplaceable: String) -> String {
        """
        mode: \(mode)
        edit-grace: 0s
        caches:
          - {path: \(cache.path.text), min-free: 1kB, target-free: 2kB, min-age: 0s, recent-use: 0s, allow-empty: true,
             assume-unused-after: 7d, irreplaceable: \(irreplaceable)}

        """
    }

    @Test(arguments: ["enforce", "observe"]) func aSilentHubIsSaidWhileThereIsRoom(mode: String) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let files = try repo.model()
            let then = Int(Date().timeIntervalSince1970) - 40 * 86400
            for file in files {
                try cache.outer.setTimes(repo.place("blobs").appending(file.etag), accessed: then, modified: then)
            }
            // Nobody listens on the discard port.
            let environment = ["HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"]
            let daemon = try start(
                cache, floor(cache, mode: mode, irreplaceable: "keep"), environment: environment)
            let alarm = try daemon.wait(for: "floor-unreachable")
            #expect(alarm.code == "foreseen")
            #expect(alarm.message.contains("kept: the Hub does not answer"))
            #expect(alarm.message.contains("irreplaceable: evict"))
            #expect(alarm.numbers["bytes"] ?? 0 > 0)
            let mark = daemon.mark
            try cache.outer.write("policy.yaml", floor(cache, mode: mode, irreplaceable: "evict"))
            try daemon.wait(for: "floor-held", after: mark) { $0.code == "foreseen" }
            #expect(daemon.stop() == 0)
            #expect(daemon.events.count { $0.event == "floor-unreachable" } == 1)
            #expect(!daemon.events.contains { $0.event == "removed" })
            #expect(cache.outer.exists(repo.place("blobs").appending(files[1].etag)))
        }
    }

    @Test func offlineNobodyIsAsked() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let daemon = try start(
                cache, floor(cache, irreplaceable: "keep"), environment: ["HF_ENDPOINT": "http://127.0.0.1:9"])
            try daemon.wait(for: "daemon-ready")
            try cache.repo("org/marker").model(commit(2))
            try daemon.wait(for: "arrived") { $0.repo == "model/org/marker" }
            #expect(daemon.stop() == 0)
            #expect(!daemon.events.contains { $0.event == "floor-unreachable" })
        }
    }

    /// Whatever the mode is, and without a floor.
    @Test func hardlyAnyRoomIsAnAlarm() throws {
        try withTestCache { cache in
            try cache.repo().model()
            func policy(_ critical: String) -> String {
                "mode: observe\ncaches:\n  - {path: \(cache.path.text), critical-free: \(critical)}\n"
            }
            // More than any disk has.
            let daemon = try start(cache, policy("8000PB"))
            let alarm = try daemon.wait(for: "floor-breached")
            #expect(alarm.code == "critical-free")
            #expect(alarm.texts["level"] == "critical")
            #expect(alarm.numbers["free_bytes"] ?? 0 > 0)
            #expect(alarm.message.contains("hfjanitor plan"))
            try cache.outer.write("policy.yaml", policy("1kB"))
            try daemon.wait(for: "floor-held") { $0.code == "critical-free" }
            #expect(daemon.stop() == 0)
        }
    }

    @Test func aMemoryThatFailsIsACondition() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let orphan = try repo.blob(Array("nobody links to this".utf8))
            // A file where the folder should be.
            try cache.outer.write("state", "")
            let run = cache.outer.path.appending("run")
            try cache.outer.makeFolder("run")
            let daemon = try start(
                cache,
                """
                mode: enforce
                caches:
                  - {path: \(cache.path.text), min-age: 0s, irreplaceable: evict}
                rules:
                  - {name: orphans, match: {state: orphan}, older-than: 1s}

                """, environment: ["RUNTIME_DIRECTORY": run.text])
            let said = try daemon.wait(for: "watch-degraded") { $0.code == "ledger-unavailable" }
            #expect(said.texts["level"] == "error")
            #expect(said.message.contains("nothing is removed"))
            var status = try Program.run(["status", "--json"], environment: ["RUNTIME_DIRECTORY": run.text])
            let isShown = daemon.wait {
                status =
                    (try? Program.run(["status", "--json"], environment: ["RUNTIME_DIRECTORY": run.text])) ?? status
                let conditions = try? status.json["conditions"] as? [[String: Any]]
                return conditions?.contains { $0["code"] as? String == "ledger-unavailable" } ?? false
            }
            #expect(isShown, "\(status.output)")
            #expect(status.status == 1)
            #expect(daemon.stop() == 0)
            #expect(daemon.events.count { $0.code == "ledger-unavailable" } == 1)
            #expect(cache.outer.exists(repo.place("blobs").appending(orphan)))
        }
    }
}
