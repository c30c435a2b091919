internal import HubCache

/// An intent and the last decision about it, as its file has them.
struct IntentRecord: Sendable, Hashable {
    var intent: Intent
    var decision: Decision?
}

// The file: lines of words separated by one space; a word that is a name has every byte but letters, digits and `._-/+@`
// as %XX, the empty one is a lone `%`. The body ends with a checksum of all before it; every decision is one more line with
// a checksum of its own. What a torn line says never began.
extension Intent {
    static let version = "hfjanitor-intent 1"
    /// More than any repo the Hub takes needs.
    static let sizeLimit = 256 << 20

    func encoded() -> [UInt8] {
        var lines = LineWriter()
        lines.add("\(Self.version) \(operation.text)")
        lines.add("repo \(word(folder)) \(removesEmptyFolders ? 1 : 0)")
        for revision in revisions {
            lines.add("revision \(revision.commit.hex) \(revision.inode)")
            for folder in revision.folders {
                lines.add("folder \(folder.permissions) \(folder.gid) \(word(folder.path))")
            }
            for file in revision.files { lines.add("file \(words(file.identity)) \(word(file.path))") }
            for ref in revision.refs { lines.add("ref \(words(ref.identity)) \(word(ref.name))") }
            if let manifest = revision.manifest { lines.add("manifest \(words(manifest))") }
        }
        for blob in blobs {
            var line = "blob \(words(blob.identity)) \(word(blob.name))"
            if let other = blob.leadsTo { line += " leads \(word(other))" }
            if let payload = blob.payload { line += " payload \(words(payload.identity)) \(word(payload.hash))" }
            lines.add(line)
        }
        lines.add("end \(checksum(lines.bytes[...]))")
        return lines.bytes
    }

    /// The intent with empty lines after it where a decision would not fit into its last block: on a disk that is full by
    /// then, there has to be room for the word.
    func encodedWithRoom(block: Int = 4096) -> [UInt8] {
        var bytes = encoded()
        let room = 2 * encoded(.finish(revisions: Array(revisions.indices))).count
        let rest = block - bytes.count % block
        if rest < room { bytes += [UInt8](repeating: 0x0a, count: rest + 1) }
        return bytes
    }

    func encoded(_ decision: Decision) -> [UInt8] {
        let text =
            switch decision {
            case .undo: "undo"
            case .finish(let revisions): (["finish"] + revisions.map(String.init)).joined(separator: " ")
            }
        // The line before may be torn by a write that failed: a line end first makes an empty line at worst.
        return Array("\n\(text) \(checksum(Array((operation.text + " " + text).utf8)[...]))\n".utf8)
    }
}

extension IntentRecord {
    /// Reads an intent file.
    ///
    /// - Returns: nil when it is torn, of another version, or says anything that an operation cannot have meant.
    init?(decoding bytes: [UInt8], operation: BytePath) {
        guard Intent.isOperationName(operation) else { return nil }
        var reader = IntentReader(operation: operation)
        var position = 0
        while position < bytes.count, let end = bytes[position...].firstIndex(of: 0x0a) {
            // A torn decision may have another one behind it; a torn body has nothing.
            guard reader.take(bytes[position..<end], before: bytes[..<position]) || reader.isWhole else { break }
            position = end + 1
        }
        guard reader.isWhole, let intent = reader.intent, intent.isConsistent else { return nil }
        if case .finish(let revisions) = reader.decision, !revisions.allSatisfy(intent.revisions.indices.contains) {
            return nil
        }
        self.intent = intent
        decision = reader.decision
    }
}

extension Intent {
    /// Whether every name is what its place allows: nothing absolute, nothing that climbs, nothing twice.
    fileprivate var isConsistent: Bool {
        guard RepoID(folder: folder) != nil else { return false }
        var commits: Set<CommitHash> = []
        var refs: Set<BytePath> = []
        for revision in revisions {
            guard commits.insert(revision.commit).inserted, revision.folders.first?.path.isEmpty == true else {
                return false
            }
            var folders: Set<BytePath> = []
            for folder in revision.folders {
                let isKnown = folder.path.isEmpty ? folders.isEmpty : folders.contains(folder.path.parent)
                guard isKnown, folder.path.isEmpty || isPlain(folder.path), folders.insert(folder.path).inserted else {
                    return false
                }
            }
            var files: Set<BytePath> = []
            for file in revision.files {
                guard isPlain(file.path), folders.contains(file.path.parent), files.insert(file.path).inserted,
                    file.identity.kind == .regular || file.identity.kind == .symlink
                else { return false }
            }
            for ref in revision.refs {
                guard isPlain(ref.name), ref.identity.kind == .regular, refs.insert(ref.name).inserted else {
                    return false
                }
            }
        }
        var names: Set<BytePath> = []
        return blobs.allSatisfy { blob in
            isPlain(blob.name) && !blob.name.bytes.contains(UInt8(ascii: "/")) && names.insert(blob.name).inserted
                && (blob.identity.kind == .regular || blob.identity.kind == .symlink)
                && (blob.payload.map { $0.hash.isHex64 && blob.identity.kind == .symlink } ?? true)
        }
    }

    /// A relative path of real names.
    private func isPlain(_ path: BytePath) -> Bool {
        !path.isEmpty && !path.bytes.contains(0)
            && path.bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
                .allSatisfy { !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8) }
    }
}

private struct LineWriter {
    var bytes: [UInt8] = []

    mutating func add(_ line: String) {
        bytes += line.utf8
        bytes.append(0x0a)
    }
}

private struct IntentReader {
    let operation: BytePath
    var intent: Intent?
    var decision: Decision?
    var isWhole = false

