import Foundation
import HubCache
import LinuxIO
import TestSupport
import Testing

@testable import CacheWatch

@Suite struct RootTests {
    private func root(_ cache: TestCache, _ change: RootChange) -> WatchEvent { .root(cache: cache.path, change) }

    @Test func replaced() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let watch = try Watch(cache.path)
            try cache.outer.move("hub", to: "old")
            // At once, so that the name is never seen without a folder; or seen, which is as good.
            try cache.outer.makeFolder("hub")
            try repo.ref("main", commit(1))
            try watch.wait("the other root") { events in
                events.contains { [root(cache, .replaced), root(cache, .back)].contains($0) }
                    && events.contains(.armed(cache: cache.path))
            }
            try watch.wait("the watches") { _ in watch.watcher.status[0].watches == 3 }
            watch.clear()
            try watch.waitUntilTold(of: repo)
            // The old one is nobody's.
            watch.clear()
            try cache.outer.write(BytePath("old/\(repo.folder.text)/refs/x"), commit(2))
            try repo.ref("other", commit(2))
            try watch.wait(for: .repoChanged(cache: cache.path, folder: repo.folder))
            #expect(!watch.seen.contains(.rootChanged(cache: cache.path)))
        }
    }

    @Test func removedAndMadeAgain() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let watch = try Watch(cache.path)
            cache.outer.delete("hub")
            try watch.wait(for: root(cache, .gone))
            try watch.wait("the end of the watches") { _ in !watch.watcher.status[0].isArmed }
            try repo.model()
            try watch.wait(for: root(cache, .back), .armed(cache: cache.path))
            watch.clear()
            try watch.waitUntilTold(of: repo)
        }
    }

    /// Folders above it appear one by one, and no timer is needed.
    @Test func appearsLater() throws {
        try withTestFolder { folder in
            var limits = WatchLimits()
            limits.absentInterval = 3_600_000_000_000
            let path = folder.path.appending("a/b/c/hub")
            let watch = try Watch(path, limits: limits, isPresent: false)
            try watch.wait(for: .root(cache: path, .gone))
            for name: BytePath in ["a", "x", "a/b", "a/b/y", "a/b/c"] {
                try folder.makeFolder(name)
                _ = watch.watcher.next(within: 20_000_000)
            }
            folder.delete("a/b")
            try folder.makeFolder("a/b/c/hub/models--a--b/refs")
            try watch.wait(for: .root(cache: path, .back), .armed(cache: path))
            try watch.wait("three watches") { _ in watch.watcher.status[0].watches == 3 }
        }
    }

    /// Whatever lies between the looks of the watcher, none of the folders is missed.
    @Test func appearsAtOnce() throws {
        var limits = WatchLimits()
        limits.absentInterval = 3_600_000_000_000
        for round in 0..<100 {
            try withTestFolder { folder in
                let path = folder.path.appending("a/b/c/hub")
                let watch = try Watch(path, limits: limits, isPresent: false)
                try watch.wait(for: .root(cache: path, .gone))
                for name: BytePath in ["a", "a/b", "a/b/c", "a/b/c/hub"] {
                    try folder.makeFolder(name)
                    for _ in 0..<(round * 80) { _ = folder.path.text.utf8.count }
                }
                try watch.wait(for: .root(cache: path, .back))
            }
        }
    }

    @Test func aFileInItsPlace() throws {
        try withTestFolder { folder in
            try folder.write("hub", "no folder")
            let path = folder.path.appending("hub")
            let watch = try Watch(path, isPresent: false)
            try watch.wait(for: .root(cache: path, .gone))
            folder.delete("hub")
            try folder.makeFolder("hub")
            try watch.wait(for: .root(cache: path, .back), .armed(cache: path))
        }
    }

    /// A root that is a link, and the link then leads elsewhere: found when the root is looked at.
    @Test func linkThatMoves() throws {
        try withTestFolder { folder in
            try folder.makeFolder("one/models--a--b")
            try folder.makeFolder("two/models--c--d")
            try folder.link("hub", to: "one")
            let path = folder.path.appending("hub")
            let watch = try Watch(path, isPresent: false)
            try watch.wait(for: .armed(cache: path))
            watch.clear()
            folder.delete("hub")
            try folder.link("hub", to: "two")
            watch.watcher.lookAtRoots()
            try watch.wait(for: .root(cache: path, .replaced), .armed(cache: path))
        }
    }

    @Test func manyCachesOneWatcher() throws {
        try withTestFolder { folder in
            let paths = (0..<5).map { folder.path.appending("hub\($0)") }
            for path in paths.dropLast() { try folder.makeFolder(path.appending("models--a--b")) }
            let watcher = try CacheWatcher(caches: paths + paths)
            var seen: Set<WatchEvent> = []
            let wanted = Set(paths.dropLast().map { WatchEvent.armed(cache: $0) } + [.root(cache: paths[4], .gone)])
            let end = monotonicNanoseconds() + 60_000_000_000
            while !wanted.isSubset(of: seen), monotonicNanoseconds() < end {
                seen.formUnion(watcher.next(within: 1_000_000_000))
            }
            #expect(seen == wanted && watcher.status.count == 5)
            watcher.interrupt()
            #expect(watcher.next(within: nil) == [])
            #expect(watcher.next(within: 0) == [])
            watcher.stop()
            watcher.stop()
        }
    }
}
