internal import CLinux
internal import Glibc
public import HubCache

/// What a probe could find out.
public enum ProbeAnswer: Sendable, Hashable {
    /// Nobody has it.
    case free
    /// Somebody has it.
    case taken
    /// It cannot be told here, and why.
    case unknown(reason: String)
}

extension OwnedDescriptor {
    /// Whether anybody else has this regular file open or mapped, by trying for a write lease.
    ///
    /// A lease is refused while any other open file or mapping exists, in any container. It is given back at once. Only the
    /// file's owner, or a process with CAP_LEASE, may try; the caller has to know that the filesystem can be believed
    /// (`FilesystemKind.hasTrustworthyLeases`), and must ignore SIGIO: see `ignoreLeaseBreakSignal`.
    public borrowing func probeOpenElsewhere() -> ProbeAnswer {
        switch hfj_probe_write_lease(raw) {
        case 0: .free
        case -EAGAIN: .taken
        case let failure: .unknown(reason: describeErrno(-failure))
        }
    }

    /// Whether anybody holds this lock file with flock(2), by trying for a shared lock. It is given back at once.
    public borrowing func probeLocked() -> ProbeAnswer {
        switch hfj_probe_shared_flock(raw) {
        case 0: .free
        case -EWOULDBLOCK: .taken
        case let failure: .unknown(reason: describeErrno(-failure))
        }
    }
}

/// Ignores SIGIO, which the kernel sends to the holder of a lease when somebody opens the file and whose default ends the
/// process. To be called once before the first `probeOpenElsewhere`.
public func ignoreLeaseBreakSignal() {
    signal(SIGIO, SIG_IGN)
}

/// Whether a process with that id exists on this machine, as far as this PID namespace sees.
public func processExists(_ pid: Int32) -> Bool { hfj_process_exists(pid) == 1 }

/// This machine's name, as `gethostname` gives it.
public func hostName() -> String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        unsafe buffer.initialize(repeating: 0)
        guard let base = buffer.baseAddress, unsafe gethostname(base, 255) == 0 else { return "" }
        return unsafe String(cString: base)
    }
}

/// The user this process acts as: the effective uid.
public func effectiveUser() -> UInt32 { geteuid() }

/// The time of day.
public func currentTime() -> Timestamp {
    var now = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &now)
    return Timestamp(seconds: Int64(now.tv_sec), nanoseconds: Int64(now.tv_nsec))
}

/// Nanoseconds on a clock that never jumps, for durations.
public func monotonicNanoseconds() -> UInt64 {
    var now = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// Lets the calling thread rest.
public func sleepMilliseconds(_ milliseconds: UInt32) {
    usleep(milliseconds * 1000)
}

/// How many processors this process may run on.
public func availableProcessors() -> Int {
    max(1, Int(hfj_available_processors()))
}
