import HubCache

/// Looks at a document's bytes before a YAML parser does: what no policy needs, and what would cost the parser time or memory
/// out of all proportion, is refused here.
struct SourceCheck {
    /// The longest document.
    static let maximumBytes = 256 * 1024
    /// How many places may look like an alias. What they stand for can be multiplied by three for every three of them.
    static let maximumAliases = 32
    /// How many brackets may be open at once, and list items begin on one line.
    static let maximumNesting = 32

    private let file: Int
    private let log: DiagnosticLog

    init(file: Int, log: DiagnosticLog) {
        self.file = file
        self.log = log
    }

    /// The text, or nil when it cannot be a policy; why is then in the log.
    func text(_ bytes: [UInt8]) -> String? {
        guard bytes.count <= Self.maximumBytes else {
            log.error(Position(file: file), "the file is longer than \(ByteCount.exactText(UInt64(Self.maximumBytes)))")
            return nil
        }
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) {
            log.error(
                Position(file: file, line: 1, column: 1),
                "the file starts with a byte order mark: save it as UTF-8 without one")
            return nil
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            log.error(placeOfInvalidByte(bytes), "this is not UTF-8")
            return nil
        }
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        var aliases = Aliases()
        var isSound = true
        var openBrackets = 0
        for (index, line) in lines.enumerated() {
            let number = index + 1
            func refuse(_ offset: Int, _ message: String) {
                log.error(position(line, offset, number), message)
                isSound = false
            }
            if let nul = line.firstIndex(of: 0) { refuse(nul - line.startIndex, "a NUL character") }
            let indent = line.prefix { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
            let rest = line.dropFirst(indent.count)
            // Comments too: what looks like one may be the end of a quoted text.
            aliases.look(at: line, number: number)
            guard let first = rest.first, first != UInt8(ascii: "#"), first != UInt8(ascii: "\r") else { continue }
            if let tab = indent.firstIndex(of: UInt8(ascii: "\t")) {
                refuse(tab - line.startIndex, "a tab indents this line: YAML takes spaces only")
            }
            if let place = explicitKey(rest) {
                refuse(place - line.startIndex, "keys with '?' before them are not understood here")
            }
            let dashes = rest.prefix { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: " ") }
            if dashes.count > 2 * Self.maximumNesting {
                refuse(indent.count, "lists are nested too deeply")
            }
            openBrackets += rest.count { $0 == UInt8(ascii: "[") || $0 == UInt8(ascii: "{") }
            openBrackets -= rest.count { $0 == UInt8(ascii: "]") || $0 == UInt8(ascii: "}") }
            openBrackets = max(0, openBrackets)
            if openBrackets > Self.maximumNesting { refuse(indent.count, "brackets are nested too deeply") }
            if !isSound, openBrackets > Self.maximumNesting { break }
        }
        if let place = aliases.excess {
            log.error(
                Position(file: file, line: place.line, column: place.column),
                "more than \(Self.maximumAliases) aliases ('*name')")
            isSound = false
        } else if aliases.count > 0, let place = aliases.keyPlace {
            log.error(
                Position(file: file, line: place.line, column: place.column),
                "a key cannot be an alias, a list or a map")
            isSound = false
        }
        return isSound ? text : nil
    }

    /// Where a `?` stands that makes an explicit key: those may be whole documents, which Yams hashes once for each level.
    private func explicitKey(_ rest: ArraySlice<UInt8>) -> Int? {
        var mayBegin = true
        for index in rest.indices {
            switch rest[index] {
            case UInt8(ascii: " "), UInt8(ascii: "\r"), UInt8(ascii: "\t"): continue
            case UInt8(ascii: "?") where mayBegin:
                let next = index + 1 < rest.endIndex ? rest[index + 1] : UInt8(ascii: " ")
                if next <= UInt8(ascii: " ") { return index }
                mayBegin = false
            case UInt8(ascii: "["), UInt8(ascii: "{"), UInt8(ascii: ","): mayBegin = true
            case UInt8(ascii: "-"), UInt8(ascii: ":"): continue
            default: mayBegin = false
            }
        }
        return nil
    }

    private func position(_ line: ArraySlice<UInt8>, _ offset: Int, _ number: Int) -> Position {
        let before = String(decoding: line.prefix(offset), as: UTF8.self)
        return Position(file: file, line: number, column: before.unicodeScalars.count + 1)
    }

    private func placeOfInvalidByte(_ bytes: [UInt8]) -> Position {
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
        where String(validating: line, as: UTF8.self) == nil {
            var end = line.count - 1
            // The longest prefix that is UTF-8 ends at most three bytes before the first byte that is not.
            var start = 0
            while start < end {
                let middle = (start + end + 1) / 2
                if isPrefixValid(line.prefix(middle)) { start = middle } else { end = middle - 1 }
            }
            while start > 0, String(validating: line.prefix(start), as: UTF8.self) == nil { start -= 1 }
            return position(line, start, index + 1)
        }
        return Position(file: file)
    }

    /// Whether bytes are UTF-8, perhaps with the last character not finished.
    private func isPrefixValid(_ bytes: ArraySlice<UInt8>) -> Bool {
        (0...min(3, bytes.count)).contains { String(validating: bytes.dropLast($0), as: UTF8.self) != nil }
    }
}

/// Counts what may be an alias. In comments and quoted text it is none, and is counted all the same: being wrong in that
/// direction harms nobody who does not write dozens of them.
private struct Aliases {
    private(set) var count = 0
    private(set) var excess: (line: Int, column: Int)?
    /// The first place that looks like a key that is an alias, a list or a map.
    private(set) var keyPlace: (line: Int, column: Int)?

    mutating func look(at line: ArraySlice<UInt8>, number: Int) {
        var previous = UInt8(ascii: " ")
        // The place of an alias, or of the bracket that closed, after which nothing but spaces came so far.
        var possibleKey: Int?
        var isInName = false
        for index in line.indices {
            let byte = line[index]
            let column = index - line.startIndex + 1
            switch byte {
            case UInt8(ascii: "*") where Self.mayPrecede(previous) && Self.isNameStart(line, index + 1):
                count += 1
                if count > SourceCheck.maximumAliases, excess == nil { excess = (number, column) }
                possibleKey = column
                isInName = true
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                possibleKey = column
                isInName = false
            case UInt8(ascii: ":"):
                if let possibleKey, keyPlace == nil { keyPlace = (number, possibleKey) }
                isInName = false
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): isInName = false
            default: if !isInName { possibleKey = nil }
            }
            previous = byte
        }
    }

    private static func isNameStart(_ line: ArraySlice<UInt8>, _ index: Int) -> Bool {
        guard index < line.endIndex else { return false }
        switch line[index] {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
            return true
        default: return false
        }
    }

    private static func mayPrecede(_ byte: UInt8) -> Bool {
        byte <= UInt8(ascii: " ")
            || [UInt8(ascii: "["), UInt8(ascii: "{"), UInt8(ascii: ","), UInt8(ascii: ":")]
                .contains(byte)
            || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "?") || byte >= 0x80
    }
}
