public import HubCache

/// Everything a plan needs to know of one cache. Plain values: whoever gathers them touches the disk, the planner does not.
public struct CacheFacts: Sendable {
    /// The root, without links.
    public var path: BytePath
    /// What the policy says of it.
    public var policy: CachePolicy
    /// The filesystem it is on.
    public var filesystem: FilesystemFacts
    /// Bytes on the disk of everything in it, each inode once.
    public var bytes: UInt64
    /// Since when opens were recorded without a gap of more than 10 minutes; nil: they are not.
    public var watchedSince: Timestamp?
    /// The repos.
    public var repos: [RepoFacts] = []
    /// The revisions of all repos.
    public var revisions: [RevisionFacts] = []
    /// Leftover files: stale partials, orphan blobs and payloads.
    public var files: [FileFacts] = []
    /// Who holds which bytes.
    public var storage = StorageGraph()
    /// Why nothing may be removed here at all, whatever a rule says: another host enforces, it is read-only. Nil: it may.
    public var refusal: String?

    /// Makes the facts of an empty cache.
    public init(path: BytePath, policy: CachePolicy, filesystem: FilesystemFacts, bytes: UInt64) {
        self.path = path
        self.policy = policy
        self.filesystem = filesystem
        self.bytes = bytes
    }
}

/// What a plan needs to know of a filesystem.
public struct FilesystemFacts: Sendable, Hashable {
    /// Caches with the same id share one shortfall.
    public var id: UInt64
    /// Its name for people and JSON: the mount point, or the kind and number.
    public var name: String
    /// Its size in bytes.
    public var totalBytes: UInt64
    /// What an unprivileged user could still write, in bytes.
    public var freeBytes: UInt64
    /// Whether reading a file moves its access time at all.
    public var keepsAccessTimes: Bool

    /// Makes facts.
    public init(id: UInt64, name: String, totalBytes: UInt64, freeBytes: UInt64, keepsAccessTimes: Bool) {
        self.id = id
        self.name = name
        self.totalBytes = totalBytes
        self.freeBytes = freeBytes
        self.keepsAccessTimes = keepsAccessTimes
    }
}

/// What a plan needs to know of a repo.
public struct RepoFacts: Sendable, Hashable {
    /// The repo.
    public var id: RepoID
    /// The folder's name in the cache.
    public var folder: BytePath

    /// Makes facts.
    public init(id: RepoID, folder: BytePath) {
        self.id = id
        self.folder = folder
    }
}

/// What the Hub said when it was asked whether it would give a revision back.
public enum HubStanding: Sendable, Hashable {
    /// It was not asked, or too long ago.
    case unasked
    /// It has it, and would give it to us.
    case confirmed
    /// It does not, or would not, or did not answer; why.
    case refused(reason: String)

    /// The word in JSON.
    public var word: String {
        switch self {
        case .unasked: "unasked"
        case .confirmed: "confirmed"
        case .refused: "refused"
        }
    }
}

/// What a plan needs to know of a revision.
public struct RevisionFacts: Sendable {
    /// Its repo, by its place in `CacheFacts.repos`.
    public var repo: Int
    /// The commit.
    public var commit: CommitHash
    /// The refs that name it.
    public var refs: [BytePath] = []
    /// Its state.
    public var state: RevisionState
    /// Bytes on the disk of its files, each inode once.
    public var bytes: UInt64 = 0
    /// Bytes on the disk of what is its alone and no node: folders, links, its manifest, its refs, its markers.
    public var ownBytes: UInt64 = 0
    /// What it holds. A node it holds by several names is in it once.
    public var nodes: [StorageGraph.NodeID] = []
    /// When its last file arrived.
    public var arrived: Timestamp
    /// The youngest ctime of its blobs, links and folder.
    public var youngestChange: Timestamp
    /// When it was last used, and where that is known from; nil: there is nothing to tell by.
    public var lastUse: LastUse?
    /// The last recorded open, or an access time that shows one; never a download.
    public var lastOpen: LastUse?
    /// A read by a sweep that may hide a use just before it: see `RevisionUsage.sweptRead`. It counts for `recent-use`,
    /// and `unused-for` counts from a day after it.
    public var sweptRead: LastUse?
    /// When the ref that named it moved on, if one did and it was not opened since.
    public var supersededAt: Timestamp?
    /// Whether it is complete now or was once.
    public var wasComplete = false
    /// Whether `wasComplete` can be believed when it is false. It cannot where nobody watched when the revision arrived: the
    /// ledger is younger, or not there. Such a revision counts as one that was complete once, if it holds anything.
    public var isHistoryKnown = true
    /// Whether its repo has, or had, a download that was broken off: then what it lacks may never have been here.
    public var hasBrokenDownload = false
    /// Whether a wrong size or digest was proven in it.
    public var isProvenCorrupt = false
    /// Whether everything that is wrong with it was published so (`bad-upstream`, `missing-upstream`).
    public var isOnlyWrongUpstream = false
    /// Whether its repair was tried as often as it may be.
    public var isRepairExhausted = false
    /// What the Hub said.
    public var hub: HubStanding = .unasked
    /// Bytes that would have to be fetched to have it again.
    public var refetchBytes: UInt64 = 0
    /// Reasons to keep it that are known without looking at processes: holds, foreign files, linked folders.
    public var keepers: [Kept] = []
    /// What it was when it was looked at.
    public var identity: SnapshotIdentity?

    /// Makes facts.
    public init(repo: Int, commit: CommitHash, state: RevisionState, arrived: Timestamp) {
        self.repo = repo
        self.commit = commit
        self.state = state
        self.arrived = arrived
        youngestChange = arrived
    }
}

/// What a plan needs to know of a leftover file.
public struct FileFacts: Sendable {
    /// What it is.
    public enum Kind: String, Sendable, Hashable {
        /// A download that nobody works on.
        case stalePartial = "remove-partial"
        /// A blob that no snapshot links to.
        case orphanBlob = "remove-orphan"
        /// A payload of the shared store that no repo links to.
        case orphanPayload = "remove-payload"
    }

    /// What it is.
    public var kind: Kind
    /// Its repo, by its place in `CacheFacts.repos`; nil in the root and in the shared store.
    public var repo: Int?
    /// Where it is, relative to the root.
    public var path: BytePath
    /// What `stat` said of it.
    public var stat: FileStat
    /// What it holds.
    public var nodes: [StorageGraph.NodeID] = []
    /// Reasons to keep it that are known without looking at processes.
    public var keepers: [Kept] = []

    /// Makes facts.
    public init(kind: Kind, repo: Int?, path: BytePath, stat: FileStat) {
        self.kind = kind
        self.repo = repo
        self.path = path
        self.stat = stat
    }
}
