import Foundation
import HubCache
import HubClient
import TestSupport
import Testing

@testable import ControlAPI
@testable import PolicyFile
@testable import SystemdSupport

/// Every name that users meet is in the manual, and the manual has no other.
@Suite struct NameTests {
    private static let sources: [(path: String, text: String)] = {
        let folder = project.appending(path: "Sources")
        let names = (try? FileManager.default.subpathsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasSuffix(".swift") }.map { ($0, (try? text("Sources/\($0)")) ?? "") }
    }()

    @Test func statesFindingsAndKeepers() throws {
        let page = try Page("hfjanitor.1")
        expectSame(RevisionState.allCases.map(\.rawValue), try page.terms("States"), "hfjanitor.1.md, States")
        expectSame(FindingCode.allCases.map(\.rawValue), try page.terms("Findings"), "hfjanitor.1.md, Findings")
        expectSame(Keeper.allCases.map(\.rawValue), try page.terms("Keepers"), "hfjanitor.1.md, Keepers")
    }

    /// Whoever is told that something is wrong is told what to do.
    @Test func findingsHaveRemedies() throws {
        let section = try Page("hfjanitor.1").section("Findings")
        for code in FindingCode.allCases where code.severity != .info {
            let entry = try #require(
                section.components(separatedBy: "\n\n").first { $0.contains("`\(code.rawValue)`") })
            #expect(
                ["Remedy: ", "another revision", "Another revision", "Do not load"].contains { entry.contains($0) },
                "\(code.rawValue): \(entry)")
        }
    }

    @Test func exitCodes() throws {
        let source = try text("Sources/hfjanitor/ExitStatus.swift")
        let codes = try matches(#"^    case \w+ = (\d+)"#, in: source).map { $0[1] }
        expectSame(codes, try Page("hfjanitor.1").terms("Exit status"), "hfjanitor.1.md, Exit status")
    }

    @Test func variablesOfTheEnvironment() throws {
        let shape =
            #""((?:HF|HFJANITOR|XDG|HUGGINGFACE|HUGGING_FACE|TRANSFORMERS|WATCHDOG|LISTEN)_[A-Z_]+|[A-Z]+_DIRECTORY|"#
            + #"NO_COLOR|TERM|HOME|NOTIFY_SOCKET|JOURNAL_STREAM|[A-Z]+_CA_BUNDLE|SSL_CERT_FILE)""#
        let names = try Self.sources.flatMap { try matches(shape, in: $0.text).map { $0[1] } }
        let known = try Page("hfjanitor.1").terms("Environment")
        expectSame(names, known, "hfjanitor.1.md, Environment")
    }

    @Test func policyKeys() throws {
        // Where each map of the schema stands in a policy.
        let places = [
            "a policy": "", "a cache": "caches.", "a pin": "pins.", "a rule": "rules.", "'match'": "rules.match.",
            "'verify'": "verify.", "'repair'": "repair.", "an endpoint": "repair.endpoints.", "'notify'": "notify.",
            "'metrics'": "metrics.", "'control'": "control.", "'shared'": "shared.",
        ]
        var keys: [String] = []
        for section in Section.all {
            let place = try #require(places[section.name], "a new map of the policy, \(section.name): say where it is")
            keys += section.keys.map { place + $0 }
        }
        let page = try Page("hfjanitor-policy.5")
        let sections = [
            "Keys", "Caches", "Pins", "Rules", "Verify", "Repair", "Notify", "Metrics", "Control", "Shared",
        ]
        expectSame(keys, try sections.flatMap { try page.terms($0) }, "hfjanitor-policy.5.md")
    }

    /// The examples of the page have every key, and each is a policy without an error or a warning.
    @Test func policyExamplesHaveEveryKey() throws {
        let section = try Page("hfjanitor-policy.5").section("Examples")
        let examples = section.components(separatedBy: "\n\n").filter { $0.hasPrefix("    ") }
            .map { $0.components(separatedBy: "\n").map { String($0.dropFirst(4)) }.joined(separator: "\n") + "\n" }
        #expect(examples.count >= 3)
        for example in examples {
            let loaded = try PolicyParser(home: "/home/ada").policy([
                PolicySource(file: "policy.yaml", bytes: Array(example.utf8))
            ])
            #expect(loaded.warnings.isEmpty, "\(loaded.warnings.map(\.text))\n\(example)")
        }
        let all = examples.joined()
        for key in Section.all.flatMap(\.keys) {
            #expect(try !matches(#"(^|[ {,])\#(key):"#, in: all).isEmpty, "no example has '\(key)'")
        }
    }

    @Test func eventsAndTheirMessageIDs() throws {
        let section = try Page("hfjanitor.service.8").section("Events")
        let documented = try matches(#"^`([a-z-]+)` ([0-9a-f]{32})$"#, in: section).map { $0[1] + " " + $0[2] }
        let events = EventKind.allCases.map { "\($0.rawValue) \($0.messageID)" }
        expectSame(events, documented, "hfjanitor.service.8.md, Events")
        let catalog = try matches("^-- ([0-9a-f]{32})$", in: try text("systemd/hfjanitor.catalog")).map { $0[1] }
        expectSame(catalog, EventKind.allCases.map(\.messageID), "systemd/hfjanitor.catalog")
    }

    @Test func journalFields() throws {
        let source = try text("Sources/SystemdSupport/JournalEvent.swift")
        let fields = try matches(#"^            \("([A-Z_]+)","#, in: source).map { "HFJ_" + $0[1] }
        expectSame(
            ["HFJ_EVENT"] + fields, try Page("hfjanitor.service.8").terms("Journal"), "hfjanitor.service.8.md, Journal")
    }

    @Test func conditions() throws {
        let daemon = Self.sources.filter { $0.path.hasPrefix("Daemon/") }.map(\.text).joined(separator: "\n")
        var codes = try matches(#"(?:code|subject): "([a-z-]+)""#, in: daemon).map { $0[1] }
        codes += try matches(#"condition\(\s*\w+, "([a-z-]+)""#, in: daemon).map { $0[1] }
        codes += try matches(#"case \.\w+: "([a-z]+-[a-z-]+)"$"#, in: daemon).map { $0[1] }
        expectSame(codes, try Page("hfjanitor.service.8").terms("Conditions"), "hfjanitor.service.8.md, Conditions")
    }

    @Test func errorCodesOfDownloads() throws {
        expectSame(
            HubErrorCode.allCases.map(\.rawValue), try Page("hfjanitor-json.5").terms("Error codes"),
            "hfjanitor-json.5.md, Error codes")
    }

    @Test func requestsAndProblemsOfTheSocket() throws {
        let api = Self.sources.filter { $0.path.hasPrefix("ControlAPI/") }.map(\.text).joined(separator: "\n")
        let requests = try matches(#"method: \.(\w+), path: "([^"]+)""#, in: api).map {
            "\($0[1].uppercased()) \($0[2])"
        }
        let terms = try Page("hfjanitor.service.8").terms("Control socket")
        expectSame(
            requests, terms.filter { $0.contains("/") }, "hfjanitor.service.8.md, Control socket: requests")
        expectSame(
            Problem.Code.allCases.map(\.rawValue), terms.filter { !$0.contains("/") },
            "hfjanitor.service.8.md, Control socket: codes")
    }

    @Test func checksOfDoctor() throws {
        let sources = Self.sources.filter {
            $0.path.hasPrefix("Diagnosis/") || $0.path.hasSuffix("Diagnosis.swift") || $0.path.hasSuffix("Doctor.swift")
        }
        let names = try sources.flatMap { try matches(#"Check\(\s*"([a-z-]+)""#, in: $0.text).map { $0[1] } }
        let page = try text("packaging/man/commands/doctor.md")
        let lines = page.components(separatedBy: "\n")
        let known = try zip(lines, lines.dropFirst()).filter { $0.1.hasPrefix(":   ") }
            .flatMap { try matches("`([^`]+)`", in: $0.0).map { $0[1] } }
        expectSame(names, known, "commands/doctor.md")
    }
}
