internal import GRDB
public import HubCache

extension Schema {
    /// What was asked for of revisions and has not all come.
    static let askedStep = Step(
        name: "6-asked",
        objects: [
            (
                "asked",
                """
                CREATE TABLE asked (
                    cache TEXT NOT NULL,
                    repo TEXT NOT NULL,
                    revision TEXT NOT NULL,
                    excludes INTEGER NOT NULL,
                    pattern TEXT NOT NULL,
                    asked_at INTEGER NOT NULL,
                    PRIMARY KEY (cache, repo, revision, excludes, pattern)
                ) WITHOUT ROWID
                """
            )
        ])
}

/// What somebody asked for of a revision, by patterns as huggingface_hub has them.
public struct AskedFiles: Hashable, Sendable {
    /// A file has to fit one of these; empty for any file.
    public var include: [String]
    /// And none of these.
    public var exclude: [String]

    /// Makes it of its parts.
    public init(include: [String], exclude: [String]) {
        self.include = include
        self.exclude = exclude
    }
}

extension Ledger {
    private enum Limits {
        static let pattern = 1024
        static let patterns = 256
    }

    /// Remembers what is asked for of a revision, in place of what was asked for before. What of it does not come is missing, and
    /// not left out on purpose. Patterns that are too many or too long are not remembered.
    ///
    /// - Parameters:
    ///   - cache: the cache's resolved root. One that is not UTF-8 is not remembered.
    ///   - repo: the repo's folder name.
    ///   - time: now.
    public func note(asked: AskedFiles, cache: BytePath, repo: String, commit: CommitHash, at time: Timestamp) {
        let include = asked.include.isEmpty ? ["*"] : asked.include
        let patterns = Set(include.map { AskedPattern(excludes: false, text: $0) })
            .union(asked.exclude.map { AskedPattern(excludes: true, text: $0) })
        guard let root = Self.key(cache, repo), time.nanoseconds > 0, patterns.count <= Limits.patterns,
            patterns.allSatisfy({ Self.isText($0.text, atMost: Limits.pattern) })
        else { return }
        let _: Void? = write { database in
            try Self.forgetAsked(database, root, repo, commit)
            let statement = try RawStatement(
                database,
                "INSERT INTO asked (cache, repo, revision, excludes, pattern, asked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            )
            defer { statement.finish() }
            for pattern in patterns {
                try statement.bind(root, at: 1)
                try statement.bind(repo, at: 2)
                try statement.bind(commit.hex, at: 3)
                try statement.bind(pattern.excludes ? 1 : 0, at: 4)
                try statement.bind(pattern.text, at: 5)
                try statement.bind(time.nanoseconds, at: 6)
                try statement.run()
            }
        }
    }

    /// What was asked for of a cache's revisions and has not all come, and when, by the repos' folder names.
    public func asked(cache: BytePath) -> [String: [CommitHash: (files: AskedFiles, time: Timestamp)]] {
        guard let root = Self.key(cache) else { return [:] }
        let latest = latestBelievable
        return read([:]) { database in
            let statement = try RawStatement(
                database,
                """
                SELECT repo, revision, excludes, pattern, asked_at FROM asked WHERE cache = ?1
                LIMIT \(Self.rowsLoaded)
                """)
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            var found: [String: [CommitHash: (files: AskedFiles, time: Timestamp)]] = [:]
            while try statement.step() {
                guard let repo = statement.key(at: 0, maximumBytes: Self.nameLimit),
                    let commit = statement.commit(at: 1),
                    let excludes = statement.integer(at: 2),
                    let pattern = statement.key(at: 3, maximumBytes: Limits.pattern),
                    let time = statement.time(at: 4, latest: latest)
                else { continue }
                var files = found[repo]?[commit]?.files ?? AskedFiles(include: [], exclude: [])
                if excludes == 0 { files.include.append(pattern) } else { files.exclude.append(pattern) }
                found[repo, default: [:]][commit] = (files, time)
            }
            // Without any pattern to fit, everything would be meant.
            return found.mapValues { $0.filter { !$0.value.files.include.isEmpty } }
        }
    }

    /// Forgets what was asked for: it has come, or nobody wants it any more.
    ///
    /// - Parameter commit: nil for all revisions of the repo.
    public func forgetAsked(cache: BytePath, repo: String, commit: CommitHash?) {
        guard let root = Self.key(cache, repo) else { return }
        let known = asked(cache: cache)[repo] ?? [:]
        guard commit.map({ known[$0] != nil }) ?? !known.isEmpty else { return }
        let _: Void? = write { database in try Self.forgetAsked(database, root, repo, commit) }
    }

    private static func forgetAsked(
        _ database: Database, _ root: String, _ repo: String, _ commit: CommitHash?
    ) throws {
        let statement = try RawStatement(
            database, "DELETE FROM asked WHERE cache = ?1 AND repo = ?2 AND (?3 IS NULL OR revision = ?3)")
        defer { statement.finish() }
        try statement.bind(root, at: 1)
        try statement.bind(repo, at: 2)
        try statement.bind(commit?.hex, at: 3)
        try statement.run()
    }
}

private struct AskedPattern: Hashable {
    var excludes: Bool
    var text: String
}
