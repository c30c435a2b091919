import CacheScan
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

    var gathered: [GatheredCache] { enforcer.caches }

    /// Looks at everything.
    ///
    /// - Throws: `CommandFailure`.
    init(_ options: CacheOptions, at: PlanTime? = nil, room: UInt64? = nil) throws {
        let opened = try OpenedCaches(options)
        policy = opened.policy
        absentDefault = opened.absentDefault
        resolver = TargetResolver(opened)
        let ledger = OpenedLedger.ledger(besides: opened.roots)
        self.ledger = ledger
        Interruption.install()
        raiseDescriptorLimit()
        let reading = ClockReading.now()
        now = at?.time(now: reading.time) ?? reading.time
        let progress = VerificationProgress()
        let line = ProgressLine(progress, isShown: Terminal.hasProgress)
        defer {
            line.end()
            while let problem = ledger.takeProblem() { Terminal.complain(displayText(of: problem)) }
        }
        let gatherer = FactsGatherer(
            ledger: ledger, memory: Memory(ledger), progress: progress, cancellation: Interruption.cancellation)
        var caches: [GatheredCache] = []
        for root in opened.roots {
            do throws(SystemCallFailure) {
                caches.append(
                    try gatherer.gather(root, policy: opened.policy(of: root), of: policy, now: now))
            } catch {
                throw CommandFailure(
                    status: error.isPermission ? .permission : .cannotRead,
                    message: "cannot read the cache '\(root.path.display)': \(error.reason)")
            }
        }
        if Interruption.cancellation.isCancelled { throw CommandFailure(status: .interrupted, message: "interrupted") }
        var settings = Enforcer.Settings(policy: policy, now: now)
        settings.room = room
        settings.formerPolicy = opened.formerPolicy(in: ledger, now: reading.time)
        if at == nil {
            let youngest = caches.flatMap(\.facts.revisions).map(\.youngestChange).max()
            let isSynchronised = clockIsSynchronised()
            settings.clock = reading.trust(
                earlier: ledger.lastClock, isSynchronised: isSynchronised, youngest: youngest)
            ledger.note(clock: reading, isTrusted: isSynchronised ?? false)
        }
        let hub = HubQuestioner(environment: Terminal.environment, cancellation: Interruption.cancellation)
        enforcer = Enforcer(
            caches: caches, settings: settings, ledger: ledger, cancellation: Interruption.cancellation,
            askHub: hub.ask)
    }

    /// Says which default cache is not there yet.
    func sayWhatIsAbsent() {
        if let absentDefault { Terminal.complain("there is no cache yet at '\(absentDefault.display)'") }
    }

    /// The items that TARGETs mean: of a repo all of them.
    ///
    /// - Throws: `CommandFailure`.
    mutating func items(named targets: [String]) throws -> [Item] {
        try selection(named: targets).items
    }

    /// The items that TARGETs mean, and the repos that are meant as a whole.
    ///
    /// - Throws: `CommandFailure`.
    mutating func selection(named targets: [String]) throws -> RemovalSelection {
        var selection = RemovalSelection()
        for target in targets {
            switch try resolver.resolve(target) {
            case .repo(let cache, let id, let commit):
                guard let place = place(of: resolver.roots[cache]) else {
                    throw CommandFailure(
                        status: .usage,
                        message: "'\(displayText(of: target))' is in no cache that is looked at; pass --cache")
                }
                try selection.add(id, commit, cache: place, in: gathered[place])
            case .cache:
                throw CommandFailure(
                    status: .usage,
                    message: "'\(displayText(of: target))' is a whole cache: name the repos or revisions")
            case .folder:
                throw CommandFailure(
                    status: .usage,
                    message: "'\(displayText(of: target))' is a plain folder, not part of a cache")
            }
        }
        return selection
    }

    private func place(of root: CacheRoot) -> Int? {
        gathered.firstIndex { $0.root.stat.key == root.stat.key }
    }
}
