import CacheScan
import Foundation
import HubCache
import LinuxIO
import TestSupport
import Testing

@testable import InUse

@Suite struct HoldTests {
    private let day: Int64 = 86_400_000_000_000

    private func later(_ scene: Scene, _ nanoseconds: Int64) -> Timestamp {
        Timestamp(nanoseconds: scene.now.nanoseconds + nanoseconds)
    }

    private func place(_ scene: Scene, _ name: String) -> BytePath {
        scene.cache.place(".locks").appending(scene.repo.folder).appending(name)
    }

    @Test func holdsUntilATime() throws {
        try withScene { scene in
            let writer = HoldWriter(root: scene.root, now: scene.now)
            let until = later(scene, day)
            let path = try writer.hold(
                scene.repo.folder, commit: CommitHash(commit(1)), until: until, by: "me",
                reason: "a \"reason\"\n\u{202E}")
            let name = path.lastComponent.text
            #expect(name.count == 13 && name.hasSuffix(".hold"))
            let before = TreeFingerprint(scene.cache.path)
            let holds = HoldReader(root: scene.root, now: scene.now).holds(of: scene.repo.folder)
            #expect(TreeFingerprint(scene.cache.path) == before)
            let hold = try #require(holds.first)
            #expect(holds.count == 1 && hold.commit?.hex == commit(1) && hold.by == "me")
            #expect(hold.until?.seconds == until.seconds)
            #expect(hold.reason == "a \"reason\"\n\u{202E}")
            #expect(!hold.words.contains("\u{202E}") && !hold.words.contains("\n"))
            #expect(try scene.keepers().keepers == [.hold])
            // Of another revision it says nothing.
            try scene.repo.file("config.json", Array("{}".utf8), at: commit(2), isLFS: false)
            #expect(try scene.keepers(of: commit(2)) == [])
            // When it is over it holds no more, and the next one tidies.
            let after = HoldWriter(root: scene.root, now: later(scene, day + 2_000_000_000))
            #expect(
                HoldReader(root: scene.root, now: later(scene, day + 2_000_000_000)).holds(of: scene.repo.folder) == [])
            _ = try after.hold(
                scene.repo.folder, commit: nil, until: later(scene, 2 * day), by: "me", reason: "")
            #expect(!scene.cache.outer.exists(place(scene, name)))
            let listing = CacheScan(root: scene.root).scanLocks()
            #expect(listing.holds.count == 1)
            #expect(HoldReader(root: scene.root, now: scene.now).heldRepos(among: listing.holds) == [scene.repo.folder])
        }
    }

    @Test func holdsWhileADescriptorIsOpen() throws {
        try withScene { scene in
            let writer = HoldWriter(root: scene.root, now: scene.now)
            func hold() throws -> BytePath {
                let held = try writer.hold(whileOpen: scene.repo.folder, commit: nil, by: "me", reason: "")
                #expect(try scene.keepers().keepers == [.hold])
                let release = writer.release(scene.repo.folder, commit: nil)
                #expect(release.removed.isEmpty && release.busy.count == 1)
                #expect(scene.cache.outer.exists(scene.cache.place(held.path)))
                return held.path
            }
            let path = try hold()
            #expect(try scene.keepers() == [])
            #expect(scene.cache.outer.exists(scene.cache.place(path)))
            _ = writer.release(scene.repo.folder, commit: nil)
            #expect(!scene.cache.outer.exists(scene.cache.place(path)), "what holds no more is tidied")
        }
    }

    @Test func releaseOfARevisionLeavesOthers() throws {
        try withScene { scene in
            let writer = HoldWriter(root: scene.root, now: scene.now)
            for commit in [CommitHash(commit(1)), CommitHash(commit(2)), nil] {
                _ = try writer.hold(scene.repo.folder, commit: commit, until: later(scene, day), by: "", reason: "")
            }
            #expect(writer.release(scene.repo.folder, commit: CommitHash(commit(1))).removed.count == 1)
            #expect(writer.release(scene.repo.folder, commit: nil).removed.count == 2)
            #expect(try scene.keepers() == [])
        }
    }

    /// Text of a hold file, and whether a hold of it holds: what cannot be understood may be one.
    @Test(arguments: [
        (#"{"commit":null,"until":"2999-01-01T00:00:00Z","by":"x","reason":""}"#, true),
        (#"{"commit":null,"until":"2999-01-01T00:00:00.5+02:00","by":"x","reason":null,"more":3}"#, true),
        (#"{"commit":null,"until":"2001-01-01T00:00:00Z","by":"x","reason":""}"#, false),
        (#"{"commit":null,"until":null,"by":"x","reason":""}"#, false),
        (#"{"commit":"main","until":"2999-01-01T00:00:00Z","by":"x","reason":""}"#, true),
        (#"{"commit":null,"until":"tomorrow","by":"x","reason":""}"#, true),
        (#"{"commit":null,"commit":null,"until":"2999-01-01T00:00:00Z","by":"x","reason":""}"#, true),
        (#"{"until":"2999-01-01T00:00:00Z","by":"x","reason":""}"#, true),
        (#"{"commit":null,"until":"2999-02-30T00:00:00Z","by":"x","reason":""}"#, true),
        (#"{"commit":null,"until":"2999-01-01T00:00:00Z","by":"\ud800","reason":""}"#, true),
        (#"[]"#, true), ("", true), ("{", true),
    ])
    func content(text: String, holds: Bool) throws {
        try withScene { scene in
            try scene.cache.outer.write(place(scene, "0a1b2c3d.hold"), text)
            #expect(try scene.keepers().keepers == (holds ? [.hold] : []))
            // Whatever it says, it holds while somebody has it locked.
            let lock = try HeldLock(scene.cache.outer, place(scene, "0a1b2c3d.hold"))
            #expect(try scene.keepers().keepers == [.hold])
            lock.release()
        }
    }

    @Test func noFileHoldsForEver() throws {
        try withScene { scene in
            let text = #"{"commit":null,"until":"2999-01-01T00:00:00Z","by":"x","reason":""}"#
            try scene.cache.outer.write(place(scene, "0a1b2c3d.hold"), text)
            try scene.cache.outer.setTimes(
                place(scene, "0a1b2c3d.hold"), accessed: 1, modified: Int(scene.now.seconds) - 31 * 86_400)
            #expect(try scene.keepers() == [])
        }
    }

    @Test func whatIsNoHoldFile() throws {
        try withScene { scene in
            let text = #"{"commit":null,"until":"2999-01-01T00:00:00Z","by":"x","reason":""}"#
            try scene.cache.outer.write(place(scene, "name.hold"), text)
            try scene.cache.outer.write("elsewhere", text)
            try scene.cache.outer.link(place(scene, "0a1b2c3d.hold"), to: scene.cache.outer.absolute("elsewhere"))
            try scene.cache.outer.fifo(place(scene, "1a1b2c3d.hold"))
            try scene.cache.outer.write(
                place(scene, "2a1b2c3d.hold"), text + String(repeating: " ", count: 20_000))
            // Named like one, and too long to be read: it may be one.
            #expect(try scene.keepers().keepers == [.hold])
            _ = HoldWriter(root: scene.root, now: scene.now).release(scene.repo.folder, commit: nil)
            #expect(try scene.keepers() == [])
            for name in ["name.hold", "0a1b2c3d.hold", "1a1b2c3d.hold"] {
                #expect(scene.cache.outer.exists(place(scene, name)), "what is not ours stays: \(name)")
            }
        }
    }

    @Test func whatCannotBeLookedAtHolds() throws {
        try withScene { scene in
            let reader = HoldReader(root: scene.root, now: scene.now)
            let folder = scene.cache.place(".locks").appending(scene.repo.folder)
            #expect(reader.all(of: scene.repo.folder) == [])
            // The folder is a link: it cannot be opened, and what is behind it is not known.
            try scene.cache.outer.makeFolder("elsewhere")
            try? FileManager.default.removeItem(atPath: scene.cache.outer.absolute(folder).text)
            try scene.cache.outer.link(folder, to: scene.cache.outer.absolute("elsewhere"))
            let hold = try #require(reader.holds(of: scene.repo.folder).first)
            #expect(hold.isUnseen && hold.commit == nil && hold.covers(CommitHash(commit(1))))
            #expect(hold.words.contains("its holds cannot all be looked at"))
            if case .unknown = hold.lock {} else { Issue.record("\(hold.lock)") }
            let release = HoldWriter(root: scene.root, now: scene.now).release(scene.repo.folder, commit: nil)
            #expect(release.removed.isEmpty && release.failed.count == 1)
            #expect(throws: SystemCallFailure.self) {
                try HoldWriter(root: scene.root, now: scene.now).hold(
                    scene.repo.folder, commit: nil, until: later(scene, day), by: "", reason: "")
            }
        }
    }

    @Test func tooManyHoldFilesHold() throws {
        try withScene { scene in
            let ended = #"{"commit":null,"until":"2001-01-01T00:00:00Z","by":"x","reason":""}"#
            func write(_ numbers: Range<Int>) throws {
                for number in numbers {
                    let hexadecimal = String(number, radix: 16)
                    let zeros = String(repeating: "0", count: 8 - hexadecimal.count)
                    try scene.cache.outer.write(place(scene, zeros + hexadecimal + ".hold"), ended)
                }
            }
            let reader = HoldReader(root: scene.root, now: scene.now)
            try write(0..<1000)
            #expect(reader.holds(of: scene.repo.folder) == [])
            try write(1000..<1001)
            let holds = reader.holds(of: scene.repo.folder)
            #expect(holds.count == 1 && holds.first?.isUnseen == true)
            #expect(reader.all(of: scene.repo.folder).count == 1001)
        }
    }

    /// What fails is told as the system told it.
    @Test func cannotBeWritten() throws {
        try withScene { scene in
            try? FileManager.default.removeItem(atPath: scene.cache.outer.absolute(scene.cache.place(".locks")).text)
            try scene.cache.outer.write(scene.cache.place(".locks"), "a file")
            let failure = #expect(throws: SystemCallFailure.self) {
                try HoldWriter(root: scene.root, now: scene.now).hold(
                    scene.repo.folder, commit: nil, until: later(scene, day), by: "", reason: "")
            }
            #expect(failure?.errno == SystemCallFailure.notAFolderNumber)
        }
    }

    @Test func times() {
        for seconds: Int64 in [0, 951_782_399, 951_782_400, 1_763_731_533, 4_102_444_800, 8_125_920_000, -1] {
            let time = Timestamp(seconds: seconds)
            #expect(CalendarTime.parse(CalendarTime.text(of: time)) == time)
        }
        #expect(CalendarTime.text(of: Timestamp(seconds: 951_782_400)) == "2000-02-29T00:00:00Z")
        #expect(CalendarTime.parse("2000-02-29T01:00:00+01:00") == Timestamp(seconds: 951_782_400))
        for bad in ["2000-02-29", "2000-02-29T00:00:00", "2000-02-29T00:00:00.Z", "2000-02-29T24:00:00Z", "x"] {
            #expect(CalendarTime.parse(bad) == nil)
        }
    }

    @Test func exportsAreRead() throws {
        try withTestFolder { folder in
            try folder.write("etab", "# comment\n/srv/a\\040b\t*(rw)\n/srv/hub/sub 10.0.0.0/8(ro)\n")
            let exported = ExportedTrees(files: [folder.absolute("nothing"), folder.absolute("etab")])
            #expect(
                exported.concern("/srv/a b/hub") && exported.concern("/srv/hub") && exported.concern("/srv/hub/sub/x"))
            #expect(!exported.concern("/srv/hub2") && !exported.concern("/home"))
        }
    }
}
