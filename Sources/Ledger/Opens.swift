internal import GRDB
public import HubCache

/// What was opened.
public enum OpenedThing: Hashable, Sendable {
    /// A blob, by its name: the open counts for every revision that links to it.
    case blob(String)
    /// A revision, where the file that was opened is no blob.
    case revision(CommitHash)
}

/// Where an open is known from.
public enum OpenSource: Int64, Hashable, Sendable {
    // The raw values are in ledgers: never change one.
    /// The cache was watched.
    case watch = 1
    /// A process was seen with the file open or mapped.
    case process = 2
    /// Somebody said so.
    case announced = 3
}

/// An open that was seen.
public struct RecordedOpen: Hashable, Sendable {
    /// The repo's folder name.
    public var repo: String
    /// What was opened.
    public var thing: OpenedThing
    /// When.
    public var time: Timestamp
    /// Where it is known from.
    public var source: OpenSource

    /// Makes a record of its parts.
    public init(repo: String, thing: OpenedThing, time: Timestamp, source: OpenSource) {
        self.repo = repo
        self.thing = thing
        self.time = time
        self.source = source
    }
}

/// A process that opened something of a cache.
public struct RecordedOpener: Hashable, Sendable {
    /// The repo's folder name.
    public var repo: String
    /// The blob's name; nil when it is not known which.
    public var blob: String?
    /// The process.
    public var process: ProcessIdentity
    /// When it was seen with it.
    public var seenAt: Timestamp

    /// Makes a record of its parts.
    public init(repo: String, blob: String?, process: ProcessIdentity, seenAt: Timestamp) {
        self.repo = repo
        self.blob = blob
        self.process = process
        self.seenAt = seenAt
    }
}

extension Ledger {
    private enum Limits {
        static let boot = 128
        static let openersPerCache = 20_000
        /// How far behind a time in the ledger may be.
        static let staleness: Int64 = 60_000_000_000
        /// A longer gap ends an interval of watching.
        static let gap: Int64 = 600_000_000_000
    }

    // MARK: opens

    /// Remembers opens. Of each thing the youngest counts; see `earlierOpens` for those before.
    ///
    /// - Parameter cache: the cache's resolved root. One that is not UTF-8 is not remembered.
    public func note(opens: some Collection<RecordedOpen>, cache: BytePath) {
        guard let root = Self.key(cache) else { return }
        let usable = opens.filter { open in
            guard open.time.nanoseconds > 0, Self.isText(open.repo, atMost: Self.nameLimit) else { return false }
            return Self.isText(open.thing.row.name, atMost: Self.nameLimit)
        }
        guard !usable.isEmpty else { return }
        let _: Void? = write { database in
            let statement = try RawStatement(
                database,
                """
                INSERT INTO opened (cache, repo, kind, name, opened_at, source) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                ON CONFLICT (cache, repo, kind, name) DO UPDATE SET
                    opened_at = excluded.opened_at, source = excluded.source
                WHERE excluded.opened_at > opened_at
                """)
            defer { statement.finish() }
            let keeping = try RawStatement(
                database,
                """
                INSERT OR IGNORE INTO opened_before (cache, repo, kind, name, opened_at, source)
                SELECT cache, repo, kind, name, opened_at, source FROM opened
                WHERE cache = ?1 AND repo = ?2 AND kind = ?3 AND name = ?4 AND opened_at < ?5
                """)
            defer { keeping.finish() }
            for open in usable {
                try keeping.bind(root, at: 1)
                try keeping.bind(open.repo, at: 2)
                try keeping.bind(open.thing.row.kind, at: 3)
                try keeping.bind(open.thing.row.name, at: 4)
                try keeping.bind(open.time.nanoseconds &- Self.openSpacing, at: 5)
                try keeping.run()
                try statement.bind(root, at: 1)
                try statement.bind(open.repo, at: 2)
                try statement.bind(open.thing.row.kind, at: 3)
                try statement.bind(open.thing.row.name, at: 4)
                try statement.bind(open.time.nanoseconds, at: 5)
                try statement.bind(open.source.rawValue, at: 6)
                try statement.run()
            }
        }
    }

