internal import CacheScan
internal import Enforcement
internal import HubCache
internal import HubClient
internal import Ledger
internal import LinuxIO
internal import Retention
internal import SystemdSupport
internal import Verification

// One pass, on a worker's thread: facts, plan, and what is done.
extension PassOrder {
    /// - Parameters:
    ///   - acts: whether to carry the plan out; else only what it would do is found out.
    ///   - say: is told of every item, as it happens.
    /// - Returns: nil when no cache can be read.
    /// - Throws: `PassBusy` when it would act while somebody else does.
    func run(acts: Bool, say: @escaping @Sendable (JournalEvent) -> Void) throws(PassBusy) -> PassFindings? {
        let reading = ClockReading.now()
        let losses = ledger.losses
        let opened = openRoots()
        // Somebody else's pass is as good as ours; the next look at the floor tells whether it was enough.
        // Without a memory that can be believed it says what it would do, and does nothing.
        let refusal = Enforcer.memoryRefusal(ledger, for: opened.map(\.root), hasFolder: true)
        let acts = acts && refusal == nil
        let lock = acts ? PassLock(opened.map(\.root)) : nil
        if acts && lock == nil { throw PassBusy() }
        defer { withExtendedLifetime(lock) {} }
        catchUp()
        var gathered = gather(opened, reading.time)
        if let spared { for index in gathered.indices { gathered[index].spare(spared) } }
        if cancellation.isCancelled || gathered.isEmpty { return nil }
        // Measured as late as what is free: else what came meanwhile counts twice.
        let remaining = opened.reduce(UInt64(0)) { $0 &+ SpaceLook.remaining(of: $1.downloads, in: $1.root) }
        let hasFloor = opened.contains { $0.policy.minFree != nil }
        let room = self.room &+ (hasFloor ? remaining : 0)
        let enforcer = enforcer(gathered, reading, room: room, losses: losses, forgets: true)
        let names = EventNames(caches: gathered)
        guard acts else {
            let plan = enforcer.plan()
            var findings = PassFindings(plan: plan)
            findings.isReached = plan.caches.allSatisfy(\.isReached)
            findings.nextDue = nextDue(gathered, now: reading.time)
            findings.cachePaths = gathered.map(\.facts.path)
            findings.wouldGo = plan.caches.flatMap(\.actions).prefix(Self.mostSaid).map(names.wouldRemove)
            return findings
        }
        let hub = HubQuestioner(
            client: HubClient(environment: hub, token: token, health: health), cancellation: cancellation)
        let report = enforcer.enforce(
            askHub: hub.ask,
            report: { event in
                switch event {
                case .removed(let action, let bytes): say(names.removed(action, bytes: bytes))
                case .kept(let action, let reasons): say(names.kept(action, reasons))
                case .failed(let action, let message): say(names.failed(action, message))
                }
            })
        var findings = PassFindings(plan: report.pass.plan)
        findings.removed = report.pass.removed.count
        findings.removedBytes = report.pass.removedBytes()
        findings.failed = report.pass.failed.count
        findings.isReached = report.isReached
        findings.isCancelled = report.pass.isCancelled
        findings.hubSilence = report.pass.hubSilence
        findings.ineffective = report.ineffective
        findings.nextDue = nextDue(gathered, now: reading.time)
        findings.cachePaths = gathered.map(\.facts.path)
        return findings
    }

    private typealias OpenedCache = (root: CacheRoot, policy: CachePolicy, downloads: [LiveDownload])

    private func openRoots() -> [OpenedCache] {
        caches.compactMap { entry in
            (try? entry.looker.openRoot()).map { ($0, entry.policy, entry.downloads) }
        }
    }

    /// The facts of the caches that can be read.
    func gather(_ time: Timestamp) -> [GatheredCache] { gather(openRoots(), time) }

    private func gather(_ opened: [OpenedCache], _ time: Timestamp) -> [GatheredCache] {
        let gatherer = FactsGatherer(ledger: ledger, memory: Memory(ledger), jobs: 1, cancellation: cancellation)
        return opened.compactMap { try? gatherer.gather($0.root, policy: $0.policy, of: policy, now: time) }
    }

