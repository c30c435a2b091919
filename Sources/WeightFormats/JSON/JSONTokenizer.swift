/// A streaming JSON reader as strict as `serde_json`, fed in pieces that may end at any byte.
///
/// Strictness is the point: a verifier must see what a lenient decoder hides (invalid UTF-8, lone surrogates, trailing
/// bytes, `1e3` for an integer). It allocates nothing; strings are handed on in pieces of the input.
struct JSONTokenizer {
    private enum State {
        case value
        case firstElementOrEnd
        case afterValue
        case firstKeyOrEnd
        case key
        case colon
        case string
        case number
        case literal
        case end
    }

    private var state = State.value
    private var depth = 0
    /// Bit n says whether the container at depth n + 1 is an object.
    private var objectBits: UInt128 = 0
    /// That bit of the innermost open container.
    private var isInObject = false
    private var stringIsKey = false
    private var text = JSONStringDecoder()
    private var number = JSONNumber()
    private var literal = JSONLiteral.null
    private var literalMatched = 0
    private var tokenOffset: UInt64 = 0
    /// Bytes fed before the current piece.
    private var base: UInt64 = 0

    /// Feeds the bytes `range` of `bytes`.
    mutating func feed(
        _ bytes: borrowing Span<UInt8>, _ range: Range<Int>, into sink: inout some JSONSink
    ) throws(JSONFault) {
        var index = range.lowerBound
        let end = range.upperBound
        // Wraps where the range does not start at zero; adding an index undoes that.
        let origin = base &- UInt64(truncatingIfNeeded: index)
        while index < end {
            switch state {
            case .string:
                let closed = try text.scan(bytes, &index, end, origin: origin, into: &sink)
                if closed {
                    try sink.endString(isKey: stringIsKey, at: origin &+ UInt64(index))
                    index += 1
                    state = stringIsKey ? .colon : (depth == 0 ? .end : .afterValue)
                }
            case .number:
                if try number.take(bytes[index], at: origin &+ UInt64(index)) {
                    index += 1
                } else {
                    try finishNumber(into: &sink)
                }
            case .literal:
                try matchLiteral(bytes[index], at: origin &+ UInt64(index), into: &sink)
                index += 1
            default:
                let byte = bytes[index]
                if byte != 0x20, byte != 0x0A, byte != 0x09, byte != 0x0D {
                    try structural(byte, at: origin &+ UInt64(index), into: &sink)
                }
                index += 1
            }
        }
        base &+= UInt64(range.count)
    }

    /// Ends the text; a fault if it ended too early.
    mutating func finish(into sink: inout some JSONSink) throws(JSONFault) {
        if state == .number, depth == 0 {
            try finishNumber(into: &sink)
        }
        guard state == .end else {
            if state == .string, text.isInsideCharacter {
                throw JSONFault(.encoding, at: base, "the text ends inside a UTF-8 character")
            }
            throw JSONFault(.syntax, at: base, "the JSON text ends early")
        }
    }

    private mutating func structural(
        _ byte: UInt8, at offset: UInt64, into sink: inout some JSONSink
    ) throws(JSONFault) {
        switch state {
        case .value:
            try beginValue(byte, at: offset, into: &sink)
        case .firstElementOrEnd:
            if byte == UInt8(ascii: "]") {
                try closeContainer(byte, at: offset, into: &sink)
            } else {
                try beginValue(byte, at: offset, into: &sink)
            }
        case .firstKeyOrEnd:
            if byte == UInt8(ascii: "}") {
                try closeContainer(byte, at: offset, into: &sink)
            } else {
                try beginKey(byte, at: offset, into: &sink)
            }
        case .key:
            try beginKey(byte, at: offset, into: &sink)
        case .colon:
            guard byte == UInt8(ascii: ":") else { throw unexpected(byte, at: offset, wanted: "':'") }
            state = .value
        case .afterValue:
            if byte == UInt8(ascii: ",") {
                state = isInObject ? .key : .value
            } else {
                try closeContainer(byte, at: offset, into: &sink)
            }
        default:
            throw unexpected(byte, at: offset, wanted: "the end of the text")
        }
    }

