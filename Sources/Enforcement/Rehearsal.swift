internal import HubCache
internal import Ledger
internal import LinuxIO
public import Retention

/// What a rehearsal came to.
public struct Rehearsal: Sendable {
    /// What would go if free space fell below the floor now, after everything that the Hub said.
    public var plan: Plan
    /// Why the Hub did not answer, if it did not.
    public var hubSilence: String?
    /// How many questions were asked.
    public var questions = 0
    /// Whether there would have been more questions than were allowed: what it came to is not known.
    public var isUnfinished = false
}

extension Enforcer {
    /// An answer is good for so long here: what goes is asked about once more right before.
    private static let freshness: Int64 = 20 * 3600 * 1_000_000_000

    /// Asks the Hub about what would go next if free space fell just below the floors, and removes nothing: that the Hub would not
    /// give back what is needed is better known while there is room.
    ///
    /// - Parameters:
    ///   - mostQuestions: as many are asked.
    ///   - askHub: asks the Hub.
    /// - Returns: nil where no cache has a floor.
    public func rehearse(mostQuestions: Int, askHub: (HubQuestion) -> HubReply) -> Rehearsal? {
        var facts = factsForEnforcing
        var floors: [UInt64: UInt64] = [:]
        for cache in facts {
            let filesystem = cache.filesystem
            guard let floor = cache.policy.minFree?.bytes(of: filesystem.totalBytes), floor > 0 else { continue }
            floors[filesystem.id] = max(floors[filesystem.id] ?? 0, floor)
        }
        guard !floors.isEmpty else { return nil }
        for index in facts.indices {
            guard let floor = floors[facts[index].filesystem.id] else { continue }
            facts[index].filesystem.freeBytes = min(facts[index].filesystem.freeBytes, floor - 1)
        }
        let known = RememberedCache.answers(
            in: ledger, since: Timestamp(nanoseconds: settings.now.nanoseconds &- Self.freshness))
        var questions = 0
        var isUnfinished = false
        let outcome = withoutActuallyEscaping(askHub) { askHub in
            EnforcementPass(
                facts: facts, planner: planner, evidence: evidence(of:),
                ask: { item in
                    if let question = self.question(of: item), let standing = known[question] {
                        switch standing {
                        case .confirmed: return .confirmed
                        case .refused(let reason): return .refused(reason: reason)
                        case .unasked: break
                        }
                    }
                    guard questions < mostQuestions else {
                        isUnfinished = true
                        return .confirmed
                    }
                    questions += 1
                    return self.ask(item, askHub)
                },
                carryOut: { actions in actions.map { .removed(bytes: $0.bytes) } },
                isCancelled: { isUnfinished || self.cancellation.isCancelled }, report: { _ in }
            ).run()
        }
        return Rehearsal(
            plan: outcome.plan, hubSilence: outcome.hubSilence, questions: questions,
            isUnfinished: outcome.isCancelled)
    }
}
