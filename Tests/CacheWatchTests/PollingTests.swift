import Foundation
import HubCache
import LinuxIO
import TestSupport
import Testing

@testable import CacheWatch

/// What happens without inotify: by hand here, by limits in `LimitTests`.
@Suite struct PollingTests {
    static var limits: WatchLimits {
        var limits = WatchLimits()
        limits.sweepInterval = 20_000_000
        return limits
    }

    /// Every kind of change of a polled cache is told by a sweep.
    static func everyChangeIsFound(_ cache: TestCache, _ repo: TestRepo, _ watch: Watch) throws {
        func step(_ what: String, _ body: () throws -> Void) throws {
            watch.clear()
            try body()
            do {
                try watch.wait(for: .repoChanged(cache: cache.path, folder: repo.folder))
            } catch { Issue.record("\(what): \(error)") }
        }
        let outer = cache.outer
        try step("blob") { try outer.write(repo.place("blobs/x"), [1]) }
        try step("blob in place") { try outer.overwrite(repo.place("blobs/x"), [2]) }
        try step("ref") { try repo.ref("other", commit(2)) }
        try step("ref in place") { try outer.overwrite(repo.place("refs/other"), Array(commit(3).utf8)) }
        try step("nested ref") { try repo.ref("refs/pr/1", commit(2)) }
        try step("nested ref moves") { try repo.ref("refs/pr/1", commit(3)) }
        try step("nested ref in place") { try outer.overwrite(repo.place("refs/refs/pr/1"), Array(commit(4).utf8)) }
        try step("snapshot") { try outer.makeFolder(repo.snapshot(commit(2), "a/b")) }
        try step("pointer") { try outer.link(repo.snapshot(commit(2), "a/b/x"), to: "../../../../blobs/x") }
        try step("manifest") { try outer.write(repo.place("trees/x.json"), "{}") }
        try step("removed") { outer.delete(repo.place("blobs/x")) }
    }

    @Test func polledCache() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            var limits = Self.limits
            limits.pollsEverything = true
            let watch = try Watch(cache.path, limits: limits, isPresent: false)
            try watch.wait(
                for: .armed(cache: cache.path), .degraded(cache: cache.path, .networkFilesystem))
            #expect(watch.watcher.status[0].polledRepos == 1 && watch.watcher.status[0].watches == 0)
            try Self.everyChangeIsFound(cache, repo, watch)
            watch.clear()
            let other = cache.repo("org/other")
            try other.model()
            try watch.wait(
                for: .rootChanged(cache: cache.path), .repoChanged(cache: cache.path, folder: other.folder))
            try Self.everyChangeIsFound(cache, other, watch)
            cache.outer.delete(cache.place(other.folder))
            watch.clear()
            try watch.wait(for: .repoChanged(cache: cache.path, folder: other.folder))
            try cache.makeStore()
            try watch.wait(for: .storeChanged(cache: cache.path))
            watch.clear()
            _ = try cache.payload([1, 2, 3])
            try watch.wait(for: .storeChanged(cache: cache.path))
            let linked = cache.repo("org/linked")
            try cache.outer.write("disk/refs/main", commit(1))
            try cache.outer.link(cache.place(linked.folder), to: "../disk")
            try watch.wait(for: .repoChanged(cache: cache.path, folder: linked.folder))
            try watch.wait("two repos") { _ in watch.watcher.status[0].repos == 2 }
            watch.clear()
            try cache.outer.write("disk/refs/main", commit(2))
            try watch.wait(for: .repoChanged(cache: cache.path, folder: linked.folder))
            cache.outer.delete("hub")
            watch.watcher.lookAtRoots()
            try watch.wait(for: .root(cache: cache.path, .gone))
        }
    }

    /// A linked folder whose disk is not there yet is found when it is.
    @Test func linkThatLeadsNowhereYet() throws {
        try withTestCache { cache in
            let linked = cache.repo("org/linked")
            try cache.outer.link(cache.place(linked.folder), to: "../disk")
            let watch = try Watch(cache.path, limits: Self.limits)
            try cache.outer.write("disk/refs/main", commit(1))
            try watch.wait(for: .repoChanged(cache: cache.path, folder: linked.folder))
            try watch.drain()
            try watch.wait(forWatches: 2)
        }
    }

    @Test func tooManyFolders() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            var limits = Self.limits
            limits.foldersPerRepo = 10
            let watch = try Watch(cache.path, limits: limits)
            for number in 0..<20 { try repo.ref(BytePath("x/\(number)/y"), commit(1)) }
            try watch.wait(for: .degraded(cache: cache.path, .tooManyFolders))
            try watch.wait(forWatches: 0)
            watch.clear()
            try watch.wait(for: .repoChanged(cache: cache.path, folder: repo.folder))
            cache.outer.delete(repo.place("refs/x"))
            try watch.wait(for: .restored(cache: cache.path, .tooManyFolders))
            try watch.wait(forWatches: 6)
        }
    }

    @Test func tooManyRepos() throws {
        try withTestCache { cache in
            var limits = Self.limits
            limits.repos = 3
            let watch = try Watch(cache.path, limits: limits)
            for number in 0..<5 { try cache.repo("org/m\(number)").ref("main", commit(1)) }
            try watch.wait(for: .degraded(cache: cache.path, .tooManyRepos), .overflow(cache: cache.path))
            try watch.wait("three repos") { _ in watch.watcher.status[0].repos == 3 }
            for number in 0..<4 { cache.outer.delete(cache.place(cache.repo("org/m\(number)").folder)) }
            try watch.wait(for: .restored(cache: cache.path, .tooManyRepos))
        }
    }
}
