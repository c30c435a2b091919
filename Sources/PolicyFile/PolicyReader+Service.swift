import HubCache
import Retention

/// What only the daemon and downloads use.
extension PolicyReader {
    func verification(_ map: MapReader) -> VerificationPolicy {
        var verification = VerificationPolicy()
        verification.onArrival = map.word("on-arrival") ?? verification.onArrival
        verification.scrubEvery =
            map.optional("scrub-every", off: "never", Quantity.positiveSpan) ?? verification.scrubEvery
        verification.rate = map.optional("rate", off: "unlimited", ByteCount.parseRate) ?? verification.rate
        verification.ioPressureMax = map.value("io-pressure-max", Quantity.percent) ?? verification.ioPressureMax
        return verification
    }

    func repair(_ map: MapReader) -> RepairPolicy {
        var repair = RepairPolicy()
        repair.refetch = map.word("refetch") ?? repair.refetch
        repair.endpoints = (map.list("endpoints") ?? []).compactMap(endpoint)
        repair.maxConcurrentDownloads =
            map.count("max-concurrent-downloads", in: 1...64) ?? repair.maxConcurrentDownloads
        repair.attempts = map.count("attempts", in: 1...100) ?? repair.attempts
        repair.estimateMargin = map.value("estimate-margin", Quantity.factor) ?? repair.estimateMargin
        repair.rate = map.optional("rate", off: "unlimited", ByteCount.parseRate) ?? repair.rate
        return repair
    }

    private func endpoint(_ element: Element) -> RepairPolicy.Endpoint? {
        if let text = element.text {
            do throws(UnitError) {
                let endpoint = RepairPolicy.Endpoint(url: try Self.url(text))
                check(endpoint, element.position)
                return endpoint
            } catch {
                log.error(element.position, error)
                return nil
            }
        }
        guard let map = MapReader(element, .endpoint, log: log, shape: "a URL or {url: …, token: …}") else {
            return nil
        }
        if !map.has("url") { log.error(map.position, "an endpoint needs a 'url'") }
        let token = map.flag("token") ?? false
        let http = map.flag("allow-http") ?? false
        guard let url = map.value("url", Self.url) else { return nil }
        let endpoint = RepairPolicy.Endpoint(url: url, getsToken: token, allowsHTTP: http)
        check(endpoint, map.place("url"))
        return endpoint
    }

    private func check(_ endpoint: RepairPolicy.Endpoint, _ position: Position) {
        guard endpoint.url.hasPrefix("http://"), !Self.isLoopback(endpoint.url) else { return }
        if !endpoint.allowsHTTP {
            log.error(position, "plain http needs {url: …, allow-http: true}")
        } else if endpoint.getsToken {
            log.warn(position, "the token is never sent over plain http, 'token: true' or not")
        }
    }

    func notify(_ map: MapReader) -> NotifyPolicy {
        var notify = NotifyPolicy()
        if map.has("command") {
            let arguments = (map.list("command") ?? []).map { element -> String in
                guard let text = element.text else {
                    log.error(element.position, "'command': an argument must be one value, not \(element.kind)")
                    return ""
                }
                return text
            }
            if let program = arguments.first, !program.hasPrefix("/") {
                log.error(map.place("command"), "'command' must start with the absolute path of a program")
            }
            notify.command = arguments
        }
        notify.url = map.value("url", Self.url)
        notify.minSeverity = map.word("min-severity") ?? notify.minSeverity
        if !isPart, notify.url != nil, !notify.command.isEmpty {
            log.error(map.keyPlace("url"), "give 'command' or 'url', not both")
        }
        if !isPart, notify.url == nil, notify.command.isEmpty {
            log.warn(map.position, "'notify' goes nowhere: it has neither 'command' nor 'url'")
        }
        return notify
    }

    func metricsAddress(_ map: MapReader) -> ListenAddress? {
        map.optional("listen", off: "none") { (text) throws(UnitError) in try ListenAddress(text) } ?? nil
    }

    // MARK: Texts

    /// A base URL without a slash at its end.
    private static func url(_ text: String) throws(UnitError) -> String {
        let shown = displayText(of: text)
        guard let scheme = ["https://", "http://"].first(where: { text.hasPrefix($0) }) else {
            throw UnitError("'\(shown)' is not a URL that starts with https://")
        }
        let rest = text.dropFirst(scheme.count)
        guard let authority = rest.split(separator: "/", omittingEmptySubsequences: false).first, !authority.isEmpty,
            text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"\"<>\\^`{|}".utf8.contains($0) })
        else { throw UnitError("'\(shown)' is not a URL") }
        guard !authority.contains("@") else {
            throw UnitError("a URL in a policy must not have a name or password in it")
        }
        guard !rest.contains("?"), !rest.contains("#") else {
            throw UnitError("'\(shown)' has a query or fragment, which a base URL cannot have")
        }
        var url = text
        while url.hasSuffix("/") { url.removeLast() }
        return url
    }

    private static func isLoopback(_ url: String) -> Bool {
        let authority = url.dropFirst("http://".count).prefix { $0 != "/" }
        if authority.hasPrefix("[") { return authority.prefix { $0 != "]" } == "[::1" }
        let host = authority.prefix { $0 != ":" }
        if host == "localhost" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    static func host(_ text: String) throws(UnitError) -> String {
        guard !text.isEmpty, text.utf8.count <= 253,
            text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ":") })
        else { throw UnitError("'\(displayText(of: text))' is not the name of a host") }
        return text
    }
}
