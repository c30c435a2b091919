import ArgumentParser
import CacheScan
import ControlClient
import Documents
import FoundationEssentials
import HubCache
import LinuxIO
import PolicyFile
import Retention
import Verification

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What the daemon sees and does; without one, what the disk says.",
        discussion:
            "Exit status: 0; 1 a condition that is an error is open; 64 usage; 66 no such cache; 78 the policy is wrong."
    )

    @Flag(help: "Follow what the daemon does, until interrupted.")
    var watch = false

    @OptionGroup var caches: CacheOptions
    @OptionGroup var socket: SocketOption

    func run() throws {
        try reportingFailures {
            var last: [UInt8] = []
            while true {
                let document = try caches.cache.isEmpty ? fromDaemon() ?? fromDisk() : fromDisk()
                let isError = document.conditions.contains { $0.severity == Severity.error.rawValue }
                guard watch else {
                    if caches.json { try printJSON(document) } else { show(document) }
                    return isError ? .found : .good
                }
                let bytes = Array(try JSONEncoder().encode(document))
                if bytes != last {
                    last = bytes
                    if caches.json { try printJSON(document) } else { refresh(document) }
                }
                if Terminal.outputFailure != nil { return .cannotWrite }
                sleepMilliseconds(1000)
            }
        }
    }

    /// What a daemon says: over its socket, else in its file.
    private func fromDaemon() throws -> StatusDocument? {
        if let answer = try socket.ask("GET", "/api/status", milliseconds: 5000), answer.status == 200 {
            return try SocketOption.decode(StatusDocument.self, from: answer)
        }
        return RunningDaemon.find().map { StatusDocument($0) }
    }

    private func refresh(_ document: StatusDocument) {
        // A terminal shows it in place; anything else gets it below.
        Terminal.print(Terminal.hasScreen ? "\u{1B}[H\u{1B}[2J" : "")
        show(document)
    }

    /// Without a daemon: the structure of the caches, and what the ledger remembers of earlier checks.
    private func fromDisk() throws -> StatusDocument {
        let opened = try OpenedCaches(caches.choice)
        if let path = opened.absentDefault { Terminal.complain("there is no cache yet at '\(path.display)'") }
        var run = try VerificationRun(opened, options: VerificationOptions(depth: .structure), socket: socket.socket)
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
                    inUseMethod: root?.inUseMethod ?? "none"))
        }
        return document
    }

    private static func words(of cache: StatusDocument.Cache, free: UInt64) -> String {
        var words = formatBytes(free)
        if let floor = cache.floorBytes { words += ", floor \(formatBytes(floor))" }
        if let forecast = cache.forecast, let time = CalendarTime.parse(forecast.floorReached) {
            let hours = (time.nanoseconds - currentTime().nanoseconds) / 3_600_000_000_000
            let when = hours < 1 ? "within the hour" : "in about " + (hours < 48 ? "\(hours) h" : "\(hours / 24) days")
            words += ", reached \(when) at \(formatBytes(forecast.bytesPerDay)) a day"
        }
        return words
    }

    private func show(_ document: StatusDocument) {
        if let daemon = document.daemon {
            Terminal.print("daemon \(daemon.pid) since \(daemon.since), mode \(daemon.mode)")
            if document.work.queued > 0 { Terminal.print("  \(document.work.queued) waiting to be looked at") }
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
            if let free = cache.freeBytes { Terminal.print("  free: " + Self.words(of: cache, free: free)) }
            if let watch = cache.watch { Terminal.print("  watched by: \(watch)") }
            Terminal.print("  in use is told by: \(cache.inUseMethod)")
        }
        for download in document.work.downloads {
            let total = download.totalBytes.map { " of \(formatBytes($0))" } ?? ""
            Terminal.print("downloading: \(displayText(of: download.repo)), \(formatBytes(download.bytes))\(total)")
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
