public import HubCache
internal import LinuxIO

/// Something to remove.
public enum RemovalItem: Sendable, Hashable {
    /// A revision of the request's repo, with everything that only it holds. With an identity it goes only while it is still
    /// what it was when it was planned; without one (`rm`) as it is.
    case revision(CommitHash, identity: SnapshotIdentity?)
    /// A partial download that nobody works on, by its name in the repo's `blobs`, and what `stat` said of it.
    case partial(name: BytePath, stat: FileStat)
    /// A blob that no snapshot links to, by its name in the repo's `blobs`, and what `stat` said of it.
    case orphanBlob(name: BytePath, stat: FileStat)
    /// A temporary download of the oldest clients in the cache root, and what `stat` said of it.
    case rootTemporary(name: BytePath, stat: FileStat)
    /// A payload of the shared store that no repo links to, by its Xet hash, and what `stat` said of it.
    case payload(name: BytePath, stat: FileStat)
}

/// What to remove of one repo, or of the cache outside of the repos.
public struct RemovalRequest: Sendable {
    /// The repo's folder in the cache root; nil for root temporaries and payloads.
    public var folder: BytePath?
    /// What to remove. Items of another place than `folder` says are refused.
    public var items: [RemovalItem]
    /// Whether `items` is meant to be all that the repo has, and its folders go with it as far as they are empty. What else
    /// the repo has by then (revisions, partial downloads, orphans) came after it was planned: it stays, and the outcomes
    /// say so of each.
    public var isWholeRepo: Bool
    /// Whether the repo's folders go too when nothing is left in them and nobody else has touched them meanwhile. Those of a
    /// whole repo do.
    public var removesEmptyFolders: Bool
    /// Whether a repo folder that is a link to elsewhere may be removed from: the policy's `also` lists it.
    public var allowsLinkedFolder: Bool
    /// Blobs of the repo that links outside of it lead to: they stay.
    public var blobsLinkedFromElsewhere: Set<BytePath>

    /// Makes a request.
    public init(
        folder: BytePath?, items: [RemovalItem], isWholeRepo: Bool = false, removesEmptyFolders: Bool = false,
        allowsLinkedFolder: Bool = false,
        blobsLinkedFromElsewhere: Set<BytePath> = []
    ) {
        self.folder = folder
        self.items = items
        self.isWholeRepo = isWholeRepo
        self.removesEmptyFolders = removesEmptyFolders
        self.allowsLinkedFolder = allowsLinkedFolder
        self.blobsLinkedFromElsewhere = blobsLinkedFromElsewhere
    }
}

/// What went wrong, and what a person can do.
public struct RemovalFailure: Error, Sendable, Hashable {
    /// What happened, to what: one sentence without a full stop.
    public var what: String
    /// The `errno` of the system call that failed.
    public var errno: Int32
    /// What to do about it: one sentence without a full stop.
    public var remedy: String

    /// Whether it is a matter of who runs it: something belongs to another user, or permission is lacking.
    public var isPermission: Bool {
        errno == SystemCallFailure.notPermittedNumber || errno == SystemCallFailure.deniedNumber
    }

    /// Makes a record.
    public init(what: String, errno: Int32, remedy: String) {
        self.what = what
        self.errno = errno
        self.remedy = remedy
    }
}

/// What became of an item.
public enum RemovalResult: Sendable, Hashable {
    /// It is gone. The bytes on the disk of what was really unlinked and had no other name; of what was gone already, none.
    case removed(bytes: UInt64)
    /// It stays, untouched or put back, and why. Never empty.
    case kept([Kept])
    /// It had been taken away and was put back, and why.
    case undone(reason: String)
    /// It could not be removed. What had begun was put back, or is finished by the next run; the failure says which.
    case failed(RemovalFailure)
}

/// An item and what became of it.
public struct RemovalOutcome: Sendable, Hashable {
    /// The request's place in the list.
    public var request: Int
    /// The repo's folder; nil outside of the repos.
    public var folder: BytePath?
    /// The item; for a whole repo also those that it was found to have besides, which stay.
    public var item: RemovalItem
    /// What became of it.
    public var result: RemovalResult
}

/// What became of an operation that a run before had begun.
public struct RecoveryOutcome: Sendable, Hashable {
    /// The end of it.
    public enum Result: Sendable, Hashable {
        /// What was decided is done; the bytes that it gave back now.
        case finished(bytes: UInt64)
        /// Everything is back in its place.
        case undone
        /// Another process is at it.
        case live
        /// It is not ours to touch, or not to be understood, and why.
        case left(reason: String)
        /// It could be neither finished nor undone now.
        case failed(RemovalFailure)
    }

    /// The repo's folder.
    public var folder: BytePath
    /// The operation.
    public var operation: BytePath
    /// The revisions it was about.
    public var commits: [CommitHash]
    /// The end of it.
    public var result: Result
}

extension RecoveryOutcome {
    /// Why the operation is still there.
    var reasonLeft: String? {
        switch result {
        case .left(let reason): reason
        case .failed(let failure): failure.what
        case .finished, .undone, .live: nil
        }
    }
}

/// Something worth telling while a removal is under way.
public enum RemovalEvent: Sendable {
    /// A repo's items are out of the way and wait for their decision.
    case parked(folder: BytePath, operation: BytePath)
    /// A client linked to a blob that was out of the way: it is back.
    case restored(folder: BytePath, blob: BytePath)
    /// An operation of a run before was dealt with.
    case recovered(RecoveryOutcome)
    /// Something that is not ours, or no longer what it was, stays where it is, relative to the root.
    case left(path: BytePath, reason: String)
    /// An item is done with.
    case done(RemovalOutcome)
}
