internal import HubCache
internal import LinuxIO

/// Goes through the folders of one unit and watches each before it is listed, so that what appears meanwhile is either listed
/// or an event. Where that is not possible it notes what the folders look like instead.
struct UnitWalk {
    /// What came of it.
    struct Result {
        var watches: [Int32] = []
        /// What to compare with at the next sweep; nil when the unit is watched.
        var polled: [PolledEntry]?
        /// Whether something was not watched before.
        var isChanged = false
        /// Whether the kernel has no room for more watches.
        var isLimitReached = false
        var hasUnseen = false
        var isRemote = false
        var isTooBig = false
    }

    private let monitor: CacheMonitor
    private let root: RootInfo
    private let unit: Int32
    /// nil to poll.
    private let inotify: Inotify?
    private var result = Result()
    private var commits: [CommitHash: UInt16]
    private var folders = 0

    /// Folders inside folders, as deep as a scan goes.
    private static let depthLimit = 64

    /// What is known of the root that is being gone through.
    struct RootInfo {
        var device: UInt64
        var owner: UInt32
        var isRemote: Bool
        /// Whether two links to a folder mean that there is no folder in it.
        var countsFolders: Bool
    }

    private init(monitor: CacheMonitor, root: RootInfo, unit: Int32, inotify: Inotify?) {
        self.monitor = monitor
        self.root = root
        self.unit = unit
        self.inotify = inotify
        commits = monitor.commits(of: unit)
        if inotify == nil { result.polled = [] }
    }

    /// Goes through a unit, watching where possible and else polling.
    ///
    /// - Parameter folder: the root, opened to be listed.
    /// - Returns: nil when the unit is not there.
    static func run(
        monitor: CacheMonitor, root: RootInfo, unit: Int32, inotify: Inotify?, in folder: borrowing OwnedDescriptor,
        _ visit: (inout UnitWalk, borrowing OwnedDescriptor) throws(SystemCallFailure) -> Void
    ) -> Result? {
        var walk = UnitWalk(monitor: monitor, root: root, unit: unit, inotify: root.isRemote ? nil : inotify)
        walk.result.isRemote = root.isRemote
        guard walk.perform(in: folder, visit) else { return nil }
        let first = walk.result
        guard first.isLimitReached || first.isRemote || first.isTooBig, first.polled == nil else { return first }
        // Watched in part would be a promise half kept: the whole unit is polled.
        walk = UnitWalk(monitor: monitor, root: root, unit: unit, inotify: nil)
        guard walk.perform(in: folder, visit) else { return nil }
        walk.result.watches = first.watches
        walk.result.isLimitReached = first.isLimitReached
        walk.result.isRemote = walk.result.isRemote || first.isRemote
        return walk.result
    }

    private mutating func perform(
        in folder: borrowing OwnedDescriptor,
        _ visit: (inout UnitWalk, borrowing OwnedDescriptor) throws(SystemCallFailure) -> Void
    ) -> Bool {
        do throws(SystemCallFailure) {
            try visit(&self, folder)
            return true
        } catch {
            if error.isAbsent || error.isLink { return false }
            result.hasUnseen = true
            return true
        }
    }

    // MARK: the units

    /// The root folder itself.
    mutating func visitRoot(_ folder: borrowing OwnedDescriptor) throws(SystemCallFailure) {
        _ = try enter(folder, .root, at: ".")
    }

    /// The shared store and its two-digit folders.
    mutating func visitStore(in parent: borrowing OwnedDescriptor) throws(SystemCallFailure) {
        let store = try parent.open("blobs", options: [.directory, .keepAccessTime])
        guard try enter(store, .store, at: "blobs") else { return }
        for (name, _) in try store.names(ofKinds: [.directory])
        where name.bytes.count == 2 && name.bytes.allSatisfy(isLowerHexadecimal) {
            descend(name, of: store, at: "blobs") { (walk, shelf, path) throws(SystemCallFailure) in
                if try walk.enter(shelf, .shelf, at: path) { try walk.noteFiles(of: shelf, at: path) }
            }
        }
    }

