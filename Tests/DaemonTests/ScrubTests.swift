import HubCache
import TestSupport
import Testing

/// The background digest pass.
@Suite(.serialized) struct ScrubTests {
    @Test func aFlippedBitIsFoundOncePerPeriod() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model(commit(2))
            let repo = cache.repo("org/flipped")
            try repo.flipBit(of: repo.model()[1])
            try cache.outer.write(
                "policy.yaml", "mode: observe\nverify: {scrub-every: 1d, io-pressure-max: 100%}\n")
            let policy = cache.outer.path.appending("policy.yaml")
            let state = cache.outer.path.appending("state")
            let daemon = try RunningTestDaemon(cache: cache.path, policy: policy, state: state)
            let finding = try daemon.wait(for: "finding") { $0.code == "digest-mismatch" }
            #expect(finding.repo == "model/org/flipped")
            let finished = try daemon.wait(for: "scrub-finished")
            #expect(finished.numbers["checked"] == 2)
            #expect(daemon.stop() == 0)

            // What it found is remembered, and the next one is not due.
            let next = try RunningTestDaemon(cache: cache.path, policy: policy, state: state)
            try next.wait(for: "finding") { $0.code == "digest-mismatch" }
            try next.wait(for: "daemon-ready")
            try cache.repo("org/new").model(commit(3))
            try next.wait(for: "arrived")
            #expect(next.stop() == 0)
            #expect(!next.events.contains { $0.event == "scrub-finished" })
        }
    }
}
