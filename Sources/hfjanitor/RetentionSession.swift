import CacheScan
import Daemon
import Enforcement
import HubCache
import HubClient
import Ledger
import LinuxIO
import PolicyFile
import Retention
import Verification

/// One run of a command that plans or removes: policy, caches, ledger, and what was found.
struct RetentionSession {
    let policy: Policy
    let now: Timestamp
    let enforcer: Enforcer
    private var resolver: TargetResolver
    private let absentDefault: BytePath?
    private let ledger: Ledger
    /// Held by one who acts by rules.
    private let lock: PassLock?

    var gathered: [GatheredCache] { enforcer.caches }

    /// Looks at everything.
    ///
    /// - Parameters:
    ///   - room: so much has to be free above the floor.
    ///   - filesystem: where; nil for everywhere.
    ///   - spared: a repo that is being fetched.
    ///   - isActing: whether something is to be removed: what an earlier run left half done is dealt with first.
    ///   - needsMemory: whether rules decide: much of what keeps is only remembered, so that without memory nothing goes.
    /// - Throws: `CommandFailure`.
    init(
        _ options: CacheChoice, at: PlanTime? = nil, room: UInt64? = nil, on filesystem: UInt64? = nil,
        sparing spared: RepoID? = nil, isActing: Bool = false, needsMemory: Bool = false
    ) throws {
        let opened = try OpenedCaches(options, needing: .rules)
        policy = opened.loaded.policy
        absentDefault = opened.absentDefault
        resolver = TargetResolver(opened)
        let ledger = openLedger(besides: opened.roots)
        self.ledger = ledger
        let hasFolder = LedgerLocation.directory(environment: Terminal.environment) != nil
        if needsMemory, let refusal = Enforcer.memoryRefusal(ledger, for: opened.roots, hasFolder: hasFolder) {
            throw CommandFailure(status: .cannotRead, message: refusal)
        }
        lock = needsMemory ? PassLock(opened.roots) : nil
        if needsMemory, lock == nil {
            throw CommandFailure(
                status: .busy, message: "another pass is at work on this cache; try again when it is done")
        }
        Interruption.install()
        raiseDescriptorLimit()
        if isActing { try Self.recover(opened, ledger) }
        let reading = ClockReading.now()
        now = at?.time(now: reading.time) ?? reading.time
        let progress = VerificationProgress()
        let line = ProgressLine(progress, isShown: Terminal.hasProgress)
        defer {
            line.end()
            while let problem = ledger.takeProblem() { Terminal.complain(displayText(of: problem)) }
        }
        AnnouncedReads.begin([], depth: .structure, socket: nil)
        let losses = ledger.losses
        // What was opened of late, or was whole once, is not known any more: that is for a person to hear first.
        if needsMemory, losses > 0 {
            throw CommandFailure(
                status: .cannotRead,
                message:
                    "what the ledger remembered was lost, so nothing is removed now; run it again to go on without it"
            )
        }
        let gatherer = FactsGatherer(
            ledger: ledger, memory: Memory(ledger), progress: progress, cancellation: Interruption.cancellation)
        var caches: [GatheredCache] = []
        for root in opened.roots where filesystem == nil || root.filesystem.id == filesystem {
            do throws(SystemCallFailure) {
                caches.append(
                    try gatherer.gather(root, policy: opened.policy(of: root), of: policy, now: now))
            } catch {
                throw CommandFailure(
                    status: error.isPermission ? .permission : .cannotRead,
                    message: "cannot read the cache '\(root.path.display)': \(error.reason)")
            }
        }
        if let spared { for index in caches.indices { caches[index].spare(spared) } }
        if Interruption.cancellation.isCancelled { throw CommandFailure(status: .interrupted, message: "interrupted") }
        if let refusal = caches.compactMap({ Enforcer.floorRefusal(of: $0.facts) }).first {
            throw CommandFailure(status: .policy, message: refusal)
        }
        var settings = Enforcer.Settings(policy: policy, now: now)
        settings.room = room
        settings.lookedAt = reading.time
        settings.ledgerLosses = losses
        settings.formerPolicies = Self.formerPins(
            of: opened.loaded, scope: opened.policyScope, in: ledger, at: reading.time)
        if at == nil {
            settings.clock = ledger.judge(reading, by: caches, forgets: isActing)
        }
        enforcer = Enforcer(
            caches: caches, settings: settings, ledger: ledger, cancellation: Interruption.cancellation)
    }

