import Foundation
import HubCache
import TestSupport
import Testing

@testable import SystemdSupport

/// The folder `systemd/`.
private enum Units {
    static let folder = sourceTree.appending(path: "systemd")

    /// A unit, a drop-in of it where it is to be looked at with one, and the most that it may expose.
    struct Case: CustomTestStringConvertible, Sendable {
        var file: String
        var name: String
        var dropIn: String?
        var exposure: Double?
        var testDescription: String { dropIn.map { "\(name) with \($0)" } ?? name }
    }

    /// Template units with an instance.
    static let system = [
        Case(file: "hfjanitor.service", name: "hfjanitor.service", exposure: 1.5),
        Case(file: "hfjanitor.service", name: "hfjanitor.service", dropIn: "shared-cache", exposure: 2.5),
        Case(file: "hfjanitor.service", name: "hfjanitor.service", dropIn: "mount", exposure: 1.5),
        Case(file: "hfjanitor.service", name: "hfjanitor.service", dropIn: "token", exposure: 1.5),
        Case(file: "hfjanitor.service", name: "hfjanitor.service", dropIn: "paths", exposure: 1.5),
        Case(file: "hfjanitor@.service", name: "hfjanitor@alice.service", exposure: 1.5),
        Case(file: "hfjanitor-verify@.service", name: "hfjanitor-verify@alice.service", exposure: 1.0),
        Case(file: "hfjanitor-verify@.timer", name: "hfjanitor-verify@alice.timer"),
        Case(file: "hfjanitor.socket", name: "hfjanitor.socket"),
    ]

    static func text(_ name: String) throws -> String {
        try String(contentsOf: folder.appending(path: name), encoding: .utf8)
    }

    /// The command lines of every unit: what a test of the program's options goes through.
    static func commands() throws -> [(unit: String, words: [String])] {
        let names = try FileManager.default.subpathsOfDirectory(atPath: folder.path)
        return try names.filter { $0.hasSuffix(".service") }.sorted().flatMap { name in
            try text(name).components(separatedBy: "\n").compactMap { line in
                guard line.hasPrefix("Exec"), let equals = line.firstIndex(of: "=") else { return nil }
                let words = line[line.index(after: equals)...].split(separator: " ").map(String.init)
                return (name, words)
            }
        }
    }

    /// The units in a folder of their own, with a program that is there, and that drop-in.
    static func copy(to place: TestFolder, dropIn: String?) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path)
        where name.hasPrefix("hfjanitor") && !name.hasSuffix(".catalog") {
            let content = try text(name).replacingOccurrences(of: "/usr/bin/hfjanitor", with: find("true") ?? "")
            try place.write(BytePath(name), content)
        }
        // What the example binds to.
        try place.write("srv-hf.mount", "[Mount]\nWhat=tmpfs\nWhere=/srv/hf\nType=tmpfs\n")
        if let dropIn {
            let content = try text("drop-ins/hfjanitor.service.d/\(dropIn).conf")
            try place.write(BytePath("hfjanitor.service.d/\(dropIn).conf"), content)
        }
    }
}

@Suite struct UnitFileTests {
    @Test(arguments: Units.system) private func verifyFindsNothing(_ unit: Units.Case) throws {
        try need(find("systemd-analyze") != nil, "systemd-analyze")
        try withTestFolder { folder in
            try Units.copy(to: folder, dropIn: unit.dropIn)
            // Its status is 0 for keys it does not know: any word counts.
            let result = try run("systemd-analyze", ["verify", "\(folder.path)/\(unit.name)"])
            #expect(result.everything.isEmpty)
            #expect(result.status == 0)
        }
    }

    /// The test itself can fail: systemd-analyze says what it does not know.
    @Test func verifyFindsWhatIsWrong() throws {
        try need(find("systemd-analyze") != nil, "systemd-analyze")
        try withTestFolder { folder in
            try Units.copy(to: folder, dropIn: nil)
            try folder.write("hfjanitor.service.d/x.conf", "[Service]\nProtectEverything=yes\n")
            let result = try run("systemd-analyze", ["verify", "\(folder.path)/hfjanitor.service"])
            #expect(result.everything.contains("ProtectEverything"))
        }
    }

    @Test func verifyFindsNothingInTheUserUnit() throws {
        try need(find("systemd-analyze") != nil, "systemd-analyze")
        try withTestFolder { folder in
            let content = try Units.text("user/hfjanitor.service")
            try folder.write(
                "hfjanitor.service",
                content.replacingOccurrences(of: "/usr/bin/hfjanitor", with: find("true") ?? ""))
            try folder.makeFolder("runtime")
            let result = try run(
                "systemd-analyze", ["--user", "verify", "\(folder.path)/hfjanitor.service"],
                environment: ["XDG_RUNTIME_DIR": "\(folder.path)/runtime", "HOME": folder.path.text])
            #expect(result.everything.isEmpty)
            // Namespaces are what a user's manager may not be able to make.
            for key in ["Private", "Protect", "ReadWritePaths", "BindPaths", "TemporaryFileSystem", "DynamicUser"] {
                #expect(!content.contains("\n\(key)"))
            }
        }
    }

    @Test(arguments: Units.system.filter { $0.exposure != nil })
    private func exposureIsWithinItsLimit(_ unit: Units.Case) throws {
        try need(find("systemd-analyze") != nil, "systemd-analyze")
        try withTestFolder { folder in
            try Units.copy(to: folder, dropIn: unit.dropIn)
            let limit = Int(((unit.exposure ?? 0) * 10).rounded())
            let result = try run(
                "systemd-analyze",
                ["security", "--offline=yes", "--no-pager", "--threshold=\(limit)", "\(folder.path)/\(unit.file)"])
            #expect(result.status == 0, "\(result.everything)")
        }
    }

