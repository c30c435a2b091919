internal import CacheWatch
internal import HubCache
internal import Ledger
internal import LinuxIO
internal import Retention
internal import SystemdSupport

/// When the loop has something to do though nothing happened. All times are of the monotonic clock.
struct Timers {
    var watchdog: UInt64 = 0
    var openFlush: UInt64 = .max
    var openerLook: UInt64 = .max
    var watchNote: UInt64 = 0
    var repetition: UInt64 = 0
    var startExtension: UInt64 = 0
    var statusFile: UInt64 = 0
    var scrubShown: UInt64 = 0

    static let second: UInt64 = 1_000_000_000
    static let minute: UInt64 = 60 * second
    static let idle: UInt64 = 60 * second
    /// A start that is not over by then is reported as over: what is missing by then is a condition.
    static let longestStart: UInt64 = 5 * minute
    /// A look that comes no further for so long hangs.
    static let hangLimit: UInt64 = 60 * second
}

extension DaemonLoop {
    /// When the loop has to turn at the latest.
    func nextDeadline(_ now: UInt64) -> UInt64 {
        var next = now &+ Timers.idle
        func consider(_ time: UInt64?) { if let time, time < next { next = time } }
        if setup.service.watchdogPeriod != nil { consider(timers.watchdog) }
        consider(timers.openFlush)
        consider(timers.openerLook)
        consider(timers.watchNote)
        if !isReady { consider(now &+ Timers.second) }
        if isStatusStale { consider(max(timers.statusFile, now)) }
        for cache in caches {
            if cache.presence == .present {
                if !cache.isFullLookRunning { consider(cache.nextFullLook) }
                if cache.isInventoryDone { considerWork(of: cache, consider) }
            }
            consider(nextLocalLook(cache))
            if cache.lookProgress != nil { consider(now &+ 5 * Timers.second) }
            if cache.scrub.progress != nil { consider(timers.scrubShown) }
        }
        for pass in passes.values where !pass.isRunning { consider(pass.next) }
        consider(nextRehearsal)
        if !transfers.running.isEmpty { consider(transfers.nextTelling) }
        return next
    }

    private func considerWork(of cache: WatchedCache, _ consider: (UInt64?) -> Void) {
        consider(cache.settle.nextDeadline)
        // What is being looked at is not looked at twice.
        consider(cache.live.filter { !cache.beingLookedAt.contains($0.key) }.values.map(\.nextLook).min())
        if !cache.space.isLooking { consider(cache.space.nextLook) }
        if mayRepair(cache) { consider(cache.repairs.values.compactMap(\.next).min()) }
        if mayScrub(cache) { consider(cache.scrub.nextLook) }
    }

    /// Does everything that is due.
    func work(_ now: UInt64) {
        if let period = setup.service.watchdogPeriod, now >= timers.watchdog {
            notifier.send(.watchdog)
            let parts = period.components
            timers.watchdog = now &+ UInt64(parts.seconds) &* Timers.second &+ UInt64(parts.attoseconds / 1_000_000_000)
        }
        if !isReady { goOnStarting(now) }
        for cache in caches {
            lookAtWhatIsDue(cache, now)
            lookForHangs(cache, now)
            lookAtSpace(cache, now)
            scrubIfDue(cache, now)
            repairIfDue(cache, now)
            lookAtLocalFolders(cache, now)
        }
        for group in passes.keys.sorted() { runPassIfDue(group, now) }
        rehearseIfDue(now)
        tellProgressIfDue(now)
        if now >= timers.openFlush { flushOpens() }
        if now >= timers.openerLook { lookForOpeners(now) }
        if now >= timers.watchNote { noteWatching(now) }
        if now >= timers.repetition {
            timers.repetition = now &+ 10 * Timers.minute
            for event in book.due(now: currentTime()) { say(event) }
            for condition in conditions.takeDue(now: currentTime()) { say(condition.event) }
        }
        if now >= timers.scrubShown, caches.contains(where: { $0.scrub.progress != nil }) {
            timers.scrubShown = now &+ 10 * Timers.second
            isStatusStale = true
        }
        showStatus(now)
    }

    private func goOnStarting(_ now: UInt64) {
        let age = now &- startedAt
        if now >= timers.startExtension {
            timers.startExtension = now &+ 10 * Timers.second
            notifier.send(.extendTimeout(.seconds(60)))
        }
        let isDone = caches.allSatisfy { cache in
            cache.isInventoryDone || cache.isUnresponsive
                || (cache.presence != .present && cache.presence != .unknown)
        }
        guard isDone || age > Timers.longestStart else { return }
        isReady = true
        isStatusStale = true
        timers.watchNote = now
        showStatus(now)
        notifier.send(.ready, .status(statusText))
        let repos = caches.reduce(0) { $0 + $1.repos.count }
        say(
            JournalEvent(
                .daemonReady,
                "watching \(caches.count) cache\(caches.count == 1 ? "" : "s") with \(repos) repos; mode "
                    + "\(inForce.policy.mode.rawValue)",
                EventFields(durationMicroseconds: age / 1000)))
        for cache in caches { readInBackground(cache) }
        for cache in caches { requestPass(cache, after: 0) }
    }

    /// Cache by cache, what is being watched now counts as watched without a gap.
    private func noteWatching(_ now: UInt64) {
        timers.watchNote = now &+ 2 * Timers.minute
        let (ledger, time) = (ledger, currentTime())
        let roots = caches.filter { $0.isInventoryDone && $0.degradations.isEmpty && !$0.isUnresponsive }
            .compactMap(\.root)
        guard !roots.isEmpty, let recorder else { return }
        hand(
            recorder,
            { for root in roots { ledger.noteWatching(cache: root, at: time) } },
            then: { loop, _ in loop.sayLedgerProblems() })
    }

    func sayLedgerProblems() {
        while let problem = ledger.takeProblem() {
            say(JournalEvent(.watchDegraded, problem, EventFields(code: "ledger")))
        }
        judgeLedger()
    }

    /// Raises that there is no memory that can be believed: what is only remembered protects, so nothing goes without.
    private func judgeLedger() {
        let identity = Condition.Identity(scope: "ledger", code: "ledger-unavailable")
        let words: String
        let acts: Bool
        switch ledger.availability {
        case .unavailable(let reason):
            acts = inForce.policy.mode == .enforce
            words =
                "cannot be used (\(reason)): what was opened or was whole once is not known"
                + (acts ? ", so nothing is removed by rules" : "")
        case .readOnly(let reason?):
            acts = false
            words = "cannot be written to (\(reason)): nothing new is remembered"
        case .readWrite, .readOnly, .absent, .closed:
            clear(
                identity,
                saying: JournalEvent(
                    .watchDegraded, priority: .notice, "the ledger can be used again",
                    EventFields(code: identity.code)))
            return
        }
        let folder = setup.stateFolder?.display ?? ""
        raise(
            Condition(
                identity,
                event: JournalEvent(
                    .watchDegraded, priority: acts ? .error : .warning,
                    "the ledger in \(folder) \(words); see that the folder is this user's own, and has room",
                    EventFields(path: setup.stateFolder, code: identity.code))))
    }
}
