internal import CacheScan
internal import HubCache
internal import LinuxIO

/// An operation whose items are out of the way, until it may be decided.
struct Waiting: Sendable {
    var request: Int
    var operation: Operation
    /// The items of the intent's revisions, in its order.
    var revisions: [RemovalItem]
    var orphans: [RemovalItem]
    /// The revision that a blob's bytes are counted for.
    var owners: [BytePath: Int]
    /// When it may be decided, on the clock that never jumps.
    var deadline: UInt64
    /// When the repo's folders changed last while it was being parked.
    var folderTimes: [Timestamp]
}

func nanoseconds(_ duration: Duration) -> UInt64 {
    let (seconds, attoseconds) = duration.components
    return UInt64(max(0, seconds)) &* 1_000_000_000 &+ UInt64(max(0, attoseconds / 1_000_000_000))
}

extension RepoFolders {
    /// When the folders that clients make things in changed last.
    var changeTimes: [Timestamp] {
        ["blobs", "snapshots", "refs"].map { name in
            (try? repo.stat(of: name))?.modified ?? Timestamp(nanoseconds: 0)
        }
    }
}
