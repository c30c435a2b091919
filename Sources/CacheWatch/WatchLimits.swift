/// Bounds and intervals of watching. All times are nanoseconds.
public struct WatchLimits: Sendable, Hashable {
    /// How often a root is looked at that nothing was heard of: what inotify cannot tell is a renamed folder above it.
    public var rootInterval: UInt64 = 60_000_000_000
    /// How often a root is looked for that is not there or cannot be read.
    public var absentInterval: UInt64 = 10_000_000_000
    /// How often folders are polled that cannot be watched. A sweep that takes long is followed by a rest ten times as long.
    public var sweepInterval: UInt64 = 30_000_000_000
    /// A filesystem call that takes longer makes the cache `unresponsive`.
    public var responseLimit: UInt64 = 30_000_000_000
    /// How long events gather in the kernel before the next ones are read.
    public var gatherTime: UInt64 = 5_000_000
    /// Whether inotify is not used at all, for filesystems that other hosts change and whose kind does not say so.
    public var pollsEverything = false
    /// Repos watched in one cache. With more, everything is reported as stale at every sweep.
    public var repos = 100_000
    /// Folders watched in one repo; a repo with more is polled. Of a repo that is polled, half as many files are compared too.
    public var foldersPerRepo = 10_000
    /// Opens remembered for one cache until somebody asks. What is more is told of whole repos.
    public var opens = 20_000

    /// The defaults.
    public init() {}
}
