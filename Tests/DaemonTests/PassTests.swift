import CacheScan
import CacheWatch
import Enforcement
import Foundation
import HubCache
import Ledger
import LinuxIO
import PolicyFile
import Retention
import SystemdSupport
import TestSupport
import Testing

@testable import Daemon

/// When passes end, what they know, and who else may be at work.
@Suite(.serialized) struct PassTests {
    private static let observing = "mode: observe\n"

    private func withLoop(_ body: (TestCache, LoopInProcess) throws -> Void) throws {
        try withTestCache { cache in
            try cache.repo().model()
            let loop = try LoopInProcess(cache: cache, policy: Self.observing)
            try loop.wait { try loop.ask { $0.isReady } }
            try body(cache, loop)
            try loop.stop()
        }
    }

    private static func reading(_ text: String, _ file: BytePath) throws -> LoadedPolicy {
        try PolicyParser().policy([PolicySource(file: file, bytes: Array(text.utf8))])
    }

    /// How long free space is left alone depends on how far it is from the floor: nobody writes faster than 1 GB/s.
    @Test(arguments: [(0, 60), (10, 60), (11, 2), (12, 2), (40, 30), (70, 60), (900, 60)])
    func spaceIsLookedAtBeforeTheFloor(gigabytesFree: UInt64, seconds: UInt64) {
        let gigabyte: UInt64 = 1_000_000_000
        let look = SpaceLook(free: gigabytesFree * gigabyte, total: 1000 * gigabyte, filesystem: 1, present: [:])
        #expect(look.rest(above: 10 * gigabyte) == seconds * 1_000_000_000)
    }

    @Test func anEditEndsThePassThatIsUnderWay() throws {
        try withLoop { cache, loop in
            let file = cache.outer.path.appending("policy.yaml")
            let same = try Self.reading(Self.observing, file)
            let pinning = try Self.reading(Self.observing + "pins:\n  - {repo: org/model}\n", file)
            let running = RunningPass(number: .max, runner: 0, cancellation: Cancellation())
            let ended = try loop.ask { loop in
                loop.passes[.max] = PassSchedule(running: running)
                loop.takePolicy(.success(same), .request(0))
                let before = running.cancellation.isCancelled
                loop.takePolicy(.success(pinning), .edit)
                return [before, running.cancellation.isCancelled]
            }
            #expect(ended == [false, true])
        }
    }

    @Test func aPassOfACacheThatIsDroppedIsNotWaitedFor() throws {
        try withLoop { _, loop in
            let isRunning = try loop.ask { loop in
                let number = loop.caches[0].number
                loop.passes[.max] = PassSchedule(
                    running: RunningPass(number: .max, runner: number, cancellation: Cancellation()))
                loop.forgetPasses(of: loop.caches[0])
                return loop.passes[.max]?.isRunning
            }
            #expect(isRunning == false)
        }
    }

    /// What was opened in the last half minute is known before anything is judged.
    @Test func whatWasJustOpenedIsWrittenBeforeAPass() throws {
        try withLoop { cache, loop in
            let root = try CacheRoot(opening: cache.path).path
            let time = currentTime()
            let first = try #require(CommitHash(commit(1)))
            let found = try loop.ask { loop in
                let watched = loop.caches[0]
                loop.noteOpen(.snapshotFile(repo: "models--org--model", commit: first), of: watched, at: time)
                let order = loop.passOrder(for: [watched])
                order.catchUp()
                return loop.ledger.lastOpens(cache: root)["models--org--model"]?[.revision(first)]?.time
            }
            #expect(found == time)
        }
    }

    @Test func aFloorThatNobodyHasAnyMoreEnds() throws {
        try withLoop { cache, loop in
            let file = cache.outer.path.appending("policy.yaml")
            let other = try Self.reading(Self.observing + "edit-grace: 1m\n", file)
            try loop.wait { try loop.ask { $0.caches[0].filesystem != nil } }
            let left = try loop.ask { loop in
                let group = loop.caches[0].filesystem ?? 0
                for (scope, code) in [(group, "floor-breached"), (group, "pass-busy"), (.max, "critical-free")] {
                    loop.raise(
                        Condition(
                            .init(scope: "filesystem \(scope)", code: code),
                            event: JournalEvent(.floorBreached, "below", EventFields())))
                }
                loop.takePolicy(.success(other), .edit)
                return loop.conditions.open.map(\.condition.identity).filter { $0.scope.hasPrefix("filesystem") }
                    .map(\.code)
            }
            #expect(left == ["pass-busy"])
        }
    }

    /// Caches on one filesystem share what is free: the highest floor counts, whoever is looked at.
    @Test func theHighestFloorOfAFilesystemCounts() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.outer.makeFolder("low/models--a--b")
            let low = cache.outer.path.appending("low")
            let policy = """
                mode: observe
                caches:
                  - {path: \(low.text), min-free: 1MB}
                  - {path: \(cache.path.text), min-free: 99%, target-free: 100%}
                """
            let loop = try LoopInProcess(cache: cache, policy: policy, caches: [low, cache.path])
            try loop.wait { try loop.ask { $0.isReady && $0.caches.allSatisfy { $0.filesystem != nil } } }
            let isBreached = try loop.ask { loop in
                loop.caches.map { watched in
                    let look = SpaceLook(
                        free: 50_000_000_000, total: 1_000_000_000_000, filesystem: watched.filesystem ?? 0,
                        present: [:])
                    loop.take(look, of: watched, [])
                    return loop.conditions.open.contains { $0.condition.identity.code == "floor-breached" }
                }
            }
            #expect(isBreached == [true, true])
            try loop.stop()
        }
    }

    @Test func theSameCacheTwiceIsInNobodysWay() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let root = try CacheRoot(opening: cache.path)
            let lock = PassLock([root, root])
            #expect(lock != nil)
            #expect(PassLock([root]) == nil)
            withExtendedLifetime(lock) {}
        }
    }

    @Test func aLockedCacheIsTriedAgainAndTold() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let lock = PassLock([try CacheRoot(opening: cache.path)])
            let loop = try LoopInProcess(
                cache: cache, policy: "mode: enforce\nrules:\n  - {name: orphans, match: {state: orphan}}\n")
            for count in 1...3 {
                try loop.wait { try loop.ask { $0.passes.values.contains { $0.busyTries >= count } } }
                let isAgain = try loop.ask { loop in
                    for group in loop.passes.keys {
                        guard loop.passes[group]?.next != nil else { return false }
                        loop.passes[group]?.next = 0
                    }
                    return true
                }
                #expect(isAgain)
            }
            #expect(
                try loop.ask { loop in
                    loop.conditions.open.contains { $0.condition.identity.code == "pass-busy" }
                })
            withExtendedLifetime(lock) {}
            try loop.stop()
        }
    }

    @Test func oneDaemonLeavesTheOthersStatusAlone() throws {
        try withTestFolder { folder in
            try folder.write("daemon.json", "{\"pid\":1,\"uid\":0}")
            StatusFile.remove(in: folder.path)
            #expect(folder.exists("daemon.json"))
            StatusFile.write(.map([("pid", .number(Int64(getpid()))), ("uid", .null)]), in: folder.path)
            StatusFile.remove(in: folder.path)
            #expect(!folder.exists("daemon.json"))
        }
    }
}