    /// - Parameters:
    ///   - room: bytes that are wanted besides what the policy keeps free.
    ///   - losses: how often the ledger had been lost before the caches were gathered; nil: nothing will be removed.
    ///   - forgets: whether what is old may be forgotten.
    func enforcer(
        _ gathered: [GatheredCache], _ reading: ClockReading, room: UInt64 = 0, losses: Int? = nil, forgets: Bool
    ) -> Enforcer {
        var settings = Enforcer.Settings(policy: policy, now: reading.time)
        if room > 0 { settings.room = room }
        settings.formerPolicies = former
        settings.ledgerLosses = losses
        settings.catchUp = catchUp
        settings.clock = ledger.judge(reading, by: gathered, forgets: forgets)
        return Enforcer(caches: gathered, settings: settings, ledger: ledger, cancellation: cancellation)
    }

    private static let mostSaid = 100

    /// When the next thing comes of the age that a rule or a keeper asks for: an upper bound of how long nothing changes by
    /// itself.
    private func nextDue(_ gathered: [GatheredCache], now: Timestamp) -> Timestamp? {
        var next: Int64?
        func consider(_ start: Timestamp?, _ length: Duration?) {
            guard let start, let length else { return }
            let time = start.nanoseconds &+ length.components.seconds &* 1_000_000_000
            if time > now.nanoseconds, time < next ?? .max { next = time }
        }
        let standing = policy.rules.filter { $0.occasion == .always }
        let ages = Set(standing.compactMap(\.olderThan))
        let unused = Set(standing.compactMap(\.unusedFor))
        guard !standing.isEmpty else { return nil }
        for cache in gathered {
            for revision in cache.facts.revisions {
                for age in ages {
                    consider(revision.arrived, age)
                    consider(revision.supersededAt, age)
                }
                for age in unused { consider(revision.lastUse?.time, age) }
                consider(revision.youngestChange, cache.facts.policy.minAge)
                consider(revision.lastOpen?.time, cache.facts.policy.recentUse)
            }
            for file in cache.facts.files {
                for age in ages { consider(file.stat.modified, age) }
                for age in ages { consider(file.stat.changed, age) }
                consider(file.stat.changed, cache.facts.policy.minAge)
            }
        }
        for former in former {
            consider(former.replacedAt, max(former.policy.editGrace, policy.editGrace))
            consider(former.replacedAt, max(former.policy.announce, policy.announce))
        }
        return next.map { Timestamp(nanoseconds: $0) }
    }
}

/// Events about items of a plan.
struct EventNames: Sendable {
    var caches: [GatheredCache]

    func removed(_ action: PlannedAction, bytes: UInt64) -> JournalEvent {
        event(.removed, action, "removed \(name(action.item)), \(formatBytes(bytes)): \(action.reason.text)", bytes)
    }

    func wouldRemove(_ action: PlannedAction) -> JournalEvent {
        var event = event(
            .kept, action,
            "would remove \(name(action.item)), \(formatBytes(action.bytes)): \(action.reason.text); the mode is observe",
            action.bytes)
        event.fields.code = "observe"
        return event
    }

    func kept(_ action: PlannedAction, _ reasons: [Kept]) -> JournalEvent {
        let why = reasons.map { "\($0.by.rawValue) (\($0.detail))" }.joined(separator: ", ")
        var event = event(.kept, action, "kept \(name(action.item)): \(why)", action.bytes)
        event.fields.reason = why
        event.fields.code = reasons.first?.by.rawValue
        return event
    }

    func failed(_ action: PlannedAction, _ message: String) -> JournalEvent {
        var event = event(.kept, action, "could not remove \(name(action.item)): \(message)", action.bytes)
        event.priority = .error
        event.fields.reason = message
        event.fields.code = "failed"
        return event
    }

    private func event(_ kind: EventKind, _ action: PlannedAction, _ message: String, _ bytes: UInt64) -> JournalEvent {
        let facts = caches[action.item.cache].facts
        var fields = EventFields(cache: facts.path, rule: action.rule, reason: action.reason.text, bytes: bytes)
        switch action.item {
        case .revision(_, let index):
            let revision = facts.revisions[index]
            let repo = facts.repos[revision.repo]
            fields.repo = repo.id.description
            fields.revision = revision.commit
            fields.path = repo.folder.appending("snapshots").appending(revision.commit.hex)
        case .file(_, let index):
            let file = facts.files[index]
            fields.repo = file.repo.map { facts.repos[$0].id.description }
            fields.path = file.path
        }
        return JournalEvent(kind, message, fields)
    }

    private func name(_ item: Item) -> String {
        let facts = caches[item.cache].facts
        switch item {
        case .revision(_, let index):
            let revision = facts.revisions[index]
            return "\(facts.repos[revision.repo].id)@\(revision.commit.hex.prefix(12))"
        case .file(_, let index): return facts.files[index].path.display
        }
    }
}
