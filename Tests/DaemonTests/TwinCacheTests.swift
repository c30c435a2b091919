import Foundation
import HubCache
import TestSupport
import Testing

/// Caches that lead to the same folder, or to another one than before.
@Suite(.serialized) struct TwinCacheTests {
    private static let settings =
        "min-age: 0s, recent-use: 0s, irreplaceable: evict, assume-unused-after: 7d"

    @Test func aCacheListedTwiceIsOne() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            cache.outer.delete(repo.place("blobs").appending(entries[1].etag))
            let orphan = try repo.blob(Array("nobody links to this".utf8))
            try cache.outer.link("other", to: "hub")
            let other = cache.outer.path.appending("other")
            try cache.outer.write(
                "policy.yaml",
                """
                mode: enforce
                caches:
                  - {path: \(cache.path.text), \(Self.settings)}
                  - {path: \(other.text), \(Self.settings)}
                rules:
                  - {name: orphans, match: {state: orphan}, older-than: 2s}

                """)
            let daemon = try RunningTestDaemon(
                cache: nil, policy: cache.outer.path.appending("policy.yaml"),
                state: cache.outer.path.appending("state"))
            let said = try daemon.wait(for: "watch-degraded") { $0.code == "listed-twice" }
            #expect(said.message.contains(other.text))
            // Both entries would lock each other out of this.
            try daemon.wait(for: "removed")
            #expect(!cache.outer.exists(repo.place("blobs").appending(orphan)))
            #expect(daemon.wait { daemon.standing == (try? verified(cache)) })
            // The first is gone from the policy: the other counts.
            try cache.outer.write(
                "policy.yaml", "mode: observe\ncaches:\n  - {path: \(other.text)}\n")
            try daemon.wait(for: "policy-applied") { $0.message.contains("changed") }
            let next = try cache.repo("org/next").model(commit(2))
            cache.outer.delete(cache.repo("org/next").place("blobs").appending(next[1].etag))
            try daemon.wait(for: "finding") { $0.repo == "model/org/next" }
            #expect(daemon.wait { daemon.standing == (try? verified(cache)) }, "\(daemon.text)")
            #expect(daemon.stop() == 0)
        }
    }

    @Test func aLinkThatLeadsElsewhereTakesItsFindingsAlong() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            cache.outer.delete(repo.place("blobs").appending(entries[1].etag))
            try cache.outer.makeFolder("empty")
            try cache.outer.link("current", to: "hub")
            let daemon = try RunningTestDaemon(
                cache: cache.outer.path.appending("current"), state: cache.outer.path.appending("state"))
            try daemon.wait(for: "finding") { $0.repo == "model/org/model" }
            try cache.outer.link("next", to: "empty")
            try cache.outer.move("next", to: "current")
            try daemon.wait(for: "finding-cleared") { $0.repo == "model/org/model" }
            #expect(daemon.wait { daemon.standing.isEmpty }, "\(daemon.text)")
            #expect(daemon.stop() == 0)
        }
    }
}
