internal import CacheWatch
internal import HubCache
internal import LinuxIO
internal import Retention
internal import Verification

/// What the loop knows of one cache. It belongs to the loop's thread.
final class WatchedCache {
    /// Whether the cache can be looked at.
    enum Presence: Equatable {
        /// Nothing was heard of it yet.
        case unknown
        case present
        case absent
        /// It is the cache of an earlier entry, which counts.
        case sameAs(BytePath)
        case unreadable(errno: Int32)
    }

    /// Told apart by this from every other one of the process.
    let number: Int
    /// The root as it is watched: absolute, links in it not resolved.
    let path: BytePath
    var policy: CachePolicy
    let verifying: Worker
    let enforcing: Worker
    /// Asks how much is free: a pass may take long, and the floor matters meanwhile.
    let measuring: Worker
    /// For what reads for a long time; made when it is first needed.
    var reading: Worker?
    /// For the digest pass, which takes hours; made when it is first needed.
    var scrubbing: Worker?

    var presence = Presence.unknown
    var isUnresponsive = false
    var degradations: Set<WatchDegradation> = []

    // MARK: what was found

    /// The root without links, once it was opened.
    var root: BytePath?
    /// Which folder that is.
    var rootKey: FileKey?
    var owner: UInt32 = 0
    var filesystem: UInt64?
    var isReadOnly = false
    var repos: [BytePath: KnownRepo] = [:] { didSet { changes &+= 1 } }
    /// Goes up with every change of `repos`.
    private(set) var changes: UInt64 = 0
    /// Which blobs are links to a payload: their repos' folders and names.
    var payloadUsers: [BytePath: [BytePath: BytePath]] = [:]
    /// What each repo looked like in the last look at everything: `RepoLook.structure`.
    var structures: [BytePath: Int] = [:]
    var isInventoryDone = false
    var bytes: UInt64 = 0
    var reclaimableBytes: UInt64 = 0
    /// What tells whether a file is in use.
    var inUseMethod = "none"

    // MARK: what is to be looked at

    var settle = SettleTracker<BytePath>()
    /// The last change of a repo that was heard of, on the monotonic clock.
    var changedAt: [BytePath: UInt64] = [:]
    /// When the look began that is known of a repo: what an earlier one finds late is out of date.
    var lookedAt: [BytePath: UInt64] = [:]
    /// Repos that a look is under way of.
    var beingLookedAt: Set<BytePath> = []
    /// Repos that somebody works on: when to look again, and since when.
    var live: [BytePath: LiveRepo] = [:]
    /// When to look at the whole, on the monotonic clock.
    var nextFullLook: UInt64?
    var isFullLookRunning = false
    /// Whether changes were lost since the full look that runs began.
    var isFullLookStale = false
    /// Whether every repo is to be read anew when the whole was looked at.
    var isToBeReadAnew = false
    /// How long after lost events the whole is looked at. Where our own reading loses the next ones, it grows.
    var rescanPause = Timers.second
    var lookProgress: VerificationProgress?
    var lastProgress: (value: Int, since: UInt64) = (0, 0)
    var lastFullLookDuration: UInt64 = 0

    /// Repos that are to be read behind everything else.
    var pendingReads: [BytePath] = []
    var isReading = false

    var scrub = ScrubState()

    /// Repairs; made when the first is needed.
    var repairer: Worker?
    /// Repos with something to repair: when to try.
    var repairs: [BytePath: RepairSchedule] = [:]
    var isRepairing = false
    /// Ends the repair that is under way.
    var repairCancellation: Cancellation?

    /// Folders of `local-dirs`, each by its path in the policy.
    var localFolders: [BytePath: LocalFolder] = [:]
    /// Verifies them; made when it is first needed.
    var localReader: Worker?
    /// Which one it is reading, and what ends that.
    var localReading: (folder: BytePath, cancellation: Cancellation)?

    // MARK: space

