internal import Glibc
internal import HubCache

extension OwnedDescriptor {
    /// Tries to lock this file with flock(2) beside others who do the same. The lock goes with the last copy of the descriptor.
    ///
    /// - Throws: `SystemCallFailure` as flock(2).
    public borrowing func tryLockShared() throws(SystemCallFailure) -> LockAttempt {
        let descriptor = raw
        let result = try checked("flock", .empty) {
            if flock(descriptor, LOCK_SH | LOCK_NB) == 0 { return Int32(0) }
            return errno == EWOULDBLOCK ? 1 : -errno
        }
        return result == 1 ? .busy : .locked
    }

    /// Whether anybody holds this file with flock(2), shared or not, by trying for an exclusive lock.
    ///
    /// It is given back at once. Two that ask at the same time would take each other for a holder: so it asks a few times, over
    /// some milliseconds, before it says so.
    public borrowing func probeHeldByAnybody() -> ProbeAnswer {
        for attempt in 0..<6 {
            if attempt > 0 { usleep(UInt32(attempt) * 700) }
            do throws(SystemCallFailure) {
                guard try tryLock() == .locked else { continue }
                flock(raw, LOCK_UN)
                return .free
            } catch {
                return .unknown(reason: error.reason)
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
