import ArgumentParser
import CacheScan
import HubCache
import LinuxIO
import PolicyFile
import Retention
import Verification

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What the daemon sees and does; without one, what the disk says.",
        discussion: "Exit status: 0; 1 a condition that is an error is open; 66 no such cache; 78 the policy is wrong.")

    @OptionGroup var caches: CacheOptions

    func run() throws {
        try reportingFailures {
            let daemon = caches.cache.isEmpty ? RunningDaemon.find() : nil
            let document = try daemon.map { StatusDocument($0) } ?? fromDisk()
            if caches.json { try printJSON(document) } else { show(document) }
            return document.conditions.contains { $0.severity == Severity.error.rawValue } ? .found : .good
        }
    }

    /// Without a daemon: the structure of the caches, and what the ledger remembers of earlier checks.
    private func fromDisk() throws -> StatusDocument {
        let opened = try OpenedCaches(caches)
        if let path = opened.absentDefault { Terminal.complain("there is no cache yet at '\(path.display)'") }
        var run = try VerificationRun(opened, options: VerificationOptions(depth: .structure))
        let reports = try run.reports(of: [])
        var document = StatusDocument()
        for report in reports {
            let root = opened.roots.first { $0.path == report.path }
            let summary = VerificationSummary([report], bytesHashed: 0, seconds: 0)
            document.caches.append(
                StatusDocument.Cache(
                    path: report.path.text, watch: (root?.filesystem.isReadOnly ?? false) ? "read-only" : nil,
                    freeBytes: report.freeBytes,
                    states: Dictionary(
                        uniqueKeysWithValues: RevisionState.allCases.map { ($0.rawValue, summary.states[$0] ?? 0) }),
                    findings: (summary.findings[.error] ?? 0) + (summary.findings[.warning] ?? 0),
                    inUseMethod: root.map(StatusDocument.inUseMethod(in:)) ?? "none"))
        }
        return document
    }

    private func show(_ document: StatusDocument) {
        if let daemon = document.daemon {
            Terminal.print("daemon \(daemon.pid) since \(daemon.since), mode \(daemon.mode)")
            if let error = daemon.policy.error {
                Terminal.print(
                    Terminal.styled("policy wrong, the last good one stays: \(displayText(of: error))", .red))
            }
        } else {
            Terminal.print("no daemon runs: this is what the disk says")
        }
        for cache in document.caches {
            Terminal.print(Terminal.styled(displayText(of: cache.path), .bold))
            let states = RevisionState.allCases.compactMap { state -> String? in
                guard let count = cache.states[state.rawValue], count > 0 else { return nil }
                return "\(count) \(state.rawValue)"
            }
            Terminal.print("  revisions: \(states.isEmpty ? "none" : states.joined(separator: ", "))")
            Terminal.print("  findings: \(cache.findings)" + (cache.findings > 0 ? "; see: hfjanitor verify" : ""))
            if let free = cache.freeBytes { Terminal.print("  free: \(formatBytes(free))") }
            if let watch = cache.watch { Terminal.print("  watched by: \(watch)") }
            Terminal.print("  in use is told by: \(cache.inUseMethod)")
        }
        for condition in document.conditions {
            let line = "\(condition.severity): \(displayText(of: condition.message))"
            Terminal.print(condition.severity == "error" ? Terminal.styled(line, .red) : line)
        }
        for scrub in document.work.scrub where scrub.state == "running" {
            Terminal.print(
                "scrub of \(displayText(of: scrub.path)): \(scrub.reposDone) of \(scrub.reposTotal) repos, "
                    + "\(formatBytes(scrub.bytes)) read")
        }
        if let pass = document.lastPass {
            Terminal.print(
                "last pass: \(pass.checked) revisions, \(pass.incomplete) not complete, \(pass.removed) removed, "
                    + "\(pass.errors) errors")
        }
    }
}

/// `hfjanitor.status/1`.
struct StatusDocument: Encodable {
    struct Daemon: Encodable {
        struct Policy: Encodable {
            var ok: Bool
            var error: String?

            enum CodingKeys: CodingKey { case ok, error }

            // Written by hand: `error` is null, not absent.
            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: CodingKeys.self)
                try container.encode(ok, forKey: .ok)
                try container.encode(error, forKey: .error)
            }
        }

        var pid: Int32
        var version: String
        var since: String
        var mode: String
        var policy: Policy
    }

    struct Cache: Encodable {
        var path: String
        var watch: String?
        var freeBytes: UInt64?
        var states: [String: Int]
        var findings: Int
        var inUseMethod: String

        enum CodingKeys: String, CodingKey {
            case path, watch, states, findings
            case freeBytes = "free_bytes"
            case inUseMethod = "in_use_method"
        }
    }

    var daemon: Daemon?
    var caches: [Cache] = []
    var work = RunningDaemon.Work()
    var next: [RunningDaemon.Action] = []
    var conditions: [RunningDaemon.Condition] = []
    var lastPass: RunningDaemon.Pass?

    init() {}

    init(_ running: RunningDaemon) {
        daemon = Daemon(
            pid: running.pid, version: running.version, since: running.since, mode: running.mode,
            policy: Daemon.Policy(ok: running.policy.ok, error: running.policy.error))
        caches = running.caches.map { cache in
            let root = try? CacheRoot(opening: BytePath(cache.path))
            return Cache(
                path: cache.path, watch: cache.watch,
                freeBytes: root?.filesystem.availableBytes ?? cache.freeBytes, states: cache.states,
                findings: cache.findings, inUseMethod: root.map(Self.inUseMethod(in:)) ?? "none")
        }
        work = running.work ?? RunningDaemon.Work()
        next = running.next
        conditions = running.conditions
        lastPass = running.lastPass
    }

    enum CodingKeys: String, CodingKey {
        case schema, daemon, caches, work, next, conditions
        case lastPass = "last_pass"
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode("hfjanitor.status/1", forKey: .schema)
        try container.encode(daemon, forKey: .daemon)
        try container.encode(caches, forKey: .caches)
        try container.encode(work, forKey: .work)
        try container.encode(next, forKey: .next)
        try container.encode(conditions, forKey: .conditions)
        try container.encode(lastPass, forKey: .lastPass)
    }

    /// What tells whether a file of a cache is in use: `lease`, `proc`, or `none`.
    static func inUseMethod(in root: CacheRoot) -> String {
        let user = effectiveUser()
        if root.filesystem.kind.hasTrustworthyLeases, root.stat.uid == user || user == 0 { return "lease" }
        return OpenFileScan.blindSpot() == nil ? "proc" : "none"
    }
}