    var space = SpaceState()
    var history = HistoryState()

    init(number: Int, path: BytePath, policy: CachePolicy) throws(SystemCallFailure) {
        self.number = number
        self.path = path
        self.policy = policy
        verifying = try Worker(name: "verify")
        enforcing = try Worker(name: "enforce")
        measuring = try Worker(name: "measure")
    }

    /// Takes that it is another folder than before, of which nothing is known.
    func forgetWhatWasFound() {
        scrub.cancellation?.cancel()
        repairCancellation?.cancel()
        root = nil
        rootKey = nil
        filesystem = nil
        repos = [:]
        payloadUsers = [:]
        structures = [:]
        isInventoryDone = false
        (bytes, reclaimableBytes) = (0, 0)
        settle = SettleTracker()
        changedAt = [:]
        lookedAt = [:]
        live = [:]
        pendingReads = []
        repairs = [:]
        space = SpaceState()
        history = HistoryState()
    }

    /// For what somebody asks to be looked at; made when it is first needed.
    var answering: Worker?

    func stop(droppingJobs: Bool) {
        answering?.stop(droppingJobs: droppingJobs)
        verifying.stop(droppingJobs: droppingJobs)
        enforcing.stop(droppingJobs: droppingJobs)
        measuring.stop(droppingJobs: droppingJobs)
        reading?.stop(droppingJobs: droppingJobs)
        scrub.cancellation?.cancel()
        repairCancellation?.cancel()
        scrubbing?.stop(droppingJobs: droppingJobs)
        repairer?.stop(droppingJobs: droppingJobs)
        localReading?.cancellation.cancel()
        localReader?.stop(droppingJobs: droppingJobs)
    }

    var isIdle: Bool {
        [verifying, enforcing, measuring, reading, scrubbing, repairer, localReader, answering].allSatisfy {
            $0?.isIdle ?? true
        }
    }

    /// How many looks are waiting or under way.
    var queuedLooks: Int {
        settle.count + beingLookedAt.count + pendingReads.count + (isFullLookRunning ? 1 : 0)
    }

    /// What requests name it by: the same as long as its path is.
    var id: String {
        var mark = Fingerprint()
        mark.add(path)
        return String(mark.value, radix: 16)
    }

    /// How it is watched, in the word of `status`.
    var watchWord: String {
        if isUnresponsive { return "unresponsive" }
        if presence == .absent { return "absent" }
        if case .sameAs = presence { return "listed-twice" }
        if isReadOnly { return "read-only" }
        if degradations.contains(.networkFilesystem) || degradations.contains(.instanceLimit) { return "polling" }
        return degradations.isEmpty ? "inotify" : "mixed"
    }
}

/// What is kept of a repo between looks.
struct KnownRepo {
    var id: String
    var states: [CommitHash: RevisionState] = [:]
    /// Revisions that were whole once.
    var everWhole: Set<CommitHash> = []
    var downloads: [LiveDownload] = []
    var state: RevisionState?
    var refs: [String: CommitHash] = [:]
    /// Bytes on the disk.
    var bytes: UInt64 = 0
}

/// A repo that somebody works on.
struct LiveRepo {
    var since: UInt64
    var nextLook: UInt64
    var pause: UInt64
}

/// What is known of a cache's filesystem.
struct SpaceState {
    var free: UInt64?
    var total: UInt64 = 0
    /// Bytes that downloads under way still need.
    var remaining: UInt64 = 0
    var isGrowing = false
    var nextLook: UInt64 = 0
    var isLooking = false
    /// The floor in bytes, where there is one.
    func floor(_ policy: CachePolicy) -> UInt64? { policy.minFree?.bytes(of: total) }

    /// Below this hardly anything is free: 5 GB unless the policy says otherwise, and of a small disk a twentieth.
    func critical(_ policy: CachePolicy) -> UInt64 {
        policy.criticalFreeBytes(of: total)
    }
}
