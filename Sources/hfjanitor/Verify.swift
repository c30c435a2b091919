public import ArgumentParser
import CacheScan
import Documents
import HubCache
import LinuxIO
import Repair
public import Verification

extension VerificationDepth: ExpressibleByArgument {}

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check models once, without network or daemon.",
        discussion: """
            Without a TARGET, everything in the cache. Depths add up: structure looks at links, sizes, indexes and shard sets; \
            headers reads every weight file's header; digests reads everything and compares it with the digest in its name or \
            manifest. Nothing in the cache is changed without --repair.

            \(ExitStatus.table)
            """)

    @Argument(help: "Repos, revisions, folders or weight files.", completion: .targets)
    var targets: [String] = []

    @Option(help: "How deep to look: structure, headers or digests.")
    var depth = VerificationDepth.headers

    @Option(help: "How many threads work at once. Default: one a processor.")
    var jobs: Int?

    @Option(help: ArgumentHelp("Hash at most so much a second, such as 200MB.", valueName: "size"))
    var rate: String?

    @Flag(help: "Repair what is found, then check again: see 'hfjanitor repair'.")
    var repair = false

    @Flag(help: "Do not trust remembered digests: hash again.")
    var fresh = false

    @Flag(help: "List notes too: what is normal and worth knowing.")
    var notes = false

    @OptionGroup var caches: CacheOptions
    @OptionGroup var socket: SocketOption

    func validate() throws {
        if let jobs, !(1...1024).contains(jobs) { throw ValidationError("--jobs takes a number from 1 to 1024") }
        if let rate {
            do throws(UnitError) { _ = try ByteCount.parseRate(rate) } catch {
                let hint = error.suggestion.map { ", such as \($0)" } ?? ", such as 200MB or 1GiB"
                throw ValidationError("--rate takes a size\(hint), not '\(displayText(of: rate))'")
            }
        }
    }

    func run() throws {
        try reportingFailures {
            let started = monotonicNanoseconds()
            let opened = try OpenedCaches(caches.choice, needing: repair ? .rules : .caches)
            if let path = opened.absentDefault, targets.isEmpty {
                Terminal.complain("there is no cache yet at '\(path.display)'")
            }
            let options = VerificationOptions(
                depth: depth, jobs: jobs ?? availableProcessors(),
                bytesPerSecond: rate.flatMap { try? ByteCount.parseRate($0) },
                ignoresMemory: fresh)
            var work = try VerificationRun(opened, options: options, socket: socket.socket)
            var reports = try work.reports(of: targets)
            var repaired: [RepairResult] = []
            if repair {
                for target in targets where TargetResolver.isPath(target) {
                    Terminal.complain(
                        "'\(displayText(of: target))' is not repaired if it is a plain folder: only caches are")
                }
                repaired = try RepairRun(opened, caches, socket: socket.socket)
                    .repair(reports, triesAgain: !targets.isEmpty).flatMap(\.results)
                if !repaired.isEmpty { reports = try work.reports(of: targets) }
            }
            let summary = VerificationSummary(
                reports, bytesHashed: work.progress.bytesDone,
                seconds: Double(monotonicNanoseconds() - started) / 1e9)
            if caches.json {
                try printJSON(VerifyDocument(depth: depth, reports: reports, summary: summary))
            } else {
                Terminal.write(
                    VerifyText(reports: reports, summary: summary, depth: depth, withNotes: notes).text, to: 1)
            }
            let status = status(of: reports)
            // Why a repair failed says more than that something is still wrong.
            return status == .found && !repaired.isEmpty && repaired.exitStatus != .good ? repaired.exitStatus : status
        }
    }

    /// 1 on any error other than `unreadable`; else 77 if there is one; else 75 if a named target is being fetched.
    private func status(of reports: [CacheReport]) -> ExitStatus {
        var hasUnreadable = false
        var isDownloading = false
        for cache in reports {
            var findings = cache.findings
            for repo in cache.repos {
                findings += repo.findings
                if repo.revisions.isEmpty, repo.findings.contains(where: { $0.code == .inFlight }) {
                    isDownloading = true
                }
                for revision in repo.revisions {
                    findings += revision.findings
                    isDownloading = isDownloading || revision.state == .downloading
                }
            }
            for finding in findings where finding.severity == .error {
                guard finding.code == .unreadable else { return .found }
                hasUnreadable = true
            }
        }
        if hasUnreadable { return .permission }
        return isDownloading && !targets.isEmpty ? .busy : .good
    }
}

/// Runs a command's body, prints its failure, and exits with its status.
func reportingFailures(_ body: () throws -> ExitStatus) throws {
    let status: ExitStatus
    do {
        status = try body()
    } catch let failure as CommandFailure {
        Terminal.complain(failure.message)
        if failure.status == .interrupted { throw ExitCode(Interruption.exitCode) }
        throw failure.status.asError
    }
    if Terminal.hasReaderLeft { throw ExitCode(Interruption.readerLeft) }
    if let reason = Terminal.outputFailure {
        Terminal.complain("cannot write the results: \(reason)")
        throw ExitStatus.cannotWrite.asError
    }
    if status != .good { throw status.asError }
}
