internal import HubCache
internal import HubClient
internal import LinuxIO
internal import Retention
internal import Synchronization
internal import SystemdSupport

/// Hands events on, one after another, on a thread of its own: whoever takes them may be slow, or hang.
final class EventForwarder: Sendable {
    /// As many wait; what comes then is dropped.
    static let mostWaiting = 100

    private let worker: Worker
    private let waiting = Mutex(0)
    private let cancellation = Cancellation()
    private let environment: HubEnvironment
    private let limit: UInt64

    /// - Parameter limit: as long as one event may take, in nanoseconds.
    /// - Throws: `SystemCallFailure` when the process may open no more descriptors.
    init(_ environment: HubEnvironment, limit: UInt64 = 30_000_000_000) throws(SystemCallFailure) {
        self.environment = environment
        self.limit = limit
        worker = try Worker(name: "notify")
    }

    var isIdle: Bool { worker.isIdle }

    /// Hands a line on.
    ///
    /// - Parameter report: is told, on the forwarder's thread, what became of it; nil: it was taken; else why not. And whether
    ///   others wait.
    /// - Returns: whether there was room for it.
    func forward(_ line: String, to target: NotifyPolicy, report: @escaping @Sendable (String?, Bool) -> Void) -> Bool {
        let hasRoom = waiting.withLock { count in
            guard count < Self.mostWaiting else { return false }
            count += 1
            return true
        }
        guard hasRoom else { return false }
        worker.add { [self] in
            let failure = deliver(Array(line.utf8), to: target)
            let isEmpty = waiting.withLock { count in
                count -= 1
                return count == 0
            }
            report(failure, isEmpty)
        }
        return true
    }

    /// Gives up what waits, and ends what runs.
    func stop() {
        cancellation.cancel()
        worker.stop(droppingJobs: true)
    }

    private func deliver(_ line: [UInt8], to target: NotifyPolicy) -> String? {
        if let url = target.url {
            let posting = EventPosting(environment: environment, limit: .nanoseconds(Int64(limit)))
            return posting.post(line, to: url, cancellation: cancellation)
        }
        return run(target.command, line)
    }

    /// Runs a program, with nothing of ours but the event.
    private func run(_ command: [String], _ line: [UInt8]) -> String? {
        let name = command.first ?? ""
        let child: ChildProgram
        do throws(SystemCallFailure) {
            child = try ChildProgram(
                arguments: command, environment: ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"],
                input: line)
        } catch {
            return "\(name) cannot be started: \(error.reason)"
        }
        switch child.waits(for: .nanoseconds(Int64(limit)), cancellation: cancellation) {
        case .exited(0): return nil
        case .exited(let status): return "\(name) ended with status \(status)"
        case .killed(let signal): return "\(name) was ended by signal \(signal)"
        case nil: return "\(name) was killed: " + (cancellation.isCancelled ? "the daemon ends" : "it took too long")
        }
    }
}

// What the policy's `notify` gets: every event that matters enough, besides the journal.
extension DaemonLoop {
    private static let failed = Condition.Identity(scope: "notify", code: "notify-failed")
    private static let dropped = Condition.Identity(scope: "notify", code: "notify-dropped")

    func forward(_ event: JournalEvent) {
        let target = inForce.policy.notify ?? NotifyPolicy()
        guard target.url != nil || !target.command.isEmpty, event.priority <= target.minSeverity.leastPriority,
            // That it fails is not told by the same way.
            event.fields.code != Self.failed.code, event.fields.code != Self.dropped.code
        else { return }
        if forwarder == nil { forwarder = try? EventForwarder(setup.hub) }
        guard let forwarder else { return }
        let mailbox = mailbox
        let hasRoom = forwarder.forward(Journal.jsonLine(event), to: target) { failure, isEmpty in
            mailbox.post { loop in loop.takeForwarded(failure, isEmpty: isEmpty) }
        }
        if !hasRoom {
            raise(
                Self.condition(
                    Self.dropped,
                    "notify: \(EventForwarder.mostWaiting) events wait for whoever is notified, and more are left out; the "
                        + "journal has them all", detail: ""))
        }
    }

    /// Takes that the policy names somebody else: what was wrong with the last one does not matter any more.
    func forgetForwarding() {
        clear(Self.failed, saying: nil)
        clear(Self.dropped, saying: nil)
    }

    private func takeForwarded(_ failure: String?, isEmpty: Bool) {
        if let failure {
            raise(
                Self.condition(
                    Self.failed, "notify: \(failure); the event is in the journal: see 'notify' in the policy",
                    detail: failure))
        } else {
            clear(Self.failed, saying: Self.over(Self.failed, "notify works again"))
        }
        if isEmpty { clear(Self.dropped, saying: Self.over(Self.dropped, "notify: nothing waits any more")) }
    }

    private static func condition(_ identity: Condition.Identity, _ message: String, detail: String) -> Condition {
        Condition(
            identity, detail: detail,
            event: JournalEvent(.watchDegraded, message, EventFields(code: identity.code)))
    }

    private static func over(_ identity: Condition.Identity, _ message: String) -> JournalEvent {
        JournalEvent(.watchDegraded, priority: .notice, message, EventFields(code: identity.code))
    }
}

extension Severity {
    /// Events of this priority and those that matter more are at least as severe.
    fileprivate var leastPriority: EventPriority {
        switch self {
        case .error: .error
        case .warning: .warning
        case .info: .info
        }
    }
}
