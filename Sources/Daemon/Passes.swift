internal import CacheScan
internal import Enforcement
internal import HubCache
internal import HubClient
internal import Ledger
internal import LinuxIO
internal import Retention
internal import SystemdSupport
internal import Verification

/// When the caches of one filesystem are planned for again.
struct PassSchedule {
    /// On the monotonic clock; nil: when something happens.
    var next: UInt64?
    var running: RunningPass?
    /// Tries in a row that found a cache locked.
    var busyTries = 0
    /// Passes in a row that could free nothing although room was wanted.
    var failures = 0
    /// Until then want of room alone is no reason for another pass.
    var backOffEnd: UInt64 = 0
    /// Whether the last pass could not reach a target for what was only open at that moment.
    var isInDoubt = false
    /// Whether something changed since the last pass began.
    var hasChanged = true
    /// How long the last one took, and when it ended.
    var duration: UInt64 = 0
    var endedAt: UInt64 = 0

    var isRunning: Bool { running != nil }
}

/// Somebody else has the lock of a cache.
struct PassBusy: Error {}

extension Result where Failure == PassBusy {
    fileprivate var isBusy: Bool { if case .failure = self { true } else { false } }
}

/// A pass that is under way.
struct RunningPass {
    var number: UInt64
    /// The number of the cache whose worker runs it.
    var runner: Int
    /// Ends it, and leaves nothing half done.
    var cancellation: Cancellation
}

/// What a pass needs, as plain values for the worker's thread.
struct PassOrder: Sendable {
    var caches: [(looker: Looker, policy: CachePolicy, downloads: [LiveDownload])]
    var policy: Policy
    var former: [FormerPolicy]
    /// Bytes of room that a download of ours needs, besides what others still need.
    var room: UInt64 = 0
    /// A repo that is being fetched, of which nothing goes.
    var spared: RepoID?
    var ledger: Ledger
    /// Writes to it which opens were seen since.
    var catchUp: @Sendable () -> Void
    var hub: HubEnvironment
    var token: HubToken?
    var health: HubHealth
    var cancellation: Cancellation
}

/// What a pass came to.
struct PassFindings: Sendable {
    var plan: Plan
    var removed = 0
    var removedBytes: UInt64 = 0
    var failed = 0
    var isReached = true
    var isCancelled = false
    var hubSilence: String?
    var ineffective: [IneffectiveEviction] = []
    /// When a rule may take something that it did not take now.
    var nextDue: Timestamp?
    /// What would go, in mode observe.
    var wouldGo: [JournalEvent] = []
    var cachePaths: [BytePath] = []
}

extension DaemonLoop {
    /// Whether a policy has anything to act on.
    func hasWork(_ cache: WatchedCache) -> Bool {
        !inForce.policy.rules.isEmpty || cache.policy.minFree != nil || cache.policy.maxSize != nil
    }

    /// Has the caches of a cache's filesystem planned for.
    ///
    /// - Parameters:
    ///   - isForSpace: because room is wanted, which is no reason while nothing could be freed and nothing changed.
    ///   - hasChanged: because something is different.
    func requestPass(_ cache: WatchedCache, after delay: UInt64, isForSpace: Bool = false, hasChanged: Bool = false) {
        guard let group = cache.filesystem, hasWork(cache) else { return }
        let now = monotonicNanoseconds()
        var schedule = passes[group] ?? PassSchedule()
        if hasChanged {
            schedule.hasChanged = true
            schedule.failures = 0
        }
        var time = now &+ delay
        if isForSpace, !schedule.hasChanged { time = max(time, schedule.backOffEnd) }
        time = max(time, schedule.endedAt &+ (isForSpace ? 2 : 20) &* schedule.duration)
        schedule.next = min(schedule.next ?? .max, time)
        passes[group] = schedule
    }