    /// A repo's folder, or the folder of the same owner that a link in its place leads to.
    mutating func visitRepo(_ name: BytePath, in parent: borrowing OwnedDescriptor) throws(SystemCallFailure) {
        if result.polled != nil, let stat = try? parent.stat(of: name), stat.kind == .symlink { note(stat, at: name) }
        let folder = try openFolderOrLink(name, in: parent)
        guard try enter(folder, .repo, at: name) else { return }
        for (child, kind) in try folder.names(ofKinds: [.directory, .symlink]) {
            switch (child.text, kind) {
            case ("blobs", _):
                let path = name.appending(child)
                if result.polled != nil, kind == .symlink, let stat = try? folder.stat(of: child) {
                    note(stat, at: path)
                }
                attempt { (walk) throws(SystemCallFailure) in
                    let blobs = try walk.openFolderOrLink(child, in: folder)
                    if try walk.enter(blobs, .blobs, at: path) { try walk.noteFiles(of: blobs, at: path) }
                }
            case ("refs", .directory):
                descend(child, of: folder, at: name) { (walk, refs, path) throws(SystemCallFailure) in
                    try walk.visitTree(refs, .refs, at: path, commit: 0, depth: 0)
                }
            case ("trees", .directory):
                descend(child, of: folder, at: name) { (walk, trees, path) throws(SystemCallFailure) in
                    _ = try walk.enter(trees, .trees, at: path)
                }
            case ("snapshots", .directory):
                descend(child, of: folder, at: name) { (walk, snapshots, path) throws(SystemCallFailure) in
                    try walk.visitSnapshots(snapshots, at: path)
                }
            default: break
            }
        }
    }

    private mutating func visitSnapshots(_ snapshots: borrowing OwnedDescriptor, at path: BytePath)
        throws(SystemCallFailure)
    {
        guard try enter(snapshots, .snapshots, at: path) else { return }
        for (name, _) in try snapshots.names(ofKinds: [.directory]) {
            guard let commit = CommitHash(name) else { continue }
            let number = commits[commit] ?? monitor.addCommit(commit, to: unit)
            commits[commit] = number
            descend(name, of: snapshots, at: path) { (walk, snapshot, path) throws(SystemCallFailure) in
                try walk.visitTree(snapshot, .snapshot, at: path, commit: number, depth: 0)
            }
        }
    }

    private mutating func visitTree(
        _ folder: borrowing OwnedDescriptor, _ kind: WatchedKind, at path: BytePath, commit: UInt16, depth: Int
    ) throws(SystemCallFailure) {
        guard try enter(folder, kind, at: path, commit: commit, mayBeLeaf: true) else { return }
        // An open folder is listed once only.
        let kinds: [FileKind] = result.polled == nil ? [.directory] : [.directory, .regular]
        for (name, childKind) in try folder.names(ofKinds: kinds) {
            guard childKind == .directory else {
                noteFile(name, of: folder, at: path)
                continue
            }
            guard depth < Self.depthLimit else {
                result.isTooBig = true
                return
            }
            descend(name, of: folder, at: path) { (walk, child, path) throws(SystemCallFailure) in
                try walk.visitTree(child, kind, at: path, commit: commit, depth: depth + 1)
            }
        }
    }

    // MARK: one folder

