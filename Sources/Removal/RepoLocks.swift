internal import CacheScan
package import HubCache
package import LinuxIO

/// A lock file that is held for as long as this object lives.
package final class HeldLockFile: Sendable {
    let key: FileKey
    private let descriptor: OwnedDescriptor

    init(_ descriptor: consuming OwnedDescriptor, key: FileKey) {
        self.key = key
        self.descriptor = descriptor
    }
}

/// A folder with lock files, open.
private final class LockFolder: Sendable {
    let descriptor: OwnedDescriptor
    /// Whether it is `blobs` itself.
    let isOld: Bool

    init(_ descriptor: consuming OwnedDescriptor, isOld: Bool) {
        self.descriptor = descriptor
        self.isOld = isOld
    }
}

/// The locks of some blobs of a repo, held until this goes.
package struct HeldLocks: Sendable {
    let etags: Set<BytePath>
    fileprivate let files: [HeldLockFile]

    /// The locks of nothing.
    static let none = HeldLocks(etags: [], files: [])

    fileprivate var keys: Set<FileKey> { Set(files.map(\.key)) }
}

/// Why something cannot be done now.
enum Obstacle: Error, Sendable {
    case kept([Kept])
    case failed(RemovalFailure)
}

/// Takes the locks that clients take before they write a blob, by the rules of `filelock`: flock(2) on a file that is never
/// unlinked and never truncated, its inode looked at again once it is held.
package struct RepoLocks: Sendable {
    private let folders: RepoFolders
    private let reached: @Sendable (RemovalStep) -> Void
    private var root: CacheRoot { folders.root }

    init(folders: RepoFolders, steps: Steps) {
        self.folders = folders
        reached = steps.reached
    }

    /// Makes a taker of a repo's locks for those who remove nothing.
    package init(folders: RepoFolders) {
        self.folders = folders
        reached = { _ in }
    }

    private static let locks: BytePath = ".locks"
    /// Clients poll every 50 ms, and hold the lock for a link only as long as that takes.
    private static let patience: UInt64 = 500_000_000

    /// Locks blobs, all or none, in the order of their names, so that two of us never wait for each other.
    ///
    /// Waits half a second at most.
    func take(_ etags: Set<BytePath>) throws(Obstacle) -> HeldLocks {
        if etags.isEmpty { return .none }
        let held: HeldLocks
        do throws(SystemCallFailure) {
            held = try take(etags, until: monotonicNanoseconds() + Self.patience)
        } catch {
            throw obstacle(error)
        }
        reached(.locked)
        return held
    }

    /// Locks blobs, all or none, waiting for those that others hold.
    ///
    /// - Parameter deadline: until when it tries, by `monotonicNanoseconds`; once at least.
    /// - Throws: `SystemCallFailure`; `EAGAIN` when one of them stays held.
    package func take(_ etags: Set<BytePath>, until deadline: UInt64) throws(SystemCallFailure) -> HeldLocks {
        var files: [HeldLockFile] = []
        var lockFolders = [LockFolder(try lockFolder(), isOld: false)]
        if let nested = try openIfPresent(Self.locks.appending(folders.folder).appending("blobs")) {
            lockFolders.append(LockFolder(nested, isOld: false))
        }
        if let blobs = try folders.openIfPresent("blobs") { lockFolders.append(LockFolder(blobs, isOld: true)) }
        for etag in etags.sorted() {
            let name = BytePath(bytes: etag.bytes + Array(".lock".utf8))
            // No client could make such a lock either.
            if name.bytes.count > 255 { continue }
            for folder in lockFolders {
                // Nobody makes locks in `blobs` any more, but old clients look at those that are there.
                if folder.isOld, try folder.descriptor.statIfPresent(name)?.kind != .regular { continue }
                files.append(try take(name, in: folder.descriptor, deadline: deadline))
            }
        }
        return HeldLocks(etags: etags, files: files)
    }

    /// Who else is at work in the repo: any lock that is held by others, or that cannot be looked at.
    func othersAtWork(besides held: HeldLocks, oldLocks: [BytePath]) throws(Obstacle) -> Kept? {
        let keys = held.keys
        do throws(SystemCallFailure) {
            for path in [Self.locks.appending(folders.folder), Self.locks.appending(folders.folder).appending("blobs")]
            {
                guard let folder = try openIfPresent(path) else { continue }
                let listing = try folder.listDirectory()
                if let failure = listing.failures.first { throw failure }
                for entry in listing.entries where entry.stat.kind == .regular && entry.name.hasSuffix(".lock") {
                    if keys.contains(entry.stat.key) { continue }
                    if let kept = try probe(entry.name, in: folder) { return kept }
                }
            }
            if !oldLocks.isEmpty, let blobs = try folders.openIfPresent("blobs") {
                for etag in oldLocks {
                    let name = BytePath(bytes: etag.bytes + Array(".lock".utf8))
                    guard let stat = try blobs.statIfPresent(name), stat.kind == .regular, !keys.contains(stat.key)
                    else { continue }
                    if let kept = try probe(name, in: blobs) { return kept }
                }
            }
        } catch {
            throw obstacle(error)
        }
        return nil
    }

    private func probe(_ name: BytePath, in folder: borrowing OwnedDescriptor) throws(SystemCallFailure) -> Kept? {
        let file: OwnedDescriptor
        do throws(SystemCallFailure) {
            file = try folder.open(name, options: .keepAccessTime)
        } catch {
            if error.isAbsent { return nil }
            if error.isPermission { return Kept(by: .lock, "the lock '\(name.display)' may not be looked at") }
            throw error
        }
        switch file.probeLocked() {
        case .taken: return Kept(by: .lock, "a client holds the lock '\(name.display)'")
        case .unknown(let reason): return Kept(by: .lock, "the lock '\(name.display)' cannot be told: \(reason)")
        case .free: return softLock(file, name)
        }
    }

    /// A lock file with a process in it is held by that process while it runs, where flock(2) was missing for it.
    private func softLock(_ file: borrowing OwnedDescriptor, _ name: BytePath) -> Kept? {
        guard let stat = try? file.stat(), stat.size > 0 else { return nil }
        guard let content = try? file.readAll(limit: SoftLock.sizeLimit),
            let soft = SoftLock(path: name, content: content), !soft.isStale
        else { return nil }
        return Kept(
            by: .lock, "process \(soft.processID) on \(displayText(of: soft.host)) holds the lock '\(name.display)'")
    }

    /// - Throws: `SystemCallFailure` with `EAGAIN` when it stays held.
    private func take(_ name: BytePath, in folder: borrowing OwnedDescriptor, deadline: UInt64)
        throws(SystemCallFailure) -> HeldLockFile
    {
        while true {
            let file = try folder.openLockFile(name)
            let stat = try file.stat()
            let attempt = try file.tryLock()
            if attempt == .locked, folder.isStill(name, file) {
                if softLock(file, name) != nil { throw busy(name) }
                return HeldLockFile(file, key: stat.key)
            }
            if monotonicNanoseconds() >= deadline { throw busy(name) }
            sleepMilliseconds(10)
        }
    }

    private func busy(_ name: BytePath) -> SystemCallFailure {
        SystemCallFailure(call: "flock", errno: SystemCallFailure.tryAgainNumber, subject: name)
    }

    /// `.locks/<repo>`, made as the clients make it, but with the modes of the cache and not by the umask: clients of other users
    /// have to lock there too.
    private func lockFolder() throws(SystemCallFailure) -> OwnedDescriptor {
        var folder = try root.open(.empty, options: [.directory, .keepAccessTime])
        for name in [Self.locks, folders.folder] { folder = try folder.folderMade(name, like: root.stat) }
        return folder
    }

    private func openIfPresent(_ path: BytePath) throws(SystemCallFailure) -> OwnedDescriptor? {
        do throws(SystemCallFailure) {
            return try root.open(path, options: [.directory, .keepAccessTime])
        } catch {
            if error.isAbsent { return nil }
            throw error
        }
    }

    private func obstacle(_ failure: SystemCallFailure) -> Obstacle {
        if failure.call == "flock" && failure.errno == SystemCallFailure.tryAgainNumber {
            return .kept([Kept(by: .lock, "a client holds the lock '\(failure.subject.display)'")])
        }
        if failure.call == "flock" && failure.isMissingCall {
            return .failed(
                RemovalFailure(
                    what: "this filesystem has no file locks (flock), so that clients cannot be kept away",
                    errno: failure.errno, remedy: "remove it from a host where the cache is local"))
        }
        return .failed(RemovalFailure(failure, in: folders.folder))
    }
}

extension RemovalFailure {
    /// A failed system call, told with what helps against its kind.
    init(_ failure: SystemCallFailure, in folder: BytePath) {
        let remedy =
            if failure.isPermission {
                "run it as the owner of the cache, and see whether all of the repo belongs to that user"
            } else if failure.isReadOnly {
                "mount the filesystem writable again, and see the kernel's log for why it is not"
            } else if failure.isFull {
                "free a little room first: an operation needs a few kilobytes"
            } else if failure.errno == SystemCallFailure.otherDeviceNumber {
                "remove it where it really is: it lies in a lower layer of an overlay or behind another mount"
            } else if failure.isAbsent {
                "another process removed it at that moment: try again"
            } else if failure.isLink {
                "see what the symbolic link is for: none belongs there"
            } else {
                "see the kernel's log for errors of the disk, then try again"
            }
        self.init(what: "\(folder.display): \(failure.description)", errno: failure.errno, remedy: remedy)
    }
}
