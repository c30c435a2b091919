internal import CacheScan
internal import Enforcement
internal import HubCache
internal import HubClient
internal import Ledger
internal import LinuxIO
internal import Retention
internal import SystemdSupport
internal import Verification

/// When the Hub is asked about what would go next, for the caches of one filesystem.
struct RehearsalSchedule {
    /// On the monotonic clock.
    var next: UInt64 = 0
    var isRunning = false
    /// Questions asked since `countedSince`, on the monotonic clock.
    var questions = 0
    var countedSince: UInt64 = 0

    static let mostQuestionsADay = 50
    static let day: UInt64 = 24 * 60 * Timers.minute
    /// Who does not answer is asked again sooner.
    static let retry: UInt64 = 2 * 60 * Timers.minute

    /// How many questions may still be asked today.
    mutating func allowance(_ now: UInt64) -> Int {
        if countedSince == 0 || now &- countedSince >= Self.day {
            countedSince = now
            questions = 0
        }
        return max(0, Self.mostQuestionsADay - questions)
    }
}

/// What a rehearsal means for the floor.
private struct Outlook: Sendable {
    /// Bytes that would stay only since the Hub might not give them back.
    var kept: UInt64 = 0
    var isReached = true
    var silence: String?
    /// Why the Hub would not give back the first of them.
    var refusal: String?
    var questions = 0
    var isUnfinished = false
}

// At the start, after an edit and daily the Hub is asked about what would go next: that it would not give it back is told while
// there is still room.
extension DaemonLoop {
    /// Has the Hub asked anew: the policy is another one.
    func planRehearsals() {
        for group in rehearsals.keys { rehearsals[group]?.next = 0 }
    }

    func rehearseIfDue(_ now: UInt64) {
        guard isReady, !setup.hub.isOffline else { return }
        for group in rehearsalGroups() {
            var schedule = rehearsals[group] ?? RehearsalSchedule()
            guard !schedule.isRunning, now >= schedule.next else { continue }
            let allowance = schedule.allowance(now)
            schedule.next = now &+ RehearsalSchedule.day
            let members = caches.filter { $0.filesystem == group && $0.presence == .present && $0.isInventoryDone }
            guard allowance > 0, let first = members.first, let worker = readingWorker(first) else {
                rehearsals[group] = schedule
                continue
            }
            schedule.isRunning = true
            rehearsals[group] = schedule
            let order = passOrder(for: members)
            hand(
                worker, { order.rehearse(mostQuestions: allowance) },
                then: { loop, outlook in loop.take(outlook, group) })
        }
    }

    /// When one is due at the earliest.
    var nextRehearsal: UInt64? {
        guard isReady, !setup.hub.isOffline else { return nil }
        return rehearsalGroups().compactMap { group in
            let schedule = rehearsals[group] ?? RehearsalSchedule()
            return schedule.isRunning ? nil : schedule.next
        }.min()
    }

    /// The filesystems with a floor.
    private func rehearsalGroups() -> Set<UInt64> {
        Set(
            caches.filter { $0.policy.minFree != nil && $0.presence == .present && $0.isInventoryDone }
                .compactMap(\.filesystem))
    }

    private func take(_ outlook: Outlook?, _ group: UInt64) {
        rehearsals[group]?.isRunning = false
        guard let outlook, !cancellation.isCancelled else { return }
        rehearsals[group]?.questions += outlook.questions
        guard !outlook.isUnfinished, let first = caches.first(where: { $0.filesystem == group }) else { return }
        let path = first.root ?? first.path
        // Its own condition: whether the floor holds now is another question.
        let identity = Condition.Identity(
            scope: "filesystem \(group)", code: "floor-unreachable", subject: "foreseen")
        guard !outlook.isReached, outlook.kept > 0 else {
            // Where something else keeps the floor from being held, the Hub is no matter, but nothing is well either.
            let told =
                outlook.isReached
                ? "the floor can be held: the Hub would give back what has to go"
                : "the Hub would give back what may go"
            clear(
                identity,
                saying: JournalEvent(
                    .floorHeld, "\(path.display): \(told)",
                    EventFields(cache: path, code: "foreseen", freeBytes: first.space.free)))
            return
        }
        if outlook.silence != nil {
            rehearsals[group]?.next = monotonicNanoseconds() &+ RehearsalSchedule.retry
        }
        let why =
            outlook.silence.map { "the Hub does not answer (\($0))" }
            ?? "the Hub would not give it back (\(outlook.refusal ?? "refused"))"
        raise(
            Condition(
                identity, detail: outlook.silence == nil ? "refused" : "silent",
                event: JournalEvent(
                    .floorUnreachable, priority: .error,
                    "\(path.display): there is room now, but the floor could not be held: \(formatBytes(outlook.kept)) "
                        + "kept: \(why); set 'irreplaceable: evict', or see: hfjanitor plan",
                    EventFields(
                        cache: path, code: "foreseen", reason: Keeper.irreplaceable.rawValue, bytes: outlook.kept,
                        freeBytes: first.space.free))))
    }
}

extension PassOrder {
    fileprivate func rehearse(mostQuestions: Int) -> Outlook? {
        let reading = ClockReading.now()
        let gathered = gather(reading.time)
        if cancellation.isCancelled || gathered.isEmpty { return nil }
        let enforcer = enforcer(gathered, reading, forgets: false)
        let hub = HubQuestioner(
            client: HubClient(environment: hub, token: token, health: health), cancellation: cancellation)
        guard let rehearsal = enforcer.rehearse(mostQuestions: mostQuestions, askHub: hub.ask) else { return nil }
        var outlook = Outlook(
            isReached: rehearsal.plan.caches.allSatisfy(\.isReached), silence: rehearsal.hubSilence,
            questions: rehearsal.questions, isUnfinished: rehearsal.isUnfinished)
        for kept in rehearsal.plan.caches.flatMap(\.kept) {
            guard let reason = kept.reasons.first, reason.by == .irreplaceable else { continue }
            outlook.kept &+= kept.bytes
            outlook.refusal = outlook.refusal ?? reason.detail
        }
        return outlook
    }
}