    /// Watches or notes an open folder.
    ///
    /// - Parameter mayBeLeaf: whether a folder without folders in it need not be listed.
    /// - Returns: whether its folders are to be visited.
    private mutating func enter(
        _ folder: borrowing OwnedDescriptor, _ kind: WatchedKind, at path: BytePath, commit: UInt16 = 0,
        mayBeLeaf: Bool = false
    ) throws(SystemCallFailure) -> Bool {
        monitor.tick()
        if monitor.isStopped || result.isLimitReached { return false }
        if result.polled == nil && (result.isTooBig || result.isRemote) { return false }
        folders += 1
        guard folders <= monitor.limits.foldersPerRepo else {
            result.isTooBig = true
            return false
        }
        if let inotify, result.polled == nil {
            let node = WatchNode(unit: unit, kind: kind, commit: commit)
            do throws(SystemCallFailure) {
                let (watch, isNew) = try monitor.add(folder, as: node, to: inotify)
                result.watches.append(watch)
                if isNew { result.isChanged = true }
            } catch {
                guard error.errno == SystemCallFailure.noSpaceNumber else { throw error }
                result.isLimitReached = true
                return false
            }
        }
        // After the watch: a folder that was made in between has been an event.
        let stat = try folder.stat()
        if stat.key.device != root.device, result.polled == nil, try folder.filesystem().kind.tellsNoEvents {
            result.isRemote = true
            return false
        }
        if result.polled != nil { note(stat, at: kind == .repo || kind == .blobs ? path.appending(".") : path) }
        return result.polled != nil || !(mayBeLeaf && root.countsFolders && stat.linkCount == 2)
    }

    private mutating func note(_ stat: FileStat, at path: BytePath) {
        guard let count = result.polled?.count, count < monitor.limits.foldersPerRepo else {
            result.isTooBig = true
            return
        }
        result.polled?.append(PolledEntry(path: path, stat: stat))
    }

    /// Notes the files of a polled folder.
    private mutating func noteFiles(of folder: borrowing OwnedDescriptor, at path: BytePath) throws(SystemCallFailure) {
        guard result.polled != nil else { return }
        for (name, _) in try folder.names(ofKinds: [.regular]) { noteFile(name, of: folder, at: path) }
    }

    /// Notes a file of a polled folder: what is written in place, as clients before 1.18 do with refs, the folder does not
    /// show.
    private mutating func noteFile(_ name: BytePath, of folder: borrowing OwnedDescriptor, at path: BytePath) {
        monitor.tick()
        // With more files, what is written in place is found by the next look at everything.
        guard !monitor.isStopped, result.polled?.count ?? 0 < monitor.limits.foldersPerRepo / 2,
            let stat = try? folder.stat(of: name)
        else { return }
        note(stat, at: path.appending(name))
    }

    private mutating func descend(
        _ name: BytePath, of folder: borrowing OwnedDescriptor, at path: BytePath,
        _ visit: (inout UnitWalk, borrowing OwnedDescriptor, BytePath) throws(SystemCallFailure) -> Void
    ) {
        do throws(SystemCallFailure) {
            try visit(&self, try folder.open(name, options: [.directory, .keepAccessTime]), path.appending(name))
        } catch {
            noteUnseen(error)
        }
    }

    private mutating func attempt(_ visit: (inout UnitWalk) throws(SystemCallFailure) -> Void) {
        do throws(SystemCallFailure) { try visit(&self) } catch { noteUnseen(error) }
    }

    private mutating func noteUnseen(_ failure: SystemCallFailure) {
        // What vanished meanwhile was an event.
        if !failure.isAbsent && !failure.isLink { result.hasUnseen = true }
    }

    /// A link is followed only to a folder of the cache's owner, as a scan does.
    private func openFolderOrLink(_ name: BytePath, in parent: borrowing OwnedDescriptor) throws(SystemCallFailure)
        -> OwnedDescriptor
    {
        guard try parent.stat(of: name).kind == .symlink else {
            return try parent.open(name, options: [.directory, .keepAccessTime])
        }
        let folder: OwnedDescriptor
        do throws(SystemCallFailure) {
            folder = try parent.openFollowing(name)
        } catch {
            // Its disk may be mounted later, of which nothing tells: it is tried again.
            guard error.isAbsent else { throw error }
            throw SystemCallFailure(call: "open", errno: SystemCallFailure.staleNumber, subject: name)
        }
        guard try folder.stat().uid == root.owner else {
            throw SystemCallFailure(call: "open", errno: SystemCallFailure.notAFolderNumber, subject: name)
        }
        return folder
    }
}

extension FilesystemKind {
    /// Whether inotify does not hear of what others do there.
    var tellsNoEvents: Bool {
        switch self {
        case .fuse, .network: true
        case .leasable, .overlay, .other: false
        }
    }
}
