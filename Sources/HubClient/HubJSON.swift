package import HubCache

/// A JSON value as a server sent it. Text and keys are bytes: two keys that differ only in Unicode's normal form are two.
package enum HubJSON: Sendable, Hashable {
    case null
    case boolean(Bool)
    /// The digits as they stand there.
    case number([UInt8])
    /// Valid UTF-8.
    case string([UInt8])
    case array([HubJSON])
    case object([BytePath: HubJSON])

    /// The deepest nesting that is read.
    static let maximumDepth = 64

    /// Reads one value and nothing behind it, strictly by RFC 8259; an object must not name a key twice.
    ///
    /// - Parameter bytes: bounded by the caller.
    /// - Throws: `ExchangeFailure.malformed`, with an offset, or `network` where it is cut off.
    init(_ bytes: [UInt8]) throws(ExchangeFailure) {
        var reader = JSONReader(bytes: bytes)
        self = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.position == bytes.count else { throw reader.failure }
    }

    /// Reads a document of a repo as the other initialiser reads an answer.
    ///
    /// - Parameter document: bounded by the caller.
    /// - Returns: nil when it is not JSON.
    package init?(document: [UInt8]) {
        do throws(ExchangeFailure) { try self.init(document) } catch { return nil }
    }

    /// A member of an object; nil when it is absent or null, or this is no object.
    package subscript(_ key: BytePath) -> HubJSON? {
        guard case .object(let members) = self, let member = members[key], member != .null else { return nil }
        return member
    }

    /// A string's bytes.
    var bytes: [UInt8]? { if case .string(let bytes) = self { bytes } else { nil } }
    /// A string as text.
    package var text: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }
    /// A truth value.
    package var truth: Bool? { if case .boolean(let value) = self { value } else { nil } }
    /// A number without sign, fraction and exponent.
    package var count: UInt64? {
        if case .number(let digits) = self { decimal(String(decoding: digits, as: UTF8.self)) } else { nil }
    }
}

private struct JSONReader {
    let bytes: [UInt8]
    var position = 0

    /// What ends too early may have been cut off on the way; anything else was sent so.
    var failure: ExchangeFailure {
        position < bytes.count
            ? .malformed("not JSON at byte \(position)") : .network("the answer ended after \(position) bytes")
    }
    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() {
        while let byte = next, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { position += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        position += 1
        return true
    }

    private mutating func require(_ text: StaticString) throws(ExchangeFailure) {
        for byte in text.description.utf8 {
            guard take(byte) else { throw failure }
        }
    }

    mutating func value(depth: Int) throws(ExchangeFailure) -> HubJSON {
        guard depth < HubJSON.maximumDepth else { throw failure }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"):
            try require("true")
            return .boolean(true)
        case UInt8(ascii: "f"):
            try require("false")
            return .boolean(false)
        case UInt8(ascii: "n"):
            try require("null")
            return .null
        default: return .number(try number())
        }
    }

    private mutating func object(depth: Int) throws(ExchangeFailure) -> HubJSON {
        position += 1
        var members: [BytePath: HubJSON] = [:]
        skipSpace()
        if take(UInt8(ascii: "}")) { return .object(members) }
        while true {
            skipSpace()
            let key = BytePath(bytes: try string())
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw failure }
            let member = try value(depth: depth + 1)
            guard members.updateValue(member, forKey: key) == nil else { throw failure }
            skipSpace()
            if take(UInt8(ascii: "}")) { return .object(members) }
            guard take(UInt8(ascii: ",")) else { throw failure }
        }
    }

    private mutating func array(depth: Int) throws(ExchangeFailure) -> HubJSON {
        position += 1
        var items: [HubJSON] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return .array(items) }
        while true {
            items.append(try value(depth: depth + 1))
            skipSpace()
            if take(UInt8(ascii: "]")) { return .array(items) }
            guard take(UInt8(ascii: ",")) else { throw failure }
        }
    }

    private mutating func number() throws(ExchangeFailure) -> [UInt8] {
        let start = position
        func isDigit(_ byte: UInt8?) -> Bool { byte.map { $0 >= 0x30 && $0 <= 0x39 } ?? false }
        _ = take(UInt8(ascii: "-"))
        guard isDigit(next) else { throw failure }
        if !take(UInt8(ascii: "0")) { while isDigit(next) { position += 1 } }
        if take(UInt8(ascii: ".")) {
            guard isDigit(next) else { throw failure }
            while isDigit(next) { position += 1 }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            position += 1
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            guard isDigit(next) else { throw failure }
            while isDigit(next) { position += 1 }
        }
        return Array(bytes[start..<position])
    }

    private mutating func string() throws(ExchangeFailure) -> [UInt8] {
        guard take(UInt8(ascii: "\"")) else { throw failure }
        var text: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard String(validating: text, as: UTF8.self) != nil else { throw failure }
                return text
            case UInt8(ascii: "\\"): try escape(into: &text)
            case 0..<0x20: throw failure
            default: text.append(byte)
            }
        }
        throw failure
    }

    private mutating func escape(into text: inout [UInt8]) throws(ExchangeFailure) {
        guard let byte = next else { throw failure }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var code = try fourDigits()
            if (0xd800..<0xdc00).contains(code) {
                guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw failure }
                let low = try fourDigits()
                guard (0xdc00..<0xe000).contains(low) else { throw failure }
                code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw failure }
            text += Array(String(Character(scalar)).utf8)
        default: throw failure
        }
    }

    private mutating func fourDigits() throws(ExchangeFailure) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
                throw failure
            }
            code = code << 4 + UInt32(digit)
            position += 1
        }
        return code
    }
}
