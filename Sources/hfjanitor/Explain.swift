import ArgumentParser
import Enforcement
import HubCache
import LinuxIO
import Retention

struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show every rule that was tried on a repo or revision, and the fact that decided.",
        discussion: ExitStatus.table)

    @Argument(help: "A repo or a revision.", completion: .targets)
    var target: String

    @OptionGroup var caches: CacheOptions

    @Option(
        help: ArgumentHelp(
            "Judge as of another time: RFC 3339, a date, or +DURATION from now.", valueName: "time|+duration"))
    var at: String?

    func run() throws {
        try reportingFailures {
            var session = try RetentionSession(caches.choice, at: try at.map { try PlanTime($0) })
            let explanations = session.enforcer.explain(try session.removal(named: [target]).items)
            if caches.json {
                try printJSON(ExplainDocument(explanations, caches: session.gathered))
            } else {
                let text = PlanText(caches: session.gathered)
                explanations.forEach(text.show)
            }
            return .good
        }
    }
}
