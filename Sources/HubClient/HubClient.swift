internal import CCurl
internal import HubCache
internal import LinuxIO

/// What clients of the Hub work with, to make one for every thread that asks.
public struct HubAccess: Sendable {
    let endpoints: [HubEndpoint]
    let settings: HubSettings
    let clock: HubClock
    let health: HubHealth
    let token: HubToken?
    /// Where the token comes from; nil for one that was given.
    let tokenSource: HubTokenSource?
    let isOffline: Bool
    let certificates: (path: String, isFolder: Bool)?

    /// Makes a client.
    public func makeClient() -> HubClient { HubClient(self) }
}

/// Asks the Hub over libcurl.
///
/// Every call blocks, so a client belongs to a thread of its own; connections stay open from call to call. Redirects are
/// followed by hand: the token goes to the endpoint's own origin and nowhere else, and nothing leads from https to http.
public final class HubClient {
    /// Makes clients like this one.
    public let access: HubAccess
    /// Where to ask, in this order.
    public var endpoints: [HubEndpoint] { access.endpoints }
    var settings: HubSettings { access.settings }
    var clock: HubClock { access.clock }
    var health: HubHealth { access.health }
    var token: HubToken? { access.token }
    /// Whether the environment forbids every request.
    public var isOffline: Bool { access.isOffline }
    private let handle: EasyHandle?

    /// Makes a client.
    ///
    /// - Parameters:
    ///   - environment: the token, offline mode, certificates, and the endpoint unless others are named.
    ///   - endpoints: where to ask, in this order; nil for the environment's.
    ///   - token: a token for this client alone, in place of the environment's.
    ///   - health: shared by all clients of the process.
    public convenience init(
        environment: HubEnvironment, endpoints: [HubEndpoint]? = nil, token: HubToken? = nil, health: HubHealth,
        settings: HubSettings = HubSettings(), clock: HubClock = .system
    ) {
        let certificates = environment.certificates.map { path in
            // What cannot be opened as a folder is left to libcurl to complain about.
            let folder = try? OwnedDescriptor.open(trustedPath: path, options: .directory)
            return (path.text, folder != nil)
        }
        self.init(
            HubAccess(
                endpoints: endpoints ?? (try? [environment.endpoint.get()]) ?? [], settings: settings, clock: clock,
                health: health, token: token ?? environment.token,
                tokenSource: token == nil ? environment.tokenSource : nil, isOffline: environment.isOffline,
                certificates: certificates))
    }

    fileprivate init(_ access: HubAccess) {
        self.access = access
        handle = EasyHandle()
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
        try handle.perform(request, exchange, settings, certificates: access.certificates)
        return exchange.head
    }
}