    func runPassIfDue(_ group: UInt64, _ now: UInt64) {
        guard let schedule = passes[group], !schedule.isRunning, let next = schedule.next, now >= next else { return }
        let members = caches.filter {
            $0.filesystem == group && $0.presence == .present && $0.isInventoryDone && !$0.isUnresponsive
        }
        passes[group]?.next = nil
        guard let first = members.first, members.contains(where: hasWork) else { return }
        passCount += 1
        let running = RunningPass(
            number: passCount, runner: first.number, cancellation: Cancellation(within: cancellation))
        var order = passOrder(for: members)
        order.cancellation = running.cancellation
        passes[group]?.running = running
        passes[group]?.hasChanged = false
        isStatusStale = true
        let acts = inForce.policy.mode == .enforce && !members.contains(where: isForeign)
        let mailbox = mailbox
        let numbers = members.map(\.number)
        hand(
            first.enforcing,
            { [order] () -> Result<PassFindings?, PassBusy> in
                do throws(PassBusy) {
                    return .success(try order.run(acts: acts) { event in mailbox.post { loop in loop.say(event) } })
                } catch {
                    return .failure(error)
                }
            },
            then: { loop, result in
                let members = loop.caches.filter { numbers.contains($0.number) }
                let now = monotonicNanoseconds()
                guard loop.passes[group]?.running?.number == running.number else { return }
                loop.passes[group]?.running = nil
                loop.isStatusStale = true
                if running.cancellation.isCancelled { return }
                loop.passes[group]?.endedAt = now
                loop.passes[group]?.duration = now &- next
                loop.judgeLock(group, members, isBusy: result.isBusy)
                switch result {
                case .success(.some(let result)):
                    loop.take(result, of: members, group)
                case .success(nil):
                    // No cache could be read at that moment.
                    let planned = loop.passes[group]?.next ?? .max
                    loop.passes[group]?.next = min(planned, now &+ 5 * Timers.second)
                case .failure: break
                }
            })
    }

    /// Tries again where a cache was locked, and says so when that lasts.
    private func judgeLock(_ group: UInt64, _ members: [WatchedCache], isBusy: Bool) {
        let identity = Condition.Identity(scope: "filesystem \(group)", code: "pass-busy")
        guard var schedule = passes[group] else { return }
        guard isBusy, let first = members.first else {
            passes[group]?.busyTries = 0
            clear(identity, saying: nil)
            return
        }
        schedule.busyTries += 1
        schedule.hasChanged = true
        schedule.next = min(schedule.next ?? .max, monotonicNanoseconds() &+ 30 * Timers.second)
        passes[group] = schedule
        guard schedule.busyTries >= 3 else { return }
        let root = first.root ?? first.path
        raise(
            Condition(
                identity,
                event: JournalEvent(
                    .watchDegraded,
                    "\(root.display): somebody else has locked the cache's folder, so nothing is removed; see who: lslocks",
                    EventFields(cache: root, code: "pass-busy"))))
    }

    /// Ends the passes that are under way: they act by a policy that counts no more.
    func endPasses() {
        roomCancellation.cancel()
        roomCancellation = Cancellation(within: cancellation)
        for group in passes.keys {
            passes[group]?.running?.cancellation.cancel()
            passes[group]?.duration = 0
        }
    }

    /// Waits no more for passes that a cache's worker was to run.
    func forgetPasses(of cache: WatchedCache) {
        for (group, schedule) in passes {
            guard let running = schedule.running, running.runner == cache.number else { continue }
            running.cancellation.cancel()
            passes[group]?.running = nil
        }
    }

    /// What a pass on caches of one filesystem needs.
    func passOrder(for members: [WatchedCache]) -> PassOrder {
        PassOrder(
            caches: members.compactMap { cache in
                looker(cache).map { ($0, cache.policy, cache.repos.values.flatMap(\.downloads)) }
            },
            policy: inForce.policy, former: inForce.former, ledger: ledger, catchUp: opensWriter, hub: setup.hub,
            token: setup.token, health: hubHealth, cancellation: cancellation)
    }

    private func take(_ result: PassFindings, of members: [WatchedCache], _ group: UInt64) {
        guard let first = members.first else { return }
        let now = monotonicNanoseconds()
        guard !result.isCancelled else {
            // The ledger failed meanwhile.
            sayLedgerProblems()
            let planned = passes[group]?.next ?? .max
            passes[group]?.next = min(planned, now &+ 30 * Timers.second)
            return
        }
        lastPass.bytes = result.removedBytes
        if result.removed > 0 || result.failed > 0 {
            sayPass(checked: 0, removed: result.removed, errors: result.failed)
        }
        sayLedgerProblems()
        for cache in members { cache.space.nextLook = now }
        sayWhatWouldGo(result.wouldGo, group)
        for eviction in result.ineffective {
            raise(
                Condition(
                    .init(scope: "filesystem \(group)", code: "eviction-ineffective"),
                    event: JournalEvent(
                        .evictionIneffective,
                        "of \(formatBytes(eviction.predicted)) removed from \(eviction.filesystem) only "
                            + "\(formatBytes(eviction.appeared)) became free, the second time; look for snapshots of the "
                            + "filesystem, or for processes that hold removed files: lsof +L1",
                        EventFields(
                            cache: first.root, bytes: eviction.predicted - min(eviction.appeared, eviction.predicted))))
            )
        }
        if result.ineffective.isEmpty, result.removed > 0 {
            clear(.init(scope: "filesystem \(group)", code: "eviction-ineffective"), saying: nil)
        }
        guard !doubts(result, group) else {
            guard let schedule = passes[group] else { return }
            passes[group]?.next = min(schedule.next ?? .max, now &+ max(2 * Timers.second, 2 &* schedule.duration))
            return
        }
        judgeTargets(result, first, group)
        scheduleNext(result, group, now)
    }

