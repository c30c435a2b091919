public import HubCache

/// Whether the clock can be believed.
public enum ClockTrust: Sendable, Hashable {
    /// It can.
    case trusted
    /// It cannot; why, as the end of a sentence: `it is before the last time in the ledger`.
    case untrusted(reason: String)
}

/// A policy that was in force before.
public struct FormerPolicy: Sendable, Hashable {
    /// What it said.
    public var policy: Policy
    /// When it was replaced.
    public var replacedAt: Timestamp

    /// Makes a record.
    public init(policy: Policy, replacedAt: Timestamp) {
        self.policy = policy
        self.replacedAt = replacedAt
    }
}

/// Facts and a policy to a plan with a reason for every item.
///
/// It is a function of its values: no clock, no disk, and the same plan for the same values. Rules without `when` act first, in
/// the policy's order; then caches above `max-size` shrink; then filesystems below their floor are relieved. Everything goes on
/// item after item: what is decided of one depends only on those before it, so that a plan with more keepers begins like the one
/// without, up to the first item that they touch.
public struct Planner: Sendable {
    let policy: Policy
    let caches: [CacheFacts]
    let now: Timestamp
    let clock: ClockTrust
    let room: UInt64?
    let formerPolicies: [FormerPolicy]
    let extraKeepers: [Item: [Kept]]

    /// Makes a planner.
    ///
    /// - Parameters:
    ///   - policy: the rules and pins. What it says of caches is in the facts of each.
    ///   - caches: the facts. Items of a plan name their places in this array.
    ///   - now: the time that ages are counted to.
    ///   - clock: while it is not trusted nothing is removed: ages, recent use and the order of use all rest on it.
    ///   - room: so many bytes above the floor must be free in the end, whatever the policy's target is.
    ///   - formerPolicies: each protects for a while what it protected, and what it would not have taken.
    ///   - extraKeepers: what was learned since the facts were gathered: an item is busy, the Hub refused.
    public init(
        policy: Policy, caches: [CacheFacts], now: Timestamp, clock: ClockTrust = .trusted, room: UInt64? = nil,
        formerPolicies: [FormerPolicy] = [], extraKeepers: [Item: [Kept]] = [:]
    ) {
        self.policy = policy
        self.caches = caches
        self.now = now
        self.clock = clock
        self.room = room
        self.formerPolicies = formerPolicies
        self.extraKeepers = extraKeepers
    }

    /// Makes the plan.
    ///
    /// - Parameter evidence: the costly look at one item. It is asked at most once for an item, and only for items that a rule
    ///   takes, that nothing cheaper keeps, and whose turn comes.
    public func plan(evidence: (Item) -> ItemEvidence) -> Plan {
        withoutActuallyEscaping(evidence) { evidence in
            var run = PlanRun(self, evidence: evidence)
            run.carryOut()
            return run.result()
        }
    }

    /// Tells what becomes of one item, and why: the same plan, with every rule's answer.
    ///
    /// An item that does not exist is explained by nothing.
    public func explain(_ item: Item, evidence: (Item) -> ItemEvidence) -> Explanation {
        withoutActuallyEscaping(evidence) { evidence in
            var run = PlanRun(self, evidence: evidence)
            run.carryOut()
            return run.explanation(of: item)
        }
    }
}

extension Rule {
    /// What happens under pressure when the policy has no rule for it: cheapest loss first.
    static let implied: [Rule] = {
        func rule(_ name: String, _ states: [Match.State]) -> Rule {
            var match = Match()
            match.states = states
            return Rule(name: name, occasion: .pressure, match: match)
        }
        return [
            rule("implied: stale partials", [.stalePartial]),
            rule("implied: orphans", [.orphan]),
            rule("implied: superseded", [.superseded]),
            rule("implied: least recently used", []),
        ]
    }()
}

extension Policy {
    /// Whether it says itself what goes under pressure.
    var hasPressureRules: Bool { rules.contains { $0.occasion == .pressure } }

    /// The rules for pressure, or the implied ones.
    var pressureRules: [Rule] {
        let own = rules.filter { $0.occasion == .pressure }
        return own.isEmpty ? Rule.implied : own
    }

    /// The rules that need no event.
    var standingRules: [Rule] { rules.filter { $0.occasion == .always } }
}

extension Duration {
    /// Nanoseconds, held within what 64 bits can say.
    var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflowed) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflow || overflowed ? (seconds < 0 ? .min : .max) : sum
    }

    /// Whole seconds.
    var wholeSeconds: Int64 { components.seconds }
}

extension Timestamp {
    /// The nanoseconds from then to this, held within what 64 bits can say.
    func nanoseconds(since then: Timestamp) -> Int64 {
        let (difference, overflow) = nanoseconds.subtractingReportingOverflow(then.nanoseconds)
        return overflow ? (nanoseconds < then.nanoseconds ? .min : .max) : difference
    }

    /// A time so much later.
    func adding(_ duration: Duration) -> Timestamp {
        let length = duration.wholeNanoseconds
        let (sum, overflow) = nanoseconds.addingReportingOverflow(length)
        return Timestamp(nanoseconds: overflow ? (length < 0 ? .min : .max) : sum)
    }
}

extension UInt64 {
    /// The difference, or nothing.
    func subtractingWithin(_ other: UInt64) -> UInt64 { self > other ? self - other : 0 }
}
