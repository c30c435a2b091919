internal import GRDB
public import HubCache

/// Forgetting what is old, so that the ledger does not grow for ever.
enum Housekeeping {
    /// Below this many digests, some 120 MB, none is forgotten.
    static let contentKept: Int64 = 1_000_000
    private static let day: Int64 = 86_400_000_000_000
    static let contentAge: Int64 = 400 * day
    static let partialAge: Int64 = 90 * day
    /// What tells that a revision was whole, or which policy there was, protects: it is kept for longer than anybody is away.
    static let historyAge: Int64 = 400 * day
    /// At most so many rows of one table are kept.
    static let rowsKept: Int64 = 100_000
    /// At most so many rows at once: the writer's lock is held meanwhile.
    static let batch = 100_000

    /// A table that forgets by age and by number of rows, the oldest first.
    private struct Aging {
        var table: String
        var key: String
        var time: String
        var age: Int64
    }

    private static let aging = [
        Aging(table: "opened", key: "cache, repo, kind, name", time: "opened_at", age: historyAge),
        Aging(
            table: "opened_before", key: "cache, repo, kind, name, opened_at", time: "opened_at", age: historyAge),
        Aging(table: "sweep", key: "cache, first_read", time: "last_read", age: historyAge),
        Aging(table: "opener", key: "cache, repo, blob, boot, pid, started", time: "seen_at", age: partialAge),
        Aging(table: "watched", key: "cache", time: "last_seen", age: partialAge),
        Aging(table: "ref_seen", key: "cache, repo, ref, revision", time: "last_seen", age: historyAge),
        Aging(table: "complete_once", key: "cache, repo, revision", time: "last_seen", age: historyAge),
        Aging(
            table: "asked", key: "cache, repo, revision, excludes, pattern", time: "asked_at", age: historyAge),
        Aging(table: "hub_answer", key: "repo, revision, file", time: "asked_at", age: partialAge),
        Aging(table: "pass", key: "filesystem, ended_at", time: "ended_at", age: partialAge),
        Aging(table: "repair_attempt", key: "cache, repo, revision, file", time: "last_at", age: partialAge),
    ]

    /// Forgets within the caller's transaction the oldest of each table beyond 100,000 rows. It asks no clock.
    static func limit(_ database: Database, rowsKept: Int64 = rowsKept) throws {
        for each in aging {
            let counting = try RawStatement(database, "SELECT count(*) FROM \(each.table)")
            defer { counting.finish() }
            guard try counting.step(), let count = counting.integer(at: 0), count > rowsKept else { continue }
            let statement = try RawStatement(
                database,
                """
                DELETE FROM \(each.table) WHERE (\(each.key)) IN (
                    SELECT \(each.key) FROM \(each.table) ORDER BY \(each.time) LIMIT ?1)
                """)
            defer { statement.finish() }
            try statement.bind(count - rowsKept, at: 1)
            try statement.run()
        }
    }

    /// Forgets within the caller's transaction: partial downloads, openers, answers of the Hub, passes and failed repairs not
    /// seen for 90 days; opens, refs, complete revisions and what was asked for not seen for 400; and when there are more than a million digests,
    /// those computed more than 400 days ago.
    ///
    /// - Parameter now: by a clock that is right: a wrong one would take what protects.
    static func prune(_ database: Database, now: Timestamp, contentKept: Int64 = contentKept) throws {
        try delete(
            database, "partial_seen", key: "cache, repo, etag", condition: "last_seen < ?1",
            before: time(now, earlierBy: partialAge))
        for each in aging {
            try delete(
                database, each.table, key: each.key, condition: "\(each.time) < ?1",
                before: time(now, earlierBy: each.age))
        }
        guard try isContentLarge(database, contentKept) else { return }
        try delete(
            database, "content", key: "filesystem, inode, algorithm", condition: "verified_at < ?1",
            before: time(now, earlierBy: contentAge))
    }

    /// A clock may stand anywhere, before the year 1700 too.
    private static func time(_ now: Timestamp, earlierBy age: Int64) -> Int64 {
        let (time, overflow) = now.nanoseconds.subtractingReportingOverflow(age)
        return overflow ? .min : time
    }

    private static func isContentLarge(_ database: Database, _ kept: Int64) throws -> Bool {
        // Counting reads the whole table; a file too small for that many rows need not be counted. A row takes at least 40
        // bytes, with a digest of 20.
        let sizing = try RawStatement(
            database, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        defer { sizing.finish() }
        guard try sizing.step(), let size = sizing.integer(at: 0), size / 40 > kept else { return false }
        let counting = try RawStatement(database, "SELECT count(*) FROM content")
        defer { counting.finish() }
        guard try counting.step(), let count = counting.integer(at: 0) else { return false }
        return count > kept
    }

    private static func delete(
        _ database: Database, _ table: String, key: String, condition: String, before time: Int64
    ) throws {
        let statement = try RawStatement(
            database,
            "DELETE FROM \(table) WHERE (\(key)) IN (SELECT \(key) FROM \(table) WHERE \(condition) LIMIT \(batch))")
        defer { statement.finish() }
        try statement.bind(time, at: 1)
        try statement.run()
    }
}

extension Ledger {
    /// Forgets what is old: what protects (opens, refs, complete revisions) after 400 days, everything else after 90, and digests
    /// only when there are very many. Nothing is ever forgotten by age without this call.
    ///
    /// - Parameter now: the time, by a clock that was judged right: see `ClockReading`. Daily is often enough.
    public func prune(now: Timestamp) {
        let _: Void? = write { try Housekeeping.prune($0, now: now) }
    }
}
