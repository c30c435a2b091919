import Glibc
import HubCache
import Ledger
import LinuxIO
import PolicyFile
import Retention
import TestSupport
import Testing

@testable import Daemon

/// What is remembered of the policies before an edit, and which edits are none.
@Suite struct FormerPolicyTests {
    private static let pinned = "mode: observe\npins:\n  - {repo: org/pinned}\n"
    private static let plain = "mode: observe\n"
    private static let start = Timestamp(seconds: 1_769_860_800)

    private func location(_ file: BytePath, _ folder: TestFolder) -> PolicyLocation {
        var location = PolicyLocation(
            named: file, environment: [:], home: nil, reader: PolicyReaderIdentity(uid: geteuid(), gid: getegid()))
        location.systemFolder = folder.path.appending("no-such-folder")
        return location
    }

    private func policyFolder(_ folder: TestFolder) throws -> PolicyLocation {
        var location = PolicyLocation(
            environment: [:], home: nil, reader: PolicyReaderIdentity(uid: geteuid(), gid: getegid()))
        location.systemFolder = folder.path
        location.environment["XDG_CONFIG_HOME"] = folder.path.appending("config").text
        return location
    }

    private func read(_ location: PolicyLocation) throws -> LoadedPolicy { try PolicyLoader(location).load() }

    private func ledger(_ folder: TestFolder) throws -> Ledger {
        try folder.makeFolder("state")
        try folder.chmod("state", 0o700)
        return Ledger.open(directory: folder.path.appending("state"), programVersion: "test")
    }

    private func pins(_ inForce: PolicyInForce) -> [Int] { inForce.former.map(\.policy.pins.count) }

    private func after(_ seconds: Int64) -> Timestamp { Timestamp(seconds: Self.start.seconds + seconds) }

    /// Edits the file, and takes it.
    @discardableResult private func edit(
        _ text: String, _ inForce: inout PolicyInForce, _ folder: TestFolder, _ location: PolicyLocation,
        _ ledger: Ledger, at time: Timestamp
    ) throws -> PolicyInForce.Verdict {
        try folder.write("policy.yaml", text)
        return inForce.take(PolicyWatch.read(location), ledger: ledger, now: time)
    }

    @Test func anotherPathIsAnEdit() throws {
        try withTestFolder { folder in
            let ledger = try ledger(folder)
            try folder.write("first.yaml", Self.pinned)
            try folder.write("second.yaml", Self.plain)
            let (first, second) = (
                location(folder.path.appending("first.yaml"), folder),
                location(folder.path.appending("second.yaml"), folder)
            )
            _ = PolicyInForce(try read(first), from: first, ledger: ledger, now: Self.start)
            #expect(pins(PolicyInForce(try read(second), from: second, ledger: ledger, now: after(10))) == [1])
            // It goes on after a restart, and ends with the grace.
            #expect(pins(PolicyInForce(try read(second), from: second, ledger: ledger, now: after(20))) == [1])
            #expect(pins(PolicyInForce(try read(second), from: second, ledger: ledger, now: after(100_000))) == [])
        }
    }

    @Test func manyEditsPushNothingOut() throws {
        try withTestFolder { folder in
            let ledger = try ledger(folder)
            let location = location(folder.path.appending("policy.yaml"), folder)
            try folder.write("policy.yaml", Self.pinned)
            var inForce = PolicyInForce(try read(location), from: location, ledger: ledger, now: Self.start)
            for number in 1...40 {
                try edit(
                    "mode: observe\nedit-grace: \(number + 3600)s\n", &inForce, folder, location, ledger,
                    at: after(Int64(number)))
            }
            let restarted = PolicyInForce(try read(location), from: location, ledger: ledger, now: after(60))
            #expect(pins(restarted).contains(1))
        }
    }

    @Test(arguments: [true, false]) func aSecondEditDoesNotEndTheGraceOfTheFirst(hasMemory: Bool) throws {
        try withTestFolder { folder in
            let location = location(folder.path.appending("policy.yaml"), folder)
            let ledger = hasMemory ? try ledger(folder) : .disabled
            try folder.write("policy.yaml", Self.pinned)
            var inForce = PolicyInForce(try read(location), from: location, ledger: ledger, now: Self.start)
            #expect(inForce.former.isEmpty)
            try edit(Self.plain, &inForce, folder, location, ledger, at: after(60))
            #expect(pins(inForce) == [1])
            // The second says that an edit needs no grace; the first has promised it.
            try edit("edit-grace: 0s\nannounce: 0s\n" + Self.plain, &inForce, folder, location, ledger, at: after(90))
            #expect(pins(inForce) == [0, 1])
            #expect(inForce.former.map(\.replacedAt) == [after(90), after(60)])
            #expect(inForce.former.allSatisfy { $0.policy.editGrace == .seconds(600) })
            // Over a restart, too.
            let again = PolicyInForce(try read(location), from: location, ledger: ledger, now: after(120))
            #expect(pins(again) == (hasMemory ? [0, 1] : []))
            // And not for ever.
            try edit("edit-grace: 5m\n" + Self.plain, &inForce, folder, location, ledger, at: after(3670))
            #expect(inForce.former.map(\.replacedAt) == [after(3670), after(90)])
        }
    }

