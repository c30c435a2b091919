public import HubCache
public import LinuxIO
internal import Synchronization

/// Says that a file is about to be opened, by its place relative to the cache root; what it gives back is called when that is
/// done. So a process that watches a cache can tell its own reads from those of others.
public typealias ReadAnnouncement = @Sendable (BytePath) -> (@Sendable () -> Void)?

/// A cache's root folder, opened once. Everything below is reached through it.
public final class CacheRoot: Sendable {
    /// Where the root is, without links.
    public let path: BytePath
    /// What `stat` says of it.
    public let stat: FileStat
    /// The filesystem it is on.
    public let filesystem: Filesystem
    let descriptor: OwnedDescriptor
    private let announceRead: ReadAnnouncement?
    private let otherFilesystems = Mutex<[UInt64: Filesystem]>([:])

    /// Opens a root that a person, the environment or a policy names. Links in that path are followed, as the Python
    /// client does before it builds lock paths.
    ///
    /// - Parameter announceRead: is told of each file below before this object opens it.
    /// - Throws: `SystemCallFailure` when it is not there, not a directory or may not be read.
    public init(opening path: BytePath, announceRead: ReadAnnouncement? = nil) throws(SystemCallFailure) {
        self.announceRead = announceRead
        descriptor = try OwnedDescriptor.open(trustedPath: path, options: [.directory, .keepAccessTime])
        stat = try descriptor.stat()
        filesystem = try descriptor.filesystem()
        self.path = try descriptor.currentPath()
    }

    /// Opens something below the root. No component may be a link, except the linked folders that a scan accepted, and
    /// those only while they still lead to the same folder.
    ///
    /// - Parameters:
    ///   - location: relative to the root.
    ///   - linked: the linked folders of the repo concerned.
    /// - Throws: `SystemCallFailure`; `ESTALE` when a linked folder has been replaced.
    public func open(
        _ location: BytePath, linked: [LinkedFolder] = [], options: OpenOptions = [.keepAccessTime]
    ) throws(SystemCallFailure) -> OwnedDescriptor {
        let ended = options.contains(.directory) ? nil : announceRead?(location)
        defer { ended?() }
        // The innermost linked folder on the way is where the path really starts.
        let starts = linked.filter { location.relative(to: $0.path) != nil }
        guard let start = starts.max(by: { $0.path.bytes.count < $1.path.bytes.count }),
            let rest = location.relative(to: start.path)
        else { return try descriptor.open(location.isEmpty ? "." : location, options: options) }
        let folder = try openLinked(start)
        return rest.isEmpty ? folder : try folder.open(rest, options: options)
    }

    private func openLinked(_ link: LinkedFolder) throws(SystemCallFailure) -> OwnedDescriptor {
        let folder = try OwnedDescriptor.open(trustedPath: link.physicalPath, options: [.directory, .keepAccessTime])
        guard try folder.stat().key == link.key else {
            throw SystemCallFailure(call: "open", errno: SystemCallFailure.staleNumber, subject: link.path)
        }
        return folder
    }

    /// Opens the root once more, to be listed: a descriptor's place in a directory is shared by all who use it.
    ///
    /// - Throws: `SystemCallFailure` as open(2).
    func openForListing() throws(SystemCallFailure) -> OwnedDescriptor {
        try descriptor.open(".", options: [.directory, .keepAccessTime])
    }

    /// What `stat` says of something below the root, itself when it is a link.
    ///
    /// - Throws: `SystemCallFailure` as statx(2).
    func stat(of location: BytePath) throws(SystemCallFailure) -> FileStat {
        location.isEmpty ? stat : try descriptor.stat(of: location)
    }

    /// What `stat` says of something below the root whose folders were just scanned, itself when it is a link.
    ///
    /// - Throws: `SystemCallFailure` as openat2(2) and statx(2).
    public func stat(at location: BytePath) throws(SystemCallFailure) -> FileStat {
        let parent = location.parent
        if parent.isEmpty { return try descriptor.stat(of: location) }
        return try open(parent, options: [.directory, .keepAccessTime]).stat(of: location.lastComponent)
    }

    /// The filesystem as it is now; `filesystem` is as it was when the root was opened.
    ///
    /// - Throws: `SystemCallFailure` as statfs(2).
    public func currentFilesystem() throws(SystemCallFailure) -> Filesystem { try descriptor.filesystem() }

    /// Writes everything of the root's filesystem to the disk, so that what was removed shows as free space.
    public func syncFilesystem() { descriptor.syncFilesystem() }

    /// The filesystem of an inode that a scan has seen.
    public func filesystem(ofDevice device: UInt64) -> Filesystem {
        if device == stat.key.device { return filesystem }
        return otherFilesystems.withLock { $0[device] } ?? filesystem
    }

    /// Remembers which filesystem a directory on another device is on.
    func noteFilesystem(of directory: borrowing OwnedDescriptor, device: UInt64) {
        guard device != stat.key.device, otherFilesystems.withLock({ $0[device] == nil }) else { return }
        guard let found = try? directory.filesystem() else { return }
        otherFilesystems.withLock { $0[device] = found }
    }

    /// Whether there is something in the root and none of it shows that a cache is there: a client makes `.locks`, a tag and
    /// folders of repos.
    public var isSomethingElse: Bool {
        guard let listing = try? openForListing().listDirectory() else { return false }
        let names = listing.entries.map(\.name) + listing.failures.map(\.subject)
        // A repo's folder has `blobs` too.
        let isRepo = names.contains("snapshots")
        var hasOthers = false
        for name in names {
            switch RootEntryName(name) {
            case .repo, .locks, .cacheTag: return false
            case .sharedStore:
                guard isRepo else { return false }
                hasOthers = true
            case .desktopHelper, .oldTemporary, .migrationMark: break
            // A filesystem that was just made.
            case .foreign: hasOthers = hasOthers || name != "lost+found"
            }
        }
        return hasOthers
    }

    /// What tells whether a file of the cache is in use: `lease`, `proc`, or `none`.
    public var inUseMethod: String {
        let user = effectiveUser()
        if filesystem.kind.hasTrustworthyLeases, stat.uid == user || user == 0 { return "lease" }
        return OpenFileScan.blindSpot() == nil ? "proc" : "none"
    }

    /// The version under which what is known of a file is remembered.
    public func version(of stat: FileStat) -> FileVersion {
        FileVersion(filesystem: filesystem(ofDevice: stat.key.device).id, stat: stat)
    }
}
