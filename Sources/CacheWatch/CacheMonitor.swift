internal import HubCache
internal import LinuxIO
internal import Synchronization

/// The watching of one cache. Everything that asks a filesystem runs on the cache's own thread, so that a call that hangs
/// stops nobody else.
final class CacheMonitor: Sendable {
    let path: BytePath
    let limits: WatchLimits
    private let table = Mutex(WatchTable())
    private let board: MarkBoard
    private let bell: WakeUp
    private let readerBell: WakeUp
    /// When the last filesystem call began; 0 while there is nothing to do.
    private let busySince = Atomic<UInt64>(0)
    private let isSilent = Atomic<Bool>(false)
    private let isArmedNow = Atomic<Bool>(false)
    private let stopRequest = Cancellation()
    private let finished: WakeUp

    init(path: BytePath, limits: WatchLimits, board: MarkBoard, readerBell: WakeUp) throws(SystemCallFailure) {
        self.path = path
        self.limits = limits
        self.board = board
        self.readerBell = readerBell
        bell = try WakeUp()
        finished = try WakeUp()
    }

    // MARK: for the thread that reads events

    /// The instance to read from now.
    var inotify: Inotify? { table.withLock(\.inotify) }

    /// Turns events into marks and work.
    ///
    /// - Parameter instance: where they are from; events of one that was replaced meanwhile mean nothing any more.
    func apply(_ events: [InotifyEvent], from instance: Inotify, ownReads: OwnReads) {
        let time = currentTime()
        let hasWork = table.withLock { table in
            guard table.inotify === instance else { return false }
            board.update(path) { marks in
                for event in events {
                    table.apply(event, at: time, limit: limits.opens, to: &marks) { ownReads.take($0, of: path) }
                }
            }
            return !table.work.isEmpty
        }
        if hasWork { bell.ring() }
    }

    /// Looks at the root soon.
    func lookAtRoot() {
        table.withLock { $0.work.isRoot = true }
        bell.ring()
    }

    /// Whether the cache's thread is in a filesystem call, and marks the cache when that takes too long.
    func watchOverCalls() -> Bool {
        let since = busySince.load(ordering: .acquiring)
        guard since != 0 else { return false }
        if monotonicNanoseconds() &- since > limits.responseLimit, since <= monotonicNanoseconds(),
            !isSilent.exchange(true, ordering: .acquiringAndReleasing)
        {
            note(.unresponsive)
        }
        return true
    }

    var status: WatchStatus {
        let isSilent = isSilent.load(ordering: .acquiring)
        let isArmed = isArmedNow.load(ordering: .acquiring)
        let degradations = board.degradations(of: path)
        return table.withLock { table in
            WatchStatus(
                cache: path, isArmed: isArmed, isUnresponsive: isSilent, watches: table.nodes.count,
                repos: table.repoCount, polledRepos: table.polledRepos, degradations: degradations.sorted())
        }
    }

    func stop() {
        stopRequest.cancel()
        bell.ring()
    }

    /// Whether the thread has ended; waits for it a while.
    func waitForEnd(atMost nanoseconds: UInt64) -> Bool {
        waitForInput([PolledInput(finished.raw)], atMost: nanoseconds)[0]
    }

    // MARK: for the cache's own thread

    var isStopped: Bool { stopRequest.isCancelled }

    /// Notes that a filesystem call begins, and that the one before has come back.
    func tick() {
        busySince.store(monotonicNanoseconds(), ordering: .releasing)
        if isSilent.load(ordering: .relaxed), isSilent.exchange(false, ordering: .acquiringAndReleasing) {
            note(.responsive)
        }
    }

    func rest() {
        tick()
        busySince.store(0, ordering: .releasing)
    }

    /// Begins with filesystem calls: somebody has to watch over them.
    func begin() {
        tick()
        readerBell.ring()
    }

    /// Waits until there is work or a time has come.
    func waitForWork(until deadline: UInt64) {
        guard table.withLock({ $0.work.isEmpty }), !isStopped else { return }
        let now = monotonicNanoseconds()
        if deadline > now { bell.wait(atMost: deadline - now) }
    }

    func takeWork() -> ArmingWork {
        table.withLock { table in
            let work = table.work
            table.work = ArmingWork()
            return work
        }
    }

    func ended() { finished.ring() }

    /// Watches a folder.
    ///
    /// - Returns: the watch, and whether it is new.
    func add(_ folder: borrowing OwnedDescriptor, as node: WatchNode, to inotify: Inotify) throws(SystemCallFailure)
        -> (Int32, Bool)
    {
        table.withLock { $0.beginAdding() }
        do throws(SystemCallFailure) {
            // Not under the lock: it may hang, and the reader must not.
            let watch = try inotify.watch(folder, for: node.kind.mask)
            return (watch, table.withLock { $0.endAdding(watch, as: node) })
        } catch {
            _ = table.withLock { $0.endAdding(nil, as: node) }
            throw error
        }
    }

    func commits(of unit: Int32) -> [CommitHash: UInt16] {
        table.withLock { table in
            var commits: [CommitHash: UInt16] = [:]
            for (index, commit) in (table.units[unit]?.commits ?? []).enumerated() {
                commits[commit] = UInt16(index)
            }
            return commits
        }
    }

    func addCommit(_ commit: CommitHash, to unit: Int32) -> UInt16 { table.withLock { $0.addCommit(commit, to: unit) } }

    func withTable<Result>(_ body: (inout WatchTable) -> sending Result) -> sending Result {
        table.withLock { body(&$0) }
    }

    /// Replaces the instance, for the reader too.
    func reset(inotify: Inotify?) {
        table.withLock { $0.reset(inotify: inotify) }
        readerBell.ring()
    }

    func mark(_ body: (inout Marks) -> Void) { board.update(path, body) }

    func note(_ change: RootChange) { mark { $0.note(change) } }

    func setArmed(_ isArmed: Bool) {
        isArmedNow.store(isArmed, ordering: .releasing)
        if isArmed { mark { $0.isArmed = true } }
    }
}

extension WatchTable {
    /// Repos that are polled.
    var polledRepos: Int {
        guard counts != Counts() else { return 0 }
        return units.count { $0.key > Self.store && $0.value.polled != nil }
    }
}

extension MarkBoard {
    func degradations(of cache: BytePath) -> Set<WatchDegradation> {
        var found: Set<WatchDegradation> = []
        update(cache) { found = $0.degradations }
        return found
    }
}
