/// The inside of a JSON string: UTF-8 validation and escapes, resumable at any byte.
struct JSONStringDecoder {
    private enum State {
        case plain
        /// Inside a multi-byte character.
        case continuation
        case escape
        /// Inside the four digits of `\u`.
        case hex
        /// After a high surrogate: a backslash must follow, then `u`.
        case lowBackslash
        case lowMark
    }

    private var state = State.plain
    private var utf8 = UTF8Tail()
    private var hexDigits = 0
    private var codeUnit: UInt32 = 0
    private var highSurrogate: UInt32 = 0

    /// Whether the text so far ends inside a UTF-8 character.
    var isInsideCharacter: Bool { state == .continuation }

    /// Hands on decoded bytes until the closing quote or `end`.
    ///
    /// Returns true with `index` on the closing quote, false when `index` has reached `end`.
    @inline(__always)
    mutating func scan(
        _ bytes: borrowing Span<UInt8>, _ index: inout Int, _ end: Int, origin: UInt64, into sink: inout some JSONSink
    ) throws(JSONFault) -> Bool {
        while index < end {
            if state != .plain {
                try resume(bytes, &index, end, origin: origin, into: &sink)
                continue
            }
            let start = index
            let stop = endOfPlainRun(bytes, start, end)
            index = stop
            if stop > start { try sink.stringBytes(bytes, start..<stop) }
            if stop == end { return false }
            let byte = bytes[stop]
            if byte == UInt8(ascii: "\"") { return true }
            if byte == UInt8(ascii: "\\") {
                state = .escape
                index += 1
            } else if byte < 0x20 {
                throw JSONFault(.syntax, at: origin &+ UInt64(stop), "a control character in a string")
            } else {
                guard utf8.begin(byte) else {
                    throw JSONFault(.encoding, at: origin &+ UInt64(stop), "a byte that starts no UTF-8 character")
                }
                try sink.stringBytes(bytes, stop..<stop + 1)
                index += 1
                state = .continuation
            }
        }
        return false
    }

    private mutating func resume(
        _ bytes: borrowing Span<UInt8>, _ index: inout Int, _ end: Int, origin: UInt64, into sink: inout some JSONSink
    ) throws(JSONFault) {
        let byte = bytes[index]
        let offset = origin &+ UInt64(index)
        switch state {
        case .plain: return
        case .continuation:
            guard utf8.take(byte) else {
                throw JSONFault(.encoding, at: offset, "a byte that continues no UTF-8 character")
            }
            try sink.stringBytes(bytes, index..<index + 1)
            if utf8.isComplete { state = .plain }
        case .escape:
            try escape(byte, at: offset, into: &sink)
        case .hex:
            try hexDigit(byte, at: offset, into: &sink)
        case .lowBackslash:
            guard byte == UInt8(ascii: "\\") else {
                throw JSONFault(.syntax, at: offset, "a lone surrogate in an escape")
            }
            state = .lowMark
        case .lowMark:
            guard byte == UInt8(ascii: "u") else {
                throw JSONFault(.syntax, at: offset, "a lone surrogate in an escape")
            }
            beginHex()
        }
        index += 1
    }

    private mutating func beginHex() {
        state = .hex
        hexDigits = 0
        codeUnit = 0
    }