    /// The youngest recorded open of everything in a cache, by repo folder.
    public func lastOpens(cache: BytePath) -> [String: [OpenedThing: RecordedOpen]] {
        guard let root = Self.key(cache) else { return [:] }
        let latest = latestBelievable
        return read([:]) { database in
            let statement = try RawStatement(
                database,
                "SELECT repo, kind, name, opened_at, source FROM opened WHERE cache = ?1 LIMIT \(Self.rowsLoaded)")
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            var found: [String: [OpenedThing: RecordedOpen]] = [:]
            while try statement.step() {
                guard let repo = statement.key(at: 0, maximumBytes: Self.nameLimit),
                    let kind = statement.integer(at: 1),
                    let name = statement.key(at: 2, maximumBytes: Self.nameLimit),
                    let thing = OpenedThing(kind: kind, name: name),
                    let time = statement.time(at: 3, latest: latest),
                    let source = statement.integer(at: 4).flatMap(OpenSource.init)
                else { continue }
                found[repo, default: [:]][thing] = RecordedOpen(repo: repo, thing: thing, time: time, source: source)
            }
            return found
        }
    }

    // MARK: openers

    /// Remembers which processes opened what.
    public func note(openers: some Collection<RecordedOpener>, cache: BytePath) {
        guard let root = Self.key(cache) else { return }
        let usable = openers.filter {
            $0.seenAt.nanoseconds > 0 && $0.process.id > 0 && $0.process.startTicks <= UInt64(Int64.max)
                && Self.isText($0.repo, atMost: Self.nameLimit) && Self.isText($0.process.boot, atMost: Limits.boot)
                && ($0.blob.map { Self.isText($0, atMost: Self.nameLimit) } ?? true)
        }
        guard !usable.isEmpty else { return }
        let _: Void? = write { database in
            let statement = try RawStatement(
                database,
                """
                INSERT INTO opener (cache, repo, blob, boot, pid, started, seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                ON CONFLICT (cache, repo, blob, boot, pid, started) DO UPDATE SET seen_at = excluded.seen_at
                WHERE excluded.seen_at > seen_at
                """)
            defer { statement.finish() }
            for opener in usable {
                try statement.bind(root, at: 1)
                try statement.bind(opener.repo, at: 2)
                try statement.bind(opener.blob ?? "", at: 3)
                try statement.bind(opener.process.boot, at: 4)
                try statement.bind(Int64(opener.process.id), at: 5)
                try statement.bind(Int64(opener.process.startTicks), at: 6)
                try statement.bind(opener.seenAt.nanoseconds, at: 7)
                try statement.run()
            }
        }
    }

    /// The processes that opened something of a cache since the machine was started, by repo folder. Whether they still run
    /// is for the caller to find out.
    ///
    /// - Parameter boot: see `ProcessIdentity.boot`; processes of another one are gone.
    public func openers(cache: BytePath, boot: String) -> [String: [RecordedOpener]] {
        guard let root = Self.key(cache), Self.isText(boot, atMost: Limits.boot) else { return [:] }
        let latest = latestBelievable
        return read([:]) { database in
            let statement = try RawStatement(
                database,
                """
                SELECT repo, blob, pid, started, seen_at FROM opener WHERE cache = ?1 AND boot = ?2
                LIMIT \(Limits.openersPerCache)
                """)
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            try statement.bind(boot, at: 2)
            var found: [String: [RecordedOpener]] = [:]
            while try statement.step() {
                guard let repo = statement.key(at: 0, maximumBytes: Self.nameLimit),
                    let blob = statement.text(at: 1, maximumBytes: Self.nameLimit),
                    let pid = statement.integer(at: 2).flatMap({ Int32(exactly: $0) }), pid > 0,
                    let started = statement.integer(at: 3).flatMap({ UInt64(exactly: $0) }),
                    let seenAt = statement.time(at: 4, latest: latest)
                else { continue }
                found[repo, default: []].append(
                    RecordedOpener(
                        repo: repo, blob: blob.isEmpty ? nil : blob,
                        process: ProcessIdentity(id: pid, startTicks: started, boot: boot), seenAt: seenAt))
            }
            return found
        }
    }

