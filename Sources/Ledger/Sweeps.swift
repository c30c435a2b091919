internal import GRDB
public import HubCache

/// Somebody read nearly everything of a cache: a backup, a search.
public struct RecordedSweep: Hashable, Sendable {
    /// Its first read.
    public var first: Timestamp
    /// Its last one.
    public var last: Timestamp
    /// How many repos it touched.
    public var repos: Int

    /// Makes a record of its parts.
    public init(first: Timestamp, last: Timestamp, repos: Int) {
        self.first = first
        self.last = last
        self.repos = repos
    }
}

extension Schema {
    /// Opens before the last one, so that a sweep does not take the place of a use, and the sweeps themselves.
    static let sweepStep = Step(
        name: "4-sweeps",
        objects: [
            (
                "opened_before",
                """
                CREATE TABLE opened_before (
                    cache TEXT NOT NULL,
                    repo TEXT NOT NULL,
                    kind INTEGER NOT NULL,
                    name TEXT NOT NULL,
                    opened_at INTEGER NOT NULL,
                    source INTEGER NOT NULL,
                    PRIMARY KEY (cache, repo, kind, name, opened_at)
                ) WITHOUT ROWID
                """
            ),
            (
                "sweep",
                """
                CREATE TABLE sweep (
                    cache TEXT NOT NULL,
                    first_read INTEGER NOT NULL,
                    last_read INTEGER NOT NULL,
                    repos INTEGER NOT NULL,
                    PRIMARY KEY (cache, first_read)
                ) WITHOUT ROWID
                """
            ),
        ])
}

extension Ledger {
    /// Opens that are so close to a younger one of the same thing are not kept: either both belong to a sweep, or none.
    static let openSpacing: Int64 = 600_000_000_000
    /// Whether a read belongs to a sweep is only known so much later.
    private static let undecided: Int64 = 3 * 3600 * 1_000_000_000

    /// Recorded opens before the last one of everything in a cache, by repo folder: those of the last hours, and of older ones
    /// the youngest that no sweep did.
    public func earlierOpens(cache: BytePath) -> [String: [OpenedThing: [Timestamp]]] {
        guard let root = Self.key(cache) else { return [:] }
        let latest = latestBelievable
        return read([:]) { database in
            let statement = try RawStatement(
                database,
                "SELECT repo, kind, name, opened_at FROM opened_before WHERE cache = ?1 LIMIT \(Self.rowsLoaded)")
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            var found: [String: [OpenedThing: [Timestamp]]] = [:]
            while try statement.step() {
                guard let repo = statement.key(at: 0, maximumBytes: Self.nameLimit),
                    let kind = statement.integer(at: 1),
                    let name = statement.key(at: 2, maximumBytes: Self.nameLimit),
                    let thing = OpenedThing(kind: kind, name: name),
                    let time = statement.time(at: 3, latest: latest)
                else { continue }
                found[repo, default: [:]][thing, default: []].append(time)
            }
            return found
        }
    }

    /// The sweeps over a cache that are remembered, oldest first.
    public func sweeps(cache: BytePath) -> [RecordedSweep] {
        guard let root = Self.key(cache) else { return [] }
        let latest = latestBelievable
        return read([]) { database in
            let statement = try RawStatement(
                database,
                """
                SELECT first_read, last_read, repos FROM sweep WHERE cache = ?1 ORDER BY first_read
                LIMIT \(Self.rowsLoaded)
                """)
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            var found: [RecordedSweep] = []
            while try statement.step() {
                guard let first = statement.time(at: 0, latest: latest),
                    let last = statement.time(at: 1, latest: latest), first <= last,
                    let repos = statement.integer(at: 2).flatMap({ Int(exactly: $0) }), repos > 0
                else { continue }
                found.append(RecordedSweep(first: first, last: last, repos: repos))
            }
            return found
        }
    }

    /// Remembers sweeps; what overlaps is one. Then forgets the opens that no judgement needs any more.
    public func note(sweeps: [RecordedSweep], cache: BytePath, now: Timestamp) {
        guard let root = Self.key(cache) else { return }
        let usable = sweeps.filter { $0.first.nanoseconds > 0 && $0.first <= $0.last && $0.repos > 0 }
        let _: Void? = write { database in
            for sweep in usable { try Self.add(sweep, root, database) }
            try Self.thinOpens(root, before: now.nanoseconds &- Self.undecided, database)
        }
    }

    private static func add(_ sweep: RecordedSweep, _ root: String, _ database: Database) throws {
        let known = try RawStatement(
            database,
            """
            SELECT min(first_read), max(last_read), max(repos) FROM sweep
            WHERE cache = ?1 AND first_read <= ?3 AND last_read >= ?2
            """)
        defer { known.finish() }
        try known.bind(root, at: 1)
        try known.bind(sweep.first.nanoseconds, at: 2)
        try known.bind(sweep.last.nanoseconds, at: 3)
        var (first, last, repos) = (sweep.first.nanoseconds, sweep.last.nanoseconds, Int64(sweep.repos))
        if try known.step(), let start = known.integer(at: 0), let end = known.integer(at: 1),
            let count = known.integer(at: 2)
        {
            (first, last, repos) = (min(first, start), max(last, end), max(repos, count))
        }
        let removal = try RawStatement(
            database, "DELETE FROM sweep WHERE cache = ?1 AND first_read <= ?3 AND last_read >= ?2")
        defer { removal.finish() }
        try removal.bind(root, at: 1)
        try removal.bind(first, at: 2)
        try removal.bind(last, at: 3)
        try removal.run()
        let insertion = try RawStatement(
            database, "INSERT INTO sweep (cache, first_read, last_read, repos) VALUES (?1, ?2, ?3, ?4)")
        defer { insertion.finish() }
        try insertion.bind(root, at: 1)
        try insertion.bind(first, at: 2)
        try insertion.bind(last, at: 3)
        try insertion.bind(repos, at: 4)
        try insertion.run()
    }

    /// Of the opens that are old enough to be judged only the youngest that no sweep did stays, of each thing.
    private static func thinOpens(_ root: String, before limit: Int64, _ database: Database) throws {
        let statement = try RawStatement(
            database,
            """
            DELETE FROM opened_before WHERE cache = ?1 AND opened_at < ?2 AND opened_at IS NOT (
                SELECT max(other.opened_at) FROM opened_before AS other
                WHERE other.cache = opened_before.cache AND other.repo = opened_before.repo
                    AND other.kind = opened_before.kind AND other.name = opened_before.name AND other.opened_at < ?2
                    AND NOT EXISTS (
                        SELECT 1 FROM sweep WHERE sweep.cache = other.cache
                            AND other.opened_at BETWEEN sweep.first_read AND sweep.last_read))
            """)
        defer { statement.finish() }
        try statement.bind(root, at: 1)
        try statement.bind(limit, at: 2)
        try statement.run()
    }
}
