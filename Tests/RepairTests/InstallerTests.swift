import CacheScan
import HubCache
import LinuxIO
import Removal
import Synchronization
import TestSupport
import Testing

@testable import HubClient
@testable import Repair

/// What a file brought into a cache may not do: believe what was left there, harm what others have, or take what is not free.
struct InstallerTests {
    @Test func partialOfAnEmptyFileIsLeftAlone() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.partial(ReferenceDigest.gitSHA1([]), [])
            let wanted = try #require(WantedFile(path: "a.txt", etag: BytePath(ReferenceDigest.gitSHA1([])), size: 0))
            let place = try Ground(cache).place(repo)
            #expect(try PartialFile.resume(for: wanted, in: place, Cancellation()) == nil)
        }
    }

    /// A link may lead to a payload that is another file's: what it has is right, and stays.
    @Test(arguments: [true, false])
    func payloadOfAnotherFileStays(isListed: Bool) throws {
        try withTestCache { cache in
            try cache.makeStore()
            let (own, other) = (Array("what is wanted".utf8), Array("what others have".utf8))
            let (etag, otherEtag) = (ReferenceDigest.sha256(own), ReferenceDigest.sha256(other))
            let (one, two) = (cache.repo("org/one"), cache.repo("org/two"))
            let lines = ["\(one.folder)/blobs/\(etag)"] + (isListed ? ["\(two.folder)/blobs/\(otherEtag)"] : [])
            let payload = try cache.payload(other, references: lines)
            try one.linkBlob(etag, toPayload: payload)
            try two.linkBlob(otherEtag, toPayload: payload)
            try cache.repo("org/three").blob(own)
            let xetHash = isListed ? payload : String(repeating: "0", count: 64)
            let listed = HubTreeFile(
                path: "a", size: UInt64(own.count), gitID: commit(2), sha256: etag, xetHash: xetHash)
            let wanted = try #require(WantedFile(listed))
            let ground = Ground(cache)
            #expect(try ground.installer(one).install(wanted, .digest, from: nil) == .copied)
            #expect(try ground.content(two.folder.appending("blobs").appending(otherEtag), payload: payload) == other)
            #expect(try ground.content(one.folder.appending("blobs").appending(etag)) == own)
        }
    }

    @Test func wrongPayloadIsReplaced() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let own = Array("what is wanted".utf8)
            let etag = ReferenceDigest.sha256(own)
            let one = cache.repo("org/one")
            let payload = try cache.payload(Array("what is broken".utf8), references: ["\(one.folder)/blobs/\(etag)"])
            try one.linkBlob(etag, toPayload: payload)
            try cache.repo("org/three").blob(own)
            let wanted = try #require(WantedFile(path: "a", etag: BytePath(etag), size: UInt64(own.count)))
            let ground = Ground(cache)
            #expect(try ground.installer(one).install(wanted, .digest, from: nil) == .copied)
            #expect(try ground.content(StoreInventory.location(of: BytePath(payload))) == own)
        }
    }

    /// A source may grow between the look at it and the clone of it.
    @Test func whatGrewAfterItsProofIsNotPublished() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let content = Array("what is wanted".utf8)
            let etag = BytePath(ReferenceDigest.sha256(content))
            let wanted = try #require(WantedFile(path: "a", etag: etag, size: UInt64(content.count)))
            let partial = try PartialFile.make(for: wanted, in: try Ground(cache).place(repo))
            try partial.append(content.span)
            #expect(try partial.isRight(wanted))
            try cache.outer.append(repo.place("blobs").appending(partial.name), [1])
            #expect(throws: SystemCallFailure.self) { try partial.publish(as: etag, permissions: 0o644, gid: 0) }
            #expect(!cache.outer.exists(repo.place("blobs").appending(etag)))
        }
    }

    @Test func whatIsHereAsAFileNeedsNoRoom() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let content = Array("what is here".utf8)
            try repo.plainFile("sub/a", content, at: commit(1))
            let etag = BytePath(ReferenceDigest.sha256(content))
            let wanted = try #require(WantedFile(path: "sub/a", etag: etag, size: UInt64(content.count)))
            try Ground(cache, criticalFree: .max).installer(repo).reserveRoom(for: [wanted])
            #expect(!cache.outer.exists("hub/.locks"))
        }
    }

    /// Of partial downloads only those count that are gone on with; and what is asked for is how much has to be free.
    @Test func roomIsAskedForInFreeBytes() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = ReferenceDigest.sha256([7])
            try repo.partial(etag, suffix: ".downloadInProgress", Array(repeating: 1, count: 1000))
            let asked = Mutex<[UInt64]>([])
            let ground = Ground(cache, criticalFree: 1 << 62) { free, _ in asked.withLock { $0.append(free) } }
            for size: UInt64 in [1000, 20_000_000_000_000] {
                let wanted = try #require(WantedFile(path: "a", etag: BytePath(etag), size: size))
                let failure = #expect(throws: RepairFailure.self) {
                    try ground.installer(repo).reserveRoom(for: [wanted])
                }
                #expect(failure?.code == .insufficientDisk)
            }
            #expect(asked.withLock(\.self) == [(1 << 62) + 1100, (1 << 62) + 22_000_000_000_000])
        }
    }

    /// Two jobs of one process do not count on the same room, until one of them is over or has written what it wanted.
    @Test func roomIsKeptForWhoAskedFirst() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let ground = Ground(cache, criticalFree: 0)
            let available = try ground.place(repo).availableBytes()
            let wanted = try (1...2).map { number in
                let etag = BytePath(ReferenceDigest.sha256([UInt8(number)]))
                return try #require(WantedFile(path: BytePath("\(number)"), etag: etag, size: available / 20 * 11))
            }
            do {
                let first = try ground.installer(repo)
                try first.reserveRoom(for: [wanted[0]])
                let refusal = #expect(throws: RepairFailure.self) {
                    try ground.installer(repo).reserveRoom(for: [wanted[1]])
                }
                #expect(refusal?.code == .insufficientDisk)
                #expect(refusal.map { "\($0)".contains("for downloads under way") } == true)
                // Over, however it ended: it needs no room any more.
                #expect(throws: RepairFailure.self) { try first.install(wanted[0], .length, from: nil) }
                try ground.installer(repo).reserveRoom(for: [wanted[1]])
                withExtendedLifetime(first) {}
            }
            try ground.installer(repo).reserveRoom(for: [wanted[1]])
        }
    }

    @Test func sumsOfHostileSizesHaveAnEnd() throws {
        try withTestCache { cache in
            let wanted = try (1...3).map { number in
                let etag = BytePath(ReferenceDigest.sha256([UInt8(number)]))
                return try #require(WantedFile(path: BytePath("\(number)"), etag: etag, size: UInt64(Int64.max)))
            }
            let ground = Ground(cache)
            #expect(throws: RepairFailure.self) { try ground.installer(cache.repo()).reserveRoom(for: wanted) }
            let progress = TransferProgress()
            for file in wanted {
                progress.begin(bytes: file.size)
                progress.begin(file: file.path)
                progress.resume(file: file.path, at: file.size)
                progress.finish(file: file.path, bytes: file.size, wasTransferred: false)
                progress.begin(file: file.path)
                progress.advance(file: file.path, to: file.size)
            }
            #expect([progress.bytesTotal, progress.bytesDone, progress.bytesNotTransferred] == [.max, .max, .max])
        }
    }

    /// Two caches of one process share what the policy allows.
    @Test func rateIsOneForTheProcess() {
        let limit = HubSpeedLimit.ofProcess(bytesPerSecond: 1_000_000)
        #expect(HubSpeedLimit.ofProcess(bytesPerSecond: 1_000_000) === limit)
        #expect(HubSpeedLimit.ofProcess(bytesPerSecond: 2_000_000) !== limit)
    }

    /// What a run has brought is a twin for what comes after it, and is looked for once.
    @Test func whatCameIsATwin() throws {
        try withTestCache { cache in
            let (one, two) = (cache.repo("org/one"), cache.repo("org/two"))
            let content = Array("what is wanted".utf8)
            let wanted = try #require(
                WantedFile(path: "a", etag: BytePath(ReferenceDigest.sha256(content)), size: UInt64(content.count)))
            let twins = LocalTwins(target: try Ground(cache).root(), others: [])
            #expect(twins.candidates(for: wanted, in: try Ground(cache).place(two), besides: nil).isEmpty)
            _ = try one.blob(content)
            twins.note(wanted.etag, in: one.id.folder)
            #expect(twins.candidates(for: wanted, in: try Ground(cache).place(two), besides: nil).count == 1)
        }
    }

    /// What was written to while its replacement came stays.
    @Test(arguments: [FileInstaller.Care.length, .digest, .damage])
    func filesOfTheirOwnStay(care: FileInstaller.Care) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let contents = ["a": Array("one".utf8), "b": Array("two".utf8)]
            let wanted = try contents.map { path, content in
                try #require(
                    WantedFile(
                        path: BytePath(path), etag: BytePath(ReferenceDigest.sha256(content)),
                        size: UInt64(content.count)))
            }.sorted { $0.path < $1.path }
            try cache.repo("org/twins").blob(Array("two".utf8))
            try repo.plainFile("a", Array("one".utf8), at: commit(1))
            try repo.plainFile("b", Array("edited by hand".utf8), at: commit(1))
            let ground = Ground(cache)
            let installer = FileInstaller(
                place: try ground.place(repo), commit: try #require(CommitHash(commit(1))), files: wanted,
                settings: ground.settings, twins: LocalTwins(target: try ground.root(), others: []),
                progress: TransferProgress(), cancellation: Cancellation())
            #expect(installer.keepsFiles)
            #expect(try installer.install(wanted[0], care, from: nil) == .present)
            if care == .damage {
                #expect(try installer.install(wanted[1], care, from: nil) == .copied)
                return
            }
            let failure = #expect(throws: RepairFailure.self) { try installer.install(wanted[1], care, from: nil) }
            #expect(failure?.code == .inUse && failure?.isOccupied == true)
            #expect(
                try ground.content(repo.folder.appending("snapshots/\(commit(1))/b")) == Array("edited by hand".utf8))
        }
    }

    @Test func leftoversOfACrashAreMended() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = try repo.blob(Array("content".utf8))
            try repo.link("a", to: commit(7), at: commit(1))
            let leftover = repo.place("blobs").appending(".\(etag).0123abcd.new")
            try cache.outer.link(leftover, to: BytePath("../../blobs/\(etag)"))
            let wanted = try #require(WantedFile(path: "a", etag: BytePath(etag), size: 7))
            let installer = try Ground(cache).installer(repo)
            #expect(try installer.install(wanted, .digest, from: nil) == .relinked)
            #expect(!cache.outer.exists(leftover))
            try cache.outer.write("hub/CACHEDIR.TAG", "", mode: 0o600)
            try CommitTexts(place: installer.place).writeTag()
            let tag = try Ground(cache).content("CACHEDIR.TAG")
            #expect(String(decoding: tag, as: UTF8.self).hasPrefix("Signature: 8a477f597d28d172789f06886806bc55\n"))
        }
    }
}

