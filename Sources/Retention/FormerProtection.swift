public import HubCache

/// What a policy before an edit protected, for as long as it still counts.
///
/// The grace and the announcement last as long as the longer of both policies says: an edit cannot shorten its own.
struct FormerProtection: Sendable {
    private let former: Policy
    private let graceEnd: Timestamp
    private let announcedUntil: Timestamp
    private let standing: [FormerRule]
    private let pressure: [FormerRule]
    /// For each cache what the former policy said of it; nil: it was not named.
    private let policies: [CachePolicy?]
    private let reserved: [UInt64]
    private let hadFloor: Bool
    private let now: Timestamp

    private struct FormerRule {
        var rule: ReadyRule
        /// The places of what its `keep-last` protected.
        var keptLast: Set<Int>
    }

    /// Makes it; nil when nothing of the former policy counts any more.
    init?(
        _ former: FormerPolicy, current: Policy, caches: [CacheFacts], catalogue: Catalogue, now: Timestamp
    ) {
        self.former = former.policy
        self.now = now
        graceEnd = former.graceEnd(before: current)
        announcedUntil = former.replacedAt.adding(max(former.policy.announce, current.announce))
        guard now < graceEnd || now < announcedUntil else { return nil }
        let ready = { (rules: [Rule]) in
            rules.map { rule in
                let rule = ReadyRule(rule, names: catalogue.names, caches: caches)
                let kept = catalogue.keptLast(rule, among: catalogue.entries.indices, in: caches)
                return FormerRule(rule: rule, keptLast: kept)
            }
        }
        standing = ready(former.policy.standingRules)
        pressure = ready(former.policy.pressureRules)
        policies = caches.map(former.policy(of:))
        reserved = zip(caches, policies).map { facts, policy in
            policy.map { SizeBounds($0, total: facts.filesystem.totalBytes).reserved } ?? 0
        }
        hadFloor = former.policy.caches.contains { $0.minFree != nil }
    }

    /// What kept the item whatever a rule said, and does no longer.
    func standingKeepers(
        _ entry: Entry, _ revision: RevisionFacts, _ facts: CacheFacts, isPinned: Bool, isLastOne: Bool
    )
        -> [Kept]
    {
        guard now < graceEnd else { return [] }
        var kept: [Kept] = []
        if !isPinned, let pin = former.pins.first(where: { $0.names(revision, of: facts.repos[revision.repo].id) }) {
            kept.append(grace("it was pinned as \(pin.repo.pattern)"))
        }
        kept += standingKeepers(entry, facts)
        guard let policy = policies[entry.cache] else { return kept }
        if isLastOne, !policy.allowsEmpty, facts.policy.allowsEmpty {
            kept.append(grace("the last one of its cache was to stay"))
        }
        if policy.recentUse > facts.policy.recentUse, let open = revision.recentRead,
            now.nanoseconds(since: open.time) < policy.recentUse.wholeNanoseconds
        {
            kept.append(grace("recent-use was \(policy.recentUse.text)"))
        }
        if policy.irreplaceable == .keep, facts.policy.irreplaceable == .evict, revision.isOrWasComplete,
            revision.hub != .confirmed
        {
            kept.append(grace("irreplaceable was keep"))
        }
        return kept
    }

    /// The same of a file, and of whatever else a cache has.
    func standingKeepers(_ entry: Entry, _ facts: CacheFacts) -> [Kept] {
        guard now < graceEnd else { return [] }
        guard let policy = policies[entry.cache] else { return [grace("its cache was not in the policy")] }
        guard policy.minAge > facts.policy.minAge,
            now.nanoseconds(since: entry.youngestChange) < policy.minAge.wholeNanoseconds
        else { return [] }
        return [grace("min-age was \(policy.minAge.text)")]
    }

