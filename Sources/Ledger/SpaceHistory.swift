internal import GRDB
public import HubCache

extension Schema {
    /// How full the caches' filesystems were.
    static let spaceStep = Step(
        name: "5-space-history",
        objects: [
            (
                "space_sample",
                """
                CREATE TABLE space_sample (
                    cache TEXT NOT NULL,
                    at INTEGER NOT NULL,
                    free INTEGER NOT NULL,
                    total INTEGER NOT NULL,
                    floor INTEGER,
                    bytes INTEGER NOT NULL,
                    PRIMARY KEY (cache, at)
                ) WITHOUT ROWID
                """
            )
        ])
}

extension Ledger {
    /// One sample is kept of so much time…
    private static let spacing: Int64 = 300_000_000_000
    /// …and of so much where it is older than this.
    private static let oldSpacing: Int64 = 3_600_000_000_000
    private static let fineAge: Int64 = 14 * 86_400_000_000_000
    /// A fortnight of the former and a year of the latter. It is counted, and not aged: a clock that is ahead takes nothing.
    static let spaceSamplesKept = 14 * 288 + 365 * 24

    /// Remembers how full a cache's filesystem is: one sample for each five minutes of the last fortnight, one for each hour of a
    /// year.
    public func note(space sample: SpaceSample, cache: BytePath) {
        note(space: sample, cache: cache, keeping: Self.spaceSamplesKept)
    }

    func note(space sample: SpaceSample, cache: BytePath, keeping count: Int) {
        guard let root = Self.key(cache), sample.time.nanoseconds > 0 else { return }
        let time = sample.time.nanoseconds / Self.spacing * Self.spacing
        let _: Void? = write { database in
            let isFirstOfHour = try !Self.hasSample(root, from: time / Self.oldSpacing * Self.oldSpacing, database)
            let statement = try RawStatement(
                database,
                """
                INSERT OR REPLACE INTO space_sample (cache, at, free, total, floor, bytes)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                """)
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            try statement.bind(time, at: 2)
            try statement.bind(Int64(clamping: sample.free), at: 3)
            try statement.bind(Int64(clamping: sample.total), at: 4)
            try statement.bind(sample.floor.map { Int64(clamping: $0) }, at: 5)
            try statement.bind(Int64(clamping: sample.cacheBytes), at: 6)
            try statement.run()
            if isFirstOfHour { try Self.thinSamples(root, before: time - Self.fineAge, keeping: count, database) }
        }
    }

    /// What is remembered of how full a cache's filesystem was, oldest first; nothing of times to come.
    public func spaceSamples(cache: BytePath) -> [SpaceSample] {
        guard let root = Self.key(cache) else { return [] }
        let latest = now().nanoseconds
        return read([]) { database in
            let statement = try RawStatement(
                database,
                """
                SELECT at, free, total, floor, bytes FROM space_sample WHERE cache = ?1 AND at <= ?2
                ORDER BY at DESC LIMIT \(Self.spaceSamplesKept + 1000)
                """)
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            try statement.bind(latest, at: 2)
            var found: [SpaceSample] = []
            while try statement.step() {
                guard let time = statement.time(at: 0, latest: latest),
                    let free = statement.integer(at: 1).flatMap({ UInt64(exactly: $0) }),
                    let total = statement.integer(at: 2).flatMap({ UInt64(exactly: $0) }),
                    let bytes = statement.integer(at: 4).flatMap({ UInt64(exactly: $0) })
                else { continue }
                found.append(
                    SpaceSample(
                        time: time, free: free, total: total,
                        floor: statement.integer(at: 3).flatMap { UInt64(exactly: $0) }, cacheBytes: bytes))
            }
            return found.reversed()
        }
    }

    private static func hasSample(_ root: String, from start: Int64, _ database: Database) throws -> Bool {
        let statement = try RawStatement(
            database, "SELECT 1 FROM space_sample WHERE cache = ?1 AND at >= ?2 AND at < ?3 LIMIT 1")
        defer { statement.finish() }
        try statement.bind(root, at: 1)
        try statement.bind(start, at: 2)
        try statement.bind(start + oldSpacing, at: 3)
        return try statement.step()
    }

    /// Of each hour before a time only the sample with the least room stays, and of all of them the newest.
    private static func thinSamples(
        _ root: String, before limit: Int64, keeping count: Int, _ database: Database
    ) throws {
        let thinning = try RawStatement(
            database,
            """
            DELETE FROM space_sample WHERE cache = ?1 AND at < ?2 AND EXISTS (
                SELECT 1 FROM space_sample AS other
                WHERE other.cache = space_sample.cache
                    AND other.at >= space_sample.at - space_sample.at % \(oldSpacing)
                    AND other.at < space_sample.at - space_sample.at % \(oldSpacing) + \(oldSpacing)
                    AND (other.free < space_sample.free
                        OR other.free = space_sample.free AND other.at < space_sample.at))
            """)
        defer { thinning.finish() }
        try thinning.bind(root, at: 1)
        try thinning.bind(limit, at: 2)
        try thinning.run()
        let cutting = try RawStatement(
            database,
            """
            DELETE FROM space_sample WHERE cache = ?1 AND at <= (
                SELECT at FROM space_sample WHERE cache = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)
            """)
        defer { cutting.finish() }
        try cutting.bind(root, at: 1)
        try cutting.bind(Int64(count), at: 2)
        try cutting.run()
    }
}
