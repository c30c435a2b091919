public import HubCache
public import LinuxIO
public import Retention

/// What became of one action.
public enum ActionOutcome: Sendable, Hashable {
    /// It was done; the bytes on the disk that it gives back.
    case removed(bytes: UInt64)
    /// It was not done, since something keeps it after all.
    case kept([Kept])
    /// It could not be done, or not finished: what happened, and what the user can do; and whether a permission was missing.
    case failed(String, isPermission: Bool)
}

/// What a pass tells while it goes on.
public enum PassEvent: Sendable {
    /// An action was done.
    case removed(PlannedAction, bytes: UInt64)
    /// An action was not done: something keeps it after all, or the Hub would not give it back.
    case kept(PlannedAction, [Kept])
    /// An action failed.
    case failed(PlannedAction, String)
}

/// What a pass came to.
public struct PassOutcome: Sendable {
    /// The plan as it stands after everything that was learned on the way.
    public var plan: Plan
    /// What was done, with the bytes that each gives back.
    public var removed: [(action: PlannedAction, bytes: UInt64)] = []
    /// What was planned and stays.
    public var kept: [(action: PlannedAction, reasons: [Kept])] = []
    /// What failed, and whether a permission was missing.
    public var failed: [(action: PlannedAction, message: String, isPermission: Bool)] = []
    /// What else was met in repos that were meant as a whole, by its path, and what became of it.
    public var further: [(path: BytePath, outcome: ActionOutcome)] = []
    /// Why the Hub did not answer, if it did not: what it might not give back stays.
    public var hubSilence: String?
    /// Whether it was told to stop.
    public var isCancelled = false

    /// The bytes that what was done gives back, of one cache or of all.
    public func removedBytes(cache: Int? = nil) -> UInt64 {
        removed.reduce(0) { $0 &+ (cache == nil || $1.action.item.cache == cache ? $1.bytes : 0) }
    }
}

/// Carries a plan out: asks the Hub, has items removed, and plans anew with what it learned until nothing is left to do.
///
/// One pass removes until the prediction reaches the shortfall and no more: freed bytes appear late on some filesystems, so it
/// never looks at free space again. Everything with an effect is handed in, so that the order of things can be tested.
public struct EnforcementPass {
    private let facts: [CacheFacts]
    private let planner: ([CacheFacts], [Item: [Kept]]) -> Planner
    private let evidence: (Item) -> ItemEvidence
    private let ask: (Item) -> HubReply
    private let carryOut: ([PlannedAction]) -> [ActionOutcome]
    private let isCancelled: () -> Bool
    private let report: (PassEvent) -> Void
    private let now: () -> UInt64

    /// As many actions are under way at once: each waits for clients to settle, and they wait together.
    static let batchSize = 64
    /// Nanoseconds that one batch may be asked about: an answer counts for ten minutes.
    private static let longestAsking: UInt64 = 5 * 60 * 1_000_000_000
    private static let silencesThatTell = 3

    /// Makes a pass.
    ///
    /// - Parameters:
    ///   - facts: the caches.
    ///   - planner: makes a planner of facts and of what was learned since.
    ///   - evidence: who uses an item.
    ///   - ask: asks the Hub whether it would give a revision back; called right before it goes.
    ///   - carryOut: does what it is given, all at once, and says what became of each, in the same order.
    ///   - isCancelled: whether to stop.
    ///   - report: is told what happens.
    ///   - now: a clock in nanoseconds that never jumps.
    public init(
        facts: [CacheFacts], planner: @escaping ([CacheFacts], [Item: [Kept]]) -> Planner,
        evidence: @escaping (Item) -> ItemEvidence, ask: @escaping (Item) -> HubReply,
        carryOut: @escaping ([PlannedAction]) -> [ActionOutcome], isCancelled: @escaping () -> Bool,
        report: @escaping (PassEvent) -> Void, now: @escaping () -> UInt64 = monotonicNanoseconds
    ) {
        self.facts = facts
        self.planner = planner
        self.evidence = evidence
        self.ask = ask
        self.carryOut = carryOut
        self.isCancelled = isCancelled
        self.report = report
        self.now = now
    }

