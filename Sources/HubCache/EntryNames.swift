/// What an entry of a cache's root is, judged by its name.
public enum RootEntryName: Hashable, Sendable {
    /// A repo's folder.
    case repo(RepoID)
    /// `.locks`, one folder a repo with one lock a blob.
    case locks
    /// `blobs`, the store shared by all repos, if it holds its marker.
    case sharedStore
    /// `CACHEDIR.TAG`.
    case cacheTag
    /// A helper file of some desktop system, which the Python client ignores too.
    case desktopHelper
    /// `tmp????????`: the temporary download of clients up to 0.22, or the short-lived probe for links of newer ones.
    case oldTemporary
    /// `version.txt` and `version_diffusers_cache.txt`: marks of migrations long past.
    case migrationMark
    /// Anything else.
    case foreign

    /// Judges a name.
    public init(_ name: BytePath) {
        switch name.text {
        case ".locks": self = .locks
        case "blobs": self = .sharedStore
        case "CACHEDIR.TAG": self = .cacheTag
        case ".DS_Store", "Thumbs.db", "desktop.ini": self = .desktopHelper
        case "version.txt", "version_diffusers_cache.txt": self = .migrationMark
        default:
            if let id = RepoID(folder: name) {
                self = .repo(id)
            } else if isPythonTemporaryName(name) {
                self = .oldTemporary
            } else {
                self = .foreign
            }
        }
    }
}

/// Python's `tempfile` names: `tmp` and eight characters of `[a-z0-9_]`.
public func isPythonTemporaryName(_ name: BytePath) -> Bool {
    name.bytes.count == 11 && name.hasPrefix("tmp")
        && name.bytes.dropFirst(3).allSatisfy { byte in
            (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte == UInt8(ascii: "_")
        }
}

/// Who writes partial downloads under which name.
public enum PartialWriter: String, Sendable, Hashable {
    /// huggingface_hub since 1.18: `<etag>.<8 hex>.incomplete`, never resumed.
    case pythonUnique = "huggingface_hub"
    /// huggingface_hub before 1.18, Rust hf-hub 1.0, Swift and JavaScript clients: `<etag>.incomplete`.
    case plain = "incomplete"
    /// Rust hf-hub 0.3 and 0.4: `<etag>.part` or `.sync.part`.
    case rustPart = "part"
    /// llama.cpp: `<etag>.downloadInProgress`.
    case llamaCpp = "llama.cpp"
    /// hfjanitor itself: `<etag>.hfjanitor-part`, resumed.
    case hfjanitor
    /// huggingface_hub before 0.23: `tmp????????` in the cache root; the etag is unknown.
    case oldTemporary = "tmp"
}

/// What an entry of a repo's `blobs` folder is, judged by its name.
public enum BlobEntryName: Hashable, Sendable {
    /// A blob, named by its etag.
    case blob
    /// A partial download of the blob with that etag.
    case partial(etag: BytePath, writer: PartialWriter)
    /// `<etag>.lock` of clients before 0.19 and of old Rust ones.
    case lock(etag: BytePath)
    /// A short-lived file of a client: replacement staging, probes, the temporary link of the shared store.
    case temporary
    /// `<blob>.etag` of llama.cpp.
    case etagNote
    /// A helper file of some desktop system.
    case desktopHelper

    /// Judges a name.
    public init(_ name: BytePath) {
        if name.hasSuffix(".incomplete") {
            let stem = BytePath(bytes: name.bytes.dropLast(".incomplete".utf8.count))
            if let etag = stem.droppingHexSuffix {
                self = .partial(etag: etag, writer: .pythonUnique)
            } else {
                self = .partial(etag: stem, writer: .plain)
            }
        } else if name.hasSuffix(".sync.part") {
            self = .partial(etag: BytePath(bytes: name.bytes.dropLast(10)), writer: .rustPart)
        } else if name.hasSuffix(".part") {
            self = .partial(etag: BytePath(bytes: name.bytes.dropLast(5)), writer: .rustPart)
        } else if name.hasSuffix(".downloadInProgress") {
            self = .partial(etag: BytePath(bytes: name.bytes.dropLast(19)), writer: .llamaCpp)
        } else if name.hasSuffix(".hfjanitor-part") {
            self = .partial(etag: BytePath(bytes: name.bytes.dropLast(15)), writer: .hfjanitor)
        } else if name.hasSuffix(".lock") {
            self = .lock(etag: BytePath(bytes: name.bytes.dropLast(5)))
        } else if name.hasPrefix("tmp_") || BlobEntryName.isStaging(name) {
            self = .temporary
        } else if name.hasSuffix(".etag") {
            self = .etagNote
        } else if name == ".DS_Store" || name == "Thumbs.db" || name == "desktop.ini" {
            self = .desktopHelper
        } else {
            self = .blob
        }
    }

    /// `.<etag>.<8 hex>.new`, `.old` and `.shared`.
    private static func isStaging(_ name: BytePath) -> Bool {
        guard name.hasPrefix("."), let suffix = [".new", ".old", ".shared"].first(where: { name.hasSuffix($0) }) else {
            return false
        }
        return BytePath(bytes: name.bytes.dropLast(suffix.utf8.count)).droppingHexSuffix != nil
    }
}

extension BytePath {
    /// The name without a final `.` and eight lower-case hexadecimal digits, or nil when it has none or nothing before.
    public var droppingHexSuffix: BytePath? {
        guard bytes.count > 9, bytes[bytes.count - 9] == UInt8(ascii: "."),
            bytes.suffix(8).allSatisfy(isLowerHexadecimal)
        else { return nil }
        return BytePath(bytes: bytes.dropLast(9))
    }

    /// Whether this is the temporary name under which a ref or a manifest is written: `<name>.<8 hex>.tmp`,
    /// `tmp????????.tmp`.
    public var isTemporaryWriteName: Bool { hasSuffix(".tmp") }

    /// Whether these are 64 lower-case hexadecimal digits.
    public var isHex64: Bool { bytes.count == 64 && bytes.allSatisfy(isLowerHexadecimal) }
}

/// What an entry of a shared store's two-digit folder is, judged by its name.
public enum StoreEntryName: Hashable, Sendable {
    /// A payload, named by its Xet hash (which is not its SHA-256).
    case payload
    /// `<xet hash>.refs`: a line per repo blob that links to the payload.
    case manifest(payload: BytePath)
    /// `<xet hash>.lock` or `.lock.soft`.
    case lock(payload: BytePath)
    /// A temporary of the client.
    case temporary
    /// Anything else.
    case foreign

    /// The marker without which a `blobs` folder in the root is not the shared store; its content is `1` and a newline.
    public static let marker: BytePath = ".huggingface-shared-blobs"
    /// The marker's exact content.
    public static let markerContent: [UInt8] = Array("1\n".utf8)

    /// Judges a name.
    public init(_ name: BytePath) {
        for (suffix, make) in [
            (".refs", { StoreEntryName.manifest(payload: $0) }), (".lock", { .lock(payload: $0) }),
            (".lock.soft", { .lock(payload: $0) }),
        ] where name.hasSuffix(suffix) {
            let payload = BytePath(bytes: name.bytes.dropLast(suffix.utf8.count))
            if payload.isHex64 {
                self = make(payload)
                return
            }
        }
        if name.isHex64 {
            self = .payload
        } else if name.isTemporaryWriteName {
            self = .temporary
        } else {
            self = .foreign
        }
    }
}
