internal import CacheScan
internal import CacheWatch
public import Enforcement
public import HubCache
internal import HubClient
internal import Ledger
internal import LinuxIO
public import Retention
internal import SystemdSupport
public import Verification

/// A plan for all caches, and what it was made of.
public struct AskedPlan: Sendable {
    /// What the daemon does with plans of its own.
    public var mode: Policy.Mode
    /// The time it was made for.
    public var time: Timestamp
    /// The caches as they were found.
    public var caches: [GatheredCache]
    /// The plan.
    public var plan: Plan
    /// The pins it was made by.
    public var pins: [Pin] = []
}

/// What a verification that somebody asked for came to.
public struct AskedVerification: Sendable {
    /// How deep it looked.
    public var depth: VerificationDepth
    /// What was found.
    public var reports: [CacheReport]
    /// Bytes hashed.
    public var bytesHashed: UInt64
    /// How long it took.
    public var seconds: Double
}

/// What became of something that somebody wanted removed.
public enum AskedRemoval: Sendable {
    /// It is gone, and gives back so many bytes.
    case removed(bytes: UInt64)
    /// It is not there.
    case absent
    /// It stays, all or a part of it; what keeps it.
    case kept([Kept])
    /// It may not be removed here; why.
    case refused(String)
    /// It could not be removed; why.
    case failed(String)
    /// A download of it was cancelled; why something of that stays, if it does.
    case cancelled(left: String?)
}

/// Why asked work is not done.
public enum AskedWorkFailure: Error, Sendable, Hashable {
    /// It cannot be told what is meant.
    case naming(NamingFailure)
    /// Too much else is asked for already.
    case busy
    /// A cache cannot be read; why.
    case unreadable(String)
}

/// Who waits for a plan.
struct PlanRequests {
    var isRunning = false
    /// Those whose plan has not begun.
    var waiting: [Reply<Result<AskedPlan, AskedWorkFailure>>] = []

    static let mostWaiting = 64
}

// What takes long and somebody waits for: on workers, so that the loop goes on.
extension DaemonLoop {
    // MARK: planning

    func plan(_ reply: Reply<Result<AskedPlan, AskedWorkFailure>>) {
        guard planRequests.waiting.count < PlanRequests.mostWaiting else { return reply.give(.failure(.busy)) }
        planRequests.waiting.append(reply)
        planNext()
    }

    /// One at a time; all that wait when it begins get the same.
    private func planNext() {
        guard !planRequests.isRunning, !planRequests.waiting.isEmpty else { return }
        let members = caches.filter { $0.presence == .present && $0.isInventoryDone && !$0.isUnresponsive }
        let waiting = planRequests.waiting
        planRequests.waiting = []
        guard let first = members.first, let worker = answeringWorker(first) else {
            for reply in waiting {
                reply.give(
                    .success(
                        AskedPlan(mode: inForce.policy.mode, time: currentTime(), caches: [], plan: Plan(caches: []))))
            }
            return
        }
        planRequests.isRunning = true
        let order = passOrder(for: members)
        hand(worker, { order.plan() }) { loop, result in
            loop.planRequests.isRunning = false
            for reply in waiting {
                reply.give(result.map { .success($0) } ?? .failure(.unreadable("no cache can be read")))
            }
            loop.planNext()
        }
    }

    func answeringWorker(_ cache: WatchedCache) -> Worker? {
        if cache.answering == nil { cache.answering = try? Worker(name: "answer") }
        return cache.answering
    }

    // MARK: verifying

    func verify(
        _ name: ModelName?, cache id: String?, depth: VerificationDepth,
        _ reply: Reply<Result<AskedVerification, AskedWorkFailure>>
    ) {
        let chosen: [(cache: WatchedCache, selection: CacheSelection)]
        do throws(NamingFailure) {
            if let name {
                let cache = try place(of: name)
                chosen = [(cache, .repo(name.repo, try commit(of: name, in: cache)))]
            } else {
                chosen = try caches(named: id).filter { $0.presence == .present }.map { ($0, .everything) }
            }
        } catch {
            return reply.give(.failure(.naming(error)))
        }
        verify(chosen, depth, AskedVerification(depth: depth, reports: [], bytesHashed: 0, seconds: 0), reply)
    }

    private static let mostVerifications = 8

    private func verify(
        _ rest: [(cache: WatchedCache, selection: CacheSelection)], _ depth: VerificationDepth,
        _ soFar: AskedVerification, _ reply: Reply<Result<AskedVerification, AskedWorkFailure>>
    ) {
        guard let (cache, selection) = rest.first else { return reply.give(.success(soFar)) }
        guard let looker = looker(cache), let worker = answeringWorker(cache), worker.count < Self.mostVerifications,
            !cache.isUnresponsive
        else { return reply.give(.failure(.busy)) }
        // The cache belongs to the loop: it is found again by its number.
        let others = rest.dropFirst().map { ($0.cache.number, $0.selection) }
        hand(
            worker,
            { () -> Result<(CacheReport, [RepoLook], UInt64, Double)?, SystemCallFailure> in
                let begun = monotonicNanoseconds()
                let progress = VerificationProgress()
                do throws(SystemCallFailure) {
                    guard let found = try looker.report(selection, depth: depth, progress: progress) else {
                        return .success(nil)
                    }
                    let seconds = Double(monotonicNanoseconds() - begun) / 1e9
                    return .success((found.report, found.looks, progress.bytesDone, seconds))
                } catch {
                    return .failure(error)
                }
            }
        ) { [number = cache.number] loop, result in
            if loop.cancellation.isCancelled { return }
            switch result {
            case .failure(let failure):
                reply.give(.failure(.unreadable("\(looker.path.display) cannot be read: \(failure.reason)")))
            case .success(nil): reply.give(.failure(.naming(.absent)))
            case .success(let (report, looks, bytes, seconds)?):
                if case .repo(_, nil) = selection, let cache = loop.caches.first(where: { $0.number == number }) {
                    for look in looks { loop.takeDeep(look, of: cache) }
                }
                var soFar = soFar
                soFar.reports.append(report)
                soFar.bytesHashed &+= bytes
                soFar.seconds += seconds
                let others = others.compactMap { number, selection in
                    loop.caches.first { $0.number == number }.map { ($0, selection) }
                }
                loop.verify(others, depth, soFar, reply)
            }
        }
    }

