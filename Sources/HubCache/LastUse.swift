/// When something was last used, and where that is known from.
public struct LastUse: Sendable, Hashable {
    /// Where a time came from.
    public enum Source: String, Sendable, Hashable {
        /// A recorded open.
        case open
        /// An access time later than the last change.
        case atime
        /// The last change of content: the download.
        case mtime
        /// The last change of the inode.
        case ctime
        /// It was not watched for long enough to tell.
        case unwatched
    }

    /// The time.
    public var time: Timestamp
    /// Where it came from.
    public var source: Source

    /// Makes a last use.
    public init(time: Timestamp, source: Source) {
        self.time = time
        self.source = source
    }

    /// The last use that a file's own times tell: an access later than the last change, else that change.
    public init(stat: FileStat) {
        self =
            stat.accessed > stat.modified
            ? LastUse(time: stat.accessed, source: .atime) : LastUse(time: stat.modified, source: .mtime)
    }

    /// The younger of two.
    public static func younger(_ left: LastUse?, _ right: LastUse) -> LastUse {
        guard let left, left.time >= right.time else { return right }
        return left
    }
}
