import ArgumentParser
import CacheScan
import HubCache
import LinuxIO
import Repair
import Verification

struct RepairCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair",
        abstract: "Relink, copy or fetch again what is missing or corrupt, and nothing else.",
        discussion: """
            Looks at headers and at what earlier checks remember of digests, and repairs each file by the cheapest way that is \
            right: a new link to a blob that is here, a copy of the same content elsewhere on this machine, else the one file from \
            the Hub. Content is proven by its digest before anybody can see it; who has a corrupt file open keeps it. A file that \
            was tried in vain too often is left alone unless it is named.

            Exit status: 0 nothing is wrong any more; 1 something cannot be repaired; 66 the Hub does not have it; 69 the Hub \
            cannot be reached; 73 no room, or cannot write; 75 another download is running; 77 gated, or no permission; 78 policy \
            file wrong.
            """)

    @Argument(help: "Repos or revisions. Default: everything in the cache.", completion: .targets)
    var targets: [String] = []

    @Flag(help: "Only show what would be done.")
    var dryRun = false

    @OptionGroup var caches: CacheOptions

    func run() throws {
        try reportingFailures {
            let opened = try OpenedCaches(caches.choice, needing: .rules)
            if let path = opened.absentDefault, targets.isEmpty {
                Terminal.complain("there is no cache yet at '\(path.display)'")
            }
            if let path = targets.first(where: TargetResolver.isPath), try isPlainFolder(path, opened) {
                throw CommandFailure(
                    status: .usage, message: "'\(displayText(of: path))' is a plain folder; only caches are repaired")
            }
            var work = try VerificationRun(opened, options: VerificationOptions(depth: .headers), socket: nil)
            let reports = try work.reports(of: targets)
            let run = RepairRun(opened, caches)
            let triesAgain = !targets.isEmpty
            if dryRun {
                let plan = try run.plan(reports, triesAgain: triesAgain)
                if caches.json {
                    try printJSON(
                        RepairDocument(
                            dryRun: true,
                            caches: plan.map { .init(path: $0.cache.text, actions: $0.items.map { .init($0) }) }))
                } else {
                    plan.flatMap(\.items).forEach { Terminal.print(RepairRun.line($0)) }
                    if plan.allSatisfy(\.items.isEmpty) { Terminal.print("nothing to repair") }
                }
                return .good
            }
            let done = try run.repair(reports, triesAgain: triesAgain)
            if caches.json {
                try printJSON(
                    RepairDocument(
                        dryRun: false,
                        caches: done.map { .init(path: $0.cache.text, actions: $0.results.map { .init($0) }) }))
            } else if done.allSatisfy(\.results.isEmpty) {
                Terminal.print("nothing to repair")
            }
            if Interruption.cancellation.isCancelled {
                throw CommandFailure(
                    status: .interrupted,
                    message: "interrupted; what came so far stays, and the next run goes on with it")
            }
            return done.flatMap(\.results).exitStatus
        }
    }

    private func isPlainFolder(_ path: String, _ opened: OpenedCaches) throws -> Bool {
        var resolver = TargetResolver(opened)
        if case .folder = try resolver.resolve(path) { return true }
        return false
    }
}