    /// Runs it. Blocks until it is done.
    public func run() -> PassOutcome {
        withoutActuallyEscaping(evidence) { run(evidence: $0) }
    }

    private func run(evidence: @escaping (Item) -> ItemEvidence) -> PassOutcome {
        var facts = facts
        var learned: [Item: [Kept]] = [:]
        var looked: [Item: ItemEvidence] = [:]
        var done: Set<Item> = []
        var asked: Set<Item> = []
        var silences = 0
        func lookOnce(_ item: Item) -> ItemEvidence {
            if let known = looked[item] { return known }
            let found = evidence(item)
            looked[item] = found
            return found
        }
        var result = PassOutcome(plan: planner(facts, learned).plan(evidence: lookOnce))
        while !isCancelled() {
            let pending = result.plan.sequence.filter { !done.contains($0.item) }
            var batch: [PlannedAction] = []
            var hasRefusal = false
            let begun = now()
            for var action in pending.prefix(Self.batchSize) {
                // What was confirmed first is still to be true when it goes.
                if isCancelled() || now() &- begun > Self.longestAsking { break }
                if action.hub != nil, asked.insert(action.item).inserted {
                    let reply = ask(action.item)
                    if let standing = refusal(reply, of: action, &result) {
                        facts.note(standing, of: action.item)
                        if case .none = reply {
                            silences += 1
                            // Who does not answer three times is away: the rest would wait for nothing, one by one.
                            if silences == Self.silencesThatTell { facts.noteSilence(standing, except: asked) }
                        }
                        hasRefusal = true
                        break
                    }
                    facts.note(.confirmed, of: action.item)
                    action.hub = .confirmed
                }
                batch.append(action)
            }
            if batch.isEmpty && !hasRefusal { break }
            let outcomes = batch.isEmpty ? [] : carryOut(batch)
            for (action, outcome) in zip(batch, outcomes) {
                switch outcome {
                case .removed(let bytes):
                    done.insert(action.item)
                    result.removed.append((action, bytes))
                    report(.removed(action, bytes: bytes))
                case .kept(let reasons):
                    learned[action.item, default: []] += reasons
                    result.kept.append((action, reasons))
                    report(.kept(action, reasons))
                case .failed(let message, let isPermission):
                    learned[action.item, default: []].append(Kept(by: .cannotTell, message))
                    result.failed.append((action, message, isPermission))
                    report(.failed(action, message))
                }
            }
            // What stays after all leaves a gap, which what comes next may fill.
            result.plan = planner(facts, learned).plan(evidence: lookOnce)
        }
        result.isCancelled = isCancelled()
        return result
    }

    /// What a reply means for a revision; nil when it may go.
    private func refusal(_ reply: HubReply, of action: PlannedAction, _ result: inout PassOutcome) -> HubStanding? {
        switch reply {
        case .confirmed: return nil
        case .refused(let reason):
            report(.kept(action, [Kept(by: .irreplaceable, reason)]))
            return .refused(reason: reason)
        case .none(let reason):
            // Silence is the same for all: it is told once, at the end.
            result.hubSilence = result.hubSilence ?? reason
            return .refused(reason: reason)
        }
    }
}

extension [CacheFacts] {
    /// Notes that the Hub does not answer, for every revision that it was not asked about.
    fileprivate mutating func noteSilence(_ standing: HubStanding, except asked: Set<Item>) {
        for cache in indices {
            for index in self[cache].revisions.indices {
                if !asked.contains(.revision(cache: cache, index: index)) {
                    self[cache].revisions[index].hub = standing
                }
            }
        }
    }

    /// Notes what the Hub said of a revision.
    fileprivate mutating func note(_ standing: HubStanding, of item: Item) {
        guard case .revision(let cache, let index) = item else { return }
        self[cache].revisions[index].hub = standing
    }
}
