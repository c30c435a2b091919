public import HubCache
internal import SystemdSupport

/// What has happened since the daemon began.
struct Counters {
    var removals: [String: (items: UInt64, bytes: UInt64)] = [:]
    /// How long it took from the last change that was judged to the verdict, on the monotonic clock.
    var lastLag: UInt64?

    mutating func count(_ event: JournalEvent) {
        guard event.kind == .removed else { return }
        let rule = event.fields.rule ?? ""
        let known = removals[rule] ?? (0, 0)
        removals[rule] = (known.items + 1, known.bytes &+ (event.fields.bytes ?? 0))
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
        /// The repos' state.
        public var state: RevisionState
        /// Repos.
        public var repos: Int
        /// Bytes on the disk.
        public var bytes: UInt64
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

    /// Findings of one code.
    public struct Findings: Sendable {
        /// The cache's id.
        public var cache: String
        /// The code.
        public var code: FindingCode
        /// How much it matters.
        public var severity: Severity
        /// How many hold.
        public var count: Int
    }

    /// What the daemon is doing.
    public var status: DaemonStatus
    /// What is stored.
    public var stored: [Stored]
    /// What was removed since the daemon began.
    public var removals: [Removals]
    /// What is wrong.
    public var findings: [Findings]
    /// Seconds from the last change that was judged to the verdict.
    public var lastLag: Double?
}

extension DaemonLoop {
    var numbers: DaemonNumbers {
        var stored: [DaemonNumbers.Stored] = []
        var findings: [DaemonNumbers.Findings] = []
        for cache in caches {
            for type in RepoType.allCases {
                let repos = cache.repos.filter { RepoID(folder: $0.key)?.type == type }.map(\.value)
                for state in RevisionState.allCases {
                    let those = repos.filter { $0.state == state }
                    stored.append(
                        .init(
                            cache: cache.id, type: type.rawValue, state: state, repos: those.count,
                            bytes: those.reduce(0) { $0 &+ $1.bytes }))
                }
            }
            var counts: [FindingCode: (Severity, Int)] = [:]
            for (_, thing) in book.found(in: cache.root ?? cache.path) {
                counts[thing.finding.code, default: (thing.finding.severity, 0)].1 += 1
            }
            for (code, (severity, count)) in counts.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
                findings.append(.init(cache: cache.id, code: code, severity: severity, count: count))
            }
        }
        return DaemonNumbers(
            status: currentStatus, stored: stored,
            removals: counters.removals.sorted { $0.key < $1.key }.map {
                .init(rule: $0.key, items: $0.value.items, bytes: $0.value.bytes)
            }, findings: findings, lastLag: counters.lastLag.map { Double($0) / 1e9 })
    }
}
