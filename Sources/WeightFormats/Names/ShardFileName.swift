/// A file name that says which part of a set the file is: `<prefix>-<i>-of-<n>.<extension>`.
///
/// Numbers have one to six digits, not necessarily as many on both sides, with or without padding
/// (`model_00001-of-00072`, `model-00001-of-000163`, `model-1-of-61`); the separator is `-` or `_`; a variant may follow
/// the total (`-of-00002.fp16.safetensors`). Sets are numbered
/// from 1, some from 0; names whose number is above the total are no shard names, since nothing can be said about their set.
public struct ShardFileName: Sendable, Hashable {
    /// What two names of one set have in common.
    public struct SetKey: Sendable, Hashable {
        /// Everything before the separator.
        public let prefix: [UInt8]
        /// `-` or `_`.
        public let separator: UInt8
        /// The digits of the total as written.
        public let totalText: [UInt8]
        /// Everything after the total, with its leading dot.
        public let suffix: [UInt8]

        /// The key of all sets that differ from this one in nothing but the total.
        public var family: SetKey { SetKey(prefix: prefix, separator: separator, totalText: [], suffix: suffix) }
    }

    /// The set that the name belongs to.
    public let key: SetKey
    /// The part, usually from 1; a set that has a part 0 ends one before its total.
    public let number: Int
    /// Parts of the set.
    public let total: Int
    /// Digits of the number as written.
    private let numberWidth: Int
    private let isPadded: Bool

    /// Everything before the separator.
    public var prefix: [UInt8] { key.prefix }
    /// Everything after the total, with its leading dot.
    public var suffix: [UInt8] { key.suffix }

    private static let marker = Array("-of-".utf8)
    private static let longestNumber = 6
    private static let extensions = ["safetensors", "bin", "gguf", "h5", "msgpack", "pt"].map { Array($0.utf8) }

    /// Reads a last path component; nil if it is not the name of a shard.
    public init?(_ name: some Collection<UInt8>) {
        let bytes = Array(name)
        guard let dot = bytes.lastIndex(of: UInt8(ascii: ".")) else { return nil }
        guard Self.extensions.contains(where: { bytes[(dot + 1)...].elementsEqual($0) }) else { return nil }
        var start = 0
        // The first place that fits, as a pattern with a lazy prefix would find it.
        while start + Self.marker.count <= dot {
            if bytes[start...].starts(with: Self.marker), let found = Self(bytes, marker: start) {
                self = found
                return
            }
            start += 1
        }
        return nil
    }

    private init?(_ bytes: [UInt8], marker: Int) {
        let numberText = Array(bytes[..<marker].reversed().prefix(while: Self.isDigit).reversed())
        let totalText = bytes[(marker + Self.marker.count)...].prefix(while: Self.isDigit)
        let separatorIndex = marker - numberText.count - 1
        guard separatorIndex >= 0, totalText.endIndex < bytes.endIndex else { return nil }
        let separator = bytes[separatorIndex]
        guard separator == UInt8(ascii: "-") || separator == UInt8(ascii: "_") else { return nil }
        guard bytes[totalText.endIndex] == UInt8(ascii: ".") else { return nil }
        guard let number = Self.value(numberText), let total = Self.value(totalText) else { return nil }
        guard number <= total, total >= 1 else { return nil }
        key = SetKey(
            prefix: Array(bytes[..<separatorIndex]), separator: separator, totalText: Array(totalText),
            suffix: Array(bytes[totalText.endIndex...]))
        self.number = number
        self.total = total
        numberWidth = numberText.count
        isPadded = Self.isPadded(number: numberText, total: Array(totalText))
    }

    /// Whether the numbers of the set are padded with zeros to the width of this one.
    ///
    /// A leading zero on either side says so. Without one, a number shorter than its total says the opposite; for
    /// numbers as long as the total (`10-of-61`, `10000-of-20000`) the custom of five digits decides.
    private static func isPadded(number: [UInt8], total: [UInt8]) -> Bool {
        let zero = UInt8(ascii: "0")
        if number.first == zero { return true }
        if total.first == zero { return number.count > 1 }
        return number.count == total.count && number.count >= 5
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
    }

    private static func value(_ digits: some Collection<UInt8>) -> Int? {
        guard !digits.isEmpty, digits.count <= longestNumber else { return nil }
        return digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
    }

    /// The name of another part of the same set, in the style of this one; nil if `number` is not in 0…total.
    public func sibling(_ number: Int) -> [UInt8]? {
        guard number >= 0, number <= total else { return nil }
        let digits = Array(String(number).utf8)
        let padding = isPadded ? max(0, numberWidth - digits.count) : 0
        return key.prefix + [key.separator] + Array(repeating: UInt8(ascii: "0"), count: padding) + digits
            + Self.marker + key.totalText + key.suffix
    }
}
