/// Why a text is not the quantity that it should be.
public struct UnitError: Error, Sendable, Hashable {
    /// What is wrong, a clause without a full stop.
    public var message: String
    /// What was probably meant.
    public var suggestion: String?

    /// Makes an error.
    public init(_ message: String, suggestion: String? = nil) {
        self.message = message
        self.suggestion = suggestion
    }

    /// What is wrong, and what was probably meant.
    public var words: String { message + (suggestion.map { "; did you mean '\($0)'?" } ?? "") }
}

/// Numbers of bytes as people write them.
///
/// A number, perhaps with decimals, and a unit: `B`; `kB`, `MB`, `GB`, `TB`, `PB` are powers of 1000, `KiB`, `MiB`, `GiB`,
/// `TiB`, `PiB` of 1024. The `B` may be left out, and a unit may be all lower or all upper case; but `Gb` is no size, because
/// it means bits.
public enum ByteCount {
    private static let letters: [Character] = ["k", "m", "g", "t", "p"]

    /// Every spelling of every unit, and its bytes.
    private static let units: [String: UInt64] = {
        var units: [String: UInt64] = ["": 1, "B": 1, "b": 1]
        var thousands: UInt64 = 1
        var binary: UInt64 = 1
        for letter in letters {
            thousands *= 1000
            binary *= 1024
            let (lower, upper) = (String(letter), String(letter).uppercased())
            for spelling in [upper, upper + "B", lower + "b"] { units[spelling] = thousands }
            for spelling in [upper + "i", upper + "iB", lower + "ib", upper + "IB"] { units[spelling] = binary }
        }
        // The SI prefix is a lower case k; others are not written small.
        for spelling in ["k", "kB"] { units[spelling] = 1000 }
        units["kiB"] = 1024
        return units
    }()

    /// Reads a number of bytes. A part of a byte is cut off.
    ///
    /// - Throws: `UnitError` when it is none, or does not fit into 63 bits.
    public static func parse(_ text: String) throws(UnitError) -> UInt64 {
        let (number, unit) = try splitQuantity(text, example: "200GB")
        guard let factor = units[unit] else { throw unknownUnit(unit, after: number) }
        guard let bytes = number.times(factor) else { throw UnitError("'\(displayText(of: text))' is too large") }
        return bytes
    }

    /// Reads a number of bytes a second: a size, perhaps with `/s`. Nothing a second is no rate.
    ///
    /// - Throws: `UnitError` as `parse(_:)`.
    public static func parseRate(_ text: String) throws(UnitError) -> UInt64 {
        let rate = try parse(text.hasSuffix("/s") ? String(text.dropLast(2)) : text)
        guard rate > 0 else { throw UnitError("a rate must be above 0") }
        return rate
    }

    /// Whether a text is a small bare number: a forgotten unit makes a floor of ten bytes out of ten percent.
    public static func lacksUnit(_ text: String) -> Bool {
        guard let number = UInt64(text) else { return false }
        return (1..<1_000_000).contains(number)
    }

    private static func unknownUnit(_ unit: String, after number: DecimalNumber) -> UnitError {
        let shown = displayText(of: unit)
        if let letter = letters.first(where: { unit.lowercased() == "\($0)b" || unit.lowercased() == "\($0)" }) {
            let prefix = letter == "k" ? "k" : String(letter).uppercased()
            return UnitError(
                unit.hasSuffix("b") ? "'\(shown)' means bits" : "'\(shown)' is not a unit of size",
                suggestion: "\(number.text)\(prefix)B")
        }
        if let letter = letters.first(where: { unit.lowercased().hasPrefix("\($0)i") }) {
            return UnitError(
                "'\(shown)' is not a unit of size", suggestion: "\(number.text)\(String(letter).uppercased())iB")
        }
        return UnitError("'\(shown)' is not a unit of size: use B, kB, MB, GB, TB, PB or KiB, MiB, GiB, TiB, PiB")
    }

