public import HubCache
internal import InUse
public import Ledger
public import LinuxIO
internal import Removal
public import Retention
internal import Synchronization

/// What the Hub says when it is asked whether it would give a file back.
public enum HubReply: Sendable, Hashable {
    /// It has this very file, and would give it to us.
    case confirmed
    /// It has not, or would not; why.
    case refused(reason: String)
    /// There was no answer; why.
    case none(reason: String)
}

/// Plans for caches that were looked at, and carries the plans out.
///
/// Its calls block the caller's thread.
public final class Enforcer: Sendable {
    /// What it works by.
    public struct Settings: Sendable {
        /// The policy.
        public var policy: Policy
        /// The policies before it, which protect for a while what they protected.
        public var formerPolicies: [FormerPolicy] = []
        /// The time to judge by.
        public var now: Timestamp
        /// When the caches were looked at, by the clock of their filesystems.
        public var lookedAt: Timestamp
        /// Whether the clock can be believed.
        public var clock: ClockTrust
        /// So much is to be free above the floor in the end.
        public var room: UInt64?
        /// The ledger's losses before the caches were looked at: after another one nothing is removed.
        public var ledgerLosses: Int?
        /// Has the ledger learn of what was opened since; called before anything is removed.
        public var catchUp: @Sendable () -> Void = {}
        /// How long clients get to link in what was parked, before it goes for good.
        public var settle: Duration = .seconds(1)

        /// Makes settings.
        public init(policy: Policy, now: Timestamp, clock: ClockTrust = .trusted) {
            self.policy = policy
            self.now = now
            lookedAt = now
            self.clock = clock
        }
    }

    /// The caches as they were found.
    public let caches: [GatheredCache]
    let settings: Settings
    let ledger: Ledger
    let cancellation: Cancellation
    let usePass = UsePass()
    let recentOpens = RecentOpens()
    /// By cache. One enforcer removes with one set of overrides.
    let removers = Mutex<[Int: Remover]>([:])

    /// Makes an enforcer.
    ///
    /// - Parameters:
    ///   - ledger: what is remembered of opens, openers and the Hub's answers.
    public init(
        caches: [GatheredCache], settings: Settings, ledger: Ledger, cancellation: Cancellation = Cancellation()
    ) {
        self.caches = caches
        self.settings = settings
        self.ledger = ledger
        self.cancellation = cancellation
    }

    // MARK: planning

    /// What the policy would do.
    public func plan() -> Plan { planner(factsForPlanning, [:]).plan(evidence: evidence(of:)) }

    /// What becomes of items, and why.
    public func explain(_ items: [Item]) -> [Explanation] {
        let planner = planner(factsForPlanning, [:])
        return items.map { planner.explain($0, evidence: evidence(of:)) }
    }

    /// The facts, and why nothing may go by rules where that is so.
    private var factsForPlanning: [CacheFacts] {
        caches.map { cache in
            var facts = cache.facts
            facts.refusal = facts.refusal ?? Self.floorRefusal(of: facts) ?? ineffectiveRefusal(of: facts)
            return facts
        }
    }

    /// The same, where a refusal of the Hub is only what it last said: it is asked again right before anything goes.
    var factsForEnforcing: [CacheFacts] {
        factsForPlanning.map { facts in
            var facts = facts
            for index in facts.revisions.indices {
                if case .refused = facts.revisions[index].hub { facts.revisions[index].hub = .unasked }
            }
            return facts
        }
    }

    func planner(_ facts: [CacheFacts], _ learned: [Item: [Kept]]) -> Planner {
        Planner(
            policy: settings.policy, caches: facts, now: settings.now, clock: settings.clock, room: settings.room,
            formerPolicies: settings.formerPolicies, extraKeepers: learned)
    }

    // MARK: enforcing

    /// Carries the plan out once.
    ///
    /// - Parameters:
    ///   - askHub: asks the Hub; called right before a revision goes.
    ///   - report: is told what happens, as it happens.
    public func enforce(askHub: (HubQuestion) -> HubReply, report: (PassEvent) -> Void) -> PassReport {
        let before = freeBytes()
        let pass = withoutActuallyEscaping(report) { report in
            withoutActuallyEscaping(askHub) { askHub in
                EnforcementPass(
                    facts: factsForEnforcing, planner: planner, evidence: evidence(of:),
                    ask: { self.ask($0, askHub) },
                    carryOut: { self.carryOut($0.map(\.item), overrides: .none) },
                    isCancelled: { self.cancellation.isCancelled || self.isMemoryLost }, report: report
                ).run()
            }
        }
        return waitForSpace(after: pass, freeBefore: before)
    }

    /// Whether the ledger lost what the plan was made by.
    var isMemoryLost: Bool { settings.ledgerLosses.map { $0 != ledger.losses } ?? false }

    /// Asks the Hub whether it would give a revision back, and remembers what it says. Silence says nothing of the revision.
    func ask(_ item: Item, _ askHub: (HubQuestion) -> HubReply) -> HubReply {
        guard let question = question(of: item) else {
            return .refused(reason: "nothing in it has an etag to ask the Hub for")
        }
        let reply = askHub(question)
        switch reply {
        case .confirmed: note(question, .confirmed, reason: "")
        case .refused(let reason): note(question, .refused, reason: reason)
        case .none: break
        }
        return reply
    }

    /// What the Hub is asked about an item.
    func question(of item: Item) -> HubQuestion? {
        guard case .revision(let cache, let index) = item else { return nil }
        return caches[cache].questions[index]
    }

    private func note(_ question: HubQuestion, _ verdict: HubAnswer.Verdict, reason: String) {
        ledger.note(
            hubAnswer: HubAnswer(
                repo: question.repo.folder.text, commit: question.commit, file: question.path.text,
                etag: question.etag.text, endpoint: "", verdict: verdict, reason: reason, askedAt: currentTime()))
    }
}
