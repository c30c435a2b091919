internal import CacheScan
internal import HubCache
internal import HubClient
internal import LinuxIO
internal import Removal

/// A repo's folder, opened to put something into it, and what of it is as the clients make it.
struct RepoPlace: Sendable {
    let root: CacheRoot
    let repo: RepoID
    let folders: RepoFolders
    let steps: RepairSteps
    private let linked: [LinkedFolder]
    private let refs: [Ref]
    /// What each revision had when the folder was opened, by the paths in the repo.
    private let snapshots: [CommitHash: [BytePath: FileStat]]
    /// The blobs that revisions linked to when the folder was opened.
    let linkedBlobs: Set<BytePath>
    /// Whether the folder is a link to elsewhere, so that its links do not end in this cache's store.
    private var isLinked: Bool { !linked.isEmpty }

    /// Opens a repo's folder.
    ///
    /// - Parameter makes: whether it is made where it is absent.
    /// - Throws: `RepairFailure`, `SystemCallFailure`.
    init(
        _ repo: RepoID, in root: CacheRoot, makes: Bool, allowsLinkedFolder: (LinkedFolder) -> Bool, steps: RepairSteps
    ) throws {
        self.root = root
        self.repo = repo
        self.steps = steps
        let top = try root.open(.empty, options: [.directory, .keepAccessTime])
        let scan = CacheScan(root: root)
        if makes, try scan.repoFolder(repo.folder) == nil {
            _ = try top.folderMade(repo.folder, like: root.stat)
            try top.synchronize()
            steps.reached(.folderMade)
        }
        guard let entry = try scan.repoFolder(repo.folder) else {
            throw RepairFailure(.repoNotFound, "\(repo) is not in '\(root.path.display)'")
        }
        let inventory = scan.scanRepo(entry, store: StoreInventory())
        if let link = inventory.linkedFolders.first(where: { $0.path != repo.folder || !allowsLinkedFolder($0) }) {
            throw RepairFailure(
                .inUse,
                "'\(link.path.display)' is a link to '\(link.physicalPath.display)', which the policy's 'also' does not list"
            )
        }
        linked = inventory.linkedFolders
        if linked.isEmpty, inventory.stat.kind == .symlink {
            throw RepairFailure(.inUse, "'\(repo.folder.display)' is a link that leads out of the cache")
        }
        snapshots = Dictionary(
            inventory.snapshots.compactMap { snapshot in
                snapshot.commit.map { commit in
                    (
                        commit,
                        Dictionary(snapshot.files.map { ($0.path, $0.stat) }, uniquingKeysWith: { first, _ in first })
                    )
                }
            }, uniquingKeysWith: { first, _ in first })
        refs = inventory.refs
        linkedBlobs = Set(
            inventory.snapshots.flatMap(\.files).compactMap { file in
                if case .blob(let name) = file.link { name } else { nil }
            })
        folders = try RepoFolders(root: root, inventory: inventory)
    }

    /// Whether the folder is this user's. Into another one's nothing is put: its owner could not replace or remove it.
    var isOwn: Bool { folders.stat.uid == effectiveUser() }

    /// Refuses another user's folder.
    ///
    /// - Throws: `RepairFailure`, a lack of permission.
    func requireOwn() throws(RepairFailure) {
        guard !isOwn else { return }
        throw RepairFailure(
            SystemCallFailure(call: "open", errno: SystemCallFailure.deniedNumber, subject: repo.folder),
            at: root.path.display)
    }

    /// Opens a folder of the repo, making it and those above it with the mode and group of the repo's.
    func makeFolders(_ path: BytePath) throws(SystemCallFailure) -> OwnedDescriptor {
        var folder = try folders.open(.empty)
        for component in path.components { folder = try folder.folderMade(component, like: folders.stat) }
        return folder
    }

    /// Which filesystem that is; 0 where it does not say.
    var filesystem: UInt64 { (try? folders.repo.filesystem().id) ?? 0 }

    /// The free space where the repo is.
    func availableBytes() throws(SystemCallFailure) -> UInt64 { try folders.repo.filesystem().availableBytes }

