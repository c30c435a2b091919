public import Daemon
internal import HubCache
public import Retention

/// `hfjanitor.status/1`.
public struct StatusDocument: Codable, Sendable {
    /// The daemon.
    public struct Daemon: Codable, Sendable {
        /// What became of its policy file.
        public struct Policy: Codable, Sendable {
            /// Whether the file is what counts.
            public var ok: Bool
            /// What is wrong with it.
            public var error: String?

            enum CodingKeys: CodingKey { case ok, error }

            /// Written by hand: `error` is null, not absent.
            public func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: CodingKeys.self)
                try container.encode(ok, forKey: .ok)
                try container.encode(error, forKey: .error)
            }
        }

        /// The process.
        public var pid: Int32
        /// The program's version.
        public var version: String
        /// When it began.
        public var since: String
        /// `observe` or `enforce`.
        public var mode: String
        /// Its policy.
        public var policy: Policy

        /// Makes one.
        public init(pid: Int32, version: String, since: String, mode: String, policyError: String?) {
            self.pid = pid
            self.version = version
            self.since = since
            self.mode = mode
            policy = Policy(ok: policyError == nil, error: policyError)
        }
    }

    /// When a floor is reached, if free space goes on falling as in the last days.
    public struct Forecast: Codable, Sendable {
        /// When.
        public var floorReached: String
        /// How fast free space falls.
        public var bytesPerDay: UInt64

        enum CodingKeys: String, CodingKey {
            case floorReached = "floor_reached"
            case bytesPerDay = "bytes_per_day"
        }

        /// What a daemon says.
        public init(_ forecast: SpaceForecast) {
            floorReached = CalendarTime.text(of: forecast.floorReached)
            bytesPerDay = forecast.bytesPerDay
        }
    }

    /// A cache.
    public struct Cache: Codable, Sendable {
        /// Its root.
        public var path: String
        /// How it is watched.
        public var watch: String?
        /// What is free.
        public var freeBytes: UInt64?
        /// Below this room is made; absent: there is no floor.
        public var floorBytes: UInt64?
        /// When that is reached; absent: nothing points to it.
        public var forecast: Forecast?
        /// Revisions by state.
        public var states: [String: Int]
        /// Findings, errors and warnings.
        public var findings: Int
        /// What tells whether a file is in use.
        public var inUseMethod: String

        enum CodingKeys: String, CodingKey {
            case path, watch, states, findings, forecast
            case freeBytes = "free_bytes"
            case floorBytes = "floor_bytes"
            case inUseMethod = "in_use_method"
        }

        /// Makes one.
        public init(
            path: String, watch: String?, freeBytes: UInt64?, floorBytes: UInt64? = nil, forecast: Forecast? = nil,
            states: [String: Int], findings: Int, inUseMethod: String
        ) {
            self.path = path
            self.watch = watch
            self.freeBytes = freeBytes
            self.floorBytes = floorBytes
            self.forecast = forecast
            self.states = states
            self.findings = findings
            self.inUseMethod = inUseMethod
        }
    }

    /// A download under way.
    public struct Download: Codable, Sendable {
        /// The cache's root.
        public var cache: String
        /// `type/org/name`.
        public var repo: String
        /// The partial file.
        public var path: String
        /// Bytes on the disk.
        public var bytes: UInt64
        /// Bytes when it is whole; absent: not known.
        public var totalBytes: UInt64?

        enum CodingKeys: String, CodingKey {
            case cache, repo, path, bytes
            case totalBytes = "total_bytes"
        }
    }

    /// The background digest pass over a cache.
    public struct Scrub: Codable, Sendable {
        /// The cache's root.
        public var path: String
        /// `never`, `running` or `idle`.
        public var state: String
        /// Repos that are done.
        public var reposDone: Int
        /// Repos there are.
        public var reposTotal: Int
        /// Revisions that are done.
        public var revisions: Int
        /// Bytes read.
        public var bytes: UInt64
        /// When the last one began.
        public var begun: String?
        /// When one last came to its end.
        public var finished: String?
        /// When the last one was cancelled.
        public var cancelled: String?
        /// When the next one begins.
        public var nextDue: String?

        enum CodingKeys: String, CodingKey {
            case path, state, revisions, bytes, begun, finished, cancelled
            case reposDone = "repos_done"
            case reposTotal = "repos_total"
            case nextDue = "next_due"
        }

        /// What a daemon says of one.
        public init(_ scrub: DaemonStatus.Scrub) {
            path = scrub.path.text
            state = scrub.state.rawValue
            reposDone = scrub.reposDone
            reposTotal = scrub.reposTotal
            revisions = scrub.revisions
            bytes = scrub.bytes
            begun = scrub.begun.map(CalendarTime.text)
            finished = scrub.finished.map(CalendarTime.text)
            cancelled = scrub.cancelled.map(CalendarTime.text)
            nextDue = scrub.nextDue.map(CalendarTime.text)
        }
    }

    /// What is being done.
    public struct Work: Codable, Sendable {
        /// What waits to be looked at.
        public var queued = 0
        /// Downloads under way.
        public var downloads: [Download] = []
        /// The background digest passes.
        public var scrub: [Scrub] = []
    }

    /// Something that will be done.
    public struct Action: Codable, Sendable {
        /// What.
        public var action: String
        /// When.
        public var time: String
    }

    /// A state of affairs that lasts.
    public struct Condition: Codable, Sendable {
        /// What kind.
        public var code: String
        /// How much it matters.
        public var severity: String
        /// Since when.
        public var since: String
        /// One sentence.
        public var message: String
    }

    /// The numbers of the last pass.
    public struct Pass: Codable, Sendable {
        /// Revisions looked at.
        public var checked: Int
        /// Those that are not whole.
        public var incomplete: Int
        /// Items removed.
        public var removed: Int
        /// Their bytes.
        public var bytes: UInt64
        /// What could not be done.
        public var errors: Int
    }

    /// The schema.
    public var schema = "hfjanitor.status/1"
    /// The daemon; nil: none runs.
    public var daemon: Daemon?
    /// The caches.
    public var caches: [Cache] = []
    /// What is being done.
    public var work = Work()
    /// What will be done.
    public var next: [Action] = []
    /// What lasts.
    public var conditions: [Condition] = []
    /// The last pass.
    public var lastPass: Pass?

    /// Makes one without a daemon.
    public init() {}

    /// What a daemon says of itself.
    public init(_ status: DaemonStatus) {
        daemon = Daemon(
            pid: status.processID, version: status.version, since: CalendarTime.text(of: status.since),
            mode: status.mode, policyError: status.policyError)
        caches = status.caches.map { cache in
            Cache(
                path: cache.path.text, watch: cache.watch, freeBytes: cache.freeBytes, floorBytes: cache.floorBytes,
                forecast: cache.forecast.map(Forecast.init),
                states: Dictionary(
                    uniqueKeysWithValues: RevisionState.allCases.map { ($0.rawValue, cache.states[$0] ?? 0) }),
                findings: cache.findings, inUseMethod: cache.inUseMethod)
        }
        work.queued = status.queued
        work.downloads = status.downloads.map {
            Download(
                cache: $0.cache.text, repo: $0.repo, path: $0.path.text, bytes: $0.bytes, totalBytes: $0.totalBytes)
        }
        work.scrub = status.scrubs.map(Scrub.init)
        next = status.next.map { Action(action: $0.action, time: CalendarTime.text(of: $0.time)) }
        conditions = status.conditions.map {
            Condition(
                code: $0.code, severity: $0.severity.rawValue, since: CalendarTime.text(of: $0.since),
                message: $0.message)
        }
        lastPass = status.lastPass.map {
            Pass(
                checked: $0.checked, incomplete: $0.incomplete, removed: $0.removed, bytes: $0.bytes, errors: $0.errors)
        }
    }

    enum CodingKeys: String, CodingKey {
        case schema, daemon, caches, work, next, conditions
        case lastPass = "last_pass"
    }

    /// Written by hand: what is not there is null, not absent.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(schema, forKey: .schema)
        try container.encode(daemon, forKey: .daemon)
        try container.encode(caches, forKey: .caches)
        try container.encode(work, forKey: .work)
        try container.encode(next, forKey: .next)
        try container.encode(conditions, forKey: .conditions)
        try container.encode(lastPass, forKey: .lastPass)
    }
}
