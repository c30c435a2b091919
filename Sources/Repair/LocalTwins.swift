internal import CacheScan
internal import HubCache
internal import LinuxIO
internal import Removal

/// A file on this machine that should have the content that is wanted.
struct Twin: Sendable {
    let root: CacheRoot
    /// Where it is, relative to the root.
    let location: BytePath
    let stat: FileStat

    /// Opens it; it must be what was looked at.
    func open() throws(SystemCallFailure) -> OwnedDescriptor {
        let file = try root.open(location)
        guard try file.stat().isSameVersion(as: stat) else {
            throw SystemCallFailure(call: "open", errno: SystemCallFailure.staleNumber, subject: location)
        }
        return file
    }
}

/// Finds blobs of the same name in other repos, in other watched caches of the same owner, and payloads in the shared store.
///
/// A name proves nothing: the content is hashed while it is copied.
struct LocalTwins: Sendable {
    /// The cache that something is wanted in, then the others.
    let roots: [CacheRoot]
    /// The repo folders of each.
    private let repos: [[BytePath]]

    init(target: CacheRoot, others: [CacheRoot]) {
        roots =
            [target]
            + others.filter {
                $0.stat.key != target.stat.key && $0.stat.uid == target.stat.uid
                    && Self.isNoLessReadable($0.stat, than: target.stat, bits: 0o011)
                    && Self.isAboveNoLessReadable($0, target)
            }
        repos = roots.map { root in
            guard let folder = try? root.open(.empty, options: [.directory, .keepAccessTime]),
                let listing = try? folder.listDirectory()
            else { return [] }
            return listing.entries.filter { $0.stat.kind == .directory && RepoID(folder: $0.name) != nil }
                .map(\.name).sorted()
        }
    }

    /// What a copy gives away to others, they could have read where it comes from.
    private static func isNoLessReadable(_ source: FileStat, than target: FileStat, bits: UInt16) -> Bool {
        let (has, gets) = (source.permissions & bits, target.permissions & bits)
        guard has & gets == gets else { return false }
        // The group's bits are about another group.
        return gets & 0o070 == 0 || source.gid == target.gid || has & gets & 0o007 == gets >> 3 & 0o007
    }

    /// The same of the folders that a cache is in, as far as the other one is not in them too.
    private static func isAboveNoLessReadable(_ source: CacheRoot, _ target: CacheRoot) -> Bool {
        guard let top = try? OwnedDescriptor.open(trustedPath: "/", options: .directory) else { return false }
        var folder = source.path.parent
        while !folder.isEmpty, target.path.relative(to: folder) == nil {
            guard let stat = try? top.stat(of: folder), isNoLessReadable(stat, than: target.stat, bits: 0o011) else {
                return false
            }
            folder = folder.parent
        }
        return true
    }

    /// The same of the folders between a cache's root and a file in it.
    private static func isWayNoLessReadable(to location: BytePath, in root: CacheRoot, than target: FileStat) -> Bool {
        var folder = location.parent
        while !folder.isEmpty {
            guard let stat = try? root.stat(at: folder), isNoLessReadable(stat, than: target, bits: 0o011) else {
                return false
            }
            folder = folder.parent
        }
        return true
    }

    /// The lengths that files of a name have, for a content whose length is not known.
    func lengths(of etag: BytePath, in place: RepoPlace) -> Set<UInt64> {
        var found: Set<UInt64> = []
        for (index, root) in roots.enumerated() {
            for folder in repos[index] {
                let location = folder.appending("blobs").appending(etag)
                guard let stat = try? root.stat(at: location) else { continue }
                if stat.kind == .regular { found.insert(stat.size) }
                if stat.kind == .symlink, let target = Self.payload(of: location, in: root),
                    let payload = try? root.stat(at: target)
                {
                    found.insert(payload.size)
                }
            }
        }
        return found
    }

    /// The files that may have a content.
    ///
    /// - Parameters:
    ///   - place: where it is wanted.
    ///   - besides: a file that is known to be wrong.
    func candidates(for wanted: WantedFile, in place: RepoPlace, besides: FileKey?) -> [Twin] {
        var found: [Twin] = []
        var seen: Set<FileKey> = besides.map { [$0] } ?? []
        let own = place.repo.folder
        for (index, root) in roots.enumerated() {
            let hasStore = CacheScan(root: root).hasStore()
            func add(_ location: BytePath) {
                guard let stat = try? root.stat(at: location), stat.kind == .regular, stat.size == wanted.size,
                    stat.uid == place.folders.stat.uid, seen.insert(stat.key).inserted,
                    index == 0
                        || Self.isNoLessReadable(stat, than: place.folders.stat, bits: 0o044)
                            && Self.isWayNoLessReadable(to: location, in: root, than: place.folders.stat)
                else { return }
                found.append(Twin(root: root, location: location, stat: stat))
            }
            if hasStore, let payload = wanted.xetHash { add(StoreInventory.location(of: payload)) }
            for folder in repos[index] where index > 0 || folder != own {
                let location = folder.appending("blobs").appending(wanted.etag)
                guard let stat = try? root.stat(at: location) else { continue }
                if stat.kind == .regular {
                    add(location)
                } else if hasStore, stat.kind == .symlink, let target = Self.payload(of: location, in: root) {
                    add(target)
                }
            }
        }
        return found
    }

    /// Where a blob that is a link to a payload leads.
    private static func payload(of location: BytePath, in root: CacheRoot) -> BytePath? {
        guard let folder = try? root.open(location.parent, options: [.directory, .keepAccessTime]),
            let text = try? folder.readLink(location.lastComponent),
            let target = location.parent.resolvingLexically(text), target.lastComponent.isHex64,
            target == StoreInventory.location(of: target.lastComponent)
        else { return nil }
        return target
    }
}
