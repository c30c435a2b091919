import ArgumentParser
import Documents
import Enforcement
import HubCache
import LinuxIO
import Retention

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Show what the policy would remove now, and why; and what stays, and why.",
        discussion: """
            Changes nothing and asks nobody: what the Hub said in the last 7 days decides, else the action says that the Hub is \
            to be asked. 'hfjanitor enforce' does what 'plan' prints.

            \(ExitStatus.table)
            """)

    @OptionGroup var caches: CacheOptions

    @Option(
        help: ArgumentHelp(
            "Judge as of another time: RFC 3339, a date, or +DURATION from now.", valueName: "time|+duration"))
    var at: String?

    @Flag(name: .long, help: "Do not list what stays.")
    var actionsOnly = false

    func run() throws {
        try reportingFailures {
            let session = try RetentionSession(caches.choice, at: try at.map { try PlanTime($0) })
            let plan = session.enforcer.plan()
            if caches.json {
                try printJSON(
                    PlanDocument(mode: session.policy.mode, time: session.now, caches: session.gathered, plan: plan))
            } else {
                session.sayWhatIsAbsent()
                PlanText(caches: session.gathered).show(plan, mode: session.policy.mode, showsKept: !actionsOnly)
            }
            return .good
        }
    }
}

/// A point in time on the command line.
struct PlanTime {
    private let absolute: Timestamp?
    private let offset: Duration?

    /// - Throws: `CommandFailure` 64 when the value of `--at` is no time.
    init(_ text: String) throws {
        guard !text.hasPrefix("+") else {
            absolute = nil
            do throws(UnitError) { offset = try TimeSpan.parse(String(text.dropFirst())) } catch {
                let meant = UnitError(error.message, suggestion: error.suggestion.map { "+" + $0 })
                throw CommandFailure(status: .usage, message: "--at: \(meant.words)")
            }
            return
        }
        offset = nil
        absolute = CalendarTime.parse(text) ?? CalendarTime.parse(text + "T00:00:00Z")
        guard absolute == nil else { return }
        throw CommandFailure(
            status: .usage,
            message: "--at: '\(displayText(of: text))' is no time: use 2026-05-01, 2026-05-01T12:00:00Z, or +30d")
    }

    /// The time it means.
    func time(now: Timestamp) -> Timestamp {
        guard let offset else { return absolute ?? now }
        return Timestamp(nanoseconds: now.nanoseconds &+ offset.components.seconds &* 1_000_000_000)
    }
}
