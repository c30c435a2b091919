import Foundation
import HubCache
import LinuxIO
import TestSupport
import Testing

@testable import CacheWatch

/// What clients do, step by step (huggingface_hub 2.4; older ones where they differ).
@Suite struct EventTests {
    private static let etag = String(repeating: "a1", count: 32)
    private static let otherETag = String(repeating: "b2", count: 32)

    private func stale(_ repo: TestRepo) -> WatchEvent {
        .repoChanged(cache: repo.cache.path, folder: repo.folder)
    }

    /// A cache with one whole model.
    private func withModel(_ body: (TestCache, TestRepo, Watch) throws -> Void) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try body(cache, repo, try Watch(cache.path))
        }
    }

    @Test func quietCacheTellsNothing() throws {
        try withModel { cache, repo, watch in
            try watch.drain()
            #expect(watch.seen == [])
            // The folder, blobs, refs, snapshots, one commit and trees.
            try watch.wait(forWatches: 6)
            #expect(watch.watcher.status[0].isArmed && watch.watcher.status[0].repos == 2)
        }
    }

    @Test func everyStepOfADownload() throws {
        try withModel { cache, repo, watch in
            func step(_ what: String, _ body: () throws -> Void) throws {
                watch.clear()
                try body()
                do { try watch.wait(for: stale(repo)) } catch { Issue.record("\(what): \(error)") }
                try watch.drain()
                #expect(watch.opens == [], "\(what)")
            }
            let outer = cache.outer
            let partial = repo.place("blobs").appending(Self.etag + ".0a1b2c3d.incomplete")
            try step("partial made") { try outer.append(partial, []) }
            try step("partial grows") { try outer.append(partial, [1, 2, 3]) }
            try step("probe of the umask") {
                try outer.append(repo.place("blobs/tmp_0b1c"), [])
                outer.delete(repo.place("blobs/tmp_0b1c"))
            }
            try step("mode") { try outer.chmod(partial, 0o640) }
            try step("renamed to its name") { try outer.move(partial, to: repo.place("blobs").appending(Self.etag)) }
            let blob = repo.place("blobs").appending(Self.etag)
            try step("link to the store prepared") {
                try outer.link(repo.place(BytePath("blobs/.\(Self.etag).0a1b2c3d.shared")), to: "../../blobs/a1/x")
            }
            try step("link to the store in place") {
                try outer.move(repo.place(BytePath("blobs/.\(Self.etag).0a1b2c3d.shared")), to: blob)
            }
            try step("pointer") {
                try outer.link(repo.snapshot(commit(1), "more.bin"), to: BytePath("../../blobs/" + Self.etag))
            }
            try step("pointer replaced") {
                outer.delete(repo.snapshot(commit(1), "more.bin"))
                try outer.link(repo.snapshot(commit(1), "more.bin"), to: BytePath("../../blobs/" + Self.otherETag))
            }
            try step("ref") {
                try outer.append(repo.place("refs/main.0a1b2c3d.tmp"), Array(commit(2).utf8))
                try outer.move(repo.place("refs/main.0a1b2c3d.tmp"), to: repo.place("refs/main"))
            }
            try step("ref of old clients") { try outer.overwrite(repo.place("refs/main"), Array(commit(3).utf8)) }
            try step("nested ref") { try outer.write(repo.place("refs/refs/pr/3"), commit(2)) }
            try step("nested ref moves") { try outer.write(repo.place("refs/refs/pr/3"), commit(4)) }
            try step("manifest") { try outer.write(repo.place(BytePath("trees/\(commit(2)).json")), "{}") }
            try step("new snapshot") { try outer.makeFolder(repo.snapshot(commit(2))) }
            try step("in the new snapshot") {
                try outer.link(repo.snapshot(commit(2), "a/b/c.bin"), to: BytePath("../../../../blobs/" + Self.etag))
            }
            try step("deep in the new snapshot") {
                try outer.link(repo.snapshot(commit(2), "a/b/d.bin"), to: BytePath("../../../../blobs/" + Self.etag))
            }
            try outer.write(repo.place("blobs").appending(Self.otherETag), [1, 2, 3])
            try step("blob cut in place") { try outer.resize(repo.place("blobs").appending(Self.otherETag), to: 1) }
            try step("blob removed") { outer.delete(repo.place("blobs").appending(Self.otherETag)) }
            try step("snapshot removed") { outer.delete(repo.snapshot(commit(2))) }
            try step("intent of a removal") { try outer.makeFolder(repo.place(".hfjanitor")) }
            watch.clear()
            try outer.write(repo.place(".no_exist").appending(commit(1)).appending("x.json"), "")
            try watch.wait(for: stale(repo))
            try outer.write(repo.lockPlace(Self.etag), "")
            try watch.drain()
            // Nothing is watched in `.no_exist` and `.locks`.
            watch.clear()
            try outer.write(repo.place(".no_exist").appending(commit(1)).appending("y.json"), "")
            try outer.use(repo.lockPlace(Self.etag))
            try watch.drain()
            #expect(watch.seen == [])
        }
    }

    @Test func newRepoIsWatchedWhole() throws {
        try withModel { cache, _, watch in
            let repo = cache.repo("other/new", .dataset)
            try repo.model(shards: 3)
            try watch.wait(for: stale(repo), .rootChanged(cache: cache.path))
            try watch.drain()
            #expect(watch.watcher.status[0].repos == 3)
            for place in [
                repo.place("refs/x"), repo.place("trees/x"), repo.snapshot(commit(1), "x"), repo.place("blobs/x"),
            ] {
                watch.clear()
                try cache.outer.append(place, [1])
                try watch.wait(for: stale(repo))
            }
            cache.outer.delete(cache.place(repo.folder))
            try watch.drain()
            watch.clear()
            try watch.wait(forWatches: 6)
        }
    }

    @Test func repoRenamedAway() throws {
        try withModel { cache, repo, watch in
            let other = cache.repo("org/renamed")
            try cache.outer.move(cache.place(repo.folder), to: cache.place(other.folder))
            try watch.wait(for: stale(repo), stale(other))
            try watch.drain()
            watch.clear()
            try other.ref("x", commit(1))
            try watch.wait(for: stale(other))
            try watch.drain()
            #expect(watch.staleRepos == [other.folder])
            try watch.wait(forWatches: 6)
            // Moved out of the cache, it is nobody's.
            try cache.outer.move(cache.place(other.folder), to: "outside")
            try watch.drain()
            watch.clear()
            try cache.outer.write("outside/refs/y", commit(1))
            try cache.outer.use("outside/refs/y")
            try watch.drain()
            #expect(watch.seen == [])
            try watch.wait(forWatches: 0)
        }
    }

    @Test func storeComesAndChanges() throws {
        try withModel { cache, repo, watch in
            try cache.makeStore()
            try watch.wait(for: .storeChanged(cache: cache.path))
            let hash = try cache.payload([1, 2, 3])
            try watch.drain()
            watch.clear()
            try cache.outer.append(cache.place(BytePath("blobs/\(hash.prefix(2))/\(hash).refs")), [1])
            try watch.wait(for: .storeChanged(cache: cache.path))
            watch.clear()
            // Waiting for a lock is no change.
            try cache.outer.append(cache.place(BytePath("blobs/\(hash.prefix(2))/\(hash).lock")), [])
            try cache.outer.use(cache.place(BytePath("blobs/\(hash.prefix(2))/\(hash).lock")))
            try watch.drain()
            #expect(watch.seen == [])
        }
    }

    @Test func hostileNames() throws {
        try withModel { cache, repo, watch in
            let name = BytePath(bytes: [0xff, 0x0a, 0x1b, 0x5b] + Array(repeating: 0xfe, count: 200))
            try cache.outer.write(repo.place("blobs").appending(name), [1])
            try cache.outer.write(repo.place("refs").appending(name), [1])
            try cache.outer.makeFolder(repo.place("snapshots").appending(name))
            try cache.outer.makeFolder(cache.place(name))
            try cache.outer.makeFolder(cache.place("models--..--x"))
            try watch.wait(for: stale(repo), .rootChanged(cache: cache.path))
            watch.clear()
            try cache.outer.use(repo.place("blobs").appending(name))
            try watch.wait("open") { !$0.isEmpty }
            try watch.drain()
            #expect(watch.opens == [.blob(repo: repo.folder, name: name)])
            #expect(watch.watcher.status[0].repos == 2)
        }
    }
}
