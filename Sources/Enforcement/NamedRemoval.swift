public import HubCache
internal import LinuxIO
public import Retention

/// What a person wants removed: not the policy's rules decide, but most of what keeps still does.
public struct NamedRemoval: Sendable {
    /// The items, each once, in the order in which they were named.
    public var items: [Item]
    /// The repos that are meant as a whole, by cache: whatever they have by then goes, and their folders.
    public var repos: [(cache: Int, repo: RepoID)]
    /// What the person overrides.
    public var overrides: Overrides

    /// Makes a wish.
    public init(items: [Item] = [], repos: [(cache: Int, repo: RepoID)] = [], overrides: Overrides = .none) {
        self.items = items
        self.repos = repos
        self.overrides = overrides
        self.overrides.isByName = true
    }
}

/// What becomes of such a wish.
public struct NamedRemovalPlan: Sendable {
    /// What goes, with the bytes that each gives back after those before it.
    public var actions: [PlannedAction] = []
    /// What stays.
    public var kept: [KeptItem] = []
}

extension Enforcer {
    /// The name of the rule in what `rm` prints.
    private static let ruleName = "rm"
    /// What `rm` honours. A linked folder that the policy does not list is never written to, whoever asks.
    static let honouredByName: Set<Keeper> = [
        .pin, .hold, .lock, .open, .openerAlive, .cannotTell, .foreignFiles, .foreignEntry,
    ]

    /// What would go, and what keeps the rest.
    public func plan(_ removal: NamedRemoval) -> NamedRemovalPlan {
        var plan = NamedRemovalPlan()
        var releases = caches.map { $0.facts.storage.release() }
        for item in removal.items {
            let facts = caches[item.cache].facts
            let evidence = evidence(of: item)
            var reasons: [Kept]
            let nodes: [StorageGraph.NodeID]
            var own: UInt64 = 0
            switch item {
            case .revision(_, let index):
                let revision = facts.revisions[index]
                reasons = pins(on: revision, in: facts) + revision.keepers
                nodes = revision.nodes
                own = revision.ownBytes
            case .file(_, let index):
                reasons = facts.files[index].keepers
                nodes = facts.files[index].nodes
            }
            if let refusal = facts.refusal { reasons.append(Kept(by: .foreignEntry, refusal)) }
            for further in evidence.keepers where !reasons.contains(where: { $0.by == further.by }) {
                reasons.append(further)
            }
            reasons = removal.overrides.applied(to: reasons.filter { Self.honouredByName.contains($0.by) })
                .sorted { $0.by < $1.by }
            guard reasons.isEmpty else {
                plan.kept.append(
                    KeptItem(
                        item: item, bytes: own &+ releases[item.cache].freed(by: nodes), rule: Self.ruleName,
                        reasons: reasons))
                continue
            }
            plan.actions.append(
                PlannedAction(
                    item: item, bytes: own &+ releases[item.cache].release(nodes), isAtMost: evidence.mayShareExtents,
                    hub: nil, rule: Self.ruleName, reason: Reason(fact: "named")))
        }
        return plan
    }

    /// Removes what a plan says goes. A repo that is meant as a whole goes with its folders only if nothing of it is kept.
    ///
    /// - Parameter report: is told what happens, as it happens.
    public func remove(_ plan: NamedRemovalPlan, of removal: NamedRemoval, report: (PassEvent) -> Void) -> PassOutcome {
        var outcome = PassOutcome(
            plan: Plan(caches: caches.map { CachePlan(freeBytes: $0.facts.filesystem.freeBytes) }))
        let whole = removal.repos.compactMap { wish -> RepoPlace? in
            let facts = caches[wish.cache].facts
            guard let repo = facts.repos.firstIndex(where: { $0.id == wish.repo }) else { return nil }
            let place = RepoPlace(cache: wish.cache, repo: repo)
            return plan.kept.contains { self.place(of: $0.item) == place } ? nil : place
        }
        let results = carryOut(
            plan.actions.map(\.item), overrides: removal.overrides, wholeRepos: Set(whole), further: &outcome.further)
        for (action, result) in zip(plan.actions, results) {
            switch result {
            case .removed(let bytes):
                outcome.removed.append((action, bytes))
                report(.removed(action, bytes: bytes))
            case .kept(let reasons):
                outcome.kept.append((action, reasons))
                report(.kept(action, reasons))
            case .failed(let message, let isPermission):
                outcome.failed.append((action, message, isPermission))
                report(.failed(action, message))
            }
        }
        outcome.isCancelled = cancellation.isCancelled
        return outcome
    }

    private func pins(on revision: RevisionFacts, in facts: CacheFacts) -> [Kept] {
        let id = facts.repos[revision.repo].id
        return settings.policy.pins.filter { $0.names(revision, of: id) }.prefix(1).map { pin in
            Kept(by: .pin, pin.repo.pattern + (pin.reason.map { ": \($0)" } ?? ""))
        }
    }

    private func place(of item: Item) -> RepoPlace {
        switch item {
        case .revision(let cache, let index): RepoPlace(cache: cache, repo: caches[cache].facts.revisions[index].repo)
        case .file(let cache, let index): RepoPlace(cache: cache, repo: caches[cache].facts.files[index].repo)
        }
    }
}
