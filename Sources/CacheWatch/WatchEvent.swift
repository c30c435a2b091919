public import HubCache

/// A file of a cache that an open was seen of.
public enum OpenedFile: Hashable, Sendable {
    /// A blob of a repo, that is no link to the shared store.
    case blob(repo: BytePath, name: BytePath)
    /// A payload of the shared store: it belongs to every repo that links to it. The open of a blob that is a link is only
    /// this.
    case payload(BytePath)
    /// A regular file in a snapshot, as there are where links do not work.
    case snapshotFile(repo: BytePath, commit: CommitHash)
    /// Some files of a repo; which ones is not known, because there were more opens than are remembered.
    case someOfRepo(BytePath)
    /// Some payloads of the store, likewise.
    case someOfStore

    /// Which of these a file is.
    ///
    /// - Parameter location: the file relative to the cache root.
    /// - Returns: nil when opens of it are not reported.
    public init?(location: BytePath) {
        let parts = location.components
        if parts.count == 3, parts[0] == "blobs" {
            self = .payload(parts[2])
        } else if parts.count == 3, parts[1] == "blobs" {
            self = .blob(repo: parts[0], name: parts[2])
        } else if parts.count > 3, parts[1] == "snapshots", let commit = CommitHash(parts[2]) {
            self = .snapshotFile(repo: parts[0], commit: commit)
        } else {
            return nil
        }
    }
}

/// What happened to a cache's root folder. After `back` and `replaced`, scan everything.
public enum RootChange: Hashable, Sendable {
    /// It is not there any more, or was not there at the start.
    case gone
    /// Its filesystem was unmounted; what is there now follows, `gone` or `replaced`.
    case unmounted
    /// It is there again, or may be read again.
    case back
    /// Another folder stands in its place, or another filesystem is mounted there.
    case replaced
    /// It is there and cannot be read: an `errno`. What is watched already stays watched.
    case unreadable(errno: Int32)
    /// A filesystem call on it takes longer than `WatchLimits.responseLimit`.
    case unresponsive
    /// That call came back.
    case responsive
}

/// Why watching is worse than it should be.
public enum WatchDegradation: Hashable, Sendable, Comparable, CaseIterable {
    /// The user's limit of inotify watches is reached (`fs.inotify.max_user_watches`): the rest is polled, and opens there are
    /// not seen.
    case watchLimit
    /// The user's limit of inotify instances or the process's of descriptors is reached: everything is polled.
    case instanceLimit
    /// All of the cache or some linked folders are on a network or FUSE filesystem, which inotify hears nothing from: polled.
    case networkFilesystem
    /// Repos have more folders than `WatchLimits.foldersPerRepo`: they are reported as stale at every sweep.
    case tooManyFolders
    /// There are more repos than `WatchLimits.repos`: everything is reported as stale at every sweep.
    case tooManyRepos
}

/// A mark. It says that something should be looked at again, never what will be found; several happenings are one mark.
public enum WatchEvent: Hashable, Sendable {
    /// Something in a repo's folder changed, or the folder came or went.
    case repoChanged(cache: BytePath, folder: BytePath)
    /// The list of what is in the root changed.
    case rootChanged(cache: BytePath)
    /// Something in the shared store changed.
    case storeChanged(cache: BytePath)
    /// A file was opened; the time is that of the youngest open, when it was read from the kernel.
    case opened(cache: BytePath, file: OpenedFile, at: Timestamp)
    /// Events were lost: everything may have changed, and opens were missed.
    case overflow(cache: BytePath)
    /// All that can be watched is watched now, for the first time or after the root was replaced: scan everything. What
    /// changes from here on is reported.
    case armed(cache: BytePath)
    /// The root itself.
    case root(cache: BytePath, RootChange)
    /// Watching became worse.
    case degraded(cache: BytePath, WatchDegradation)
    /// Watching became better.
    case restored(cache: BytePath, WatchDegradation)

    /// The cache, as it was given to the watcher.
    public var cache: BytePath {
        switch self {
        case .repoChanged(let cache, _), .rootChanged(let cache), .storeChanged(let cache), .opened(let cache, _, _),
            .overflow(let cache), .armed(let cache), .root(let cache, _), .degraded(let cache, _),
            .restored(let cache, _):
            cache
        }
    }
}

/// How well a cache is watched at the moment.
public struct WatchStatus: Hashable, Sendable {
    /// The cache, as it was given to the watcher.
    public var cache: BytePath
    /// Whether the root is there and everything that can be watched is.
    public var isArmed: Bool
    /// Whether a filesystem call does not come back.
    public var isUnresponsive: Bool
    /// inotify watches in use.
    public var watches: Int
    /// Repos that are watched or polled.
    public var repos: Int
    /// Repos among them that are polled.
    public var polledRepos: Int
    /// What is wrong, in order.
    public var degradations: [WatchDegradation]
}
