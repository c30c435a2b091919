import CacheScan
import Foundation
import HubCache
import LinuxIO
import Synchronization
import Testing

@testable import Removal
@testable import TestSupport

/// Clients at work at the same time, as the real ones behave.
@Suite struct RaceTests {
    private func remove(
        _ cache: TestCache, _ repo: TestRepo, _ commits: [String], told: Told = Told(),
        settle: Duration = .milliseconds(300), at step: RemovalStep, _ body: @escaping @Sendable () throws -> Void
    ) throws -> [RemovalResult] {
        try retried {
            let once = Once(at: step, body)
            return try cache.remover(settle: settle, told: told, step: { once.reached($0) })
                .remove([repo.request(commits)]).map(\.result)
        }
    }

    /// A client saw the blob, then waited for the lock; now it links a new commit to it (race 1 of the protocol).
    @Test func aLinkOfANewCommitGetsItsBlobBackAtOnce() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = try repo.file("a.bin", [1, 2, 3], at: commit(1))
            let told = Told()
            let place = repo.snapshot(commit(2), "a.bin")
            let wasBack = Mutex(false)
            let results = try remove(cache, repo, [commit(1)], told: told, settle: .seconds(2), at: .parked) {
                try repo.link("a.bin", to: etag, at: commit(2))
                // Long before the decision.
                for _ in 0..<100 where !wasBack.withLock({ $0 }) {
                    usleep(10_000)
                    let isBack = FileManager.default.fileExists(atPath: cache.outer.absolute(place).text)
                    wasBack.withLock { $0 = isBack }
                }
            }
            #expect(wasBack.withLock { $0 })
            #expect(told.restored == [BytePath(etag)])
            #expect(results[0].isRemoved)
            #expect(FileManager.default.contents(atPath: cache.outer.absolute(place).text) == Data([1, 2, 3]))
            #expect(!cache.outer.exists(repo.snapshot(commit(1))))
            #expect(!cache.outer.exists(repo.place(".hfjanitor")))
        }
    }

    @Test func aLinkInTheSameCommitUndoesAll() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = try repo.file("sub/a.bin", [1, 2, 3], at: commit(1))
            try repo.file("b.bin", [4], at: commit(1))
            try repo.ref("main", commit(1))
            let before = Content(cache.outer.path)
            let results = try remove(cache, repo, [commit(1)], at: .parked) {
                // Its folders are there: mkdir was done long ago.
                try repo.link("sub/a.bin", to: etag, at: commit(1))
            }
            #expect(results[0].isUndone, "\(results)")
            #expect(Content(cache.outer.path).differences(from: before) == [])
        }
    }

    @Test func aNewFileInTheSameCommitStaysAndAllIsBack() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("sub/a.bin", [1, 2, 3], at: commit(1))
            try repo.ref("main", commit(1))
            let before = Content(cache.outer.path)
            let results = try remove(cache, repo, [commit(1)], at: .parked) {
                try repo.file("sub/new.bin", [8], at: commit(1))
            }
            #expect(results[0].isUndone, "\(results)")
            let new = ReferenceDigest.sha256([8])
            #expect(
                Content(cache.outer.path).differences(from: before).map { String($0.prefix { $0 != ":" }) } == [
                    "\(repo.place("blobs").text)/\(new)", repo.snapshot(commit(1), "sub/new.bin").text,
                ])
        }
    }

    /// The other hop: a client of another repo links to the payload.
    @Test func aPayloadThatAnotherRepoLinksToStays() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let (one, two) = (cache.repo("o/a"), cache.repo("o/b"))
            let payload = try cache.payload([1, 1], references: ["models--o--a/blobs/s"])
            try one.linkBlob("s", toPayload: payload)
            try one.link("a.bin", to: "s", at: commit(1))
            let results = try remove(cache, one, [commit(1)], at: .parked) {
                let shelf = cache.place("blobs").appending(String(payload.prefix(2)))
                try cache.outer.append(shelf.appending(payload + ".refs"), Array("models--o--b/blobs/s\n".utf8))
                try two.linkBlob("s", toPayload: payload)
                try two.link("b.bin", to: "s", at: commit(5))
            }
            #expect(results[0].isRemoved)
            let path = cache.outer.absolute(two.snapshot(commit(5), "b.bin")).text
            #expect(FileManager.default.contents(atPath: path) == Data([1, 1]))
            let shelf = cache.place("blobs").appending(String(payload.prefix(2)))
            let manifest = FileManager.default.contents(
                atPath: cache.outer.absolute(shelf.appending(payload + ".refs")).text)
            #expect(manifest == Data("models--o--b/blobs/s\n".utf8))
        }
    }

    /// Another program's sweep takes the payload while the link is out of the way, and then a client links to the blob.
    @Test func aPayloadThatWasSweptMeanwhileComesBackAsABlob() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let repo = cache.repo("o/a")
            let payload = try cache.payload([1, 1], references: ["models--o--a/blobs/s"])
            try repo.linkBlob("s", toPayload: payload)
            try repo.link("a.bin", to: "s", at: commit(1))
            let results = try remove(cache, repo, [commit(1)], at: .parked) {
                let shelf = cache.place("blobs").appending(String(payload.prefix(2)))
                cache.outer.delete(shelf.appending(payload))
                cache.outer.delete(shelf.appending(payload + ".refs"))
                try repo.link("a.bin", to: "s", at: commit(2))
            }
            #expect(results[0].isRemoved)
            let path = cache.outer.absolute(repo.snapshot(commit(2), "a.bin")).text
            #expect(FileManager.default.contents(atPath: path) == Data([1, 1]))
        }
    }

    @Test func aRefThatIsSetAgainUndoesAll() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(commit(1))
            let before = Content(cache.outer.path)
            let results = try remove(cache, repo, [commit(1)], at: .parked) { try repo.ref("main", commit(1)) }
            #expect(results[0].isUndone, "\(results)")
            #expect(Content(cache.outer.path).differences(from: before) == [])
        }
    }

    @Test func aRefThatMovedOnIsNotTakenBack() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(commit(1))
            let lock = Mutex<HeldLock?>(nil)
            let results = try remove(cache, repo, [commit(1)], at: .parked) {
                try repo.ref("main", commit(7))
                let held = try HeldLock(cache.outer, repo.lockPlace("some-etag"))
                lock.withLock { $0 = held }
            }
            lock.withLock { $0?.release() }
            // The held lock undoes the operation; the ref is the client's all the same.
            #expect(results[0].keepers == [.lock], "\(results)")
            let ref = FileManager.default.contents(atPath: cache.outer.absolute(repo.place("refs/main")).text)
            #expect(ref == Data(commit(7).utf8))
            #expect(cache.outer.exists(repo.snapshot(commit(1), "config.json")))
        }
    }

    /// `hf cache rm` takes no lock and removes the repo's folder with everything in it, ours too.
    @Test(arguments: [
        RemovalStep.locked, .intentPublished, .refParked, .snapshotParked, .blobParked, .parked, .decided,
    ])
    func aRepoThatIsRemovedMeanwhileIsGone(_ step: RemovalStep) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(commit(1))
            let other = cache.repo("o/other")
            try other.model(commit(1))
            let before = Content(cache.outer.absolute(cache.place(other.folder)))
            _ = try remove(cache, repo, [commit(1)], settle: .milliseconds(20), at: step) {
                cache.outer.delete(cache.place(repo.folder))
            }
            #expect(Content(cache.outer.absolute(cache.place(other.folder))) == before)
            let left = Content(cache.outer.absolute(cache.place(repo.folder))).entries
            #expect(!left.values.contains { $0.contains("mode 100") || $0.contains("mode 120") }, "\(left)")
        }
    }

    /// A client polls the lock all the time; it gets it in between, and its link is never left without a blob.
    @Test func aClientThatWaitsForTheLockIsServed() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = try repo.file("a.bin", [1, 2, 3], at: commit(1))
            let held = try HeldLock(cache.outer, repo.lockPlace(etag))
            held.release()
            let isLinked = Mutex(false)
            let client = Mutex<BackgroundThread?>(nil)
            let results = try remove(cache, repo, [commit(1)], settle: .seconds(1), at: .locked) {
                let thread = BackgroundThread(name: "client") {
                    while true {
                        if let lock = try? HeldLock(cache.outer, repo.lockPlace(etag)) {
                            try? repo.link("a.bin", to: etag, at: commit(2))
                            lock.release()
                            isLinked.withLock { $0 = true }
                            return
                        }
                        usleep(50_000)
                    }
                }
                client.withLock { $0 = thread }
            }
            client.withLock { $0?.join() }
            #expect(isLinked.withLock { $0 })
            #expect(results[0].isRemoved || results[0].keepers == [.lock], "\(results)")
            let path = cache.outer.absolute(repo.snapshot(commit(2), "a.bin")).text
            #expect(FileManager.default.contents(atPath: path) == Data([1, 2, 3]))
        }
    }

    /// filelock from 3.20.4 to 3.29.4 unlinks its file when it lets go.
    @Test func aLockFileThatIsUnlinkedAndMadeAgainIsLocked() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = try repo.file("a.bin", [1, 2, 3], at: commit(1))
            let first = try HeldLock(cache.outer, repo.lockPlace(etag))
            let done = BackgroundThread(name: "client") {
                usleep(100_000)
                cache.outer.delete(repo.lockPlace(etag))
                first.release()
            }
            let results = try cache.remove(repo, commit(1))
            done.join()
            #expect(results[0].isRemoved, "\(results)")
            #expect(cache.outer.exists(repo.lockPlace(etag)))
        }
    }

    @Test func twoRemoversAtOnceAgree() throws {
        for _ in 0..<5 {
            try withTestCache { cache in
                let repo = cache.repo()
                for number in 1...3 { try repo.file("a.bin", [UInt8(number)], at: commit(number)) }
                let results = Mutex<[RemovalResult]>([])
                runOnThreads(2, name: "two") { _ in
                    guard let remover = try? cache.remover(settle: .milliseconds(50)) else { return }
                    let got = remover.remove([repo.request([commit(1), commit(2)])]).map(\.result)
                    results.withLock { $0 += got }
                }
                let all = results.withLock { $0 }
                #expect(all.count == 4)
                #expect(all.allSatisfy { $0.isRemoved || $0.keepers == [.lock] || $0.keepers == [.open] }, "\(all)")
                // Whatever each did, what is there is whole.
                for number in 1...3 {
                    let isThere = cache.outer.exists(repo.snapshot(commit(number), "a.bin"))
                    let hasBlob = cache.outer.exists(
                        repo.place("blobs").appending(ReferenceDigest.sha256([UInt8(number)])))
                    #expect(isThere == hasBlob)
                }
                #expect(!cache.outer.exists(repo.place(".hfjanitor")))
                #expect(cache.outer.exists(repo.snapshot(commit(3), "a.bin")))
            }
        }
    }
}
