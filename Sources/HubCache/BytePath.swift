/// A file name or a `/`-separated path exactly as the disk has it: bytes, not text.
///
/// Linux names are any bytes but NUL and `/`; a `String` would repair what is not UTF-8 and could then no longer name the
/// file. A `BytePath` is relative to a folder that its context names, unless it starts with `/`.
public struct BytePath: Hashable, Comparable, Sendable {
    /// The bytes, without a terminating NUL.
    public var bytes: [UInt8]

    /// Makes a path of raw bytes.
    public init(bytes: some Sequence<UInt8>) {
        self.bytes = Array(bytes)
    }

    /// Makes a path of a string's UTF-8.
    public init(_ string: some StringProtocol) {
        self.bytes = Array(string.utf8)
    }

    /// The path of zero bytes: the folder itself.
    public static let empty = BytePath(bytes: [])

    /// Whether there are no bytes.
    public var isEmpty: Bool { bytes.isEmpty }

    /// The bytes as text, each invalid sequence replaced by U+FFFD. For JSON; `display` is for people.
    public var text: String { String(decoding: bytes, as: UTF8.self) }

    /// The bytes as text when they are valid UTF-8.
    public var exactText: String? { String(validating: bytes, as: UTF8.self) }

    /// The components, separated by `/`; empty ones are left out.
    public var components: [BytePath] {
        bytes.split(separator: UInt8(ascii: "/")).map { BytePath(bytes: $0) }
    }

    /// The last component; the path itself when it has no `/`.
    public var lastComponent: BytePath {
        guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return self }
        return BytePath(bytes: bytes[(slash + 1)...])
    }

    /// Everything before the last `/`; empty when there is none.
    public var parent: BytePath {
        guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return .empty }
        return BytePath(bytes: bytes[..<slash])
    }

    /// This path with one more component or relative path behind it.
    public func appending(_ other: BytePath) -> BytePath {
        if bytes.isEmpty { return other }
        if other.bytes.isEmpty { return self }
        var joined: [UInt8] = []
        joined.reserveCapacity(bytes.count + 1 + other.bytes.count)
        joined += bytes
        joined.append(UInt8(ascii: "/"))
        joined += other.bytes
        return BytePath(bytes: joined)
    }

    /// This path with one more component or relative path behind it.
    public func appending(_ other: String) -> BytePath { appending(BytePath(other)) }

    /// Whether the bytes start with the UTF-8 of a string.
    public func hasPrefix(_ prefix: String) -> Bool { bytes.starts(with: prefix.utf8) }

    /// Whether the bytes end with the UTF-8 of a string.
    public func hasSuffix(_ suffix: String) -> Bool {
        let utf8 = suffix.utf8
        return bytes.count >= utf8.count && bytes[(bytes.count - utf8.count)...].elementsEqual(utf8)
    }

    /// Hashes eight bytes at a time: names are the keys of nearly every look-up, and most have 64 bytes.
    public func hash(into hasher: inout Hasher) {
        let span = bytes.span
        var index = 0
        while index + 8 <= span.count {
            var word: UInt64 = 0
            for offset in 0..<8 { word = word << 8 | UInt64(span[index + offset]) }
            hasher.combine(word)
            index += 8
        }
        var rest: UInt64 = UInt64(truncatingIfNeeded: span.count)
        while index < span.count {
            rest = rest << 8 | UInt64(span[index])
            index += 1
        }
        hasher.combine(rest)
    }

    /// Orders by bytes, as `LC_ALL=C sort` does.
    public static func < (left: BytePath, right: BytePath) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}

extension BytePath: ExpressibleByStringLiteral {
    /// A path of a literal's UTF-8.
    public init(stringLiteral value: String) { self.init(value) }
}

extension BytePath: CustomStringConvertible {
    /// The path as a person may safely see it: see `displayText(of:)`.
    public var description: String { display }

    /// The path as a person may safely see it: see `displayText(of:)`.
    public var display: String { displayText(of: bytes) }
}

extension BytePath {
    /// Resolves a link lexically: `target` as seen from the folder `self`, with `.` and `..` worked out.
    ///
    /// - Parameter target: a relative link text.
    /// - Returns: the path relative to the same folder as `self`, or nil when it climbs above that folder or is absolute.
    public func resolvingLexically(_ target: BytePath) -> BytePath? {
        guard target.bytes.first != UInt8(ascii: "/") else { return nil }
        var parts = bytes.split(separator: UInt8(ascii: "/"))
        for part in target.bytes.split(separator: UInt8(ascii: "/")) {
            if part.elementsEqual(".".utf8) { continue }
            if part.elementsEqual("..".utf8) {
                guard parts.popLast() != nil else { return nil }
                continue
            }
            parts.append(part)
        }
        return BytePath(bytes: parts.joined(separator: [UInt8(ascii: "/")]))
    }

    /// The rest of this path below a folder, or nil when it does not lie below it. The folder itself gives the empty path.
    public func relative(to folder: BytePath) -> BytePath? {
        if folder.isEmpty { return self }
        guard bytes.starts(with: folder.bytes) else { return nil }
        if bytes.count == folder.bytes.count { return .empty }
        if folder.bytes.last == UInt8(ascii: "/") { return BytePath(bytes: bytes[folder.bytes.count...]) }
        guard bytes[folder.bytes.count] == UInt8(ascii: "/") else { return nil }
        return BytePath(bytes: bytes[(folder.bytes.count + 1)...])
    }
}

/// Text that a person may safely see on a terminal, in the journal or on a page.
///
/// Control characters, bidirectional controls, other invisible format characters, line separators and bytes that are not
/// UTF-8 become `\xNN`, byte by byte, so that a hostile name can neither move the cursor nor pretend to be another name.
///
/// - Parameter bytes: any bytes.
/// - Returns: printable text.
public func displayText(of bytes: some Sequence<UInt8>) -> String {
    let raw = Array(bytes)
    if raw.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) { return String(decoding: raw, as: UTF8.self) }
    var shown = ""
    var rest = raw[...]
    while !rest.isEmpty {
        // A scalar has at most four bytes; the shortest valid prefix is the next scalar.
        var taken = 0
        for length in 1...min(4, rest.count) {
            guard let text = String(validating: rest.prefix(length), as: UTF8.self),
                let scalar = text.unicodeScalars.first
            else { continue }
            taken = length
            if isUnsafeToShow(scalar) {
                for byte in rest.prefix(length) { shown += hexEscape(byte) }
            } else {
                shown.unicodeScalars.append(scalar)
            }
            break
        }
        if taken == 0 {
            shown += hexEscape(rest[rest.startIndex])
            taken = 1
        }
        rest = rest.dropFirst(taken)
    }
    return shown
}

/// Text that a person may safely see: see `displayText(of:)` for bytes.
public func displayText(of text: String) -> String { displayText(of: text.utf8) }

private func isUnsafeToShow(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: true
    default: false
    }
}

private func hexEscape(_ byte: UInt8) -> String {
    let digits = Array("0123456789ABCDEF".unicodeScalars)
    var text = "\\x"
    text.unicodeScalars.append(digits[Int(byte >> 4)])
    text.unicodeScalars.append(digits[Int(byte & 15)])
    return text
}
