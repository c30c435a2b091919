/// A point in time as the file system keeps it: nanoseconds since 1970-01-01T00:00:00Z.
public struct Timestamp: Hashable, Comparable, Sendable {
    /// Nanoseconds since the epoch; negative before it.
    public var nanoseconds: Int64

    /// Makes a time of nanoseconds since the epoch.
    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// Makes a time of whole seconds and nanoseconds, kept within what 64 bits of nanoseconds can say (years 1678 to 2262).
    public init(seconds: Int64, nanoseconds: Int64 = 0) {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflowed) = product.addingReportingOverflow(nanoseconds)
        self.nanoseconds = overflow || overflowed ? (seconds < 0 ? .min : .max) : sum
    }

    /// Whole seconds since the epoch, rounded down.
    public var seconds: Int64 {
        let (quotient, remainder) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return remainder < 0 ? quotient - 1 : quotient
    }

    /// Orders by time.
    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.nanoseconds < right.nanoseconds }
}

/// What kind of thing a directory entry is.
public enum FileKind: UInt8, Sendable, Hashable {
    /// A regular file.
    case regular
    /// A directory.
    case directory
    /// A symbolic link.
    case symlink
    /// A named pipe.
    case fifo
    /// A socket.
    case socket
    /// A character device.
    case characterDevice
    /// A block device.
    case blockDevice
    /// Something this program does not know.
    case unknown

    /// The word for it in a sentence.
    public var word: String {
        switch self {
        case .regular: "file"
        case .directory: "directory"
        case .symlink: "symbolic link"
        case .fifo: "fifo"
        case .socket: "socket"
        case .characterDevice, .blockDevice: "device"
        case .unknown: "unknown object"
        }
    }
}

/// The file a name stood for when it was looked at: device and inode.
public struct FileKey: Hashable, Sendable {
    /// The device number, as `stat` gives it.
    public var device: UInt64
    /// The inode number.
    public var inode: UInt64

    /// Makes a key.
    public init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }
}

/// What `stat` says of one directory entry, the link itself where it is a link.
public struct FileStat: Hashable, Sendable {
    /// Device and inode.
    public var key: FileKey
    /// The kind of file.
    public var kind: FileKind
    /// Permission bits with setuid, setgid and sticky.
    public var permissions: UInt16
    /// How many names it has.
    public var linkCount: UInt32
    /// The owner.
    public var uid: UInt32
    /// The group.
    public var gid: UInt32
    /// The apparent size in bytes.
    public var size: UInt64
    /// The bytes it takes on the disk.
    public var allocated: UInt64
    /// Last access.
    public var accessed: Timestamp
    /// Last change of content.
    public var modified: Timestamp
    /// Last change of the inode.
    public var changed: Timestamp

    /// Makes a record of its parts.
    public init(
        key: FileKey, kind: FileKind, permissions: UInt16, linkCount: UInt32, uid: UInt32, gid: UInt32, size: UInt64,
        allocated: UInt64, accessed: Timestamp, modified: Timestamp, changed: Timestamp
    ) {
        self.key = key
        self.kind = kind
        self.permissions = permissions
        self.linkCount = linkCount
        self.uid = uid
        self.gid = gid
        self.size = size
        self.allocated = allocated
        self.accessed = accessed
        self.modified = modified
        self.changed = changed
    }

    /// The bytes on the disk that removing this one name gives back: none while the file has others.
    public var freed: UInt64 { linkCount > 1 && kind != .directory ? 0 : allocated }

    /// Whether content read between two looks is the content of one unchanged file.
    public func isSameVersion(as other: FileStat) -> Bool {
        key == other.key && kind == other.kind && size == other.size && modified == other.modified
            && changed == other.changed
    }
}

/// What a remembered digest or header verdict is keyed by.
///
/// The filesystem's own id stands in for the device number, which may change from boot to boot.
public struct FileVersion: Hashable, Sendable {
    /// The filesystem's id: see `Filesystem.id` of `LinuxIO`.
    public var filesystem: UInt64
    /// The inode number.
    public var inode: UInt64
    /// The apparent size in bytes.
    public var size: UInt64
    /// Last change of content.
    public var modified: Timestamp
    /// Last change of the inode.
    public var changed: Timestamp

    /// Makes a version of its parts.
    public init(filesystem: UInt64, inode: UInt64, size: UInt64, modified: Timestamp, changed: Timestamp) {
        self.filesystem = filesystem
        self.inode = inode
        self.size = size
        self.modified = modified
        self.changed = changed
    }

    /// The version that `stat` shows, on a filesystem with that id.
    public init(filesystem: UInt64, stat: FileStat) {
        self.init(
            filesystem: filesystem, inode: stat.key.inode, size: stat.size, modified: stat.modified,
            changed: stat.changed)
    }
}
