internal import GRDB
public import HubCache

/// What the Hub said when it was asked whether it would give a file back.
public struct HubAnswer: Hashable, Sendable {
    /// What was said.
    public enum Verdict: Int64, Hashable, Sendable {
        // The raw values are in ledgers: never change one.
        /// It has this very file, and would give it to us.
        case confirmed = 1
        /// It has not, or would not.
        case refused = 2
        /// There was no answer.
        case none = 3
    }

    /// The repo's folder name.
    public var repo: String
    /// The revision.
    public var commit: CommitHash
    /// The file's path in the repo.
    public var file: String
    /// The etag that was expected.
    public var etag: String
    /// Who was asked.
    public var endpoint: String
    /// What was said.
    public var verdict: Verdict
    /// The words for a refusal or a missing answer.
    public var reason: String
    /// When.
    public var askedAt: Timestamp

    /// Makes a record of its parts.
    public init(
        repo: String, commit: CommitHash, file: String, etag: String, endpoint: String, verdict: Verdict,
        reason: String, askedAt: Timestamp
    ) {
        self.repo = repo
        self.commit = commit
        self.file = file
        self.etag = etag
        self.endpoint = endpoint
        self.verdict = verdict
        self.reason = reason
        self.askedAt = askedAt
    }
}

extension Ledger {
    private enum Limits {
        static let endpoint = 1024
        static let reason = 1024
    }

    /// Remembers an answer of the Hub; of each file the last. The reason is cut to 1024 bytes.
    public func note(hubAnswer answer: HubAnswer) {
        guard answer.askedAt.nanoseconds > 0, Self.isText(answer.repo, atMost: Self.nameLimit),
            Self.isText(answer.file, atMost: Self.pathLimit), Self.isText(answer.etag, atMost: Self.nameLimit),
            answer.endpoint.isEmpty || Self.isText(answer.endpoint, atMost: Limits.endpoint)
        else { return }
        let _: Void? = write { database in
            let statement = try RawStatement(
                database,
                """
                INSERT OR REPLACE INTO hub_answer (repo, revision, file, etag, endpoint, answer, reason, asked_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                """)
            defer { statement.finish() }
            try statement.bind(answer.repo, at: 1)
            try statement.bind(answer.commit.hex, at: 2)
            try statement.bind(answer.file, at: 3)
            try statement.bind(answer.etag, at: 4)
            try statement.bind(answer.endpoint, at: 5)
            try statement.bind(answer.verdict.rawValue, at: 6)
            try statement.bind(answer.reason.cut(toBytes: Limits.reason), at: 7)
            try statement.bind(answer.askedAt.nanoseconds, at: 8)
            try statement.run()
        }
    }

    /// The answers of the Hub, of every file asked for the last one, by repo folder.
    ///
    /// - Parameters:
    ///   - repo: of this repo only.
    ///   - time: only what was asked then or later.
    public func hubAnswers(repo: String? = nil, askedSince time: Timestamp) -> [String: [HubAnswer]] {
        let latest = latestBelievable
        return read([:]) { database in
            let condition = "asked_at >= ?1" + (repo == nil ? "" : " AND repo = ?2")
            let statement = try RawStatement(
                database,
                """
                SELECT repo, revision, file, etag, endpoint, answer, reason, asked_at FROM hub_answer
                WHERE \(condition) LIMIT \(Self.rowsLoaded)
                """)
            defer { statement.finish() }
            try statement.bind(time.nanoseconds, at: 1)
            if let repo { try statement.bind(repo, at: 2) }
            var found: [String: [HubAnswer]] = [:]
            while try statement.step() {
                guard let repo = statement.key(at: 0, maximumBytes: Self.nameLimit),
                    let commit = statement.commit(at: 1),
                    let file = statement.key(at: 2, maximumBytes: Self.pathLimit),
                    let etag = statement.key(at: 3, maximumBytes: Self.nameLimit),
                    let endpoint = statement.text(at: 4, maximumBytes: Limits.endpoint),
                    let verdict = statement.integer(at: 5).flatMap(HubAnswer.Verdict.init),
                    let reason = statement.text(at: 6, maximumBytes: Limits.reason),
                    let askedAt = statement.time(at: 7, latest: latest)
                else { continue }
                found[repo, default: []].append(
                    HubAnswer(
                        repo: repo, commit: commit, file: file, etag: etag, endpoint: endpoint, verdict: verdict,
                        reason: reason, askedAt: askedAt))
            }
            return found
        }
    }
}
