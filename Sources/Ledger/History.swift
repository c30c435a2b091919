internal import GRDB
public import HubCache

/// What was seen of a repo's revisions, in this pass: its refs, and which revisions were complete.
public struct SeenRevisions: Hashable, Sendable {
    /// The repo's folder name.
    public var repo: String
    /// The refs by name, as far as they name a commit. One that is missing here has not moved: it was removed, or could not be
    /// read.
    public var refs: [String: CommitHash]
    /// The revisions that were judged complete.
    public var complete: Set<CommitHash>

    /// Makes a record of its parts.
    public init(repo: String, refs: [String: CommitHash], complete: Set<CommitHash>) {
        self.repo = repo
        self.refs = refs
        self.complete = complete
    }
}

/// What is remembered of a cache's revisions, in memory.
public struct RevisionHistory: Sendable {
    struct RefKey: Hashable { var repo, ref: String }
    struct RefRow { var commit: CommitHash, lastSeen: Int64 }
    struct CompleteKey: Hashable { var repo: String, commit: CommitHash }

    /// What each ref names, as last seen.
    var refs: [RefKey: RefRow] = [:]
    /// The revisions that were complete, and when that was last seen.
    var complete: [CompleteKey: Int64] = [:]

    /// Nothing.
    public init() {}
}

extension Ledger {
    private enum Limits {
        static let ref = 1024
        /// No repo has more; a folder full of invented names must not fill the ledger.
        static let refsPerRepo = 1024
        /// How far behind `last_seen` may be: most passes find nothing to write.
        static let staleness: Int64 = 7 * 86_400_000_000_000
    }

    /// What is remembered of the revisions of a cache, to compare a pass with.
    ///
    /// - Parameter repo: of this repo only.
    public func revisionHistory(cache: BytePath, repo: String? = nil) -> RevisionHistory {
        guard let root = Self.key(cache) else { return RevisionHistory() }
        let latest = latestBelievable
        let condition = "cache = ?1" + (repo == nil ? "" : " AND repo = ?2")
        return read(RevisionHistory()) { database in
            var history = RevisionHistory()
            let refs = try RawStatement(
                database,
                """
                SELECT repo, ref, revision, last_seen FROM ref_seen WHERE \(condition) AND moved_at IS NULL
                LIMIT \(Self.rowsLoaded)
                """)
            defer { refs.finish() }
            try refs.bind(root, at: 1)
            if let repo { try refs.bind(repo, at: 2) }
            while try refs.step() {
                guard let repo = refs.key(at: 0, maximumBytes: Self.nameLimit),
                    let ref = refs.key(at: 1, maximumBytes: Limits.ref), let commit = refs.commit(at: 2),
                    let lastSeen = refs.time(at: 3, latest: latest)
                else { continue }
                // Two rows of one ref are not this program's: the younger one counts.
                let key = RevisionHistory.RefKey(repo: repo, ref: ref)
                if let other = history.refs[key], other.lastSeen > lastSeen.nanoseconds { continue }
                history.refs[key] = .init(commit: commit, lastSeen: lastSeen.nanoseconds)
            }
            let complete = try RawStatement(
                database,
                "SELECT repo, revision, last_seen FROM complete_once WHERE \(condition) LIMIT \(Self.rowsLoaded)")
            defer { complete.finish() }
            try complete.bind(root, at: 1)
            if let repo { try complete.bind(repo, at: 2) }
            while try complete.step() {
                guard let repo = complete.key(at: 0, maximumBytes: Self.nameLimit), let commit = complete.commit(at: 1),
                    complete.integer(at: 2) != nil
                else { continue }
                // That it was complete once is believed with any time; one that cannot be is corrected by the next pass.
                history.complete[.init(repo: repo, commit: commit)] =
                    complete.time(at: 2, latest: latest)?.nanoseconds ?? .min
            }
            return history
        }
    }

    /// Remembers what a pass saw of revisions, in one transaction; when nothing is new, nothing is written.
    ///
    /// A ref that names another commit than before has moved: the old commit is superseded from then on, unless some ref of
    /// the repo names it.
    ///
    /// - Parameter time: when the pass began. What was seen later is not changed.
    public func note(revisions: some Collection<SeenRevisions>, cache: BytePath, at time: Timestamp) {
        guard let root = Self.key(cache), time.nanoseconds > 0, !revisions.isEmpty else { return }
        let history = revisionHistory(cache: cache, repo: revisions.count == 1 ? revisions.first?.repo : nil)
        let usable = revisions.filter { Self.isText($0.repo, atMost: Self.nameLimit) }
        var refs: [(repo: String, ref: String, commit: CommitHash)] = []
        var complete: [(repo: String, commit: CommitHash)] = []
        for seen in usable {
            for (ref, commit) in seen.refs.sorted(by: { $0.key < $1.key }).prefix(Limits.refsPerRepo)
            where Self.isText(ref, atMost: Limits.ref) {
                if let known = history.refs[.init(repo: seen.repo, ref: ref)] {
                    if known.lastSeen > time.nanoseconds { continue }
                    if known.commit == commit, Self.isFresh(known.lastSeen, at: time) { continue }
                }
                refs.append((seen.repo, ref, commit))
            }
            for commit in seen.complete.sorted() {
                if let lastSeen = history.complete[.init(repo: seen.repo, commit: commit)],
                    Self.isFresh(lastSeen, at: time)
                {
                    continue
                }
                complete.append((seen.repo, commit))
            }
        }
        guard !refs.isEmpty || !complete.isEmpty else { return }
        let latest = latestBelievable
        let _: Void? = write { [refs, complete] database in
            try Self.insert(database, root, refs, time, latest: latest)
            let statement = try RawStatement(
                database,
                """
                INSERT INTO complete_once (cache, repo, revision, first_seen, last_seen) VALUES (?1, ?2, ?3, ?4, ?4)
                ON CONFLICT (cache, repo, revision) DO UPDATE SET last_seen =
                    CASE WHEN last_seen > ?5 THEN excluded.last_seen ELSE max(last_seen, excluded.last_seen) END
                """)
            defer { statement.finish() }
            for (repo, commit) in complete {
                try statement.bind(root, at: 1)
                try statement.bind(repo, at: 2)
                try statement.bind(commit.hex, at: 3)
                try statement.bind(time.nanoseconds, at: 4)
                try statement.bind(latest, at: 5)
                try statement.run()
            }
        }
    }

