public import HubCache

/// What a policy before an edit protected, for as long as it still counts.
///
/// The grace and the announcement last as long as the longer of both policies says: an edit cannot shorten its own.
struct FormerProtection: Sendable {
    private let former: Policy
    private let graceEnd: Timestamp
    private let announcedUntil: Timestamp
    private let standing: [ReadyRule]
    private let pressure: [ReadyRule]
    /// For each cache what the former policy said of it; nil: it was not named.
    private let policies: [CachePolicy?]
    private let hadFloor: Bool
    private let now: Timestamp

    /// Makes it; nil when nothing of the former policy counts any more.
    init?(
        _ former: FormerPolicy, current: Policy, caches: [CacheFacts], catalogue: Catalogue, now: Timestamp
    ) {
        self.former = former.policy
        self.now = now
        graceEnd = former.replacedAt.adding(max(former.policy.editGrace, current.editGrace))
        announcedUntil = former.replacedAt.adding(max(former.policy.announce, current.announce))
        guard now < graceEnd || now < announcedUntil else { return nil }
        let ready = { (rules: [Rule]) in rules.map { ReadyRule($0, names: catalogue.names, caches: caches) } }
        standing = ready(former.policy.standingRules)
        pressure = ready(former.policy.pressureRules)
        let known = former.policy.caches
        policies = caches.map { facts in
            known.first { $0.path == facts.path || $0.path == facts.policy.path }
                ?? (known.isEmpty && facts.policy.path == nil ? CachePolicy() : nil)
        }
        hadFloor = known.contains { $0.minFree != nil }
    }

    /// What kept the item whatever a rule said, and does no longer.
    func standingKeepers(_ entry: Entry, _ revision: RevisionFacts, _ facts: CacheFacts, isPinned: Bool) -> [Kept] {
        guard now < graceEnd else { return [] }
        var kept: [Kept] = []
        if !isPinned, let pin = former.pins.first(where: { $0.names(revision, of: facts.repos[revision.repo].id) }) {
            kept.append(grace("it was pinned as \(pin.repo.pattern)"))
        }
        guard let policy = policies[entry.cache] else { return kept + [grace("its cache was not in the policy")] }
        if policy.minAge > facts.policy.minAge,
            now.nanoseconds(since: revision.youngestChange) < policy.minAge.wholeNanoseconds
        {
            kept.append(grace("min-age was \(policy.minAge.text)"))
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

    /// What keeps the item from a rule because the rule would not have taken it before.
    func keepers(_ entry: Entry, from rule: Rule, in caches: [CacheFacts]) -> [Kept] {
        if entry.isFile, policies[entry.cache] == nil, now < graceEnd {
            return [grace("its cache was not in the policy")]
        }
        guard !isPermitted(entry, rule, in: caches) else { return [] }
        let before = former.rules.first { $0.name == rule.name }
        var kept: [Kept] = []
        if now < graceEnd {
            kept.append(grace(before == nil ? "the rule is new" : "the rule did not take it before"))
        }
        if rule.occasion == .always, now < announcedUntil {
            let what = before == nil ? "a new rule" : "a changed rule"
            kept.append(Kept(by: .announced, "\(what) takes it in \(announcedUntil.length(since: now).text)"))
        }
        return kept
    }

    /// Whether the former policy would have taken it on such an occasion.
    private func isPermitted(_ entry: Entry, _ rule: Rule, in caches: [CacheFacts]) -> Bool {
        guard let policy = policies[entry.cache] else { return false }
        let fits = { (ready: ReadyRule) in ready.mismatch(entry, in: caches, now: now) == nil }
        if standing.contains(where: fits) { return true }
        return rule.occasion == .pressure && (hadFloor || policy.maxSize != nil) && pressure.contains(where: fits)
    }

    /// How many of the newest a former rule of that name protected.
    func keepLast(of rule: Rule) -> Int {
        now < graceEnd ? former.rules.first { $0.name == rule.name }?.keepLast ?? 0 : 0
    }

    /// Says that the grace keeps something.
    func grace(_ why: String) -> Kept {
        Kept(by: .editGrace, "\(why); the edit counts in \(graceEnd.length(since: now).text)")
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
