internal import CacheWatch
internal import HubCache
internal import HubClient
internal import Ledger
internal import LinuxIO
internal import PolicyFile
internal import Retention
internal import SystemdSupport

/// The daemon's one thread that decides: it takes what was heard of and found out, and hands out work. It never asks a
/// filesystem itself, so that none that hangs can stop it.
public final class DaemonLoop {
    let setup: DaemonSetup
    let journal: Journal
    let notifier: Notifier
    let mailbox = Mailbox()
    let bulletin = Bulletin()
    let cancellation = Cancellation()
    /// Ends what makes room for downloads by the policy in force.
    lazy var roomCancellation = Cancellation(within: cancellation)
    let hubHealth = HubHealth()
    let started = currentTime()
    let startedAt = monotonicNanoseconds()

    var ledger = Ledger.disabled
    var inForce: PolicyInForce
    var policyWatch: PolicyWatch?
    var watcher: CacheWatcher?
    var caches: [WatchedCache] = []
    var cacheCount = 0
    /// Writes to the ledger and looks at processes.
    var recorder: Worker?
    /// Hands events on to whom the policy names; made when it first names somebody.
    var forwarder: EventForwarder?

    var book = FindingBook() { didSet { bookChanges &+= 1 } }
    /// Goes up with every change of `book`.
    private(set) var bookChanges: UInt64 = 0
    /// The list of all repos as it was last made, and of what.
    var lastModels: (list: ModelList, mark: [UInt64])?
    var conditions = ConditionLog()
    var opens = OpenBook()
    var passes: [UInt64: PassSchedule] = [:]
    var passCount: UInt64 = 0
    var rehearsals: [UInt64: RehearsalSchedule] = [:]
    var lastPass = PassNumbers()
    var lastPassSaid: PassNumbers?

    var counters = Counters()
    /// Who serves the metrics over TCP, and the address that was told.
    var followMetricsAddress: (@Sendable (ListenAddress?) -> Void)?
    var toldMetricsAddress: ListenAddress?
    var planRequests = PlanRequests()
    var transfers = TransferBook()
    var previewers: [Worker] = []

    var isReady = false
    var isStopping = false
    var isReloading = false
    /// Who waits for the verdict on the policy file, and how many readings of it have to be over.
    var reloads: [(reply: Reply<ReloadVerdict>, request: Int)] = []
    var statusText = ""
    var lastStatus: (status: DaemonStatus, time: UInt64)?
    let startTicks = ProcessTable.process(ownProcess())?.startTicks ?? 0
    var lastStatusDocument = ""
    var statusCount: UInt64 = 0
    var isStatusStale = true
    var timers = Timers()

    /// Makes a daemon.
    public init(_ setup: DaemonSetup) {
        self.setup = setup
        inForce = PolicyInForce(
            LoadedPolicy(policy: Policy(), files: [], warnings: [], isEmpty: true), from: setup.policy,
            ledger: .disabled, now: Timestamp(nanoseconds: 0))
        journal = Journal(setup.service, wantsColour: setup.wantsColour)
        notifier = Notifier(setup.service)
    }

    /// Runs until it is told to stop. To be called before other threads are started.
    ///
    /// - Parameter serve: lets others ask, from the start on; what it returns ends that.
    public func run(serving serve: (DaemonDesk) -> @Sendable () -> Void = { _ in {} }) -> DaemonEnd {
        let mailbox = mailbox
        listenForSignals { signal in
            mailbox.post { loop in loop.take(signal) }
        }
        raiseDescriptorLimit()
        do throws(SystemCallFailure) {
            if let end = try start() { return end }
        } catch {
            return .failed("cannot start: \(error.reason)")
        }
        let stopServing = serve(DaemonDesk(mailbox, bulletin))
        while !isStopping { turn() }
        bulletin.end()
        end()
        stopServing()
        return .stopped
    }

