internal import LinuxIO

/// A request that has no good answer.
enum AskFailure: Error {
    /// The Hub refuses.
    case refused(HubRefusal)
    /// It does not answer.
    case silent(HubSilence)
    /// Its answer cannot be used, and the next one will be the same: what is wrong with it.
    case unusable(String)
    /// Whoever takes the content failed.
    case sink(any Error)
}

/// How to ask.
struct AskOptions {
    var isHead = false
    /// Follows redirects to any host, without the token: for content.
    var followsAnywhere = false
    /// The offset to start at; 0 asks for the whole.
    var offset: UInt64 = 0
    /// How many bytes to ask for; nil asks for all to the end.
    var count: UInt64?
    /// When all must be over.
    var deadline: ContinuousClock.Instant?
}

extension HubClient {
    /// One request, its redirects followed as far as they stay with the Hub.
    ///
    /// - Parameter start: on the endpoint, or where the Hub said the content is.
    /// - Returns: the last answer, a good one; its address; and where it leads, when that is no Hub.
    func ask(
        _ start: WebAddress, at endpoint: HubEndpoint, _ options: AskOptions, _ cancellation: Cancellation,
        onHead: @escaping (ResponseHead) throws(ExchangeFailure) -> Void = { (_) throws(ExchangeFailure) in },
        onBody: @escaping (ResponseHead, Span<UInt8>) throws(ExchangeFailure) -> Void = {
            (_, _) throws(ExchangeFailure) in
        }
    ) throws(AskFailure) -> (head: ResponseHead, address: WebAddress, target: WebAddress?) {
        var address = start
        // Whoever sends us back to the Hub from elsewhere shall not choose what the token is used for.
        var hasLeft = false
        for _ in 0...settings.redirects {
            hasLeft = hasLeft || !isHub(address.origin, endpoint)
            if let rest = health.rest(of: address.origin, now: clock.now()) { throw .silent(.resting(rest)) }
            var request = ExchangeRequest(address: address, isHead: options.isHead)
            request.token = hasLeft ? nil : endpoint.token(token, for: address.origin)
            request.offset = options.offset
            request.count = options.count
            request.deadline = options.deadline
            let head: ResponseHead
            let asked = clock.now()
            do throws(ExchangeFailure) {
                head = try exchange(request, cancellation, onHead: onHead, onBody: onBody)
            } catch {
                if error.isTheServers { health.failed(address.origin, since: asked, now: clock.now(), settings) }
                throw silence(error)
            }
            guard head.isRedirect else {
                try judge(head, from: address.origin, isHub: !hasLeft, asked: asked)
                return (head, address, nil)
            }
            health.answered(address.origin)
            let next = try redirectTarget(of: head, from: address)
            let isNear = next.origin == address.origin || isHub(next.origin, endpoint)
            guard isNear || options.followsAnywhere else { return (head, address, next) }
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
