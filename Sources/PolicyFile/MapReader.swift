import HubCache
import Retention

/// Reads the keys of one map by what the schema says they are. What does not fit is in the log, and counts as not given.
struct MapReader {
    let log: DiagnosticLog
    let section: Section
    let position: Position
    private let entries: [String: Element.Entry]

    /// - Parameter shape: what else the value may be, for the diagnostic.
    init?(_ element: Element, _ section: Section, log: DiagnosticLog, shape: String = "a map of keys") {
        guard let entries = element.entries else {
            log.error(element.position, "\(section.name) must be \(shape), not \(element.kind)")
            return nil
        }
        self.log = log
        self.section = section
        position = element.position
        var known: [String: Element.Entry] = [:]
        for entry in entries {
            if section.keys.contains(entry.key) {
                known[entry.key] = entry
            } else {
                Self.reportUnknown(entry, section, log)
            }
        }
        self.entries = known
    }

    private static func reportUnknown(_ entry: Element.Entry, _ section: Section, _ log: DiagnosticLog) {
        guard !log.isFull else { return log.error(entry.position, "unknown key") }
        let shown = displayText(of: String(entry.key.prefix(80)))
        let message = "unknown key '\(shown)' in \(section.name)"
        if let near = Suggestion.nearest(to: entry.key, in: section.keys) {
            log.error(entry.position, message, suggestion: near)
        } else if let home = Section.all.first(where: { $0 != section && $0.keys.contains(entry.key) }) {
            log.error(entry.position, "\(message): it belongs to \(home.name)")
        } else {
            log.error(entry.position, message)
        }
    }

    /// Where a key's value stands.
    func place(_ key: String) -> Position { entries[key]?.value.position ?? position }

    /// Where a key stands.
    func keyPlace(_ key: String) -> Position { entries[key]?.position ?? position }

    func has(_ key: String) -> Bool { entries[key] != nil }

    // MARK: Values

    /// A key's value by a parser of its text.
    func value<Value>(_ key: String, _ parse: (String) throws(UnitError) -> Value) -> Value? {
        guard let element = entries[key]?.value else { return nil }
        return scalar(element, key, parse)
    }

    private func scalar<Value>(_ element: Element, _ key: String, _ parse: (String) throws(UnitError) -> Value)
        -> Value?
    {
        guard let text = element.text else {
            log.error(element.position, "'\(key)' must be one value, not \(element.kind)")
            return nil
        }
        guard !element.isNothing else {
            log.error(element.position, "'\(key)' has no value")
            return nil
        }
        do throws(UnitError) { return try parse(text) } catch {
            log.error(
                element.position,
                UnitError("'\(key)': \(error.message)", suggestion: error.suggestion))
            return nil
        }
    }

    /// A size that may be switched off with `none`. Nil: not given; `.some(nil)`: switched off.
    func optional<Value>(_ key: String, off: String, _ parse: (String) throws(UnitError) -> Value) -> Value?? {
        value(key) { (text) throws(UnitError) -> Value? in text == off ? nil : try parse(text) }
    }

    func word<Word: RawRepresentable & CaseIterable>(_ key: String, _: Word.Type = Word.self) -> Word?
    where Word.RawValue == String {
        value(key) { (text) throws(UnitError) in try Self.word(text) }
    }

    private static func word<Word: RawRepresentable & CaseIterable>(_ text: String) throws(UnitError) -> Word
    where Word.RawValue == String {
        if let word = Word(rawValue: text) { return word }
        let known = Word.allCases.map(\.rawValue)
        throw UnitError(
            "'\(displayText(of: text))' is none of \(known.joined(separator: ", "))",
            suggestion: Suggestion.nearest(to: text, in: known))
    }

    func flag(_ key: String) -> Bool? {
        value(key) { (text) throws(UnitError) in
            switch text {
            case "true": return true
            case "false": return false
            default:
                let meant = ["yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"]
                let lower = text.lowercased()
                throw UnitError(
                    "'\(displayText(of: text))' is neither true nor false",
                    suggestion: meant[lower] ?? Suggestion.nearest(to: lower, in: ["true", "false"]))
            }
        }
    }

    func count(_ key: String, in range: ClosedRange<Int>) -> Int? {
        value(key) { (text) throws(UnitError) in
            guard let number = Int(text), !text.hasPrefix("+") else {
                throw UnitError("'\(displayText(of: text))' is not a whole number")
            }
            guard range.contains(number) else {
                throw UnitError("must be from \(range.lowerBound) to \(range.upperBound), not \(number)")
            }
            return number
        }
    }

    /// A text that is not empty.
    func text(_ key: String) -> String? {
        value(key) { (text) throws(UnitError) in
            guard !text.isEmpty else { throw UnitError("must not be empty") }
            return text
        }
    }

    // MARK: Lists and maps

    /// The elements of a list. Nothing after the key is an empty list.
    func list(_ key: String) -> [Element]? {
        guard let element = entries[key]?.value else { return nil }
        if element.isNothing { return [] }
        guard let items = element.items else {
            log.error(element.position, "'\(key)' must be a list, not \(element.kind)")
            return nil
        }
        return items
    }