    /// Forgets openers that no longer run.
    public func forget(openers: some Collection<RecordedOpener>, cache: BytePath) {
        guard let root = Self.key(cache), !openers.isEmpty else { return }
        let _: Void? = write { database in
            let statement = try RawStatement(
                database,
                """
                DELETE FROM opener WHERE cache = ?1 AND repo = ?2 AND blob = ?3 AND boot = ?4 AND pid = ?5 AND started = ?6
                """)
            defer { statement.finish() }
            for opener in openers {
                try statement.bind(root, at: 1)
                try statement.bind(opener.repo, at: 2)
                try statement.bind(opener.blob ?? "", at: 3)
                try statement.bind(opener.process.boot, at: 4)
                try statement.bind(Int64(opener.process.id), at: 5)
                try statement.bind(Int64(clamping: opener.process.startTicks), at: 6)
                try statement.run()
            }
        }
    }

    // MARK: watching

    /// Says that a cache is being watched at this time. To be called every few minutes at least.
    ///
    /// More than ten minutes without such a call are a gap, after which watching counts anew; so does a clock that was set
    /// back.
    public func noteWatching(cache: BytePath, at time: Timestamp) {
        guard let root = Self.key(cache), time.nanoseconds > 0 else { return }
        let known = watching(root)
        if let known {
            let (age, overflow) = time.nanoseconds.subtractingReportingOverflow(known.lastSeen.nanoseconds)
            if !overflow, age >= 0, age < Limits.staleness { return }
        }
        let _: Void? = write { database in
            let statement = try RawStatement(
                database,
                """
                INSERT INTO watched (cache, since, last_seen) VALUES (?1, ?2, ?2)
                ON CONFLICT (cache) DO UPDATE SET
                    since = CASE WHEN ?2 >= last_seen AND ?2 - last_seen <= \(Limits.gap) THEN since ELSE ?2 END,
                    last_seen = ?2
                """)
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            try statement.bind(time.nanoseconds, at: 2)
            try statement.run()
        }
    }

    /// Since when a cache is watched without a gap of more than ten minutes; nil when it is not watched now.
    public func watchedSince(cache: BytePath) -> Timestamp? {
        guard let root = Self.key(cache), let known = watching(root), known.since <= known.lastSeen else { return nil }
        let age = now().nanoseconds.subtractingReportingOverflow(known.lastSeen.nanoseconds)
        guard !age.overflow, age.partialValue.magnitude <= Limits.gap.magnitude else { return nil }
        return known.since
    }

    private func watching(_ root: String) -> (since: Timestamp, lastSeen: Timestamp)? {
        let latest = latestBelievable
        return read(nil) { database in
            let statement = try RawStatement(database, "SELECT since, last_seen FROM watched WHERE cache = ?1")
            defer { statement.finish() }
            try statement.bind(root, at: 1)
            guard try statement.step(), let since = statement.time(at: 0, latest: latest),
                let lastSeen = statement.time(at: 1, latest: latest)
            else { return nil }
            return (since, lastSeen)
        }
    }
}

extension OpenedThing {
    /// How the table has it; the numbers are never changed.
    var row: (kind: Int64, name: String) {
        switch self {
        case .blob(let name): (1, name)
        case .revision(let commit): (2, commit.hex)
        }
    }

    init?(kind: Int64, name: String) {
        switch kind {
        case 1: self = .blob(name)
        case 2:
            guard let commit = CommitHash(name) else { return nil }
            self = .revision(commit)
        default: return nil
        }
    }
}
