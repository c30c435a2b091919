internal import Glibc
package import HubCache
internal import LinuxIO

/// A commit made of one digit: `commit(1)` is forty times 1.
package func commit(_ digit: Int) -> String { String(repeating: String(digit, radix: 16), count: 40) }

/// A cache as the clients write it, in a folder of the test's own. What lies beside the cache is outside of it.
package final class TestCache: Sendable {
    /// The folder that the cache is in; paths of `TestFolder` calls on it start with `hub/` for what is in the cache.
    package let outer: TestFolder
    /// The cache root.
    package let path: BytePath

    package init(in place: String = "/tmp") throws {
        outer = try TestFolder(in: place)
        path = outer.path.appending("hub")
        try outer.makeFolder("hub")
        try outer.write("hub/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")
    }

    /// A path of the cache as `outer` takes it.
    package func place(_ name: BytePath) -> BytePath { BytePath("hub").appending(name) }

    package func repo(_ name: String = "org/model", _ type: RepoType = .model) -> TestRepo {
        guard let id = RepoID(type: type, name: name) else { preconditionFailure("no repo name: \(name)") }
        return TestRepo(cache: self, id: id)
    }

    /// Makes the shared store.
    package func makeStore(marker: String? = "1\n") throws {
        try outer.makeFolder("hub/blobs")
        if let marker { try outer.write("hub/blobs/.huggingface-shared-blobs", marker) }
    }

    /// Puts a payload into the shared store.
    ///
    /// - Parameter references: the lines of its manifest; nil for no manifest.
    /// - Returns: its Xet hash, made of its content but not its SHA-256.
    package func payload(_ content: [UInt8], references: [String]? = []) throws -> String {
        let hash = ReferenceDigest.sha256(content + Array("xet".utf8))
        let shelf = place("blobs").appending(String(hash.prefix(2)))
        try outer.write(shelf.appending(hash), content, mode: 0o444)
        if let references {
            try outer.write(shelf.appending(hash + ".refs"), references.map { $0 + "\n" }.joined())
        }
        try outer.write(shelf.appending(hash + ".lock"), "")
        return hash
    }
}

/// Gives a test a cache of its own and takes it away afterwards.
package func withTestCache<Result>(in place: String = "/tmp", _ body: (TestCache) throws -> Result) throws -> Result {
    let cache = try TestCache(in: place)
    defer { cache.outer.remove() }
    return try body(cache)
}

/// A file as a manifest lists it.
package struct ManifestEntry {
    package var path: String
    package var content: [UInt8]
    package var isLFS: Bool
    package var xetHash: String?
    /// A size other than the content's.
    package var size: Int?

    package init(_ path: String, _ content: [UInt8], isLFS: Bool = true, xetHash: String? = nil, size: Int? = nil) {
        self.path = path
        self.content = content
        self.isLFS = isLFS
        self.xetHash = xetHash
        self.size = size
    }

    /// The name of its blob.
    package var etag: String { isLFS ? ReferenceDigest.sha256(content) : ReferenceDigest.gitSHA1(content) }

    fileprivate var json: String {
        let size = size ?? content.count
        guard isLFS else {
            return "\(quoted(path)): {\"size\": \(size), \"blob_id\": \"\(ReferenceDigest.gitSHA1(content))\"}"
        }
        let pointer = lfsPointer(of: content)
        var text = "\(quoted(path)): {\"size\": \(size), \"blob_id\": \"\(ReferenceDigest.gitSHA1(pointer))\", "
        text += "\"lfs_sha256\": \"\(etag)\", \"lfs_size\": \(size)"
        if let xetHash { text += ", \"xet_hash\": \"\(xetHash)\"" }
        return text + "}"
    }
}

/// A string as JSON has it.
package func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"", "\\": result += "\\" + String(scalar)
        case ..<" ":
            let hex = String(scalar.value, radix: 16)
            result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}

