import Enforcement
import HubCache
import Retention

/// `hfjanitor.plan/1`.
struct PlanDocument: Encodable {
    struct Cache: Encodable {
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

    struct Action: Encodable {
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

        init(_ action: PlannedAction, names: ItemNames, detail: String? = nil) {
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

    struct KeptEntry: Encodable {
        var repo: String?
        var commit: String?
        var path: String?
        var bytes: UInt64
        var by: String
        var detail: String

        init(path: BytePath, reasons: [Kept]) {
            self.path = path.text
            bytes = 0
            by = reasons.first?.by.rawValue ?? ""
            detail = reasons.first?.detail ?? ""
        }

        init(_ item: Item, bytes: UInt64, reasons: [Kept], names: ItemNames) {
            repo = names.repo(item)
            commit = names.commit(item)
            path = commit == nil ? names.path(item).text : nil
            self.bytes = bytes
            by = reasons.first?.by.rawValue ?? ""
            detail = reasons.first?.detail ?? ""
        }
    }

    struct After: Encodable {
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

    init(mode: Policy.Mode, time: Timestamp, caches gathered: [GatheredCache], plan: Plan) {
        self.mode = mode.rawValue
        self.time = formatTime(time)
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
struct ReasonDocument: Encodable {
    var fact: String
    var value: FactValue?
    var limit: FactValue?
    var source: String?

    init(_ reason: Reason) {
        fact = reason.fact
        value = reason.value
        limit = reason.limit
        source = reason.source
    }

    enum CodingKeys: CodingKey { case fact, value, limit, source }

    func encode(to encoder: any Encoder) throws {
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
        case .time(let time): try container.encode(formatTime(time), forKey: key)
        case .text(let text): try container.encode(text, forKey: key)
        case nil: break
        }
    }
}

/// `hfjanitor.explain/1`.
struct ExplainDocument: Encodable {
    struct Tried: Encodable {
        var rule: String
        var matched: Bool
        var reason: ReasonDocument

        enum CodingKeys: CodingKey { case rule, matched }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(rule, forKey: .rule)
            try container.encode(matched, forKey: .matched)
            try reason.encode(to: encoder)
        }
    }

    struct Entry: Encodable {
        var repo: String?
        var commit: String?
        var path: String?
        var verdict: String
        var tried: [Tried]
        var keptBy: [KeptBy]
        var notes: [String]

        enum CodingKeys: String, CodingKey {
            case repo, commit, path, verdict, tried, notes
            case keptBy = "kept_by"
        }
    }

    struct KeptBy: Encodable {
        var by: String
        var detail: String
    }

    var schema = "hfjanitor.explain/1"
    var items: [Entry]

    init(_ explanations: [Explanation], caches: [GatheredCache]) {
        items = explanations.map { explanation in
            let names = ItemNames(facts: caches[explanation.item.cache].facts)
            let commit = names.commit(explanation.item)
            return Entry(
                repo: names.repo(explanation.item), commit: commit,
                path: commit == nil ? names.path(explanation.item).text : nil,
                verdict: explanation.isRemoved ? "remove" : "keep",
                tried: explanation.tried.map {
                    Tried(rule: $0.rule, matched: $0.isMatched, reason: ReasonDocument($0.reason))
                },
                keptBy: explanation.keptBy.map { KeptBy(by: $0.by.rawValue, detail: $0.detail) },
                notes: explanation.notes)
        }
    }
}

/// What the items of a cache are called.
struct ItemNames {
    let facts: CacheFacts

    func repo(_ item: Item) -> String? {
        switch item {
        case .revision(_, let index): facts.repos[facts.revisions[index].repo].id.description
        case .file(_, let index): facts.files[index].repo.map { facts.repos[$0].id.description }
        }
    }

    func commit(_ item: Item) -> String? {
        if case .revision(_, let index) = item { facts.revisions[index].commit.hex } else { nil }
    }

    /// Where it is, relative to the cache root.
    func path(_ item: Item) -> BytePath {
        switch item {
        case .revision(_, let index):
            facts.repos[facts.revisions[index].repo].folder.appending("snapshots")
                .appending(facts.revisions[index].commit.hex)
        case .file(_, let index): facts.files[index].path
        }
    }

    /// The action's name in JSON.
    func action(_ item: Item) -> String {
        switch item {
        case .revision: "remove-revision"
        case .file(_, let index): facts.files[index].kind.rawValue
        }
    }

    /// The name for a person: `model/org/name@0123456789ab (main)`, or a path.
    func display(_ item: Item) -> String {
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
