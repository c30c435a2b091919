internal import CLinux
internal import Glibc
public import HubCache

/// What a rename does when the new name exists.
public enum RenameRule: Sendable, Hashable {
    /// It fails with `EEXIST`.
    case noReplace
    /// The two change places; both must exist.
    case exchange
    /// It replaces what may be replaced, as rename(2) does.
    case replace

    fileprivate var flags: UInt32 {
        switch self {
        case .noReplace: UInt32(HFJ_RENAME_NOREPLACE)
        case .exchange: UInt32(HFJ_RENAME_EXCHANGE)
        case .replace: UInt32(HFJ_RENAME_PLAIN)
        }
    }
}

// Every name here is one component directly in an open directory: no call that changes something walks a path.
extension OwnedDescriptor {
    /// Renames an entry of this directory to an entry of another one. Links are not followed.
    ///
    /// - Throws: `SystemCallFailure` as renameat2(2); `EINVAL` or `ENOSYS` where the filesystem or the kernel cannot.
    public borrowing func rename(
        _ name: BytePath, to folder: borrowing OwnedDescriptor, _ newName: BytePath, _ rule: RenameRule
    ) throws(SystemCallFailure) {
        try requireComponent(name, newName)
        let (from, to) = (raw, folder.raw)
        _ = try checked("rename", name) {
            unsafe withCName(name) { old in
                unsafe withCName(newName) { new in unsafe hfj_rename(from, old, to, new, rule.flags) }
            }
        }
    }

    /// Renames without ever replacing what has the new name.
    ///
    /// Where the filesystem has no `RENAME_NOREPLACE`, a file or a link gets the new name and then loses the old one; a
    /// directory, which can have no second name, is renamed only when nothing was there a moment before, and rename(2)
    /// itself replaces nothing but an empty directory.
    ///
    /// - Throws: `SystemCallFailure`; `EEXIST` when the new name exists.
    public borrowing func move(_ name: BytePath, to folder: borrowing OwnedDescriptor, _ newName: BytePath)
        throws(SystemCallFailure)
    {
        do throws(SystemCallFailure) {
            return try rename(name, to: folder, newName, .noReplace)
        } catch {
            guard error.isUnsupportedRename else { throw error }
        }
        if try stat(of: name).kind == .directory {
            if (try? folder.stat(of: newName)) != nil {
                throw SystemCallFailure(call: "rename", errno: EEXIST, subject: newName)
            }
            return try rename(name, to: folder, newName, .replace)
        }
        try hardLink(name, to: folder, newName)
        try unlink(name)
    }

    /// Gives an entry of this directory one more name; of a link, the link itself.
    ///
    /// - Throws: `SystemCallFailure` as linkat(2); `EEXIST` when the new name exists.
    public borrowing func hardLink(_ name: BytePath, to folder: borrowing OwnedDescriptor, _ newName: BytePath)
        throws(SystemCallFailure)
    {
        try requireComponent(name, newName)
        let (from, to) = (raw, folder.raw)
        _ = try checked("link", name) {
            unsafe withCName(name) { old in
                unsafe withCName(newName) { new in unsafe hfj_hard_link(from, old, to, new) }
            }
        }
    }

    /// Makes a directory; the umask takes its part of the mode.
    ///
    /// - Throws: `SystemCallFailure` as mkdirat(2).
    public borrowing func makeFolder(_ name: BytePath, permissions: UInt16) throws(SystemCallFailure) {
        try requireComponent(name)
        let directory = raw
        _ = try checked("mkdir", name) {
            unsafe withCName(name) { unsafe hfj_make_folder(directory, $0, UInt32(permissions)) }
        }
    }

    /// Makes a symbolic link.
    ///
    /// - Parameter text: where it leads; it is not looked at.
    /// - Throws: `SystemCallFailure` as symlinkat(2); `EEXIST` when the name exists.
    public borrowing func makeLink(_ name: BytePath, to text: BytePath) throws(SystemCallFailure) {
        try requireComponent(name)
        let directory = raw
        _ = try checked("symlink", name) {
            unsafe withCName(text) { text in
                unsafe withCName(name) { unsafe hfj_make_link(text, directory, $0) }
            }
        }
    }

