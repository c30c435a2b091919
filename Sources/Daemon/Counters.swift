internal import CacheWatch
public import HubCache
internal import Ledger
internal import LinuxIO
internal import Repair
internal import Retention
internal import SystemdSupport

/// What has happened since the daemon began.
struct Counters {
    var removals: [String: (items: UInt64, bytes: UInt64)] = [:]
    var repairs: [DaemonNumbers.RepairOutcome: (files: UInt64, bytes: UInt64)] = [:]
    /// How long it took from the last change that was judged to the verdict, on the monotonic clock.
    var lastLag: UInt64?

    mutating func count(_ event: JournalEvent) {
        guard event.kind == .removed else { return }
        let rule = event.fields.rule ?? ""
        let known = removals[rule] ?? (0, 0)
        removals[rule] = (known.items + 1, known.bytes &+ (event.fields.bytes ?? 0))
    }

    /// Counts what became of files that were to be repaired by themselves.
    mutating func count(_ results: [RepairResult]) {
        for result in results {
            var bytes: UInt64 = 0
            let outcome: DaemonNumbers.RepairOutcome
            switch result.outcome {
            case .repaired(.fetched, let fetched): (outcome, bytes) = (.fetched, fetched)
            case .repaired(.copied, let copied): (outcome, bytes) = (.copied, copied)
            case .repaired: outcome = .relinked
            case .asPublished: outcome = .asPublished
            case .failed: outcome = .failed
            case .left: continue
            }
            let known = repairs[outcome] ?? (0, 0)
            repairs[outcome] = (known.files + 1, known.bytes &+ bytes)
        }
    }
}

/// The numbers of a daemon.
public struct DaemonNumbers: Sendable {
    /// What is stored, of one type in one state.
    public struct Stored: Sendable {
        /// The cache's id.
        public var cache: String
        /// `model`, `dataset`, …
        public var type: String
        /// The repos' state; nil: of those of which no revision is here.
        public var state: RevisionState?
        /// Repos.
        public var repos: Int
        /// Bytes on the disk.
        public var bytes: UInt64
    }

    /// A cache, besides what its status says.
    public struct Cache: Sendable {
        /// Its id.
        public var cache: String
        /// Bytes that its filesystem has; nil: not known yet.
        public var totalBytes: UInt64?
        /// Room is made until so much is free; nil: there is no floor.
        public var targetBytes: UInt64?
        /// Below this own downloads are refused; nil: not known yet.
        public var criticalBytes: UInt64?
        /// Bytes that a pass could not free, though the floor wants them.
        public var missingBytes: UInt64
        /// Downloads under way.
        public var downloads: Int
        /// Whether it is there and answers.
        public var isUp: Bool
        /// Whether changes in it may be noticed late.
        public var isWatchDegraded: Bool
    }

    /// What a rule removed.
    public struct Removals: Sendable {
        /// Its name.
        public var rule: String
        /// Items.
        public var items: UInt64
        /// Bytes.
        public var bytes: UInt64
    }

    /// What became of a file that was to be repaired by itself.
    public enum RepairOutcome: String, Sendable, Hashable, CaseIterable {
        /// It came from the Hub.
        case fetched
        /// It came from elsewhere on this machine.
        case copied
        /// Its content was here; the name was not, or was one for nothing.
        case relinked
        /// The Hub has it as it is here.
        case asPublished = "as-published"
        /// It was tried in vain.
        case failed
    }

    /// Repairs of one outcome.
    public struct Repairs: Sendable {
        /// What became of them.
        public var outcome: RepairOutcome
        /// Files.
        public var files: UInt64
        /// Bytes that were brought in.
        public var bytes: UInt64
    }

    /// Findings of one code.
    public struct Findings: Sendable {
        /// The cache's id.
        public var cache: String
        /// The code.
        public var code: FindingCode
        /// How many hold.
        public var count: Int
    }

