internal import Glibc
internal import HubCache

/// Why there is no ledger to work with.
struct LedgerRefusal: Error {
    enum Kind {
        /// There is none yet, which is no problem.
        case absent
        /// Another process is in the way; it may be better soon.
        case busy
        /// Anything else.
        case unusable
    }

    let kind: Kind
    /// One clause without the path, such as `it is a symbolic link`.
    let reason: String

    init(_ reason: String, kind: Kind = .unusable) {
        self.kind = kind
        self.reason = reason
    }
}

/// Which file a name stood for.
struct FileIdentity: Equatable {
    let device: UInt64
    let inode: UInt64
}

/// The folder that holds the ledger, and everything done to its files by name.
///
/// The ledger's own file is never opened here while a connection may have it open: closing any descriptor of a file drops
/// this process's POSIX locks on it, SQLite's included.
final class StateFolder: Sendable {
    static let databaseName = "ledger.sqlite"
    static let lockName = "ledger.lock"
    /// How many damaged databases are kept for a person to look at.
    static let damagedKept = 3

    /// The folder as it was given, which must be UTF-8 because SQLite's interface in Swift takes text.
    let path: String
    private let descriptor: Int32

    private init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    var databasePath: String { path + "/" + Self.databaseName }

    /// Opens the folder, making it where that is wanted.
    static func open(_ path: BytePath, create: Bool) throws(LedgerRefusal) -> StateFolder {
        guard let text = path.exactText, !text.utf8.contains(0) else {
            throw LedgerRefusal("the folder's name is not UTF-8")
        }
        guard text.utf8.first == UInt8(ascii: "/") else { throw LedgerRefusal("the folder's path is not absolute") }
        var number = openFolder(text)
        if number == -ENOENT {
            guard create else { throw LedgerRefusal("there is none yet", kind: .absent) }
            try make(path, levels: maximumLevels)
            number = openFolder(text)
        }
        guard number >= 0 else { throw LedgerRefusal("its folder cannot be opened: \(words(-number))") }
        let folder = StateFolder(path: text, descriptor: number)
        let owner = folder.ownerOfFolder()
        guard let owner, owner == geteuid() || owner == 0 else {
            // Root would leave files behind that the owner could not use, and nobody believes a stranger's ledger.
            throw LedgerRefusal("its folder belongs to another user")
        }
        return folder
    }

    // `.local`, `state` and `hfjanitor`, but not a home folder that is not there.
    private static let maximumLevels = 3

