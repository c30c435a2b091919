internal import CCurl
internal import HubCache
internal import LinuxIO

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
        let exchange = Exchange(request, settings, clock, cancellation, onHead: onHead, onBody: onBody)
        try handle.perform(request, exchange, settings, certificates: certificates)
        return exchange.head
    }
}
