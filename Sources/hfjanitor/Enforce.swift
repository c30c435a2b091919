import ArgumentParser
import CacheScan
import Enforcement
import HubCache
import HubClient
import LinuxIO
import Retention

struct Enforce: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Carry out the policy's plan once.",
        discussion: """
            Prints the lines of 'hfjanitor plan' as things are done. Every item is proven again under its locks right before; \
            what is in use by then stays. A policy in observe mode needs --yes.

            Exit status: 0 done; 75 the floor was not reached, or an item was busy; 78 the policy is wrong, or in observe mode; \
            77 permission; 73 cannot write.
            """)

    @OptionGroup var caches: CacheOptions

    @Option(
        help: ArgumentHelp(
            "End with this much room above the floor: a size such as 200GB.", valueName: "size"))
    var free: String?

    @Flag(help: "Act although the policy only observes.")
    var yes = false

    private func room() throws -> UInt64? {
        guard let free else { return nil }
        do throws(UnitError) {
            let bytes = try ByteCount.parse(free)
            guard !ByteCount.lacksUnit(free) else { throw UnitError("'\(free)' has no unit", suggestion: "\(free)GB") }
            return bytes
        } catch {
            throw CommandFailure(status: .usage, message: "--free: \(error.words)")
        }
    }

    func run() throws {
        try reportingFailures {
            let session = try RetentionSession(caches.choice, room: try room(), isActing: true, needsMemory: true)
            guard session.policy.mode == .enforce || yes else {
                throw CommandFailure(
                    status: .policy,
                    message:
                        "the policy only observes: 'hfjanitor plan' shows what it would do; set 'mode: enforce', or pass --yes"
                )
            }
            try session.requireWritable(Set(session.gathered.indices))
            if !caches.json { session.sayWhatIsAbsent() }
            let text = PlanText(caches: session.gathered)
            let environment = HubEnvironment(
                environment: Terminal.environment,
                tokenFile: CacheLocator(environment: Terminal.environment).tokenFile)
            let hub = HubQuestioner(
                client: HubClient(environment: environment, health: HubHealth()),
                cancellation: Interruption.cancellation)
            let report = session.enforcer.enforce(askHub: hub.ask) { event in
                if caches.json { return }
                switch event {
                case .removed(let action, _): Terminal.print("  " + text.line(action))
                case .kept(let action, let reasons):
                    Terminal.print("  " + text.line(kept: action.item, bytes: action.bytes, reasons: reasons))
                case .failed(let action, let message):
                    Terminal.complain("\(text.name(action.item)): \(displayText(of: message))")
                }
            }
            if caches.json {
                try printJSON(
                    EnforceDocument(
                        mode: session.policy.mode, time: session.now, caches: session.gathered, report: report))
            } else {
                text.show(report)
            }
            if report.pass.isCancelled { throw CommandFailure(status: .interrupted, message: "interrupted") }
            if let status = report.pass.failureStatus { return status }
            let unreached = zip(session.gathered, report.pass.plan.caches).filter { !$1.isReached }.map(\.0)
            if unreached.contains(where: \.root.filesystem.isReadOnly) { return .cannotWrite }
            return report.isReached && report.pass.kept.isEmpty ? .good : .busy
        }
    }
}
