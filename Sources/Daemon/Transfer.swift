public import HubCache
internal import HubClient
internal import LinuxIO
internal import Repair

/// What somebody wants downloaded.
public struct DownloadRequest: Sendable {
    /// The repo and the revision; no revision: `main`.
    public var model: ModelName
    /// Patterns of the files that are wanted; none: all.
    public var include: [String]
    /// Patterns of those that are not.
    public var exclude: [String]
    /// The asker's own token, for this job alone.
    var token: HubToken?

    /// Makes a request.
    ///
    /// - Throws: `TransferRefusal` for a token that cannot be one.
    public init(
        _ model: ModelName, include: [String] = [], exclude: [String] = [], token: String? = nil
    ) throws(TransferRefusal) {
        self.model = model
        self.include = include
        self.exclude = exclude
        self.token = try Self.token(token)
    }

    static func token(_ text: String?) throws(TransferRefusal) -> HubToken? {
        guard let text else { return nil }
        // The problem's words are never the token's.
        guard let token = try? HubToken(cleaning: text) else {
            throw TransferRefusal(
                "invalid_request", "'hf_token' is empty, too long or has characters that no token has")
        }
        return token
    }

    var revision: String { model.revision ?? "main" }
}

/// Why something is not downloaded, with a stable code.
public struct TransferRefusal: Error, Sendable, Hashable {
    /// A code of `HubErrorCode`, or one of the control socket's own.
    public var code: String
    /// One sentence. It never holds a token.
    public var message: String
    /// When it may be asked again, in seconds, where that can be told.
    public var retryAfter: Int?

    init(_ code: String, _ message: String, retryAfter: Int? = nil) {
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
    }

    init(_ failure: RepairFailure) {
        self.init(failure.code?.rawValue ?? (failure.isPermission ? "not_allowed" : "unavailable"), failure.message)
        if failure.code == .downloadLimitReached { retryAfter = 60 }
    }

    init(_ failure: HubFailure) {
        self.init(failure.code.rawValue, failure.description)
        retryAfter = failure.retryAfter.map { Int(max(1, $0.components.seconds)) }
    }

    init(_ failure: NamingFailure) {
        let code =
            switch failure {
            case .unknownCache: "unknown_cache"
            case .absent: "model_not_found"
            case .several: "invalid_request"
            }
        self.init(code, failure.message)
    }

    static let cancelled = TransferRefusal("download_cancelled", "it was cancelled")
}

/// A transfer that was begun, or that somebody has begun already.
public struct BegunTransfer: Sendable, Hashable {
    /// What it is asked about by.
    public var task: String
    /// Whether it was under way.
    public var joined: Bool
}

/// A download or a repair, as it is told.
public struct TransferReport: Sendable {
    /// What it does.
    public enum Kind: String, Sendable, Hashable, CaseIterable { case download, repair }

    /// How far it is.
    public enum State: String, Sendable, Hashable, CaseIterable {
        /// Whether it may begin is being found out.
        case preparing
        case running
        case finished
        case failed
        case cancelled
    }

    /// Numbers of one that runs.
    public struct Progress: Sendable {
        /// When it began.
        public var start: Timestamp
        /// How long ago that is, in seconds.
        public var elapsed: Double
        /// Bytes that are here.
        public var bytes: UInt64
        /// Bytes when it is done; nil: not known.
        public var totalBytes: UInt64?
        /// Over the last seconds; nil: not known.
        public var bytesPerSecond: UInt64?
        /// Seconds to its end at that rate; nil: not known.
        public var remaining: UInt64?
    }

    /// What became of the files of a repair.
    public struct Files: Sendable {
        /// Right now.
        public var repaired = 0
        /// Of which nothing could be done.
        public var left = 0
        /// Tried in vain.
        public var failed = 0
    }

    /// What it is asked about by.
    public var task: String
    /// What it does.
    public var kind: Kind
    /// Whether the daemon does it by itself.
    public var isOwn: Bool
    /// The id of its cache.
    public var cache: String
    /// The repo, `type/org/name`; nil: a whole cache.
    public var repo: String?
    /// The revision that was asked for; nil: all that are here.
    public var revision: String?
    /// The commit that it is, once that is known.
    public var commit: CommitHash?
    /// Patterns.
    public var include: [String]
    /// Patterns.
    public var exclude: [String]
    /// How far it is.
    public var state: State
    /// Its numbers.
    public var progress: Progress
    /// When it ended.
    public var ended: Timestamp?
    /// What became of the files of a repair.
    public var files: Files?
    /// Why it failed.
    public var error: TransferRefusal?
}

/// A transfer that runs or ended not long ago. It belongs to the loop's thread.
final class Transfer {
    let task: String
    let kind: TransferReport.Kind
    let isOwn: Bool
    /// Of the cache.
    let number: Int
    let cacheID: String
    let repo: RepoID?
    let revision: String?
    let include: [String]
    let exclude: [String]
    let started = currentTime()
    let startedAt = monotonicNanoseconds()
    let progress = TransferProgress()
    let cancellation: Cancellation