    /// What stands at a blob's name, at the end of its link if that leads into the shared store.
    func blob(_ etag: BytePath) throws(SystemCallFailure) -> BlobAtHand {
        guard let stat = try folders.statIfPresent(BytePath("blobs").appending(etag)) else { return .absent }
        if stat.kind == .regular { return .file(stat) }
        guard stat.kind == .symlink, !isLinked,
            let text = try folders.openIfPresent("blobs")?.readLink(etag),
            let location = repo.folder.appending("blobs").resolvingLexically(text),
            location == StoreInventory.location(of: location.lastComponent), location.lastComponent.isHex64,
            CacheScan(root: root).hasStore()
        else { return .other(stat) }
        let payload = location.lastComponent
        do throws(SystemCallFailure) {
            let stat = try root.stat(at: location)
            return stat.kind == .regular ? .payload(payload, stat) : .other(stat)
        } catch {
            guard error.isAbsent else { throw error }
            return .other(stat)
        }
    }

    /// Whether a client that makes no links has written a revision: of the files that the Hub lists some are here as files of the
    /// right length, and none as a link. What else lies in the folder says nothing.
    func keepsFiles(_ commit: CommitHash, of wanted: [WantedFile]) -> Bool {
        guard let here = snapshots[commit] else { return false }
        var hasFile = false
        for file in wanted {
            guard let stat = here[file.path] else { continue }
            if stat.kind == .symlink { return false }
            hasFile = hasFile || stat.kind == .regular && stat.size == file.size
        }
        return hasFile
    }

    /// The commit that a ref names; nil when it is not here or names none.
    func commit(ofRef name: BytePath) -> CommitHash? { refs.first { $0.name == name }?.commit }

    /// Opens a file of the repo for reading.
    func open(_ path: BytePath) throws(SystemCallFailure) -> OwnedDescriptor {
        try root.open(repo.folder.appending(path), linked: linked)
    }

    /// Opens a blob for reading; it must be what was looked at.
    func open(_ etag: BytePath, _ found: BlobAtHand) throws(SystemCallFailure) -> OwnedDescriptor {
        let location: BytePath
        switch found {
        case .file: location = repo.folder.appending("blobs").appending(etag)
        case .payload(let payload, _): location = StoreInventory.location(of: payload)
        case .absent, .other:
            throw SystemCallFailure(call: "open", errno: SystemCallFailure.absentNumber, subject: etag)
        }
        let file = try root.open(location, linked: linked)
        guard let stat = found.content, try file.stat().isSameVersion(as: stat) else {
            throw SystemCallFailure(call: "open", errno: SystemCallFailure.staleNumber, subject: etag)
        }
        return file
    }

    /// The mode and group that a new blob gets: those of the newest one that is here, else what the folder's mode says.
    func modelForBlobs() throws(SystemCallFailure) -> (permissions: UInt16, gid: UInt32) {
        if let blobs = try folders.openIfPresent("blobs") {
            let siblings = try blobs.listDirectory().entries.filter {
                $0.stat.kind == .regular && BlobEntryName($0.name) == .blob && $0.stat.uid == folders.stat.uid
            }
            if let newest = siblings.max(by: { $0.stat.modified < $1.stat.modified })?.stat {
                return (newest.permissions & 0o666, newest.gid)
            }
        }
        return (folders.stat.permissions & 0o666, folders.stat.gid)
    }
}

/// What stands at a blob's name.
enum BlobAtHand: Sendable, Hashable {
    case absent
    /// A file of the repo's own.
    case file(FileStat)
    /// A link to a payload of the shared store that is there.
    case payload(BytePath, FileStat)
    /// A link to nothing or to elsewhere, or no file.
    case other(FileStat)

    /// The content's stat, when there is content.
    var content: FileStat? {
        switch self {
        case .file(let stat), .payload(_, let stat): stat
        case .absent, .other: nil
        }
    }
}

/// Tells an observer which steps were reached.
struct RepairSteps: Sendable {
    let observer: @Sendable (RepairStep) -> Void

    func reached(_ step: RepairStep) { observer(step) }
}