    /// Takes a name away that is not a directory's.
    ///
    /// - Throws: `SystemCallFailure` as unlinkat(2).
    public borrowing func unlink(_ name: BytePath) throws(SystemCallFailure) {
        try requireComponent(name)
        let directory = raw
        _ = try checked("unlink", name) { unsafe withCName(name) { unsafe hfj_unlink(directory, $0, 0) } }
    }

    /// Takes an empty directory away.
    ///
    /// - Throws: `SystemCallFailure` as rmdir(2); `ENOTEMPTY` when something is in it.
    public borrowing func removeFolder(_ name: BytePath) throws(SystemCallFailure) {
        try requireComponent(name)
        let directory = raw
        _ = try checked("rmdir", name) { unsafe withCName(name) { unsafe hfj_unlink(directory, $0, 1) } }
    }

    /// Makes a file that did not exist, open for reading and writing; the umask takes its part of the mode.
    ///
    /// - Throws: `SystemCallFailure` as open(2); `EEXIST` when the name exists, be it as a link.
    public borrowing func createFile(_ name: BytePath, permissions: UInt16) throws(SystemCallFailure)
        -> OwnedDescriptor
    {
        try openForWriting(name, O_CREAT | O_EXCL, permissions)
    }

    /// Opens an existing file for reading and for writing at its end, without changing it and without following a link.
    ///
    /// - Throws: `SystemCallFailure` as open(2); `ELOOP` when it is a link.
    public borrowing func openForChange(_ name: BytePath) throws(SystemCallFailure) -> OwnedDescriptor {
        try openForWriting(name, O_APPEND, 0)
    }

    private borrowing func openForWriting(_ name: BytePath, _ flags: Int32, _ permissions: UInt16)
        throws(SystemCallFailure) -> OwnedDescriptor
    {
        try requireComponent(name)
        let directory = raw
        let number = try checked("open", name) {
            unsafe withCName(name) {
                unsafe hfj_open_at(
                    directory, $0, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | flags, UInt32(permissions))
            }
        }
        return OwnedDescriptor(adopting: number)
    }

    /// Writes all bytes at the descriptor's place in the file.
    ///
    /// - Throws: `SystemCallFailure` as write(2); some of the bytes may have been written then.
    public borrowing func write(_ bytes: [UInt8]) throws(SystemCallFailure) {
        let descriptor = raw
        var written = 0
        while written < bytes.count {
            let count = try checked("write", .empty) {
                unsafe bytes.withUnsafeBytes { buffer in
                    guard let base = buffer.baseAddress else { return 0 }
                    return unsafe hfj_write(descriptor, base + written, buffer.count - written)
                }
            }
            guard count > 0 else { throw SystemCallFailure(call: "write", errno: EIO, subject: .empty) }
            written += count
        }
    }

    /// Writes all bytes at the descriptor's place in the file.
    ///
    /// - Throws: `SystemCallFailure` as write(2); some of the bytes may have been written then.
    public borrowing func write(_ bytes: Span<UInt8>) throws(SystemCallFailure) {
        let descriptor = raw
        var written = 0
        while written < bytes.count {
            let count = try checked("write", .empty) {
                unsafe bytes.withUnsafeBytes { buffer in
                    guard let base = buffer.baseAddress else { return 0 }
                    return unsafe hfj_write(descriptor, base + written, buffer.count - written)
                }
            }
            guard count > 0 else { throw SystemCallFailure(call: "write", errno: EIO, subject: .empty) }
            written += count
        }
    }

    /// Cuts the file off.
    ///
    /// - Throws: `SystemCallFailure` as ftruncate(2).
    public borrowing func truncate(to size: UInt64) throws(SystemCallFailure) {
        let descriptor = raw
        _ = try checked("truncate", .empty) { hfj_truncate(descriptor, size) }
    }

    /// Where the first part begins that was never written, as clients leave it that write several parts at once; the size where
    /// there is none. Moves the descriptor's place in the file.
    ///
    /// - Throws: `SystemCallFailure` as lseek(2).
    public borrowing func firstHole() throws(SystemCallFailure) -> UInt64 {
        let descriptor = raw
        return UInt64(try checked("lseek", .empty) { hfj_first_hole(descriptor) })
    }

