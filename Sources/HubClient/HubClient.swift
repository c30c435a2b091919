internal import CCurl
public import HubCache
public import LinuxIO

/// Asks the Hub over libcurl.
///
/// Every call blocks, so a client belongs to a thread of its own; connections stay open from call to call. Redirects are
/// followed by hand: the token goes to the endpoint's own origin and nowhere else, and nothing leads from https to http.
public final class HubClient {
    /// Where to ask, in this order.
    public let endpoints: [HubEndpoint]
    let settings: HubSettings
    let clock: HubClock
    let health: HubHealth
    let token: HubToken?
    let isOffline: Bool
    private let certificates: (path: String, isFolder: Bool)?
    private let handle: EasyHandle?

    /// Makes a client.
    ///
    /// - Parameters:
    ///   - environment: the token, offline mode, certificates, and the endpoint unless others are named.
    ///   - endpoints: where to ask, in this order; nil for the environment's.
    ///   - token: a token for this client alone, in place of the environment's.
    ///   - health: shared by all clients of the process.
    public init(
        environment: HubEnvironment, endpoints: [HubEndpoint]? = nil, token: HubToken? = nil, health: HubHealth,
        settings: HubSettings = HubSettings(), clock: HubClock = .system
    ) {
        self.endpoints = endpoints ?? (try? [environment.endpoint.get()]) ?? []
        self.token = token ?? environment.token
        self.isOffline = environment.isOffline
        self.health = health
        self.settings = settings
        self.clock = clock
        self.handle = EasyHandle()
        self.certificates = environment.certificates.map { path in
            // What cannot be opened as a folder is left to libcurl to complain about.
            let folder = try? OwnedDescriptor.open(trustedPath: path, options: .directory)
            return (path.text, folder != nil)
        }
    }

    /// One request and its answer.
    func exchange(
        _ request: ExchangeRequest, _ cancellation: Cancellation,
        onHead: @escaping (ResponseHead) throws(ExchangeFailure) -> Void = { (_) throws(ExchangeFailure) in },
        onBody: @escaping (ResponseHead, Span<UInt8>) throws(ExchangeFailure) -> Void = {
            (_, _) throws(ExchangeFailure) in
        }
    ) throws(ExchangeFailure) -> ResponseHead {
        if cancellation.isCancelled { throw .cancelled }
        guard let handle else { throw .network("libcurl could not be initialised") }
        let exchange = Exchange(request, settings, cancellation, onHead: onHead, onBody: onBody)
        try handle.perform(request, exchange, settings, certificates: certificates)
        return exchange.head
    }
}

/// A request that has no good answer: the Hub refuses, or does not answer.
enum AskFailure: Error {
    case refused(HubRefusal)
    case silent(HubSilence)
}

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
        let components = file.bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard components.allSatisfy({ !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8) }),
            !file.bytes.contains(0)
        else { throw .refused(.unaskableName) }
        let prefix = repo.type == .model ? "" : repo.type.plural + "/"
        let path =
            "/\(prefix)\(repo.name)/resolve/\(commit.hex)/\(percentEncoded(file.bytes, keepingSlash: true))"
        guard let start = endpoint.address(of: path) else { throw .refused(.unaskableName) }
        let (head, address, target) = try ask(start, at: endpoint, isHead: true, cancellation)
        let found: LocatedFile
        do throws(ExchangeFailure) {
            guard let stated = try head.value("x-repo-commit") else { throw .malformed("no X-Repo-Commit") }
            guard let answered = CommitHash(stated) else { throw .malformed("an X-Repo-Commit that is no commit") }
            guard let etag = try etag(of: head) else { throw .malformed("no ETag") }
            var size = try head.number("x-linked-size")
            // The length of a redirect's own body says nothing.
            if size == nil, target == nil { size = try head.number("content-length") }
            let metadata = HubFileMetadata(etag: etag, size: size, commit: answered)
            found = LocatedFile(metadata: metadata, content: target ?? address)
        } catch {
            throw silence(error)
        }
        guard found.metadata.commit == commit else { throw .refused(.otherCommit(found.metadata.commit)) }
        return found
    }

    /// One request, its redirects followed as far as they stay with the Hub.
    ///
    /// - Returns: the last answer, a good one; its address; and where it leads, when that is no Hub.
    func ask(
        _ start: WebAddress, at endpoint: HubEndpoint, isHead: Bool, _ cancellation: Cancellation,
        deadline: ContinuousClock.Instant? = nil,
        onHead: @escaping (ResponseHead) throws(ExchangeFailure) -> Void = { (_) throws(ExchangeFailure) in },
        onBody: @escaping (ResponseHead, Span<UInt8>) throws(ExchangeFailure) -> Void = {
            (_, _) throws(ExchangeFailure) in
        }
    ) throws(AskFailure) -> (head: ResponseHead, address: WebAddress, target: WebAddress?) {
        if let rest = health.rest(of: endpoint.origin, now: clock.now()) { throw .silent(.resting(rest)) }
        var address = start
        for _ in 0...settings.redirects {
            var request = ExchangeRequest(address: address, isHead: isHead)
            request.token = endpoint.token(token, for: address.origin)
            request.deadline = deadline
            let head: ResponseHead
            do throws(ExchangeFailure) {
                head = try exchange(request, cancellation, onHead: onHead, onBody: onBody)
            } catch {
                if error.isTheServers { health.failed(endpoint.origin, now: clock.now(), settings) }
                throw silence(error)
            }
            guard head.isRedirect else {
                try judge(head, at: endpoint)
                return (head, address, nil)
            }
            health.answered(endpoint.origin)
            let next = try redirectTarget(of: head, from: address)
            guard next.origin == address.origin || isHub(next.origin, endpoint) else { return (head, address, next) }
            address = next
        }
        throw .silent(.unsafeRedirect("more than \(settings.redirects) of them"))
    }

    /// Where a redirect leads.
    func redirectTarget(of head: ResponseHead, from address: WebAddress) throws(AskFailure) -> WebAddress {
        let location: String?
        do throws(ExchangeFailure) { location = try head.value("location") } catch { throw silence(error) }
        guard let next = WebAddress(location ?? "", relativeTo: address) else {
            throw .silent(.unsafeRedirect("its address is not http or https, or no URL"))
        }
        if address.origin.isEncrypted, !next.origin.isEncrypted {
            throw .silent(.unsafeRedirect("it leads from https to http"))
        }
        return next
    }

    /// Whether an origin is the Hub itself, so that a redirect there is part of its answer.
    private func isHub(_ origin: WebOrigin, _ endpoint: HubEndpoint) -> Bool {
        if origin == endpoint.origin { return true }
        let hosts = ["huggingface.co", "hub-ci.huggingface.co", "hf.co"]
        return origin.isEncrypted && origin.port == 443 && hosts.contains(origin.host)
    }
}
