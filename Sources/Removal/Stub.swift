public import CacheScan
public import HubCache

public final class Remover: Sendable {
    public init(root: CacheRoot, settle: Duration, reproof: @escaping @Sendable (RepoInventory, CommitHash?) -> [Kept])
    {}
    public func remove(_ requests: [RemovalRequest]) -> [RemovalOutcome] { [] }
}
