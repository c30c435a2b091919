/// A pattern on names: `*` stands for any characters, `/` included, and `?` for one. Everything else, case included, is itself.
public struct Glob: Sendable, Hashable, CustomStringConvertible {
    /// The pattern as it was written.
    public let pattern: String
    private let bytes: [UInt8]

    /// Makes a pattern. Every text is one.
    public init(_ pattern: String) {
        self.pattern = pattern
        bytes = Array(pattern.utf8)
    }

    /// The pattern as it was written.
    public var description: String { pattern }

    /// Whether it has neither `*` nor `?`.
    public var isLiteral: Bool { !bytes.contains(UInt8(ascii: "*")) && !bytes.contains(UInt8(ascii: "?")) }

    /// Whether it fits a whole name. Takes at most the product of the two lengths.
    public func matches(_ name: some Sequence<UInt8>) -> Bool {
        let name = Array(name)
        var position = 0
        var index = 0
        // Where to go on after the last star if what follows it does not fit here.
        var star: (pattern: Int, name: Int)?
        while index < name.count {
            if position < bytes.count, bytes[position] == UInt8(ascii: "*") {
                star = (position, index)
                position += 1
            } else if position < bytes.count, bytes[position] == UInt8(ascii: "?") || bytes[position] == name[index] {
                position += 1
                index += 1
            } else if let last = star {
                position = last.pattern + 1
                index = last.name + 1
                star = (last.pattern, index)
            } else {
                return false
            }
        }
        return bytes[position...].allSatisfy { $0 == UInt8(ascii: "*") }
    }

    /// Whether it fits a whole name.
    public func matches(_ name: String) -> Bool { matches(name.utf8) }
}
