internal import CLinux
internal import Glibc
public import HubCache

/// What came of trying for a lock.
public enum LockAttempt: Sendable, Hashable {
    /// It is held now, for as long as the descriptor is open.
    case locked
    /// Somebody else holds it.
    case busy
}

extension OwnedDescriptor {
    /// Tries to lock this file for oneself alone with flock(2), as the clients do. Closing the descriptor gives it back.
    ///
    /// - Throws: `SystemCallFailure` as flock(2); `ENOSYS` where there is no flock.
    public borrowing func tryLock() throws(SystemCallFailure) -> LockAttempt {
        let descriptor = raw
        let result = try checked("flock", .empty) {
            let result = hfj_lock(descriptor)
            return result == -EWOULDBLOCK ? 1 : result
        }
        return result == 1 ? .busy : .locked
    }

    /// Opens a lock file of a client, making it where it is absent: never truncated, and 0664 only when it is ours to say,
    /// since clients of other users have to open it for writing too (huggingface_hub since 1.4).
    ///
    /// - Parameter name: a name directly in this directory.
    /// - Throws: `SystemCallFailure` as open(2).
    public borrowing func openLockFile(_ name: BytePath) throws(SystemCallFailure) -> OwnedDescriptor {
        // Bounded: a client of filelock before 3.29.5 may unlink and make it again all the time.
        for _ in 0..<16 {
            do throws(SystemCallFailure) {
                return try openForChange(name)
            } catch {
                guard error.errno == ENOENT else { throw error }
            }
            do throws(SystemCallFailure) {
                let file = try createFile(name, permissions: 0o664)
                try file.setPermissions(0o664)
                return file
            } catch {
                guard error.errno == EEXIST || error.errno == ENOENT else { throw error }
            }
        }
        throw SystemCallFailure(call: "open", errno: EAGAIN, subject: name)
    }

    /// Whether a name of this directory still is the file that a descriptor has open: old clients unlink their lock files, and
    /// a lock on an unlinked file keeps nobody away.
    public borrowing func isStill(_ name: BytePath, _ file: borrowing OwnedDescriptor) -> Bool {
        guard let opened = try? file.stat(), let named = try? stat(of: name) else { return false }
        return opened.linkCount > 0 && opened.key == named.key
    }
}
