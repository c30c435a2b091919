import CacheScan
import HubCache
import Testing

@testable import Removal
@testable import TestSupport

/// What goes, and what stays, when nothing is in the way.
@Suite struct RemovalTests {
    @Test func aRevisionGoesWithAllThatOnlyItHolds() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(commit(1))
            try repo.file("only-two.bin", [9, 9], at: commit(2))
            try repo.ref("refs/pr/3", commit(1))
            try cache.outer.write(repo.place(".no_exist").appending(commit(1) + "/sub/absent.json"), "")
            let results = try cache.remove(repo, commit(1))
            #expect(results.count == 1 && results[0].isRemoved, "\(results)")
            let left = Content(cache.path.appending(repo.folder)).entries.keys.map(\.text).sorted()
            let etag = ReferenceDigest.sha256([9, 9])
            #expect(
                left == [
                    "", ".no_exist", "blobs", "blobs/\(etag)", "refs", "snapshots", "snapshots/\(commit(2))",
                    "snapshots/\(commit(2))/only-two.bin", "trees",
                ], "\(left)")
        }
    }

    @Test func sharedBlobsStay() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1, 2, 3], at: commit(1))
            try repo.file("sub/a.bin", [1, 2, 3], at: commit(2))
            try repo.file("b.bin", [4], at: commit(1))
            #expect(try cache.remove(repo, commit(1))[0].isRemoved)
            #expect(cache.outer.exists(repo.place("blobs").appending(ReferenceDigest.sha256([1, 2, 3]))))
            #expect(!cache.outer.exists(repo.place("blobs").appending(ReferenceDigest.sha256([4]))))
        }
    }

    @Test func aWholeRepoGoesWithItsFolders() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(commit(1))
            try repo.file("x.bin", [7], at: commit(2))
            try repo.blob([5, 5, 5])
            try repo.partial(ReferenceDigest.sha256([6]))
            let results = try retried {
                try cache.remover().remove([try cache.whole(repo)]).map(\.result)
            }
            #expect(results.count == 4 && results.allSatisfy { $0.isRemoved }, "\(results)")
            #expect(!cache.outer.exists(cache.place(repo.folder)))
        }
    }

    /// Nobody was shown it, and nobody agreed to lose it.
    @Test func whatCameToAWholeRepoSinceItWasPlannedStays() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            let request = try cache.whole(repo)
            try repo.file("a.bin", [2], at: commit(2))
            try repo.ref("main", commit(2))
            try repo.blob([3])
            try repo.partial(ReferenceDigest.sha256([6]))
            let results = try retried { try cache.remover().remove([request]).map(\.result) }
            #expect(results.filter(\.isRemoved).count == 1, "\(results)")
            #expect(results.filter { $0.keepers == [.minAge] }.count == 3, "\(results)")
            #expect(!cache.outer.exists(repo.snapshot(commit(1))))
            #expect(cache.outer.exists(repo.snapshot(commit(2), "a.bin")))
            #expect(cache.outer.exists(repo.place("blobs").appending(ReferenceDigest.sha256([2]))))
            #expect(cache.outer.exists(repo.place("blobs").appending(ReferenceDigest.sha256([3]))))
            #expect(cache.outer.exists(repo.place("refs/main")))
            #expect(try cache.inventory(repo).partials.count == 1)
        }
    }
}
