/// Where the text of a symbolic link ends, worked out without leaving the cache.
public enum LinkEnd: Sendable, Hashable {
    /// A blob of the link's own repo, by its name in `blobs/`; whether it is there is another question.
    case blob(BytePath)
    /// A payload of the shared store, by its Xet hash; whether it is there is another question.
    case payload(BytePath)
    /// Something else inside the cache: its path relative to the cache root, and what it is.
    indirect case elsewhere(path: BytePath, stat: FileStat)
    /// Nothing, or a circle of links. The text is the link's.
    case nothing(target: BytePath)
    /// A place outside the cache. The text is the link's; it was not looked at.
    case outside(target: BytePath)
    /// The link or something on its way could not be looked at.
    case unreadable(errno: Int32)
}

/// A ref: a name for a commit, written by a client.
public struct Ref: Sendable, Hashable {
    /// The name as requested, `main`, `refs/pr/3`, `a/b`.
    public var name: BytePath
    /// The commit it names; nil when the content is not one.
    public var commit: CommitHash?
    /// The content was the commit and white space: the Python client cannot use such a ref offline.
    public var hasWhitespace: Bool
    /// What `stat` says of the ref's file.
    public var stat: FileStat

    /// Makes a ref.
    public init(name: BytePath, commit: CommitHash?, hasWhitespace: Bool, stat: FileStat) {
        self.name = name
        self.commit = commit
        self.hasWhitespace = hasWhitespace
        self.stat = stat
    }
}

/// An entry of a repo's `blobs` folder that is named like a blob.
public struct Blob: Sendable, Hashable {
    /// What `stat` says of the entry itself.
    public var stat: FileStat
    /// Where it points, when it is a link.
    public var link: LinkEnd?

    /// Makes a blob.
    public init(stat: FileStat, link: LinkEnd?) {
        self.stat = stat
        self.link = link
    }
}

/// A partial download.
public struct PartialDownload: Sendable, Hashable {
    /// Its name in `blobs/`, or in the cache root for the oldest clients.
    public var name: BytePath
    /// The etag of the blob it would become; empty where the name does not tell.
    public var etag: BytePath
    /// Whose naming it follows.
    public var writer: PartialWriter
    /// What `stat` says of it.
    public var stat: FileStat

    /// Makes a partial download.
    public init(name: BytePath, etag: BytePath, writer: PartialWriter, stat: FileStat) {
        self.name = name
        self.etag = etag
        self.writer = writer
        self.stat = stat
    }
}

/// A file of a revision as its snapshot folder shows it.
public struct SnapshotFile: Sendable, Hashable {
    /// The path in the repo.
    public var path: BytePath
    /// What `stat` says of the entry itself.
    public var stat: FileStat
    /// Where it points, when it is a link.
    public var link: LinkEnd?
    /// The etag that a `local_dir` tree recorded for this file, while the record is valid.
    public var recordedEtag: BytePath?

    /// Makes a file.
    public init(path: BytePath, stat: FileStat, link: LinkEnd?, recordedEtag: BytePath? = nil) {
        self.path = path
        self.stat = stat
        self.link = link
        self.recordedEtag = recordedEtag
    }
}

/// A revision as its snapshot folder shows it. Partial by nature: files appear as they are fetched.
public struct Snapshot: Sendable {
    /// The commit; nil for a plain folder whose metadata do not agree on one.
    public var commit: CommitHash?
    /// What `stat` says of the folder.
    public var folder: FileStat
    /// The files, in byte order of their paths.
    public var files: [SnapshotFile]
    /// The folders in it, in no particular order.
    public var folders: [BytePath]

    /// Makes a snapshot.
    public init(commit: CommitHash?, folder: FileStat, files: [SnapshotFile], folders: [BytePath] = []) {
        self.commit = commit
        self.folder = folder
        self.files = files
        self.folders = folders
    }
}

/// Something that a scan met and could not or would not take for what its place says.
public struct Stray: Sendable, Hashable {
    /// Where, relative to the cache root.
    public var path: BytePath
    /// What to call it.
    public var code: FindingCode
    /// What it is, or why.
    public var detail: String
    /// The bytes it takes on the disk, with everything in it.
    public var allocated: UInt64

    /// Makes a record.
    public init(path: BytePath, code: FindingCode, detail: String, allocated: UInt64 = 0) {
        self.path = path
        self.code = code
        self.detail = detail
        self.allocated = allocated
    }
}

/// A folder of the cache that is a link to another folder of the same owner: opened once, then a root of its own.
public struct LinkedFolder: Sendable, Hashable {
    /// Where the link stands, relative to the cache root.
    public var path: BytePath
    /// The folder it led to.
    public var key: FileKey
    /// Where that folder is, without links.
    public var physicalPath: BytePath

    /// Makes a record.
    public init(path: BytePath, key: FileKey, physicalPath: BytePath) {
        self.path = path
        self.key = key
        self.physicalPath = physicalPath
    }
}