/// A cache that something is brought into.
private struct Ground {
    let cache: TestCache
    var settings: RepairSettings

    init(_ cache: TestCache, criticalFree: UInt64 = 0, makeRoom: (@Sendable (UInt64, RepoID) -> Void)? = nil) {
        self.cache = cache
        settings = RepairSettings(criticalFree: criticalFree)
        settings.makeRoom = makeRoom
    }

    func root() throws -> CacheRoot { try CacheRoot(opening: cache.path) }

    func place(_ repo: TestRepo) throws -> RepoPlace {
        try RepoPlace(
            repo.id, in: root(), makes: true, allowsLinkedFolder: { _ in false }, steps: RepairSteps { _ in })
    }

    func installer(_ repo: TestRepo) throws -> FileInstaller {
        FileInstaller(
            place: try place(repo), commit: try #require(CommitHash(commit(1))), settings: settings,
            twins: LocalTwins(target: try root(), others: []), progress: TransferProgress(),
            cancellation: Cancellation())
    }

    /// What a file of the cache has.
    ///
    /// - Parameter payload: of the shared store, when the file is a link to it.
    func content(_ location: BytePath, payload: String? = nil) throws -> [UInt8] {
        var location = location
        if let payload {
            let folder = try root().open(location.parent, options: .directory)
            let text = try folder.readLink(location.lastComponent)
            location = try #require(location.parent.resolvingLexically(text))
            #expect(location == StoreInventory.location(of: BytePath(payload)))
        }
        return try #require(try root().open(location).readAll(limit: 1 << 20))
    }
}