    /// What the daemon is doing.
    public var status: DaemonStatus
    /// The caches, in the order of the status.
    public var caches: [Cache]
    /// What is stored.
    public var stored: [Stored]
    /// What was removed since the daemon began, by the policy's rules and others.
    public var removals: [Removals]
    /// What was repaired since the daemon began, every outcome.
    public var repairs: [Repairs]
    /// What is wrong, every code of an error or a warning.
    public var findings: [Findings]
    /// Which conditions hold, besides findings, by their codes.
    public var conditions: [String: Int]
    /// Whether there is a memory that can be believed and written to.
    public var isLedgerAvailable: Bool
    /// Seconds from the last change that was judged to the verdict.
    public var lastLag: Double?
}

extension DaemonLoop {
    /// The conditions that are always told of, whether they hold or not.
    private static let usualConditions =
        [
            "absent", "critical-free", "eviction-ineffective", "floor-breached", "floor-foreseen", "floor-unreachable",
            "ledger-unavailable", "listed-twice", "local-dir", "metrics-listen", "notify-failed", "pass-busy",
            "policy-rejected",
            "read-only",
            "repair-failed", "unreadable", "unresponsive",
        ] + WatchDegradation.allCases.map(\.code)

    var numbers: DaemonNumbers {
        var stored: [DaemonNumbers.Stored] = []
        var findings: [DaemonNumbers.Findings] = []
        for cache in caches {
            var sums: [RepoType: [RevisionState?: (repos: Int, bytes: UInt64)]] = [:]
            for (folder, repo) in cache.repos {
                guard let type = RepoID(folder: folder)?.type else { continue }
                let known = sums[type]?[repo.state] ?? (0, 0)
                sums[type, default: [:]][repo.state] = (known.repos + 1, known.bytes &+ repo.bytes)
            }
            for type in RepoType.allCases {
                for state in RevisionState.allCases.map(Optional.some) + [nil] {
                    let sum = sums[type]?[state] ?? (0, 0)
                    stored.append(
                        .init(cache: cache.id, type: type.rawValue, state: state, repos: sum.repos, bytes: sum.bytes))
                }
            }
            var counts: [FindingCode: Int] = [:]
            for (_, thing) in book.found(in: cache.root ?? cache.path) + localFindings(cache) {
                counts[thing.finding.code, default: 0] += 1
            }
            for code in FindingCode.allCases where code.severity > .info {
                findings.append(.init(cache: cache.id, code: code, count: counts[code] ?? 0))
            }
        }
        var open = Dictionary(uniqueKeysWithValues: Self.usualConditions.map { ($0, 0) })
        for entry in conditions.open where entry.condition.identity.code != "observe" {
            open[entry.condition.identity.code, default: 0] += 1
        }
        var removals = Dictionary(
            inForce.policy.rules.map { ($0.name, (items: UInt64(0), bytes: UInt64(0))) },
            uniquingKeysWith: { first, _ in first })
        removals.merge(counters.removals) { $1 }
        return DaemonNumbers(
            status: currentStatus, caches: caches.map(numbers), stored: stored,
            removals: removals.sorted { $0.key < $1.key }.map {
                .init(rule: $0.key, items: $0.value.items, bytes: $0.value.bytes)
            },
            repairs: DaemonNumbers.RepairOutcome.allCases.map { outcome in
                let known = counters.repairs[outcome] ?? (0, 0)
                return .init(outcome: outcome, files: known.files, bytes: known.bytes)
            }, findings: findings, conditions: open, isLedgerAvailable: ledger.availability == .readWrite,
            lastLag: counters.lastLag.map { Double($0) / 1e9 })
    }

    private func numbers(of cache: WatchedCache) -> DaemonNumbers.Cache {
        let isKnown = cache.space.free != nil
        let unreachable = cache.filesystem.flatMap { group in
            conditions.open.first {
                $0.condition.identity == .init(scope: "filesystem \(group)", code: "floor-unreachable")
            }
        }
        return DaemonNumbers.Cache(
            cache: cache.id, totalBytes: isKnown ? cache.space.total : nil,
            targetBytes: isKnown ? cache.policy.targetFreeBytes(of: cache.space.total) : nil,
            criticalBytes: isKnown ? cache.space.critical(cache.policy) : nil,
            missingBytes: unreachable?.condition.event.fields.bytes ?? 0,
            downloads: cache.repos.values.reduce(0) { $0 + $1.downloads.count },
            isUp: cache.presence == .present && !cache.isUnresponsive, isWatchDegraded: !cache.degradations.isEmpty)
    }
}