    private mutating func escape(
        _ byte: UInt8, at offset: UInt64, into sink: inout some JSONSink
    ) throws(JSONFault) {
        let decoded: UInt8
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): decoded = byte
        case UInt8(ascii: "b"): decoded = 0x08
        case UInt8(ascii: "f"): decoded = 0x0C
        case UInt8(ascii: "n"): decoded = 0x0A
        case UInt8(ascii: "r"): decoded = 0x0D
        case UInt8(ascii: "t"): decoded = 0x09
        case UInt8(ascii: "u"):
            beginHex()
            return
        default:
            throw JSONFault(.syntax, at: offset, "an invalid escape")
        }
        state = .plain
        try emit(UInt32(decoded), into: &sink)
    }

    private mutating func hexDigit(
        _ byte: UInt8, at offset: UInt64, into sink: inout some JSONSink
    ) throws(JSONFault) {
        let digit: UInt8
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
        default: throw JSONFault(.syntax, at: offset, "an invalid escape")
        }
        codeUnit = codeUnit << 4 | UInt32(digit)
        hexDigits += 1
        guard hexDigits == 4 else { return }
        state = .plain
        let isLow = codeUnit >= 0xDC00 && codeUnit <= 0xDFFF
        if highSurrogate != 0 {
            guard isLow else { throw JSONFault(.syntax, at: offset, "a lone surrogate in an escape") }
            let scalar = 0x10000 + (highSurrogate - 0xD800) << 10 + (codeUnit - 0xDC00)
            highSurrogate = 0
            try emit(scalar, into: &sink)
        } else if codeUnit >= 0xD800, codeUnit <= 0xDBFF {
            highSurrogate = codeUnit
            state = .lowBackslash
        } else {
            guard !isLow else { throw JSONFault(.syntax, at: offset, "a lone surrogate in an escape") }
            try emit(codeUnit, into: &sink)
        }
    }

    /// Hands on one scalar value in UTF-8.
    private func emit(_ scalar: UInt32, into sink: inout some JSONSink) throws(JSONFault) {
        var units: [4 of UInt8] = [0, 0, 0, 0]
        var count = 1
        switch scalar {
        case ..<0x80:
            units[0] = UInt8(scalar)
        case ..<0x800:
            units[0] = UInt8(0xC0 | scalar >> 6)
            units[1] = UInt8(0x80 | scalar & 0x3F)
            count = 2
        case ..<0x10000:
            units[0] = UInt8(0xE0 | scalar >> 12)
            units[1] = UInt8(0x80 | scalar >> 6 & 0x3F)
            units[2] = UInt8(0x80 | scalar & 0x3F)
            count = 3
        default:
            units[0] = UInt8(0xF0 | scalar >> 18)
            units[1] = UInt8(0x80 | scalar >> 12 & 0x3F)
            units[2] = UInt8(0x80 | scalar >> 6 & 0x3F)
            units[3] = UInt8(0x80 | scalar & 0x3F)
            count = 4
        }
        try sink.stringBytes(units.span, 0..<count)
    }
}

/// The index of the first byte that is not plain ASCII text inside a string: a quote, a backslash, a control character,
/// or the start of a longer character.
@inline(__always)
private func endOfPlainRun(_ bytes: borrowing Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    var index = start
    // Eight bytes at a time; a borrow can only raise a false alarm above a true one, and the lowest alarm counts.
    while end - index >= 8 {
        let word = littleEndianWord(bytes, index)
        let control = word &- ones &* 0x20
        let quote = (word ^ ones &* 0x22) &- ones
        let backslash = (word ^ ones &* 0x5C) &- ones
        let alarms = (word | control | quote | backslash) & highs
        if alarms != 0 { return index + alarms.trailingZeroBitCount / 8 }
        index += 8
    }
    while index < end {
        let byte = bytes[index]
        if byte < 0x20 || byte >= 0x80 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { break }
        index += 1
    }
    return index
}

/// The rest of one UTF-8 character, by table 3-7 of the Unicode standard: no overlong forms, no surrogates, nothing
/// above U+10FFFF.
struct UTF8Tail {
    private var remaining = 0
    private var low: UInt8 = 0x80
    private var high: UInt8 = 0xBF

    /// Whether no byte is missing.
    var isComplete: Bool { remaining == 0 }

    /// Starts a character of two to four bytes; false if `byte` starts none.
    mutating func begin(_ byte: UInt8) -> Bool {
        low = 0x80
        high = 0xBF
        switch byte {
        case 0xC2...0xDF: remaining = 1
        case 0xE0:
            remaining = 2
            low = 0xA0
        case 0xED:
            remaining = 2
            high = 0x9F
        case 0xE1...0xEF: remaining = 2
        case 0xF0:
            remaining = 3
            low = 0x90
        case 0xF4:
            remaining = 3
            high = 0x8F
        case 0xF1...0xF3: remaining = 3
        default: return false
        }
        return true
    }

    /// Takes a continuation byte; false if it is not one that may stand here.
    mutating func take(_ byte: UInt8) -> Bool {
        guard byte >= low, byte <= high else { return false }
        low = 0x80
        high = 0xBF
        remaining -= 1
        return true
    }
}
