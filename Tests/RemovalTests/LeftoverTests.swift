import CacheScan
import Foundation
import HubCache
import LinuxIO
import Testing

@testable import Removal
@testable import TestSupport

/// Single files, and many requests at once.
@Suite struct LeftoverTests {
    private func listing(_ cache: TestCache) throws -> (CacheListing, CacheScan) {
        let scan = CacheScan(root: try CacheRoot(opening: cache.path))
        return (try scan.list(), scan)
    }

    @Test func aStalePartialGoesUnderItsLockAlone() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            try repo.partial("stale")
            try repo.partial("locked")
            try repo.partial("open")
            let (listing, scan) = try listing(cache)
            let inventory = scan.scanRepo(listing.repos[0], store: listing.store)
            let request = RemovalRequest(
                folder: repo.folder, items: inventory.partials.map { .partial(name: $0.name, stat: $0.stat) })
            let held = try HeldLock(cache.outer, repo.lockPlace("locked"))
            let open = try HeldFile(cache.outer, repo.place("blobs/open.0a1b2c3d.incomplete"))
            // In order of the names: locked, open, stale.
            var results: [RemovalResult] = []
            for _ in 0..<20 where results.last?.isRemoved != true {
                results = try cache.remover().remove([request]).map(\.result)
            }
            #expect(results.map(\.keepers) == [[.lock], [.open], []], "\(results)")
            held.release()
            open.release()
            #expect(!cache.outer.exists(repo.place("blobs/stale.0a1b2c3d.incomplete")))
            #expect(cache.outer.exists(repo.place("blobs/open.0a1b2c3d.incomplete")))
        }
    }

    @Test func aPartialThatGrewStays() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.partial("etag")
            let (listing, scan) = try listing(cache)
            let partial = scan.scanRepo(listing.repos[0], store: listing.store).partials[0]
            try cache.outer.append(repo.place("blobs").appending(partial.name), [2])
            let request = RemovalRequest(folder: repo.folder, items: [.partial(name: partial.name, stat: partial.stat)])
            #expect(try cache.remover().remove([request])[0].result.keepers == [.minAge])
        }
    }

    @Test func filesOutsideOfTheReposGo() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let orphan = try cache.payload([1], references: ["models--o--a/blobs/gone"])
            let used = try cache.payload([2], references: ["models--o--a/blobs/s", "models--o--b/blobs/gone"])
            let unlisted = try cache.payload([3], references: nil)
            let repo = cache.repo("o/a")
            try repo.linkBlob("s", toPayload: used)
            try cache.outer.write(cache.place("tmpabcdefgh"), [1, 2])
            try cache.outer.write(cache.place("tmpabcdefghi"), [1, 2])
            let (listing, _) = try listing(cache)
            let temporary = try #require(listing.oldPartials.first)
            var items: [RemovalItem] = [.rootTemporary(name: temporary.name, stat: temporary.stat)]
            items.append(.rootTemporary(name: "tmpabcdefghi", stat: temporary.stat))
            items.append(.rootTemporary(name: "CACHEDIR.TAG", stat: temporary.stat))
            for name in [orphan, used, unlisted] {
                items.append(
                    .payload(name: BytePath(name), stat: try #require(listing.store.payloads[BytePath(name)]).stat))
            }
            let results = try cache.remover().remove([RemovalRequest(folder: nil, items: items)]).map(\.result)
            #expect(
                results.map(\.keepers) == [[], [.foreignEntry], [.foreignEntry], [], [.foreignEntry], [.cannotTell]],
                "\(results)")
            #expect(results[0].isRemoved && results[3].isRemoved)
            let shelf = { (name: String) in cache.place("blobs").appending(String(name.prefix(2))).appending(name) }
            #expect(!cache.outer.exists(shelf(orphan)) && !cache.outer.exists(shelf(orphan + ".refs")))
            #expect(cache.outer.exists(shelf(orphan + ".lock")))
            #expect(cache.outer.exists(shelf(used)) && cache.outer.exists(shelf(unlisted)))
            let manifest = FileManager.default.contents(atPath: cache.outer.absolute(shelf(used + ".refs")).text)
            #expect(manifest == Data("models--o--a/blobs/s\n".utf8))
        }
    }

    @Test func manyReposShareTheTimeTheyWait() throws {
        try withTestCache { cache in
            var requests: [RemovalRequest] = []
            for number in 0..<70 {
                let repo = cache.repo("o/m\(number)")
                try repo.file("a.bin", [UInt8(number)], at: commit(1))
                requests.append(repo.request([commit(1)]))
            }
            let outcomes = try cache.remover(settle: .milliseconds(500)).remove(requests)
            #expect(outcomes.count == 70 && Set(outcomes.map(\.request)).count == 70)
            #expect(outcomes.allSatisfy { $0.result.isRemoved || $0.result.keepers == [.open] })
        }
    }

    @Test func stoppingPutsEverythingBack() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(commit(1))
            let before = Content(cache.outer.path)
            let cancellation = Cancellation()
            let remover = Remover(
                root: try CacheRoot(opening: cache.path), settle: .seconds(60), cancellation: cancellation,
                event: { if case .parked = $0 { cancellation.cancel() } })
            let results = try retried { remover.remove([repo.request([commit(1)])]).map(\.result) }
            #expect(results.map(\.isUndone) == [true], "\(results)")
            #expect(Content(cache.outer.path).differences(from: before) == [])
        }
    }

    @Test func whatLinksOfOtherReposLeadToStays() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = try repo.file("a.bin", [1], at: commit(1))
            var request = repo.request([commit(1)])
            request.blobsLinkedFromElsewhere = [BytePath(etag)]
            let results = try retried { try cache.remover().remove([request]).map(\.result) }
            #expect(results[0].isRemoved)
            #expect(cache.outer.exists(repo.place("blobs").appending(etag)))
        }
    }

    @Test func moreBlobsThanLocksAtOnce() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            for number in 0..<1100 {
                try repo.file(BytePath("d\(number % 7)/f\(number)"), Array("\(number)".utf8), at: commit(1))
            }
            try repo.file("stays", [0], at: commit(2))
            #expect(try cache.remove(repo, commit(1))[0].isRemoved)
            let left = try FileManager.default.contentsOfDirectory(
                atPath: cache.outer.absolute(repo.place("blobs")).text)
            #expect(left == [ReferenceDigest.sha256([0])])
        }
    }
}
