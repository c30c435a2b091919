public import HubCache
internal import HubClient
internal import Removal
internal import WeightFormats

/// A file of a commit, as it has to be.
public struct WantedFile: Sendable, Hashable {
    /// The path in the repo: relative, without empty components, `.` and `..`.
    public let path: BytePath
    /// What the cache names the blob.
    public let etag: BytePath
    /// The content's length in bytes.
    public let size: UInt64
    /// The content's digest.
    public let digest: ContentDigest
    /// What the shared store names the payload, where that is known.
    public let xetHash: BytePath?

    /// A file as the Hub lists it.
    ///
    /// - Returns: nil when no digest or no safe path is given.
    init?(_ file: HubTreeFile) {
        self.init(path: file.path, name: file.etag, size: file.size, xetHash: file.xetHash)
    }

    /// A file as the offline manifest has it.
    ///
    /// - Returns: nil when no digest or no safe path is given.
    init?(_ file: ManifestFile) {
        self.init(
            path: BytePath(bytes: file.path), name: BytePath(file.expectedDigest), size: file.size,
            xetHash: file.xetHash)
    }

    /// All files of a commit by its offline manifest.
    ///
    /// - Returns: nil when there is none, or one with a file that no client could fetch.
    static func manifest(of commit: CommitHash, in place: RepoPlace) -> [WantedFile]? {
        guard let manifest = treeManifest(of: commit, in: place.folders) else { return nil }
        let files = manifest.files.compactMap { WantedFile($0) }
        return files.count == manifest.files.count && Set(files.map(\.path)).count == files.count ? files : nil
    }

    /// A file of which the name and a length are known.
    ///
    /// - Returns: nil when the name is no digest, or the path is not safe.
    init?(path: BytePath, etag: BytePath, size: UInt64) {
        self.init(path: path, name: etag, size: size, xetHash: nil)
    }

    private init?(path: BytePath, name: BytePath, size: UInt64, xetHash: String?) {
        guard let digest = ContentDigest(hex: name.text), isRepoPath(path.bytes), size <= UInt64(Int64.max) else {
            return nil
        }
        self.path = path
        etag = name
        self.size = size
        self.digest = digest
        self.xetHash = xetHash.map { BytePath($0) }.flatMap { $0.isHex64 ? $0 : nil }
    }
}
