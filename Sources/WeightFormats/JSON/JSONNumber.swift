/// One JSON number, taken byte by byte.
///
/// Only an unsigned 64-bit integer keeps its value. For anything else the question is whether a double can hold it,
/// because `serde_json` refuses the whole text if not.
struct JSONNumber {
    private enum Part {
        case minus
        case zero
        case integer
        case point
        case fraction
        case exponentMark
        case exponentSign
        case exponent
    }

    /// The largest 19-digit significand at exponent 308 that rounds to a finite double.
    private static let largestFiniteSignificand: UInt64 = 1_797_693_134_862_315_807
    private static let largestFiniteExponent = 308
    private static let exponentCap = 1_000_000_000

    private var part = Part.zero
    private var isNegative = false
    private var value: UInt64 = 0
    private var isInteger = true
    private var fitsUnsigned = true
    // The first 19 significant digits, and the decimal exponent of the first of them.
    private var significand: UInt64 = 0
    private var significantDigits = 0
    private var leadingExponent = -1
    private var exponent = 0
    private var exponentIsNegative = false

    init() {}

    /// A number that starts with `byte`; nil if none does.
    init?(first byte: UInt8) {
        switch byte {
        case UInt8(ascii: "-"):
            isNegative = true
            part = .minus
        case UInt8(ascii: "0"):
            part = .zero
        case UInt8(ascii: "1")...UInt8(ascii: "9"):
            part = .integer
            integerDigit(byte)
        default: return nil
        }
    }

    /// The value; nil if the number is incomplete.
    var scalar: JSONScalar? {
        switch part {
        case .minus, .point, .exponentMark, .exponentSign: return nil
        default: break
        }
        if isInteger, fitsUnsigned, !isNegative { return .unsigned(value) }
        return isFinite ? .number : .hugeNumber
    }

    /// Takes one more byte; false if it does not belong to the number.
    mutating func take(_ byte: UInt8, at offset: UInt64) throws(JSONFault) -> Bool {
        let isDigit = byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
        switch part {
        case .minus:
            guard isDigit else { throw JSONFault(.syntax, at: offset, "a sign without a number") }
            part = byte == UInt8(ascii: "0") ? .zero : .integer
            integerDigit(byte)
        case .zero where isDigit:
            throw JSONFault(.syntax, at: offset, "a number with a leading zero")
        case .integer where isDigit:
            integerDigit(byte)
        case .point, .fraction:
            if isDigit {
                part = .fraction
                fractionDigit(byte)
            } else if part == .fraction, byte | 0x20 == UInt8(ascii: "e") {
                part = .exponentMark
            } else if part == .point {
                throw JSONFault(.syntax, at: offset, "a decimal point without digits")
            } else {
                return false
            }
        case .exponentMark where byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-"):
            exponentIsNegative = byte == UInt8(ascii: "-")
            part = .exponentSign
        case .exponentMark, .exponentSign:
            guard isDigit else { throw JSONFault(.syntax, at: offset, "an exponent without digits") }
            part = .exponent
            exponentDigit(byte)
        case .exponent:
            guard isDigit else { return false }
            exponentDigit(byte)
        case .zero, .integer:
            if byte == UInt8(ascii: ".") {
                part = .point
                isInteger = false
            } else if byte | 0x20 == UInt8(ascii: "e") {
                part = .exponentMark
                isInteger = false
            } else {
                return false
            }
        }
        return true
    }

    private mutating func integerDigit(_ byte: UInt8) {
        let digit = UInt64(byte &- UInt8(ascii: "0"))
        let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
        let (sum, carry) = tenfold.addingReportingOverflow(digit)
        if overflow || carry {
            fitsUnsigned = false
        } else {
            value = sum
        }
        if significantDigits > 0 || digit != 0 {
            leadingExponent = min(leadingExponent + 1, Self.exponentCap)
            keep(digit)
        }
    }

    private mutating func fractionDigit(_ byte: UInt8) {
        let digit = UInt64(byte &- UInt8(ascii: "0"))
        if significantDigits > 0 {
            keep(digit)
        } else if digit != 0 {
            keep(digit)
        } else {
            leadingExponent = max(leadingExponent - 1, -Self.exponentCap)
        }
    }

    private mutating func keep(_ digit: UInt64) {
        if significantDigits < 19 {
            significand = significand &* 10 &+ digit
            significantDigits += 1
        }
    }

    private mutating func exponentDigit(_ byte: UInt8) {
        exponent = min(exponent * 10 + Int(byte &- UInt8(ascii: "0")), Self.exponentCap)
    }

    private var isFinite: Bool {
        if significand == 0 { return true }
        let leading = leadingExponent + (exponentIsNegative ? -exponent : exponent)
        if leading != Self.largestFiniteExponent { return leading < Self.largestFiniteExponent }
        var padded = significand
        for _ in significantDigits..<19 { padded = padded &* 10 }
        return padded <= Self.largestFiniteSignificand
    }
}