    @Test func whatComesAndGoesIsRememberedOnce() throws {
        try withTestFolder { folder in
            let location = location(folder.path.appending("policy.yaml"), folder)
            try folder.write("policy.yaml", Self.pinned)
            var inForce = PolicyInForce(try read(location), from: location, ledger: .disabled, now: Self.start)
            for turn in 1...20 {
                try edit(
                    turn % 2 == 0 ? Self.pinned : Self.plain, &inForce, folder, location, .disabled,
                    at: after(Int64(turn)))
            }
            #expect(inForce.former.map(\.replacedAt) == [after(20), after(19)])
        }
    }

    @Test func anotherSpellingOfTheFileIsTheSamePolicy() throws {
        try withTestFolder { folder in
            let ledger = try ledger(folder)
            try folder.write("policy.yaml", Self.pinned)
            let first = location(folder.path.appending("policy.yaml"), folder)
            _ = PolicyInForce(try read(first), from: first, ledger: ledger, now: Self.start)
            try folder.write("policy.yaml", Self.plain)
            let other = location(folder.path.appending("state/.././policy.yaml"), folder)
            let inForce = PolicyInForce(try read(other), from: other, ledger: ledger, now: after(60))
            #expect(pins(inForce) == [1])
        }
        let here = try OwnedDescriptor.open(trustedPath: ".", options: .directory).currentPath()
        var relative = PolicyLocation(
            named: "x/../policy.yaml", environment: [:], home: nil, reader: PolicyReaderIdentity(uid: 1, gid: 1))
        #expect(FormerPolicies.scope(of: relative) == here.appending("policy.yaml").text)
        relative.named = here.appending("policy.yaml")
        #expect(FormerPolicies.scope(of: relative) == here.appending("policy.yaml").text)
    }

    @Test func theFirstFileAfterNoneAndADropInThatGoesAreEdits() throws {
        try withTestFolder { folder in
            let ledger = try ledger(folder)
            let location = try policyFolder(folder)
            let empty = PolicyInForce(try read(location), from: location, ledger: ledger, now: Self.start)
            #expect(empty.former.isEmpty)
            try folder.makeFolder("policy.d")
            try folder.write("policy.d/10.yaml", "pins: [{repo: org/pinned}]\n")
            try folder.write("policy.d/20.yaml", Self.plain)
            var inForce = PolicyInForce(try read(location), from: location, ledger: ledger, now: after(60))
            #expect(pins(inForce) == [0])
            folder.delete("policy.d/10.yaml")
            guard case .applied = inForce.take(PolicyWatch.read(location), ledger: ledger, now: after(90)) else {
                Issue.record("a drop-in that goes is an edit")
                return
            }
            #expect(pins(inForce) == [1, 0])
        }
    }

    @Test(arguments: ["emptied", "gone"]) func aFileThatIsLostBesideItsDropInsIsNoEdit(how: String) throws {
        try withTestFolder { folder in
            let location = try policyFolder(folder)
            try folder.makeFolder("policy.d")
            try folder.write("policy.d/20.yaml", Self.plain)
            try folder.write("policy.yaml", Self.pinned)
            var inForce = PolicyInForce(try read(location), from: location, ledger: .disabled, now: Self.start)
            if how == "gone" { folder.delete("policy.yaml") } else { try folder.write("policy.yaml", "# nothing\n") }
            guard case .rejected(let why) = inForce.take(PolicyWatch.read(location), ledger: .disabled, now: after(9))
            else {
                Issue.record("it was taken for an edit")
                return
            }
            #expect(why.contains(how == "gone" ? "is gone" : "is empty"), "\(why)")
            #expect(inForce.policy.pins.count == 1)
        }
    }

    /// The machine's pins are lost with the machine's file.
    @Test func theMachinesFileIsMissedToo() throws {
        try withTestFolder { folder in
            try folder.write("own.yaml", Self.plain)
            var location = location(folder.path.appending("own.yaml"), folder)
            location.systemFolder = folder.path
            try folder.write("policy.yaml", Self.pinned)
            var inForce = PolicyInForce(try read(location), from: location, ledger: .disabled, now: Self.start)
            #expect(inForce.policy.pins.count == 1)
            folder.delete("policy.yaml")
            guard case .rejected = inForce.take(PolicyWatch.read(location), ledger: .disabled, now: after(9)) else {
                Issue.record("it was taken for an edit")
                return
            }
        }
    }
}