/// One repo of a test's cache.
package struct TestRepo {
    package let cache: TestCache
    package let id: RepoID

    /// The folder relative to the cache root.
    package var folder: BytePath { id.folder }

    /// A path in the repo's folder as `cache.outer` takes it.
    package func place(_ name: BytePath) -> BytePath { cache.place(folder).appending(name) }

    /// Writes a blob under its right name.
    @discardableResult
    package func blob(_ content: [UInt8], isLFS: Bool = true) throws -> String {
        let etag = isLFS ? ReferenceDigest.sha256(content) : ReferenceDigest.gitSHA1(content)
        try blob(named: etag, content)
        return etag
    }

    /// Writes a blob under any name.
    package func blob(named etag: String, _ content: [UInt8]) throws {
        try cache.outer.write(place("blobs").appending(etag), content)
    }

    /// Links a file of a revision to a blob, whether that is there or not.
    package func link(_ path: BytePath, to etag: String, at commit: String) throws {
        let climbs = String(repeating: "../", count: path.components.count + 1)
        try cache.outer.link(snapshot(commit, path), to: BytePath(climbs + "blobs/" + etag))
    }

    /// Writes a blob and links a file of a revision to it.
    @discardableResult
    package func file(_ path: BytePath, _ content: [UInt8], at commit: String, isLFS: Bool = true) throws -> String {
        let etag = try blob(content, isLFS: isLFS)
        try link(path, to: etag, at: commit)
        return etag
    }

    /// Writes a file of a revision without a link, as clients do where links do not work.
    package func plainFile(_ path: BytePath, _ content: [UInt8], at commit: String) throws {
        try cache.outer.write(snapshot(commit, path), content)
    }

    package func snapshot(_ commit: String, _ path: BytePath = .empty) -> BytePath {
        place("snapshots").appending(commit).appending(path)
    }

    package func ref(_ name: BytePath, _ content: String) throws {
        try cache.outer.write(place("refs").appending(name), content)
    }

    /// Flips a bit at the end of a file's blob, which no look at sizes and headers sees.
    package func flipBit(of file: ManifestEntry) throws {
        var content = file.content
        content[content.count - 1] ^= 1
        try cache.outer.write(place("blobs").appending(file.etag), content)
    }

    package func manifest(_ commit: String, _ entries: [ManifestEntry]) throws {
        let files = entries.map(\.json).joined(separator: ",\n  ")
        try manifest(commit, text: "{\n \"format_version\": 1,\n \"files\": {\n  \(files)\n }\n}")
    }

    package func manifest(_ commit: String, text: String) throws {
        try cache.outer.write(place("trees").appending(commit + ".json"), text, mode: 0o600)
    }

    /// Writes a partial download, by default as huggingface_hub names it since 1.18.
    package func partial(_ etag: String, suffix: String = ".0a1b2c3d.incomplete", _ content: [UInt8] = [1]) throws {
        try cache.outer.write(place("blobs").appending(etag + suffix), content)
    }

    /// The place of a blob's lock file as the Python client has it, for `cache.outer`.
    package func lockPlace(_ etag: String) -> BytePath {
        cache.place(".locks").appending(folder).appending(etag + ".lock")
    }

    /// Makes `blobs/<etag>` a link to a payload of the shared store.
    package func linkBlob(_ etag: String, toPayload hash: String) throws {
        try cache.outer.link(
            place("blobs").appending(etag), to: BytePath("../../blobs/\(hash.prefix(2))/\(hash)"))
    }

    /// A whole model with a config, an index and shards, a ref `main` and a manifest.
    ///
    /// - Returns: the entries of its manifest.
    @discardableResult
    package func model(_ commit: String = TestSupport.commit(1), shards: Int = 2, withManifest: Bool = true) throws
        -> [ManifestEntry]
    {
        var entries = [ManifestEntry("config.json", Array("{\"model_type\": \"\(id.name)\"}".utf8), isLFS: false)]
        var places: [(String, String)] = []
        for number in 1...shards {
            let name = shardName(number, of: shards)
            places.append(("layer.\(number)", name))
            entries.append(
                ManifestEntry(name, safetensors([("layer.\(number)", Array("\(id.name) \(number)".utf8))])))
        }
        entries.append(ManifestEntry("model.safetensors.index.json", shardIndex(places), isLFS: false))
        for entry in entries { try file(BytePath(entry.path), entry.content, at: commit, isLFS: entry.isLFS) }
        try ref("main", commit)
        if withManifest { try manifest(commit, entries) }
        return entries
    }
}

/// `model-00001-of-00002.safetensors`.
package func shardName(_ number: Int, of total: Int, prefix: String = "model", suffix: String = "safetensors") -> String
{
    func padded(_ number: Int) -> String { String(String(100_000 + number).dropFirst()) }
    return "\(prefix)-\(padded(number))-of-\(padded(total)).\(suffix)"
}

/// A lock that somebody holds, as a downloading client does: flock(2) on a description of its own.
package final class HeldLock: Sendable {
    private let descriptor: Int32

    package init(_ folder: TestFolder, _ name: BytePath) throws {
        if !folder.exists(name) { try folder.write(name, "") }
        descriptor = unsafe withPath(folder.absolute(name)) { unsafe open($0, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw SetupFailure(description: "cannot lock \(name): errno \(errno)")
        }
    }

    package func release() { close(descriptor) }
}

/// A lease that somebody has on a file, as file servers take them; given back when the kernel asks for it.
package final class HeldLease: Sendable {
    private let descriptor: Int32

    package init(_ folder: TestFolder, _ name: BytePath) throws {
        ignoreLeaseBreakSignal()
        descriptor = unsafe withPath(folder.absolute(name)) { unsafe open($0, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0, fcntl(descriptor, setLease, F_WRLCK) == 0 else {
            throw SetupFailure(description: "no lease on \(name): errno \(errno)")
        }
    }

    /// Waits until somebody wants the file, then lets go.
    package func releaseWhenAsked() {
        while fcntl(descriptor, getLease) == F_WRLCK { sched_yield() }
        _ = fcntl(descriptor, setLease, F_UNLCK)
        close(descriptor)
    }
}

// F_SETLEASE and F_GETLEASE of fcntl(2).
private let setLease: Int32 = 1024
private let getLease: Int32 = 1025

/// A file that somebody has open for writing.
package final class HeldFile: Sendable {
    private let descriptor: Int32

    package init(_ folder: TestFolder, _ name: BytePath) throws {
        descriptor = unsafe withPath(folder.absolute(name)) { unsafe open($0, O_RDWR | O_CLOEXEC) }
        guard descriptor >= 0 else { throw SetupFailure(description: "cannot open \(name): errno \(errno)") }
    }

    package func release() { close(descriptor) }
}
