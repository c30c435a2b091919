public import Enforcement
public import HubCache
public import Retention

/// `hfjanitor.plan/1`.
public struct PlanDocument: Encodable, Sendable {
    /// A cache.
    public struct Cache: Encodable, Sendable {
        var path: String
        var filesystem: String
        var freeBytes: UInt64
        var minFreeBytes: UInt64?
        var targetFreeBytes: UInt64?
        var shortfallBytes: UInt64
        var actions: [Action]
        var kept: [KeptEntry]
        var after: After
        var notes: [String]

        enum CodingKeys: String, CodingKey {
            case path, filesystem, actions, kept, after, notes
            case freeBytes = "free_bytes"
            case minFreeBytes = "min_free_bytes"
            case targetFreeBytes = "target_free_bytes"
            case shortfallBytes = "shortfall_bytes"
        }
    }

    /// Something that goes.
    public struct Action: Encodable, Sendable {
        var action: String
        var repo: String?
        var commit: String?
        var path: String
        var bytes: UInt64
        var bytesAtMost: Bool
        var hub: String?
        var rule: String
        var reason: ReasonDocument
        /// Why it failed; only where it was carried out.
        var detail: String?

        enum CodingKeys: String, CodingKey {
            case action, repo, commit, path, bytes, hub, rule, reason, detail
            case bytesAtMost = "bytes_at_most"
        }

        /// An action, and why it failed, if it did.
        public init(_ action: PlannedAction, names: ItemNames, detail: String? = nil) {
            self.action = names.action(action.item)
            repo = names.repo(action.item)
            commit = names.commit(action.item)
            path = names.path(action.item).text
            bytes = action.bytes
            bytesAtMost = action.isAtMost
            hub = action.hub?.word
            rule = action.rule
            reason = ReasonDocument(action.reason)
            self.detail = detail
        }
    }

    /// Something that stays.
    public struct KeptEntry: Encodable, Sendable {
        var repo: String?
        var commit: String?
        var path: String?
        var bytes: UInt64
        var by: String
        var detail: String

        /// A path, and what keeps it.
        public init(path: BytePath, reasons: [Kept]) {
            self.path = path.text
            bytes = 0
            by = reasons.first?.by.rawValue ?? ""
            detail = reasons.first?.detail ?? ""
        }

        /// An item, and what keeps it.
        public init(_ item: Item, bytes: UInt64, reasons: [Kept], names: ItemNames) {
            repo = names.repo(item)
            commit = names.commit(item)
            path = commit == nil ? names.path(item).text : nil
            self.bytes = bytes
            by = reasons.first?.by.rawValue ?? ""
            detail = reasons.first?.detail ?? ""
        }
    }

    /// What is free then.
    public struct After: Encodable, Sendable {
        var freeBytes: UInt64
        var freeBytesIfRefused: UInt64
        var reached: Bool

        enum CodingKeys: String, CodingKey {
            case reached
            case freeBytes = "free_bytes"
            case freeBytesIfRefused = "free_bytes_if_refused"
        }
    }

    var schema = "hfjanitor.plan/1"
    var mode: String
    var time: String
    var caches: [Cache]

    /// A plan.
    public init(mode: Policy.Mode, time: Timestamp, caches gathered: [GatheredCache], plan: Plan) {
        self.mode = mode.rawValue
        self.time = CalendarTime.text(of: time)
        caches = zip(gathered, plan.caches).map { cache, plan in
            let names = ItemNames(facts: cache.facts)
            return Cache(
                path: cache.facts.path.text, filesystem: cache.facts.filesystem.name, freeBytes: plan.freeBytes,
                minFreeBytes: plan.minFreeBytes, targetFreeBytes: plan.targetFreeBytes,
                shortfallBytes: plan.shortfallBytes,
                actions: plan.actions.map { Action($0, names: names) },
                kept: plan.kept.map { KeptEntry($0.item, bytes: $0.bytes, reasons: $0.reasons, names: names) },
                after: After(
                    freeBytes: plan.freeBytesAfter, freeBytesIfRefused: plan.freeBytesIfRefused,
                    reached: plan.isReached),
                notes: plan.notes)
        }
    }
}

/// A reason in JSON; keys that do not apply are left out.
public struct ReasonDocument: Encodable, Sendable {
    var fact: String
    var value: FactValue?
    var limit: FactValue?
    var source: String?

    /// A reason.
    public init(_ reason: Reason) {
        fact = reason.fact
        value = reason.value
        limit = reason.limit
        source = reason.source
    }

    enum CodingKeys: CodingKey { case fact, value, limit, source }

    /// Writes what applies.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(fact, forKey: .fact)
        try Self.encode(value, forKey: .value, into: &container)
        try Self.encode(limit, forKey: .limit, into: &container)
        try container.encodeIfPresent(source, forKey: .source)
    }

    private static func encode(
        _ value: FactValue?, forKey key: CodingKeys, into container: inout KeyedEncodingContainer<CodingKeys>
    ) throws {
        switch value {
        case .bytes(let bytes): try container.encode(bytes, forKey: key)
        case .seconds(let seconds): try container.encode(seconds, forKey: key)
        case .count(let count): try container.encode(count, forKey: key)
        case .time(let time): try container.encode(CalendarTime.text(of: time), forKey: key)
        case .text(let text): try container.encode(text, forKey: key)
        case nil: break
        }
    }
}

/// What the items of a cache are called.
public struct ItemNames {
    private let facts: CacheFacts

    /// Those of a cache.
    public init(facts: CacheFacts) { self.facts = facts }

    /// The repo, `type/org/name`.
    public func repo(_ item: Item) -> String? {
        switch item {
        case .revision(_, let index): facts.repos[facts.revisions[index].repo].id.description
        case .file(_, let index): facts.files[index].repo.map { facts.repos[$0].id.description }
        }
    }

    /// The commit of a revision.
    public func commit(_ item: Item) -> String? {
        if case .revision(_, let index) = item { facts.revisions[index].commit.hex } else { nil }
    }

    /// Where it is, relative to the cache root.
    public func path(_ item: Item) -> BytePath {
        switch item {
        case .revision(_, let index):
            facts.repos[facts.revisions[index].repo].folder.appending("snapshots")
                .appending(facts.revisions[index].commit.hex)
        case .file(_, let index): facts.files[index].path
        }
    }

    /// The action's name in JSON.
    public func action(_ item: Item) -> String {
        switch item {
        case .revision: "remove-revision"
        case .file(_, let index): facts.files[index].kind.rawValue
        }
    }

    /// The name for a person: `model/org/name@0123456789ab (main)`, or a path.
    public func display(_ item: Item) -> String {
        switch item {
        case .revision(_, let index):
            let revision = facts.revisions[index]
            let refs = revision.refs.map(\.display).joined(separator: ", ")
            return displayText(of: facts.repos[revision.repo].id.description) + "@\(revision.commit.hex.prefix(12))"
                + (refs.isEmpty ? "" : " (\(refs))")
        case .file(_, let index): return facts.files[index].path.display
        }
    }
}
