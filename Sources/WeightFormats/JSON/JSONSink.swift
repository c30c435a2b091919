/// Why a JSON text, or what it says, was refused.
struct JSONFault: Error {
    enum Kind {
        /// The text is not UTF-8.
        case encoding
        /// The text is not JSON, or too deep.
        case syntax
        /// The text is JSON but not what the format wants; thrown by sinks. The name is the reason to report.
        case meaning(String)
        /// As `meaning`, for what this module declines to judge.
        case declined(String)
    }

    let kind: Kind
    /// Bytes from the start of the JSON text.
    let offset: UInt64
    let detail: String

    init(_ kind: Kind, at offset: UInt64, _ detail: String) {
        self.kind = kind
        self.offset = offset
        self.detail = detail
    }
}

extension FormatError {
    /// What a fault of its JSON text says about a file that is nothing but JSON.
    init(_ fault: JSONFault) {
        switch fault.kind {
        case .encoding: self.init(.invalid, "InvalidUTF8", at: fault.offset, fault.detail)
        case .syntax: self.init(.invalid, "InvalidJSON", at: fault.offset, fault.detail)
        case .meaning(let name): self.init(.invalid, name, at: fault.offset, fault.detail)
        case .declined(let name): self.init(.unverifiable, name, at: fault.offset, fault.detail)
        }
    }
}

/// A JSON value that is neither a string nor a container.
enum JSONScalar {
    /// Digits only, no sign, fraction or exponent, and below 2⁶⁴.
    case unsigned(UInt64)
    /// Any other number that a double can hold.
    case number
    /// A number whose magnitude a double cannot hold.
    case hugeNumber
    case bool
    case null
}

/// Receives the events of a ``JSONTokenizer`` in document order. Offsets are bytes from the start of the text.
protocol JSONSink {
    mutating func beginObject(at offset: UInt64) throws(JSONFault)
    mutating func endObject(at offset: UInt64) throws(JSONFault)
    mutating func beginArray(at offset: UInt64) throws(JSONFault)
    mutating func endArray(at offset: UInt64) throws(JSONFault)
    mutating func scalar(_ scalar: JSONScalar, at offset: UInt64) throws(JSONFault)
    /// A string starts; its decoded bytes follow in any number of pieces.
    mutating func beginString(isKey: Bool, at offset: UInt64) throws(JSONFault)
    /// Decoded, valid UTF-8, though one piece may end inside a character.
    mutating func stringBytes(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) throws(JSONFault)
    mutating func endString(isKey: Bool, at offset: UInt64) throws(JSONFault)
}
