internal import GRDB
public import HubCache

/// A digest just computed, to be remembered.
public struct HashedContent: Hashable, Sendable {
    /// The file, as it was before and after it was read.
    public var version: FileVersion
    /// What its content hashes to.
    public var digest: ContentDigest
    /// Whether the digest disagrees with what the file's name or manifest says; nil when nothing says.
    public var mismatched: Bool?
    /// When reading began.
    public var startedAt: Timestamp
    /// When reading ended.
    public var verifiedAt: Timestamp

    /// Makes a record of its parts.
    public init(
        version: FileVersion, digest: ContentDigest, mismatched: Bool?, startedAt: Timestamp, verifiedAt: Timestamp
    ) {
        self.version = version
        self.digest = digest
        self.mismatched = mismatched
        self.startedAt = startedAt
        self.verifiedAt = verifiedAt
    }
}

/// A digest from an earlier run.
public struct RememberedDigest: Hashable, Sendable {
    /// What the content hashed to.
    public var digest: ContentDigest
    /// When it was read.
    public var verifiedAt: Timestamp
    /// Whether it disagreed with what the file's name or manifest said; nil when nothing said.
    public var mismatched: Bool?
}

/// The digests of one filesystem, in memory: some 80 bytes each.
public struct RememberedDigests: Sendable {
    // Ascending by inode and algorithm.
    private var rows: [ContentRow] = []

    /// No digests.
    public init() {}

    init(rows: [ContentRow]) { self.rows = rows }

    /// How many there are.
    public var count: Int { rows.count }
    /// Whether there are none.
    public var isEmpty: Bool { rows.isEmpty }

    /// The digest of a file, if it was computed of exactly this version of it.
    public func digest(of version: FileVersion, algorithm: DigestAlgorithm) -> RememberedDigest? {
        let inode = Int64(bitPattern: version.inode)
        let code = algorithm.code
        var low = 0
        var high = rows.count
        while low < high {
            let middle = (low + high) / 2
            if (rows[middle].inode, rows[middle].algorithm) < (inode, code) { low = middle + 1 } else { high = middle }
        }
        guard low < rows.count, rows[low].algorithm == code, rows[low].describes(version) else { return nil }
        return rows[low].remembered
    }

    /// Every digest with the file it belongs to.
    ///
    /// - Parameter filesystem: the filesystem these digests were asked for.
    public func forEach(onFilesystem filesystem: UInt64, _ body: (FileVersion, RememberedDigest) -> Void) {
        for row in rows { body(row.version(onFilesystem: filesystem), row.remembered) }
    }
}

extension Ledger {
    /// How much older than the reading a file's last change must be.
    ///
    /// The kernel stamps changes with a clock that ticks every 1 to 10 ms, some filesystems keep whole or even two seconds. A
    /// change that follows a digest within the same tick leaves the same times behind, and would never be seen.
    static let settlingNanoseconds: Int64 = 2_000_000_000

    /// More digests of one filesystem than this are not loaded at once: 160 MB.
    static let maximumLoaded = 2_000_000

    /// The digest of a file, if it was computed of exactly this version of it.
    public func digest(of version: FileVersion, algorithm: DigestAlgorithm) -> RememberedDigest? {
        let latest = latestBelievable
        return read(nil) { database in
            let statement = try RawStatement(
                database, ContentRow.selection + " WHERE filesystem = ?1 AND inode = ?2 AND algorithm = ?3")
            defer { statement.finish() }
            try statement.bind(Int64(bitPattern: version.filesystem), at: 1)
            try statement.bind(Int64(bitPattern: version.inode), at: 2)
            try statement.bind(algorithm.code, at: 3)
            guard try statement.step(), let row = ContentRow(statement, latest: latest), row.describes(version) else {
                return nil
            }
            return row.remembered
        }
    }

    /// All digests of one filesystem, for many questions in a row.
    public func digests(onFilesystem filesystem: UInt64) -> RememberedDigests {
        load(filesystem, "WHERE filesystem = ?1")
    }

