internal import CLinux
internal import Glibc
internal import HubCache

/// The kinds of filesystem that behave differently for this program.
public enum FilesystemKind: Sendable, Hashable {
    /// A local one on which a write lease tells the truth.
    case leasable(name: String)
    /// overlayfs: a mapping holds the layer's file, so that a lease says "free" of a file in use.
    case overlay
    /// FUSE: locks and leases are those of this machine alone, if any.
    case fuse
    /// A network filesystem: neither locks nor leases nor inotify of other hosts can be relied on.
    case network(name: String)
    /// Some other local one.
    case other(type: Int64)

    /// The name for a person.
    public var name: String {
        switch self {
        case .leasable(let name), .network(let name): name
        case .overlay: "overlay"
        case .fuse: "fuse"
        case .other(let type):
            type == Int64(HFJ_FS_ZFS) ? "zfs" : "type 0x" + String(UInt64(bitPattern: type), radix: 16)
        }
    }

    /// Whether other hosts may use it at the same time.
    public var isNetwork: Bool { if case .network = self { true } else { false } }

    /// Whether "nobody has a write lease in the way" means that nobody has the file open or mapped.
    public var hasTrustworthyLeases: Bool { if case .leasable = self { true } else { false } }
}

/// A mounted filesystem as statfs(2) shows it.
public struct Filesystem: Sendable, Hashable {
    /// Its kind.
    public let kind: FilesystemKind
    /// An id that outlives a reboot where the filesystem has one, to key remembered digests by.
    public let id: UInt64
    /// Its size in bytes.
    public let totalBytes: UInt64
    /// What an unprivileged user could still write, in bytes.
    public let availableBytes: UInt64
    /// Free inodes, nil where the filesystem does not count them.
    public let freeInodes: UInt64?
    /// Whether it is mounted read-only.
    public let isReadOnly: Bool
    /// Whether it is mounted without access times.
    public let isNoAccessTime: Bool
    /// Whether access times are kept only roughly.
    public let isRelativeAccessTime: Bool
}

extension OwnedDescriptor {
    /// The filesystem that this descriptor's file is on.
    ///
    /// - Throws: `SystemCallFailure` as statfs(2).
    public borrowing func filesystem() throws(SystemCallFailure) -> Filesystem {
        let descriptor = raw
        var raw = hfj_filesystem()
        _ = try checked("statfs", .empty) { unsafe hfj_filesystem_of(descriptor, &raw) }
        var identity = raw.identity
        if identity == 0 {
            // Old tmpfs and some others have none: the device number has to do until the next boot.
            identity = try stat().key.device
        }
        return Filesystem(
            kind: kind(of: raw.type), id: identity ^ UInt64(bitPattern: raw.type) &* 0x9E37_79B9_7F4A_7C15,
            totalBytes: raw.total_blocks &* raw.block_size, availableBytes: raw.available_blocks &* raw.block_size,
            freeInodes: raw.total_inodes == 0 ? nil : raw.free_inodes, isReadOnly: raw.flags & 1 != 0,
            isNoAccessTime: raw.flags & 1024 != 0, isRelativeAccessTime: raw.flags & 4096 != 0)
    }
}

// The flags above are ST_RDONLY, ST_NOATIME and ST_RELATIME of statvfs(3).
private func kind(of type: Int64) -> FilesystemKind {
    switch type {
    case Int64(HFJ_FS_EXT4): .leasable(name: "ext4")
    case Int64(HFJ_FS_XFS): .leasable(name: "xfs")
    case Int64(HFJ_FS_BTRFS): .leasable(name: "btrfs")
    case Int64(HFJ_FS_F2FS): .leasable(name: "f2fs")
    case Int64(HFJ_FS_TMPFS): .leasable(name: "tmpfs")
    case Int64(HFJ_FS_OVERLAY): .overlay
    case Int64(HFJ_FS_FUSE): .fuse
    case Int64(HFJ_FS_NFS): .network(name: "nfs")
    case Int64(HFJ_FS_CIFS), Int64(HFJ_FS_SMB2): .network(name: "cifs")
    case Int64(HFJ_FS_CEPH): .network(name: "ceph")
    case Int64(HFJ_FS_LUSTRE): .network(name: "lustre")
    case Int64(HFJ_FS_GPFS): .network(name: "gpfs")
    case Int64(HFJ_FS_9P): .network(name: "9p")
    case Int64(HFJ_FS_AFS): .network(name: "afs")
    default: .other(type: type)
    }
}