    /// The same number in the largest unit in which it is written exactly with at most three decimals: `3.9TB`, `1GiB`.
    ///
    /// `parse(_:)` reads it back as the same number.
    public static func exactText(_ bytes: UInt64) -> String {
        for (index, letter) in letters.enumerated().reversed() {
            let binary = UInt64(1) << (10 * UInt64(index + 1))
            if bytes >= binary, bytes % binary == 0 { return "\(bytes / binary)\(String(letter).uppercased())iB" }
            var thousands: UInt64 = 1
            for _ in 0...index { thousands *= 1000 }
            // Three decimals of this unit are whole numbers of the next smaller one.
            guard bytes >= thousands, bytes / thousands < 10_000, bytes % (thousands / 1000) == 0 else { continue }
            let prefix = letter == "k" ? "k" : String(letter).uppercased()
            let thousandths = bytes % thousands / (thousands / 1000)
            return decimalText(bytes / thousands, thousandths, digits: 3) + prefix + "B"
        }
        return "\(bytes)B"
    }
}

/// Lengths of time as people write them: whole numbers with `s`, `m`, `h`, `d`, `w`, `y` (365 days), one after the other:
/// `45d`, `1h30m`.
public enum TimeSpan {
    private static let units: [(name: String, seconds: Int64)] = [
        ("y", 31_536_000), ("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1),
    ]
    private static let otherNames: [String: String] = [
        "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
        "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "day": "d", "days": "d", "wk": "w", "week": "w", "weeks": "w",
        "yr": "y", "year": "y", "years": "y",
    ]
    /// A thousand years: longer ones are mistakes, and sums of shorter ones cannot overflow.
    private static let maximumSeconds: Int64 = 31_536_000_000

    /// Reads a length of time.
    ///
    /// - Throws: `UnitError` when it is none, is negative or is above a thousand years.
    public static func parse(_ text: String) throws(UnitError) -> Duration {
        var rest = Substring(text)
        if text == "0" { return .zero }
        var total: Int64 = 0
        repeat {
            let (number, unit, after) = try nextQuantity(rest, whole: text)
            guard let seconds = units.first(where: { $0.name == unit })?.seconds else {
                throw unknownUnit(String(unit), after: number, whole: text)
            }
            guard number <= maximumSeconds / seconds, total + number * seconds <= maximumSeconds else {
                throw UnitError("'\(displayText(of: text))' is longer than a thousand years")
            }
            total += number * seconds
            rest = after
        } while !rest.isEmpty
        return .seconds(total)
    }

    private static func nextQuantity(_ rest: Substring, whole text: String) throws(UnitError)
        -> (number: Int64, unit: Substring, after: Substring)
    {
        if rest.hasPrefix("-"), rest.dropFirst().first?.isNumber == true {
            throw UnitError("a length of time cannot be negative")
        }
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        var after = rest.dropFirst(digits.count)
        guard !digits.isEmpty else {
            throw UnitError("'\(displayText(of: text))' is not a length of time such as 30m, 6h or 45d")
        }
        if after.hasPrefix(".") || after.hasPrefix(",") {
            throw UnitError("a length of time has no decimals: write 1h30m, not 1.5h")
        }
        guard digits.utf8.count <= 12, let number = Int64(digits) else {
            throw UnitError("'\(displayText(of: text))' is longer than a thousand years")
        }
        after = after.drop { $0 == " " }
        let unit = after.prefix { !($0.isASCII && $0.isNumber) && $0 != " " && $0 != "-" }
        guard !unit.isEmpty else {
            throw UnitError("a length of time needs a unit: s, m, h, d, w or y", suggestion: "\(digits)d")
        }
        return (number, unit, after.dropFirst(unit.count).drop { $0 == " " })
    }

    private static func unknownUnit(_ unit: String, after number: Int64, whole text: String) -> UnitError {
        let lower = unit.lowercased()
        if ["mo", "mon", "month", "months"].contains(lower) || unit == "M" {
            return UnitError("a month is no fixed time", suggestion: "\(clampedProduct(number, 30))d")
        }
        if let name = units.first(where: { $0.name == lower })?.name ?? otherNames[lower] {
            return UnitError("'\(displayText(of: unit))' is not a unit of time", suggestion: "\(number)\(name)")
        }
        return UnitError("'\(displayText(of: unit))' is not a unit of time: use s, m, h, d, w or y")
    }

    private static func clampedProduct(_ left: Int64, _ right: Int64) -> Int64 {
        let (product, isOverflow) = left.multipliedReportingOverflow(by: right)
        return isOverflow ? .max : product
    }

    /// The same time in the largest unit in which it is a whole number: `45d`, `90m`. Parts of a second are cut off.
    ///
    /// `parse(_:)` reads it back as the same time.
    public static func exactText(_ duration: Duration) -> String {
        let seconds = duration.components.seconds
        for (name, factor) in units where seconds >= factor && seconds % factor == 0 {
            // Weeks and years are read less easily than the days they are.
            if name == "w" || name == "y" && seconds / factor < 2 { continue }
            return "\(seconds / factor)\(name)"
        }
        return "\(seconds)s"
    }
}

/// A number with decimals, exactly.
public struct DecimalNumber: Sendable, Hashable {
    /// As it was written.
    public let text: String
    private let digits: UInt64
    private let scale: UInt64