/// Bytes on the disk, each inode once.
public struct AllocationTally: Sendable, Hashable {
    /// The bytes of inodes that have one name, and of directories.
    public private(set) var single: UInt64 = 0
    /// The inodes that have several names, so that sums over several tallies can count each once.
    public private(set) var shared: [FileKey: UInt64] = [:]

    /// Makes an empty tally.
    public init() {}

    /// Counts an entry.
    public mutating func add(_ stat: FileStat) {
        if stat.linkCount > 1 && stat.kind != .directory {
            shared[stat.key] = stat.allocated
        } else {
            single &+= stat.allocated
        }
    }

    /// Counts everything that another tally has.
    public mutating func add(_ other: AllocationTally) {
        single &+= other.single
        shared.merge(other.shared) { old, _ in old }
    }

    /// The sum in bytes.
    public var total: UInt64 { shared.values.reduce(single, &+) }
}

/// Why nothing can be said of what is at some place, or below it.
public enum Unseen: Sendable, Hashable {
    /// It could not be looked at.
    case failed(errno: Int32)
    /// A link that leads outside the cache and is not followed.
    case outside(target: BytePath)
    /// It is nested too deep.
    case tooDeep
}

/// Everything a scan found in one repo's folder: values only, nothing judged.
public struct RepoInventory: Sendable {
    /// The folder's name in the cache root; `.` for a plain folder.
    public let folder: BytePath
    /// When the scan began.
    public let scannedAt: Timestamp
    /// Where its blobs are.
    public let blobsFolder: BytePath
    /// The repo; nil for a plain folder.
    public var id: RepoID?
    /// What `stat` says of the folder.
    public var stat: FileStat
    /// Whether one weight file is meant and not its folder.
    public var isSingleFile = false
    /// The repo folder or its `blobs` when they are links to folders elsewhere.
    public var linkedFolders: [LinkedFolder] = []
    /// The refs, in byte order of their names.
    public var refs: [Ref] = []
    /// The revisions, in order of their commits.
    public var snapshots: [Snapshot] = []
    /// The blobs by name.
    public var blobs: [BytePath: Blob] = [:]
    /// The partial downloads, in byte order of their names.
    public var partials: [PartialDownload] = []
    /// The etags of lock files in `blobs` itself, where clients before 0.19 and old Rust ones keep theirs.
    public var blobLocks: [BytePath] = []
    /// The offline manifests by commit: what `stat` says of `trees/<commit>.json`.
    public var manifests: [CommitHash: FileStat] = [:]
    /// Payloads that a temporary link of the shared store holds while one is being published.
    public var publishingPayloads: Set<BytePath> = []
    /// Names of operations of hfjanitor that have begun here.
    public var operations: [BytePath] = []
    /// How many markers say that a file does not exist.
    public var absentMarkerCount = 0
    /// What does not belong, or could not be looked at.
    public var strays: [Stray] = []
    /// The places, relative to the cache root, that were not looked at. What is there may well be in order.
    public var unseen: [BytePath: Unseen] = [:]
    /// Bytes on the disk of everything below the folder, and the folder.
    public var tally = AllocationTally()
    /// Bytes on the disk of what is in linked folders: the repo's, but not below the cache's root.
    public var linkedTally = AllocationTally()

    /// Makes an empty inventory of a folder.
    ///
    /// - Parameter scannedAt: when the scan began. What changed since may not be what the scan saw.
    public init(folder: BytePath, id: RepoID?, stat: FileStat, scannedAt: Timestamp = Timestamp(nanoseconds: .max)) {
        self.scannedAt = scannedAt
        self.folder = folder
        self.blobsFolder = folder.appending("blobs")
        self.id = id
        self.stat = stat
    }

    /// The id that people and JSON see: `model/org/name`, or `local:PATH`.
    public func displayID(in cachePath: BytePath) -> String {
        if let id { return id.description }
        return "local:" + cachePath.text
    }
}

/// A payload of the shared store.
public struct StorePayload: Sendable, Hashable {
    /// What `stat` says of it.
    public var stat: FileStat
    /// Whether it has a readable manifest. Without one the store's rule is to keep it for ever.
    public var hasManifest: Bool

    /// Makes a payload.
    public init(stat: FileStat, hasManifest: Bool) {
        self.stat = stat
        self.hasManifest = hasManifest
    }
}

/// The blob store that all repos of a cache share.
public struct StoreInventory: Sendable {
    /// When the scan began.
    public var scannedAt = Timestamp(nanoseconds: .max)
    /// Whether there is a store: a real folder with its marker.
    public var isPresent = false
    /// The payloads by Xet hash.
    public var payloads: [BytePath: StorePayload] = [:]
    /// What does not belong, or could not be looked at.
    public var strays: [Stray] = []
    /// The places, relative to the cache root, that could not be looked at, and why.
    public var unseen: [BytePath: Int32] = [:]
    /// Bytes on the disk of the folder and everything in it.
    public var tally = AllocationTally()

    /// Makes an empty inventory.
    public init() {}
}

