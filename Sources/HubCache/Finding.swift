/// How much a finding matters.
public enum Severity: String, Sendable, Hashable, Comparable, CaseIterable {
    /// Normal, worth knowing.
    case info
    /// Leftovers that can be reclaimed, or something odd.
    case warning
    /// Something is wrong with what a reader would load.
    case error

    /// Orders from info to error.
    public static func < (left: Severity, right: Severity) -> Bool {
        (allCases.firstIndex(of: left) ?? 0) < (allCases.firstIndex(of: right) ?? 0)
    }
}

/// What can be found in a cache. The raw values are part of the program's interface.
public enum FindingCode: String, Sendable, Hashable, CaseIterable {
    /// An index, or without one its own name set, names it; it is not here.
    case missingShard = "missing-shard"
    /// A manifest file absent whose partial is, or was, here.
    case missingFile = "missing-file"
    /// An index, some of whose shards are here, names it; the manifest says the repo does not have it.
    case missingUpstream = "missing-upstream"
    /// A link, of either hop, to nothing or to itself.
    case danglingLink = "dangling-link"
    /// The length differs from the manifest.
    case sizeMismatch = "size-mismatch"
    /// Shorter than its own header says.
    case truncated
    /// Not a valid file of its format.
    case headerInvalid = "header-invalid"
    /// The header is invalid although the digest is right: the published file is broken.
    case badUpstream = "bad-upstream"
    /// The content is not what its name says.
    case digestMismatch = "digest-mismatch"
    /// A sound blob, but not the one the manifest names for this path.
    case wrongBlob = "wrong-blob"
    /// A Git LFS pointer in place of the content.
    case lfsPointer = "lfs-pointer"
    /// A web page in place of the content.
    case htmlContent = "html-content"
    /// A revision with nothing in it.
    case emptySnapshot = "empty-snapshot"
    /// The index places a tensor in a shard that lacks it.
    case tensorMissing = "tensor-missing"
    /// An index that cannot be read.
    case indexInvalid = "index-invalid"
    /// A shard name that leaves its folder.
    case indexUnsafePath = "index-unsafe-path"
    /// A link that points outside the cache.
    case linkEscapesCache = "link-escapes-cache"
    /// A directory, fifo, socket or device where a file should be.
    case notAFile = "not-a-file"
    /// No permission to read it.
    case unreadable
    /// The disk answered with an error.
    case readError = "read-error"
    /// A download nobody works on any more.
    case stalePartial = "stale-partial"
    /// A blob that no snapshot links to.
    case orphanBlob = "orphan-blob"
    /// A payload of the shared store that no repo links to.
    case orphanPayload = "orphan-payload"
    /// Two declared totals under one prefix.
    case shardSetMixed = "shard-set-mixed"
    /// A live download.
    case inFlight = "in-flight"
    /// A model revision with no weight set here.
    case weightsAbsent = "weights-absent"
    /// An operation of hfjanitor is under way on it.
    case removing
    /// A ref to a commit that has no snapshot here.
    case refWithoutSnapshot = "ref-without-snapshot"
    /// A revision that no ref names.
    case detached
    /// Part of the repo was fetched on purpose.
    case subset
    /// Something that does not belong here.
    case foreignEntry = "foreign-entry"
    /// A lock file whose process is gone.
    case staleSoftLock = "stale-soft-lock"
    /// Nothing here says what the content should be.
    case unverifiable

    /// How much it matters.
    public var severity: Severity {
        switch self {
        case .missingShard, .missingFile, .missingUpstream, .danglingLink, .sizeMismatch, .truncated, .headerInvalid,
            .badUpstream, .digestMismatch, .wrongBlob, .lfsPointer, .htmlContent, .emptySnapshot, .tensorMissing,
            .indexInvalid, .indexUnsafePath, .linkEscapesCache, .notAFile, .unreadable, .readError:
            .error
        case .stalePartial, .orphanBlob, .orphanPayload, .shardSetMixed: .warning
        case .inFlight, .weightsAbsent, .removing, .refWithoutSnapshot, .detached, .subset, .foreignEntry,
            .staleSoftLock,
            .unverifiable:
            .info
        }
    }

    /// The state that a revision with this finding is in, if it decides one.
    public var state: RevisionState? {
        switch self {
        case .sizeMismatch, .truncated, .headerInvalid, .badUpstream, .digestMismatch, .wrongBlob, .lfsPointer,
            .htmlContent,
            .tensorMissing, .indexInvalid, .indexUnsafePath, .linkEscapesCache, .notAFile:
            .corrupt
        case .missingShard, .missingFile, .missingUpstream, .danglingLink, .emptySnapshot: .partial
        case .unreadable, .readError: .unknown
        default: nil
        }
    }
}

/// The state of a revision, worst first.
public enum RevisionState: String, Sendable, Hashable, CaseIterable, Comparable {
    /// Something in it is wrong.
    case corrupt
    /// Something is absent and is being fetched.
    case downloading
    /// Something is absent.
    case partial
    /// It could not be read.
    case unknown
    /// Nothing is wrong at the depth that was looked at.
    case complete

    /// Orders from the worst to `complete`.
    public static func < (left: RevisionState, right: RevisionState) -> Bool {
        (allCases.firstIndex(of: left) ?? 0) < (allCases.firstIndex(of: right) ?? 0)
    }
}

/// One thing found in a cache.
public struct Finding: Sendable, Hashable {
    /// What it is.
    public var code: FindingCode
    /// Where it is, relative to the cache root.
    public var path: BytePath
    /// The path in the repo, for what belongs to a revision.
    public var file: BytePath?
    /// The etag of the blob concerned.
    public var blob: BytePath?
    /// What was expected.
    public var expected: String?
    /// What was found instead.
    public var actual: String?
    /// The byte offset in the file.
    public var offset: UInt64?
    /// More, for a person.
    public var detail: String?
    /// The file whose content is meant, so that one blob linked by several revisions is counted once.
    public var content: FileKey?

    /// Makes a finding.
    public init(
        _ code: FindingCode, path: BytePath, file: BytePath? = nil, blob: BytePath? = nil, expected: String? = nil,
        actual: String? = nil, offset: UInt64? = nil, detail: String? = nil, content: FileKey? = nil
    ) {
        self.code = code
        self.path = path
        self.file = file
        self.blob = blob
        self.expected = expected
        self.actual = actual
        self.offset = offset
        self.detail = detail
        self.content = content
    }

    /// How much it matters.
    public var severity: Severity { code.severity }
}
