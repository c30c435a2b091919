internal import GRDB
public import HubCache

/// Why a weight file's header is bad.
public struct HeaderVerdict: Hashable, Sendable {
    /// The finding's code, such as `header-invalid`.
    public var code: String
    /// The reader's own name for the error.
    public var reason: String
    /// Where in the file.
    public var offset: UInt64?
    /// More words.
    public var detail: String

    /// Makes a verdict of its parts.
    public init(code: String, reason: String, offset: UInt64?, detail: String) {
        self.code = code
        self.reason = reason
        self.offset = offset
        self.detail = detail
    }
}

/// A bad verdict just reached, to be remembered.
public struct BadHeader: Hashable, Sendable {
    /// The file, as it was before and after its header was read.
    public var version: FileVersion
    /// What is wrong.
    public var verdict: HeaderVerdict
    /// When reading began.
    public var startedAt: Timestamp

    /// Makes a record of its parts.
    public init(version: FileVersion, verdict: HeaderVerdict, startedAt: Timestamp) {
        self.version = version
        self.verdict = verdict
        self.startedAt = startedAt
    }
}

/// A bad verdict from an earlier run of this version of the program.
public struct RememberedHeaderVerdict: Hashable, Sendable {
    /// What was wrong.
    public var verdict: HeaderVerdict
    /// When the header was read.
    public var seenAt: Timestamp
}

/// The bad headers of one filesystem, in memory.
public struct RememberedHeaderVerdicts: Sendable {
    private var verdicts: [FileVersion: RememberedHeaderVerdict] = [:]

    /// No verdicts.
    public init() {}

    init(_ verdicts: [FileVersion: RememberedHeaderVerdict]) { self.verdicts = verdicts }

    /// How many there are.
    public var count: Int { verdicts.count }
    /// Whether there are none.
    public var isEmpty: Bool { verdicts.isEmpty }

    /// What is wrong with a file's header, if it was found of exactly this version of it.
    public func badHeader(of version: FileVersion) -> RememberedHeaderVerdict? { verdicts[version] }
}

extension Ledger {
    /// More bad headers of one filesystem than this are not loaded: such a cache has other problems.
    static let maximumVerdictsLoaded = 100_000

    private enum Limits {
        static let code = 64
        static let reason = 256
        static let detail = 4096
    }

    private static let verdictSelection = """
        SELECT inode, size, modified, changed, code, reason, offset, detail, seen_at FROM header_verdict
        WHERE program_version = ?1 AND filesystem = ?2
        """

    /// What is wrong with a file's header, if this version of the program found it of exactly this version of the file.
    public func badHeader(of version: FileVersion) -> RememberedHeaderVerdict? {
        verdicts(version.filesystem, inode: version.inode)[version]
    }

    /// All bad headers of one filesystem, for many questions in a row.
    public func badHeaders(onFilesystem filesystem: UInt64) -> RememberedHeaderVerdicts {
        RememberedHeaderVerdicts(verdicts(filesystem, inode: nil))
    }

    private func verdicts(_ filesystem: UInt64, inode: UInt64?) -> [FileVersion: RememberedHeaderVerdict] {
        let latest = latestBelievable
        return read([:]) { database in
            let condition = inode == nil ? " LIMIT \(Self.maximumVerdictsLoaded)" : " AND inode = ?3"
            let statement = try RawStatement(database, Self.verdictSelection + condition)
            defer { statement.finish() }
            try statement.bind(programVersion, at: 1)
            try statement.bind(Int64(bitPattern: filesystem), at: 2)
            if let inode { try statement.bind(Int64(bitPattern: inode), at: 3) }
            var found: [FileVersion: RememberedHeaderVerdict] = [:]
            while try statement.step() {
                guard let (version, verdict) = Self.verdict(statement, filesystem, latest: latest) else { continue }
                found[version] = verdict
            }
            return found
        }
    }

