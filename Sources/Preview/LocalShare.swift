public import CacheScan
public import HubCache
public import HubClient
public import LinuxIO

/// How much of some files is in a cache already.
public struct LocalShare: Sendable, Hashable {
    /// Bytes that are here, whole files only.
    public private(set) var hereBytes: UInt64 = 0
    /// Bytes that would be written.
    public private(set) var missingBytes: UInt64 = 0

    /// Where there is no cache yet.
    public init(nothingOf files: [HubTreeFile]) {
        self.init(files) { _ in false }
    }

    /// Looks for files by their names in the repo's blobs and in the shared store. A cache keeps the same content once.
    ///
    /// - Throws: `SystemCallFailure` when the cache cannot be read.
    public init(of files: [HubTreeFile], repo: RepoID, in root: CacheRoot) throws(SystemCallFailure) {
        let scan = CacheScan(root: root)
        let listing = try scan.list()
        let inventory = listing.repos.first { $0.id == repo }.map { scan.scanRepo($0, store: listing.store) }
        self.init(files) { file in
            if case .file(let stat, _, _) = inventory?.content(ofBlob: file.etag, store: listing.store) {
                return stat.size == file.size
            }
            guard let hash = file.xetHash, let payload = listing.store.payloads[BytePath(hash)] else { return false }
            return payload.stat.kind == .regular && payload.stat.size == file.size
        }
    }

    private init(_ files: [HubTreeFile], isHere: (HubTreeFile) -> Bool) {
        var seen: Set<BytePath> = []
        for file in files where seen.insert(file.etag).inserted {
            if isHere(file) {
                hereBytes = hereBytes.addingUpTo(file.size)
            } else {
                missingBytes = missingBytes.addingUpTo(file.size)
            }
        }
    }
}