    // MARK: removing

    private static let mostRemovals = 8

    func remove(_ name: ModelName, task: String?, _ reply: Reply<Result<AskedRemoval, AskedWorkFailure>>) {
        if cancelTransfers(of: name, task: task, reply) { return }
        // Who wants a download cancelled that has just ended does not want the model deleted.
        if task != nil { return reply.give(.success(.absent)) }
        let cache: WatchedCache
        let commit: CommitHash?
        do throws(NamingFailure) {
            cache = try place(of: name)
            commit = try self.commit(of: name, in: cache)
        } catch {
            return reply.give(.failure(.naming(error)))
        }
        if isForeign(cache) {
            return reply.give(.success(.refused("root removes nothing from another user's cache")))
        }
        guard let looker = looker(cache), cache.enforcing.count < Self.mostRemovals, !cache.isUnresponsive else {
            return reply.give(.failure(.busy))
        }
        let order = passOrder(for: [cache])
        let mailbox = mailbox
        hand(
            cache.enforcing, of: cache,
            { () -> (AskedRemoval?, RepoLook?) in
                let result = order.remove(name.repo, commit) { event in mailbox.post { loop in loop.say(event) } }
                // Who asks next is told what is there now.
                return (result, try? looker.repo(name.repo.folder, depth: .structure))
            },
            then: { loop, cache, found in
                let now = monotonicNanoseconds()
                if let look = found.1 { loop.take(look, of: cache, isOverdue: true) }
                cache.settle.changed(name.repo.folder, at: now)
                cache.changedAt[name.repo.folder] = now
                cache.space.nextLook = now
                loop.requestPass(cache, after: 5 * Timers.second, hasChanged: true)
                loop.sayLedgerProblems()
                // Without an answer, who waits is told that the daemon stops.
                if let result = found.0 { reply.give(.success(result)) }
            })
    }
}

extension PassOrder {
    /// What the policy would do now; nothing is asked, changed or remembered.
    ///
    /// - Returns: nil when no cache can be read.
    func plan() -> AskedPlan? {
        let reading = ClockReading.now()
        let gathered = gather(reading.time)
        if cancellation.isCancelled || gathered.isEmpty { return nil }
        let enforcer = enforcer(gathered, reading, forgets: false)
        return AskedPlan(
            mode: policy.mode, time: reading.time, caches: gathered, plan: enforcer.plan(), pins: policy.pins)
    }

    /// Removes what somebody named, as `rm` does.
    ///
    /// - Returns: nil when it was cancelled.
    func remove(_ repo: RepoID, _ commit: CommitHash?, say: (JournalEvent) -> Void) -> AskedRemoval? {
        guard let (looker, cachePolicy, _) = caches.first, let root = try? looker.openRoot() else {
            return .failed("the cache cannot be read")
        }
        if let refusal = Enforcer.refusal(of: root, enforcer: policy.enforcer) { return .refused(refusal) }
        _ = try? Enforcer.recover(
            root, policy: cachePolicy, enforcer: policy.enforcer, ledger: ledger, cancellation: cancellation)
        let reading = ClockReading.now()
        let losses = ledger.losses
        let gathered = gather(reading.time)
        if cancellation.isCancelled { return nil }
        guard let cache = gathered.first else { return .failed("the cache cannot be read") }
        guard let removal = cache.removal(of: repo, commit, cache: 0) else { return .absent }
        let enforcer = enforcer(gathered, reading, losses: losses, forgets: true)
        let plan = enforcer.plan(removal)
        // All of it or nothing: half a model serves nobody.
        let keepers = plan.kept.flatMap(\.reasons)
        guard keepers.isEmpty else { return .kept(keepers) }
        let names = EventNames(caches: gathered)
        let outcome = enforcer.remove(plan, of: removal) { event in
            switch event {
            case .removed(let action, let bytes): say(names.removed(action, bytes: bytes))
            case .kept(let action, let reasons): say(names.kept(action, reasons))
            case .failed(let action, let message): say(names.failed(action, message))
            }
        }
        if cancellation.isCancelled { return nil }
        let met = outcome.further.compactMap { entry -> [Kept]? in
            if case .kept(let reasons) = entry.outcome { reasons } else { nil }
        }
        let kept = (outcome.kept.map(\.reasons) + met).flatMap(\.self)
        if let failure = outcome.failed.first { return .failed(failure.message) }
        for entry in outcome.further { if case .failed(let message, _) = entry.outcome { return .failed(message) } }
        if outcome.isCancelled { return .failed("the ledger was lost meanwhile; try again") }
        return kept.isEmpty ? .removed(bytes: outcome.removedBytes()) : .kept(kept)
    }
}
