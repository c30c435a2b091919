import CacheScan
import HubCache
import HubClient
import Ledger
import LinuxIO
import PolicyFile
import Repair
import Verification

/// Repairs what a verification found, for a command: lines for a person, or a document.
struct RepairRun {
    private let opened: OpenedCaches
    private let options: CacheOptions
    private let ledger: Ledger
    private let socket: String?

    /// - Parameter socket: the daemon's control socket, where the command line names it.
    init(_ opened: OpenedCaches, _ options: CacheOptions, socket: String? = nil) {
        self.opened = opened
        self.socket = socket
        self.options = options
        ledger = openLedger(besides: opened.roots)
    }

    private func root(of report: CacheReport) throws(CommandFailure) -> CacheRoot {
        if let known = opened.roots.first(where: { $0.path == report.path }) { return known }
        do throws(SystemCallFailure) { return try CacheRoot(opening: report.path) } catch {
            throw CommandFailure(
                status: .cannotRead, message: "cannot read the cache '\(report.path.display)': \(error.reason)")
        }
    }

    /// What could be done about what was found, cache by cache.
    func plan(_ reports: [CacheReport], triesAgain: Bool) throws -> [(cache: BytePath, items: [PlannedRepair])] {
        try reports.map { report in
            let root = try root(of: report)
            var settings = RepairSettings(opened.loaded.policy, of: opened.policy(of: root), on: root)
            settings.makesLinks = !HubEnvironment(environment: Terminal.environment).disablesLinks
            let repairer = Repairer(root: root, others: opened.roots, settings: settings, ledger: ledger)
            return (report.path, repairer.plan(report, triesAgain: triesAgain))
        }
    }

    /// Does it. The lines go out as things happen, unless a document was asked for.
    func repair(_ reports: [CacheReport], triesAgain: Bool) throws -> [(cache: BytePath, results: [RepairResult])] {
        let session = try HubSession(opened, options)
        // Partial downloads are read again, and files that are copied: that is no use of them.
        let broken = reports.flatMap(\.repos).filter { repo in
            !repo.findings.isEmpty || repo.revisions.contains { !$0.findings.isEmpty }
        }
        let announcement =
            broken.isEmpty ? nil : AnnouncedReads.begin(broken.compactMap(\.repo), depth: .digests, socket: socket)
        defer { announcement?.cancel() }
        var done: [(BytePath, [RepairResult])] = []
        for report in reports {
            let root = try root(of: report)
            let progress = TransferProgress()
            let repairer = Repairer(
                root: root, others: opened.roots, settings: session.settings(of: root, opened), ledger: ledger,
                progress: progress, cancellation: Interruption.cancellation)
            let plan = repairer.plan(report, triesAgain: triesAgain)
            let line = ProgressLine(progress)
            defer { line.end() }
            let results = repairer.repair(plan, from: session.client) { result in
                if !options.json { line.over { Terminal.print(Self.line(result)) } }
            }
            done.append((report.path, results))
        }
        while let problem = ledger.takeProblem() { Terminal.complainOnce(displayText(of: problem)) }
        return done
    }

    /// One line about one file: what is done, which, how much, why.
    static func line(_ item: PlannedRepair) -> String {
        let size = item.bytes.map { "  \(formatBytes($0))" } ?? ""
        var why = item.findings.map(\.rawValue).joined(separator: ", ")
        if case .leave(let reason) = item.action { why += ": " + displayText(of: reason) }
        return "\(padded(item.action.word))  \(name(item.file))\(size)  \(why)"
    }

    static func line(_ result: RepairResult) -> String {
        let file = name(result.item.file)
        let why = result.item.findings.map(\.rawValue).joined(separator: ", ")
        switch result.outcome {
        case .repaired(let means, let bytes):
            return "\(padded(means.rawValue))  \(file)  \(formatBytes(bytes))  \(why)"
        case .asPublished: return "\(padded("leave"))  \(file)  \(why): the file is broken as it was published"
        case .left(let reason): return "\(padded("leave"))  \(file)  \(why): \(displayText(of: reason))"
        case .failed(let failure, let attempt, let attempts):
            let code = failure.code.map { $0.rawValue + ": " } ?? ""
            // The message tells how often one run asked the Hub; this is how many runs were in vain.
            let tries = failure.countsAsAttempt ? "; repair \(attempt) of \(attempts)" : ""
            return "\(padded("failed"))  \(file)  \(why): \(code)\(displayText(of: failure.message))\(tries)"
        }
    }

    private static func padded(_ word: String) -> String {
        word + String(repeating: " ", count: max(0, 8 - word.count))
    }

    private static func name(_ file: FileOfRepo) -> String {
        let revision = file.commit.map { "@\($0.short)" } ?? ""
        let what = file.path.isEmpty ? file.commit == nil ? " blobs/\(file.etag.display)" : "" : " \(file.path.display)"
        return "\(file.repo)\(revision)\(what)"
    }
}

extension [RepairResult] {
    /// The exit status that they give a command.
    var exitStatus: ExitStatus {
        var status = ExitStatus.good
        for result in self {
            switch result.outcome {
            case .repaired: continue
            case .asPublished, .left: if status == .good { status = .found }
            case .failed(let failure, _, _):
                if failure.code == .downloadCancelled { return .interrupted }
                if status == .good || status == .found { status = failure.exitStatus }
            }
        }
        return status
    }
}

/// `hfjanitor.repair/1`.
struct RepairDocument: Encodable {
    struct Cache: Encodable {
        var path: String
        var actions: [Action]
    }

    struct Action: Encodable {
        var action: String
        var repo: String
        var commit: String?
        var file: String?
        var blob: String?
        var bytes: UInt64?
        var findings: [String]
        var outcome: String?
        var reason: String?
        var errorCode: String?
        var attempt: Int?
        var attempts: Int?

        enum CodingKeys: String, CodingKey {
            case action, repo, commit, file, blob, bytes, findings, outcome, reason, attempt, attempts
            case errorCode = "error_code"
        }
    }

    var schema = "hfjanitor.repair/1"
    var dryRun: Bool
    var caches: [Cache]

    enum CodingKeys: String, CodingKey {
        case schema, caches
        case dryRun = "dry_run"
    }
}

extension RepairDocument.Action {
    init(_ item: PlannedRepair) {
        action = item.action.word
        repo = item.file.repo.description
        commit = item.file.commit?.hex
        file = item.file.path.isEmpty ? nil : item.file.path.text
        blob = item.file.etag.isEmpty ? nil : item.file.etag.text
        bytes = item.bytes
        findings = item.findings.map(\.rawValue)
        if case .leave(let reason) = item.action { self.reason = reason }
    }

    init(_ result: RepairResult) {
        self.init(result.item)
        switch result.outcome {
        case .repaired(let means, let bytes):
            outcome = means.rawValue
            self.bytes = bytes
        case .asPublished:
            outcome = "left"
            reason = "the file is broken as it was published"
        case .left(let reason):
            outcome = "left"
            self.reason = reason
        case .failed(let failure, let attempt, let attempts):
            outcome = "failed"
            reason = failure.message
            errorCode = failure.code?.rawValue
            (self.attempt, self.attempts) = (attempt, attempts)
        }
    }
}
