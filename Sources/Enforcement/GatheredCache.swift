public import CacheScan
public import HubCache
public import Retention
public import Verification

/// A cache as it was found for a plan: the facts, and what is needed to act on them.
public struct GatheredCache: Sendable {
    /// The cache.
    public let root: CacheRoot
    /// What the planner is told.
    public internal(set) var facts: CacheFacts
    /// What was found in it.
    public let report: CacheReport
    /// What the Hub is asked before a revision goes, by the revision's place in the facts.
    public internal(set) var questions: [HubQuestion?]
    /// The shared store as it was found.
    let store: StoreInventory
    /// Blobs that links of other repos lead to.
    let linkedFromElsewhere: Set<BytePath>
    /// The repos, by their places in the facts, whose linked folders the policy lists.
    var listedLinks: Set<Int> = []

    /// Keeps all of a repo, since it is being fetched: room for it is not made of itself.
    public mutating func spare(_ repo: RepoID) {
        guard let place = facts.repos.firstIndex(where: { $0.id == repo }) else { return }
        let reason = Kept(by: .lock, "it is being fetched")
        for index in facts.revisions.indices where facts.revisions[index].repo == place {
            facts.revisions[index].keepers.append(reason)
        }
        for index in facts.files.indices where facts.files[index].repo == place {
            facts.files[index].keepers.append(reason)
        }
    }

    /// The item of a revision; nil when the facts have no such revision.
    public func item(of commit: CommitHash, in repo: RepoID, cache: Int) -> Item? {
        guard let place = facts.repos.firstIndex(where: { $0.id == repo }),
            let index = facts.revisions.firstIndex(where: { $0.repo == place && $0.commit == commit })
        else { return nil }
        return .revision(cache: cache, index: index)
    }

    /// What somebody means who names a repo, or a revision of it; nil: it is not here.
    ///
    /// - Parameter cache: its place among those that are planned for.
    public func removal(of repo: RepoID, _ commit: CommitHash?, cache: Int) -> NamedRemoval? {
        if let commit { return item(of: commit, in: repo, cache: cache).map { NamedRemoval(items: [$0]) } }
        guard facts.repos.contains(where: { $0.id == repo }) else { return nil }
        return NamedRemoval(items: items(of: repo, cache: cache), repos: [(cache, repo)])
    }

    /// The items of a repo: its revisions, then its leftovers.
    public func items(of repo: RepoID, cache: Int) -> [Item] {
        guard let place = facts.repos.firstIndex(where: { $0.id == repo }) else { return [] }
        return facts.revisions.indices.filter { facts.revisions[$0].repo == place }
            .map { .revision(cache: cache, index: $0) }
            + facts.files.indices.filter { facts.files[$0].repo == place }.map { .file(cache: cache, index: $0) }
    }
}
