internal import CLinux
internal import Glibc
public import HubCache

/// A file descriptor with one owner, closed when the owner goes.
///
/// Everything below a cache root is opened relative to a descriptor and without following links, so that a path that was
/// looked at and a path that is opened are the same file or an error.
public struct OwnedDescriptor: ~Copyable, Sendable {
    private let number: Int32

    /// Takes over a descriptor that nobody else will close.
    package init(adopting number: Int32) {
        self.number = number
    }

    deinit {
        close(number)
    }

    /// The bare number, for the duration of a call that takes one. Never close it, never keep it.
    package var raw: Int32 { number }
}

/// How a file is opened for reading.
public struct OpenOptions: OptionSet, Sendable {
    /// The bits.
    public let rawValue: Int
    /// Makes a set of bits.
    public init(rawValue: Int) { self.rawValue = rawValue }

    /// Fail unless it is a directory.
    public static let directory = OpenOptions(rawValue: 1)
    /// Leave the access time as it is. Only the file's owner may ask for it; others' reads move the time.
    public static let keepAccessTime = OpenOptions(rawValue: 2)

    var flags: Int32 {
        // O_NONBLOCK so that a fifo put in a file's place cannot make the open wait for a writer.
        var flags = O_RDONLY | O_NONBLOCK | O_NOCTTY
        if contains(.directory) { flags |= O_DIRECTORY }
        if contains(.keepAccessTime) { flags |= Int32(HFJ_O_NOATIME) }
        return flags
    }
}

extension OwnedDescriptor {
    /// Opens a path that a person or the environment gave, following links: the only way into a tree.
    ///
    /// - Throws: `SystemCallFailure` as open(2).
    public static func open(trustedPath path: BytePath, options: OpenOptions = []) throws(SystemCallFailure)
        -> OwnedDescriptor
    {
        let number = try unsafe openRaw(path, options) { (name, flags) in
            unsafe hfj_open_at(AT_FDCWD, name, flags, 0)
        }
        return OwnedDescriptor(adopting: number)
    }

    /// Opens the target of a link that stands directly in this directory, following it: for a repo folder or `blobs/` that is
    /// a link, once, before its owner is checked.
    ///
    /// - Throws: `SystemCallFailure` as openat(2).
    public borrowing func openFollowing(_ name: BytePath) throws(SystemCallFailure) -> OwnedDescriptor {
        let directory = raw
        let number = try unsafe openRaw(name, [.directory, .keepAccessTime]) { (name, flags) in
            unsafe hfj_open_at(directory, name, flags, 0)
        }
        return OwnedDescriptor(adopting: number)
    }

    /// Opens a path below this directory. No component may be a link, and the path cannot leave the directory.
    ///
    /// With `.keepAccessTime`, where that is not permitted the file is opened without it.
    ///
    /// - Parameter path: relative to this directory.
    /// - Throws: `SystemCallFailure` as openat2(2); `ELOOP` when a component is a link.
    public borrowing func open(_ path: BytePath, options: OpenOptions = []) throws(SystemCallFailure) -> OwnedDescriptor
    {
        let directory = raw
        let number = try unsafe openRaw(path, options) { (name, flags) in
            let result = unsafe hfj_open_beneath(directory, name, UInt64(UInt32(bitPattern: flags)))
            // A kernel before 5.6, or a system call filter that does not know openat2.
            return result == -ENOSYS || result == -EPERM ? -ENOSYS : result
        } fallback: { (options) throws(SystemCallFailure) in
            try openByComponents(directory, path, options)
        }
        return OwnedDescriptor(adopting: number)
    }

    /// What `stat` says of this descriptor's file.
    ///
    /// - Throws: `SystemCallFailure` as statx(2).
    public borrowing func stat() throws(SystemCallFailure) -> FileStat {
        let descriptor = raw
        return try statRaw(descriptor, .empty)
    }

    /// What `stat` says of an entry of this directory, of the link itself where it is one.
    ///
    /// - Parameter name: one component, or a path whose folders are trusted not to be links.
    /// - Throws: `SystemCallFailure` as statx(2).
    public borrowing func stat(of name: BytePath) throws(SystemCallFailure) -> FileStat {
        let descriptor = raw
        return try statRaw(descriptor, name)
    }

    /// A link's text.
    ///
    /// - Parameter name: a link directly in this directory.
    /// - Throws: `SystemCallFailure` as readlink(2); `ENAMETOOLONG` above 4095 bytes.
    public borrowing func readLink(_ name: BytePath) throws(SystemCallFailure) -> BytePath {
        let directory = raw
        let capacity = 4096
        var text: BytePath?
        var count = 0
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { buffer in
            guard let base = buffer.baseAddress else { return }
            count = unsafe withCName(name) { unsafe hfj_read_link(directory, $0, base, capacity) }
            if count >= 0 && count < capacity {
                let bytes = unsafe UnsafeRawBufferPointer(buffer).prefix(count)
                text = unsafe BytePath(bytes: Array(bytes))
            }
        }
        if count < 0 { throw SystemCallFailure(call: "readlink", errno: Int32(-count), subject: name) }
        guard let text else { throw SystemCallFailure(call: "readlink", errno: ENAMETOOLONG, subject: name) }
        return text
    }

