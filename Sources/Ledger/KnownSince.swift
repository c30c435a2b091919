internal import GRDB
public import HubCache

extension Ledger {
    /// Since when refs of a cache's repos are noted: what arrived before may have been anything. Nil: nothing is noted.
    public func knownSince(cache: BytePath) -> Timestamp? {
        guard let root = Self.key(cache) else { return nil }
        let latest = latestBelievable
        return read(nil) { database in
            let statement = try RawStatement(database, "SELECT MIN(first_seen) FROM ref_seen WHERE cache = ?1")
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            return try statement.step() ? statement.time(at: 0, latest: latest) : nil
        }
    }
}
