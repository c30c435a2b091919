public import HubCache
public import Retention

/// What a daemon is doing, as plain values.
public struct DaemonStatus: Sendable {
    /// One cache that is watched.
    public struct Cache: Sendable {
        /// What requests name it by.
        public var id: String
        /// Its root.
        public var path: BytePath
        /// How it is watched: `inotify`, `mixed`, `polling`, `absent`, `unresponsive`, `read-only`.
        public var watch: String
        /// Bytes that an unprivileged user could still write; nil: not known.
        public var freeBytes: UInt64?
        /// Bytes below which room is made; nil: none.
        public var floorBytes: UInt64?
        /// When that is reached, as far as can be told.
        public var forecast: SpaceForecast?
        /// Bytes on the disk, when the whole was last looked at.
        public var bytes: UInt64
        /// Bytes that could be reclaimed without any policy, then.
        public var reclaimableBytes: UInt64
        /// Revisions by state.
        public var states: [RevisionState: Int]
        /// Findings that hold, errors and warnings.
        public var findings: Int
        /// What tells whether a file is in use: `lease`, `proc` or `none`.
        public var inUseMethod: String
    }

    /// A state of affairs that lasts.
    public struct Condition: Sendable {
        /// What kind.
        public var code: String
        /// How much it matters.
        public var severity: Severity
        /// Since when it holds.
        public var since: Timestamp
        /// One sentence.
        public var message: String
    }

    /// Something that will be done.
    public struct Action: Sendable {
        /// What.
        public var action: String
        /// When.
        public var time: Timestamp
    }

    /// The numbers of a pass.
    public struct Pass: Sendable {
        /// When it ended.
        public var time: Timestamp
        /// Revisions looked at.
        public var checked: Int
        /// Those of them that are not whole.
        public var incomplete: Int
        /// Items removed.
        public var removed: Int
        /// Their bytes.
        public var bytes: UInt64
        /// What could not be done.
        public var errors: Int
    }

    /// A download of somebody's that is under way.
    public struct Download: Sendable {
        /// The cache's root.
        public var cache: BytePath
        /// `type/org/name`.
        public var repo: String
        /// Where the partial file is, relative to the root.
        public var path: BytePath
        /// Bytes on the disk.
        public var bytes: UInt64
        /// Bytes when it is whole; nil: nothing here says.
        public var totalBytes: UInt64?
    }

    /// How far the background digest pass over a cache is.
    public struct Scrub: Sendable {
        /// Whether one is under way.
        public enum State: String, Sendable, Hashable { case never, running, idle }

        /// The cache's root.
        public var path: BytePath
        /// Whether one is under way.
        public var state: State
        /// Repos that are done.
        public var reposDone: Int
        /// Repos there are.
        public var reposTotal: Int
        /// Revisions that are done.
        public var revisions: Int
        /// Bytes read.
        public var bytes: UInt64
        /// When the last one began.
        public var begun: Timestamp?
        /// When one last came to its end.
        public var finished: Timestamp?
        /// When the last one was cancelled.
        public var cancelled: Timestamp?
        /// When the next one begins.
        public var nextDue: Timestamp?
    }

    /// Those of one number are the same.
    public var number: UInt64
    /// The process.
    public var processID: Int32
    /// The user it runs as.
    public var userID: UInt32
    /// The folder of its ledger; nil: it has none.
    public var stateFolder: BytePath?
    /// When the process began, in the kernel's ticks since boot.
    public var startTicks: UInt64
    /// The program's version.
    public var version: String
    /// When it began.
    public var since: Timestamp
    /// Whether every cache that is there was looked at.
    public var isReady: Bool
    /// `observe` or `enforce`.
    public var mode: String
    /// What is wrong with the policy file; nil: nothing.
    public var policyError: String?
    /// How many times a policy file was read.
    public var policyReadings: Int
    /// What it says of itself in one line.
    public var text: String
    /// The caches.
    public var caches: [Cache]
    /// Repos and caches that wait to be looked at.
    public var queued: Int
    /// Downloads under way.
    public var downloads: [Download]
    /// The background digest passes, one a cache.
    public var scrubs: [Scrub]
    /// What will be done.
    public var next: [Action]
    /// What lasts.
    public var conditions: [Condition]
    /// The last pass; nil: there was none.
    public var lastPass: Pass?
}

/// What became of a policy file that was read again.
public enum ReloadVerdict: Sendable, Hashable {
    /// It counts.
    case applied
    /// It is wrong, the last good one stays; why, one line a problem, each with its position.
    case rejected(String)
}
