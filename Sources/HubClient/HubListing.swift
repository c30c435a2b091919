public import HubCache
public import LinuxIO

/// Whether a repo's conditions must be accepted.
public enum HubGating: String, Sendable, Hashable {
    /// There are none.
    case open = "false"
    /// Accepting them is enough.
    case automatic = "auto"
    /// Someone decides.
    case manual
}

/// What the Hub says of a repo at a revision.
public struct HubRepoInfo: Sendable, Hashable {
    /// The commit that the revision is now.
    public let commit: CommitHash
    /// Whether only some may see it.
    public let isPrivate: Bool
    /// Whether its conditions must be accepted.
    public let gating: HubGating
    /// Whether the Hub has disabled it.
    public let isDisabled: Bool
    /// The licence that its card names, such as `apache-2.0`; the publisher's word.
    public let license: String?
}

/// A file of a commit, as the Hub lists it.
public struct HubTreeFile: Sendable, Hashable {
    /// The path in the repo: relative, without empty components, `.` and `..`.
    public let path: BytePath
    /// The content's length in bytes.
    public let size: UInt64
    /// git's own id: the SHA-1 of the content, or of the pointer where the content is in LFS.
    public let gitID: String
    /// The content's SHA-256 where it is in LFS.
    public let sha256: String?
    /// The Xet hash, where there is one and the Hub tells.
    public let xetHash: String?

    /// What a cache names the blob.
    public var etag: BytePath { BytePath(sha256 ?? gitID) }
}

extension HubClient {
    /// Asks what a revision is.
    ///
    /// - Parameter revision: a branch, a tag, `refs/pr/n` or a commit.
    /// - Throws: `HubFailure`.
    public func repoInfo(
        _ repo: RepoID, revision: String, cancellation: Cancellation = Cancellation()
    ) throws -> HubRepoInfo {
        let path = "/api/\(repo.type.plural)/\(repo.name)/revision/\(percentEncoded(revision.utf8))"
        let subject = HubSubject(repo: repo, revision: revision)
        return try inRounds(Rounds(), about: subject, cancellation) { (endpoint) throws(AskFailure) in
            guard let address = endpoint.address(of: path) else { throw .refused(.revisionNotFound) }
            let page = try page(address, at: endpoint, cancellation)
            guard let commit = page.json["sha"]?.text.flatMap({ CommitHash($0) }) else {
                throw .unusable("repo information without a commit")
            }
            // A revision that is a commit cannot be another one.
            if let wanted = CommitHash(revision), wanted != commit { throw .refused(.otherCommit(commit)) }
            let gated = page.json["gated"]
            return HubRepoInfo(
                commit: commit, isPrivate: page.json["private"]?.truth ?? false,
                // A kind that is not known yet is a condition all the same.
                gating: gated?.text.map { HubGating(rawValue: $0) ?? .manual }
                    ?? (gated?.truth == true ? .manual : .open),
                isDisabled: page.json["disabled"]?.truth ?? false, license: license(in: page.json["tags"]))
        }
    }

    /// Lists all files of a commit.
    ///
    /// - Returns: the whole listing, in the Hub's order; nothing is left out.
    /// - Throws: `HubFailure`, also when the listing is larger than `HubSettings` allow or any entry is not understood.
    public func tree(
        of repo: RepoID, commit: CommitHash, cancellation: Cancellation = Cancellation()
    ) throws -> [HubTreeFile] {
        let path =
            "/api/\(repo.type.plural)/\(repo.name)/tree/\(commit.hex)?recursive=true&expand=false"
        let subject = HubSubject(repo: repo, revision: commit.hex)
        return try inRounds(Rounds(), about: subject, cancellation) { (endpoint) throws(AskFailure) in
            guard let start = endpoint.address(of: path) else { throw .refused(.unaskableName) }
            var listing = Listing(settings: settings)
            var next: WebAddress? = start
            var seen: Set<WebAddress> = []
            while let address = next {
                guard seen.insert(address).inserted else { throw .unusable("pages in a circle") }
                guard seen.count <= settings.pages else { throw .unusable("more pages than are accepted") }
                let page = try page(address, at: endpoint, cancellation)
                do throws(ExchangeFailure) {
                    try listing.add(page.json)
                } catch {
                    throw unusable(error)
                }
                next = page.next
            }
            return listing.files
        }
    }

    /// One page of JSON and the address of the next.
    private func page(
        _ address: WebAddress, at endpoint: HubEndpoint, _ cancellation: Cancellation
    ) throws(AskFailure) -> (json: HubJSON, next: WebAddress?) {
        let limit = settings.pageBytes
        var body: [UInt8] = []
        let options = AskOptions(deadline: clock.now() + settings.pageTimeout)
        var isTooLong = false
        let (head, answered, target) = try ask(
            address, at: endpoint, options, cancellation, onHead: requireIdentity
        ) { (_, bytes) throws(ExchangeFailure) in
            isTooLong = body.count + bytes.count > limit
            guard !isTooLong else { throw .enough }
            for index in bytes.indices { body.append(bytes[index]) }
        }
        if isTooLong { throw .unusable("a page larger than is accepted") }
        guard target == nil else { throw .silent(.unsafeRedirect("it leads away from the Hub")) }
        do throws(ExchangeFailure) {
            let json = try HubJSON(body)
            guard let link = nextLink(in: head.all("link")) else { return (json, nil) }
            guard let next = WebAddress(link, relativeTo: answered), next.origin == answered.origin else {
                throw .malformed("the next page is elsewhere")
            }
            return (json, next)
        } catch {
            throw unusable(error)
        }
    }
}