    private func start() throws(SystemCallFailure) -> DaemonEnd? {
        let mailbox = mailbox
        let watch = try PolicyWatch(setup.policy) { occasion, reading in
            mailbox.post { loop in loop.takePolicy(reading, occasion) }
        }
        let mark = watch.mark
        let loaded: LoadedPolicy
        switch PolicyWatch.read(setup.policy) {
        case .success(let policy): loaded = policy
        case .failure(let failure):
            for diagnostic in failure.diagnostics {
                say(
                    JournalEvent(
                        .policyRejected, priority: diagnostic.severity == .error ? .error : .warning, diagnostic.text,
                        EventFields(path: diagnostic.file, code: "policy")))
            }
            notifier.send(.status("policy wrong: \(failure.diagnostics.first?.text ?? "")"))
            return .badPolicy
        }
        notifier.send(.status("starting"))
        ledger = openLedger(loaded)
        inForce = PolicyInForce(loaded, from: setup.policy, ledger: ledger, now: currentTime())
        for warning in loaded.warnings {
            say(JournalEvent(.policyApplied, priority: .warning, warning.text, EventFields(path: warning.file)))
        }
        recorder = try Worker(name: "record")
        policyWatch = watch
        watch.start(since: mark)
        try setCaches()
        return nil
    }

    private func openLedger(_ loaded: LoadedPolicy) -> Ledger {
        let paths = cachePaths(loaded.policy).map(\.path)
        if let folder = setup.stateFolder, paths.contains(where: { folder.relative(to: $0) != nil || folder == $0 }) {
            say(
                JournalEvent(
                    .watchDegraded,
                    "the state folder lies in the cache: nothing is remembered; see XDG_STATE_HOME",
                    EventFields(code: "ledger")))
            return .disabled
        }
        return Ledger.open(directory: setup.stateFolder, programVersion: setup.version)
    }

    // MARK: caches

    /// The caches to watch, with what the policy says of each.
    func cachePaths(_ policy: Policy) -> [(path: BytePath, policy: CachePolicy)] {
        let listed = policy.caches.map { ($0.path ?? setup.defaultCache, $0) }
        if !setup.caches.isEmpty {
            return setup.caches.map { path in
                (path, listed.first { $0.0 == path }?.1 ?? CachePolicy(path: path))
            }
        }
        return listed.isEmpty ? [(setup.defaultCache, CachePolicy())] : listed
    }

    /// Watches what the policy in force says. A cache that stays keeps what is known of it.
    func setCaches() throws(SystemCallFailure) {
        let wanted = cachePaths(inForce.policy)
        var kept: [WatchedCache] = []
        for (path, policy) in wanted where !kept.contains(where: { $0.path == path }) {
            if let known = caches.first(where: { $0.path == path }) {
                known.policy = policy
                kept.append(known)
            } else {
                cacheCount += 1
                kept.append(try WatchedCache(number: cacheCount, path: path, policy: policy))
            }
        }
        let isSame = watcher != nil && kept.map(\.path) == caches.map(\.path)
        for cache in caches where !kept.contains(where: { $0 === cache }) {
            cache.stop(droppingJobs: true)
            forgetPasses(of: cache)
            book.forget(cache.root ?? cache.path, now: currentTime())
            forgetLocalFolders(of: cache)
            for transfer in transfers.running where transfer.number == cache.number { transfer.cancellation.cancel() }
            _ = conditions.replace(scope: cache.path.display, with: [], now: currentTime())
        }
        caches = kept
        reconsiderTwins()
        if isSame { return }
        watcher?.stop()
        var limits = WatchLimits()
        limits.responseLimit = 10_000_000_000
        let watcher = try CacheWatcher(caches: kept.map(\.path), limits: limits)
        self.watcher = watcher
        mailbox.setAlarm { watcher.interrupt() }
        watcher.interrupt()
    }

    func cache(at path: BytePath) -> WatchedCache? { caches.first { $0.path == path } }

    // MARK: turning

