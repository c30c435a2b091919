public import HubCache
public import LinuxIO

/// A file as the Hub describes it, and where its content is.
struct LocatedFile {
    var metadata: HubFileMetadata
    /// The Hub's own address, or a signed one elsewhere.
    var content: WebAddress
}

extension HubClient {
    /// Asks whether a file would be given back as it is here, by HEAD and with our token, at each endpoint until one confirms it.
    ///
    /// It takes at most the time limits of `HubSettings` for each redirect and endpoint. Nothing is tried twice.
    ///
    /// - Parameters:
    ///   - file: the file's path in the repo.
    ///   - expectedEtag: the name of the blob that is here.
    ///   - cancellation: looked at once a second at least.
    /// - Returns: `confirmed` only for that etag at that commit. With several endpoints, `refused` only when all refuse.
    public func availability(
        of file: BytePath, repo: RepoID, commit: CommitHash, expectedEtag: BytePath,
        cancellation: Cancellation = Cancellation()
    ) -> HubAnswer {
        if isOffline { return .noAnswer(.offline) }
        var refusal: HubRefusal?
        var silence: HubSilence?
        for endpoint in endpoints {
            do throws(AskFailure) {
                let found = try locate(file, repo: repo, commit: commit, at: endpoint, cancellation).metadata
                if found.etag == expectedEtag { return .confirmed(found) }
                refusal = refusal ?? .otherEtag(found.etag)
            } catch {
                switch error {
                case .refused(let reason): refusal = refusal ?? reason
                case .silent(let reason): silence = silence ?? reason
                case .unusable(let what): silence = silence ?? .malformed(what)
                case .sink: break
                }
            }
        }
        if let silence { return .noAnswer(silence) }
        if let refusal { return .refused(refusal) }
        return .noAnswer(.noEndpoint)
    }

    /// HEAD of a file's `resolve` address, following redirects while they stay with the Hub, as step 3 of huggingface_hub's
    /// download does.
    func locate(
        _ file: BytePath, repo: RepoID, commit: CommitHash, at endpoint: HubEndpoint, _ cancellation: Cancellation
    ) throws(AskFailure) -> LocatedFile {
        let start = try address(of: file, repo: repo, commit: commit, at: endpoint)
        let (head, address, target) = try ask(start, at: endpoint, AskOptions(isHead: true), cancellation)
        let found: HubFileMetadata
        do throws(ExchangeFailure) { found = try metadata(head, leads: target != nil) } catch { throw unusable(error) }
        guard found.commit == commit else { throw .refused(.otherCommit(found.commit)) }
        return LocatedFile(metadata: found, content: target ?? address)
    }

    /// A file's `resolve` address.
    func address(
        of file: BytePath, repo: RepoID, commit: CommitHash, at endpoint: HubEndpoint
    ) throws(AskFailure) -> WebAddress {
        let components = file.bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard components.allSatisfy({ !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8) }),
            !file.bytes.contains(0)
        else { throw .refused(.unaskableName) }
        let prefix = repo.type == .model ? "" : repo.type.plural + "/"
        let path =
            "/\(prefix)\(repo.name)/resolve/\(commit.hex)/\(percentEncoded(file.bytes, keepingSlash: true))"
        guard let start = endpoint.address(of: path) else { throw .refused(.unaskableName) }
        return start
    }

    /// What the Hub's answer says of a file.
    ///
    /// - Parameter leads: whether it is a redirect to elsewhere.
    func metadata(_ head: ResponseHead, leads: Bool) throws(ExchangeFailure) -> HubFileMetadata {
        guard let stated = try head.value("x-repo-commit") else { throw .malformed("no X-Repo-Commit") }
        guard let answered = CommitHash(stated) else { throw .malformed("an X-Repo-Commit that is no commit") }
        guard let etag = try etag(of: head) else { throw .malformed("no ETag") }
        var size = try head.number("x-linked-size")
        // The length of a redirect's own body, or of a part, says nothing of the whole's.
        if size == nil, !leads, head.status == 200 { size = try head.number("content-length") }
        return HubFileMetadata(etag: etag, size: size, commit: answered)
    }
}
