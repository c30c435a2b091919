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
    /// since clients of other users have to open it for writing too (huggingface_hub since 1.4). Another user's that may only
    /// be read is open for reading: that is enough for flock(2).
    ///
    /// - Parameter name: a name directly in this directory.
    /// - Throws: `SystemCallFailure` as open(2); `EPERM` from `flock` when it is no regular file.
    public borrowing func openLockFile(_ name: BytePath) throws(SystemCallFailure) -> OwnedDescriptor {
        // Bounded: a client of filelock before 3.29.5 may unlink and make it again all the time.
        for _ in 0..<16 {
            do throws(SystemCallFailure) {
                let file = try openForLocking(name)
                guard try file.stat().kind == .regular else { throw SystemCallFailure.noLockFile(name) }
                return file
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

    private borrowing func openForLocking(_ name: BytePath) throws(SystemCallFailure) -> OwnedDescriptor {
        do throws(SystemCallFailure) {
            return try openForChange(name)
        } catch {
            guard error.errno == EACCES else { throw error }
            return try open(name)
        }
    }

    /// Whether a name of this directory still is the file that a descriptor has open: old clients unlink their lock files, and
    /// a lock on an unlinked file keeps nobody away.
    public borrowing func isStill(_ name: BytePath, _ file: borrowing OwnedDescriptor) -> Bool {
        guard let opened = try? file.stat(), let named = try? stat(of: name) else { return false }
        return opened.linkCount > 0 && opened.key == named.key
    }
}

extension SystemCallFailure {
    /// Something stands in a lock file's place that is none, or that may be somebody's own file.
    public static func noLockFile(_ name: BytePath) -> SystemCallFailure {
        SystemCallFailure(call: "flock", errno: EPERM, subject: name)
    }

    /// Whether it is `noLockFile(_:)`: flock(2) itself never says `EPERM`.
    public var isOfNoLockFile: Bool { call == "flock" && errno == EPERM }
}
