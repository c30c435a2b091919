/// A JSON object whose values are text, numbers or null, strictly by RFC 8259: what a hold file has.
enum FlatJSON {
    enum Value: Hashable {
        case null
        case text(String)
        case boolean(Bool)
        case number
    }

    /// Reads an object.
    ///
    /// - Returns: nil when it is not one, holds arrays or objects, or has a key twice.
    static func parse(_ bytes: [UInt8]) -> [String: Value]? {
        var reader = Reader(bytes: bytes)
        return reader.object()
    }

    /// A text as JSON has it, with every control character escaped.
    static func quoted(_ text: String) -> String {
        let digits = Array("0123456789abcdef".unicodeScalars)
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\" + String(scalar)
            case "\u{0}"..<" ", "\u{7F}":
                result += "\\u00"
                result.unicodeScalars.append(digits[Int(scalar.value >> 4)])
                result.unicodeScalars.append(digits[Int(scalar.value & 15)])
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

        private mutating func skipSpace() {
            while let byte = next, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { position += 1 }
        }

        private mutating func take(_ character: Unicode.Scalar) -> Bool {
            skipSpace()
            guard next == UInt8(ascii: character) else { return false }
            position += 1
            return true
        }

        mutating func object() -> [String: Value]? {
            guard take("{") else { return nil }
            var found: [String: Value] = [:]
            if !take("}") {
                repeat {
                    skipSpace()
                    guard let key = text(), take(":"), let value = value(),
                        found.updateValue(value, forKey: key) == nil
                    else { return nil }
                } while take(",")
                guard take("}") else { return nil }
            }
            skipSpace()
            return position == bytes.count ? found : nil
        }

        private mutating func value() -> Value? {
            skipSpace()
            guard let byte = next else { return nil }
            switch byte {
            case UInt8(ascii: "\""): return text().map { .text($0) }
            case UInt8(ascii: "n"): return word("null") ? .null : nil
            case UInt8(ascii: "t"): return word("true") ? .boolean(true) : nil
            case UInt8(ascii: "f"): return word("false") ? .boolean(false) : nil
            default: return number() ? .number : nil
            }
        }

        private mutating func word(_ word: String) -> Bool {
            guard bytes[position...].starts(with: word.utf8) else { return false }
            position += word.utf8.count
            return true
        }

        /// No number means anything here: its characters are passed over.
        private mutating func number() -> Bool {
            let start = position
            while let byte = next, "0123456789+-.eE".utf8.contains(byte) { position += 1 }
            return position > start
        }

        private mutating func text() -> String? {
            guard next == UInt8(ascii: "\"") else { return nil }
            position += 1
            var content: [UInt8] = []
            while let byte = next {
                position += 1
                switch byte {
                case UInt8(ascii: "\""): return String(validating: content, as: UTF8.self)
                case ..<0x20: return nil
                case UInt8(ascii: "\\"):
                    guard let escaped = escape() else { return nil }
                    content += escaped.utf8
                default: content.append(byte)
                }
            }
            return nil
        }

        private mutating func escape() -> String? {
            guard let byte = next else { return nil }
            position += 1
            let simple: [UInt8: String] = [
                UInt8(ascii: "\""): "\"", UInt8(ascii: "\\"): "\\", UInt8(ascii: "/"): "/", UInt8(ascii: "b"): "\u{8}",
                UInt8(ascii: "f"): "\u{C}", UInt8(ascii: "n"): "\n", UInt8(ascii: "r"): "\r", UInt8(ascii: "t"): "\t",
            ]
            if let text = simple[byte] { return text }
            guard byte == UInt8(ascii: "u"), let first = unit() else { return nil }
            if let scalar = Unicode.Scalar(UInt32(first)) { return String(scalar) }
            guard (0xd800..<0xdc00).contains(first), word("\\u"), let second = unit(),
                (0xdc00..<0xe000).contains(second)
            else { return nil }
            let value = 0x10000 + (UInt32(first) - 0xd800) << 10 + (UInt32(second) - 0xdc00)
            return Unicode.Scalar(value).map { String($0) }
        }

        private mutating func unit() -> UInt16? {
            guard position + 4 <= bytes.count,
                let value = UInt16(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16),
                bytes[position] != UInt8(ascii: "+")
            else { return nil }
            position += 4
            return value
        }
    }
}