    /// Whether another pass is to say first whether a target can be reached: what was open was perhaps only being verified, by
    /// us or by somebody else, and nobody is to be called for that.
    private func doubts(_ result: PassFindings, _ group: UInt64) -> Bool {
        let isSecondLook = passes[group]?.isInDoubt ?? false
        let isHeldOpen = result.plan.caches.contains { cache in
            !cache.isReached && cache.kept.contains { $0.reasons.contains { $0.by == .open || $0.by == .lock } }
        }
        let isKnown = conditions.holds(.init(scope: "filesystem \(group)", code: "floor-unreachable"))
        let isInDoubt = isHeldOpen && !isKnown && !isSecondLook
        passes[group]?.isInDoubt = isInDoubt
        return isInDoubt
    }

    /// Raises, once, that a target cannot be reached: what is missing, what blocks, what to run.
    private func judgeTargets(_ result: PassFindings, _ first: WatchedCache, _ group: UInt64) {
        let identity = Condition.Identity(scope: "filesystem \(group)", code: "floor-unreachable")
        guard let place = result.plan.caches.firstIndex(where: { !$0.isReached }) else {
            clear(
                identity,
                saying: JournalEvent(
                    .floorHeld, "\((first.root ?? first.path).display): what the policy asks for can be reached again",
                    EventFields(cache: first.root ?? first.path)))
            return
        }
        let plan = result.plan.caches[place]
        let path = result.cachePaths.indices.contains(place) ? result.cachePaths[place] : first.path
        let missing =
            (plan.targetFreeBytes ?? 0) > plan.freeBytesAfter ? (plan.targetFreeBytes ?? 0) - plan.freeBytesAfter : 0
        var bytesKept: [Keeper: UInt64] = [:]
        for kept in plan.kept {
            if let keeper = kept.reasons.first?.by { bytesKept[keeper, default: 0] &+= kept.bytes }
        }
        let blockers = bytesKept.keys.sorted().map(\.rawValue)
        // What comes and goes beside the one that holds the most is no other alarm.
        let mostly = bytesKept.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key.rawValue ?? ""
        var words = plan.notes.last ?? "the target cannot be reached"
        if let silence = result.hubSilence {
            words += "; the Hub does not answer (\(silence)): set 'irreplaceable: evict' to let go what it may lack"
        }
        raise(
            Condition(
                identity, detail: mostly + (result.hubSilence == nil ? "" : " hub"),
                event: JournalEvent(
                    .floorUnreachable, "\(path.display): \(words); see: hfjanitor plan",
                    EventFields(
                        cache: path,
                        reason: blockers.isEmpty ? "nothing left to remove" : blockers.joined(separator: ", "),
                        bytes: missing, freeBytes: plan.freeBytes))))
    }

    private func scheduleNext(_ result: PassFindings, _ group: UInt64, _ now: UInt64) {
        guard var schedule = passes[group] else { return }
        if !result.isReached, result.removed == 0 {
            // 10 minutes, doubling to an hour.
            let minutes = min(60, UInt64(10) << UInt64(min(schedule.failures, 3)))
            schedule.failures += 1
            schedule.backOffEnd = now &+ minutes &* Timers.minute
        } else {
            schedule.failures = 0
            schedule.backOffEnd = 0
        }
        var wait = 30 * Timers.minute
        if let due = result.nextDue {
            let until = due.nanoseconds &- currentTime().nanoseconds
            // A rule's limit has passed when it is later than the moment itself.
            wait = min(wait, UInt64(max(0, until)) &+ Timers.second)
        }
        let next = max(now &+ wait, now &+ 20 &* schedule.duration)
        schedule.next = min(schedule.next ?? .max, next)
        if !result.isReached, result.removed == 0 { schedule.next = min(schedule.next ?? .max, schedule.backOffEnd) }
        passes[group] = schedule
    }

    private func sayWhatWouldGo(_ events: [JournalEvent], _ group: UInt64) {
        let scope = "filesystem \(group) observed"
        let conditions = events.map { event in
            Condition(
                .init(
                    scope: scope, code: "observe",
                    subject: (event.fields.cache?.display ?? "") + "\n" + (event.fields.path?.display ?? "")),
                event: event)
        }
        // What no longer would go needs no word.
        for condition in replaceConditions(scope, conditions) { say(condition.event) }
    }

    private func replaceConditions(_ scope: String, _ new: [Condition]) -> [Condition] {
        conditions.replace(scope: scope, with: new, now: currentTime()).toSay
    }
}
