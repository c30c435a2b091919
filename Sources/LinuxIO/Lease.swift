internal import CLinux
internal import Glibc
internal import HubCache

/// A write lease on a file: proof that nobody else has it open or mapped, for as long as it is held.
///
/// Whoever opens the file meanwhile waits, at most `/proc/sys/fs/lease-break-time` seconds: hold it across a rename and no
/// longer. It is given back with the descriptor.
public struct WriteLease: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor

    fileprivate init(holding descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

    /// Whether nobody has asked for the file since.
    public borrowing func isUndisturbed() -> Bool { hfj_has_write_lease(descriptor.raw) == 1 }

    deinit { _ = hfj_give_lease_back(descriptor.raw) }
}

/// What came of trying for a lease.
public enum LeaseAttempt: ~Copyable, Sendable {
    /// It is held.
    case held(WriteLease)
    /// Somebody else has the file open or mapped.
    case taken
    /// It cannot be told, and why.
    case unknown(reason: String)
}

extension OwnedDescriptor {
    /// Tries for a write lease on this regular file, to hold it.
    ///
    /// What `probeOpenElsewhere` demands holds here too.
    public consuming func takeWriteLease() -> LeaseAttempt {
        switch hfj_take_write_lease(raw) {
        case 0: .held(WriteLease(holding: self))
        case -EAGAIN: .taken
        case let failure: .unknown(reason: describeErrno(-failure))
        }
    }
}
