internal import CacheScan
internal import HubCache
internal import LinuxIO

/// What all parts of a removal share.
struct RemovalContext: Sendable {
    let root: CacheRoot
    let settle: Duration
    let reproof: @Sendable (RepoInventory, CommitHash?, BytePath?) -> [Kept]
    let inUse: InUseTest
    let assumesUnused: @Sendable (RepoInventory, CommitHash?) -> Bool
    let cancellation: Cancellation
    let event: @Sendable (RemovalEvent) -> Void
    let steps: Steps

    /// Looks at one repo.
    ///
    /// - Returns: nil when it is not there.
    func scan(_ folder: BytePath) throws(SystemCallFailure) -> RepoInventory? {
        let scan = CacheScan(root: root)
        guard let repo = try scan.repoFolder(folder) else { return nil }
        var store = StoreInventory()
        store.isPresent = scan.hasStore()
        return scan.scanRepo(repo, store: store)
    }

    /// Looks at a repo that is open.
    ///
    /// - Returns: nil when its name is gone, or is another folder's now.
    func scan(_ folders: RepoFolders) throws(SystemCallFailure) -> RepoInventory? {
        guard let repo = try scan(folders.folder) else { return nil }
        let key = repo.linkedFolders.first { $0.path == folders.folder }?.key ?? repo.stat.key
        return key == folders.stat.key ? repo : nil
    }

    func store(of repo: RepoInventory) -> StoreInventory { CacheScan(root: root).store(holding: repo.payloads) }

    func steps(_ step: RemovalStep) { steps.reached(step) }
}
