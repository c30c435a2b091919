internal import GRDB
public import HubCache

extension Ledger {
    private enum Limits {
        static let name = Ledger.nameLimit
        /// No repo downloads more files at once; a folder full of invented names must not fill the ledger.
        static let etagsPerRepo = 4096
        /// How far behind `last_seen` may be: noting the same download again every second need not write.
        static let staleness: Int64 = 86_400_000_000_000
    }

    /// Remembers that partial downloads were seen, so that a shard whose partial has gone is known to have been wanted.
    ///
    /// - Parameters:
    ///   - cache: the cache's resolved root. One that is not UTF-8 is not remembered.
    ///   - repo: the repo's folder name.
    ///   - etags: what was being downloaded.
    ///   - time: when they were seen.
    public func notePartials(cache: BytePath, repo: String, etags: some Collection<String>, at time: Timestamp) {
        guard !etags.isEmpty, let root = Self.key(cache, repo), time.nanoseconds > 0 else { return }
        let usable = Set(etags.lazy.filter { !$0.isEmpty && $0.utf8.count <= Limits.name && !$0.utf8.contains(0) })
        let known = partials(root, repo)
        // Nothing to write for those that were noted lately.
        var fresh: [String] = []
        var room = Limits.etagsPerRepo - known.count
        for etag in usable.sorted() {
            if let seen = known[etag] {
                if time.nanoseconds > seen, time.nanoseconds - seen > Limits.staleness { fresh.append(etag) }
            } else if room > 0 {
                room -= 1
                fresh.append(etag)
            }
        }
        guard !fresh.isEmpty else { return }
        let _: Void? = write { [fresh] database in
            let statement = try RawStatement(
                database,
                """
                INSERT INTO partial_seen (cache, repo, etag, first_seen, last_seen) VALUES (?1, ?2, ?3, ?4, ?4)
                ON CONFLICT (cache, repo, etag) DO UPDATE SET last_seen = max(last_seen, excluded.last_seen)
                """)
            defer { statement.finish() }
            for etag in fresh {
                try statement.bind(root, at: 1)
                try statement.bind(repo, at: 2)
                try statement.bind(etag, at: 3)
                try statement.bind(time.nanoseconds, at: 4)
                try statement.run()
            }
        }
    }

    /// The etags of the partial downloads that were seen in a repo, now or earlier.
    public func seenPartials(cache: BytePath, repo: String) -> Set<String> {
        guard let root = Self.key(cache, repo) else { return [] }
        return Set(partials(root, repo).keys)
    }

    /// Forgets partial downloads: they have arrived, or nobody wants them any more.
    ///
    /// - Parameter etags: which; nil for all of the repo.
    public func forgetPartials(cache: BytePath, repo: String, etags: Set<String>? = nil) {
        guard let root = Self.key(cache, repo) else { return }
        let known = partials(root, repo)
        let unwanted = known.keys.filter { etags?.contains($0) ?? true }
        guard !unwanted.isEmpty else { return }
        let _: Void? = write { database in
            let statement = try RawStatement(
                database, "DELETE FROM partial_seen WHERE cache = ?1 AND repo = ?2 AND etag = ?3")
            defer { statement.finish() }
            for etag in unwanted {
                try statement.bind(root, at: 1)
                try statement.bind(repo, at: 2)
                try statement.bind(etag, at: 3)
                try statement.run()
            }
        }
    }

    /// Etag and last sight.
    private func partials(_ root: String, _ repo: String) -> [String: Int64] {
        read([:]) { database in
            let statement = try RawStatement(
                database,
                """
                SELECT etag, last_seen FROM partial_seen WHERE cache = ?1 AND repo = ?2 LIMIT \(Limits.etagsPerRepo)
                """)
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            try statement.bind(repo, at: 2)
            var found: [String: Int64] = [:]
            while try statement.step() {
                guard let etag = statement.text(at: 0, maximumBytes: Limits.name), !etag.isEmpty,
                    let seen = statement.integer(at: 1), seen > 0
                else { continue }
                found[etag] = seen
            }
            return found
        }
    }
}