    /// The digests of one filesystem that disagreed with their file's name, without reading the others.
    public func mismatchedDigests(onFilesystem filesystem: UInt64) -> RememberedDigests {
        // By itself SQLite would rather read the whole filesystem's part of the table.
        load(filesystem, "INDEXED BY content_mismatched WHERE filesystem = ?1 AND mismatched = 1")
    }

    private func load(_ filesystem: UInt64, _ condition: String) -> RememberedDigests {
        let latest = latestBelievable
        return read(RememberedDigests()) { database in
            let counting = try RawStatement(database, "SELECT count(*) FROM content \(condition)")
            defer { counting.finish() }
            try counting.bind(Int64(bitPattern: filesystem), at: 1)
            let count = try counting.step() ? counting.integer(at: 0) ?? 0 : 0

            let statement = try RawStatement(
                database,
                ContentRow.selection + " \(condition) ORDER BY inode, algorithm LIMIT \(Self.maximumLoaded)")
            defer { statement.finish() }
            try statement.bind(Int64(bitPattern: filesystem), at: 1)
            var rows: [ContentRow] = []
            // An array that grows by doubling would take up to twice the memory.
            rows.reserveCapacity(Int(max(0, min(count, Int64(Self.maximumLoaded)))))
            while try statement.step() {
                guard let row = ContentRow(statement, latest: latest) else { continue }
                // The look-up relies on the order, and a damaged index could break it.
                if let last = rows.last, (last.inode, last.algorithm) >= (row.inode, row.algorithm) { continue }
                rows.append(row)
            }
            return RememberedDigests(rows: rows)
        }
    }

    /// Remembers digests, right and wrong ones.
    ///
    /// A file that changed less than two seconds before it was read, by its modification or its change time, is left out: a
    /// later change could have the same times. Files with such times in the future are never remembered.
    ///
    /// Many are written in several transactions, so that no other process waits long; when one fails, the rest is left out.
    ///
    /// - Returns: how many are remembered now.
    @discardableResult
    public func remember(digests: some Collection<HashedContent>) -> Int {
        var rest = digests.filter { $0.version.isSettled(before: $0.startedAt) }[...]
        // In the table's order, neighbours on the disk are written together.
        rest.sort { ($0.version.filesystem, $0.version.inode) < ($1.version.filesystem, $1.version.inode) }
        var written = 0
        while !rest.isEmpty {
            // About 50 ms.
            let batch = rest.prefix(10_000)
            rest = rest.dropFirst(batch.count)
            let isDone: Void? = write { database in
                let statement = try RawStatement(database, ContentRow.insertion)
                defer { statement.finish() }
                for content in batch { try ContentRow.insert(content, statement) }
            }
            if isDone == nil { break }
            written += batch.count
        }
        return written
    }

    /// Times after this were written by a clock that was wrong, and would make a scrub believe the row for years.
    var latestBelievable: Int64 {
        let day: Int64 = 86_400_000_000_000
        let (sum, overflow) = now().nanoseconds.addingReportingOverflow(day)
        return overflow ? .max : sum
    }
}

extension FileVersion {
    /// Whether the file's times would show any change made after `time`.
    func isSettled(before time: Timestamp) -> Bool {
        // SQLite's numbers are signed; no filesystem has files that large.
        guard size <= UInt64(Int64.max) else { return false }
        let (limit, overflow) = time.nanoseconds.subtractingReportingOverflow(Ledger.settlingNanoseconds)
        return !overflow && modified.nanoseconds <= limit && changed.nanoseconds <= limit
    }
}

extension DigestAlgorithm {
    /// The number that stands for it in the database; never changed.
    fileprivate var code: Int64 { self == .sha256 ? 1 : 2 }

    fileprivate init?(code: Int64) {
        guard let algorithm = Self.allCases.first(where: { $0.code == code }) else { return nil }
        self = algorithm
    }
}

