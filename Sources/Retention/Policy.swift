public import HubCache

/// A policy with every default filled in: what a policy file means.
///
/// Sizes are bytes. The file format is in `PolicyFile`; its words are those of the properties here, hyphenated.
public struct Policy: Sendable, Hashable {
    /// Whether the daemon removes and refetches by itself.
    public enum Mode: String, Sendable, Hashable, CaseIterable {
        /// It only says what it would do.
        case observe
        /// It does it.
        case enforce
    }

    /// Whether the daemon acts by itself.
    public var mode: Mode = .observe
    /// What loses protection by an edit of the policy is kept this much longer.
    public var editGrace: Duration = .seconds(600)
    /// What a new or changed age rule takes is announced this long before.
    public var announce: Duration = .seconds(3600)
    /// The caches, in the order of the file; none: the one that huggingface_hub would use, with `CachePolicy()`.
    public var caches: [CachePolicy] = []
    /// What no rule may take.
    public var pins: [Pin] = []
    /// The rules, cheapest loss first.
    public var rules: [Rule] = []
    /// How the daemon verifies.
    public var verification = VerificationPolicy()
    /// How what is broken is fetched again.
    public var repair = RepairPolicy()
    /// Where events go besides the journal.
    public var notify: NotifyPolicy?
    /// Where Prometheus finds the metrics over TCP; nil: nowhere but on the socket.
    public var metricsAddress: ListenAddress?
    /// Whether clients of the socket may fetch new repos with the owner's token.
    public var allowsFetch = false
    /// The one host that may remove from caches on network filesystems.
    public var enforcer: String?

    /// Makes a policy that only observes.
    public init() {}
}

/// A number of bytes, or a part of a filesystem.
public enum Amount: Sendable, Hashable {
    /// Bytes.
    case bytes(UInt64)
    /// Millionths of the filesystem's size: 10 % is 100,000.
    case partsPerMillion(UInt32)

    /// The bytes that this is on a filesystem of that size.
    public func bytes(of total: UInt64) -> UInt64 {
        switch self {
        case .bytes(let bytes): bytes
        case .partsPerMillion(let parts):
            // Split so that the product cannot overflow.
            total / 1_000_000 &* UInt64(parts) &+ total % 1_000_000 &* UInt64(parts) / 1_000_000
        }
    }
}

/// What a policy says of one cache.
public struct CachePolicy: Sendable, Hashable {
    /// Whether a revision goes that the Hub might not give back.
    public enum Irreplaceable: String, Sendable, Hashable, CaseIterable {
        /// It stays unless the Hub has just confirmed that it has it.
        case keep
        /// It may go.
        case evict
    }

    /// The cache's root; nil: the one that huggingface_hub would use.
    public var path: BytePath?
    /// Evict below so much free space…
    public var minFree: Amount?
    /// …until so much is free; nil: `minFree` and 2 % of the filesystem.
    public var targetFree: Amount?
    /// Own downloads are refused below; nil: 5 GB, at most 5 % of the filesystem.
    public var criticalFree: Amount?
    /// Evict above so much in the cache…
    public var maxSize: Amount?
    /// …until it is this; nil: 98 % of `maxSize`.
    public var targetSize: Amount?
    /// Never shrink the cache below.
    public var reserved: Amount?
    /// Never touch anything younger.
    public var minAge: Duration = .seconds(2 * 3600)
    /// What was opened within this is in use.
    public var recentUse: Duration = .seconds(48 * 3600)
    /// What happens to what the Hub might not give back.
    public var irreplaceable: Irreplaceable = .keep
    /// Where nothing can tell whether a file is in use, it counts as unused after this; nil: never. At least 7 days.
    public var assumeUnusedAfter: Duration?
    /// Whether the last complete revision may go.
    public var allowsEmpty = false
    /// Where repo folders that are links may lead.
    public var also: [BytePath] = []
    /// `local_dir` trees, verified too.
    public var localDirs: [BytePath] = []

    /// The bytes of `criticalFree` on a filesystem of that size.
    public func criticalFreeBytes(of total: UInt64) -> UInt64 {
        criticalFree?.bytes(of: total) ?? min(5_000_000_000, total / 20)
    }

    /// The bytes of `targetFree` on a filesystem of that size; nil: there is no floor.
    public func targetFreeBytes(of total: UInt64) -> UInt64? {
        guard let least = minFree?.bytes(of: total) else { return nil }
        let implied = least.addingUpTo(Amount.partsPerMillion(20_000).bytes(of: total))
        return max(targetFree?.bytes(of: total) ?? min(implied, total), least)
    }

    /// What has to stay free on a filesystem of that size, and the key that says so.
    public func floor(of total: UInt64) -> (bytes: UInt64, name: String) {
        let (critical, least) = (criticalFreeBytes(of: total), minFree?.bytes(of: total) ?? 0)
        return least > critical ? (least, "min-free") : (critical, "critical-free")
    }

    /// Makes the policy of a cache of which nothing is said.
    public init(path: BytePath? = nil) { self.path = path }

    /// Whether a linked folder leads to where `also` says it may.
    public func lists(_ link: LinkedFolder) -> Bool {
        also.contains { link.physicalPath == $0 || link.physicalPath.relative(to: $0) != nil }
    }
}

/// What no rule may take.
public struct Pin: Sendable, Hashable {
    /// Glob on `org/name`, with or without a type before it; `*` crosses `/`.
    public var repo: Glob
    /// Glob on a ref's name, or a commit or its first 7 digits or more; nil: every revision.
    public var revision: Glob?
    /// Why, for the plan and the journal.
    public var reason: String?

    /// Makes a pin.
    public init(repo: Glob, revision: Glob? = nil, reason: String? = nil) {
        self.repo = repo
        self.revision = revision
        self.reason = reason
    }
}

