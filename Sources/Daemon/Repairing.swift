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
    var looker: Looker
    var others: [BytePath]
    var folder: BytePath
    var id: RepoID
    var policy: Policy
    var cachePolicy: CachePolicy
    var hub: HubEnvironment
    var token: HubToken?
    var health: HubHealth
    /// Makes room before a download is refused; nil where the policy only observes.
    var room: PassOrder?
    var version: String
    var cancellation: Cancellation
}

/// What a repair came to.
struct RepairFindings: Sendable {
    var results: [RepairResult] = []
    /// Why nothing could be tried.
    var problem: String?

    /// Whether something is to be tried again.
    var isToBeTriedAgain: Bool {
        results.contains { result in
            if case .failed(_, let attempt, let attempts) = result.outcome { attempt < attempts } else { false }
        }
    }
}

extension DaemonLoop {
    private static let firstPause = Timers.minute
    private static let longestPause = 60 * Timers.minute

    /// Notes that a look found something that may be repaired by itself.
    func considerRepair(_ look: RepoLook, of cache: WatchedCache, _ now: UInt64) {
        let isWrong = look.states.values.contains { $0 == .partial || $0 == .corrupt }
        guard isWrong, !look.isGone, inForce.policy.repair.refetch != .never, inForce.policy.mode == .enforce else {
            cache.repairs[look.folder] = nil
            return
        }
        // What is being fetched is looked at again when that is over.
        if look.isLive { return }
        let known = cache.repairs[look.folder]
        if let known, known.states == look.states { return }
        cache.repairs[look.folder] = RepairSchedule(next: now, states: look.states)
    }

    func repairIfDue(_ cache: WatchedCache, _ now: UInt64) {
        guard !cache.isRepairing, cache.presence == .present, cache.isInventoryDone, !cache.isReadOnly,
            let due = cache.repairs.filter({ $0.value.next ?? .max <= now }).min(by: { $0.key < $1.key })
        else { return }
        let folder = due.key
        cache.repairs[folder]?.next = nil
        guard inForce.policy.repair.refetch != .never, inForce.policy.mode == .enforce,
            let id = RepoID(folder: folder), let looker = looker(cache),
            // Root works in its own caches only.
            effectiveUser() != 0 || cache.owner == 0
        else { return }
        if cache.repairer == nil { cache.repairer = try? Worker(name: "repair") }
        guard let worker = cache.repairer else { return }
        let group = cache.filesystem
        let order = RepairOrder(
            looker: looker, others: caches.filter { $0 !== cache && $0.presence == .present }.map(\.path),
            folder: folder, id: id, policy: inForce.policy, cachePolicy: cache.policy, hub: setup.hub,
            token: setup.token, health: hubHealth,
            room: passOrder(for: caches.filter { $0.filesystem == group && $0.presence == .present }),
            version: setup.version, cancellation: cancellation)
        cache.isRepairing = true
        let mailbox = mailbox
        hand(
            worker, of: cache, { order.run { event in mailbox.post { loop in loop.say(event) } } },
            then: { loop, cache, found in
                cache.isRepairing = false
                loop.take(found, of: folder, in: cache)
            })
    }

    private func take(_ found: RepairFindings, of folder: BytePath, in cache: WatchedCache) {
        let identity = Condition.Identity(
            scope: cache.path.display + "\n" + folder.display, code: "repair-failed")
        guard !cancellation.isCancelled else { return }
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
        } else if found.problem == nil {
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
            let root = try looker.openRoot()
            guard looker.mayChange(root) else { return RepairFindings() }
            let report = try Verifier(
                root: root, options: VerificationOptions(depth: .headers, jobs: 1), memory: Memory(looker.ledger),
                cancellation: cancellation
            ).verify(.repo(id, nil))
            guard var report, !cancellation.isCancelled else { return RepairFindings() }
            let whole = looker.ledger.completeOnce(cache: root.path)[folder.text] ?? []
            for index in report.repos.indices {
                report.repos[index].revisions.removeAll { !isOurs($0, whole) }
                // Names of nothing that no revision misses are no download.
                report.repos[index].findings = []
            }
            var settings = RepairSettings(policy, of: cachePolicy, on: root)
            // Who fetches it now makes it right, or it is looked at again.
            settings.longestWait = .zero
            settings.event = { event in
                if let told = Self.event(event, in: root.path) { say(told) }
            }
            if let room {
                settings.makeRoom = { bytes in
                    var order = room
                    order.room = bytes
                    _ = order.run(acts: true, say: say)
                }
            }
            let others = others.compactMap { try? CacheRoot(opening: $0) }
            let repairer = Repairer(
                root: root, others: others, settings: settings, ledger: looker.ledger, cancellation: cancellation)
            let plan = repairer.plan(report).filter { item in
                if case .leave = item.action { return false }
                return policy.repair.refetch == .corrupt || item.isMissing
            }
            if plan.isEmpty { return RepairFindings() }
            var hubSettings = HubSettings()
            hubSettings.userAgent = "hfjanitor/\(version)"
            let client = HubClient(
                environment: hub, endpoints: try policy.repair.hubEndpoints(besides: hub), token: token,
                health: health, settings: hubSettings)
            return RepairFindings(results: repairer.repair(plan, from: client))
        } catch {
            return RepairFindings(problem: "\(error)")
        }
    }

    /// Whether a revision is one that is fetched again by itself: it was whole once, or somebody pinned it.
    private func isOurs(_ revision: RevisionReport, _ whole: Set<CommitHash>) -> Bool {
        guard let commit = revision.commit, revision.state == .partial || revision.state == .corrupt else {
            return false
        }
        return whole.contains(commit) || policy.pins.contains { $0.names(commit, withRefs: revision.refs, of: id) }
    }

    private static func event(_ event: RepairEvent, in cache: BytePath) -> JournalEvent? {
        func fields(_ file: FileOfRepo, _ bytes: UInt64?) -> EventFields {
            EventFields(
                cache: cache, repo: file.repo.description, revision: file.commit, path: file.path, blob: file.etag,
                bytes: bytes)
        }
        switch event {
        case .downloadStarted(let file, let bytes, let present):
            let rest = present > 0 ? ", \(ByteWords.text(present)) of it are here" : ""
            return JournalEvent(
                .downloadStarted,
                "\(file.repo): fetching \(file.path.display), \(ByteWords.text(bytes))\(rest)", fields(file, bytes))
        case .downloadJoined(let file):
            return JournalEvent(
                .downloadJoined, "\(file.repo): \(file.path.display) is being fetched by another process",
                fields(file, nil))
        case .downloadFinished(let file, let bytes, let duration):
            var found = fields(file, bytes)
            found.durationMicroseconds = UInt64(max(0, duration / .microseconds(1)))
            return JournalEvent(
                .downloadFinished, "\(file.repo): fetched \(file.path.display), \(ByteWords.text(bytes))", found)
        // Told once, as a condition, and not at every try.
        case .downloadFailed: return nil
        case .repaired(let file, let means, let bytes):
            var found = fields(file, bytes)
            found.reason = means.rawValue
            return JournalEvent(
                .repaired, "\(file.repo): \(file.path.display) is right again: \(means.rawValue)", found)
        }
    }
}