extension StoreInventory {
    /// Where a payload is, relative to the cache root.
    public static func location(of payload: BytePath) -> BytePath {
        BytePath("blobs").appending(BytePath(bytes: payload.bytes.prefix(2))).appending(payload)
    }
}

/// What a snapshot's file turned out to be at the end of its links.
public enum FileContent: Sendable, Hashable {
    /// A regular file: what `stat` says of it, where it is relative to the cache root, and the blob it is reached through.
    case file(stat: FileStat, location: BytePath, blob: BytePath?)
    /// Nothing is there, or a circle of links.
    case absent(blob: BytePath?, target: BytePath)
    /// The link leads outside the cache.
    case outside(blob: BytePath?, target: BytePath)
    /// Something that is not a file.
    case notAFile(kind: FileKind, location: BytePath, blob: BytePath?)
    /// It could not be looked at.
    case unreadable(errno: Int32, blob: BytePath?)
}

extension RepoInventory {
    /// Where a snapshot's file stands, relative to the cache root.
    public func location(of file: SnapshotFile, in snapshot: Snapshot) -> BytePath {
        guard let commit = snapshot.commit, id != nil else { return file.path }
        return folder.appending("snapshots").appending(commit.hex).appending(file.path)
    }

    /// Where a blob stands, relative to the cache root.
    public func location(ofBlob name: BytePath) -> BytePath {
        blobsFolder.appending(name)
    }

    /// Where a commit's offline manifest stands, relative to the cache root.
    public func location(ofManifest commit: CommitHash) -> BytePath {
        (id == nil ? BytePath(".cache/huggingface") : folder).appending("trees").appending(commit.hex + ".json")
    }

    /// Where a partial download stands, relative to the cache root.
    public func location(of partial: PartialDownload) -> BytePath {
        id == nil ? partial.name : location(ofBlob: partial.name)
    }

    /// Follows a snapshot's file to its end, over both hops.
    public func content(of file: SnapshotFile, in snapshot: Snapshot, store: StoreInventory) -> FileContent {
        switch file.link {
        case nil:
            let location = location(of: file, in: snapshot)
            return file.stat.kind == .regular
                ? .file(stat: file.stat, location: location, blob: nil)
                : .notAFile(kind: file.stat.kind, location: location, blob: nil)
        case .blob(let name): return content(ofBlob: name, store: store)
        case .payload(let name): return content(ofPayload: name, blob: nil, store: store)
        case .elsewhere(let path, let stat):
            return stat.kind == .regular
                ? .file(stat: stat, location: path, blob: nil) : .notAFile(kind: stat.kind, location: path, blob: nil)
        case .nothing(let target): return .absent(blob: nil, target: target)
        case .outside(let target): return .outside(blob: nil, target: target)
        case .unreadable(let errno): return .unreadable(errno: errno, blob: nil)
        }
    }

    /// Follows a blob to its end: itself, or what it links to.
    public func content(ofBlob name: BytePath, store: StoreInventory) -> FileContent {
        let end = end(ofBlob: name)
        let location = location(ofBlob: end)
        guard let blob = blobs[end] else {
            switch unseen[location] ?? unseen[folder.appending("blobs")] ?? unseen[folder] {
            case .failed(let errno): return .unreadable(errno: errno, blob: name)
            case .outside(let target): return .outside(blob: name, target: target)
            case .tooDeep, nil: return .absent(blob: name, target: location)
            }
        }
        switch blob.link {
        case nil:
            return blob.stat.kind == .regular
                ? .file(stat: blob.stat, location: location, blob: name)
                : .notAFile(kind: blob.stat.kind, location: location, blob: name)
        case .payload(let payload): return content(ofPayload: payload, blob: name, store: store)
        case .blob(let other): return .absent(blob: name, target: other)
        case .elsewhere(let path, let stat):
            return stat.kind == .regular
                ? .file(stat: stat, location: path, blob: name) : .notAFile(kind: stat.kind, location: path, blob: name)
        case .nothing(let target): return .absent(blob: name, target: target)
        case .outside(let target): return .outside(blob: name, target: target)
        case .unreadable(let errno): return .unreadable(errno: errno, blob: name)
        }
    }

    /// The blob that a blob leads to when it is a link to another one of this repo, perhaps over several; itself when it is not.
    public func end(ofBlob name: BytePath) -> BytePath {
        var end = name
        // The kernel follows forty links in a row; the one to the first blob is one of them.
        for _ in 0..<39 {
            guard case .blob(let next) = blobs[end]?.link else { break }
            end = next
        }
        return end
    }

    private func content(ofPayload payload: BytePath, blob: BytePath?, store: StoreInventory) -> FileContent {
        let location = StoreInventory.location(of: payload)
        guard let found = store.payloads[payload] else {
            guard let errno = store.unseen[location] ?? store.unseen[location.parent] ?? store.unseen["blobs"] else {
                return .absent(blob: blob, target: location)
            }
            return .unreadable(errno: errno, blob: blob)
        }
        return found.stat.kind == .regular
            ? .file(stat: found.stat, location: location, blob: blob)
            : .notAFile(kind: found.stat.kind, location: location, blob: blob)
    }
}