/// One row of `content` without its filesystem.
struct ContentRow: Sendable {
    fileprivate let inode: Int64
    private let size: Int64
    private let modified: Int64
    private let changed: Int64
    private let verifiedAt: Int64
    private let digest: PackedBytes
    fileprivate var algorithm: Int64 { Int64(algorithmCode) }
    private let algorithmCode: Int8
    private let mismatched: Bool?

    static let selection =
        "SELECT inode, algorithm, size, modified, changed, digest, mismatched, verified_at FROM content"

    /// Reads a row; nil when a value is not what this program would have written.
    init?(_ statement: RawStatement, latest: Int64) {
        guard let inode = statement.integer(at: 0),
            let code = statement.integer(at: 1), let algorithm = DigestAlgorithm(code: code),
            let size = statement.integer(at: 2), size >= 0,
            let modified = statement.integer(at: 3),
            let changed = statement.integer(at: 4),
            let digest = statement.packedBlob(at: 5, count: algorithm.byteCount),
            let verifiedAt = statement.integer(at: 7), verifiedAt > 0, verifiedAt <= latest
        else { return nil }
        switch statement.integer(at: 6) {
        case 0: mismatched = false
        case 1: mismatched = true
        case .none where statement.isNull(at: 6): mismatched = nil
        default: return nil
        }
        self.inode = inode
        self.size = size
        self.modified = modified
        self.changed = changed
        self.verifiedAt = verifiedAt
        self.digest = digest
        self.algorithmCode = Int8(code)
    }

    func describes(_ version: FileVersion) -> Bool {
        inode == Int64(bitPattern: version.inode) && UInt64(size) == version.size
            && modified == version.modified.nanoseconds && changed == version.changed.nanoseconds
    }

    func version(onFilesystem filesystem: UInt64) -> FileVersion {
        FileVersion(
            filesystem: filesystem, inode: UInt64(bitPattern: inode), size: UInt64(size),
            modified: Timestamp(nanoseconds: modified), changed: Timestamp(nanoseconds: changed))
    }

    var remembered: RememberedDigest {
        let algorithm: DigestAlgorithm = algorithmCode == 1 ? .sha256 : .gitSHA1
        return RememberedDigest(
            digest: ContentDigest(algorithm: algorithm, bytes: digest.bytes(algorithm.byteCount)),
            verifiedAt: Timestamp(nanoseconds: verifiedAt), mismatched: mismatched)
    }

    static let insertion = """
        INSERT INTO content
            (filesystem, inode, algorithm, size, modified, changed, digest, mismatched, verified_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
        ON CONFLICT (filesystem, inode, algorithm) DO UPDATE SET
            -- One content may have several names, of which one run looks at some: what disagreed with one stays known.
            mismatched = CASE
                WHEN size = excluded.size AND modified = excluded.modified AND changed = excluded.changed
                    AND digest = excluded.digest AND mismatched = 1
                THEN 1 ELSE excluded.mismatched END,
            size = excluded.size, modified = excluded.modified, changed = excluded.changed, digest = excluded.digest,
            verified_at = excluded.verified_at
        """

    static func insert(_ content: HashedContent, _ statement: RawStatement) throws {
        try statement.bind(Int64(bitPattern: content.version.filesystem), at: 1)
        try statement.bind(Int64(bitPattern: content.version.inode), at: 2)
        try statement.bind(content.digest.algorithm.code, at: 3)
        try statement.bind(Int64(content.version.size), at: 4)
        try statement.bind(content.version.modified.nanoseconds, at: 5)
        try statement.bind(content.version.changed.nanoseconds, at: 6)
        try statement.bind(content.digest.bytes, at: 7)
        try statement.bind(content.mismatched.map { $0 ? 1 : 0 }, at: 8)
        try statement.bind(content.verifiedAt.nanoseconds, at: 9)
        try statement.run()
    }
}
