internal import GRDB
public import HubCache

/// How far the background digest pass over a cache is.
public struct ScrubRecord: Hashable, Sendable {
    /// When it began.
    public var begunAt: Timestamp
    /// The folder of the last repo that is done; empty: none.
    public var position: String
    /// Revisions looked at so far.
    public var checked: Int
    /// Bytes hashed so far.
    public var bytes: UInt64
    /// Whether somebody asked for it: then it goes on though the policy wants none.
    public var isRequested: Bool
    /// When it ended, at its end or cancelled; nil: it is under way.
    public var endedAt: Timestamp?
    /// When one last came to its end, this one or one before it.
    public var finishedAt: Timestamp?

    /// Makes a record of its parts.
    public init(
        begunAt: Timestamp, position: String = "", checked: Int = 0, bytes: UInt64 = 0, isRequested: Bool = false,
        endedAt: Timestamp? = nil, finishedAt: Timestamp? = nil
    ) {
        self.begunAt = begunAt
        self.position = position
        self.checked = checked
        self.bytes = bytes
        self.isRequested = isRequested
        self.endedAt = endedAt
        self.finishedAt = finishedAt
    }

    /// Whether it was told to stop before its end.
    public var isCancelled: Bool { endedAt != nil && endedAt != finishedAt }
}

extension Schema {
    /// Where the background digest pass is.
    static let scrubStep = Step(
        name: "3-scrub",
        objects: [
            (
                "scrub",
                """
                CREATE TABLE scrub (
                    cache TEXT NOT NULL,
                    begun_at INTEGER NOT NULL,
                    position TEXT NOT NULL,
                    checked INTEGER NOT NULL,
                    bytes INTEGER NOT NULL,
                    requested INTEGER NOT NULL,
                    ended_at INTEGER,
                    finished_at INTEGER,
                    PRIMARY KEY (cache)
                ) WITHOUT ROWID
                """
            )
        ])
}

extension Ledger {
    /// Remembers how far the digest pass over a cache is. A position that is no text is not remembered.
    public func note(scrub: ScrubRecord, cache: BytePath) {
        guard let root = Self.key(cache), scrub.begunAt.nanoseconds > 0,
            scrub.position.isEmpty || Self.isText(scrub.position, atMost: Self.nameLimit)
        else { return }
        let _: Void? = write { database in
            let statement = try RawStatement(
                database,
                """
                INSERT OR REPLACE INTO scrub (cache, begun_at, position, checked, bytes, requested, ended_at, finished_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, nullif(?7, 0), nullif(?8, 0))
                """)
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            try statement.bind(scrub.begunAt.nanoseconds, at: 2)
            try statement.bind(scrub.position, at: 3)
            try statement.bind(Int64(max(0, scrub.checked)), at: 4)
            try statement.bind(Int64(clamping: scrub.bytes), at: 5)
            try statement.bind(scrub.isRequested ? 1 : 0, at: 6)
            try statement.bind(scrub.endedAt?.nanoseconds ?? 0, at: 7)
            try statement.bind(scrub.finishedAt?.nanoseconds ?? 0, at: 8)
            try statement.run()
        }
    }

    /// How far the digest pass over a cache is; nil: there was none.
    public func scrub(cache: BytePath) -> ScrubRecord? {
        guard let root = Self.key(cache) else { return nil }
        let latest = latestBelievable
        return read(nil) { database in
            let statement = try RawStatement(
                database,
                """
                SELECT begun_at, position, checked, bytes, requested, ended_at, finished_at FROM scrub WHERE cache = ?1
                """)
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            guard try statement.step(), let begunAt = statement.time(at: 0, latest: latest),
                let position = statement.text(at: 1, maximumBytes: Self.nameLimit),
                let checked = statement.integer(at: 2).flatMap({ Int(exactly: $0) }), checked >= 0,
                let bytes = statement.integer(at: 3).flatMap({ UInt64(exactly: $0) }),
                let requested = statement.integer(at: 4)
            else { return nil }
            let endedAt = statement.time(at: 5, latest: latest)
            let finishedAt = statement.time(at: 6, latest: latest)
            guard endedAt != nil || statement.isNull(at: 5), finishedAt != nil || statement.isNull(at: 6) else {
                return nil
            }
            return ScrubRecord(
                begunAt: begunAt, position: position, checked: checked, bytes: bytes, isRequested: requested == 1,
                endedAt: endedAt, finishedAt: finishedAt)
        }
    }
}
