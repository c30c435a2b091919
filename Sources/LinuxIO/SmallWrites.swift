internal import CLinux
internal import Glibc
public import HubCache

/// How a lock file is locked with flock(2).
public enum LockKind: Sendable, Hashable {
    /// Any number of holders.
    case shared
    /// One holder.
    case exclusive
}

extension OwnedDescriptor {
    /// Makes a file in this directory, which must not be there yet, and opens it for writing.
    ///
    /// - Parameters:
    ///   - name: one component.
    ///   - permissions: its permission bits, whatever the umask says.
    /// - Throws: `SystemCallFailure` as openat(2).
    public borrowing func createFile(named name: BytePath, permissions: UInt16) throws(SystemCallFailure)
        -> OwnedDescriptor
    {
        let directory = raw
        let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW
        let number = try checked("open", name) {
            unsafe withCName(name) { unsafe hfj_open_at(directory, $0, flags, UInt32(permissions)) }
        }
        let file = OwnedDescriptor(adopting: number)
        _ = try checked("chmod", name) { fchmod(number, mode_t(permissions)) == 0 ? 0 : -errno }
        return file
    }

    /// Makes a directory in this one; one that is there already is left as it is.
    ///
    /// - Parameters:
    ///   - name: one component.
    ///   - permissions: its permission bits, whatever the umask says.
    /// - Throws: `SystemCallFailure` as mkdirat(2).
    public borrowing func makeFolder(named name: BytePath, permissions: UInt16) throws(SystemCallFailure) {
        let directory = raw
        let made = unsafe withCName(name) { unsafe mkdirat(directory, $0, mode_t(permissions)) == 0 ? 0 : -errno }
        if made == -EEXIST { return }
        if made < 0 { throw SystemCallFailure(call: "mkdir", errno: made, subject: name) }
        let folder = try open(name, options: .directory)
        _ = try checked("chmod", name) { fchmod(folder.raw, mode_t(permissions)) == 0 ? 0 : -errno }
    }

    /// Writes all of some bytes at the end of what was written before.
    ///
    /// - Throws: `SystemCallFailure` as write(2).
    public borrowing func append(_ bytes: [UInt8]) throws(SystemCallFailure) {
        let descriptor = raw
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = try checked("write", .empty) {
                unsafe rest.withUnsafeBytes { buffer -> Int in
                    let done = unsafe Glibc.write(descriptor, buffer.baseAddress, buffer.count)
                    return done < 0 ? -Int(errno) : done
                }
            }
            rest = rest.dropFirst(count)
        }
    }

    /// Waits until a file's content, or a directory's entries, are on the disk.
    ///
    /// - Throws: `SystemCallFailure` as fsync(2).
    public borrowing func flushToDisk() throws(SystemCallFailure) {
        let descriptor = raw
        _ = try checked("fsync", .empty) { fsync(descriptor) == 0 ? 0 : -errno }
    }

    /// Gives an entry of this directory another name, in place of what had that name.
    ///
    /// - Throws: `SystemCallFailure` as renameat(2).
    public borrowing func giveName(_ new: BytePath, to name: BytePath) throws(SystemCallFailure) {
        let directory = raw
        _ = try checked("rename", name) {
            unsafe withCName(name) { from in
                unsafe withCName(new) { to in unsafe renameat(directory, from, directory, to) == 0 ? 0 : -errno }
            }
        }
    }

    /// Takes a file's name out of this directory.
    ///
    /// - Throws: `SystemCallFailure` as unlinkat(2).
    public borrowing func removeFile(_ name: BytePath) throws(SystemCallFailure) {
        let directory = raw
        _ = try checked("unlink", name) {
            unsafe withCName(name) { unsafe unlinkat(directory, $0, 0) == 0 ? 0 : -errno }
        }
    }

    /// Tries to lock this file with flock(2), without waiting. The lock goes with the last descriptor of this opening.
    ///
    /// - Returns: `free` when the lock is ours now, `taken` when somebody else has it.
    public borrowing func tryLock(_ kind: LockKind) -> ProbeAnswer {
        while flock(raw, (kind == .shared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0 {
            let number = errno
            if number == EINTR { continue }
            return number == EWOULDBLOCK ? .taken : .unknown(reason: describeErrno(number))
        }
        return .free
    }

    /// Gives a lock back.
    public borrowing func unlock() { flock(raw, LOCK_UN) }

    /// Whether anybody holds this file with flock(2), shared or not, by trying for an exclusive lock.
    ///
    /// It is given back at once. Two that ask at the same time would take each other for a holder: so it asks a few times, over
    /// some milliseconds, before it says so.
    public borrowing func probeHeldByAnybody() -> ProbeAnswer {
        for attempt in 0..<6 {
            if attempt > 0 { usleep(UInt32(attempt) * 700) }
            switch tryLock(.exclusive) {
            case .free:
                unlock()
                return .free
            case .taken: continue
            case .unknown(let reason): return .unknown(reason: reason)
            }
        }
        return .taken
    }

    /// Lets programs that this one becomes, by execve(2), have the descriptor too.
    public borrowing func keepOverExecution() throws(SystemCallFailure) {
        let descriptor = raw
        _ = try checked("fcntl", .empty) { fcntl(descriptor, F_SETFD, 0) == 0 ? 0 : -errno }
    }
}
