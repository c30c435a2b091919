import ArgumentParser
import CacheScan
import Documents
import FoundationEssentials
import HubCache
import LinuxIO
import Verification

struct Ready: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Exit 0 only when a model is whole and sound: for ExecStartPre=.",
        discussion: """
            Looks at headers and at what earlier checks remember of digests. Without @revision, the one that refs/main names, \
            else the only one. Never starts a download; with --wait it looks again until somebody else's download or repair is \
            done. Not ready is also a revision without a usable manifest in a repo with an interrupted download: that may be \
            of a file that it lacks. Fetch it again, or remove the leftover, or say --allow-subset.

            Exit status: 0 ready; 1 not sound; 64 usage; 66 not here; 75 still arriving, or the time to wait ran out; 77 a file \
            it needs cannot be read.
            """)

    @Argument(help: "A repo, a revision, a folder or a weight file.", completion: .targets)
    var target: String

    @Flag(help: "A revision without any weights here, or that an interrupted download may be of, is ready too.")
    var allowSubset = false

    // Whatever follows is the value, so that '-5s' is told what is wrong with it.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Wait so long for it to become ready, such as 10m.", valueName: "time"))
    var wait: String?

    @OptionGroup var caches: CacheOptions
    @OptionGroup var socket: SocketOption

    /// What one look came to, and how it is told.
    private struct Look {
        var status: ExitStatus
        var show: () throws -> Void
    }

    private struct Document: Encodable {
        var schema = "hfjanitor.ready/1"
        var id: String
        var commit: String?
        var ready: Bool
        /// Absent where there is no revision to judge.
        var state: String?
        var findings: [FindingDocument]
        var errorMessage: String?

        enum CodingKeys: String, CodingKey {
            case schema, id, commit, ready, state, findings
            case errorMessage = "error_message"
        }
    }

    private static func remedy(forLeftoverOf repo: RepoReport) -> String {
        // The policy removes nothing from a plain folder.
        let removers =
            repo.repo == nil
            ? "" : " ('hfjanitor plan' tells what the policy removes, 'hfjanitor rm' removes all of the repo)"
        return
            "an interrupted download that may be of a file of this revision, which has no manifest that would tell: fetch "
            + "it again, or remove the leftover\(removers), or take what is here with --allow-subset"
    }

    private func patience() throws -> Duration? {
        guard let wait else { return nil }
        do throws(UnitError) { return try TimeSpan.parse(wait) } catch {
            throw CommandFailure(status: .usage, message: "--wait: \(error.words)")
        }
    }

    func run() throws {
        try reportingFailures {
            let patience = try patience()
            do {
                if let patience { return try waiting(patience) }
                let look = try look()
                try look.show()
                return look.status
            } catch let failure as CommandFailure where [.absent, .busy, .found, .permission].contains(failure.status) {
                if caches.json {
                    try printJSON(
                        Document(id: target, ready: false, findings: [], errorMessage: displayText(of: failure.message))
                    )
                }
                throw failure
            }
        }
    }

    /// Looks once a second: what is waited for takes longer, and a look at a large model takes a part of one.
    private func waiting(_ patience: Duration) throws -> ExitStatus {
        let deadline = ContinuousClock.now + patience
        while true {
            var last: Look?
            var absence: CommandFailure?
            do {
                last = try look()
            } catch let failure as CommandFailure where [.absent, .busy].contains(failure.status) {
                absence = failure
            }
            if let last, ![.found, .busy].contains(last.status) {
                try last.show()
                return last.status
            }
            let left = ContinuousClock.now.duration(to: deadline)
            if left <= .zero {
                let why = absence.map { ": " + $0.message } ?? ""
                let message = "'\(displayText(of: target))' did not become ready in time\(why)"
                guard let last else { throw CommandFailure(status: .busy, message: message) }
                try last.show()
                Terminal.complain(message)
                return .busy
            }
            OpenFileScan.shared.refresh()
            let pause = min(left, .seconds(1))
            sleepMilliseconds(UInt32(max(1, pause / .milliseconds(1))))
            if Interruption.cancellation.isCancelled {
                throw CommandFailure(status: .interrupted, message: "interrupted")
            }
        }
    }

    private func look() throws -> Look {
        let opened = try OpenedCaches(caches.choice, needing: .cachesOfTarget)
        if opened.roots.isEmpty, let path = opened.absentDefault, !TargetResolver.isPath(target) {
            throw CommandFailure(
                status: .absent,
                message: "'\(displayText(of: target))' is not here: there is no cache yet at '\(path.display)'")
        }
        var work = try VerificationRun(opened, options: VerificationOptions(depth: .headers), socket: socket.socket)
        let reports = try work.reports(of: [target])
        guard let repo = reports.first?.repos.first else {
            throw CommandFailure(status: .absent, message: "'\(displayText(of: target))' is not here")
        }
        let revision = try chosen(of: repo)
        try requireUsableRef(of: repo, revision)
        // What could not be looked at in the repo's folder may be part of the revision.
        var findings = revision.findings + repo.findings.filter { $0.code.state == .unknown }
        for leftover in repo.findings where revision.possibleLeftovers.contains(leftover.path) {
            var finding = leftover
            finding.detail = Self.remedy(forLeftoverOf: repo)
            findings.append(finding)
        }
        if let id = repo.repo, let commit = revision.commit,
            let root = opened.roots.first(where: { $0.path == reports.first?.path })
        {
            let told = DaemonFindings.of(id, commit, in: root, socket: socket.socket)
            findings += told.filter { finding in !findings.contains { $0.code == finding.code } }
        }
        let status = status(of: revision, findings)
        return Look(status: status) { [findings] in
            if status == .good {
                for path in revision.possibleLeftovers {
                    Terminal.complain(
                        "warning: the interrupted download '\(path.display)' may be of a file of this revision, which has no "
                            + "manifest that would tell: fetch it again to be sure")
                }
            }
            guard caches.json else { return show(repo, revision, findings, status) }
            try printJSON(
                Document(
                    id: repo.id, commit: revision.commit?.hex, ready: status == .good,
                    state: min(revision.state, findings.compactMap(\.code.state).min() ?? .complete).rawValue,
                    findings: findings.map(FindingDocument.init)))
        }
    }

    private func chosen(of repo: RepoReport) throws -> RevisionReport {
        if let main = repo.revisions.first(where: { $0.refs.contains("main") }) { return main }
        // What may not be looked at, or is on its way, is not absent.
        if repo.findings.contains(where: { $0.code == .unreadable }) {
            throw CommandFailure(
                status: .permission, message: "\(repo.id) cannot be read in full; see 'hfjanitor verify \(repo.id)'")
        }
        let isArriving = repo.findings.contains { $0.code == .inFlight }
        let mainRef = repo.folder.appending("refs/main")
        if let absent = repo.findings.first(where: { $0.code == .refWithoutSnapshot && $0.path == mainRef }),
            let commit = absent.actual
        {
            if isArriving {
                throw CommandFailure(status: .busy, message: "main of \(repo.id) is not here yet: it is being fetched")
            }
            throw CommandFailure(
                status: .absent, message: "main of \(repo.id) is commit \(commit), of which nothing is here")
        }
        if repo.findings.contains(where: { $0.code == .refWithoutSnapshot && $0.path == mainRef }) {
            throw CommandFailure(
                status: .found, message: "main of \(repo.id) does not name a commit: no client can use it offline")
        }
        if repo.revisions.count == 1, let only = repo.revisions.first { return only }
        if repo.revisions.isEmpty {
            throw CommandFailure(
                status: isArriving ? .busy : .absent,
                message: "\(repo.id) has no revision here\(isArriving ? " yet: it is being fetched" : "")")
        }
        let list = repo.revisions.map { "  \(repo.id)@\($0.commit?.hex ?? "")" }.joined(separator: "\n")
        throw CommandFailure(
            status: .usage, message: "\(repo.id) has no ref main and several revisions; name one of:\n\(list)")
    }

    /// Whoever names a revision by a ref reads that file; whoever names the commit does not.
    private func requireUsableRef(of repo: RepoReport, _ revision: RevisionReport) throws {
        let isCommit = TargetResolver.isPath(target) && CommitHash(BytePath(target).lastComponent) != nil
        let name = TargetResolver.isPath(target) ? nil : TargetName(target)?.revision
        let ref = name.map { BytePath($0) } ?? "main"
        guard !isCommit, revision.refs.contains(ref), repo.refsWithWhitespace.contains(ref) else { return }
        throw CommandFailure(
            status: .found,
            message:
                "\(ref.display) of \(displayText(of: repo.id)) has white space around its commit: no client can use it "
                + "offline; rewrite '\(repo.folder.appending("refs").appending(ref).display)' without it")
    }

    private func status(of revision: RevisionReport, _ findings: [Finding]) -> ExitStatus {
        switch revision.state {
        case .corrupt, .partial: return .found
        case .downloading: return .busy
        case .unknown: return findings.contains { $0.code == .readError } ? .found : .permission
        case .complete: break
        }
        if findings.contains(where: { [.corrupt, .partial].contains($0.code.state) }) { return .found }
        if findings.contains(where: { $0.code == .readError }) { return .found }
        if findings.contains(where: { $0.code == .unreadable }) { return .permission }
        if !allowSubset && findings.contains(where: { Self.subsetCodes.contains($0.code) }) { return .found }
        return .good
    }

    /// What leaves a revision whole and may still mean that a file is absent.
    private static let subsetCodes: Set<FindingCode> = [.weightsAbsent, .stalePartial]

    private func show(_ repo: RepoReport, _ revision: RevisionReport, _ findings: [Finding], _ status: ExitStatus) {
        let name = displayText(of: repo.id) + (revision.commit.map { "@\($0.short)" } ?? "")
        if status == .good {
            Terminal.print("\(name) is ready: \(counted(revision.fileCount, "file")), \(formatBytes(revision.bytes))")
            return
        }
        let state = min(revision.state, findings.compactMap(\.code.state).min() ?? .complete)
        Terminal.print("\(name) is not ready" + (state == .complete ? "" : ": \(state.rawValue)"))
        for finding in findings
        where finding.severity == .error || finding.code == .inFlight || Self.subsetCodes.contains(finding.code) {
            let place = (finding.file ?? finding.path).display
            Terminal.print("  \(finding.code.rawValue)  \(place)  \(displayText(of: finding.detail ?? ""))")
        }
    }
}
