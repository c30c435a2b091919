internal import HubCache

/// What of a file is still the same after a rename and a reboot: the change time and the device number are not.
struct ParkedIdentity: Sendable, Hashable {
    var kind: FileKind
    var inode: UInt64
    var size: UInt64
    var modified: Timestamp

    init(kind: FileKind, inode: UInt64, size: UInt64, modified: Timestamp) {
        self.kind = kind
        self.inode = inode
        self.size = size
        self.modified = modified
    }

    init(_ stat: FileStat) {
        self.init(kind: stat.kind, inode: stat.key.inode, size: stat.size, modified: stat.modified)
    }
}

/// What one operation on a repo is about to do: everything that it will take away, by what it is. It is on the disk before
/// anything is touched, and whoever finds it can finish or undo the operation without knowing more.
struct Intent: Sendable, Hashable {
    struct Folder: Sendable, Hashable {
        /// Below the snapshot; empty for itself.
        var path: BytePath
        var permissions: UInt16
        var gid: UInt32
    }

    struct File: Sendable, Hashable {
        var path: BytePath
        var identity: ParkedIdentity
    }

    struct Ref: Sendable, Hashable {
        /// Below `refs`.
        var name: BytePath
        var identity: ParkedIdentity
    }

    struct Revision: Sendable, Hashable {
        var commit: CommitHash
        /// The snapshot folder's inode.
        var inode: UInt64
        /// Every folder in it, parents first, itself the first.
        var folders: [Folder]
        var files: [File]
        var refs: [Ref]
        /// `trees/<commit>.json`.
        var manifest: ParkedIdentity?
    }

    struct Payload: Sendable, Hashable {
        var hash: BytePath
        var identity: ParkedIdentity
    }

    struct Blob: Sendable, Hashable {
        var name: BytePath
        var identity: ParkedIdentity
        /// The blob that this one is a link to.
        var leadsTo: BytePath?
        /// The payload of the shared store that it is a link to.
        var payload: Payload?
    }

    /// Sixteen lower-case hexadecimal digits.
    var operation: BytePath
    /// The repo's folder.
    var folder: BytePath
    /// Whether the repo's folders go too when nothing is left in them.
    var removesEmptyFolders: Bool
    var revisions: [Revision]
    var blobs: [Blob]

    /// Where things are parked: a private folder in the repo's, so that relative links resolve as before.
    static let parkingFolder: BytePath = ".hfjanitor"
    var fileName: BytePath { BytePath(bytes: operation.bytes + Array(".intent".utf8)) }
    var draftName: BytePath { BytePath(bytes: operation.bytes + Array(".draft".utf8)) }

    /// `<op>` for the first revision, `<op>-2` and so on for others.
    func parkedName(revision index: Int) -> BytePath {
        index == 0 ? operation : BytePath(bytes: operation.bytes + Array("-\(index + 1)".utf8))
    }

    func parkedName(blob: BytePath) -> BytePath { BytePath(bytes: operation.bytes + Array(".".utf8) + blob.bytes) }

    func parkedName(revision: Int, ref: Int) -> BytePath {
        BytePath(bytes: operation.bytes + Array("@\(revision + 1)-\(ref + 1)".utf8))
    }

    func parkedName(payload: BytePath) -> BytePath {
        BytePath(bytes: operation.bytes + Array("+".utf8) + payload.bytes)
    }

    /// The payloads that blobs are links to, each once.
    var payloads: [Payload] {
        var seen: Set<BytePath> = []
        return blobs.compactMap(\.payload).filter { seen.insert($0.hash).inserted }
    }

    static func isOperationName(_ name: BytePath) -> Bool {
        name.bytes.count == 16
            && name.bytes.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x66) }
    }
}

/// What was decided of an operation once everything was out of the way.
enum Decision: Sendable, Hashable {
    /// Everything that is still parked of these revisions goes, and parked blobs that nobody links to.
    case finish(revisions: [Int])
    /// Everything goes back.
    case undo
}