    /// Finishes or undoes what an earlier run was killed in the middle of.
    private static func recover(_ opened: OpenedCaches, _ ledger: Ledger) throws {
        for root in opened.roots {
            do throws(SystemCallFailure) {
                try Enforcer.recover(
                    root, policy: opened.policy(of: root), enforcer: opened.loaded.policy.enforcer, ledger: ledger,
                    cancellation: Interruption.cancellation
                ).forEach { Terminal.complain($0.text) }
            } catch {
                throw CommandFailure(
                    status: error.isPermission ? .permission : .cannotRead,
                    message: "cannot read the cache '\(root.path.display)': \(error.reason)")
            }
        }
    }

    /// The policies before this one, of which only the pins count here: a command acts on the file as it stands, but an emptied or
    /// shortened file takes no pin away at once.
    private static func formerPins(
        of loaded: LoadedPolicy, scope: String, in ledger: Ledger, at time: Timestamp
    ) -> [FormerPolicy] {
        FormerPolicies.note(loaded.policy, scope: scope, in: ledger, at: time)
        return FormerPolicies.remembered(before: loaded.policy, scope: scope, in: ledger, at: time).map { former in
            var pinning = former
            pinning.policy = loaded.policy
            pinning.policy.editGrace = former.policy.editGrace
            pinning.policy.pins = former.policy.pins
            return pinning
        }
    }

    /// Says which default cache is not there yet.
    func sayWhatIsAbsent() {
        if let absentDefault { Terminal.complain("there is no cache yet at '\(absentDefault.display)'") }
    }

    /// What TARGETs mean: revisions, and repos as a whole.
    ///
    /// - Throws: `CommandFailure`.
    mutating func removal(named targets: [String], overrides: Overrides = .none) throws -> NamedRemoval {
        var removal = NamedRemoval(overrides: overrides)
        for target in targets {
            switch try resolver.resolve(target) {
            case .repo(let cache, let id, let commit):
                guard let place = place(of: resolver.roots[cache]) else {
                    throw CommandFailure(
                        status: .usage,
                        message: "'\(displayText(of: target))' is in no cache that is looked at; pass --cache")
                }
                try add(id, commit, cache: place, to: &removal)
            case .cache:
                throw CommandFailure(
                    status: .usage,
                    message: "'\(displayText(of: target))' is a whole cache: name the repos or revisions")
            case .folder:
                throw CommandFailure(
                    status: .usage, message: "'\(displayText(of: target))' is a plain folder, not part of a cache")
            }
        }
        return removal
    }

    private func add(_ id: RepoID, _ commit: CommitHash?, cache: Int, to removal: inout NamedRemoval) throws {
        if let commit {
            guard let item = gathered[cache].item(of: commit, in: id, cache: cache) else {
                throw CommandFailure(status: .absent, message: "no revision \(commit.hex) of \(id) here any more")
            }
            if !removal.items.contains(item) { removal.items.append(item) }
            return
        }
        if removal.repos.contains(where: { $0.cache == cache && $0.repo == id }) { return }
        removal.repos.append((cache, id))
        for item in gathered[cache].items(of: id, cache: cache) where !removal.items.contains(item) {
            removal.items.append(item)
        }
    }

    /// - Throws: `CommandFailure` 73 where nothing can be removed from any of these caches, as nothing can be written there.
    func requireWritable(_ caches: Set<Int>) throws {
        let places = caches.sorted().map { gathered[$0].root }
        guard !places.isEmpty, places.allSatisfy(\.filesystem.isReadOnly) else { return }
        let list = places.map { "'\($0.path.display)'" }.joined(separator: ", ")
        throw CommandFailure(
            status: .cannotWrite,
            message: "nothing can be removed from \(list): the filesystem is read-only; mount it read-write first")
    }

    private func place(of root: CacheRoot) -> Int? {
        gathered.firstIndex { $0.root.stat.key == root.stat.key }
    }
}
