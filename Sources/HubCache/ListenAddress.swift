/// An address that something listens at: an IPv4 or IPv6 literal and a port. A name is none: what it leads to may change.
public struct ListenAddress: Hashable, Sendable {
    /// The bytes of the address: 4 or 16.
    public let bytes: [UInt8]
    /// The port, not 0.
    public let port: UInt16
    /// As it was written, without the brackets of an IPv6 address.
    public let host: String

    /// Reads `127.0.0.1:9750` or `[::1]:9750`.
    ///
    /// - Throws: `UnitError` for anything else.
    public init(_ text: String) throws(UnitError) {
        let problem = UnitError("'\(displayText(of: text))' is not address:port, such as 127.0.0.1:9750 or [::1]:9750")
        guard text.utf8.count <= 64, let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { throw problem }
        let (front, digits) = (text[..<colon], text[text.index(after: colon)...])
        guard let port = Self.number(digits, atMost: UInt16.max), port > 0 else { throw problem }
        self.port = port
        if front == "localhost" {
            throw UnitError("'localhost' is a name, and an address is needed", suggestion: "127.0.0.1:\(port)")
        }
        if front.hasPrefix("["), front.hasSuffix("]"), let bytes = Self.six(front.dropFirst().dropLast()) {
            (self.bytes, host) = (bytes, String(front.dropFirst().dropLast()))
        } else if let bytes = Self.four(front) {
            (self.bytes, host) = (bytes, String(front))
        } else {
            throw problem
        }
    }

    /// Whether only this machine reaches it.
    public var isLoopback: Bool {
        if bytes.count == 4 { return bytes[0] == 127 }
        if bytes.dropLast().allSatisfy({ $0 == 0 }) { return bytes[15] == 1 }
        // ::ffff:127.0.0.1
        return bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff && bytes[12] == 127
    }

    /// As it is written in a policy.
    public var text: String { bytes.count == 4 ? "\(host):\(port)" : "[\(host)]:\(port)" }

    /// Equal where they lead to the same place, however they are written.
    public static func == (left: ListenAddress, right: ListenAddress) -> Bool {
        left.bytes == right.bytes && left.port == right.port
    }

    /// Hashes what equality looks at.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(bytes)
        hasher.combine(port)
    }

    /// A number of plain digits without a zero in front of it.
    private static func number<Number: FixedWidthInteger>(_ text: Substring, atMost limit: Number) -> Number? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), text == "0" || text.utf8.first != 0x30,
            let number = Number(text), number <= limit
        else { return nil }
        return number
    }

    private static func four(_ text: Substring) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { number($0, atMost: UInt8.max) }
        return parts.count == 4 && bytes.count == 4 ? bytes : nil
    }

    /// RFC 4291, 2.2; no zone.
    private static func six(_ text: Substring) -> [UInt8]? {
        let halves = text.split(separator: "::", maxSplits: 2, omittingEmptySubsequences: false)
        guard halves.count <= 2 else { return nil }
        var found: [[UInt8]] = []
        for (index, half) in halves.enumerated() {
            guard let bytes = groups(half, mayEndInFour: index == halves.count - 1) else { return nil }
            found.append(bytes)
        }
        let count = found.reduce(0) { $0 + $1.count }
        if found.count == 1 { return count == 16 ? found[0] : nil }
        // "::" stands for one group of zeros at least.
        guard count <= 14 else { return nil }
        return found[0] + [UInt8](repeating: 0, count: 16 - count) + found[1]
    }

    private static func groups(_ text: Substring, mayEndInFour: Bool) -> [UInt8]? {
        if text.isEmpty { return [] }
        var bytes: [UInt8] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if mayEndInFour, index == parts.count - 1, part.utf8.contains(UInt8(ascii: ".")) {
                guard let last = four(part) else { return nil }
                bytes += last
                continue
            }
            guard (1...4).contains(part.utf8.count), part.utf8.allSatisfy({ isHex($0) }),
                let group = UInt16(part, radix: 16)
            else { return nil }
            bytes += [UInt8(group >> 8), UInt8(group & 0xff)]
        }
        return bytes
    }

    private static func isHex(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
    }
}
