import Foundation
import HubCache
import LinuxIO
import TestSupport
import Testing

@testable import CacheWatch

@Suite struct StormTests {
    /// A hundred thousand events are a few marks.
    @Test func aHundredThousandEvents() throws {
        try withTestCache { cache in
            let repos = (0..<4).map { cache.repo("org/model-\($0)") }
            for repo in repos { try repo.model() }
            let watch = try Watch(cache.path)
            for number in 0..<12_500 {
                // Each is made, opened, written, closed, renamed and removed.
                let place = repos[number % 4].place(BytePath("refs/x\(number)"))
                try cache.outer.write(place, [1])
                cache.outer.delete(place)
            }
            try watch.drain()
            #expect(watch.staleRepos == Set(repos.map(\.folder)))
            #expect(watch.opens == [])
        }
    }

    /// Marks that nobody takes do not grow.
    @Test func marksAreBounded() throws {
        var table = WatchTable()
        let unit = table.number(of: "models--a--b")
        _ = table.endAdding(7, as: WatchNode(unit: unit, kind: .blobs))
        _ = table.endAdding(8, as: WatchNode(unit: WatchTable.root, kind: .root))
        var marks = Marks()
        for number in 0..<20_000 {
            let name = BytePath("\(number)")
            let kinds: [(Int32, InotifyMask)] = [(7, .open), (7, .create), (8, .create), (9, .create)]
            for (watch, mask) in kinds {
                let event = InotifyEvent(watch: watch, mask: mask, name: name)
                table.apply(event, at: Timestamp(seconds: 1), limit: 1000, to: &marks) { _ in false }
            }
        }
        #expect(marks.opens.count == 1001 && marks.repos == ["models--a--b"] && marks.rootChanges.isEmpty)
        #expect(table.work.units.isEmpty && marks.take(cache: "/c").count == 1003)
    }

    /// A queue that is not read overflows, which says so; and what came meanwhile is watched afterwards.
    @Test func overflow() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            var limits = WatchLimits()
            limits.gatherTime = 600_000_000_000
            let watch = try Watch(cache.path, limits: limits)
            // From its first event on the reader waits for more.
            try repo.ref("first", commit(1))
            try watch.wait(for: .repoChanged(cache: cache.path, folder: repo.folder))
            let queue = try String(contentsOfFile: "/proc/sys/fs/inotify/max_queued_events", encoding: .utf8)
            let length = Int(queue.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 16384
            for number in 0..<(length / 2) { try repo.ref(BytePath("x\(number % 7)"), commit(1)) }
            let late = cache.repo("late/one")
            try late.ref("main", commit(1))
            watch.clear()
            // Wakes the reader, each time it rests.
            func wake() { watch.watcher.ownReads.reading("a/blobs/b", of: "") {} }
            wake()
            try watch.wait(for: .overflow(cache: cache.path))
            try watch.wait("the late repo") { events in
                wake()
                return events.contains(.repoChanged(cache: cache.path, folder: late.folder))
            }
            watch.clear()
            try late.ref("main", commit(2))
            try watch.wait("a change in it") { events in
                wake()
                return events.contains(.repoChanged(cache: cache.path, folder: late.folder))
            }
        }
    }

    /// Folders made and removed faster than they can be watched end in the truth.
    @Test func foldersThatComeAndGo() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let watch = try Watch(cache.path)
            for number in 0..<500 {
                try cache.outer.makeFolder(repo.snapshot(commit(number % 5 + 2), "a/b/c"))
                cache.outer.delete(repo.snapshot(commit(number % 5 + 2)))
                let other = cache.repo("passing/\(number % 3)")
                try other.ref("main", commit(1))
                cache.outer.delete(cache.place(other.folder))
            }
            try watch.drain()
            try watch.wait(forWatches: 6)
            #expect(watch.watcher.status[0].repos == 2)
            let kept = cache.repo("passing/1")
            try kept.ref("main", commit(1))
            try watch.drain()
            try watch.wait(forWatches: 8)
        }
    }
}
