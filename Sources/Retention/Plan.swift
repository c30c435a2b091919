public import HubCache

/// An item of a plan: where its facts are.
public enum Item: Sendable, Hashable {
    /// `caches[cache].revisions[index]`.
    case revision(cache: Int, index: Int)
    /// `caches[cache].files[index]`.
    case file(cache: Int, index: Int)

    /// The cache's place.
    public var cache: Int {
        switch self {
        case .revision(let cache, _), .file(let cache, _): cache
        }
    }
}

/// What a look at processes, locks and extents gave for one item, asked for only when nothing cheaper keeps it.
public struct ItemEvidence: Sendable, Hashable {
    /// Reasons to keep it.
    public var keepers: [Kept]
    /// Whether other files may share its extents, or they are compressed: its bytes are then an upper bound.
    public var mayShareExtents: Bool

    /// Makes evidence.
    public init(keepers: [Kept] = [], mayShareExtents: Bool = false) {
        self.keepers = keepers
        self.mayShareExtents = mayShareExtents
    }
}

/// A value that decided something.
public enum FactValue: Sendable, Hashable {
    /// Bytes.
    case bytes(UInt64)
    /// A length of time.
    case seconds(Int64)
    /// A point in time.
    case time(Timestamp)
    /// A number of things.
    case count(Int)
    /// A word.
    case text(String)
}

/// The fact that decided, its value, what it was held against, and where it is known from.
public struct Reason: Sendable, Hashable {
    /// The fact: `unused-for`, `older-than`, `state`, `free`.
    public var fact: String
    /// Its value.
    public var value: FactValue?
    /// What it was held against.
    public var limit: FactValue?
    /// Where the value is known from: `atime`, `open`, `ledger`, `statvfs`.
    public var source: String?

    /// Makes a reason.
    public init(fact: String, value: FactValue? = nil, limit: FactValue? = nil, source: String? = nil) {
        self.fact = fact
        self.value = value
        self.limit = limit
        self.source = source
    }
}

/// Something to do.
public struct PlannedAction: Sendable, Hashable {
    /// On what.
    public var item: Item
    /// The bytes that it gives back, after the actions before it.
    public var bytes: UInt64
    /// Whether the bytes are an upper bound.
    public var isAtMost: Bool
    /// What the Hub said; nil where it need not be asked.
    public var hub: HubStanding?
    /// The rule that decided, by its name.
    public var rule: String
    /// Why.
    public var reason: Reason

    /// Makes an action.
    public init(item: Item, bytes: UInt64, isAtMost: Bool, hub: HubStanding?, rule: String, reason: Reason) {
        self.item = item
        self.bytes = bytes
        self.isAtMost = isAtMost
        self.hub = hub
        self.rule = rule
        self.reason = reason
    }
}

/// Something that a rule matched and that stays.
public struct KeptItem: Sendable, Hashable {
    /// What.
    public var item: Item
    /// The bytes that removing it would have given back.
    public var bytes: UInt64
    /// The rule that matched first.
    public var rule: String
    /// Why it stays, the first that is to be named first. Never empty.
    public var reasons: [Kept]

    /// Makes a record.
    public init(item: Item, bytes: UInt64, rule: String, reasons: [Kept]) {
        self.item = item
        self.bytes = bytes
        self.rule = rule
        self.reasons = reasons
    }
}

/// The plan for one cache.
public struct CachePlan: Sendable, Hashable {
    /// Free now, in bytes.
    public var freeBytes: UInt64
    /// The floor; nil: none.
    public var minFreeBytes: UInt64?
    /// What eviction goes on to; nil: none.
    public var targetFreeBytes: UInt64?
    /// What is to be freed on the filesystem, or of the cache's own size, in bytes; caches of one filesystem share it.
    public var shortfallBytes: UInt64
    /// What to do, in order.
    public var actions: [PlannedAction]
    /// What a rule matched and stays.
    public var kept: [KeptItem]
    /// Free afterwards, in bytes.
    public var freeBytesAfter: UInt64
    /// Free afterwards if the Hub refuses everything that it was not asked about.
    public var freeBytesIfRefused: UInt64
    /// Whether the target is reached, or nothing had to be.
    public var isReached: Bool
    /// What a person should know, each a sentence: why the floor cannot be reached, why nothing goes.
    public var notes: [String]

    /// Makes an empty plan.
    public init(freeBytes: UInt64) {
        self.freeBytes = freeBytes
        shortfallBytes = 0
        actions = []
        kept = []
        freeBytesAfter = freeBytes
        freeBytesIfRefused = freeBytes
        isReached = true
        notes = []
    }
}

/// What a policy would do.
public struct Plan: Sendable, Hashable {
    /// A plan for each cache, in the order of the facts.
    public var caches: [CachePlan]
    /// The actions of all caches in the order in which they were decided, which is that in which they are to be done.
    public var sequence: [PlannedAction]

    /// Makes a plan.
    public init(caches: [CachePlan], sequence: [PlannedAction] = []) {
        self.caches = caches
        self.sequence = sequence
    }
}

/// A rule as it was tried on an item.
public struct TriedRule: Sendable, Hashable {
    /// The rule's name.
    public var rule: String
    /// Whether it fits.
    public var isMatched: Bool
    /// The fact that decided.
    public var reason: Reason

    /// Makes a record.
    public init(rule: String, isMatched: Bool, reason: Reason) {
        self.rule = rule
        self.isMatched = isMatched
        self.reason = reason
    }
}

/// What becomes of one item, and why.
public struct Explanation: Sendable, Hashable {
    /// The item.
    public var item: Item
    /// Whether the plan removes it.
    public var isRemoved: Bool
    /// Every rule, in order.
    public var tried: [TriedRule]
    /// Everything that keeps it, whether or not a rule fits.
    public var keptBy: [Kept]
    /// What else decided, each a sentence: why nothing at all goes in its cache.
    public var notes: [String] = []

    /// Makes an explanation.
    public init(item: Item, isRemoved: Bool, tried: [TriedRule], keptBy: [Kept]) {
        self.item = item
        self.isRemoved = isRemoved
        self.tried = tried
        self.keptBy = keptBy
    }
}