    var commit: CommitHash?
    var state = TransferReport.State.preparing
    /// The thread that it has; nil for repairs that the daemon does by itself.
    var worker: Worker?
    var rate = TransferRate()
    var totalBytes: UInt64?
    /// The numbers at its end.
    var last: TransferReport.Progress?
    var ended: Timestamp?
    var files: TransferReport.Files?
    var error: TransferRefusal?
    /// Whether it was said that others joined.
    var isJoined = false
    /// Who waits to hear whether it may begin.
    var waiting: [(reply: Reply<Result<BegunTransfer, TransferRefusal>>, joined: Bool)] = []
    /// Who waits for its end, having cancelled it: is told what stays.
    var cancelling: [(String?) -> Void] = []

    init(
        _ kind: TransferReport.Kind, isOwn: Bool = false, in cache: WatchedCache, repo: RepoID?, revision: String?,
        include: [String] = [], exclude: [String] = [], within whole: Cancellation
    ) {
        task = String(UInt64.random(in: 0x1000_0000_0000_0000 ... .max), radix: 16)
        self.kind = kind
        self.isOwn = isOwn
        number = cache.number
        cacheID = cache.id
        self.repo = repo
        self.revision = revision
        self.include = include
        self.exclude = exclude
        cancellation = Cancellation(within: whole)
    }

    /// Whether a name means it.
    func isMeant(by name: ModelName) -> Bool {
        guard repo == name.repo, name.cache == nil || name.cache == cacheID else { return false }
        guard let wanted = name.revision else { return true }
        return revision == wanted || commit?.hex == wanted
    }

    /// Tells those who wait that it runs.
    func accept() {
        if state == .preparing { state = .running }
        for (reply, joined) in waiting { reply.give(.success(BegunTransfer(task: task, joined: joined))) }
        waiting = []
    }

    /// Tells them that it does not.
    func refuse(_ refusal: TransferRefusal) {
        for (reply, _) in waiting { reply.give(.failure(refusal)) }
        waiting = []
    }

    func currentProgress() -> TransferReport.Progress {
        if let last { return last }
        let (done, total) = (progress.bytesDone, totalBytes ?? progress.bytesTotal)
        let perSecond = rate.bytesPerSecond
        let left = total > done ? total - done : 0
        return TransferReport.Progress(
            start: started, elapsed: Double(monotonicNanoseconds() &- startedAt) / 1e9,
            bytes: total > 0 ? min(done, total) : done,
            totalBytes: total > 0 ? total : nil, bytesPerSecond: perSecond,
            remaining: perSecond.flatMap { $0 > 0 && total > 0 ? left / $0 : nil })
    }

    var report: TransferReport {
        TransferReport(
            task: task, kind: kind, isOwn: isOwn, cache: cacheID, repo: repo?.description, revision: revision,
            commit: commit, include: include, exclude: exclude, state: state, progress: currentProgress(), ended: ended,
            files: files, error: error)
    }
}

/// Bytes a second, over the last few seconds.
struct TransferRate {
    private var samples: [(time: UInt64, bytes: UInt64)] = []
    private static let span = 10 * Timers.second

    /// Takes how much has been transferred by now.
    mutating func take(_ bytes: UInt64, at time: UInt64) {
        // What failed its digest is fetched anew, and counts from there.
        if let last = samples.last, bytes < last.bytes { samples = [] }
        samples.append((time, bytes))
        while samples.count > 2, time &- samples[0].time > Self.span { samples.removeFirst() }
    }

    var bytesPerSecond: UInt64? {
        guard let first = samples.first, let last = samples.last, last.time > first.time else { return nil }
        return UInt64(Double(last.bytes - first.bytes) / (Double(last.time - first.time) / 1e9))
    }
}

/// The transfers that run, and those that ended last.
struct TransferBook {
    var running: [Transfer] = []
    private(set) var ended: [Transfer] = []
    /// When their progress is told next.
    var nextTelling = UInt64.max

    /// As many that ended are remembered.
    static let mostEnded = 64
    /// As many may run at once, whatever policies allow: each has threads of its own.
    static let mostRunning = 32
    /// Twice a second.
    static let pause = Timers.second / 2

    mutating func begin(_ transfer: Transfer, _ now: UInt64) {
        running.append(transfer)
        nextTelling = min(nextTelling, now &+ Self.pause)
    }

    /// - Parameter isKept: whether it is remembered: what was refused never began.
    mutating func end(_ transfer: Transfer, isKept: Bool) {
        running.removeAll { $0 === transfer }
        if running.isEmpty { nextTelling = .max }
        guard isKept else { return }
        ended.append(transfer)
        if ended.count > Self.mostEnded { ended.removeFirst() }
    }

    /// The one that ended last of what a name means.
    func lastEnded(_ name: ModelName) -> Transfer? { ended.last { $0.isMeant(by: name) } }
}
