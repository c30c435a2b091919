/// A file of a revision as the Hub lists it.
public struct ManifestFile: Sendable, Hashable {
    /// The path in the repo: any bytes, to be compared with, never to be opened.
    public var path: [UInt8]
    /// The git SHA-1: of the content, or for an LFS file of its pointer.
    public var blobID: String
    /// The SHA-256 of an LFS or Xet file's content.
    public var lfsSHA256: String?
    /// The Xet hash, which some clients name the blob by.
    public var xetHash: String?
    /// The content's size in bytes.
    public var size: UInt64

    /// The digest of the content in hexadecimal, which is also the blob's usual name: 64 digits or 40.
    public var expectedDigest: String { lfsSHA256 ?? blobID }
}

/// Every file of a commit, whatever part of it was fetched: `trees/<commit>.json` of huggingface_hub since 1.22.
public struct TreeManifest: Sendable {
    /// The files, in the order of the text.
    public let files: [ManifestFile]
}

/// Reads `trees/<commit>.json` (`_tree_cache.py` of huggingface_hub): an object with `format_version` 1 and `files`, an
/// object from paths to `size`, `blob_id` and, for LFS files, `lfs_sha256` and `lfs_size`, for Xet files `xet_hash`.
///
/// As for the client, one malformed entry makes the whole manifest useless: half a list would make files look unwanted.
public struct TreeManifestParser: WeightFileParser {
    private let fileSize: UInt64
    private let chunkBytes: Int
    private var position: UInt64 = 0
    private var tokenizer = JSONTokenizer()
    private var reader = ManifestReader()

    /// Starts the parse of a file of `fileSize` bytes.
    public init(fileSize: UInt64, chunkBytes: Int = FormatLimits.chunkBytes) {
        self.fileSize = fileSize
        self.chunkBytes = boundedChunk(chunkBytes)
    }

    /// The bytes needed next.
    public var demand: ByteDemand? {
        guard fileSize <= FormatLimits.maxManifestBytes, position < fileSize else { return nil }
        return ByteDemand(offset: position, count: Int(min(UInt64(chunkBytes), fileSize - position)))
    }

    /// Takes the demanded bytes.
    public mutating func consume(_ bytes: Span<UInt8>) throws(FormatError) {
        _ = try accept(bytes)
        do throws(JSONFault) {
            try tokenizer.feed(bytes, 0..<bytes.count, into: &reader)
        } catch {
            throw FormatError(error)
        }
        position += UInt64(bytes.count)
    }

    /// The manifest, or why it cannot be used.
    public consuming func finish() throws(FormatError) -> TreeManifest {
        guard fileSize <= FormatLimits.maxManifestBytes else {
            throw FormatError(.unverifiable, "ManifestTooLarge", "the manifest has \(fileSize) bytes")
        }
        var tokenizer = tokenizer
        var reader = reader
        do throws(JSONFault) {
            try tokenizer.finish(into: &reader)
        } catch {
            throw FormatError(error)
        }
        guard let version = reader.formatVersion else {
            throw FormatError(.invalid, "MissingFormatVersion", "there is no format_version")
        }
        guard version == 1 else {
            throw FormatError(.unverifiable, "UnknownFormatVersion", "format_version is \(version), known is 1")
        }
        guard reader.hasFiles else { throw FormatError(.invalid, "MissingFiles", "there is no files object") }
        return TreeManifest(files: reader.files)
    }
}

/// Gathers the entries of a manifest from the events of its text.
private struct ManifestReader: JSONSink {
    private enum Place {
        case root
        case topKey
        case version
        case filesValue
        case fileKey
        case fileValue
        case entryKey
        case entryValue
        case extra(depth: Int, inEntry: Bool)
        case finished
    }

    private(set) var files: [ManifestFile] = []
    private(set) var formatVersion: UInt64?
    private(set) var hasFiles = false
    private var place = Place.root
    private var text: [UInt8] = []
    private var key: [UInt8] = []
    private var path: [UInt8] = []
    private var size: UInt64?
    private var lfsSize: UInt64?
    private var blobID: String?
    private var lfsSHA256: String?
    private var xetHash: String?

    mutating func beginObject(at offset: UInt64) throws(JSONFault) {
        switch place {
        case .root: place = .topKey
        case .filesValue:
            hasFiles = true
            files.removeAll()
            place = .fileKey
        case .fileValue:
            (size, lfsSize, blobID, lfsSHA256, xetHash) = (nil, nil, nil, nil, nil)
            place = .entryKey
        default: try openExtra(at: offset)
        }
    }

    mutating func endObject(at offset: UInt64) throws(JSONFault) {
        switch place {
        case .topKey: place = .finished
        case .fileKey: place = .topKey
        case .entryKey:
            try finishEntry(at: offset)
            place = .fileKey
        default: closeExtra()
        }
    }

    mutating func beginArray(at offset: UInt64) throws(JSONFault) { try openExtra(at: offset) }
    mutating func endArray(at offset: UInt64) throws(JSONFault) { closeExtra() }

