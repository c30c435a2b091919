internal import GRDB
public import HubCache

/// What a pass that removed something came to.
public struct PassResult: Hashable, Sendable {
    /// The filesystem's id: see `Filesystem.id` of `LinuxIO`.
    public var filesystem: UInt64
    /// Bytes that were to become free.
    public var predicted: UInt64
    /// Bytes that did, with the growth of the cache's own partials added back.
    public var appeared: UInt64
    /// When that was measured.
    public var endedAt: Timestamp

    /// Makes a record of its parts.
    public init(filesystem: UInt64, predicted: UInt64, appeared: UInt64, endedAt: Timestamp) {
        self.filesystem = filesystem
        self.predicted = predicted
        self.appeared = appeared
        self.endedAt = endedAt
    }
}

/// How often the repair of one file was tried, and what became of it.
public struct RepairAttempts: Hashable, Sendable {
    /// The repo's folder name.
    public var repo: String
    /// The revision.
    public var commit: CommitHash
    /// The file's path in the repo.
    public var file: String
    /// How often it was tried in vain.
    public var count: Int
    /// Why it failed the last time.
    public var reason: String
    /// When that was.
    public var lastAt: Timestamp
}

extension Ledger {
    private enum Limits {
        static let passes = 100
        static let reason = 1024
    }

    // MARK: passes

    /// Remembers what a pass came to.
    public func note(pass: PassResult) {
        guard pass.endedAt.nanoseconds > 0 else { return }
        let _: Void? = write { database in
            let statement = try RawStatement(
                database,
                "INSERT OR REPLACE INTO pass (filesystem, ended_at, predicted, appeared) VALUES (?1, ?2, ?3, ?4)")
            defer { statement.finish() }
            try statement.bind(Int64(bitPattern: pass.filesystem), at: 1)
            try statement.bind(pass.endedAt.nanoseconds, at: 2)
            try statement.bind(Int64(clamping: pass.predicted), at: 3)
            try statement.bind(Int64(clamping: pass.appeared), at: 4)
            try statement.run()
            let pruning = try RawStatement(
                database,
                """
                DELETE FROM pass WHERE filesystem = ?1 AND ended_at <= (
                    SELECT ended_at FROM pass WHERE filesystem = ?1 ORDER BY ended_at DESC LIMIT 1 OFFSET \(Limits.passes))
                """)
            defer { pruning.finish() }
            try pruning.bind(Int64(bitPattern: pass.filesystem), at: 1)
            try pruning.run()
        }
    }

    /// What the last passes on a filesystem came to, the last one first; at most 100 are remembered.
    public func passes(onFilesystem filesystem: UInt64, limit: Int = 10) -> [PassResult] {
        let latest = latestBelievable
        return read([]) { database in
            let statement = try RawStatement(
                database,
                """
                SELECT ended_at, predicted, appeared FROM pass WHERE filesystem = ?1 ORDER BY ended_at DESC LIMIT ?2
                """)
            defer { statement.finish() }
            try statement.bind(Int64(bitPattern: filesystem), at: 1)
            try statement.bind(Int64(max(0, min(limit, Limits.passes))), at: 2)
            var found: [PassResult] = []
            while try statement.step() {
                guard let endedAt = statement.time(at: 0, latest: latest),
                    let predicted = statement.integer(at: 1).flatMap({ UInt64(exactly: $0) }),
                    let appeared = statement.integer(at: 2).flatMap({ UInt64(exactly: $0) })
                else { continue }
                found.append(
                    PassResult(filesystem: filesystem, predicted: predicted, appeared: appeared, endedAt: endedAt))
            }
            return found
        }
    }

    // MARK: repair

    /// Remembers that the repair of a file failed once more. The reason is cut to 1024 bytes.
    public func noteFailedRepair(
        cache: BytePath, repo: String, commit: CommitHash, file: String, reason: String, at time: Timestamp
    ) {
        guard let root = Self.key(cache, repo), Self.isText(file, atMost: Self.pathLimit), time.nanoseconds > 0 else {
            return
        }
        let _: Void? = write { database in
            let statement = try RawStatement(
                database,
                """
                INSERT INTO repair_attempt (cache, repo, revision, file, attempts, reason, last_at)
                VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6)
                ON CONFLICT (cache, repo, revision, file) DO UPDATE SET
                    attempts = min(attempts + 1, 1000000), reason = excluded.reason, last_at = excluded.last_at
                """)
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            try statement.bind(repo, at: 2)
            try statement.bind(commit.hex, at: 3)
            try statement.bind(file, at: 4)
            try statement.bind(reason.cut(toBytes: Limits.reason), at: 5)
            try statement.bind(time.nanoseconds, at: 6)
            try statement.run()
        }
    }

    /// The files of a cache whose repair failed, by repo folder.
    public func repairAttempts(cache: BytePath) -> [String: [RepairAttempts]] {
        guard let root = Self.key(cache) else { return [:] }
        let latest = latestBelievable
        return read([:]) { database in
            let statement = try RawStatement(
                database,
                """
                SELECT repo, revision, file, attempts, reason, last_at FROM repair_attempt WHERE cache = ?1
                LIMIT \(Self.rowsLoaded)
                """)
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            var found: [String: [RepairAttempts]] = [:]
            while try statement.step() {
                guard let repo = statement.key(at: 0, maximumBytes: Self.nameLimit),
                    let commit = statement.commit(at: 1),
                    let file = statement.key(at: 2, maximumBytes: Self.pathLimit),
                    let count = statement.integer(at: 3), (1...1_000_000).contains(count),
                    let reason = statement.text(at: 4, maximumBytes: Limits.reason),
                    let lastAt = statement.time(at: 5, latest: latest)
                else { continue }
                found[repo, default: []].append(
                    RepairAttempts(
                        repo: repo, commit: commit, file: file, count: Int(count), reason: reason, lastAt: lastAt))
            }
            return found
        }
    }

    /// Forgets failed repairs of a revision: it was repaired, or attempts start anew.
    ///
    /// - Parameter file: of this file only.
    public func forgetFailedRepairs(cache: BytePath, repo: String, commit: CommitHash, file: String? = nil) {
        guard let root = Self.key(cache, repo) else { return }
        let _: Void? = write { database in
            let statement = try RawStatement(
                database,
                "DELETE FROM repair_attempt WHERE cache = ?1 AND repo = ?2 AND revision = ?3"
                    + (file == nil ? "" : " AND file = ?4"))
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            try statement.bind(repo, at: 2)
            try statement.bind(commit.hex, at: 3)
            if let file { try statement.bind(file, at: 4) }
            try statement.run()
        }
    }
}
