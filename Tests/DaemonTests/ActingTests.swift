import Foundation
import HubCache
import TestSupport
import Testing

/// A daemon that removes.
@Suite(.serialized) struct ActingTests {
    private func policy(_ cache: TestCache, mode: String = "enforce", more: String = "", rules: String) throws
        -> BytePath
    {
        try cache.outer.write(
            "policy.yaml",
            """
            mode: \(mode)
            caches:
              - path: \(cache.path.text)
                min-age: 0s
                recent-use: 0s
                irreplaceable: evict
                assume-unused-after: 7d
            \(more)
            rules:
            \(rules)

            """)
        return cache.outer.path.appending("policy.yaml")
    }

    private static let orphans = "  - {name: orphans, match: {state: orphan}, older-than: 2s}"

    @Test func anAgeRuleFiresWithoutAnEvent() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let orphan = try repo.blob(Array("nobody links to this".utf8))
            let policy = try policy(cache, rules: Self.orphans)
            let daemon = try RunningTestDaemon(
                cache: nil, policy: policy, state: cache.outer.path.appending("state"))
            let removed = try daemon.wait(for: "removed")
            #expect(removed.texts["rule"] == "orphans")
            #expect(removed.repo == "model/org/model")
            #expect(removed.numbers["bytes"] ?? 0 > 0)
            #expect(!cache.outer.exists(repo.place("blobs").appending(orphan)))
            #expect(daemon.wait { daemon.standing == (try? verified(cache)) })
            #expect(daemon.stop() == 0)
        }
    }

    @Test func observingRemovesNothingAndSaysItOnce() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let orphan = try repo.blob(Array("nobody links to this".utf8))
            let policy = try policy(cache, mode: "observe", rules: Self.orphans)
            let daemon = try RunningTestDaemon(
                cache: nil, policy: policy, state: cache.outer.path.appending("state"))
            let said = try daemon.wait(for: "kept") { $0.code == "observe" }
            #expect(said.message.contains("would remove"))
            // A change has it planned anew.
            try cache.repo("org/new").model(commit(2))
            try daemon.wait(for: "arrived")
            daemon.signal(SIGHUP)
            try daemon.wait(for: "policy-applied")
            #expect(daemon.stop() == 0)
            #expect(cache.outer.exists(repo.place("blobs").appending(orphan)))
            #expect(daemon.events.count { $0.event == "kept" && $0.code == "observe" } == 1)
            #expect(!daemon.events.contains { $0.event == "removed" })
        }
    }

    /// A stop while something is parked puts it back, or finds it gone: never half of it.
    @Test func aStopInTheMiddleOfARemovalLeavesNothingHalfDone() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let old = try repo.model(commit(2), shards: 3, withManifest: true)
            try repo.ref("main", commit(1))
            // What the daemon reads itself is in use to its first pass, and on a busy machine the next one comes late.
            let policy = try policy(
                cache,
                rules: """
                      - {name: detached, match: {state: detached}, unused-for: 1s}
                    verify: {on-arrival: structure}
                    """)
            for file in old {
                let blob = repo.place("blobs").appending(file.etag)
                try cache.outer.setTimes(blob, accessed: 1_600_000_000, modified: 1_600_000_000)
            }
            Thread.sleep(forTimeInterval: 1.1)
            let daemon = try RunningTestDaemon(
                cache: nil, policy: policy, state: cache.outer.path.appending("state"))
            #expect(daemon.wait { cache.outer.exists(repo.place(".hfjanitor")) }, "\(daemon.text)")
            let began = Date()
            #expect(daemon.stop() == 0)
            #expect(Date().timeIntervalSince(began) < 20)
            #expect(!cache.outer.exists(repo.place(".hfjanitor")))
            let run = try Program.run(["verify", "--json", "--cache", cache.path.text])
            #expect(run.status == 0, "\(run.output)")
            if !daemon.events.contains(where: { $0.event == "removed" }) {
                for file in old { #expect(cache.outer.exists(repo.snapshot(commit(2), BytePath(file.path)))) }
            }
        }
    }

    /// What a killed daemon began, the next one ends, in mode observe too.
    @Test func aKilledRemovalIsEndedByTheNextStart() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            for file in try repo.model(commit(2), shards: 3) {
                let blob = repo.place("blobs").appending(file.etag)
                try cache.outer.setTimes(blob, accessed: 1_600_000_000, modified: 1_600_000_000)
            }
            try repo.ref("main", commit(1))
            let state = cache.outer.path.appending("state")
            let enforcing = try policy(
                cache, rules: "  - {name: detached, match: {state: detached}, unused-for: 1s}")
            let daemon = try RunningTestDaemon(cache: nil, policy: enforcing, state: state)
            #expect(daemon.wait { cache.outer.exists(repo.place(".hfjanitor")) }, "\(daemon.text)")
            daemon.signal(SIGKILL)
            _ = daemon.waitForEnd()
            let observing = try policy(cache, mode: "observe", rules: Self.orphans)
            let next = try RunningTestDaemon(cache: nil, policy: observing, state: state)
            try next.wait(for: "daemon-ready")
            #expect(!cache.outer.exists(repo.place(".hfjanitor")))
            #expect(next.wait { next.standing == (try? verified(cache)) }, "\(next.text)")
            #expect(next.stop() == 0)
        }
    }
}
