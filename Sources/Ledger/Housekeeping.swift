internal import GRDB
internal import HubCache

/// Forgetting what is old, so that the ledger does not grow for ever.
enum Housekeeping {
    /// Below this many digests, some 120 MB, none is forgotten.
    static let contentKept: Int64 = 1_000_000
    private static let day: Int64 = 86_400_000_000_000
    static let contentAge: Int64 = 400 * day
    static let partialAge: Int64 = 90 * day
    /// At most so many rows at once: the writer's lock is held meanwhile.
    static let batch = 100_000

    /// Forgets within the caller's transaction: partial downloads not seen for 90 days; and when there are more than a million
    /// digests, those computed more than 400 days ago.
    static func prune(_ database: Database, now: Timestamp, contentKept: Int64 = contentKept) throws {
        try delete(
            database, "partial_seen", key: "cache, repo, etag", condition: "last_seen < ?1",
            before: time(now, earlierBy: partialAge))
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