    /// The values of a list, or one value alone.
    func values<Value>(_ key: String, _ parse: (String) throws(UnitError) -> Value) -> [Value]? {
        guard let element = entries[key]?.value else { return nil }
        if element.isNothing { return [] }
        let items = element.text == nil ? list(key) : [element]
        return items?.compactMap { scalar($0, key, parse) }
    }

    /// The same where none means all: an empty list, as a template may leave one, is a mistake there.
    func choices<Value>(_ key: String, _ parse: (String) throws(UnitError) -> Value) -> [Value]? {
        if let element = entries[key]?.value, element.isNothing || element.items?.isEmpty == true {
            log.error(
                element.position, "'\(key)' has no value: name at least one, or leave the key out, which means all")
            return nil
        }
        return values(key, parse)
    }

    func words<Word: RawRepresentable & CaseIterable>(_ key: String, _: Word.Type = Word.self) -> [Word]?
    where Word.RawValue == String {
        choices(key) { (text) throws(UnitError) in try Self.word(text) }
    }

    func globs(_ key: String) -> [Glob]? {
        choices(key) { (text) throws(UnitError) in
            guard !text.isEmpty else { throw UnitError("must not be empty") }
            return Glob(text)
        }
    }

    /// A map under a key. Nothing after the key is an empty map, unless that means all.
    func map(_ key: String, _ section: Section, meansAll: Bool = false) -> MapReader? {
        guard let element = entries[key]?.value else { return nil }
        if meansAll, element.isNothing {
            log.error(
                element.position, "'\(key)' has no value: say what is meant, or leave the key out, which means all")
            return nil
        }
        return MapReader(
            element.isNothing ? Element(content: .map([]), position: element.position) : element, section, log: log)
    }
}

/// The parsers of values that Retention has types for.
enum Quantity {
    /// A size, or a part of the filesystem.
    static func amount(_ text: String) throws(UnitError) -> Amount {
        if text.hasSuffix("%") { return .partsPerMillion(try percent(text)) }
        let bytes = try ByteCount.parse(text)
        if ByteCount.lacksUnit(text) {
            throw UnitError("'\(text)' has no unit", suggestion: bytes <= 100 ? "\(text)%" : "\(text)GB")
        }
        return .bytes(bytes)
    }

    /// A size above nothing, or a part of the filesystem above nothing.
    static func positiveAmount(_ text: String) throws(UnitError) -> Amount {
        let amount = try amount(text)
        if amount == .bytes(0) || amount == .partsPerMillion(0) { throw UnitError("must be above 0") }
        return amount
    }

    /// Millionths: `12.5%` is 125,000.
    static func percent(_ text: String) throws(UnitError) -> UInt32 {
        guard text.hasSuffix("%") else { throw UnitError("must be in percent, such as 20%") }
        let number = String(text.dropLast()).trimmingSpaces
        if number.hasPrefix("-") { throw UnitError("a percentage cannot be negative") }
        guard let decimal = DecimalNumber(number) else {
            throw UnitError("'\(displayText(of: text))' is not a percentage such as 10% or 12.5%")
        }
        guard let parts = decimal.exactly(times: 10_000) else {
            throw UnitError("'\(displayText(of: text))' has more than four decimals")
        }
        guard parts <= 1_000_000 else { throw UnitError("'\(displayText(of: text))' is more than 100%") }
        return UInt32(parts)
    }

    static func percentText(_ parts: UInt32) -> String {
        decimalText(UInt64(parts) / 10_000, UInt64(parts) % 10_000, digits: 4) + "%"
    }

    static func text(_ amount: Amount) -> String {
        switch amount {
        case .bytes(let bytes): ByteCount.exactText(bytes)
        case .partsPerMillion(let parts): percentText(parts)
        }
    }

    /// A length of time above nothing.
    static func positiveSpan(_ text: String) throws(UnitError) -> Duration {
        let span = try TimeSpan.parse(text)
        guard span > .zero else { throw UnitError("must be above 0") }
        return span
    }

    /// A factor from 1 to 10 in millionths.
    static func factor(_ text: String) throws(UnitError) -> UInt32 {
        guard let decimal = DecimalNumber(text), let parts = decimal.exactly(times: 1_000_000),
            (1_000_000...10_000_000).contains(parts)
        else { throw UnitError("'\(displayText(of: text))' is not a factor from 1 to 10, such as 1.10") }
        return UInt32(parts)
    }

    static func factorText(_ parts: UInt32) -> String {
        let text = decimalText(UInt64(parts) / 1_000_000, UInt64(parts) % 1_000_000, digits: 6)
        return text.contains(".") ? text : text + ".0"
    }
}

extension String {
    /// Without spaces at both ends.
    var trimmingSpaces: String {
        var text = Substring(self)
        while text.hasPrefix(" ") { text.removeFirst() }
        while text.hasSuffix(" ") { text.removeLast() }
        return String(text)
    }
}
