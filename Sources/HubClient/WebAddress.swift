internal import CCurl
internal import HubCache

/// An absolute http or https URL, taken apart by libcurl, which is also who will use it: two parsers would disagree about
/// the host some day, and the token would go to the wrong one.
struct WebAddress: Sendable, Hashable {
    /// The whole URL, normalised.
    let text: String
    /// Where it goes: scheme, host and port.
    let origin: WebOrigin
    /// The path, percent-encoded, with its leading `/`.
    let path: String
    /// Whether there is a `?` part.
    let hasQuery: Bool

    /// The most bytes of a URL: signed addresses have about two thousand.
    static let maximumBytes = 16 * 1024

    /// Reads a URL.
    ///
    /// - Parameters:
    ///   - text: an absolute URL, or with a base one relative to it.
    ///   - base: what a relative one is relative to.
    /// - Returns: nil for anything but http and https, for user names in it, for control characters and spaces, and where it is
    ///   too long.
    init?(_ text: String, relativeTo base: WebAddress? = nil) {
        guard text.utf8.count <= Self.maximumBytes, !text.isEmpty,
            text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }),
            let handle = unsafe curl_url()
        else { return nil }
        defer { unsafe curl_url_cleanup(handle) }
        let flags = UInt32(CURLU_DISALLOW_USER)
        if let base {
            guard unsafe curl_url_set(handle, CURLUPART_URL, base.text, flags) == CURLUE_OK else { return nil }
        }
        guard unsafe curl_url_set(handle, CURLUPART_URL, text, flags) == CURLUE_OK else { return nil }
        // What comes after `#` is never sent, and not part of what is asked for.
        guard unsafe curl_url_set(handle, CURLUPART_FRAGMENT, nil, 0) == CURLUE_OK else { return nil }

        func part(_ part: CURLUPart, _ flags: UInt32 = 0) -> String? {
            var value: UnsafeMutablePointer<CChar>?
            guard unsafe curl_url_get(handle, part, &value, flags) == CURLUE_OK, let value = unsafe value else {
                return nil
            }
            defer { unsafe curl_free(value) }
            return unsafe String(cString: value)
        }
        guard let scheme = part(CURLUPART_SCHEME)?.lowercased(), scheme == "https" || scheme == "http",
            let host = part(CURLUPART_HOST)?.lowercased(), !host.isEmpty,
            let port = part(CURLUPART_PORT, UInt32(CURLU_DEFAULT_PORT)).flatMap({ UInt16($0) }), port > 0,
            let whole = part(CURLUPART_URL), whole.utf8.count <= Self.maximumBytes
        else { return nil }
        self.text = whole
        self.origin = WebOrigin(isEncrypted: scheme == "https", host: host, port: port)
        self.path = part(CURLUPART_PATH) ?? "/"
        self.hasQuery = part(CURLUPART_QUERY) != nil
    }
}

/// Scheme, host and port: who answers, and who may see the token.
struct WebOrigin: Sendable, Hashable, CustomStringConvertible {
    /// Whether the scheme is https.
    let isEncrypted: Bool
    /// The host in lower case; an IPv6 address in brackets.
    let host: String
    /// The port, the scheme's own where none was named.
    let port: UInt16

    /// Whether it is this machine, by name or address, so that nothing crosses a network.
    var isLoopback: Bool {
        if host == "localhost" || host == "[::1]" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    /// Scheme and host, and the port where it is not the scheme's own.
    var description: String {
        let standard: UInt16 = isEncrypted ? 443 : 80
        return (isEncrypted ? "https://" : "http://") + displayText(of: host) + (port == standard ? "" : ":\(port)")
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
///
/// - Parameter keepingSlash: leaves `/` as it is, for a path of several components.
func percentEncoded(_ bytes: some Sequence<UInt8>, keepingSlash: Bool = false) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var encoded: [UInt8] = []
    for byte in bytes {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            encoded.append(byte)
        case UInt8(ascii: "/") where keepingSlash:
            encoded.append(byte)
        default:
            encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: encoded, as: UTF8.self)
}