    private mutating func beginKey(
        _ byte: UInt8, at offset: UInt64, into sink: inout some JSONSink
    ) throws(JSONFault) {
        guard byte == UInt8(ascii: "\"") else { throw unexpected(byte, at: offset, wanted: "a key") }
        stringIsKey = true
        state = .string
        try sink.beginString(isKey: true, at: offset)
    }

    private mutating func beginValue(
        _ byte: UInt8, at offset: UInt64, into sink: inout some JSONSink
    ) throws(JSONFault) {
        tokenOffset = offset
        switch byte {
        case UInt8(ascii: "\""):
            stringIsKey = false
            state = .string
            try sink.beginString(isKey: false, at: offset)
        case UInt8(ascii: "{"):
            try open(isObject: true, at: offset)
            state = .firstKeyOrEnd
            try sink.beginObject(at: offset)
        case UInt8(ascii: "["):
            try open(isObject: false, at: offset)
            state = .firstElementOrEnd
            try sink.beginArray(at: offset)
        case UInt8(ascii: "t"): beginLiteral(.true)
        case UInt8(ascii: "f"): beginLiteral(.false)
        case UInt8(ascii: "n"): beginLiteral(.null)
        default:
            guard let started = JSONNumber(first: byte) else {
                throw unexpected(byte, at: offset, wanted: "a value")
            }
            number = started
            state = .number
        }
    }

    private mutating func open(isObject: Bool, at offset: UInt64) throws(JSONFault) {
        guard depth < FormatLimits.maxJSONDepth else {
            throw JSONFault(.syntax, at: offset, "nested deeper than \(FormatLimits.maxJSONDepth) levels")
        }
        let bit = UInt128(1) << UInt128(depth)
        objectBits = isObject ? objectBits | bit : objectBits & ~bit
        depth += 1
        isInObject = isObject
    }

    private mutating func closeContainer(
        _ byte: UInt8, at offset: UInt64, into sink: inout some JSONSink
    ) throws(JSONFault) {
        let isObject = isInObject
        guard byte == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
            throw unexpected(byte, at: offset, wanted: isObject ? "',' or '}'" : "',' or ']'")
        }
        depth -= 1
        state = depth == 0 ? .end : .afterValue
        isInObject = depth > 0 && (objectBits >> UInt128(depth - 1)) & 1 == 1
        if isObject {
            try sink.endObject(at: offset)
        } else {
            try sink.endArray(at: offset)
        }
    }

    private mutating func finishNumber(into sink: inout some JSONSink) throws(JSONFault) {
        guard let value = number.scalar else {
            throw JSONFault(.syntax, at: tokenOffset, "an incomplete number")
        }
        state = depth == 0 ? .end : .afterValue
        try sink.scalar(value, at: tokenOffset)
    }

    private mutating func beginLiteral(_ kind: JSONLiteral) {
        literal = kind
        literalMatched = 1
        state = .literal
    }

    private mutating func matchLiteral(
        _ byte: UInt8, at offset: UInt64, into sink: inout some JSONSink
    ) throws(JSONFault) {
        guard byte == literal.byte(literalMatched) else {
            throw unexpected(byte, at: offset, wanted: "a literal")
        }
        literalMatched += 1
        if literalMatched == literal.count {
            state = depth == 0 ? .end : .afterValue
            try sink.scalar(literal == .null ? .null : .bool, at: tokenOffset)
        }
    }

    private func unexpected(_ byte: UInt8, at offset: UInt64, wanted: String) -> JSONFault {
        JSONFault(.syntax, at: offset, "'\(Excerpt.escaped(CollectionOfOne(byte)))' in place of \(wanted)")
    }
}

/// The three words of JSON.
private enum JSONLiteral {
    case `true`
    case `false`
    case null

    var count: Int { self == .false ? 5 : 4 }

    func byte(_ index: Int) -> UInt8 {
        // Packed little-endian, so that matching needs no array.
        let packed: UInt64 =
            switch self {
            case .true: 0x65_7572_74
            case .false: 0x65_736C_6166
            case .null: 0x6C6C_756E
            }
        return UInt8(truncatingIfNeeded: packed >> UInt64(index * 8))
    }
}
