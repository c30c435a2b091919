import Enforcement
import HubCache
import Retention

/// What `rm` and `explain` were told to look at.
struct RemovalSelection {
    /// The items, each once.
    private(set) var items: [Item] = []
    /// The repos that are meant as a whole, by cache.
    private(set) var wholeRepos: [(cache: Int, repo: RepoID)] = []

    /// Adds a repo, or one revision of it.
    ///
    /// - Throws: `CommandFailure` when it is not in the cache any more.
    mutating func add(_ id: RepoID, _ commit: CommitHash?, cache: Int, in gathered: GatheredCache) throws {
        if let commit {
            guard let item = gathered.item(of: commit, in: id, cache: cache) else {
                throw CommandFailure(status: .absent, message: "no revision \(commit.hex) of \(id) here any more")
            }
            if !items.contains(item) { items.append(item) }
            return
        }
        if wholeRepos.contains(where: { $0.cache == cache && $0.repo == id }) { return }
        wholeRepos.append((cache, id))
        for item in gathered.items(of: id, cache: cache) where !items.contains(item) { items.append(item) }
    }
}
