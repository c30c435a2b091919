import CacheScan
import Foundation
import HubCache
import LinuxIO
import Synchronization
import Testing

@testable import Removal
@testable import TestSupport

/// What is in use stays, untouched.
@Suite struct InUseTests {
    private func keepers(
        _ cache: TestCache, _ repo: TestRepo,
        inUse: @escaping @Sendable (FileKey, FileStat) -> ProbeAnswer = { _, _ in .free }
    ) throws -> [Keeper] {
        let before = Content(cache.outer.path)
        let result = try cache.remover(inUse: inUse).remove([repo.request([commit(1)])])[0].result
        #expect(Content(cache.outer.path).differences(from: before) == [])
        return result.keepers
    }

    @Test func anOpenFile() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = try repo.file("a.bin", [1], at: commit(1))
            let held = try HeldFile(cache.outer, repo.place("blobs").appending(etag))
            #expect(try keepers(cache, repo) == [.open])
            held.release()
            #expect(try cache.remove(repo, commit(1))[0].isRemoved)
        }
    }

    @Test func anOpenFileThatAnotherRevisionSharesToo() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = try repo.file("a.bin", [1], at: commit(1))
            try repo.link("a.bin", to: etag, at: commit(2))
            let held = try HeldFile(cache.outer, repo.place("blobs").appending(etag))
            #expect(try keepers(cache, repo) == [.open])
            held.release()
        }
    }

    @Test func anOpenPayloadBehindTheBlob() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let repo = cache.repo("o/a")
            let payload = try cache.payload([1, 1], references: ["models--o--a/blobs/s"])
            try repo.linkBlob("s", toPayload: payload)
            try repo.link("a.bin", to: "s", at: commit(1))
            let place = cache.place("blobs").appending(String(payload.prefix(2))).appending(payload)
            let held = try HeldFile(cache.outer, place)
            #expect(try keepers(cache, repo) == [.open])
            held.release()
        }
    }

    @Test func anOpenFileOfASnapshotWithoutLinks() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.plainFile("sub/a.bin", [1], at: commit(1))
            let held = try HeldFile(cache.outer, repo.snapshot(commit(1), "sub/a.bin"))
            #expect(try keepers(cache, repo) == [.open])
            held.release()
        }
    }

    /// How models are served: mapped, the descriptor closed, by another process.
    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/python3"), "needs python3"))
    func aMappedFileWhoseDescriptorIsClosed() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = try repo.file("a.bin", Array(repeating: 7, count: 8192), at: commit(1))
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
            process.arguments = [
                "-c",
                """
                import mmap, os, sys
                f = os.open(sys.argv[1], os.O_RDONLY)
                m = mmap.mmap(f, 0, prot=mmap.PROT_READ)
                os.close(f)
                print("mapped", flush=True)
                sys.stdin.read()
                """, cache.outer.absolute(repo.place("blobs").appending(etag)).text,
            ]
            let (input, output) = (Pipe(), Pipe())
            process.standardInput = input
            process.standardOutput = output
            try process.run()
            _ = output.fileHandleForReading.availableData
            #expect(try keepers(cache, repo) == [.open])
            try input.fileHandleForWriting.close()
            process.waitUntilExit()
            #expect(try cache.remove(repo, commit(1))[0].isRemoved)
        }
    }

    @Test(arguments: ["", "blobs/"]) func aHeldLockOfAnyBlobOnEitherPath(_ folder: String) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            let place = cache.place(".locks").appending(repo.folder).appending(folder + "ffff.lock")
            let held = try HeldLock(cache.outer, place)
            #expect(try keepers(cache, repo) == [.lock])
            held.release()
            #expect(try cache.remove(repo, commit(1))[0].isRemoved)
        }
    }

    @Test func aHeldLockOfTheOldestClients() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = try repo.file("a.bin", [1], at: commit(1))
            let held = try HeldLock(cache.outer, repo.place("blobs").appending(etag + ".lock"))
            #expect(try keepers(cache, repo) == [.lock])
            held.release()
        }
    }

    @Test func aSoftLockOfAProcessThatRuns() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = try repo.file("a.bin", [1], at: commit(1))
            try cache.outer.write(repo.lockPlace(etag), "1\n\(hostName())\n")
            #expect(try keepers(cache, repo) == [.lock])
            try cache.outer.write(repo.lockPlace(etag), "1\nanother-host\n")
            #expect(try keepers(cache, repo) == [.lock])
        }
    }

    @Test func aDownloadUnderWay() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            try repo.partial("ffff")
            let held = try HeldFile(cache.outer, repo.place("blobs").appending("ffff.0a1b2c3d.incomplete"))
            #expect(try keepers(cache, repo) == [.lock])
            held.release()
            #expect(try cache.remove(repo, commit(1))[0].isRemoved)
            #expect(cache.outer.exists(repo.place("blobs").appending("ffff.0a1b2c3d.incomplete")))
        }
    }

    @Test func whatTheCallerKnows() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            let before = Content(cache.outer.path)
            let remover = try cache.remover(reproof: { repo, commit, _ in
                #expect(repo.snapshots.count == 1 && commit != nil)
                return [Kept(by: .hold, "until noon")]
            })
            #expect(remover.remove([repo.request([commit(1)])])[0].result.keepers == [.hold])
            #expect(Content(cache.outer.path) == before)
        }
    }

    @Test func whatChangedSinceItWasPlanned() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = try repo.file("a.bin", [1], at: commit(1))
            try repo.blob([2])
            let scan = CacheScan(root: try CacheRoot(opening: cache.path))
            let found = try #require(try scan.repoFolder(repo.folder))
            let inventory = scan.scanRepo(found, store: StoreInventory())
            let identity = SnapshotIdentity(of: inventory.snapshots[0], in: inventory, store: StoreInventory())
            let orphan = BytePath(ReferenceDigest.sha256([2]))
            let stat = try #require(inventory.blobs[orphan]?.stat)
            let request = RemovalRequest(
                folder: repo.folder,
                items: [
                    .revision(try #require(CommitHash(commit(1))), identity: identity),
                    .orphanBlob(name: orphan, stat: stat),
                ])
            try cache.outer.append(repo.place("blobs").appending(etag), [5])
            try cache.outer.append(repo.place("blobs").appending(orphan), [5])
            let before = Content(cache.outer.path)
            let results = try cache.remover().remove([request]).map(\.result)
            #expect(results.map(\.keepers) == [[.minAge], [.minAge]], "\(results)")
            #expect(Content(cache.outer.path) == before)
        }
    }

    /// What nobody named when it was planned may be somebody's branch by now, and the other way.
    @Test(arguments: [nil, "main"], ["main", "other"])
    func aRefThatCameSinceItWasPlanned(_ before: String?, _ after: String) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            if let before { try repo.ref(BytePath(before), commit(1)) }
            let found = try cache.inventory(repo)
            let identity = SnapshotIdentity(of: found.snapshots[0], in: found, store: StoreInventory())
            let item = RemovalItem.revision(try #require(CommitHash(commit(1))), identity: identity)
            try repo.ref(BytePath(after), commit(1))
            let results = try retried {
                try cache.remover().remove([RemovalRequest(folder: repo.folder, items: [item])]).map(\.result)
            }
            if before == after {
                #expect(results[0].isRemoved, "\(results)")
            } else {
                #expect(results.map(\.keepers) == [[.minAge]], "\(results)")
                #expect(cache.outer.exists(repo.snapshot(commit(1), "a.bin")))
                #expect(cache.outer.exists(repo.place("refs").appending(after)))
            }
        }
    }

    /// A reason to keep one orphan is none to keep another.
    @Test func theCallerIsAskedForEachFile() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            for number in 1...3 { try repo.blob([UInt8(number)]) }
            try repo.partial("etag")
            let needed = repo.folder.appending("blobs").appending(ReferenceDigest.sha256([2]))
            let asked = Mutex<Set<BytePath>>([])
            let request = try cache.whole(repo)
            let remover = try cache.remover(reproof: { _, _, file in
                if let file { asked.withLock { _ = $0.insert(file) } }
                return file == needed ? [Kept(by: .recentUse, "a test")] : []
            })
            let results = try retried { remover.remove([request]).map(\.result) }
            #expect(results.filter(\.isRemoved).count == 3 && results.filter { $0.keepers == [.recentUse] }.count == 1)
            #expect(asked.withLock { $0.count } == 4)
            #expect(cache.outer.exists(cache.place(needed)))
        }
    }

    /// The root's filesystem says nothing of a file behind a link.
    @Test func theFilesystemOfTheFileItselfCounts() throws {
        try withTestCache { cache in
            let root = try CacheRoot(opening: cache.path)
            let folder = try CacheRoot(opening: "/proc/self")
            let link = LinkedFolder(path: "linked", key: folder.stat.key, physicalPath: folder.path)
            try cache.outer.link(cache.place("linked"), to: folder.path)
            let stat = try root.open("linked/status", linked: [link]).stat()
            let wasAsked = Mutex(false)
            let test = InUseTest(root: root) { _, _ in
                wasAsked.withLock { $0 = true }
                return .taken
            }
            let answer = test.hold(FileInQuestion(location: "linked/status", linked: [link], stat: stat)).answer
            #expect(answer == .taken && wasAsked.withLock { $0 })
        }
    }

    /// Two repos of one plan that share a payload: what the first removal does to it is no change of anybody else's.
    @Test func aPlanOfTwoReposThatShareAPayloadHolds() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let payload = try cache.payload(
                [1, 1], references: ["models--o--a/blobs/s", "models--o--b/blobs/s"])
            let scan = CacheScan(root: try CacheRoot(opening: cache.path))
            var requests: [RemovalRequest] = []
            for name in ["o/a", "o/b"] {
                let repo = cache.repo(name)
                try repo.linkBlob("s", toPayload: payload)
                try repo.link("a.bin", to: "s", at: commit(1))
            }
            let listing = try scan.list()
            for found in listing.repos {
                let inventory = scan.scanRepo(found, store: listing.store)
                let identity = SnapshotIdentity(of: inventory.snapshots[0], in: inventory, store: listing.store)
                let commit = try #require(CommitHash(commit(1)))
                requests.append(RemovalRequest(folder: found.folder, items: [.revision(commit, identity: identity)]))
            }
            let results = try retried { try cache.remover().remove(requests).map(\.result) }
            #expect(results.count == 2 && results.allSatisfy(\.isRemoved), "\(results)")
            #expect(!cache.outer.exists(cache.place("blobs").appending(String(payload.prefix(2))).appending(payload)))
        }
    }
}

