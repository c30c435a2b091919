import CacheScan
import HubCache
import LinuxIO

/// One pass at a time on each cache, whoever runs it with whatever ledger: two that plan at once would each fill the same gap.
///
/// The lock is a flock on the root folder itself: nothing has to be written for it, not even on a full disk, and no client locks
/// that folder.
final class EnforcementLock: Sendable {
    private let roots: [RootLock]

    /// Takes the locks; they are given back when this object goes.
    ///
    /// - Throws: `CommandFailure` 75 while another run has one.
    init(_ caches: [CacheRoot]) throws {
        var roots: [RootLock] = []
        for cache in caches {
            guard let lock = try RootLock(cache) else {
                throw CommandFailure(
                    status: .busy,
                    message:
                        "another 'hfjanitor enforce' is at work on '\(cache.path.display)'; try again when it is done")
            }
            roots.append(lock)
        }
        self.roots = roots
    }

    private final class RootLock: Sendable {
        private let folder: OwnedDescriptor

        /// Nil when somebody else has it. Where folders cannot be locked there is nothing to hold.
        ///
        /// - Throws: `CommandFailure` when the root cannot be opened any more.
        init?(_ cache: CacheRoot) throws {
            do throws(SystemCallFailure) {
                folder = try cache.open(.empty, options: [.directory, .keepAccessTime])
            } catch {
                throw CommandFailure(
                    status: .cannotRead, message: "cannot open the cache '\(cache.path.display)': \(error.reason)")
            }
            if (try? folder.tryLock()) == .busy { return nil }
        }
    }
}