/// When what may go.
public struct Rule: Sendable, Hashable {
    /// When a rule acts.
    public enum Occasion: String, Sendable, Hashable, CaseIterable {
        /// Whenever something is due.
        case always
        /// Only from `min-free` to `target-free`, or from `max-size` to `target-size`.
        case pressure
    }

    /// In which order a pressure rule takes what it matches.
    public enum Order: String, Sendable, Hashable, CaseIterable {
        /// Least recently used first.
        case lru
        /// First come, first gone.
        case oldest
        /// Most bytes on the disk first.
        case largest
        /// What is known to be obtainable and takes the fewest bytes to fetch again first.
        case cheapestToRefetch = "cheapest-to-refetch"
    }

    /// Its name, unique in a policy.
    public var name: String
    /// When it acts.
    public var occasion: Occasion
    /// What it takes.
    public var match: Match
    /// Protects the newest so many, by arrival, of what it matches in each repo, from this rule.
    public var keepLast: Int?
    /// Only what arrived longer ago; of superseded revisions: what was superseded longer ago.
    public var olderThan: Duration?
    /// Only what was not used for so long.
    public var unusedFor: Duration?
    /// The order, for pressure rules.
    public var order: Order

    /// Makes a rule.
    public init(
        name: String, occasion: Occasion = .always, match: Match = Match(), keepLast: Int? = nil,
        olderThan: Duration? = nil, unusedFor: Duration? = nil, order: Order = .lru
    ) {
        self.name = name
        self.occasion = occasion
        self.match = match
        self.keepLast = keepLast
        self.olderThan = olderThan
        self.unusedFor = unusedFor
        self.order = order
    }
}

/// What a rule takes: every key that is given must fit, and of a list any one.
public struct Match: Sendable, Hashable {
    /// What state an item is in, for a rule.
    public enum State: String, Sendable, Hashable, CaseIterable {
        /// A revision with everything.
        case complete
        /// A revision that lacks something.
        case partial
        /// A revision with something wrong in it.
        case corrupt
        /// `partial` or `corrupt`.
        case incomplete
        /// A revision that no ref names and that is not known to be superseded: it may be somebody's pinned commit.
        case detached
        /// A revision whose ref has moved on, and that was not opened since.
        case superseded
        /// A download that nobody works on any more: a file.
        case stalePartial = "stale-partial"
        /// A blob or payload that nothing links to: a file.
        case orphan

        /// Whether items in this state are files, not revisions.
        public var isOfFiles: Bool { self == .stalePartial || self == .orphan }
    }

    /// The types; empty: all.
    public var types: [RepoType] = []
    /// Globs on `org/name`; empty: all.
    public var repos: [Glob] = []
    /// Ref globs or commits; empty: all. Only revisions have them.
    public var revisions: [Glob] = []
    /// The states; empty: every revision, no files.
    public var states: [State] = []
    /// Only items of more bytes on the disk.
    public var largerThan: UInt64?
    /// Only items of fewer bytes on the disk.
    public var smallerThan: UInt64?

    /// Makes a match of every revision.
    public init() {}
}

/// How the daemon verifies.
public struct VerificationPolicy: Sendable, Hashable {
    /// How deep what arrives is verified.
    public enum Depth: String, Sendable, Hashable, CaseIterable {
        /// Names, links, sizes.
        case structure
        /// And every weight file's header.
        case headers
        /// And every digest.
        case digests
    }

    /// How deep what arrives is verified.
    public var onArrival: Depth = .headers
    /// How often every digest is computed anew; nil: never.
    public var scrubEvery: Duration?
    /// Bytes a second that a scrub reads at most; nil: as fast as it goes.
    public var rate: UInt64? = 200_000_000
    /// A scrub pauses while more than so many millionths of the time somebody waits for the disk.
    public var ioPressureMax: UInt32 = 200_000

    /// Makes the default.
    public init() {}
}

/// How what is broken is fetched again.
public struct RepairPolicy: Sendable, Hashable {
    /// What the daemon fetches again by itself. Each includes the one before.
    public enum Refetch: String, Sendable, Hashable, CaseIterable {
        /// Nothing.
        case never
        /// What is missing.
        case missing
        /// And what is corrupt.
        case corrupt
    }

    /// A server that has what the Hub has.
    public struct Endpoint: Sendable, Hashable {
        /// Its base URL, without a slash at its end.
        public var url: String
        /// Whether the token is sent there. The Hub's own origin gets it anyway.
        public var getsToken: Bool
        /// Whether plain http is allowed.
        public var allowsHTTP: Bool

        /// Makes an endpoint.
        public init(url: String, getsToken: Bool = false, allowsHTTP: Bool = false) {
            self.url = url
            self.getsToken = getsToken
            self.allowsHTTP = allowsHTTP
        }
    }

    /// What is fetched by itself.
    public var refetch: Refetch = .never
    /// In order; empty: `HF_ENDPOINT`, else the Hub.
    public var endpoints: [Endpoint] = []
    /// How many downloads at once.
    public var maxConcurrentDownloads = 1
    /// How often one file is tried.
    public var attempts = 5
    /// An estimated size is multiplied with so many millionths.
    public var estimateMargin: UInt32 = 1_100_000
    /// Bytes a second at most; nil: as fast as it goes.
    public var rate: UInt64?

    /// Makes the default.
    public init() {}
}

/// Where events go besides the journal.
public struct NotifyPolicy: Sendable, Hashable {
    /// A program and its arguments, started without a shell, the event as JSON on its standard input; empty: none.
    public var command: [String] = []
    /// A URL that the event is posted to.
    public var url: String?
    /// Events below are left out.
    public var minSeverity: Severity = .error

    /// Makes a default that goes nowhere.
    public init() {}
}
