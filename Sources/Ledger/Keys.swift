internal import HubCache

extension Ledger {
    /// More bytes than this no path has.
    static let pathLimit = 4096
    /// More bytes than this no file name has.
    static let nameLimit = 255
    /// More rows of one cache than this are not loaded: such a ledger was not written by this program.
    static let rowsLoaded = 200_000

    /// A cache's root as the tables have it; nil when it is not UTF-8: then nothing is remembered of it.
    static func key(_ cache: BytePath) -> String? {
        guard let root = cache.exactText, isText(root, atMost: pathLimit) else { return nil }
        return root
    }

    static func key(_ cache: BytePath, _ repo: String) -> String? {
        guard isText(repo, atMost: nameLimit) else { return nil }
        return key(cache)
    }

    /// Whether a text may be kept: not empty, no NUL, not too long.
    static func isText(_ text: String, atMost limit: Int) -> Bool {
        !text.isEmpty && text.utf8.count <= limit && !text.utf8.contains(0)
    }
}

extension RawStatement {
    /// A time after 1970 that no wrong clock wrote; nil for anything else.
    func time(at column: Int32, latest: Int64) -> Timestamp? {
        guard let value = integer(at: column), value > 0, value <= latest else { return nil }
        return Timestamp(nanoseconds: value)
    }

    /// A commit; nil for anything else.
    func commit(at column: Int32) -> CommitHash? { text(at: column, maximumBytes: 40).flatMap { CommitHash($0) } }

    /// Text that may be kept; nil for anything else.
    func key(at column: Int32, maximumBytes: Int) -> String? {
        guard let text = text(at: column, maximumBytes: maximumBytes), Ledger.isText(text, atMost: maximumBytes) else {
            return nil
        }
        return text
    }
}

extension String {
    /// As many whole characters from the start as fit into so many bytes of UTF-8.
    func cut(toBytes limit: Int) -> String {
        guard utf8.count > limit else { return self }
        var scalars = String.UnicodeScalarView()
        var count = 0
        for scalar in unicodeScalars {
            count += UTF8.width(scalar)
            if count > limit { break }
            scalars.append(scalar)
        }
        return String(scalars)
    }
}
