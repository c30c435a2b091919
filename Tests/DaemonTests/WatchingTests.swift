import Foundation
import HubCache
import TestSupport
import Testing

/// A daemon on a cache that changes.
@Suite(.serialized) struct WatchingTests {
    @Test func aBrokenShardIsFoundAndItsRepairToo() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            let daemon = try RunningTestDaemon(cache: cache.path, state: cache.outer.path.appending("state"))
            try daemon.wait(for: "daemon-ready")
            #expect(daemon.standing.isEmpty)
            let shard = entries[1]
            let blob = repo.place("blobs").appending(shard.etag)
            try cache.outer.resize(blob, to: 10)
            let finding = try daemon.wait(for: "finding") { $0.code == "size-mismatch" }
            #expect(finding.repo == "model/org/model")
            #expect(finding.texts["blob"] == shard.etag)
            #expect(finding.texts["revision"] == commit(1))
            #expect(finding.texts["level"] == "error")
            try cache.outer.write(blob, shard.content)
            try daemon.wait(for: "finding-cleared") { $0.code == "size-mismatch" }
            #expect(daemon.wait { daemon.standing.isEmpty })
            #expect(daemon.stop() == 0)
            try daemon.wait(for: "daemon-stopping")
            #expect(!daemon.events.contains { $0.event == "arrived" })
        }
    }

    @Test func aNewModelArrives() throws {
        try withTestCache { cache in
            try cache.repo("org/first").model()
            let daemon = try RunningTestDaemon(cache: cache.path, state: cache.outer.path.appending("state"))
            try daemon.wait(for: "daemon-ready")
            try cache.repo("org/second").model(commit(2))
            let arrived = try daemon.wait(for: "arrived")
            #expect(arrived.repo == "model/org/second")
            #expect(arrived.texts["revision"] == commit(2))
            #expect(daemon.wait { daemon.standing.isEmpty })
            daemon.stop()
            #expect(daemon.events.count { $0.event == "arrived" } == 1)
        }
    }

    @Test func aDownloadUnderWayIsNoFindingUntilItDies() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let daemon = try RunningTestDaemon(cache: cache.path, state: cache.outer.path.appending("state"))
            try daemon.wait(for: "daemon-ready")
            let whole = ManifestEntry("model.safetensors", safetensors([("a", [1, 2, 3, 4])]))
            let config = ManifestEntry("config.json", Array("{}".utf8), isLFS: false)
            let lock = try HeldLock(cache.outer, repo.lockPlace(whole.etag))
            try repo.manifest(commit(1), [config, whole])
            try repo.ref("main", commit(1))
            try repo.file("config.json", config.content, at: commit(1), isLFS: false)
            try repo.partial(whole.etag)
            // Another repo's finding shows that the daemon has looked since.
            let other = cache.repo("org/other")
            let entries = try other.model(commit(2))
            cache.outer.delete(other.place("blobs").appending(entries[1].etag))
            try daemon.wait(for: "finding") { $0.repo == "model/org/other" }
            #expect(!daemon.standing.contains { $0.contains("org/model") })
            lock.release()
            try daemon.wait(for: "finding") { $0.repo == "model/org/model" && $0.code == "missing-file" }
            #expect(daemon.wait { daemon.standing == (try? verified(cache)) })
            daemon.stop()
        }
    }

    @Test func aStormEndsInTheTruth() throws {
        try withTestCache { cache in
            var models: [(TestRepo, [ManifestEntry], String)] = []
            for number in 0..<12 {
                let repo = cache.repo("org/m\(number)")
                models.append((repo, try repo.model(commit(number % 9 + 1)), commit(number % 9 + 1)))
            }
            let daemon = try RunningTestDaemon(cache: cache.path, state: cache.outer.path.appending("state"))
            try daemon.wait(for: "daemon-ready")
            var random = SystemRandomNumberGenerator()
            for _ in 0..<400 {
                let (repo, entries, revision) = models[Int.random(in: 0..<models.count, using: &random)]
                let entry = entries[Int.random(in: 0..<entries.count, using: &random)]
                let blob = repo.place("blobs").appending(entry.etag)
                switch Int.random(in: 0..<6, using: &random) {
                case 0: cache.outer.delete(blob)
                case 1: try cache.outer.write(blob, entry.content)
                case 2: try cache.outer.write(blob, Array(entry.content.prefix(3)))
                case 3: cache.outer.delete(repo.snapshot(revision, BytePath(entry.path)))
                case 4: try repo.ref("main", revision)
                default: try repo.blob(Array("stray \(Int.random(in: 0..<5, using: &random))".utf8))
                }
            }
            #expect(daemon.wait { daemon.standing == (try? verified(cache)) }, "\(daemon.text)")
            for (repo, entries, revision) in models {
                cache.outer.delete(cache.place(repo.folder))
                _ = try repo.model(revision, shards: entries.count - 2)
            }
            #expect(
                daemon.wait { daemon.standing.isEmpty && (try? verified(cache))?.isEmpty ?? false }, "\(daemon.text)")
            #expect(daemon.stop() == 0)
        }
    }

    @Test func anAbsentCacheIsWaitedFor() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            cache.outer.delete(repo.place("blobs").appending(entries[1].etag))
            try cache.outer.move("hub", to: "elsewhere")
            let daemon = try RunningTestDaemon(cache: cache.path, state: cache.outer.path.appending("state"))
            try daemon.wait(for: "daemon-ready")
            try daemon.wait(for: "watch-degraded") { $0.code == "absent" }
            try cache.outer.move("elsewhere", to: "hub")
            try daemon.wait(for: "finding") { $0.repo == "model/org/model" }
            #expect(daemon.wait { daemon.standing == (try? verified(cache)) })
            // Gone again, and another one in its place.
            let mark = daemon.mark
            try cache.outer.move("hub", to: "elsewhere")
            try daemon.wait(for: "watch-degraded", after: mark) {
                $0.code == "absent" && $0.texts["level"] == "warning"
            }
            try cache.outer.makeFolder("hub")
            #expect(daemon.wait { daemon.standing.isEmpty }, "\(daemon.text)")
            #expect(daemon.stop() == 0)
        }
    }

    @Test func aRestartRemembersWhatWasThere() throws {
        try withTestCache { cache in
            try cache.repo("org/first").model()
            let state = cache.outer.path.appending("state")
            let first = try RunningTestDaemon(cache: cache.path, state: state)
            try first.wait(for: "daemon-ready")
            first.stop()
            try cache.repo("org/second").model(commit(2))
            let second = try RunningTestDaemon(cache: cache.path, state: state)
            let arrived = try second.wait(for: "arrived")
            #expect(arrived.repo == "model/org/second")
            try second.wait(for: "daemon-ready")
            second.stop()
            #expect(second.events.count { $0.event == "arrived" } == 1)
        }
    }

    @Test func aKilledDaemonIsFollowedByASoundOne() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let state = cache.outer.path.appending("state")
            for _ in 0..<3 {
                let daemon = try RunningTestDaemon(cache: cache.path, state: state)
                try daemon.wait(for: "daemon-ready")
                daemon.signal(SIGKILL)
                #expect(daemon.waitForEnd() == 128 + SIGKILL)
            }
            let last = try RunningTestDaemon(cache: cache.path, state: state)
            try last.wait(for: "daemon-ready")
            #expect(last.standing.isEmpty)
            #expect(last.stop() == 0)
        }
    }
}