    /// Whether what was last seen then need not be written anew; what was seen later than now need not either.
    private static func isFresh(_ lastSeen: Int64, at time: Timestamp) -> Bool {
        let (age, overflow) = time.nanoseconds.subtractingReportingOverflow(lastSeen)
        return overflow ? lastSeen > time.nanoseconds : age < Limits.staleness
    }

    /// - Parameter latest: no right clock wrote a later time: one that is there gives way.
    private static func insert(
        _ database: Database, _ root: String, _ refs: [(repo: String, ref: String, commit: CommitHash)],
        _ time: Timestamp, latest: Int64
    ) throws {
        let moving = try RawStatement(
            database,
            """
            UPDATE ref_seen SET moved_at = ?5
            WHERE cache = ?1 AND repo = ?2 AND ref = ?3 AND revision <> ?4 AND moved_at IS NULL
            """)
        defer { moving.finish() }
        let statement = try RawStatement(
            database,
            """
            INSERT INTO ref_seen (cache, repo, ref, revision, first_seen, last_seen) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
            ON CONFLICT (cache, repo, ref, revision) DO UPDATE SET
                last_seen = CASE WHEN last_seen > ?6 THEN excluded.last_seen ELSE max(last_seen, excluded.last_seen) END,
                moved_at = NULL
            """)
        defer { statement.finish() }
        try statement.bind(latest, at: 6)
        for (repo, ref, commit) in refs {
            for each in [moving, statement] {
                try each.bind(root, at: 1)
                try each.bind(repo, at: 2)
                try each.bind(ref, at: 3)
                try each.bind(commit.hex, at: 4)
                try each.bind(time.nanoseconds, at: 5)
                try each.run()
            }
        }
    }

    /// The commits that a ref of their repo named once and none names now, by repo folder, each with the time when the last
    /// such ref was seen to have moved on. A ref that was removed has not moved on.
    public func supersededCommits(cache: BytePath) -> [String: [CommitHash: Timestamp]] {
        guard let root = Self.key(cache) else { return [:] }
        let latest = latestBelievable
        return read([:]) { database in
            let statement = try RawStatement(
                database,
                """
                SELECT repo, revision, max(moved_at) FROM ref_seen WHERE cache = ?1
                GROUP BY repo, revision HAVING count(moved_at) = count(*) LIMIT \(Self.rowsLoaded)
                """)
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            var found: [String: [CommitHash: Timestamp]] = [:]
            while try statement.step() {
                guard let repo = statement.key(at: 0, maximumBytes: Self.nameLimit),
                    let commit = statement.commit(at: 1),
                    let movedAt = statement.time(at: 2, latest: latest)
                else { continue }
                found[repo, default: [:]][commit] = movedAt
            }
            return found
        }
    }

    /// The revisions of a cache that were complete once, by repo folder.
    public func completeOnce(cache: BytePath) -> [String: Set<CommitHash>] {
        var found: [String: Set<CommitHash>] = [:]
        for key in revisionHistory(cache: cache).complete.keys { found[key.repo, default: []].insert(key.commit) }
        return found
    }

    /// When the revisions of a repo were complete, as last seen: to a week, while they stay so.
    public func lastComplete(cache: BytePath, repo: String) -> [CommitHash: Timestamp] {
        var found: [CommitHash: Timestamp] = [:]
        for (key, time) in revisionHistory(cache: cache, repo: repo).complete {
            found[key.commit] = Timestamp(nanoseconds: time)
        }
        return found
    }

    /// Forgets a revision that was removed on purpose: that refs named it, that it was complete, its own opens, failed repairs,
    /// what was asked for of it, and what the Hub said of it. Opens of its blobs stay: other revisions may link to them.
    public func forget(revision commit: CommitHash, cache: BytePath, repo: String) {
        guard let root = Self.key(cache, repo) else { return }
        let _: Void? = write { database in
            for table in ["ref_seen", "complete_once", "repair_attempt", "asked"] {
                let statement = try RawStatement(
                    database, "DELETE FROM \(table) WHERE cache = ?1 AND repo = ?2 AND revision = ?3")
                defer { statement.finish() }
                try statement.bind(root, at: 1)
                try statement.bind(repo, at: 2)
                try statement.bind(commit.hex, at: 3)
                try statement.run()
            }
            // Answers of the Hub are for all caches: another one that has the revision asks again.
            let answers = try RawStatement(database, "DELETE FROM hub_answer WHERE repo = ?1 AND revision = ?2")
            defer { answers.finish() }
            try answers.bind(repo, at: 1)
            try answers.bind(commit.hex, at: 2)
            try answers.run()
            let opens = try RawStatement(
                database, "DELETE FROM opened WHERE cache = ?1 AND repo = ?2 AND kind = ?3 AND name = ?4")
            defer { opens.finish() }
            try opens.bind(root, at: 1)
            try opens.bind(repo, at: 2)
            try opens.bind(OpenedThing.revision(commit).row.kind, at: 3)
            try opens.bind(commit.hex, at: 4)
            try opens.run()
        }
    }
}