/// Where a lease tells nothing, the caller's word counts, and without one nothing goes.
@Suite struct CannotTellTests {
    @Test(.enabled(if: geteuid() == 0, "needs root to mount an overlay"))
    func onAnOverlayTheCallerIsAsked() throws {
        try withTestCache(in: "/tmp") { cache in
            // overlayfs says "free" of a mapped file: it must not be believed.
            for folder in ["lower", "upper", "work"] { try cache.outer.makeFolder(BytePath(folder)) }
            let base = cache.outer.path.text
            let options = "lowerdir=\(base)/lower,upperdir=\(base)/upper,workdir=\(base)/work"
            try run("/bin/mount", ["-t", "overlay", "overlay", "-o", options, "\(base)/hub"])
            defer { try? run("/bin/umount", ["-l", "\(base)/hub"]) }
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            func result(_ answer: ProbeAnswer, assumed: Bool = false) throws -> RemovalResult {
                Remover(
                    root: try CacheRoot(opening: cache.path), settle: .milliseconds(10),
                    inUse: { _, _ in answer }, assumesUnused: { _, _ in assumed }
                ).remove([repo.request([commit(1)])])[0].result
            }
            #expect(try result(.unknown(reason: "a test")).keepers == [.cannotTell])
            #expect(try result(.taken).keepers == [.open])
            #expect(try result(.unknown(reason: "a test"), assumed: true).isRemoved)
        }
    }

    private func run(_ program: String, _ arguments: [String]) throws {
        let process = try Process.run(URL(fileURLWithPath: program), arguments: arguments)
        process.waitUntilExit()
        if process.terminationStatus != 0 { throw SetupFailure(description: "\(program) \(arguments)") }
    }
}