/// The licence among a repo's tags, `license:apache-2.0`.
private func license(in tags: HubJSON?) -> String? {
    guard case .array(let tags) = tags else { return nil }
    let prefix = "license:"
    let tag = tags.lazy.compactMap(\.text).first { $0.hasPrefix(prefix) && $0.utf8.count <= 100 }
    return tag.map { String($0.dropFirst(prefix.utf8.count)) }
}

/// Refuses a body that was compressed although nobody asked for that.
func requireIdentity(_ head: ResponseHead) throws(ExchangeFailure) {
    if let encoding = try head.value("content-encoding"), encoding.lowercased() != "identity" {
        throw .malformed("a compressed body that nobody asked for")
    }
}

/// The files of a listing so far.
private struct Listing {
    let settings: HubSettings
    private(set) var files: [HubTreeFile] = []
    private var paths: Set<BytePath> = []

    init(settings: HubSettings) { self.settings = settings }

    mutating func add(_ page: HubJSON) throws(ExchangeFailure) {
        guard case .array(let entries) = page else { throw .malformed("a listing that is no list") }
        for entry in entries {
            guard let bytes = entry["path"]?.bytes, isRepoPath(bytes) else {
                throw .malformed("a listing with an unsafe path")
            }
            let path = BytePath(bytes: bytes)
            guard paths.insert(path).inserted else { throw .malformed("a listing that names '\(path)' twice") }
            guard paths.count <= settings.entries else { throw .malformed("a listing longer than is accepted") }
            switch entry["type"]?.text {
            case "directory": continue
            case "file": files.append(try file(path, entry))
            default: throw .malformed("a listing with an entry of unknown type")
            }
        }
    }

    private func file(_ path: BytePath, _ entry: HubJSON) throws(ExchangeFailure) -> HubTreeFile {
        let lfs = entry["lfs"]
        guard let size = (lfs?["size"] ?? entry["size"])?.count, size <= UInt64(Int64.max),
            let id = entry["oid"]?.text.flatMap({ CommitHash($0) })
        else { throw .malformed("a listing without size or id of '\(path)'") }
        var sha256: String?
        if let lfs {
            guard let digest = lfs["oid"]?.text.flatMap({ ContentDigest(hex: $0) }), digest.algorithm == .sha256 else {
                throw .malformed("a listing without the digest of '\(path)'")
            }
            sha256 = digest.hex
        }
        // The Hub hides the hash from some by writing something else in its place.
        let xet = entry["xetHash"]?.bytes.map { BytePath(bytes: $0) }
        return HubTreeFile(
            path: path, size: size, gitID: id.hex, sha256: sha256, xetHash: xet.flatMap { $0.isHex64 ? $0.text : nil })
    }
}

/// Whether a path is one that a file of a repo may have, and cannot leave the folder it is put in.
package func isRepoPath(_ bytes: [UInt8]) -> Bool {
    guard (1...4095).contains(bytes.count), !bytes.contains(0) else { return false }
    return bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy {
        (1...255).contains($0.count) && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8)
    }
}

/// The address a `Link` header gives for the next page (RFC 8288): `<address>; rel="next"`, perhaps among others.
func nextLink(in headers: [String]) -> String? {
    for header in headers {
        var rest = header[...]
        while let open = rest.firstIndex(of: "<"), let close = rest[open...].firstIndex(of: ">") {
            let address = rest[rest.index(after: open)..<close]
            rest = rest[rest.index(after: close)...]
            let parameters = rest.prefixOutsideQuotes(upTo: ",")
            rest = rest[parameters.endIndex...]
            if isNext(parameters) { return String(address) }
        }
    }
    return nil
}

/// Whether `next` is one of the relations that a link's parameters name.
private func isNext(_ parameters: Substring) -> Bool {
    var rest = parameters
    while !rest.isEmpty {
        let parameter = rest.prefixOutsideQuotes(upTo: ";")
        rest = rest[parameter.endIndex...].dropFirst()
        let pair = parameter.split(separator: "=", maxSplits: 1)
        guard pair.count == 2, pair[0].filter({ $0 != " " }).lowercased() == "rel" else { continue }
        // Only the first counts.
        return pair[1].filter { $0 != "\"" }.lowercased().split(separator: " ").contains("next")
    }
    return false
}

extension Substring {
    /// Everything before a character that does not stand in quotes.
    fileprivate func prefixOutsideQuotes(upTo end: Character) -> Substring {
        var isQuoted = false
        return prefix { character in
            if character == "\"" { isQuoted.toggle() }
            return isQuoted || character != end
        }
    }
}
