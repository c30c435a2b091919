internal import CacheScan
internal import HubCache
internal import HubClient
internal import Ledger
internal import LinuxIO
internal import PolicyFile
internal import Repair
internal import Retention
internal import SystemdSupport
internal import Verification

/// When a repo is repaired again.
struct RepairSchedule {
    /// On the monotonic clock; nil: not until it is found otherwise.
    var next: UInt64?
    /// Tries in a row that left something to be tried again.
    var failures = 0
    /// What was wrong when it was last tried.
    var states: [CommitHash: RevisionState] = [:]
}

/// What a repair of one repo needs, as plain values for the worker's thread.
struct RepairOrder: Sendable {
    var ground: TransferGround
    var selection: CacheSelection
    /// Whether somebody asked for it: then it is all that can be repaired, and who fetches it now is waited for.
    var isAsked = false
    /// Whether files are tried that were tried too often.
    var triesAgain = false
}

/// What a repair came to.
struct RepairFindings: Sendable {
    var results: [RepairResult] = []
    /// Why nothing could be tried.
    var problem: String?

    /// Whether something is to be tried again.
    var isToBeTriedAgain: Bool {
        results.contains { result in
            guard case .failed(let failure, let attempt, let attempts) = result.outcome else { return false }
            return !failure.countsAsAttempt || attempt < attempts
        }
    }
}

extension DaemonLoop {
    private static let firstPause = Timers.minute
    private static let longestPause = 60 * Timers.minute

    /// Whether the policy has anything repaired by itself.
    private var repairs: Bool { inForce.policy.repair.refetch != .never && inForce.policy.mode == .enforce }

    /// Notes that a look found something that may be repaired by itself, or that nothing is to be repaired any more.
    func considerRepair(_ look: RepoLook, of cache: WatchedCache, _ now: UInt64) {
        // What is being fetched is looked at again when that is over.
        if look.isLive && !look.isGone { return }
        considerRepair(look.folder, look.isGone ? [:] : look.states, of: cache, now)
    }

    private func considerRepair(
        _ folder: BytePath, _ states: [CommitHash: RevisionState], of cache: WatchedCache, _ now: UInt64
    ) {
        guard states.values.contains(where: { $0 == .partial || $0 == .corrupt }) else {
            forgetRepair(of: folder, in: cache)
            return
        }
        guard repairs, cache.repairs[folder]?.states != states else { return }
        cache.repairs[folder] = RepairSchedule(next: now, states: states)
    }

    /// Takes that nothing of a repo is to be repaired any more, whoever did it.
    func forgetRepair(of folder: BytePath, in cache: WatchedCache) {
        cache.repairs[folder] = nil
        clear(repairCondition(folder, cache), saying: nil)
    }

    /// Takes another policy: what is broken already is considered anew.
    func planRepairs(of cache: WatchedCache) {
        cache.repairs = [:]
        if !repairs { cache.repairCancellation?.cancel() }
        let now = monotonicNanoseconds()
        for (folder, repo) in cache.repos where cache.live[folder] == nil {
            considerRepair(folder, repo.states, of: cache, now)
        }
    }

    /// Whether anything can be repaired now.
    func mayRepair(_ cache: WatchedCache) -> Bool {
        repairs && !cache.isRepairing && cache.presence == .present && cache.isInventoryDone && !cache.isReadOnly
            && !cache.isUnresponsive && !isForeign(cache)
    }

    /// Root works in its own caches only.
    func isForeign(_ cache: WatchedCache) -> Bool { effectiveUser() == 0 && cache.owner != 0 }

    func repairIfDue(_ cache: WatchedCache, _ now: UInt64) {
        guard mayRepair(cache),
            let due = cache.repairs.filter({ $0.value.next ?? .max <= now }).min(by: { $0.key < $1.key })
        else { return }
        let folder = due.key
        cache.repairs[folder]?.next = nil
        if cache.repairer == nil { cache.repairer = try? Worker(name: "repair") }
        guard let id = RepoID(folder: folder), let looker = looker(cache), let worker = cache.repairer else {
            cache.repairs[folder]?.next = now &+ Self.firstPause
            return
        }
        let transfer = Transfer(.repair, isOwn: true, in: cache, repo: id, revision: nil, within: cancellation)
        transfer.accept()
        transfers.begin(transfer, now)
        let cancellation = transfer.cancellation
        cache.repairCancellation = cancellation
        let order = RepairOrder(
            ground: ground(of: transfer, in: cache, looker, account(nil)), selection: .repo(id, nil))
        cache.isRepairing = true
        let (mailbox, task) = (mailbox, transfer.task)
        hand(
            worker, { order.run { event in mailbox.post { loop in loop.say(event) } } },
            then: { [number = cache.number] loop, found in
                if let transfer = loop.transfer(task) {
                    loop.conclude(transfer, found)
                    loop.end(transfer, look: nil, isKept: !found.results.isEmpty)
                }
                guard let cache = loop.caches.first(where: { $0.number == number }) else { return }
                cache.isRepairing = false
                cache.repairCancellation = nil
                if !cancellation.isCancelled { loop.take(found, of: folder, in: cache) }
            })
    }

    private func repairCondition(_ folder: BytePath, _ cache: WatchedCache) -> Condition.Identity {
        Condition.Identity(scope: cache.path.display, code: "repair-failed", subject: folder.display)
    }