    /// Reads a row; nil when a value is not what this program would have written.
    private static func verdict(
        _ statement: RawStatement, _ filesystem: UInt64, latest: Int64
    ) -> (FileVersion, RememberedHeaderVerdict)? {
        guard let inode = statement.integer(at: 0),
            let size = statement.integer(at: 1), size >= 0,
            let modified = statement.integer(at: 2),
            let changed = statement.integer(at: 3),
            let code = statement.text(at: 4, maximumBytes: Limits.code), isCode(code),
            let reason = statement.text(at: 5, maximumBytes: Limits.reason),
            let detail = statement.text(at: 7, maximumBytes: Limits.detail),
            let seenAt = statement.integer(at: 8), seenAt > 0, seenAt <= latest
        else { return nil }
        var offset: UInt64?
        if !statement.isNull(at: 6) {
            guard let value = statement.integer(at: 6), value >= 0 else { return nil }
            offset = UInt64(value)
        }
        let version = FileVersion(
            filesystem: filesystem, inode: UInt64(bitPattern: inode), size: UInt64(size),
            modified: Timestamp(nanoseconds: modified), changed: Timestamp(nanoseconds: changed))
        let verdict = HeaderVerdict(code: code, reason: reason, offset: offset, detail: detail)
        return (version, RememberedHeaderVerdict(verdict: verdict, seenAt: Timestamp(nanoseconds: seenAt)))
    }

    private static func isCode(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
            }
    }

    /// Remembers bad headers.
    ///
    /// As with digests, a file that changed less than two seconds before it was read is left out: the verdict on a file that
    /// is still being written must not outlive the writing. Reason and detail are cut to 256 and 4096 bytes.
    ///
    /// - Returns: how many are remembered now.
    @discardableResult
    public func remember(badHeaders: some Collection<BadHeader>) -> Int {
        let settled = badHeaders.filter {
            $0.version.isSettled(before: $0.startedAt) && Self.isCode($0.verdict.code)
                && $0.verdict.code.utf8.count <= Limits.code
        }
        guard !settled.isEmpty else { return 0 }
        let isDone: Void? = write { database in
            let statement = try RawStatement(
                database,
                """
                INSERT OR REPLACE INTO header_verdict
                    (filesystem, inode, size, modified, changed, program_version, code, reason, offset, detail, seen_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                """)
            defer { statement.finish() }
            for header in settled {
                try statement.bind(Int64(bitPattern: header.version.filesystem), at: 1)
                try statement.bind(Int64(bitPattern: header.version.inode), at: 2)
                try statement.bind(Int64(header.version.size), at: 3)
                try statement.bind(header.version.modified.nanoseconds, at: 4)
                try statement.bind(header.version.changed.nanoseconds, at: 5)
                try statement.bind(programVersion, at: 6)
                try statement.bind(header.verdict.code, at: 7)
                try statement.bind(header.verdict.reason.cut(toBytes: Limits.reason), at: 8)
                // An offset that a file cannot have says nothing.
                try statement.bind(header.verdict.offset.flatMap { Int64(exactly: $0) }, at: 9)
                try statement.bind(header.verdict.detail.cut(toBytes: Limits.detail), at: 10)
                try statement.bind(header.startedAt.nanoseconds, at: 11)
                try statement.run()
            }
        }
        return isDone == nil ? 0 : settled.count
    }

    /// Forgets what was wrong with a file's header, whichever version of the file it was found of.
    public func forgetBadHeader(of version: FileVersion) {
        // Looking first keeps the writer's lock for those who need it.
        let isThere = read(false) { database in
            let statement = try RawStatement(
                database, "SELECT 1 FROM header_verdict WHERE filesystem = ?1 AND inode = ?2")
            defer { statement.finish() }
            try statement.bind(Int64(bitPattern: version.filesystem), at: 1)
            try statement.bind(Int64(bitPattern: version.inode), at: 2)
            return try statement.step()
        }
        guard isThere else { return }
        let _: Void? = write { database in
            let statement = try RawStatement(
                database, "DELETE FROM header_verdict WHERE filesystem = ?1 AND inode = ?2")
            defer { statement.finish() }
            try statement.bind(Int64(bitPattern: version.filesystem), at: 1)
            try statement.bind(Int64(bitPattern: version.inode), at: 2)
            try statement.run()
        }
    }
}
