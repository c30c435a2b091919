public import Enforcement
public import HubCache
public import Retention
public import Verification

/// `hfjanitor.ls/1`.
public struct ListDocument: Encodable, Sendable {
    struct Cache: Encodable, Sendable {
        var path: String
        var bytes: UInt64
        var freeBytes: UInt64
        var reclaimableBytes: UInt64
        var otherBytes: UInt64
        var repos: [Repo]
        var leftovers: [LeftoverDocument]?

        enum CodingKeys: String, CodingKey {
            case path, bytes, repos, leftovers
            case freeBytes = "free_bytes"
            case reclaimableBytes = "reclaimable_bytes"
            case otherBytes = "other_bytes"
        }
    }

    struct Repo: Encodable, Sendable {
        var id: String
        var folder: String
        var bytes: UInt64
        var reclaimableBytes: UInt64
        /// Absent where no revision is here.
        var state: String?
        var lastUse: LastUseDocument?
        var pinned: Bool
        var held: Bool
        var revisions: [Revision]

        enum CodingKeys: String, CodingKey {
            case id, folder, bytes, state, pinned, held, revisions
            case reclaimableBytes = "reclaimable_bytes"
            case lastUse = "last_use"
        }
    }

    struct Revision: Encodable, Sendable {
        var commit: String?
        var refs: [String]
        var state: String
        var files: Int
        var bytes: UInt64
        var uniqueBytes: UInt64
        var arrived: String?
        var lastUse: LastUseDocument?

        enum CodingKeys: String, CodingKey {
            case commit, refs, state, files, bytes, arrived
            case uniqueBytes = "unique_bytes"
            case lastUse = "last_use"
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(commit, forKey: .commit)
            try container.encode(refs, forKey: .refs)
            try container.encode(state, forKey: .state)
            try container.encode(files, forKey: .files)
            try container.encode(bytes, forKey: .bytes)
            try container.encode(uniqueBytes, forKey: .uniqueBytes)
            try container.encodeIfPresent(arrived, forKey: .arrived)
            try container.encodeIfPresent(lastUse, forKey: .lastUse)
        }
    }

    struct LeftoverDocument: Encodable, Sendable {
        var path: String
        var kind: String
        var bytes: UInt64
    }

    struct LastUseDocument: Encodable, Sendable {
        var time: String
        var source: String

        init(_ use: LastUse) {
            time = CalendarTime.text(of: use.time)
            source = use.source.rawValue
        }
    }

    var schema = "hfjanitor.ls/1"
    var caches: [Cache]

    /// What was found in caches.
    ///
    /// - Parameters:
    ///   - withLeftovers: whether what belongs to no revision is listed.
    ///   - protection: what pins and holds protect.
    public init(reports: [CacheReport], withLeftovers: Bool, protection: ListedProtection) {
        caches = reports.map { cache in
            Cache(
                path: cache.path.text, bytes: cache.bytes, freeBytes: cache.freeBytes,
                reclaimableBytes: cache.reclaimableBytes, otherBytes: cache.otherBytes,
                repos: cache.repos.map {
                    Self.repo($0, isPinned: protection.isPinned($0), isHeld: protection.isHeld($0, in: cache))
                },
                leftovers: withLeftovers
                    ? cache.allLeftovers.map {
                        LeftoverDocument(path: $0.path.text, kind: $0.kind, bytes: $0.bytes)
                    } : nil)
        }
    }

    /// What was gathered for a plan, with everything that belongs to no revision.
    public init(gathered: [GatheredCache], pins: [Pin]) {
        var held: [BytePath: Set<BytePath>] = [:]
        let reports = gathered.map { cache in
            var report = cache.report
            var uses: [BytePath: [CommitHash: LastUse]] = [:]
            for revision in cache.facts.revisions {
                let folder = cache.facts.repos[revision.repo].folder
                uses[folder, default: [:]][revision.commit] = revision.lastUse
                if revision.keepers.contains(where: { $0.by == .hold }) {
                    held[report.path, default: []].insert(folder)
                }
            }
            for index in report.repos.indices { report.repos[index].takeUses(uses[report.repos[index].folder] ?? [:]) }
            return report
        }
        self.init(
            reports: reports, withLeftovers: true, protection: ListedProtection(pins: pins, held: held))
    }

    private static func repo(_ repo: RepoReport, isPinned: Bool, isHeld: Bool) -> Repo {
        Repo(
            id: repo.id, folder: repo.folder.text, bytes: repo.bytes, reclaimableBytes: repo.reclaimableBytes,
            state: repo.state?.rawValue, lastUse: repo.lastUse.map(LastUseDocument.init), pinned: isPinned,
            held: isHeld,
            revisions: repo.revisions.map { revision in
                Revision(
                    commit: revision.commit?.hex, refs: revision.refs.map(\.text), state: revision.state.rawValue,
                    files: revision.fileCount, bytes: revision.bytes, uniqueBytes: revision.uniqueBytes,
                    arrived: revision.arrived.map { CalendarTime.text(of: $0) },
                    lastUse: revision.lastUse.map(LastUseDocument.init))
            })
    }
}

extension CacheReport {
    /// The leftovers of the root and of every repo.
    public var allLeftovers: [Leftover] { leftovers + repos.flatMap(\.leftovers) }
}

extension RepoReport {
    /// When its revisions were last used, as it was judged by more than their files.
    fileprivate mutating func takeUses(_ uses: [CommitHash: LastUse]) {
        for index in revisions.indices {
            guard let commit = revisions[index].commit, let use = uses[commit] else { continue }
            revisions[index].lastUse = use
        }
        let known = revisions.compactMap(\.lastUse)
        guard let first = known.first else { return }
        lastUse = known.dropFirst().reduce(first) { LastUse.younger($0, $1) }
    }
}

/// What pins and holds protect, as a listing shows it.
public struct ListedProtection: Sendable {
    private let pins: [Pin]
    private let held: [BytePath: Set<BytePath>]

    /// Pins, and the folders of held repos by cache.
    public init(pins: [Pin], held: [BytePath: Set<BytePath>]) {
        self.pins = pins
        self.held = held
    }

    /// Whether a hold is on the repo or one of its revisions.
    public func isHeld(_ repo: RepoReport, in cache: CacheReport) -> Bool {
        held[cache.path]?.contains(repo.folder) ?? false
    }

    /// Whether a pin is on one of the repo's revisions.
    public func isPinned(_ repo: RepoReport) -> Bool {
        guard let id = repo.repo, !pins.isEmpty else { return false }
        return repo.revisions.contains { revision in
            guard let commit = revision.commit else { return false }
            var facts = RevisionFacts(
                repo: 0, commit: commit, state: revision.state,
                arrived: revision.arrived ?? Timestamp(nanoseconds: 0))
            facts.refs = revision.refs
            return pins.contains { $0.names(facts, of: id) }
        }
    }
}