    private func take(_ found: RepairFindings, of folder: BytePath, in cache: WatchedCache) {
        counters.count(found.results)
        let identity = repairCondition(folder, cache)
        let failures = found.results.compactMap { result -> (FileOfRepo, RepairFailure)? in
            guard case .failed(let failure, _, _) = result.outcome else { return nil }
            // Others are at work: that is no failure, and is tried again.
            let isBusy = [.alreadyDownloading, .downloadLimitReached, .inUse].contains(failure.code)
            return isBusy ? nil : (result.item.file, failure)
        }
        if let (file, failure) = failures.first {
            raise(
                Condition(
                    identity,
                    event: JournalEvent(
                        .downloadFailed,
                        "\(file.repo): \(failures.count) file\(failures.count == 1 ? "" : "s") could not be repaired: "
                            + "\(file.path.display): \(displayText(of: failure.message)); "
                            + "'hfjanitor repair \(file.repo)' tries again at once",
                        EventFields(
                            cache: cache.root, repo: file.repo.description, revision: file.commit, path: file.path,
                            blob: file.etag.isEmpty ? nil : file.etag, code: failure.code?.rawValue ?? "error"))))
        } else if let problem = found.problem {
            let repo = RepoID(folder: folder)?.description ?? folder.display
            raise(
                Condition(
                    identity,
                    event: JournalEvent(
                        .downloadFailed, "\(repo): nothing could be repaired: \(displayText(of: problem))",
                        EventFields(cache: cache.root, repo: repo, code: "error"))))
        } else {
            clear(identity, saying: nil)
        }
        guard found.isToBeTriedAgain || found.problem != nil, let known = cache.repairs[folder] else { return }
        let pause = min(Self.longestPause, Self.firstPause << UInt64(min(known.failures, 6)))
        cache.repairs[folder]?.failures = known.failures + 1
        cache.repairs[folder]?.next = monotonicNanoseconds() &+ pause
    }
}

extension RepairOrder {
    /// Repairs what may be repaired by itself, on a worker's thread.
    func run(say: @escaping @Sendable (JournalEvent) -> Void) -> RepairFindings {
        do {
            let looker = ground.looker
            let root = try looker.openRoot()
            guard looker.mayChange(root) else { return RepairFindings() }
            let report = try Verifier(
                root: root, options: VerificationOptions(depth: .headers, jobs: 1), memory: Memory(looker.ledger),
                cancellation: ground.cancellation
            ).verify(selection)
            guard var report, !ground.cancellation.isCancelled else { return RepairFindings() }
            if !isAsked { keepOurs(in: &report, looker.ledger.completeOnce(cache: root.path)) }
            var settings = ground.settings(on: root, say)
            // Who fetches it now makes it right, or it is looked at again.
            if !isAsked { settings.longestWait = .zero }
            settings.event = { event in
                if let told = Self.event(event, in: root.path) { say(told) }
            }
            let repairer = Repairer(
                root: root, others: ground.otherRoots, settings: settings, ledger: looker.ledger,
                progress: ground.progress, cancellation: ground.cancellation)
            let plan = repairer.plan(report, triesAgain: triesAgain).filter { item in
                if isAsked { return true }
                if case .leave = item.action { return false }
                return ground.policy.repair.refetch == .corrupt || item.isMissing
            }
            if plan.isEmpty { return RepairFindings() }
            return RepairFindings(results: repairer.repair(plan, from: try ground.client()))
        } catch {
            return RepairFindings(problem: "\(error)")
        }
    }

    /// Leaves in a report what may be repaired by itself.
    private func keepOurs(in report: inout CacheReport, _ whole: [String: Set<CommitHash>]) {
        for index in report.repos.indices {
            let (folder, id) = (report.repos[index].folder, report.repos[index].repo)
            report.repos[index].revisions.removeAll { !isOurs($0, of: id, whole[folder.text] ?? []) }
            // Names of nothing that no revision misses are no download.
            report.repos[index].findings = []
        }
    }

    /// Whether a revision is one that is fetched again by itself: it was whole once, or somebody pinned it.
    private func isOurs(_ revision: RevisionReport, of id: RepoID?, _ whole: Set<CommitHash>) -> Bool {
        guard let commit = revision.commit, revision.state == .partial || revision.state == .corrupt else {
            return false
        }
        guard let id else { return false }
        return whole.contains(commit)
            || ground.policy.pins.contains { $0.names(commit, withRefs: revision.refs, of: id) }
    }

    private static func event(_ event: RepairEvent, in cache: BytePath) -> JournalEvent? {
        func fields(_ file: FileOfRepo, _ bytes: UInt64?) -> EventFields {
            EventFields(
                cache: cache, repo: file.repo.description, revision: file.commit, path: file.path, blob: file.etag,
                bytes: bytes)
        }
        switch event {
        case .downloadStarted(let file, let bytes, let present):
            let rest = present > 0 ? ", \(formatBytes(present)) of it are here" : ""
            return JournalEvent(
                .downloadStarted,
                "\(file.repo): fetching \(file.path.display), \(formatBytes(bytes))\(rest)", fields(file, bytes))
        case .downloadJoined(let file):
            return JournalEvent(
                .downloadJoined, "\(file.repo): \(file.path.display) is being fetched by another process",
                fields(file, nil))
        case .downloadFinished(let file, let bytes, let duration):
            var found = fields(file, bytes)
            found.durationMicroseconds = UInt64(max(0, duration / .microseconds(1)))
            return JournalEvent(
                .downloadFinished, "\(file.repo): fetched \(file.path.display), \(formatBytes(bytes))", found)
        // Told once, as a condition, and not at every try.
        case .downloadFailed, .installed: return nil
        case .repaired(let file, let means, let bytes):
            var found = fields(file, bytes)
            found.reason = means.rawValue
            return JournalEvent(
                .repaired, "\(file.repo): \(file.path.display) is right again: \(means.rawValue)", found)
        }
    }
}
