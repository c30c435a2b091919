public import HubCache

/// A state of affairs that lasts until it is over, such as a floor that cannot be reached or a shard that is missing.
public struct Condition: Sendable, Hashable {
    /// What it is that lasts: two conditions with the same identity are the same one.
    public struct Identity: Sendable, Hashable {
        /// What the condition belongs to, and is looked at with: a cache's path, a repo's folder in one.
        public var scope: String
        /// A finding's or condition's code.
        public var code: String
        /// What tells it from others of the same code in the scope, such as a path; empty where there is one only.
        public var subject: String

        /// Makes an identity.
        public init(scope: String, code: String, subject: String = "") {
            self.scope = scope
            self.code = code
            self.subject = subject
        }
    }

    /// Which condition it is.
    public var identity: Identity
    /// What makes it another story when it changes, such as what blocks a floor; not a number that always moves.
    public var detail: String
    /// What to say of it.
    public var event: JournalEvent

    /// Makes a condition.
    public init(_ identity: Identity, detail: String = "", event: JournalEvent) {
        self.identity = identity
        self.detail = detail
        self.event = event
    }
}

/// Which conditions hold, and when each was last spoken of: an unchanged one is said once, again after 24 hours, and when it is
/// over.
///
/// Pure: what is to be said is returned, and time comes from the caller. A condition whose detail or priority changed is said
/// anew.
public struct ConditionLog: Sendable {
    /// A condition that holds.
    public struct Entry: Sendable, Hashable {
        /// The condition as it was last given.
        public var condition: Condition
        /// Since when it holds.
        public var since: Timestamp
        /// When it was last said.
        var said: Timestamp
    }

    /// What changed.
    public struct Changes: Sendable, Hashable {
        /// Conditions to say now: new ones, changed ones, and old ones again.
        public var toSay: [Condition] = []
        /// Those that are over, as they were: to be said too.
        public var cleared: [Entry] = []
    }

    /// After how long an unchanged condition is said again.
    public static let repetition: Int64 = 24 * 3600 * 1_000_000_000

    private var entries: [String: [Condition.Identity: Entry]] = [:]

    /// Makes an empty log.
    public init() {}

    /// Takes what was found in a scope: exactly these conditions hold there now.
    ///
    /// - Parameters:
    ///   - scope: the scope that was looked at; a condition of another one is a mistake of the caller's.
    ///   - conditions: all that holds there; of several with one identity the last counts.
    ///   - now: the wall clock. One that jumped back only makes a condition wait for its day anew.
    /// - Returns: what is to be said, in the order given.
    public mutating func replace(scope: String, with conditions: [Condition], now: Timestamp) -> Changes {
        var changes = Changes()
        var present: Set<Condition.Identity> = []
        for condition in conditions {
            precondition(condition.identity.scope == scope, "a condition of another scope")
            present.insert(condition.identity)
            if raise(condition, now: now) { changes.toSay.append(condition) }
        }
        let over = (entries[scope] ?? [:]).values.filter { !present.contains($0.condition.identity) }
        for entry in over { entries[scope]?[entry.condition.identity] = nil }
        if entries[scope]?.isEmpty == true { entries[scope] = nil }
        changes.cleared = over.sorted(by: Self.isBefore)
        return changes
    }

    /// Takes one condition that holds now.
    ///
    /// - Returns: whether it is to be said.
    public mutating func raise(_ condition: Condition, now: Timestamp) -> Bool {
        let scope = condition.identity.scope
        guard var entry = entries[scope]?[condition.identity] else {
            entries[scope, default: [:]][condition.identity] = Entry(condition: condition, since: now, said: now)
            return true
        }
        let isChanged =
            entry.condition.detail != condition.detail || entry.condition.event.priority != condition.event.priority
        let age = now.nanoseconds.subtractingReportingOverflow(entry.said.nanoseconds)
        let isDue = !age.overflow && age.partialValue >= Self.repetition
        // After a jump of the clock back, the day starts anew.
        if isChanged || isDue || now < entry.said { entry.said = now }
        entry.condition = condition
        entries[scope]?[condition.identity] = entry
        return isChanged || isDue
    }

    /// Takes that one condition is over.
    ///
    /// - Returns: what it was; nil when it did not hold.
    public mutating func clear(_ identity: Condition.Identity) -> Entry? {
        let entry = entries[identity.scope]?.removeValue(forKey: identity)
        if entries[identity.scope]?.isEmpty == true { entries[identity.scope] = nil }
        return entry
    }

    /// Whether a condition holds.
    public func holds(_ identity: Condition.Identity) -> Bool { entries[identity.scope]?[identity] != nil }

    /// Those that hold and were last said a day ago or more: to be said again though nobody looked at them anew.
    public mutating func takeDue(now: Timestamp) -> [Condition] {
        let due = open.map(\.condition).filter { condition in
            let said = entries[condition.identity.scope]?[condition.identity]?.said ?? now
            let age = now.nanoseconds.subtractingReportingOverflow(said.nanoseconds)
            return !age.overflow && age.partialValue >= Self.repetition
        }
        return due.filter { raise($0, now: now) }
    }

    /// When the next condition is due to be said again; nil when none holds.
    public var nextDue: Timestamp? {
        let said = entries.values.lazy.flatMap(\.values).map(\.said).min()
        return said.map { Timestamp(nanoseconds: $0.nanoseconds &+ Self.repetition) }
    }

    /// Those that hold, the oldest first.
    public var open: [Entry] { entries.values.flatMap(\.values).sorted(by: Self.isBefore) }

    private static func isBefore(_ left: Entry, _ right: Entry) -> Bool {
        if left.since != right.since { return left.since < right.since }
        let (one, other) = (left.condition.identity, right.condition.identity)
        return (one.scope, one.code, one.subject) < (other.scope, other.code, other.subject)
    }
}
