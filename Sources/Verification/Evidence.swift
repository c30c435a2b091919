internal import HubCache
internal import LinuxIO
internal import WeightFormats

/// How deep a verification looks. Each depth includes the ones before it.
public enum VerificationDepth: String, Sendable, CaseIterable, Comparable {
    /// Names, links, sizes, indexes, shard sets.
    case structure
    /// Every weight file's header, without loading it.
    case headers
    /// Every file's content against its digest.
    case digests

    /// Orders from the shallowest.
    public static func < (left: VerificationDepth, right: VerificationDepth) -> Bool {
        (allCases.firstIndex(of: left) ?? 0) < (allCases.firstIndex(of: right) ?? 0)
    }
}

/// A revision's manifest, or why there is none to use.
enum ManifestEvidence: Sendable {
    case read([BytePath: ManifestFile])
    case unusable(detail: String)
    case failed(SystemCallFailure)
}

/// What a file's first bytes are looked at for.
enum HeaderExpectation: UInt8, Sendable, Hashable {
    // The raw values are in ledgers: never change one.
    case safetensors
    case gguf
    case torch
    /// No format of its own, but certainly neither a web page nor an LFS pointer.
    case neitherPageNorPointer
    /// Kept in LFS, so certainly not itself a pointer.
    case notAPointer
    /// Torch weights by their name, not only by an extension that is used for anything.
    case pickledTorch
}

/// What a look at a file's header gave.
enum HeaderEvidence: Sendable {
    /// Nothing wrong; for safetensors and GGUF with what the header says.
    case sound(tensors: SafetensorsSummary?, split: GGUFSummary?)
    /// No reader of the format would accept it, or it is shorter than it says.
    case bad(code: FindingCode, reason: String, detail: String, offset: UInt64?)
    /// It cannot be judged.
    case unverifiable(detail: String)
    /// It could not be read.
    case failed(SystemCallFailure)
}

/// A look at one file.
struct HeaderKey: Hashable, Sendable {
    var file: FileKey
    var expectation: HeaderExpectation
}

/// An index held against one of its shards. One index blob serves several revisions, whose shards differ.
struct PlacementKey: Hashable, Sendable {
    var index: FileKey
    var shard: FileKey
    /// The name by which the index has the shard.
    var name: [UInt8]
}

/// A digest of one file.
struct DigestKey: Hashable, Sendable {
    var file: FileKey
    var algorithm: DigestAlgorithm
}

/// What hashing a file gave.
enum DigestEvidence: Sendable {
    /// Its digest, now or remembered.
    case digest(ContentDigest)
    /// It changed while it was read, twice.
    case changed
    /// Two reads of an unchanged file differ.
    case inconsistent(ContentDigest, ContentDigest)
    /// It could not be read.
    case failed(SystemCallFailure, offset: UInt64)
}

/// An index file as it was read.
enum IndexEvidence: Sendable {
    case read(ShardIndex)
    case bad(FormatError)
    case failed(SystemCallFailure)
}

/// Everything that was looked up about one repo beyond its inventory. Judging it needs nothing else.
struct RepoEvidence: Sendable {
    var manifests: [CommitHash: ManifestEvidence] = [:]
    var indexes: [FileKey: IndexEvidence] = [:]
    var headers: [HeaderKey: HeaderEvidence] = [:]
    /// The shards that indexes were held against, and where the header lacks tensors that the index places there, which.
    var placements: [PlacementKey: String?] = [:]
    var digests: [DigestKey: DigestEvidence] = [:]
    /// The partial downloads that somebody is writing, by name, and how it shows.
    var livePartials: [BytePath: String] = [:]
    /// The sizes that manifests give for downloads under way, by etag.
    var expectedSizes: [BytePath: UInt64] = [:]
    /// The blobs whose lock is held.
    var heldLocks: Set<BytePath> = []
    /// Downloads that a client began, by the blob that is not here.
    var begun: [BytePath: BegunDownload] = [:]
    /// When a revision was complete, as last seen, from the ledger.
    var lastComplete: [CommitHash: Timestamp] = [:]
    /// Whether there may be held locks that could not be looked at.
    var hasUnseenLocks = false
    /// The etags of partials that were here once, from the ledger.
    var rememberedPartials: Set<BytePath> = []
    /// What was asked for of revisions and did not all come, from the ledger.
    var asked: [CommitHash: AskedFact] = [:]
}

/// A download whose lock is here and whose blob is not.
struct BegunDownload: Sendable {
    /// The revision that it was for: of those whose manifest names the blob and was there before, the last.
    var commit: CommitHash
    /// When its lock was made.
    var time: Timestamp
}

/// What was asked for of a revision and did not all come.
struct AskedFact: Sendable {
    var filter: NameFilter
    var time: Timestamp
}

extension RepoEvidence {
    /// Whether a file was replaced or removed between the scan and the look at it: then the scan is out of date.
    var wasOvertaken: Bool {
        headers.values.contains { if case .failed(let failure) = $0 { failure.isOvertaken } else { false } }
            || manifests.values.contains { if case .failed(let failure) = $0 { failure.isOvertaken } else { false } }
            || indexes.values.contains { if case .failed(let failure) = $0 { failure.isOvertaken } else { false } }
            || digests.values.contains {
                switch $0 {
                case .changed: true
                case .failed(let failure, _): failure.isOvertaken
                case .digest, .inconsistent: false
                }
            }
    }
}

extension SystemCallFailure {
    /// Whether the file that was listed is not there, or not the same, any more.
    var isOvertaken: Bool { isAbsent || isLink || errno == SystemCallFailure.staleNumber }
}

extension RepoInventory {
    /// What a look at a snapshot's file may expect, by its name, its size and what it is said to be. Nil: not looked at.
    static func headerExpectation(path: BytePath, size: UInt64, isLFS: Bool) -> HeaderExpectation? {
        let name = path.lastComponent.bytes
        switch WeightFormat(fileName: name) {
        case .safetensors: return .safetensors
        case .gguf: return .gguf
        case .torch: return isTorchForSure(name) ? .pickledTorch : .torch
        case .some: return size <= pageSizeLimit ? .neitherPageNorPointer : nil
        case nil: break
        }
        let dot = name.lastIndex(of: UInt8(ascii: "."))
        let suffix = dot.map { String(decoding: name[($0 + 1)...], as: UTF8.self) } ?? ""
        if pageless.contains(suffix), size <= pageSizeLimit { return .neitherPageNorPointer }
        return isLFS && size <= pointerSizeLimit ? .notAPointer : nil
    }

    /// Names under which only torch itself writes: `.bin` alone says nothing.
    private static func isTorchForSure(_ name: [UInt8]) -> Bool {
        let text = String(decoding: name, as: UTF8.self)
        return [".pt", ".pth", ".ckpt"].contains { text.hasSuffix($0) }
            || ["pytorch_model", "diffusion_pytorch_model", "adapter_model"].contains { text.hasPrefix($0) }
    }

    /// A login or error page that stands in for a file is smaller than this.
    private static let pageSizeLimit: UInt64 = 1 << 20
    /// Git LFS pointers have fewer than 200 bytes; their specification allows 1024.
    private static let pointerSizeLimit: UInt64 = 1024
    /// Extensions of files that are never web pages themselves.
    private static let pageless: Set<String> = [
        "json", "model", "parquet", "arrow", "npz", "npy", "zip", "gz", "tar", "spm", "tiktoken", "jsonl",
    ]
}
