public import HubCache
public import LinuxIO

/// The entries of a cache's root, sorted by what they are. Repos are scanned one by one: see `scanRepo`.
public struct CacheListing: Sendable {
    /// A repo's folder, not yet looked into.
    public struct RepoFolder: Sendable {
        /// The repo.
        public let id: RepoID
        let entry: DirectoryEntry
        /// The folder's name.
        public var folder: BytePath { entry.name }
    }

    /// The repos, in order of their ids.
    public internal(set) var repos: [RepoFolder] = []
    /// The shared store.
    public internal(set) var store = StoreInventory()
    /// Temporary downloads of the oldest clients, in the root itself.
    public internal(set) var oldPartials: [PartialDownload] = []
    /// What does not belong, or could not be looked at.
    public internal(set) var strays: [Stray] = []
    /// Bytes on the disk of the root itself and of everything that is neither in a repo nor in the store.
    public internal(set) var tally = AllocationTally()
}

/// Reads a cache, folder by folder.
public struct CacheScan: Sendable {
    /// The cache.
    public let root: CacheRoot

    /// Makes a reader of a cache.
    public init(root: CacheRoot) { self.root = root }

    /// Lists the root and looks into everything but the repos.
    ///
    /// - Throws: `SystemCallFailure` when the root itself cannot be read.
    public func list() throws(SystemCallFailure) -> CacheListing {
        var result = CacheListing()
        result.tally.add(root.stat)
        let listing = try root.openForListing().listDirectory()
        for failure in listing.failures {
            result.strays.append(Stray(path: failure.subject, code: failure.findingCode, detail: failure.reason))
        }
        for entry in listing.entries {
            switch (RootEntryName(entry.name), entry.stat.kind) {
            case (.repo(let id), .directory), (.repo(let id), .symlink):
                result.repos.append(CacheListing.RepoFolder(id: id, entry: entry))
            case (.sharedStore, _): result.store = scanStore(root: root, entry: entry)
            case (.locks, .directory): result.tally.add(entry.stat)
            case (.cacheTag, .regular), (.desktopHelper, .regular), (.migrationMark, .regular):
                result.tally.add(entry.stat)
            case (.oldTemporary, .regular):
                result.tally.add(entry.stat)
                result.oldPartials.append(
                    PartialDownload(name: entry.name, etag: .empty, writer: .oldTemporary, stat: entry.stat))
            default: addStray(entry, to: &result)
            }
        }
        result.repos.sort { $0.id < $1.id }
        result.oldPartials.sort { $0.name < $1.name }
        result.strays.sort { $0.path < $1.path }
        return result
    }

    /// Looks into one repo's folder.
    public func scanRepo(_ repo: CacheListing.RepoFolder, store: StoreInventory) -> RepoInventory {
        RepoScan.scan(root: root, entry: repo.entry, id: repo.id, hasStore: store.isPresent)
    }

    private func addStray(_ entry: DirectoryEntry, to result: inout CacheListing) {
        var tally = AllocationTally()
        tally.add(entry.stat)
        if entry.stat.kind == .directory { tally.add(tallyTree(entry.name, in: root.descriptor, depth: 0)) }
        result.tally.add(tally)
        // The probe for links makes a folder of such a name and removes it again within milliseconds.
        if case .oldTemporary = RootEntryName(entry.name) { return }
        let detail =
            entry.stat.kind == .directory
            ? "a folder that no client puts here" : "a \(entry.stat.kind.word) that no client puts here"
        result.strays.append(
            Stray(path: entry.name, code: .foreignEntry, detail: detail, allocated: tally.total))
    }

    /// Looks into `.locks`: as many files as the cache has blobs.
    public func scanLocks() -> LockListing {
        var result = LockListing()
        do throws(SystemCallFailure) {
            let locks = try root.open(".locks", options: [.directory, .keepAccessTime])
            scanLockFolder(locks, at: ".locks", depth: 0, into: &result)
        } catch {
            // A link or a file in its place is a stray of the root already.
            if !error.isAbsent && !error.isLink {
                result.strays.append(Stray(path: ".locks", code: error.findingCode, detail: error.reason))
            }
        }
        result.softLocks.sort { $0.path < $1.path }
        return result
    }

    private func scanLockFolder(
        _ folder: borrowing OwnedDescriptor, at location: BytePath, depth: Int, into result: inout LockListing
    ) {
        guard let listing = try? folder.listDirectory() else { return }
        for failure in listing.failures {
            result.strays.append(
                Stray(path: location.appending(failure.subject), code: failure.findingCode, detail: failure.reason))
        }
        for entry in listing.entries {
            result.tally.add(entry.stat)
            if entry.stat.kind == .directory {
                // No client's locks are deeper than `.locks/<repo>/blobs`.
                guard depth < 3 else {
                    result.tally.add(tallyTree(entry.name, in: folder, depth: 0))
                    continue
                }
                if let child = try? folder.open(entry.name, options: [.directory, .keepAccessTime]) {
                    scanLockFolder(child, at: location.appending(entry.name), depth: depth + 1, into: &result)
                }
            } else if entry.stat.kind == .regular, entry.name.hasSuffix(".hold") {
                result.holds.append(location.appending(entry.name))
            } else if entry.stat.kind == .regular, entry.stat.size > 0, entry.name.hasSuffix(".lock"),
                let file = try? folder.open(entry.name, options: .keepAccessTime),
                let content = try? file.readAll(limit: SoftLock.sizeLimit),
                let lock = SoftLock(path: location.appending(entry.name), content: content)
            {
                result.softLocks.append(lock)
            }
        }
    }
}

/// What `.locks` holds.
public struct LockListing: Sendable {
    /// Lock files that hold the name of a process: see `SoftLock`.
    public internal(set) var softLocks: [SoftLock] = []
    /// Files that say that a repo is held, relative to the cache root; not looked into.
    public internal(set) var holds: [BytePath] = []
    /// What could not be looked at.
    public internal(set) var strays: [Stray] = []
    /// Bytes on the disk of everything in it; the folder itself is the root's.
    public internal(set) var tally = AllocationTally()

    /// Makes an empty listing.
    public init() {}
}

extension CacheScan {
    /// The bytes on the disk of a folder and everything below it, each inode once.
    public static func allocatedBytes(of root: CacheRoot) -> UInt64 {
        var tally = AllocationTally()
        tally.add(root.stat)
        guard let listing = try? root.openForListing().listDirectory() else { return tally.total }
        for entry in listing.entries {
            tally.add(entry.stat)
            if entry.stat.kind == .directory { tally.add(tallyTree(entry.name, in: root.descriptor, depth: 0)) }
        }
        return tally.total
    }
}
