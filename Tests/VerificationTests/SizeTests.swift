import CacheScan
import Foundation
import HubCache
import TestSupport
import Testing
import Verification

/// Sizes: allocated, each inode once, as du(1) counts.
@Suite struct SizeTests {
    /// What `du` says of a folder, in bytes.
    private func du(_ path: BytePath) throws -> UInt64 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/du")
        process.arguments = ["-s", "--block-size=1", path.text]
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return try #require(UInt64(text.prefix { $0.isNumber }))
    }

    private func expectTotal(of cache: TestCache, _ comment: Comment) throws {
        let report = try verify(cache, depth: .structure)
        #expect(report.bytes == (try du(cache.path)), comment)
        #expect(report.reclaimableBytes <= report.bytes, comment)
        #expect(report.otherBytes <= report.bytes, comment)
        for repo in report.repos {
            #expect(repo.reclaimableBytes <= repo.bytes, comment)
            for revision in repo.revisions { #expect(revision.uniqueBytes <= revision.bytes, comment) }
        }
    }

    /// One kind of thing that takes room, each.
    enum Room: String, CaseIterable {
        case model, partials, orphans, hardLinks, hardLinkedOrphans, sparse, deepSnapshot, store, unmarkedStore, locks,
            deepLocks
        case strayFolderInRoot, strayFolderInRepo, strayFolderInSnapshots, folderAsBlob, folderAsPartial, folderAsLock
        case folderAsManifest, temporaryFolderInTrees, nestedRefs, noExist, operations, oldTemporaryFolder, longLink
        case folderAsStaging, strayInShelf, folderAsStoreLock, strayFolderInStore
    }

    private func make(_ room: Room, in cache: TestCache) throws {
        let repo = cache.repo()
        let big = [UInt8](repeating: 7, count: 20_000)
        let outer = cache.outer
        func folder(_ place: BytePath) throws { try outer.write(place.appending("deep/er/file"), big) }
        switch room {
        case .model: try repo.model()
        case .partials:
            try repo.partial(ReferenceDigest.sha256([1]), big)
            try repo.partial(ReferenceDigest.sha256([2]), suffix: ".downloadInProgress", big)
            try outer.write("hub/tmp12345678", big)
        case .orphans: try repo.blob(big)
        case .hardLinks:
            let etag = try repo.file("a.bin", big, at: commit(1))
            try outer.hardLink(repo.snapshot(commit(1), "b.bin"), to: repo.place("blobs").appending(etag))
            try outer.hardLink(
                cache.repo("org/other").snapshot(commit(1), "c.bin"), to: repo.place("blobs").appending(etag))
            try outer.hardLink("hub/stray", to: repo.place("blobs").appending(etag))
        case .hardLinkedOrphans:
            try repo.blob(named: "one", big)
            for name in ["two", "three", "four"] {
                try outer.hardLink(repo.place("blobs").appending(BytePath(name)), to: repo.place("blobs/one"))
            }
        case .sparse:
            let etag = try repo.file("a.bin", [1], at: commit(1))
            try outer.resize(repo.place("blobs").appending(etag), to: 1 << 33)
        case .deepSnapshot: try repo.file("a/b/c/d/e/f.bin", big, at: commit(1))
        case .store, .strayInShelf, .folderAsStoreLock, .strayFolderInStore:
            try cache.makeStore()
            let hash = try cache.payload(big, references: [])
            try repo.linkBlob(ReferenceDigest.sha256(big), toPayload: hash)
            try repo.link("a.bin", to: ReferenceDigest.sha256(big), at: commit(1))
            try cache.repo("org/other").linkBlob(ReferenceDigest.sha256(big), toPayload: hash)
            try cache.repo("org/other").link("a.bin", to: ReferenceDigest.sha256(big), at: commit(1))
            _ = try cache.payload([1, 2, 3])
            let shelf = cache.place("blobs").appending(String(hash.prefix(2)))
            if room == .strayInShelf { try folder(shelf.appending("odd")) }
            if room == .folderAsStoreLock { try folder(shelf.appending(hash + ".lock.soft")) }
            if room == .strayFolderInStore { try folder("hub/blobs/odd") }
        case .unmarkedStore:
            try cache.makeStore(marker: nil)
            try folder("hub/blobs/aa")
        case .locks: try outer.write(repo.lockPlace("x"), "")
        case .deepLocks: try folder("hub/.locks/a/b/c/d/e/f")
        case .strayFolderInRoot: try folder("hub/stray")
        case .strayFolderInRepo: try folder(repo.place("stray"))
        case .strayFolderInSnapshots: try folder(repo.place("snapshots/stray"))
        case .folderAsBlob: try folder(repo.place("blobs").appending(ReferenceDigest.sha256([3])))
        case .folderAsPartial: try folder(repo.place("blobs/x.incomplete"))
        case .folderAsLock: try folder(repo.place("blobs/x.lock"))
        case .folderAsStaging: try folder(repo.place("blobs/tmp_x"))
        case .folderAsManifest: try folder(repo.place("trees").appending(commit(1) + ".json"))
        case .temporaryFolderInTrees: try folder(repo.place("trees/tmpabcdefgh.tmp"))
        case .nestedRefs:
            try repo.ref("refs/pr/1", commit(1))
            try repo.ref("a/b/c", commit(1))
        case .noExist: try outer.write(repo.place(".no_exist").appending(commit(1) + "/a/b"), "")
        case .operations: try folder(repo.place(".hfjanitor/op1"))
        case .oldTemporaryFolder: try folder("hub/tmp12345678")
        case .longLink:
            try outer.link(repo.snapshot(commit(1), "long"), to: BytePath(String(repeating: "x/", count: 300)))
        }
    }

    @Test(arguments: Room.allCases)
    func totalIsWhatDuSays(room: Room) throws {
        try withTestCache { cache in
            try make(room, in: cache)
            try expectTotal(of: cache, "\(room)")
        }
    }

    @Test func totalOfEverythingAtOnce() throws {
        try withTestCache { cache in
            for room in Room.allCases {
                // These would take the place of others.
                if [.unmarkedStore, .partials].contains(room) { continue }
                try? make(room, in: cache)
            }
            try expectTotal(of: cache, "everything")
        }
    }

    @Test func partsAddUpToTheTotal() throws {
        try withTestCache { cache in
            try cache.repo("org/a").model()
            try cache.repo("org/b").model()
            try cache.makeStore()
            let used = try cache.payload([UInt8](repeating: 1, count: 9000))
            let loose = try cache.payload([UInt8](repeating: 2, count: 5000))
            let etag = ReferenceDigest.sha256([1])
            try cache.repo("org/a").linkBlob(etag, toPayload: used)
            try cache.repo("org/a").link("big.bin", to: etag, at: commit(1))
            let report = try verify(cache, depth: .structure)
            #expect(report.repos.reduce(0) { $0 + $1.bytes } + report.otherBytes == report.bytes)
            let a = try report.repo("model/org/a")
            #expect(a.bytes == (try du(cache.path.appending("models--org--a"))) + 12288)
            #expect(report.reclaimableBytes == 8192, "the payload that nobody links to: \(loose)")
            // Content of its revision: four small files and the payload.
            #expect(try a.revision.bytes == 4 * 4096 + 12288)
            #expect(try a.revision.uniqueBytes == 4 * 4096 + 12288)
        }
    }

    @Test func uniqueBytesLeaveOutWhatOthersHold() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let shared = [UInt8](repeating: 1, count: 9000)
            for number in 1...2 {
                try repo.file("shared.bin", shared, at: commit(number))
                try repo.file("again.bin", shared, at: commit(number))
                try repo.file("own.bin", [UInt8](repeating: UInt8(number + 1), count: 5000), at: commit(number))
            }
            let report = try verify(cache, depth: .structure)
            for revision in try report.repo().revisions {
                #expect(revision.bytes == 12288 + 8192)
                #expect(revision.uniqueBytes == 8192)
            }
            // Asked for alone, the other revision still holds it.
            let alone = try verify(cache, depth: .structure, .repo(repo.id, CommitHash(commit(1))))
            #expect(try alone.revision.uniqueBytes == 8192)
        }
    }

    @Test func uniqueBytesOfASharedPayload() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let hash = try cache.payload([UInt8](repeating: 1, count: 9000))
            let etag = ReferenceDigest.sha256([1])
            for name in ["org/a", "org/b"] {
                try cache.repo(name).linkBlob(etag, toPayload: hash)
                try cache.repo(name).link("a.bin", to: etag, at: commit(1))
            }
            for selection in [CacheSelection.everything, .repo(cache.repo("org/a").id, nil)] {
                let revision = try verify(cache, depth: .structure, selection).repo("model/org/a").revision
                #expect(revision.bytes == 12288)
                #expect(revision.uniqueBytes == 0)
            }
        }
    }

    @Test func reclaimableIsLeftoversOnly() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try repo.partial(ReferenceDigest.sha256([1]), [UInt8](repeating: 1, count: 5000))
            try repo.blob([UInt8](repeating: 2, count: 9000))
            try cache.outer.write("hub/notes", [UInt8](repeating: 2, count: 9000))
            let live = ReferenceDigest.sha256([2])
            try repo.partial(live, [UInt8](repeating: 1, count: 9000))
            let lock = try HeldLock(cache.outer, repo.lockPlace(live))
            defer { lock.release() }
            let report = try verify(cache, depth: .structure)
            #expect(try report.repo().reclaimableBytes == 8192 + 12288)
            #expect(report.reclaimableBytes == 8192 + 12288)
            #expect(try report.repo().leftovers.map(\.kind).sorted() == ["orphan-blob", "stale-partial"])
        }
    }

    @Test func selectedRepoIsCountedWithItsPayloads() throws {
        try withTestCache { cache in
            try cache.repo("org/a").model()
            try cache.repo("org/b").model()
            let report = try verify(cache, depth: .structure, .repo(cache.repo("org/a").id, nil))
            #expect(report.repos.map(\.id) == ["model/org/a"])
            #expect(report.bytes == (try du(cache.path.appending("models--org--a"))))
        }
    }

    @Test func plainFolderIsCountedToo() throws {
        try withTestFolder { folder in
            try folder.write("w/model.safetensors", safetensors([("a", [1])]))
            try folder.write("w/.git/objects/xx/yy", [UInt8](repeating: 2, count: 9000))
            try folder.write("w/sub/x", [1])
            try folder.write("w/.cache/huggingface/download/x.metadata", "a")
            let repo = try verify(plain: folder.absolute("w"))
            #expect(repo.bytes == (try du(folder.absolute("w"))))
        }
    }
}