    /// Reads digits with at most one point among them.
    ///
    /// - Returns: nil when it is no such number, or has more than 19 digits.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }), text.utf8.count <= 20 else {
            return nil
        }
        let all = parts.joined()
        guard all.utf8.count <= 19, all.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let digits = UInt64(all) else {
            return nil
        }
        var scale: UInt64 = 1
        if parts.count == 2 { for _ in parts[1].utf8 { scale *= 10 } }
        self.text = String(text)
        self.digits = digits
        self.scale = scale
    }

    /// The product with a whole number, its decimals cut off; nil above 63 bits.
    public func times(_ factor: UInt64) -> UInt64? {
        let product = digits.multipliedFullWidth(by: factor)
        guard product.high < scale else { return nil }
        let quotient = scale.dividingFullWidth(product).quotient
        return quotient <= UInt64(Int64.max) ? quotient : nil
    }

    /// The product with a whole number where that is whole too; nil where it is not, or above 63 bits.
    public func exactly(times factor: UInt64) -> UInt64? {
        let product = digits.multipliedFullWidth(by: factor)
        guard product.high < scale, scale.dividingFullWidth(product).remainder == 0 else { return nil }
        return times(factor)
    }
}

/// Splits `12.5 GB` into a number and a unit.
private func splitQuantity(_ text: String, example: String) throws(UnitError) -> (DecimalNumber, String) {
    if text.hasPrefix("-") { throw UnitError("a size cannot be negative") }
    let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    guard let number = DecimalNumber(digits) else {
        throw UnitError("'\(displayText(of: text))' is not a size such as \(example)")
    }
    return (number, String(text.dropFirst(digits.count).drop { $0 == " " }))
}

/// A number with decimals, without zeros at its end.
package func decimalText(_ whole: UInt64, _ fraction: UInt64, digits: Int) -> String {
    guard fraction > 0 else { return "\(whole)" }
    var text = String(fraction)
    while text.utf8.count < digits { text = "0" + text }
    while text.hasSuffix("0") { text.removeLast() }
    return "\(whole).\(text)"
}

/// A size for a person: powers of 1000, the unit spelled out.
public func formatBytes(_ bytes: UInt64) -> String {
    guard bytes >= 1000 else { return "\(bytes) B" }
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"]
    var value = Double(bytes) / 1000
    var unit = 0
    while value >= 999.95, unit + 1 < units.count {
        value /= 1000
        unit += 1
    }
    // Rounded by hand: this module links no mathematics.
    let tenths = Int(value * 10 + 0.5)
    return value >= 100 ? "\(Int(value + 0.5)) \(units[unit])" : "\(tenths / 10).\(tenths % 10) \(units[unit])"
}
