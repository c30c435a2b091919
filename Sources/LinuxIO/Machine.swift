internal import CLinux
internal import Glibc

/// Nanoseconds since the machine started, sleep included (CLOCK_BOOTTIME).
public func nanosecondsSinceBoot() -> Int64 {
    var time = timespec()
    guard unsafe clock_gettime(CLOCK_BOOTTIME, &time) == 0 else { return 0 }
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Whether the system says that its clock follows a reference; nil where it does not say.
public func clockIsSynchronised() -> Bool? {
    let answer = hfj_clock_is_synchronised()
    return answer < 0 ? nil : answer == 1
}

extension OwnedDescriptor {
    /// Whether this file's extents may be shared with other files or snapshots, or are stored compressed: removing it may then
    /// give back less than it takes. Where the filesystem cannot tell, only those that cannot share are said not to.
    public borrowing func mayShareExtents() -> Bool {
        let answer = hfj_shares_extents(raw)
        // ENOTTY and EOPNOTSUPP: tmpfs, overlayfs and others that have no map of extents.
        return answer > 0
    }

    /// Writes everything of this file's filesystem to the disk, so that what was removed shows as free space.
    public borrowing func syncFilesystem() {
        _ = hfj_sync_filesystem(raw)
    }
}