    private mutating func openExtra(at offset: UInt64) throws(JSONFault) {
        guard case .extra(let depth, let inEntry) = place else {
            throw JSONFault(.meaning("UnexpectedValue"), at: offset, "an object or array where none belongs")
        }
        place = .extra(depth: depth + 1, inEntry: inEntry)
    }

    private mutating func closeExtra() {
        guard case .extra(let depth, let inEntry) = place else { return }
        place = depth > 1 ? .extra(depth: depth - 1, inEntry: inEntry) : (inEntry ? .entryKey : .topKey)
    }

    mutating func scalar(_ scalar: JSONScalar, at offset: UInt64) throws(JSONFault) {
        switch place {
        case .extra(let depth, let inEntry): if depth == 0 { place = inEntry ? .entryKey : .topKey }
        case .version:
            guard case .unsigned(let number) = scalar else {
                throw JSONFault(.meaning("BadFormatVersion"), at: offset, "format_version is not an integer")
            }
            formatVersion = number
            place = .topKey
        case .entryValue:
            place = .entryKey
            switch scalar {
            case .null: return
            case .unsigned(let number) where key == Key.size: size = number
            case .unsigned(let number) where key == Key.lfsSize: lfsSize = number
            default: throw JSONFault(.meaning("BadValue"), at: offset, "a value of the wrong type")
            }
        default: throw JSONFault(.meaning("UnexpectedValue"), at: offset, "a value where an object belongs")
        }
    }

    mutating func beginString(isKey: Bool, at offset: UInt64) throws(JSONFault) {
        text.removeAll(keepingCapacity: true)
        if isKey { return }
        switch place {
        case .entryValue, .extra: return
        default: throw JSONFault(.meaning("UnexpectedValue"), at: offset, "a string where none belongs")
        }
    }

    mutating func stringBytes(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) throws(JSONFault) {
        guard text.count + range.count <= FormatLimits.maxShardNameBytes else {
            // Nothing longer means anything here; a path that long cannot exist on a disk.
            if case .extra = place { return }
            throw JSONFault(
                .meaning("TextTooLong"), at: 0, "a name of more than \(FormatLimits.maxShardNameBytes) bytes")
        }
        for index in range { text.append(bytes[index]) }
    }

    mutating func endString(isKey: Bool, at offset: UInt64) throws(JSONFault) {
        switch place {
        case .topKey:
            place =
                text == Key.formatVersion
                ? .version : (text == Key.files ? .filesValue : .extra(depth: 0, inEntry: false))
        case .fileKey:
            path = text
            place = .fileValue
        case .entryKey:
            key = text
            place = Key.known.contains(text) ? .entryValue : .extra(depth: 0, inEntry: true)
        case .entryValue:
            try takeText(at: offset)
            place = .entryKey
        case .extra(let depth, let inEntry): if depth == 0, !isKey { place = inEntry ? .entryKey : .topKey }
        default: break
        }
    }

    private mutating func takeText(at offset: UInt64) throws(JSONFault) {
        let digits = key == Key.blobID ? 40 : 64
        guard key != Key.size, key != Key.lfsSize, text.count == digits, text.allSatisfy(isLowerHexadecimalDigit) else {
            throw JSONFault(
                .meaning("BadValue"), at: offset, "'\(Excerpt.escaped(key))' is '\(Excerpt.escaped(text))'")
        }
        let value = String(decoding: text, as: UTF8.self)
        if key == Key.blobID {
            blobID = value
        } else if key == Key.lfsSHA256 {
            lfsSHA256 = value
        } else {
            xetHash = value
        }
    }

    private mutating func finishEntry(at offset: UInt64) throws(JSONFault) {
        guard let blobID, let size = lfsSHA256 == nil ? size : (lfsSize ?? size) else {
            throw JSONFault(
                .meaning("IncompleteEntry"), at: offset, "'\(Excerpt.escaped(path))' has no blob_id or no size")
        }
        guard files.count < FormatLimits.maxManifestFiles else {
            throw JSONFault(.meaning("TooManyFiles"), at: offset, "more than \(FormatLimits.maxManifestFiles) files")
        }
        files.append(ManifestFile(path: path, blobID: blobID, lfsSHA256: lfsSHA256, xetHash: xetHash, size: size))
    }

    private enum Key {
        static let formatVersion = Array("format_version".utf8)
        static let files = Array("files".utf8)
        static let size = Array("size".utf8)
        static let lfsSize = Array("lfs_size".utf8)
        static let blobID = Array("blob_id".utf8)
        static let lfsSHA256 = Array("lfs_sha256".utf8)
        static let xetHash = Array("xet_hash".utf8)
        static let known: Set<[UInt8]> = [size, lfsSize, blobID, lfsSHA256, xetHash]
    }
}

private func isLowerHexadecimalDigit(_ byte: UInt8) -> Bool {
    (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66)
}
