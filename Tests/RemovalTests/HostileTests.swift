import CacheScan
import Foundation
import HubCache
import LinuxIO
import Testing

@testable import Removal
@testable import TestSupport

/// Nothing that is found in a cache makes a removal touch what is not asked for.
@Suite struct HostileTests {
    /// Things beside the cache that a removal might be led to.
    private func outside(_ cache: TestCache) throws -> @Sendable () -> Content {
        try cache.outer.write("outside/file.bin", [1, 2, 3])
        try cache.outer.write("outside/blobs/etag", [4])
        try cache.outer.link("outside/link", to: "file.bin")
        let path = cache.outer.absolute("outside")
        return { Content(path) }
    }

    @Test func linksThatLeadOutsideAreOnlyUnlinked() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let look = try outside(cache)
            let before = look()
            try cache.outer.link(repo.snapshot(commit(1), "absolute"), to: cache.outer.absolute("outside/file.bin"))
            try cache.outer.link(repo.snapshot(commit(1), "climbing"), to: "../../../../outside/file.bin")
            try cache.outer.link(repo.snapshot(commit(1), "folder"), to: cache.outer.absolute("outside"))
            try cache.outer.link(repo.snapshot(commit(1), "self"), to: "self")
            try cache.outer.link(repo.place("blobs/escape"), to: cache.outer.absolute("outside/file.bin"))
            try cache.outer.hardLink(repo.place("blobs/hard"), to: "outside/file.bin")
            try repo.link("a", to: "escape", at: commit(1))
            try repo.link("b", to: "hard", at: commit(1))
            try repo.link(BytePath("new\nline"), to: "hard", at: commit(1))
            try repo.link(BytePath(bytes: [0xff, 0xfe]), to: "hard", at: commit(1))
            let results = try cache.remove(repo, commit(1))
            #expect(results == [.removed(bytes: bytes(results))])
            #expect(look() == before)
            #expect(!cache.outer.exists(repo.place("blobs/hard")) && !cache.outer.exists(repo.place("blobs/escape")))
        }
    }

    private func bytes(_ results: [RemovalResult]) -> UInt64 {
        if case .removed(let bytes)? = results.first { bytes } else { 0 }
    }

    @Test func blobsThatAreNoFilesStay() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try cache.outer.write(repo.place("blobs/folder/file"), [1])
            try cache.outer.fifo(repo.place("blobs/fifo"))
            try repo.link("a", to: "folder", at: commit(1))
            try repo.link("b", to: "fifo", at: commit(1))
            #expect(try cache.remove(repo, commit(1))[0].isRemoved)
            #expect(cache.outer.exists(repo.place("blobs/folder/file")) && cache.outer.exists(repo.place("blobs/fifo")))
        }
    }

    @Test func foreignFilesKeepARevision() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            try repo.plainFile("notes.txt", [2], at: commit(1))
            #expect(try cache.remove(repo, commit(1))[0].keepers == [.foreignFiles])
            try repo.manifest(commit(1), [ManifestEntry("a.bin", [1])])
            #expect(try cache.remove(repo, commit(1))[0].keepers == [.foreignFiles])
            try repo.manifest(commit(1), [ManifestEntry("a.bin", [1]), ManifestEntry("notes.txt", [2])])
            #expect(try cache.remove(repo, commit(1))[0].isRemoved)
        }
    }

    @Test func aFifoKeepsARevision() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try cache.outer.fifo(repo.snapshot(commit(1), "sub/fifo"))
            #expect(try cache.remove(repo, commit(1))[0].keepers == [.foreignFiles])
        }
    }

    @Test func aRevisionThatAnotherOneLeadsThroughStays() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            try cache.outer.link(repo.snapshot(commit(2), "a.bin"), to: BytePath("../\(commit(1))/a.bin"))
            #expect(try cache.remove(repo, commit(1))[0].keepers == [.foreignEntry])
            #expect(try cache.remove(repo, commit(1), commit(2)).allSatisfy(\.isRemoved))
        }
    }

    @Test func aBlobThatLeadsToABlobTakesItAlongOrLeavesIt() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.blob(named: "end", [1])
            try cache.outer.link(repo.place("blobs/hop"), to: "end")
            try repo.link("a.bin", to: "hop", at: commit(1))
            try repo.link("b.bin", to: "end", at: commit(2))
            #expect(try cache.remove(repo, commit(1))[0].isRemoved)
            #expect(!cache.outer.exists(repo.place("blobs/hop")) && cache.outer.exists(repo.place("blobs/end")))
            try cache.outer.link(repo.place("blobs/hop"), to: "end")
            try repo.link("a.bin", to: "hop", at: commit(3))
            #expect(try cache.remove(repo, commit(2))[0].isRemoved)
            #expect(cache.outer.exists(repo.place("blobs/end")))
        }
    }

    @Test func whatCannotBeSeenKeepsAll() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            // What is in it may link to the blob.
            try cache.outer.makeFolder(repo.place("snapshots/not-a-commit"))
            #expect(try cache.remove(repo, commit(1))[0].keepers == [.cannotTell])
            cache.outer.delete(repo.place("snapshots/not-a-commit"))
            let deep = BytePath(Array(repeating: "d", count: 70).joined(separator: "/"))
            try repo.file(deep.appending("a.bin"), [2], at: commit(2))
            #expect(try cache.remove(repo, commit(1))[0].keepers == [.cannotTell])
            #expect(cache.outer.exists(repo.snapshot(commit(1), "a.bin")))
        }
    }

    @Test func linkedFoldersAreLeft() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            try cache.outer.move(cache.place(repo.folder), to: "elsewhere")
            try cache.outer.link(cache.place(repo.folder), to: cache.outer.absolute("elsewhere"))
            let before = Content(cache.outer.path)
            #expect(try cache.remove(repo, commit(1))[0].keepers == [.foreignEntry])
            #expect(Content(cache.outer.path) == before)
            var request = repo.request([commit(1)])
            request.allowsLinkedFolder = true
            let results = try retried { try cache.remover().remove([request]).map(\.result) }
            #expect(results[0].isRemoved, "\(results)")
            #expect(!cache.outer.exists(BytePath("elsewhere/snapshots/\(commit(1))")))
        }
    }

    @Test func operationsInLinkedFoldersAreRecoveredWhereThatIsAllowed() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            let before = Content(cache.path)
            let run = try RemovalRun.run(cache, killAt: 8, ["remove", "\(repo.folder.text)@\(commit(1))"])
            #expect(run.wasKilled)
            try cache.outer.move(cache.place(repo.folder), to: "elsewhere")
            try cache.outer.link(cache.place(repo.folder), to: cache.outer.absolute("elsewhere"))
            #expect(try cache.remover().recover().isEmpty)
            #expect(cache.outer.exists("elsewhere/.hfjanitor"))
            #expect(try cache.remover().recover(linkedFolders: [repo.folder]).map(\.result) == [.undone])
            #expect(!cache.outer.exists("elsewhere/.hfjanitor"))
            cache.outer.delete(cache.place(repo.folder))
            try cache.outer.move("elsewhere", to: cache.place(repo.folder))
            #expect(Content(cache.path).differences(from: before) == [])
        }
    }

    @Test(.enabled(if: isRoot, "needs root to give files away")) func whatBelongsToOthersIsLeft() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            try cache.outer.chown(repo.snapshot(commit(1), "a.bin"), 12345)
            #expect(try cache.remove(repo, commit(1))[0].isFailed)
            try cache.outer.chown(repo.snapshot(commit(1), "a.bin"), 0)
            try cache.outer.chown(cache.place(repo.folder), 12345)
            #expect(try cache.remove(repo, commit(1))[0].isFailed)
            #expect(cache.outer.exists(repo.snapshot(commit(1), "a.bin")))
        }
    }

    // MARK: the private folder

    @Test(arguments: ["link", "file", "fifo"]) func aPrivateFolderThatIsNone(_ kind: String) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            let look = try outside(cache)
            let place = repo.place(".hfjanitor")
            switch kind {
            case "link": try cache.outer.link(place, to: cache.outer.absolute("outside"))
            case "file": try cache.outer.write(place, [1])
            default: try cache.outer.fifo(place)
            }
            let before = Content(cache.outer.path)
            let outside = look()
            #expect(try cache.remove(repo, commit(1))[0].isFailed)
            #expect(Content(cache.outer.path).differences(from: before) == [])
            #expect(look() == outside)
            #expect(try cache.remover().recover().allSatisfy { if case .left = $0.result { true } else { false } })
        }
    }

    /// Intents as somebody could write them who wants more removed than there is: all are left, and nothing is touched.
    @Test func intentsOfAnAttacker() throws {
        let victim = Intent.Blob(
            name: "etag",
            identity: ParkedIdentity(kind: .regular, inode: 1, size: 1, modified: Timestamp(nanoseconds: 0)),
            leadsTo: nil, payload: nil)
        func intent(_ change: (inout Intent) -> Void) -> Intent {
            var made = Intent(
                operation: "0123456789abcdef", folder: "models--org--model", removesEmptyFolders: true,
                revisions: [
                    Intent.Revision(
                        commit: CommitHash(commit(1))!, inode: 1,
                        folders: [Intent.Folder(path: .empty, permissions: 0o755, gid: 0)], files: [], refs: [],
                        manifest: nil)
                ], blobs: [victim])
            change(&made)
            return made
        }
        let identity = victim.identity
        let link = ParkedIdentity(kind: .symlink, inode: 1, size: 1, modified: identity.modified)
        let hostile: [Intent] = [
            intent { $0.folder = "../outside" }, intent { $0.folder = "models--o--other" },
            intent { $0.folder = "." }, intent { $0.blobs[0].name = "../../../outside/file.bin" },
            intent { $0.blobs[0].name = ".." }, intent { $0.blobs[0].name = "/etc/passwd" },
            intent { $0.blobs.append(victim) },
            intent { $0.blobs[0].payload = Intent.Payload(hash: "../../outside/file.bin", identity: identity) },
            intent {
                $0.blobs[0].identity = link
                $0.blobs[0].payload = Intent.Payload(hash: "../../outside/file.bin", identity: identity)
            },
            intent { $0.revisions[0].files = [Intent.File(path: "../../outside/file.bin", identity: identity)] },
            intent { $0.revisions[0].files = [Intent.File(path: "/etc/passwd", identity: identity)] },
            intent { $0.revisions[0].folders = [Intent.Folder(path: "..", permissions: 0o777, gid: 0)] },
            intent { $0.revisions[0].folders.append(Intent.Folder(path: "a/..", permissions: 0o777, gid: 0)) },
            intent { $0.revisions[0].refs = [Intent.Ref(name: "../../../outside/file.bin", identity: identity)] },
            intent { $0.revisions.append($0.revisions[0]) },
        ]
        for (number, made) in hostile.enumerated() {
            for decision in [nil, Decision.undo, .finish(revisions: [0])] {
                try withTestCache { cache in
                    let repo = cache.repo()
                    try repo.file("a.bin", [1], at: commit(1))
                    try cache.repo("o/other").model(commit(1))
                    _ = try outside(cache)
                    let bytes = made.encoded() + (decision.map { made.encoded($0) } ?? [])
                    try cache.outer.write(repo.place(".hfjanitor/0123456789abcdef.intent"), bytes)
                    let before = Content(cache.outer.path)
                    let outcomes = try cache.remover().recover()
                    #expect(outcomes.count == 1, "\(number)")
                    if case .left = outcomes[0].result {} else { Issue.record("\(number): \(outcomes)") }
                    #expect(Content(cache.outer.path).differences(from: before) == [], "\(number)")
                    // A repo with such a thing in it is not touched at all.
                    #expect(try cache.remove(repo, commit(1))[0].keepers == [.lock])
                }
            }
        }
    }

    /// Parked things that are not what a whole and true intent says of them are left.
    @Test func whatIsNotWhatTheIntentSaysIsLeft() throws {
        for decision in [nil, Decision.finish(revisions: [0])] {
            try withTestCache { cache in
                let repo = cache.repo()
                try repo.file("a.bin", [1], at: commit(1))
                let name = "0123456789abcdef"
                let identity = ParkedIdentity(
                    kind: .regular, inode: 1, size: 1, modified: Timestamp(nanoseconds: 0))
                let intent = Intent(
                    operation: BytePath(name), folder: repo.folder, removesEmptyFolders: true,
                    revisions: [
                        Intent.Revision(
                            commit: CommitHash(commit(1))!, inode: 1,
                            folders: [Intent.Folder(path: .empty, permissions: 0o755, gid: 0)], files: [],
                            refs: [Intent.Ref(name: "main", identity: identity)], manifest: identity)
                    ], blobs: [Intent.Blob(name: "etag", identity: identity, leadsTo: nil, payload: nil)])
                let bytes = intent.encoded() + (decision.map { intent.encoded($0) } ?? [])
                try cache.outer.write(repo.place(BytePath(".hfjanitor/\(name).intent")), bytes)
                try cache.outer.write(repo.place(BytePath(".hfjanitor/\(name).etag")), [7])
                try cache.outer.write(repo.place(BytePath(".hfjanitor/\(name)@1-1")), [8])
                try cache.outer.write(repo.place(BytePath("trees/\(commit(1)).json")), [9])
                _ = try cache.remover().recover()
                for left in [".hfjanitor/\(name).etag", ".hfjanitor/\(name)@1-1", "trees/\(commit(1)).json"] {
                    #expect(cache.outer.exists(repo.place(BytePath(left))), "\(left)")
                }
                #expect(cache.outer.exists(repo.snapshot(commit(1), "a.bin")))
            }
        }
    }

    /// Every cut and every changed byte of an intent makes it one that is left, or one that says the same.
    @Test func tornIntents() throws {
        let identity = ParkedIdentity(kind: .regular, inode: 7, size: 8, modified: Timestamp(nanoseconds: -9))
        let intent = Intent(
            operation: "0123456789abcdef", folder: "models--o--a", removesEmptyFolders: false,
            revisions: [
                Intent.Revision(
                    commit: CommitHash(commit(1))!, inode: 1,
                    folders: [
                        Intent.Folder(path: .empty, permissions: 0o755, gid: 0),
                        Intent.Folder(path: BytePath("a b\n%"), permissions: 0o755, gid: 0),
                    ], files: [Intent.File(path: BytePath(bytes: Array("a b\n%/".utf8) + [0xff]), identity: identity)],
                    refs: [Intent.Ref(name: "refs/pr/3", identity: identity)], manifest: identity)
            ],
            blobs: [Intent.Blob(name: "etag", identity: identity, leadsTo: "other", payload: nil)])
        let body = intent.encoded()
        let whole = body + intent.encoded(.finish(revisions: [0]))
        let record = IntentRecord(intent: intent, decision: .finish(revisions: [0]))
        #expect(IntentRecord(decoding: whole, operation: intent.operation) == record)
        for length in 0..<whole.count {
            let cut = IntentRecord(decoding: Array(whole[..<length]), operation: intent.operation)
            #expect(cut == (length < body.count ? nil : IntentRecord(intent: intent, decision: nil)), "\(length)")
        }
        for position in body.indices {
            for change: UInt8 in [1, 0x80] {
                var bytes = whole
                bytes[position] ^= change
                #expect(IntentRecord(decoding: bytes, operation: intent.operation) == nil, "\(position)")
            }
        }
        // A decision that was torn, and the one after it.
        let torn = body + intent.encoded(.finish(revisions: [0])).dropLast(5) + intent.encoded(.undo)
        #expect(
            IntentRecord(decoding: torn, operation: intent.operation)
                == IntentRecord(intent: intent, decision: .undo))
    }

    @Test(arguments: [Decision.undo, .finish(revisions: [0])]) func anIntentThatSomebodyHoldsIsLive(
        _ decision: Decision
    ) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            let intent = Intent(
                operation: "0123456789abcdef", folder: repo.folder, removesEmptyFolders: false, revisions: [], blobs: []
            )
            try cache.outer.write(repo.place(".hfjanitor/0123456789abcdef.intent"), intent.encoded())
            let held = try HeldLock(cache.outer, repo.place(".hfjanitor/0123456789abcdef.intent"))
            #expect(try cache.remover().recover().map(\.result) == [.live])
            #expect(try cache.remove(repo, commit(1))[0].keepers == [.lock])
            held.release()
            #expect(try cache.remove(repo, commit(1))[0].isRemoved)
        }
    }
}
