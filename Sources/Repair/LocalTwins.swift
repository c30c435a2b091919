internal import CacheScan
internal import HubCache
internal import LinuxIO
internal import Removal
internal import Synchronization

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

/// Which repos have a blob of which name: each folder is listed once, however many files are wanted.
private final class TwinIndex: Sendable {
    struct Place: Sendable, Hashable {
        /// Which cache.
        var root: Int
        /// The repo's folder.
        var folder: BytePath
    }

    private let roots: [CacheRoot]
    /// Empty until it is asked.
    private let known = Mutex<[BytePath: [Place]]?>(nil)

    init(roots: [CacheRoot]) { self.roots = roots }

    func places(of etag: BytePath) -> [Place] {
        known.withLock { known in
            if known == nil { known = Self.listed(roots) }
            return known?[etag] ?? []
        }
    }

    func note(_ etag: BytePath, in folder: BytePath) {
        known.withLock { known in
            let place = Place(root: 0, folder: folder)
            if known?[etag]?.contains(place) != true { known?[etag, default: []].append(place) }
        }
    }

    private static func listed(_ roots: [CacheRoot]) -> [BytePath: [Place]] {
        var found: [BytePath: [Place]] = [:]
        for (index, root) in roots.enumerated() {
            guard let top = try? root.open(.empty, options: [.directory, .keepAccessTime]),
                let repos = try? top.names(ofKinds: [.directory])
            else { continue }
            for repo in repos.map(\.name).sorted() where RepoID(folder: repo) != nil {
                guard let blobs = try? root.open(repo.appending("blobs"), options: [.directory, .keepAccessTime]),
                    let names = try? blobs.names(ofKinds: [.regular, .symlink])
                else { continue }
                for (name, _) in names where BlobEntryName(name) == .blob {
                    found[name, default: []].append(Place(root: index, folder: repo))
                }
            }
        }
        return found
    }
}

/// Finds blobs of the same name in other repos, in other watched caches of the same owner, and payloads in the shared store.
///
/// A name proves nothing: the content is hashed while it is copied.
struct LocalTwins: Sendable {
    /// The cache that something is wanted in, then the others.
    let roots: [CacheRoot]
    private let index: TwinIndex

    init(target: CacheRoot, others: [CacheRoot]) {
        roots =
            [target]
            + others.filter {
                $0.stat.key != target.stat.key && $0.stat.uid == target.stat.uid
                    && Self.isNoLessReadable($0.stat, than: target.stat, bits: 0o011)
                    && Self.isAboveNoLessReadable($0, target)
            }
        index = TwinIndex(roots: roots)
    }

    /// Takes that a repo of the target has a blob now.
    func note(_ etag: BytePath, in folder: BytePath) { index.note(etag, in: folder) }

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
        for place in index.places(of: etag) {
            let (root, location) = (roots[place.root], place.folder.appending("blobs").appending(etag))
            guard let stat = try? root.stat(at: location) else { continue }
            if stat.kind == .regular { found.insert(stat.size) }
            if stat.kind == .symlink, let target = Self.payload(of: location, in: root),
                let payload = try? root.stat(at: target)
            {
                found.insert(payload.size)
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
        let places = index.places(of: wanted.etag)
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
            for place in places where place.root == index && (index > 0 || place.folder != own) {
                let location = place.folder.appending("blobs").appending(wanted.etag)
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