    /// Where this descriptor's file is now, as the kernel names it, without links.
    ///
    /// - Throws: `SystemCallFailure` where `/proc` cannot tell.
    public borrowing func currentPath() throws(SystemCallFailure) -> BytePath {
        try OwnedDescriptor.open(trustedPath: "/proc/self/fd", options: .directory).readLink(BytePath("\(raw)"))
    }
}

/// Calls with the name as a C string.
func withCName<Result>(_ name: BytePath, _ body: (UnsafePointer<CChar>) -> Result) -> Result {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: name.bytes.count + 1) { buffer in
        // A NUL inside would silently cut the name off: such a name cannot exist, so ask for one that cannot either.
        let bytes = name.bytes.contains(0) ? [] : name.bytes
        for index in bytes.indices { unsafe buffer[index] = CChar(bitPattern: bytes[index]) }
        unsafe buffer[bytes.count] = 0
        guard let base = buffer.baseAddress else { preconditionFailure("an allocation without an address") }
        return unsafe body(base)
    }
}

/// Attempts to open what is refused for the moment: about a minute, longer than the kernel's 45 seconds for a lease.
private let refusalLimit: UInt32 = 1200

private func openRaw(
    _ path: BytePath, _ options: OpenOptions, _ open: (UnsafePointer<CChar>, Int32) -> Int32,
    fallback: ((OpenOptions) throws(SystemCallFailure) -> Int32)? = nil
) throws(SystemCallFailure) -> Int32 {
    var options = options
    var refusals: UInt32 = 0
    while true {
        let flags = options.flags
        var result = unsafe withCName(path) { unsafe open($0, flags) }
        if result == -ENOSYS, let fallback {
            do throws(SystemCallFailure) { result = try fallback(options) } catch { result = -error.errno }
        }
        if result >= 0 { return result }
        if result == -EINTR { continue }
        if result == -EAGAIN, refusals < refusalLimit {
            // Something on the way was renamed meanwhile, which is over at once; or somebody has a lease on the file, which
            // the kernel takes away after /proc/sys/fs/lease-break-time seconds.
            refusals += 1
            if refusals > 8 { usleep(min(refusals, 50) * 1000) }
            continue
        }
        if result == -EPERM, options.contains(.keepAccessTime) {
            options.remove(.keepAccessTime)
            continue
        }
        throw SystemCallFailure(call: "open", errno: -result, subject: path)
    }
}

/// What openat2 does, by hand: one component at a time, none of which may be a link.
private func openByComponents(_ directory: Int32, _ path: BytePath, _ options: OpenOptions) throws(SystemCallFailure)
    -> Int32
{
    let components = path.components
    guard path.bytes.first != UInt8(ascii: "/"), let last = components.last, !components.contains(where: { $0 == ".." })
    else {
        throw SystemCallFailure(call: "open", errno: EXDEV, subject: path)
    }
    var folder: OwnedDescriptor?
    for component in components.dropLast() {
        let number = unsafe withCName(component) { name in
            unsafe hfj_open_at(folder?.raw ?? directory, name, O_DIRECTORY | O_NOFOLLOW | Int32(HFJ_O_PATH), 0)
        }
        guard number >= 0 else { throw SystemCallFailure(call: "open", errno: -number, subject: path) }
        folder = OwnedDescriptor(adopting: number)
    }
    let flags = options.flags | O_NOFOLLOW
    let number = unsafe withCName(last) { name in unsafe hfj_open_at(folder?.raw ?? directory, name, flags, 0) }
    guard number >= 0 else { throw SystemCallFailure(call: "open", errno: -number, subject: path) }
    return number
}

func statRaw(_ descriptor: Int32, _ name: BytePath) throws(SystemCallFailure) -> FileStat {
    var raw = hfj_stat()
    _ = try checked("stat", name) {
        unsafe withCName(name) { unsafe hfj_stat_at(descriptor, $0, &raw) }
    }
    return FileStat(raw)
}

extension FileStat {
    init(_ raw: hfj_stat) {
        let kind: FileKind =
            switch raw.mode & UInt32(S_IFMT) {
            case UInt32(S_IFREG): .regular
            case UInt32(S_IFDIR): .directory
            case UInt32(S_IFLNK): .symlink
            case UInt32(S_IFIFO): .fifo
            case UInt32(S_IFSOCK): .socket
            case UInt32(S_IFCHR): .characterDevice
            case UInt32(S_IFBLK): .blockDevice
            default: .unknown
            }
        self.init(
            key: FileKey(device: raw.device, inode: raw.inode), kind: kind, permissions: UInt16(raw.mode & 0o7777),
            linkCount: raw.nlink, uid: raw.uid, gid: raw.gid, size: raw.size, allocated: raw.blocks_512 &* 512,
            accessed: Timestamp(seconds: raw.atime_seconds, nanoseconds: Int64(raw.atime_nanoseconds)),
            modified: Timestamp(seconds: raw.mtime_seconds, nanoseconds: Int64(raw.mtime_nanoseconds)),
            changed: Timestamp(seconds: raw.ctime_seconds, nanoseconds: Int64(raw.ctime_nanoseconds)))
    }
}