    private static func openFolder(_ path: String) -> Int32 {
        let number = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK)
        return number >= 0 ? number : -errno
    }

    private static func make(_ path: BytePath, levels: Int) throws(LedgerRefusal) {
        guard levels > 0, let name = path.exactText else {
            throw LedgerRefusal("its folder cannot be made: the folders above it are missing")
        }
        var parent = stat()
        let above = path.parent.isEmpty ? "/" : path.parent.text
        if unsafe stat(above, &parent) != 0 {
            guard errno == ENOENT else { throw LedgerRefusal("its folder cannot be made: \(words(errno))") }
            try make(path.parent, levels: levels - 1)
        } else if geteuid() == 0, parent.st_uid != 0 {
            throw LedgerRefusal("its folder would lie in another user's folder")
        }
        // The XDG base directory specification asks for 0700.
        guard unsafe mkdir(name, 0o700) == 0 || errno == EEXIST else {
            throw LedgerRefusal("its folder cannot be made: \(words(errno))")
        }
    }

    private func ownerOfFolder() -> uid_t? {
        var status = stat()
        return unsafe fstat(descriptor, &status) == 0 ? status.st_uid : nil
    }

    // MARK: Looking

    enum Entry: Equatable {
        case absent
        case file(FileIdentity, owner: uid_t, writableByOthers: Bool)
        case other(String)
        case unknown(Int32)
    }

    /// What stands under a name here, links not followed.
    func entry(_ name: String) -> Entry {
        var status = stat()
        guard unsafe fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
            return errno == ENOENT ? .absent : .unknown(errno)
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG:
            return .file(
                FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)), owner: status.st_uid,
                writableByOthers: status.st_mode & 0o022 != 0)
        case S_IFLNK: return .other("a symbolic link")
        case S_IFDIR: return .other("a directory")
        case S_IFIFO: return .other("a fifo")
        case S_IFSOCK: return .other("a socket")
        default: return .other("a device")
        }
    }

    /// Which file the ledger's name stands for now.
    var databaseIdentity: FileIdentity? {
        guard case .file(let identity, _, _) = entry(Self.databaseName) else { return nil }
        return identity
    }

    /// Whether several processes of this machine may share memory through a file here, which SQLite's write-ahead log needs.
    ///
    /// Only filesystems known to be local are believed: on a network filesystem the log would be shared with other machines
    /// and destroy the database.
    var supportsSharedMemory: Bool {
        guard let details = readSmallFile("/proc/self/fdinfo/\(descriptor)"),
            let mounts = readSmallFile("/proc/self/mountinfo")
        else { return false }
        guard let type = filesystemType(fdinfo: details, mountinfo: mounts) else { return false }
        return localFilesystems.contains(type)
    }

    /// What an unprivileged user could still write here; nil where that cannot be told.
    var freeBytes: UInt64? {
        var status = statvfs()
        guard unsafe fstatvfs(descriptor, &status) == 0 else { return nil }
        return UInt64(status.f_bavail) &* UInt64(status.f_frsize)
    }

    // MARK: Changing

    /// Makes the database's file, empty, for nobody else to read.
    func createDatabase() throws(LedgerRefusal) {
        let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let number = unsafe openat(descriptor, Self.databaseName, flags, 0o600)
        guard number >= 0 else { throw LedgerRefusal("it cannot be made: \(words(errno))") }
        close(number)
    }

    /// Takes the damaged database out of the way, with its log, and keeps it.
    ///
    /// Must be called with the lock held and no connection of this process on the file. A process that still has it open
    /// goes on with the moved file: SQLite compares the open file with the name before it removes a log.
    ///
    /// - Returns: the name it has now, or nil when it could not be moved.
    func moveDatabaseAside() -> String? {
        for name in namesForDamaged() {
            let moved = [("-wal", name + "-wal"), ("-shm", name + "-shm"), ("-journal", name + "-journal"), ("", name)]
            // What is left of an older one under this name would be taken for a part of this one.
            for (_, to) in moved.dropLast() { _ = unsafe unlinkat(descriptor, to, 0) }
            // The log first: a new database must never find an old one's log.
            var isDone = true
            for (suffix, to) in moved where isDone {
                let from = Self.databaseName + suffix
                isDone =
                    unsafe renameat(descriptor, from, descriptor, to) == 0 || errno == ENOENT && !suffix.isEmpty
            }
            if isDone { return name }
        }
        return nil
    }

    /// The names for a damaged database in the order to try them: free ones, then the one that was put there first.
    private func namesForDamaged() -> [String] {
        let names = (1...Self.damagedKept).map { "\(Self.databaseName).damaged-\($0)" }
        let ages = names.map { name -> (name: String, since: Int64) in
            var status = stat()
            guard unsafe fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return (name, .min) }
            // Renaming sets the inode's change time.
            return (
                name,
                Timestamp(seconds: Int64(status.st_ctim.tv_sec), nanoseconds: Int64(status.st_ctim.tv_nsec)).nanoseconds
            )
        }
        // Stable for equal keys: by name.
        return ages.enumerated().sorted { ($0.element.since, $0.offset) < ($1.element.since, $1.offset) }
            .map(\.element.name)
    }

    // MARK: Lock

    enum LockAttempt {
        case held(FolderLock)
        case busy
        case impossible(Int32)
    }

    /// Takes the lock under which a ledger is opened, made and moved aside, for the short time that takes.
    ///
    /// - Parameter create: whether the lock's file may be made.
    func lock(create: Bool, _ budget: WaitBudget) -> LockAttempt {
        var flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        if create { flags |= O_CREAT }
        let number = unsafe openat(descriptor, Self.lockName, flags, 0o600)
        guard number >= 0 else { return .impossible(errno) }
        let lock = FolderLock(adopting: number)
        var attempt = 0
        while flock(number, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            if code == EINTR { continue }
            guard code == EWOULDBLOCK else { return .impossible(code) }
            guard budget.wait(attempt: attempt) else { return .busy }
            attempt += 1
        }
        return .held(lock)
    }
}

/// The folder's lock, held until it is released or the last reference goes.
final class FolderLock {
    private var descriptor: Int32?

    init(adopting descriptor: Int32) { self.descriptor = descriptor }

    deinit { release() }

    func release() {
        // Closing the only descriptor of this opening ends the lock.
        if let descriptor { close(descriptor) }
        descriptor = nil
    }
}

/// The words for an `errno`.
func words(_ code: Int32) -> String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        unsafe buffer.initialize(repeating: 0)
        guard let base = buffer.baseAddress, unsafe strerror_r(code, base, buffer.count) == 0 else {
            return "error \(code)"
        }
        return unsafe String(cString: base)
    }
}

private let localFilesystems: Set<String> = [
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "overlay", "ramfs", "reiserfs", "tmpfs",
    "xfs",
    "zfs",
]

/// The type of the filesystem that an open file is on.
///
/// By the mount's id, because the device numbers of `stat` and of the mount table differ on btrfs.
///
/// - Parameters:
///   - fdinfo: the text of `/proc/self/fdinfo/N`.
///   - mountinfo: the text of `/proc/self/mountinfo`; see proc(5).
func filesystemType(fdinfo: String, mountinfo: String) -> String? {
    var id: Substring?
    for line in fdinfo.split(separator: "\n") where line.hasPrefix("mnt_id:") {
        id = line.split(whereSeparator: { $0 == "\t" || $0 == " " }).last
    }
    guard let id else { return nil }
    for line in mountinfo.split(separator: "\n") {
        let fields = line.split(separator: " ")
        // Optional fields stand before a lone hyphen; the type follows it.
        guard fields.first == id, let hyphen = fields.dropFirst(6).firstIndex(of: "-"), hyphen + 1 < fields.endIndex
        else { continue }
        return String(fields[hyphen + 1])
    }
    return nil
}

private func readSmallFile(_ path: String) -> String? {
    // A mount table of a machine with thousands of containers stays below this.
    let limit = 4 << 20
    let number = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard number >= 0 else { return nil }
    defer { close(number) }
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while text.count < limit {
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(number, $0.baseAddress, $0.count) }
        if count < 0 {
            if errno == EINTR { continue }
            return nil
        }
        if count == 0 { break }
        text += buffer[..<count]
    }
    return String(decoding: text, as: UTF8.self)
}
