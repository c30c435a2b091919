import ArgumentParser
import CacheScan
import Enforcement
internal import Glibc
import HubCache
import LinuxIO
import Retention

struct Remove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm",
        abstract: "Delete repos or revisions, as safely as the policy would.",
        discussion: """
            What is pinned, held, locked, open, used by a process that still runs, or has files that no client put there stays. \
            Asks on a terminal; elsewhere --yes is needed.

            Exit status: 0 removed; 64 usage; 66 no such target; 73 cannot write; 75 in use or kept; 77 permission.
            """)

    @Argument(help: "Repos or revisions.", completion: .targets)
    var targets: [String]

    @Flag(help: "Do not ask.")
    var yes = false

    @Flag(name: .long, help: "Only show what would go.")
    var dryRun = false

    @Flag(help: "Remove although it is pinned, held, or used by a process that still runs.")
    var force = false

    @Flag(help: "Remove although nothing can tell whether it is in use.")
    var assumeUnused = false

    @OptionGroup var caches: CacheOptions

    func run() throws {
        try reportingFailures {
            var session = try RetentionSession(caches.choice, isActing: !dryRun)
            let removal = try session.removal(
                named: targets, overrides: Overrides(force: force, assumesUnused: assumeUnused))
            try session.requireWritable(Set(removal.items.map(\.cache) + removal.repos.map(\.cache)))
            let plan = session.enforcer.plan(removal)
            let text = PlanText(caches: session.gathered)
            if !caches.json {
                plan.actions.forEach { Terminal.print(text.line($0)) }
                plan.kept.forEach { Terminal.print(text.line($0)) }
            }
            if dryRun {
                if caches.json { try printJSON(RemovalDocument(session.gathered, plan, nil, time: session.now)) }
                return plan.kept.isEmpty ? .good : .busy
            }
            if !(plan.actions.isEmpty && removal.repos.isEmpty) && !yes {
                guard try isConfirmed(plan) else { return .found }
            }
            let outcome = session.enforcer.remove(plan, of: removal) { event in
                if caches.json { return }
                switch event {
                case .removed: break
                case .kept(let action, let reasons):
                    Terminal.print(text.line(kept: action.item, bytes: action.bytes, reasons: reasons))
                case .failed(let action, let message):
                    Terminal.complain("\(text.name(action.item)): \(displayText(of: message))")
                }
            }
            if caches.json {
                try printJSON(RemovalDocument(session.gathered, plan, outcome, time: session.now))
            } else {
                for (path, further) in outcome.further {
                    if let line = text.line(path, further) { Terminal.print(line) }
                }
                Terminal.print(
                    "removed \(counted(outcome.removed.count, "item")), \(formatBytes(outcome.removedBytes()))")
            }
            if outcome.isCancelled { throw CommandFailure(status: .interrupted, message: "interrupted") }
            if let status = outcome.failureStatus { return status }
            let isReadOnly = { (item: Item) in session.gathered[item.cache].root.filesystem.isReadOnly }
            if plan.kept.contains(where: { isReadOnly($0.item) }) { return .cannotWrite }
            return plan.kept.isEmpty && outcome.kept.isEmpty && !outcome.leavesMore ? .good : .busy
        }
    }

    private func isConfirmed(_ plan: NamedRemovalPlan) throws -> Bool {
        guard isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1 else {
            throw CommandFailure(status: .usage, message: "not a terminal: pass --yes to remove without being asked")
        }
        let bytes = plan.actions.reduce(UInt64(0)) { $0 &+ $1.bytes }
        Terminal.write(
            "Remove \(counted(plan.actions.count, "item")), \(formatBytes(bytes))? [y/N] ", to: STDERR_FILENO)
        if ["y", "yes"].contains((readLine() ?? "").lowercased()) { return true }
        Terminal.complain("nothing was removed")
        return false
    }
}