    /// Gives this empty file the content of another one without copying it.
    ///
    /// - Throws: `SystemCallFailure` as ioctl(2) with FICLONE; where the filesystem cannot, or the two are on different ones.
    public borrowing func clone(from source: borrowing OwnedDescriptor) throws(SystemCallFailure) {
        let (from, to) = (source.raw, raw)
        _ = try checked("clone", .empty) { hfj_clone(from, to) }
    }

    /// Waits until what was written, or done to the entries of this directory, is on the disk.
    ///
    /// - Throws: `SystemCallFailure` as fsync(2): what is on the disk is then unknown.
    public borrowing func synchronize() throws(SystemCallFailure) {
        let descriptor = raw
        _ = try checked("fsync", .empty) { hfj_synchronize(descriptor) }
    }

    /// Has the system begin to write a part of this file to the disk, so that `synchronize` has less to wait for. Where it cannot,
    /// nothing is lost.
    public borrowing func startWriteback(from offset: UInt64, count: UInt64) {
        _ = hfj_start_writeback(raw, offset, count)
    }

    /// Sets the permission bits, whatever the umask says.
    ///
    /// - Throws: `SystemCallFailure` as fchmod(2).
    public borrowing func setPermissions(_ permissions: UInt16) throws(SystemCallFailure) {
        let descriptor = raw
        _ = try checked("chmod", .empty) { hfj_set_mode(descriptor, UInt32(permissions)) }
    }

    /// Sets the times of last use and change to now.
    ///
    /// - Throws: `SystemCallFailure` as futimens(2).
    public borrowing func touch() throws(SystemCallFailure) {
        let descriptor = raw
        _ = try checked("futimens", .empty) { hfj_touch(descriptor) }
    }

    /// Sets the group.
    ///
    /// - Throws: `SystemCallFailure` as fchown(2).
    public borrowing func setGroup(_ gid: UInt32) throws(SystemCallFailure) {
        let descriptor = raw
        _ = try checked("chown", .empty) { hfj_set_group(descriptor, gid) }
    }
}

/// No call that changes something takes more than one component, nor one that leads elsewhere.
private func requireComponent(_ names: BytePath...) throws(SystemCallFailure) {
    for name in names {
        let isComponent =
            !name.isEmpty && name != "." && name != ".." && !name.bytes.contains(UInt8(ascii: "/"))
            && !name.bytes.contains(0)
        guard isComponent else { throw SystemCallFailure(call: "open", errno: EXDEV, subject: name) }
    }
}

extension SystemCallFailure {
    /// Whether a rename failed because the filesystem, the kernel or a filter of system calls does not have its flag.
    public var isUnsupportedRename: Bool { errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP }
    /// Whether the name was taken.
    public var isTaken: Bool { errno == EEXIST }
    /// Whether the directory was not empty.
    public var isNotEmpty: Bool { errno == ENOTEMPTY || errno == EEXIST }
    /// Whether the filesystem cannot be written to.
    public var isReadOnly: Bool { errno == EROFS }
    /// Whether the disk, a quota, or what the process may write to one file (`ulimit -f`, `LimitFSIZE=`) is full.
    public var isFull: Bool { errno == ENOSPC || errno == EDQUOT || errno == EFBIG }
    /// Whether the call is not there at all.
    public var isMissingCall: Bool { errno == ENOSYS }
    /// `EPERM`.
    public static let notPermittedNumber: Int32 = EPERM
    /// `EACCES`.
    public static let deniedNumber: Int32 = EACCES
    /// `EINVAL`.
    public static let invalidNumber: Int32 = EINVAL
    /// `ELOOP`.
    public static let tooDeepNumber: Int32 = ELOOP
    /// `ENOENT`.
    public static let absentNumber: Int32 = ENOENT
    /// `EFBIG`.
    public static let tooBigNumber: Int32 = EFBIG
    /// `EXDEV`.
    public static let otherDeviceNumber: Int32 = EXDEV
    /// `EAGAIN`.
    public static let tryAgainNumber: Int32 = EAGAIN
    /// `EIO`.
    public static let inputOutputNumber: Int32 = EIO
}
