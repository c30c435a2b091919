import Foundation
import Glibc
import HubCache
import Testing

@testable import Removal
@testable import TestSupport

/// A disk without one free byte, as a download leaves that died of it.
@Suite struct FullDiskTests {
    private func withFullDisk(_ body: (TestCache) throws -> Void, _ fill: (TestCache) throws -> Void) throws {
        try withTestCache(in: "/tmp") { cache in
            let place = "\(cache.outer.path.text)/hub"
            try run("/bin/mount", ["-t", "tmpfs", "tmpfs", "-o", "size=1m,mode=755", place])
            defer { try? run("/bin/umount", ["-l", place]) }
            try fill(cache)
            let ballast = unsafe open("\(place)/ballast", O_WRONLY | O_CREAT, 0o600)
            defer { close(ballast) }
            let page = [UInt8](repeating: 0, count: 4096)
            while unsafe write(ballast, page, page.count) > 0 {}
            try body(cache)
        }
    }

    private func run(_ program: String, _ arguments: [String]) throws {
        let process = try Process.run(URL(fileURLWithPath: program), arguments: arguments)
        process.waitUntilExit()
        if process.terminationStatus != 0 { throw SetupFailure(description: "\(program) \(arguments)") }
    }

    @Test(.enabled(if: geteuid() == 0, "needs root to mount a small filesystem"))
    func itMakesRoomAllTheSame() throws {
        try withFullDisk { cache in
            let repo = cache.repo()
            let told = Told()
            let results = try retried {
                try cache.remover(told: told).remove([repo.request([commit(1)])]).map(\.result)
            }
            guard case .removed(let bytes) = results[0] else { throw SetupFailure(description: "\(results)") }
            #expect(bytes >= 4096)
            #expect(!cache.outer.exists(repo.snapshot(commit(1))))
            #expect(!cache.outer.exists(repo.place("blobs").appending(ReferenceDigest.sha256([1]))))
            #expect(!cache.outer.exists(repo.place("refs/main")))
            #expect(!cache.outer.exists(repo.place(".hfjanitor")))
            #expect(cache.outer.exists(repo.place("blobs").appending(ReferenceDigest.sha256([3]))))
            #expect(cache.outer.exists(repo.snapshot(commit(2), "a.bin")))
        } _: { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            try repo.file("sub/b.bin", [3], at: commit(1))
            try repo.ref("main", commit(1))
            try repo.file("a.bin", [3], at: commit(2))
        }
    }

    /// The word that decides needs no block of its own.
    @Test func anIntentHasRoomForItsDecision() throws {
        var wasPadded = false
        for length in stride(from: 1, to: 3000, by: 5) {
            let name = BytePath(String(repeating: "0", count: 16))
            let identity = ParkedIdentity(kind: .regular, inode: 1, size: 1, modified: Timestamp(nanoseconds: 0))
            let blobs = (0..<(20 + length / 200)).map { number in
                Intent.Blob(
                    name: BytePath("\(number)" + String(repeating: "b", count: number == 0 ? length % 200 + 1 : 130)),
                    identity: identity, leadsTo: nil, payload: nil)
            }
            let intent = Intent(
                operation: name, folder: "models--o--m",
                removesEmptyFolders: false, revisions: [], blobs: blobs)
            let bytes = intent.encodedWithRoom()
            let decision = intent.encoded(.finish(revisions: []))
            wasPadded = wasPadded || bytes.count > intent.encoded().count
            #expect((bytes.count - 1) / 4096 == (bytes.count + decision.count - 1) / 4096)
            let record = IntentRecord(decoding: bytes + decision, operation: name)
            #expect(record == IntentRecord(intent: intent, decision: .finish(revisions: [])))
        }
        #expect(wasPadded)
    }

