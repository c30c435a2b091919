public import ArgumentParser
import CacheScan
import HubCache
import LinuxIO
public import Verification

extension VerificationDepth: ExpressibleByArgument {}

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check models once, without network or daemon.",
        discussion: """
            Without a TARGET, everything in the cache. Depths add up: structure looks at links, sizes, indexes and shard sets; \
            headers reads every weight file's header; digests reads everything and compares it with the digest in its name or \
            manifest. Nothing in the cache is changed.

            \(ExitStatus.table)
            """)

    @Argument(help: "Repos, revisions, folders or weight files.")
    var targets: [String] = []

    @Option(help: "How deep to look: structure, headers or digests.")
    var depth = VerificationDepth.headers

    @Option(help: "How many threads work at once. Default: one a processor.")
    var jobs: Int?

    @Option(help: ArgumentHelp("Hash at most so much a second, such as 200MB.", valueName: "size"))
    var rate: String?

    @Flag(help: "Do not trust remembered digests: hash again.")
    var fresh = false

    @OptionGroup var caches: CacheOptions

    func validate() throws {
        if let jobs, !(1...1024).contains(jobs) { throw ValidationError("--jobs takes a number from 1 to 1024") }
        if let rate, parseSize(rate) == nil {
            throw ValidationError("--rate takes a size such as 200MB or 1GiB, not '\(displayText(of: rate))'")
        }
    }

    func run() throws {
        try reportingFailures {
            let started = monotonicNanoseconds()
            let opened = try OpenedCaches(caches)
            if let path = opened.absentDefault, targets.isEmpty {
                Terminal.complain("there is no cache yet at '\(path.display)'")
            }
            let options = VerificationOptions(
                depth: depth, jobs: jobs ?? availableProcessors(), bytesPerSecond: rate.flatMap(parseSize),
                ignoresMemory: fresh)
            var work = try VerificationRun(opened, options: options)
            let reports = try work.reports(of: targets)
            let summary = VerificationSummary(
                reports, bytesHashed: work.progress.bytesDone,
                seconds: Double(monotonicNanoseconds() - started) / 1e9)
            if caches.json {
                try printJSON(VerifyDocument(depth: depth, reports: reports, summary: summary))
            } else {
                Terminal.write(VerifyText(reports: reports, summary: summary, depth: depth).text, to: 1)
            }
            return status(of: reports)
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
    if let reason = Terminal.outputFailure {
        Terminal.complain("cannot write the results: \(reason)")
        throw ExitStatus.cannotWrite.asError
    }
    if status != .good { throw status.asError }
}

/// Reads a size: a number, and B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).
func parseSize(_ text: String) -> UInt64? {
    let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    guard let number = Double(digits), number > 0, number.isFinite else { return nil }
    let units: [String: Double] = [
        "": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 1024, "mib": 1_048_576,
        "gib": 1_073_741_824, "tib": 1_099_511_627_776,
    ]
    var unit = text.dropFirst(digits.count).lowercased()
    while unit.hasPrefix(" ") { unit.removeFirst() }
    if unit.hasSuffix("/s") { unit.removeLast(2) }
    guard let factor = units[unit], number * factor < 1e18 else { return nil }
    let bytes = UInt64(number * factor)
    return bytes > 0 ? bytes : nil
}