    /// Why a cache might not have been left with so little.
    func reservedKeeper(_ cache: Int, leaving left: UInt64) -> Kept? {
        guard now < graceEnd, left < reserved[cache] else { return nil }
        return grace("\(formatBytes(reserved[cache])) were reserved")
    }

    /// What keeps the item from a rule because the rule would not have taken it before.
    func keepers(
        _ entry: Entry, _ place: Int, from rule: Rule, isKeptLast: Bool, in caches: [CacheFacts]
    ) -> [Kept] {
        let fitting = fittingRules(entry, rule, in: caches)
        guard !fitting.contains(where: { isKeptLast || !$0.keptLast.contains(place) }) else { return [] }
        let before = former.rules.first { $0.name == rule.name }
        var kept: [Kept] = []
        if now < graceEnd {
            let isNew = before == nil ? "the rule is new" : "the rule did not take it before"
            kept.append(grace(fitting.isEmpty ? isNew : "keep-last was more"))
        }
        if rule.occasion == .always, now < announcedUntil {
            let what = before == nil ? "a new rule" : "a changed rule"
            kept.append(Kept(by: .announced, "\(what) takes it in \(announcedUntil.length(since: now).text)"))
        }
        return kept
    }

    /// The former rules that would have taken it on such an occasion, but for their `keep-last`.
    private func fittingRules(_ entry: Entry, _ rule: Rule, in caches: [CacheFacts]) -> [FormerRule] {
        guard let policy = policies[entry.cache] else { return [] }
        var rules = standing
        if rule.occasion == .pressure, hadFloor || policy.maxSize != nil { rules += pressure }
        return rules.filter { $0.rule.mismatch(entry, in: caches, now: now) == nil }
    }

    /// Says that the grace keeps something.
    func grace(_ why: String) -> Kept {
        Kept(by: .editGrace, "\(why); the edit counts in \(graceEnd.length(since: now).text)")
    }
}

extension FormerPolicy {
    /// What it said of a cache; nil: nothing, it was not named.
    func policy(of facts: CacheFacts) -> CachePolicy? {
        policy.caches.first { $0.path == facts.path || $0.path == facts.policy.path }
            ?? (policy.caches.isEmpty && facts.policy.path == nil ? CachePolicy() : nil)
    }

    /// Until when what lost protection by the edit is kept.
    func graceEnd(before current: Policy) -> Timestamp {
        replacedAt.adding(max(policy.editGrace, current.editGrace))
    }
}

extension CacheFacts {
    /// How long nothing of the cache was used when it counts as unused where nothing can tell; nil: it never does.
    ///
    /// The longest of what the policy and those before it say that still have their grace.
    public func assumeUnusedAfter(under policy: Policy, former: [FormerPolicy], now: Timestamp) -> Duration? {
        var longest = self.policy.assumeUnusedAfter
        for former in former where now < former.graceEnd(before: policy) {
            guard let known = longest, let before = former.policy(of: self) else { continue }
            longest = before.assumeUnusedAfter.map { max($0, known) }
        }
        return longest
    }
}

extension Pin {
    /// Whether it names a revision of a repo; of the revision its commit and its refs are looked at.
    public func names(_ revision: RevisionFacts, of id: RepoID) -> Bool {
        names(revision.commit, withRefs: revision.refs, of: id)
    }
}

extension RevisionFacts {
    /// Whether losing it loses something that was whole, as far as is known.
    var isOrWasComplete: Bool { state == .complete || mayHaveBeenComplete }

    /// Whether it was complete once, or may have been without anybody to see it.
    var mayHaveBeenComplete: Bool { wasComplete || (!isHistoryKnown && !nodes.isEmpty) }

    /// The last thing that `recent-use` looks at.
    var recentRead: LastUse? { sweptRead.map { .younger(lastOpen, $0) } ?? lastOpen }
}

extension Timestamp {
    /// The time from then to this.
    func length(since then: Timestamp) -> Duration { .nanoseconds(nanoseconds(since: then)) }
}
