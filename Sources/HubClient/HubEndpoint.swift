/// A Hub, or a mirror that answers like one.
public struct HubEndpoint: Sendable, Hashable, CustomStringConvertible {
    /// Whether the token may be sent there: the Hub's own origin, and what the policy says so of.
    public let sendsToken: Bool
    let address: WebAddress

    /// The public Hub.
    public static let publicAddress = "https://huggingface.co"

    /// Makes an endpoint.
    ///
    /// - Parameters:
    ///   - url: http or https, a host, perhaps a port and a path; slashes at the end are cut off.
    ///   - sendsToken: whether it may see the token. Over plain http it is sent to this machine only, whatever this says.
    ///   - allowsHTTP: whether plain http is good enough; to this machine it always is.
    /// - Throws: `HubEndpointProblem` for a URL that is none, or may not be used.
    public init(url: String, sendsToken: Bool, allowsHTTP: Bool = false) throws(HubEndpointProblem) {
        var trimmed = Substring(url)
        while trimmed.hasSuffix("/") { trimmed.removeLast() }
        // libcurl guesses a scheme where none is written; whoever writes an endpoint shall say which.
        let start = trimmed.prefix(8).lowercased()
        guard start.hasPrefix("https://") || start.hasPrefix("http://") else { throw .notHTTP }
        guard let address = WebAddress(String(trimmed)), !address.hasQuery, !trimmed.contains("#") else {
            throw .malformed
        }
        guard address.origin.isEncrypted || allowsHTTP || address.origin.isLoopback else { throw .unencrypted }
        self.address = address
        self.sendsToken = sendsToken
    }

    /// The origin and path, safe to show.
    public var description: String { address.origin.description + (address.path == "/" ? "" : address.path) }

    /// Whether two endpoints have scheme, host and port in common, so that who may see a token of one sees that of the other.
    public func hasOrigin(of other: HubEndpoint) -> Bool { origin == other.origin }

    /// Scheme, host and port.
    var origin: WebOrigin { address.origin }

    /// The address of something on this endpoint.
    ///
    /// - Parameter path: percent-encoded, with a leading `/`, perhaps with a query.
    func address(of path: String) -> WebAddress? {
        var base = address.text[...]
        while base.hasSuffix("/") { base.removeLast() }
        return WebAddress(base + path)
    }

    /// The token as far as an origin may see it: this endpoint's own, encrypted or on this machine.
    func token(_ token: HubToken?, for origin: WebOrigin) -> HubToken? {
        guard sendsToken, origin == self.origin, origin.isEncrypted || origin.isLoopback else { return nil }
        return token
    }
}

/// Why a URL is no endpoint.
public enum HubEndpointProblem: Error, Sendable, Hashable, CustomStringConvertible {
    /// Neither http nor https.
    case notHTTP
    /// Not a URL, or one with a user name, a query or a fragment.
    case malformed
    /// Plain http to another machine, which was not allowed.
    case unencrypted

    /// One clause without a full stop.
    public var description: String {
        switch self {
        case .notHTTP: "not an http or https URL"
        case .malformed: "not the URL of a Hub"
        case .unencrypted: "plain http to another machine is not allowed"
        }
    }
}
