public import HubCache
internal import Retention
internal import Verification

/// What a plan needs of one repo's inventory, made while the repo is at hand so that the inventory need not be kept.
struct RepoHoldings: Sendable {
    /// A name in `blobs`.
    struct BlobName: Sendable {
        var name: BytePath
        var stat: FileStat
        var link: LinkEnd?
    }

    /// A revision's part.
    struct Revision: Sendable {
        var commit: CommitHash
        /// The blobs it links to, by their place in `blobs`, each once.
        var blobs: [Int] = []
        /// Payloads of the shared store that it links to without a blob between.
        var payloads: Set<BytePath> = []
        /// Files of its own that have more names than this one, each inode once.
        var sharedFiles: [FileKey: (stat: FileStat, names: Int)] = [:]
        /// Bytes on the disk of everything that is its alone: folders, links, files, manifest, refs.
        var ownBytes: UInt64 = 0
        var youngestChange: Timestamp
        /// The times of its contents, each once.
        var times: [UsageRecord.FileTimes] = []
        var contentBytes: UInt64 = 0
        var foreignFiles: [BytePath] = []
        var question: HubQuestion?
        var identity: SnapshotIdentity
    }

    let id: RepoID
    let folder: BytePath
    /// Which folder it is.
    let key: FileKey
    let blobs: [BlobName]
    let revisions: [Revision]
    let partials: [BytePath: FileStat]
    let elsewhere: Set<BytePath>
    let publishing: Set<BytePath>
    let linkedFolders: [LinkedFolder]
    let refs: [Ref]
    let hasUnseen: Bool

    init?(_ observed: ObservedRepo) {
        let repo = observed.inventory
        guard let id = repo.id else { return nil }
        self.id = id
        folder = repo.folder
        key = repo.stat.key
        let names = repo.blobs.sorted { $0.key < $1.key }
        blobs = names.map { BlobName(name: $0.key, stat: $0.value.stat, link: $0.value.link) }
        let places = Dictionary(uniqueKeysWithValues: names.indices.map { (names[$0].key, $0) })
        var elsewhere: Set<BytePath> = []
        for blob in blobs { if case .elsewhere(let path, _) = blob.link { elsewhere.insert(path) } }
        var refBytes: [CommitHash: UInt64] = [:]
        for ref in repo.refs { if let commit = ref.commit { refBytes[commit, default: 0] &+= ref.stat.allocated } }
        revisions = repo.snapshots.compactMap { snapshot in
            guard let commit = snapshot.commit else { return nil }
            var revision = Revision(
                commit: commit, youngestChange: snapshot.folder.changed,
                identity: SnapshotIdentity(of: snapshot, in: repo, store: observed.store))
            revision.ownBytes =
                snapshot.folder.allocated &+ Self.folderBytes(of: snapshot)
                &+ (repo.manifests[commit]?.allocated ?? 0) &+ (refBytes[commit] ?? 0)
            var blobsUsed: Set<Int> = []
            var contents: Set<FileKey> = []
            for file in snapshot.files {
                revision.youngestChange = max(revision.youngestChange, file.stat.changed)
                if file.stat.kind == .regular, file.stat.linkCount > 1 {
                    revision.sharedFiles[file.stat.key, default: (file.stat, 0)].names += 1
                } else {
                    revision.ownBytes &+= file.stat.allocated
                }
                switch file.link {
                case .blob(let name): if let place = places[name] { blobsUsed.insert(place) }
                case .payload(let name): revision.payloads.insert(name)
                case .elsewhere(let path, _): elsewhere.insert(path)
                case .nothing, .outside, .unreadable, nil: break
                }
                guard case .file(let stat, _, let blob) = repo.content(of: file, in: snapshot, store: observed.store)
                else { continue }
                if let blob, let entry = repo.blobs[blob] {
                    revision.youngestChange = max(revision.youngestChange, entry.stat.changed)
                }
                revision.youngestChange = max(revision.youngestChange, stat.changed)
                guard contents.insert(stat.key).inserted else { continue }
                revision.contentBytes &+= stat.size
                revision.times.append(UsageRecord.FileTimes(stat))
            }
            if contents.isEmpty {
                let folder = snapshot.folder.modified
                revision.times = [UsageRecord.FileTimes(accessed: folder, modified: folder)]
            }
            revision.blobs = blobsUsed.sorted()
            revision.foreignFiles = observed.foreignFiles(of: commit)
            revision.question = observed.largestFile(of: commit).map {
                HubQuestion(repo: id, commit: commit, path: $0.path, etag: $0.etag)
            }
            return revision
        }
        partials = Dictionary(
            repo.partials.map { (repo.location(of: $0), $0.stat) }, uniquingKeysWith: { first, _ in first })
        self.elsewhere = elsewhere
        publishing = repo.publishingPayloads
        linkedFolders = repo.linkedFolders
        refs = repo.refs
        hasUnseen = !repo.unseen.isEmpty
    }

    /// Whether a place in this repo is a revision, a part of one, or a blob that it links to.
    func leads(_ place: BytePath, to revision: Revision) -> Bool {
        if place == folder { return true }
        guard let rest = place.relative(to: folder) else { return false }
        let snapshots = BytePath("snapshots")
        let own = snapshots.appending(revision.commit.hex)
        if rest == snapshots || rest == own || rest.relative(to: own) != nil { return true }
        return revision.blobs.contains { BytePath("blobs").appending(blobs[$0].name) == rest }
    }

    /// The bytes on the disk of the folders in a snapshot. A scan does not keep their stats; a small folder takes one block
    /// like its parent, or none where small folders are kept in the inode.
    private static func folderBytes(of snapshot: Snapshot) -> UInt64 {
        guard snapshot.folder.allocated > 0 else { return 0 }
        var folders: Set<BytePath> = []
        for file in snapshot.files {
            var parent = file.path.parent
            while !parent.isEmpty, folders.insert(parent).inserted { parent = parent.parent }
        }
        return UInt64(folders.count) &* min(snapshot.folder.allocated, 4096)
    }
}

/// What the Hub is asked before a revision goes: does it still have this file, with this content?
public struct HubQuestion: Sendable, Hashable {
    /// The repo.
    public var repo: RepoID
    /// The commit.
    public var commit: CommitHash
    /// The file's path in the repo: the largest, weights before others.
    public var path: BytePath
    /// The etag that its content has here.
    public var etag: BytePath

    /// Makes a question.
    public init(repo: RepoID, commit: CommitHash, path: BytePath, etag: BytePath) {
        self.repo = repo
        self.commit = commit
        self.path = path
        self.etag = etag
    }
}