    /// A client that links a new commit to a blob before it would have gone keeps it.
    @Test(.enabled(if: geteuid() == 0, "needs root to mount a small filesystem"))
    func aClientThatComesMeanwhileKeepsItsBlob() throws {
        try withFullDisk { cache in
            let repo = cache.repo()
            let once = Once(at: .snapshotFolderRemoved) {
                try repo.link("new.bin", to: ReferenceDigest.sha256([1]), at: commit(2))
            }
            let results = try retried {
                try cache.remover(settle: .milliseconds(100), step: { once.reached($0) })
                    .remove([repo.request([commit(1)])]).map(\.result)
            }
            #expect(results[0].isRemoved, "\(results)")
            #expect(!cache.outer.exists(repo.snapshot(commit(1))))
            let path = cache.outer.absolute(repo.snapshot(commit(2), "new.bin")).text
            #expect(FileManager.default.contents(atPath: path) == Data([1]))
            #expect(!cache.outer.exists(repo.place("blobs").appending(ReferenceDigest.sha256([2]))))
        } _: { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            try repo.file("b.bin", [2], at: commit(1))
            try repo.file("a.bin", [3], at: commit(2))
        }
    }

    /// Killed anywhere: no link leads to nothing, no ref names what is half gone, and the next run ends it.
    @Test(.enabled(if: geteuid() == 0, "needs root to mount a small filesystem"))
    func killedAtEveryStep() throws {
        let files = ["a.bin", "sub/b.bin", "sub/c.bin"]
        var step = 1
        var isKilled = true
        while isKilled, step < 100 {
            try withFullDisk { cache in
                let repo = cache.repo()
                let items = ["\(repo.folder.text)@\(commit(1))"]
                let run = try RemovalRun.removal(cache, items, killAt: step)
                isKilled = run.wasKilled
                #expect(!run.steps.contains("intentWritten"), "\(run.lines)")
                let found = try cache.inventory(repo)
                let names = Content(cache.path).entries
                for (name, entry) in names where entry.contains(" to ") {
                    let path = cache.path.appending(name).text
                    #expect(FileManager.default.fileExists(atPath: path), "step \(step): \(name)")
                }
                let rest = files.filter { cache.outer.exists(repo.snapshot(commit(1), BytePath($0))) }
                let isNamed = found.refs.contains { $0.commit?.hex == commit(1) }
                #expect(rest.count == files.count || !isNamed)
                #expect(cache.outer.exists(repo.snapshot(commit(2), "a.bin")) && found.refs.count >= 1)
                cache.outer.delete(cache.place("ballast"))
                _ = try cache.remover().recover()
                let results = try retried { try cache.remover().remove([repo.request([commit(1)])]).map(\.result) }
                #expect(results[0].isRemoved, "step \(step): \(results)")
                let after = try cache.inventory(repo)
                let orphans = Set(after.blobs.keys).subtracting(after.linkedBlobs())
                let leftBehind = orphans.compactMap { name in
                    after.blobs[name].map { RemovalItem.orphanBlob(name: name, stat: $0.stat) }
                }
                let request = RemovalRequest(folder: repo.folder, items: leftBehind)
                let swept = try retried { try cache.remover().remove([request]).map(\.result) }
                #expect(swept.allSatisfy { $0.isRemoved }, "\(swept)")
                #expect(try cache.inventory(repo).blobs.count == 1)
            } _: { cache in
                let repo = cache.repo()
                for (number, file) in files.enumerated() {
                    try repo.file(BytePath(file), [UInt8(number)], at: commit(1))
                    try cache.outer.write(repo.lockPlace(ReferenceDigest.sha256([UInt8(number)])), [])
                }
                try repo.ref("main", commit(1))
                try repo.file("a.bin", [3], at: commit(2))
                try repo.ref("pr/1", commit(2))
            }
            step += 1
        }
        #expect(step > 8)
    }

    @Test(.enabled(if: geteuid() == 0, "needs root to mount a small filesystem"))
    func aHeldLockKeepsAll() throws {
        try withFullDisk { cache in
            let repo = cache.repo()
            let before = Content(cache.path)
            let lock = try HeldLock(cache.outer, repo.lockPlace(ReferenceDigest.sha256([1])))
            defer { lock.release() }
            let results = try cache.remover().remove([repo.request([commit(1)])]).map(\.result)
            #expect(results.map(\.keepers) == [[.lock]], "\(results)")
            #expect(Content(cache.path).differences(from: before) == [])
        } _: { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            try repo.ref("main", commit(1))
            try cache.outer.write(repo.lockPlace(ReferenceDigest.sha256([1])), [])
        }
    }
}