    /// A new command of a unit is a new promise: the program's own help has to know it.
    @Test func unitsNameOnlyWhatTheProgramHas() throws {
        let commands = try Units.commands()
        #expect(commands.count == 9)
        for (unit, words) in commands where !(words.first ?? "").hasSuffix("/runuser") {
            #expect(words.first == "/usr/bin/hfjanitor", "\(unit)")
            guard words.count > 1 else { continue }
            let help = try Program.run([words[1], "--help"])
            #expect(help.output.contains("USAGE: hfjanitor \(words[1])"), "\(unit): \(words[1])")
            for option in words.dropFirst(2) where option.hasPrefix("-") {
                #expect(help.output.contains(option), "\(unit): \(option)")
            }
        }
        let overview = try Program.run(["--help"]).output
        #expect(overview.contains("\n  verify "))
    }

    /// Nothing that is not on every system: /bin/kill, Type=notify-reload (systemd 253).
    @Test func unitsWorkOnOldAndSmallSystems() throws {
        for name in ["hfjanitor.service", "hfjanitor@.service", "user/hfjanitor.service"] {
            let content = try Units.text(name)
            #expect(content.contains("\nType=notify\n"))
            #expect(content.contains("\nExecReload=/usr/bin/hfjanitor reload\n"))
            for line in ["WatchdogSec=", "TimeoutStopSec=", "Restart=on-failure", "MemoryHigh=", "CPUWeight="] {
                #expect(content.contains("\n\(line)"))
            }
            #expect(!content.contains("DynamicUser"))
        }
    }

    @Test func theCatalogHasEveryMessageAndNoOther() throws {
        let lines = try Units.text("hfjanitor.catalog").components(separatedBy: "\n")
        let ids = lines.filter { $0.hasPrefix("-- ") }.map { String($0.dropFirst(3)) }
        #expect(ids == EventKind.allCases.map(\.messageID))
        try need(find("journalctl") != nil, "journalctl")
        try withTestFolder { folder in
            try folder.write("usr/lib/systemd/catalog/hfjanitor.catalog", lines.joined(separator: "\n"))
            try folder.makeFolder("var/lib/systemd/catalog")
            let update = try run("journalctl", ["--root=\(folder.path)", "--update-catalog"])
            #expect(update.everything.isEmpty)
            #expect(update.status == 0)
            let list = try run("journalctl", ["--root=\(folder.path)", "--no-pager", "--list-catalog"]).output
            let known = list.split(separator: "\n").map { String($0.prefix(32)) }
            #expect(Set(known) == Set(ids))
            let texts = try run("journalctl", ["--root=\(folder.path)", "--no-pager", "--dump-catalog"]).output
            for entry in texts.components(separatedBy: "\n-- ").dropFirst() {
                #expect(entry.contains("Subject: ") && entry.contains("Defined-By: hfjanitor"))
                #expect(entry.count > 120, "\(entry)")
            }
        }
    }

    @Test func usersAndFoldersAreMade() throws {
        try needRoot()
        try need(find("systemd-sysusers") != nil && find("systemd-tmpfiles") != nil, "systemd-sysusers")
        try withTestFolder { folder in
            try folder.makeFolder("etc")
            let users = try run(
                "systemd-sysusers",
                ["--root=\(folder.path)", Units.folder.appending(path: "sysusers.d/hfjanitor.conf").path])
            #expect(users.status == 0, "\(users.everything)")
            let passwords = try String(contentsOfFile: "\(folder.path)/etc/passwd", encoding: .utf8)
            #expect(passwords.contains("hfjanitor:"))
            let groups = try String(contentsOfFile: "\(folder.path)/etc/group", encoding: .utf8)
            #expect(groups.contains("hfjanitor:"))
            let folders = try run(
                "systemd-tmpfiles",
                [
                    "--root=\(folder.path)", "--create",
                    Units.folder.appending(path: "tmpfiles.d/hfjanitor.conf").path,
                ])
            #expect(folders.everything.isEmpty)
            #expect(folder.exists("etc/hfjanitor/policy.d") && folder.exists("run/hfjanitor"))
        }
    }
}

/// A real systemd as PID 1 of namespaces of its own.
@Suite(.serialized) struct BootTests {
    private func boot(_ script: String, _ arguments: [String]) throws {
        try needRoot()
        try need(find("systemd") != nil, "systemd")
        let result = try run(sourceTree.appending(path: "Tests/Systemd/\(script)").path, arguments)
        // What this machine's kernel or container does not allow; the script says what.
        if result.status == 69 { try Test.cancel("systemd cannot be booted here: \(result.errors)") }
        #expect(result.status == 0, "\(result.everything)")
        #expect(result.output.contains("ok - ") && !result.output.contains("not ok - "))
    }

    @Test func theHarnessWorks() throws { try boot("boot", ["--self-test"]) }

    @Test func everyUnitStartsAndItsSandboxHolds() throws { try boot("units", [Program.path]) }

    @Test func whatIsInUseStaysAndWhatIsMountedAnewIsSeen() throws { try boot("in-use", [Program.path]) }

    @Test func theDaemonReportsReloadsSurvivesAndStops() throws { try boot("daemon", [Program.path]) }
}
