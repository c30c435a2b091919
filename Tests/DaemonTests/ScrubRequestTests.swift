import Foundation
import HubCache
import TestSupport
import Testing

@testable import Daemon

/// A digest pass that somebody asks for, and takes back.
@Suite(.serialized) struct ScrubRequestTests {
    private static let slow = "mode: observe\nverify: {rate: 1MB/s, io-pressure-max: 100%}\n"

    private func start(_ loop: LoopInProcess) throws { try loop.ask { $0.caches.forEach($0.startScrub) } }

    private func cancel(_ loop: LoopInProcess) throws { try loop.ask { $0.caches.forEach($0.cancelScrub) } }

    /// A model whose one file takes a while at the slow rate.
    private func large(_ cache: TestCache, _ name: String) throws {
        let repo = cache.repo(name)
        try repo.file("model.bin", [UInt8](repeating: 7, count: 40_000_000), at: commit(1))
        try repo.ref("main", commit(1))
    }

    /// The files of a cache that this process has open.
    private func openBlobs(_ cache: TestCache) -> [String] {
        let numbers = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        return numbers.compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)") }
            .filter { $0.hasPrefix(cache.path.text) && $0.contains("/blobs/") }
    }

    @Test func withoutAPeriodItRunsWhenAsked() throws {
        try withTestCache { cache in
            let repo = cache.repo("org/flipped")
            let shard = try repo.model()[1]
            try repo.flipBit(of: shard)
            let loop = try LoopInProcess(cache: cache, policy: "mode: observe\nverify: {io-pressure-max: 100%}\n")
            try loop.wait { try loop.ask { $0.isReady && $0.caches[0].scrub.isLoaded } }
            #expect(try loop.scrub()["state"] as? String == "never")
            try start(loop)
            try loop.wait { try loop.scrub()["finished"] is String }
            let scrub = try loop.scrub()
            #expect(scrub["state"] as? String == "idle")
            #expect(scrub["repos_done"] as? Int == 1)
            #expect(scrub["revisions"] as? Int == 1)
            #expect(scrub["bytes"] as? Int ?? 0 >= shard.content.count)
            #expect(scrub["next_due"] is NSNull)
            try loop.wait {
                let conditions = try loop.status()["conditions"] as? [[String: Any]] ?? []
                return conditions.contains { $0["code"] as? String == "digest-mismatch" }
            }
            try loop.wait {
                let work = try loop.status()["work"] as? [String: Any]
                return (work?["scrub"] as? [[String: Any]])?.first?["finished"] is String
            }
            try loop.stop()
        }
    }

    @Test func aCancelledOneStopsReadingAndBeginsAnew() throws {
        try withTestCache { cache in
            try large(cache, "org/large")
            let loop = try LoopInProcess(cache: cache, policy: Self.slow)
            try start(loop)
            // Headers are read at the start too.
            try loop.wait { try loop.scrub()["state"] as? String == "running" && !openBlobs(cache).isEmpty }
            try cancel(loop)
            try loop.wait { openBlobs(cache).isEmpty }
            try loop.wait { try loop.ask { !$0.caches[0].scrub.isBusy } }
            var scrub = try loop.scrub()
            #expect(scrub["state"] as? String == "idle")
            #expect(scrub["cancelled"] is String)
            #expect(scrub["finished"] is NSNull)
            // Whether it is done with is no matter of the same process.
            try loop.stop()
            let next = try LoopInProcess(cache: cache, policy: Self.slow)
            try next.wait { try next.ask { $0.isReady && $0.caches[0].scrub.isLoaded } }
            #expect(try next.scrub()["state"] as? String == "idle")
            try start(next)
            scrub = try next.scrub()
            #expect(scrub["state"] as? String == "running")
            #expect(scrub["repos_done"] as? Int == 0)
            #expect(scrub["cancelled"] is NSNull)
            try next.stop()
            #expect(openBlobs(cache).isEmpty)
        }
    }

    @Test func itGoesOnAfterARestart() throws {
        try withTestCache { cache in
            try cache.repo("org/a-small").model()
            try large(cache, "org/b-large")
            let loop = try LoopInProcess(cache: cache, policy: Self.slow)
            try start(loop)
            try loop.wait { try loop.scrub()["repos_done"] as? Int == 1 }
            let begun = try loop.scrub()["begun"] as? String
            try loop.stop()
            let next = try LoopInProcess(
                cache: cache, policy: "mode: observe\nverify: {rate: 1GB/s, io-pressure-max: 100%}\n")
            try next.wait { try next.scrub()["finished"] is String }
            let scrub = try next.scrub()
            #expect(scrub["begun"] as? String == begun)
            #expect(scrub["revisions"] as? Int == 2)
            #expect(scrub["repos_done"] as? Int == 2)
            try next.stop()
        }
    }
}
