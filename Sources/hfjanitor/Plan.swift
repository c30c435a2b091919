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
    var at: PlanTime?

    @Flag(name: .long, help: "Do not list what stays.")
    var actionsOnly = false

    func run() throws {
        try reportingFailures {
            let session = try RetentionSession(caches, at: at)
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
struct PlanTime: ExpressibleByArgument {
    private let absolute: Timestamp?
    private let offset: Duration?

    init?(argument: String) {
        if argument.hasPrefix("+") {
            guard let length = try? TimeSpan.parse(String(argument.dropFirst())) else { return nil }
            offset = length
            absolute = nil
        } else {
            guard let time = CalendarTime.parse(argument) ?? CalendarTime.parse(argument + "T00:00:00Z") else {
                return nil
            }
            absolute = time
            offset = nil
        }
    }

    /// The time it means.
    func time(now: Timestamp) -> Timestamp {
        guard let offset else { return absolute ?? now }
        return Timestamp(nanoseconds: now.nanoseconds &+ offset.components.seconds &* 1_000_000_000)
    }
}
