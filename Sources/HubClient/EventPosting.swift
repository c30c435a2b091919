public import LinuxIO

/// Posts events to a web address that the policy names: no Hub, so nothing of the Hub's goes there.
public struct EventPosting {
    private let client: HubClient

    /// Makes one. It belongs to the thread that posts.
    ///
    /// - Parameters:
    ///   - environment: the certificates to trust; of the rest nothing is used.
    ///   - limit: as long as one posting may take.
    public init(environment: HubEnvironment, limit: Duration) {
        var settings = HubSettings()
        settings.answerTimeout = limit
        self.limit = limit
        client = HubClient(environment: environment, endpoints: [], health: HubHealth(), settings: settings)
    }

    private let limit: Duration

    /// Posts a JSON document. No token, no redirect.
    ///
    /// - Returns: why it was not taken, without the address, which may be a secret; nil: it was.
    public func post(_ json: [UInt8], to url: String, cancellation: Cancellation) -> String? {
        guard let address = WebAddress(url) else { return "the address is no http or https URL" }
        var request = ExchangeRequest(address: address)
        request.json = json
        request.deadline = .now + limit
        do throws(ExchangeFailure) {
            let head = try client.exchange(request, cancellation)
            return (200..<300).contains(head.status) ? nil : "\(address.origin) answered \(head.status)"
        } catch {
            return "\(address.origin): \(Self.words(error))"
        }
    }

    private static func words(_ failure: ExchangeFailure) -> String {
        switch failure {
        case .cancelled: "given up, since the daemon ends"
        case .network(let words), .timeout(let words), .malformed(let words): words
        case .stalled, .outOfTime: "no answer in time"
        case .sink(let error): "\(error)"
        case .enough: "ended early"
        }
    }
}