    /// - Returns: false when the line cannot be believed.
    mutating func take(_ line: ArraySlice<UInt8>, before: ArraySlice<UInt8>) -> Bool {
        guard let text = String(validating: line, as: UTF8.self) else { return false }
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        if isWhole { return takeDecision(words) }
        guard var intent else {
            guard text == "\(Intent.version) \(operation.text)" else { return false }
            self.intent = Intent(
                operation: operation, folder: .empty, removesEmptyFolders: false, revisions: [], blobs: [])
            return true
        }
        if words.first == "end" {
            isWhole = words.count == 2 && words[1] == checksum(before)
            return isWhole
        }
        self.intent = nil
        guard intent.take(words) else { return false }
        self.intent = intent
        return true
    }

    private mutating func takeDecision(_ words: [Substring]) -> Bool {
        guard let sum = words.last, words.count >= 2 else { return false }
        let text = words.dropLast().joined(separator: " ")
        guard sum == checksum(Array((operation.text + " " + text).utf8)[...]) else { return false }
        let numbers = words.dropFirst().dropLast().compactMap { Int($0) }
        switch words[0] {
        case "undo" where words.count == 2: decision = .undo
        case "finish" where numbers.count == words.count - 2: decision = .finish(revisions: numbers)
        default: return false
        }
        return true
    }
}

extension Intent {
    fileprivate mutating func take(_ words: [Substring]) -> Bool {
        switch words.first {
        case "repo":
            guard words.count == 3, let name = name(words[1]), folder.isEmpty else { return false }
            folder = name
            removesEmptyFolders = words[2] == "1"
        case "revision":
            guard words.count == 3, let commit = CommitHash(words[1]), let inode = UInt64(words[2]) else {
                return false
            }
            revisions.append(
                Revision(commit: commit, inode: inode, folders: [], files: [], refs: [], manifest: nil))
        case "blob":
            guard let blob = Blob(words) else { return false }
            blobs.append(blob)
        default:
            guard !revisions.isEmpty else { return false }
            return revisions[revisions.count - 1].take(words)
        }
        return true
    }
}

extension Intent.Revision {
    fileprivate mutating func take(_ words: [Substring]) -> Bool {
        switch words.first {
        case "folder":
            guard words.count == 4, let permissions = UInt16(words[1]), permissions <= 0o7777,
                let gid = UInt32(words[2]), let path = name(words[3])
            else { return false }
            folders.append(Intent.Folder(path: path, permissions: permissions, gid: gid))
        case "file":
            guard words.count == 6, let identity = ParkedIdentity(words[1..<5]), let path = name(words[5]) else {
                return false
            }
            files.append(Intent.File(path: path, identity: identity))
        case "ref":
            guard words.count == 6, let identity = ParkedIdentity(words[1..<5]), let name = name(words[5]) else {
                return false
            }
            refs.append(Intent.Ref(name: name, identity: identity))
        case "manifest":
            guard words.count == 5, let identity = ParkedIdentity(words[1..<5]), manifest == nil else { return false }
            manifest = identity
        default: return false
        }
        return true
    }
}

extension Intent.Blob {
    fileprivate init?(_ words: [Substring]) {
        guard words.count >= 6, let identity = ParkedIdentity(words[1..<5]), let name = Removal.name(words[5]) else {
            return nil
        }
        self.init(name: name, identity: identity, leadsTo: nil, payload: nil)
        let rest = Array(words[6...])
        switch rest.first {
        case nil: break
        case "leads" where rest.count == 2:
            guard let other = Removal.name(rest[1]) else { return nil }
            leadsTo = other
        case "payload" where rest.count == 6:
            guard let identity = ParkedIdentity(rest[1..<5]), let hash = Removal.name(rest[5]) else { return nil }
            payload = Intent.Payload(hash: hash, identity: identity)
        default: return nil
        }
    }
}

extension ParkedIdentity {
    fileprivate init?(_ words: ArraySlice<Substring>) {
        let words = Array(words)
        guard words.count == 4, let raw = UInt8(words[0]), let kind = FileKind(rawValue: raw),
            let inode = UInt64(words[1]), let size = UInt64(words[2]), let modified = Int64(words[3])
        else { return nil }
        self.init(kind: kind, inode: inode, size: size, modified: Timestamp(nanoseconds: modified))
    }
}

private func words(_ identity: ParkedIdentity) -> String {
    "\(identity.kind.rawValue) \(identity.inode) \(identity.size) \(identity.modified.nanoseconds)"
}

private let digits = Array("0123456789abcdef".utf8)

private func word(_ path: BytePath) -> String {
    if path.isEmpty { return "%" }
    var escaped: [UInt8] = []
    escaped.reserveCapacity(path.bytes.count)
    for byte in path.bytes {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"),
            UInt8(ascii: "/"), UInt8(ascii: "+"), UInt8(ascii: "@"):
            escaped.append(byte)
        default: escaped += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: escaped, as: UTF8.self)
}

private func name(_ word: Substring) -> BytePath? {
    if word == "%" { return .empty }
    let utf8 = Array(word.utf8)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(utf8.count)
    var position = 0
    while position < utf8.count {
        guard utf8[position] == UInt8(ascii: "%") else {
            bytes.append(utf8[position])
            position += 1
            continue
        }
        guard position + 2 < utf8.count, let high = digits.firstIndex(of: utf8[position + 1]),
            let low = digits.firstIndex(of: utf8[position + 2])
        else { return nil }
        bytes.append(UInt8(high << 4 | low))
        position += 3
    }
    return bytes.isEmpty ? nil : BytePath(bytes: bytes)
}

/// FNV-1a, 64 bits: it tells a torn line from a whole one, and is no protection against people.
private func checksum(_ bytes: ArraySlice<UInt8>) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    let text = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - text.utf8.count) + text
}
