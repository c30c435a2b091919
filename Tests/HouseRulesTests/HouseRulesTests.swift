import Foundation
import Testing

/// Rules of the source tree that no compiler holds.
@Suite struct HouseRulesTests {
    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// What each module may import, but for the libraries of the system and of Swift itself.
    private static let allowed: [String: Set<String>] = [
        "HubCache": [],
        "WeightFormats": [],
        "LinuxIO": ["CLinux", "HubCache"],
        "Digests": ["CCrypto", "CLinux", "HubCache", "LinuxIO"],
        "Ledger": ["CSQLite", "HubCache", "GRDB", "GRDBSQLite"],
        "CacheScan": ["HubCache", "LinuxIO"],
        "Verification": ["CacheScan", "Digests", "HubCache", "Ledger", "LinuxIO", "WeightFormats"],
        "Retention": ["HubCache"],
        "HubClient": ["CCurl", "HubCache", "LinuxIO"],
        "SystemdSupport": ["CSystemd", "HubCache", "LinuxIO"],
        "PolicyFile": ["HubCache", "LinuxIO", "Retention", "Yams"],
        "InUse": ["CacheScan", "HubCache", "Ledger", "LinuxIO"],
        "Removal": ["CacheScan", "HubCache", "LinuxIO", "WeightFormats"],
        "Enforcement": [
            "CacheScan", "HubCache", "HubClient", "InUse", "Ledger", "LinuxIO", "Removal", "Retention", "Verification",
        ],
        "Repair": [
            "CacheScan", "Digests", "HubCache", "HubClient", "Ledger", "LinuxIO", "Removal", "Retention",
            "Verification", "WeightFormats",
        ],
        "CacheWatch": ["HubCache", "LinuxIO"],
        "Preview": ["CacheScan", "Digests", "HubCache", "HubClient", "LinuxIO", "WeightFormats"],
        "Diagnosis": ["CacheScan", "HubCache", "LinuxIO"],
        "Daemon": [
            "CacheScan", "CacheWatch", "Enforcement", "HubCache", "HubClient", "Ledger", "LinuxIO", "PolicyFile",
            "Preview",
            "Repair", "Retention", "SystemdSupport", "Verification",
        ],
        "ControlClient": ["CCurl", "HubCache", "LinuxIO"],
        "Documents": [
            "Daemon", "Enforcement", "FoundationEssentials", "HubCache", "HubClient", "Preview", "Retention",
            "Verification",
        ],
        "Page": ["Digests", "FoundationEssentials", "HubCache"],
        "ControlAPI": [
            "Daemon", "Documents", "FoundationEssentials", "HTTPTypes", "HubCache", "HummingbirdCore", "LinuxIO",
            "Logging", "NIOCore", "NIOHTTP1", "NIOHTTPTypes", "NIOHTTPTypesHTTP1", "NIOPosix", "Page", "Retention",
            "SystemdSupport", "Verification",
        ],
        "hfjanitor": [
            "ArgumentParser", "CacheScan", "ControlAPI", "ControlClient", "Daemon", "Diagnosis", "Documents",
            "Enforcement", "FoundationEssentials", "HubCache",
            "HubClient", "InUse", "Ledger", "LinuxIO", "Page", "PolicyFile", "Preview", "Removal", "Repair",
            "Retention", "SystemdSupport", "Verification",
        ],
    ]
    /// Where the C library and synchronisation belong: not in pure modules.
    private static let system: Set<String> = ["Glibc", "Synchronization"]
    private static let pure: Set<String> = ["HubCache", "WeightFormats", "Retention"]
    /// The only modules that touch memory the compiler cannot prove.
    private static let mayBeUnsafe: Set<String> = [
        "LinuxIO", "Digests", "Ledger", "CacheScan", "ControlClient", "HubClient", "Removal", "SystemdSupport",
        "hfjanitor",
    ]

    private struct Source: CustomTestStringConvertible, Sendable {
        var module: String
        var path: String
        var lines: [String]
        var testDescription: String { path }
    }

    private static let sources: [Source] = {
        let folder = root.appendingPathComponent("Sources")
        let names = (try? FileManager.default.subpathsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasSuffix(".swift") }.sorted().map { name in
            let text = (try? String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)) ?? ""
            return Source(
                module: String(name.prefix { $0 != "/" }), path: name, lines: text.components(separatedBy: "\n"))
        }
    }()

    @Test func thereAreSources() {
        #expect(Set(Self.sources.map(\.module)) == Set(Self.allowed.keys))
        #expect(Self.sources.allSatisfy { $0.lines.count > 1 })
    }

    @Test(arguments: sources) private func imports(_ source: Source) {
        let allowed = (Self.allowed[source.module] ?? []).union(Self.pure.contains(source.module) ? [] : Self.system)
        for line in source.lines {
            let words = line.split(separator: " ").map(String.init)
            guard let place = words.firstIndex(of: "import"), place <= 1, words.count > place + 1,
                place == 0 || ["public", "internal", "private", "fileprivate", "package"].contains(words[0])
            else { continue }
            #expect(allowed.contains(words[place + 1]), "\(source.path) imports \(words[place + 1])")
        }
    }

    @Test(arguments: sources) private func unsafety(_ source: Source) {
        // What an executor is asked for has no safe form.
        guard !Self.mayBeUnsafe.contains(source.module), !source.path.hasSuffix("/LoopExecutor.swift") else { return }
        for line in source.lines where !line.trimmingCharacters(in: .whitespaces).hasPrefix("//") {
            #expect(!line.contains("unsafe "), "\(source.path): \(line)")
        }
    }

    @Test(arguments: sources) private func size(_ source: Source) {
        #expect(source.lines.count <= 500, "\(source.path) has \(source.lines.count) lines: is it still one idea?")
    }

    @Test(arguments: sources) private func concurrency(_ source: Source) {
        // Blocking work has threads of its own; an unstructured task would hide it on the cooperative pool.
        for line in source.lines where !line.trimmingCharacters(in: .whitespaces).hasPrefix("//") {
            let isUnstructured = line.components(separatedBy: "Task {").dropLast().contains {
                // addTask belongs to a group.
                !($0.last?.isLetter ?? false)
            }
            #expect(!isUnstructured && !line.contains("Task.detached"), "\(source.path): \(line)")
        }
    }

    /// The table of the architecture page names the same modules and imports.
    @Test func architecturePageIsTrue() throws {
        let text = try String(contentsOf: Self.root.appendingPathComponent("ARCHITECTURE.md"), encoding: .utf8)
        for module in Self.allowed.keys where module != "hfjanitor" {
            let row = text.components(separatedBy: "\n").first { $0.contains("| `\(module)` |") }
            #expect(row != nil, "no row for \(module)")
            let imports = row?.components(separatedBy: "|").dropLast().last ?? ""
            let named = Set(
                imports.components(separatedBy: "`").enumerated().filter { $0.offset % 2 == 1 }.map(\.element))
            #expect(named == (Self.allowed[module] ?? []).subtracting(["GRDBSQLite"]), "the row of \(module)")
        }
    }
}