    private func turn() {
        let now = monotonicNanoseconds()
        let deadline = nextDeadline(now)
        let events = watcher?.next(within: deadline > now ? deadline - now : 0) ?? []
        for event in events { take(event) }
        for letter in mailbox.take() { letter(self) }
        work(monotonicNanoseconds())
    }

    private func take(_ signal: ServiceSignal) {
        switch signal {
        case .stop: isStopping = true
        case .reload:
            isReloading = true
            notifier.send(.reloading)
            policyWatch?.request()
        }
    }

    /// Runs a job on a worker, and takes its result on the loop's thread.
    func hand<Found: Sendable>(
        _ worker: Worker, _ work: @escaping @Sendable () -> Found, then: @escaping @Sendable (DaemonLoop, Found) -> Void
    ) {
        let mailbox = mailbox
        worker.add {
            let found = work()
            mailbox.post { loop in then(loop, found) }
        }
    }

    /// The same for a cache: the result of one that is not watched any more is dropped.
    func hand<Found: Sendable>(
        _ worker: Worker, of cache: WatchedCache, _ work: @escaping @Sendable () -> Found,
        then: @escaping @Sendable (DaemonLoop, WatchedCache, Found) -> Void
    ) {
        let number = cache.number
        hand(worker, work) { loop, found in
            if let cache = loop.caches.first(where: { $0.number == number }) { then(loop, cache, found) }
        }
    }

    func looker(_ cache: WatchedCache) -> Looker? {
        watcher.map {
            Looker(path: cache.path, ledger: ledger, ownReads: $0.ownReads, cancellation: cancellation)
        }
    }

    // MARK: saying

    func say(_ event: JournalEvent) {
        journal.send(event)
        counters.count(event)
        bulletin.publish(.event(event))
        forward(event)
    }

    /// Says that something about the control socket is not as it should be.
    public func complain(_ problem: String) {
        say(JournalEvent(.watchDegraded, problem, EventFields(code: "control")))
    }

    /// Raises a condition of the daemon's own, and says it when that is due.
    func raise(_ condition: Condition) {
        if conditions.raise(condition, now: currentTime()) { say(condition.event) }
        isStatusStale = true
    }

    /// Ends a condition.
    ///
    /// - Returns: whether it held.
    @discardableResult
    func clear(_ identity: Condition.Identity, saying event: JournalEvent?) -> Bool {
        guard conditions.clear(identity) != nil else { return false }
        if let event { say(event) }
        isStatusStale = true
        return true
    }

    // MARK: the end

    private func end() {
        notifier.send(.stopping, .status("stopping"))
        say(JournalEvent(.daemonStopping, "stopping", EventFields()))
        cancellation.cancel()
        policyWatch?.stop()
        flushOpens()
        recorder?.stop(droppingJobs: false)
        for cache in caches { cache.stop(droppingJobs: true) }
        stopTransfers()
        // A removal is undone first, which takes a moment; what hangs in the kernel is left to itself.
        wait(atMost: 20_000_000_000) { loop in
            loop.caches.allSatisfy { $0.isIdle || $0.isUnresponsive } && loop.areTransfersOver
        }
        // What was removed to the end before that is still told of.
        for letter in mailbox.close() { letter(self) }
        reloads = []
        planRequests = PlanRequests()
        transfers = TransferBook()
        wait(atMost: 3_000_000_000) { loop in loop.recorder?.isIdle ?? true }
        wait(atMost: 5_000_000_000) { loop in loop.forwarder?.isIdle ?? true }
        forwarder?.stop()
        wait(atMost: 1_000_000_000) { loop in loop.forwarder?.isIdle ?? true }
        watcher?.stop()
        ledger.close()
        if let folder = setup.statusFolder { StatusFile.remove(in: folder) }
    }

    private func wait(atMost nanoseconds: UInt64, until isDone: (DaemonLoop) -> Bool) {
        let end = monotonicNanoseconds() &+ nanoseconds
        while monotonicNanoseconds() < end, !isDone(self) {
            notifier.send(.watchdog)
            sleepMilliseconds(20)
        }
    }
}
