public import CacheScan
public import HubCache
public import HubClient
internal import LinuxIO
public import Retention
internal import Synchronization

/// What fetching and repairing in one cache is told.
public struct RepairSettings: Sendable {
    /// Nothing is fetched that would leave less than this free.
    public var criticalFree: UInt64
    /// What a download is taken to need, in millionths of its size.
    public var estimateMargin: UInt32 = 1_100_000
    /// How many downloads may run in this cache at once, over all processes.
    public var maximumDownloads = 1
    /// So often the repair of one file is tried before it is left alone.
    public var attempts = 5
    /// May be shared with other downloads.
    public var speedLimit: HubSpeedLimit?
    /// How long somebody else's download of the same file is waited for.
    public var longestWait = Duration.seconds(24 * 3600)
    /// Whether revisions get links to their blobs, and not files of their own: see `HF_HUB_DISABLE_SYMLINKS`.
    public var makesLinks = true
    /// Whether a repo folder that is a link to elsewhere may be written to.
    public var allowsLinkedFolder: @Sendable (LinkedFolder) -> Bool = { _ in false }
    /// Is asked to see to it that so many bytes are free before a download is refused for want of them.
    public var makeRoom: (@Sendable (UInt64, RepoID) -> Void)?
    /// Is told what happens, as it happens.
    public var event: @Sendable (RepairEvent) -> Void = { _ in }

    /// Makes settings.
    public init(criticalFree: UInt64) { self.criticalFree = criticalFree }

    /// What a policy says.
    ///
    /// - Parameters:
    ///   - cache: what it says of the cache.
    ///   - root: the cache.
    public init(_ policy: Policy, of cache: CachePolicy, on root: CacheRoot) {
        let total = root.filesystem.totalBytes
        // 5 GB, at most 5 % of the filesystem, where nothing else is said.
        self.init(criticalFree: cache.criticalFreeBytes(of: total))
        estimateMargin = policy.repair.estimateMargin
        maximumDownloads = policy.repair.maxConcurrentDownloads
        attempts = policy.repair.attempts
        speedLimit = policy.repair.rate.map { HubSpeedLimit.ofProcess(bytesPerSecond: $0) }
        allowsLinkedFolder = { cache.lists($0) }
    }
}

extension RepairPolicy {
    /// Where to ask, in order.
    ///
    /// - Parameter environment: whose endpoint's origin gets the token anyway.
    /// - Returns: nil for the environment's own endpoint.
    /// - Throws: `HubEndpointProblem`.
    public func hubEndpoints(besides environment: HubEnvironment) throws(HubEndpointProblem) -> [HubEndpoint]? {
        if endpoints.isEmpty { return nil }
        let own = try? environment.endpoint.get()
        var found: [HubEndpoint] = []
        for endpoint in endpoints {
            let plain = try HubEndpoint(
                url: endpoint.url, sendsToken: endpoint.getsToken, allowsHTTP: endpoint.allowsHTTP)
            guard !endpoint.getsToken, let own, plain.hasOrigin(of: own) else {
                found.append(plain)
                continue
            }
            found.append(
                try HubEndpoint(url: endpoint.url, sendsToken: true, allowsHTTP: endpoint.allowsHTTP))
        }
        return found
    }
}

/// How a file came to be right.
public enum RepairMeans: String, Sendable, Hashable {
    /// It was.
    case present
    /// The blob was there; only the link was missing or wrong.
    case relinked
    /// From another repo, another cache or the shared store.
    case copied
    /// From the Hub.
    case fetched
    /// Somebody else had just brought it.
    case joined
    /// It was a name for nothing, and is gone.
    case unlinked
}

/// A file of a revision.
public struct FileOfRepo: Sendable, Hashable {
    /// The repo.
    public var repo: RepoID
    /// The revision; nil for a blob that belongs to none.
    public var commit: CommitHash?
    /// The path in the repo; empty for what is no file of a revision.
    public var path: BytePath
    /// What the cache names the blob; empty while that is not known.
    public var etag: BytePath

    /// Names a file.
    public init(repo: RepoID, commit: CommitHash?, path: BytePath, etag: BytePath = .empty) {
        self.repo = repo
        self.commit = commit
        self.path = path
        self.etag = etag
    }
}

/// Something that happened on the way, for a journal or a terminal.
public enum RepairEvent: Sendable, Hashable {
    /// A transfer from the Hub begins; `present` bytes were here already.
    case downloadStarted(FileOfRepo, bytes: UInt64, present: UInt64)
    /// Somebody else is fetching it, and is waited for.
    case downloadJoined(FileOfRepo)
    /// A transfer came to its right end.
    case downloadFinished(FileOfRepo, bytes: UInt64, duration: Duration)
    /// It did not.
    case downloadFailed(FileOfRepo, RepairFailure)
    /// A file is here and linked, and how.
    case installed(FileOfRepo, RepairMeans)
    /// A file that was missing or wrong is right now.
    case repaired(FileOfRepo, RepairMeans, bytes: UInt64)
}

/// How far a job is. It may be read from another thread.
public final class TransferProgress: Sendable {
    private let values = Mutex<Values>(Values())

    private struct Values {
        var total: UInt64 = 0
        var finished: UInt64 = 0
        /// Of each file at hand.
        var current: [BytePath: UInt64] = [:]
        var waiting: Set<BytePath> = []
        var skipped: UInt64 = 0
        var file = BytePath.empty
    }

    /// Nothing has begun.
    public init() {}

    /// The bytes of all files of the job that are not right yet.
    public var bytesTotal: UInt64 { values.withLock(\.total) }
    /// Of them, those that are here.
    public var bytesDone: UInt64 { values.withLock { $0.current.values.reduce($0.finished) { $0.addingUpTo($1) } } }
    /// Of those, what needed no transfer in this run: what was here, or is somewhere else on this machine.
    public var bytesNotTransferred: UInt64 { values.withLock(\.skipped) }
    /// The file at hand, by its path in the repo; of several the one that was begun last.
    public var file: BytePath { values.withLock(\.file) }
    /// Whether somebody else's download is waited for, and nothing else is done.
    public var isWaiting: Bool { values.withLock { !$0.waiting.isEmpty && $0.waiting.count == $0.current.count } }

    func begin(bytes: UInt64) { values.withLock { $0.total = $0.total.addingUpTo(bytes) } }

    func begin(file: BytePath) {
        values.withLock {
            $0.file = file
            $0.current[file] = 0
        }
    }

    func wait(file: BytePath) { values.withLock { _ = $0.waiting.insert(file) } }

    func resume(file: BytePath, at bytes: UInt64) {
        values.withLock {
            $0.skipped = $0.skipped.addingUpTo(bytes)
            $0.current[file] = bytes
            $0.waiting.remove(file)
        }
    }

    func advance(file: BytePath, to bytes: UInt64) { values.withLock { $0.current[file] = bytes } }

    func finish(file: BytePath, bytes: UInt64, wasTransferred: Bool) {
        values.withLock {
            $0.finished = $0.finished.addingUpTo(bytes)
            if !wasTransferred { $0.skipped = $0.skipped.addingUpTo(bytes) }
            $0.current[file] = nil
            $0.waiting.remove(file)
        }
    }

    func giveUp(file: BytePath) {
        values.withLock {
            $0.current[file] = nil
            $0.waiting.remove(file)
        }
    }
}
