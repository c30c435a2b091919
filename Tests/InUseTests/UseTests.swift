import CacheScan
import Foundation
import HubCache
import InUse
import Ledger
import LinuxIO
import TestSupport
import Testing

@Suite struct UseTests {
    @Test func nobodyUsesIt() throws {
        try withScene { scene in
            let before = TreeFingerprint(scene.cache.path)
            let kept = try scene.keepers()
            #expect(kept == [])
            #expect(TreeFingerprint(scene.cache.path) == before)
        }
    }

    // MARK: open

    @Test(.enabled(if: hasPython, "needs python3"), arguments: [opensIt, mapsIt])
    func openOrMapped(how: String) throws {
        try withScene { scene in
            let helper = try Helper.python(how, [try scene.weights.text])
            defer { helper.end() }
            let kept = try scene.keepers()
            // The helper's command line has the blob's path, and with it the repo's folder.
            #expect(kept.keepers == [.open, .namedByProcess])
            if isRoot { #expect(kept.detail(.open).contains("process \(helper.id) (python3")) }
            helper.end()
            #expect(try scene.keepers() == [])
        }
    }

    @Test(.enabled(if: canMount, mountAdvice)) func mappedInAnotherNamespace() throws {
        try withScene { scene in
            let helper = try Helper.python(
                mapsIt, [try scene.weights.text], wrapper: ["/usr/bin/unshare", "--mount", "--pid", "--fork"])
            defer { helper.end() }
            #expect(try scene.keepers().keepers.contains(.open))
            helper.end()
            #expect(try scene.keepers() == [])
        }
    }

    /// A mapping there holds the layer's file: a lease says "free".
    @Test(.enabled(if: canMount, mountAdvice)) func mappedOnAnOverlay() throws {
        let folder = try TestFolder(in: "/var/tmp")
        defer { folder.remove() }
        for name in ["lower", "upper", "work", "merged"] { try folder.makeFolder(BytePath(name)) }
        let place = folder.path.text
        let options = "lowerdir=\(place)/lower,upperdir=\(place)/upper,workdir=\(place)/work"
        let mounted = try run(["/usr/bin/mount", "-t", "overlay", "-o", options, "overlay", place + "/merged"])
        try #require(mounted == 0)
        defer { _ = try? run(["/usr/bin/umount", place + "/merged"]) }
        try withScene(in: place + "/merged") { scene in
            #expect(scene.root.filesystem.kind == .overlay)
            let helper = try Helper.python(mapsIt, [try scene.weights.text])
            let kept = try scene.keepers()
            #expect(kept.keepers.contains(.open))
            helper.end()
            let after = try scene.keepers()
            // Where every process is seen, nobody is; else that cannot be told.
            #expect(after == [] || after.keepers == [.cannotTell])
            #expect((OpenFileScan.blindSpot() == nil) == (after == []))
        }
    }

    private func run(_ command: [String]) throws -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: command[0])
        process.arguments = Array(command.dropFirst())
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }

    @Test func aFileThatWasReplacedCannotBeTold() throws {
        try withScene { scene in
            let inventory = try scene.inventory
            let files = try scene.files(of: commit(1), in: inventory)
            let one = try #require(files.first)
            try scene.cache.outer.write(scene.cache.place(one.location), "other")
            let kept = scene.probe().keepers(of: CommitHash(commit(1)), files: files, in: inventory, lastUse: nil)
            #expect(kept.keepers == [.cannotTell])
            scene.cache.outer.delete(scene.cache.place(one.location))
            let gone = scene.probe().keepers(of: CommitHash(commit(1)), files: files, in: inventory, lastUse: nil)
            #expect(gone.keepers == [.cannotTell])
        }
    }

    // MARK: locks

    @Test func heldLock() throws {
        try withScene { scene in
            let etag = ReferenceDigest.sha256([1, 2, 3])
            let swift = scene.cache.place(".locks").appending(scene.repo.folder).appending("blobs/\(etag).lock")
            for place in [scene.repo.lockPlace(etag), swift] {
                let lock = try HeldLock(scene.cache.outer, place)
                let kept = try scene.keepers()
                #expect(kept.keepers == [.lock])
                #expect(kept.detail(.lock).contains(etag))
                lock.release()
                #expect(try scene.keepers() == [])
            }
        }
    }

    @Test func livePartial() throws {
        try withScene { scene in
            let etag = ReferenceDigest.sha256([1, 2, 3])
            try scene.repo.partial(etag)
            #expect(try scene.keepers() == [], "a stale one is nobody's")
            let writer = try HeldFile(
                scene.cache.outer, scene.repo.place("blobs").appending(etag + ".0a1b2c3d.incomplete"))
            #expect(try scene.keepers().keepers == [.lock])
            writer.release()
        }
    }

    @Test func aLeftoverIsKeptByItsOwnLockAlone() throws {
        try withScene { scene in
            let orphan = try scene.repo.blob([9, 9, 9])
            let inventory = try scene.inventory
            let blob = try #require(inventory.blobs[BytePath(orphan)])
            let file = UsedFile(
                location: inventory.location(ofBlob: BytePath(orphan)), stat: blob.stat, blob: BytePath(orphan))
            func keepers() -> [Kept] { scene.probe().keepers(of: nil, files: [file], in: inventory, lastUse: nil) }
            #expect(keepers() == [])
            let other = try HeldLock(scene.cache.outer, scene.repo.lockPlace("other"))
            #expect(keepers() == [])
            let own = try HeldLock(scene.cache.outer, scene.repo.lockPlace(orphan))
            #expect(keepers().keepers == [.lock])
            own.release()
            other.release()
        }
    }

    /// The rule of planning and of removal is one.
    @Test(.enabled(if: hasPython, "needs python3")) func withoutALease() throws {
        try withScene { scene in
            let inventory = try scene.inventory
            let file = try #require(try scene.files(of: commit(1), in: inventory).first)
            func answer() -> ProbeAnswer { UseProbe.answerWithoutLease(for: file.stat.key, in: scene.root) }
            #expect(!UseProbe.isExported(scene.root))
            guard answer() == .free else { return }
            let helper = try Helper.python(opensIt, [scene.cache.path.appending(file.location).text])
            defer { helper.end() }
            OpenFileScan.shared.refresh()
            #expect(answer() == .taken)
        }
    }

    // MARK: openers

    @Test(.enabled(if: hasPython, "needs python3")) func openerStillRuns() throws {
        try withScene { scene in
            let helper = try Helper.python("", [])
            defer { helper.end() }
            let table = ProcessTable.read()
            let process = try #require(table.processes[helper.id])
            let identity = table.identity(of: process)
            let blob = try scene.weights.lastComponent.text
            func note(_ identity: ProcessIdentity, blob: String?) {
                scene.ledger.note(
                    openers: [
                        RecordedOpener(
                            repo: scene.repo.folder.text, blob: blob, process: identity, seenAt: scene.now)
                    ], cache: scene.cache.path)
            }
            // Another process had the number before; another blob; another start of the machine.
            note(ProcessIdentity(id: identity.id, startTicks: identity.startTicks - 1, boot: identity.boot), blob: blob)
            note(identity, blob: "another")
            note(ProcessIdentity(id: identity.id, startTicks: identity.startTicks, boot: "then"), blob: blob)
            #expect(try scene.keepers() == [])
            note(identity, blob: blob)
            let kept = try scene.keepers()
            #expect(kept.keepers == [.openerAlive])
            #expect(kept.detail(.openerAlive).contains("process \(helper.id) (python3"))
            helper.end()
            #expect(try scene.keepers() == [])
        }
    }

    // MARK: command lines

    @Test(
        .enabled(if: hasPython, "needs python3"),
        arguments: [
            "ID", "--model=ID", "ID@main", "ID:Q4_K_M", "hf://ID", "https://huggingface.co/ID/resolve/main/x",
            "hf://models/ID", "FOLDER", "/any/FOLDER/snapshots/COMMIT/config.json", "{\"model\": \"ID\"}",
        ])
    func namedByAProcess(argument: String) throws {
        try withScene { scene in
            let id = scene.repo.id.name
            let text = argument.replacingOccurrences(of: "ID", with: id)
                .replacingOccurrences(of: "FOLDER", with: scene.repo.folder.text)
                .replacingOccurrences(of: "COMMIT", with: commit(1))
            let helper = try Helper.python("", [text])
            defer { helper.end() }
            let kept = try scene.keepers()
            #expect(kept.keepers == [.namedByProcess])
            #expect(kept.detail(.namedByProcess).contains("process \(helper.id) (python3"))
            helper.end()
            #expect(try scene.keepers() == [])
        }
    }

    @Test(
        .enabled(if: hasPython, "needs python3"),
        arguments: [
            ["xID"], ["ID2"], ["ID-GGUF"], ["/data/ID"], ["/any/FOLDER/snapshots/\(commit(2))/x"],
            ["sudo", "/usr/bin/hfjanitor", "rm", "ID"], ["sh -c 'hfjanitor hold ID -- sleep 1'"],
        ])
    func notNamedByAProcess(arguments: [String]) throws {
        try withScene { scene in
            let arguments = arguments.map {
                $0.replacingOccurrences(of: "ID", with: scene.repo.id.name)
                    .replacingOccurrences(of: "FOLDER", with: scene.repo.folder.text)
            }
            let helper = try Helper.python("", arguments)
            defer { helper.end() }
            #expect(try scene.keepers() == [])
        }
    }

    // MARK: cannot tell

    @Test func assumedUnused() throws {
        try withScene { scene in
            let inventory = try scene.inventory
            var files = try scene.files(of: commit(1), in: inventory)
            // Nothing can tell of a file that is not the one that was scanned.
            files[0].stat.key.inode += 1
            let day: Int64 = 86_400_000_000_000
            func keepers(_ lastUse: Timestamp?, _ after: Int64?) -> [Keeper] {
                scene.probe(assumeUnusedAfter: after).keepers(
                    of: CommitHash(commit(1)), files: files, in: inventory, lastUse: lastUse
                ).keepers
            }
            let old = Timestamp(nanoseconds: scene.now.nanoseconds - 15 * day)
            #expect(keepers(old, nil) == [.cannotTell])
            #expect(keepers(old, 14 * day) == [])
            #expect(keepers(old, 16 * day) == [.cannotTell])
            #expect(keepers(nil, 14 * day) == [.cannotTell])
        }
    }
}
