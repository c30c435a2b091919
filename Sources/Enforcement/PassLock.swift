public import CacheScan
internal import HubCache
internal import LinuxIO

/// One pass at a time on each cache, whoever runs it with whatever ledger: two that plan at once would each fill the same gap.
///
/// The lock is a flock on the root folder itself: nothing has to be written for it, not even on a full disk, and no client locks
/// that folder.
public final class PassLock: Sendable {
    private let folders: [RootFolder]

    /// Takes the locks; they are given back when this object goes.
    ///
    /// - Returns: nil while another pass has one of them.
    public init?(_ caches: [CacheRoot]) {
        var folders: [RootFolder] = []
        var locked: Set<FileKey> = []
        for cache in caches {
            // A root that cannot be opened any more has nothing that a pass could remove.
            guard let opened = try? cache.open(.empty, options: [.directory, .keepAccessTime]) else { continue }
            // The same folder under another name: its lock would be in our own way.
            if let key = try? opened.stat().key, !locked.insert(key).inserted { continue }
            let folder = RootFolder(opened)
            if folder.isBusy() { return nil }
            folders.append(folder)
        }
        self.folders = folders
    }

    private final class RootFolder: Sendable {
        private let descriptor: OwnedDescriptor

        init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

        /// Whether somebody else has it. Where folders cannot be locked nobody has.
        func isBusy() -> Bool { (try? descriptor.tryLock()) == .busy }
    }
}
