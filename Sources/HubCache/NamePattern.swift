/// A pattern for paths in a repo as huggingface_hub's `allow_patterns` and `ignore_patterns` are: Python's `fnmatchcase`, where
/// `*` crosses `/`, and a pattern that ends in `/` means everything below.
public struct NamePattern: Sendable, Hashable {
    private enum Part: Hashable {
        case any
        case one
        case exactly(Unicode.Scalar)
        case among([ClosedRange<Unicode.Scalar>], isNegated: Bool)

        func matches(_ scalar: Unicode.Scalar) -> Bool {
            switch self {
            case .any, .one: true
            case .exactly(let own): own == scalar
            case .among(let ranges, let isNegated): ranges.contains { $0.contains(scalar) } != isNegated
            }
        }
    }

    private let parts: [Part]

    /// Reads a pattern. Every text is one.
    public init(_ text: String) {
        var scalars = Self.scalars(of: text)
        if scalars.last == "/" { scalars.append("*") }
        var parts: [Part] = []
        var index = 0
        while index < scalars.count {
            let scalar = scalars[index]
            index += 1
            switch scalar {
            case "*": if parts.last != .any { parts.append(.any) }
            case "?": parts.append(.one)
            case "[":
                guard let end = Self.endOfSet(scalars, from: index) else {
                    parts.append(.exactly("["))
                    continue
                }
                parts.append(Self.set(scalars[index..<end]))
                index = end + 1
            default: parts.append(.exactly(scalar))
            }
        }
        self.parts = parts
    }

    /// Backslashes are separators, as they are for the client.
    private static func scalars(of text: String) -> [Unicode.Scalar] {
        text.unicodeScalars.map { $0 == "\\" ? "/" : $0 }
    }

    /// Where the `]` is that ends a set; one right at its start belongs to it.
    private static func endOfSet(_ scalars: [Unicode.Scalar], from start: Int) -> Int? {
        var index = start
        if index < scalars.count, scalars[index] == "!" { index += 1 }
        if index < scalars.count, scalars[index] == "]" { index += 1 }
        return scalars[min(index, scalars.count)...].firstIndex(of: "]")
    }

    private static func set(_ content: ArraySlice<Unicode.Scalar>) -> Part {
        var rest = content
        let isNegated = rest.first == "!"
        if isNegated { rest.removeFirst() }
        var ranges: [ClosedRange<Unicode.Scalar>] = []
        while let first = rest.popFirst() {
            guard rest.count >= 2, rest.first == "-" else {
                ranges.append(first...first)
                continue
            }
            rest.removeFirst()
            let last = rest.removeFirst()
            // Python takes a range that runs backwards for an empty one.
            if first <= last { ranges.append(first...last) }
        }
        return .among(ranges, isNegated: isNegated)
    }

    /// Whether a path fits.
    public func matches(_ path: BytePath) -> Bool {
        let text = Self.scalars(of: path.text)
        var (position, part) = (0, 0)
        // Where to go on when the text after the last `*` did not fit: that `*` takes one more.
        var retry: (position: Int, part: Int)?
        while position < text.count {
            if part < parts.count, parts[part] == .any {
                retry = (position, part + 1)
                part += 1
            } else if part < parts.count, parts[part].matches(text[position]) {
                position += 1
                part += 1
            } else if let last = retry {
                retry = (last.position + 1, last.part)
                (position, part) = (last.position + 1, last.part)
            } else {
                return false
            }
        }
        return parts[part...].allSatisfy { $0 == .any }
    }
}

/// Which files of a repo are meant.
public struct NameFilter: Sendable, Hashable {
    private let included: [NamePattern]?
    private let excluded: [NamePattern]
    /// The patterns, for a person.
    public let words: String

    /// Makes a filter.
    ///
    /// - Parameters:
    ///   - include: a file has to fit one of these; empty for any file.
    ///   - exclude: and none of these.
    public init(include: [String], exclude: [String]) {
        included = include.isEmpty ? nil : include.map(NamePattern.init)
        excluded = exclude.map(NamePattern.init)
        words = [("include", include), ("exclude", exclude)].filter { !$0.1.isEmpty }.map { kind, patterns in
            "\(kind) " + patterns.map { "'\(displayText(of: $0))'" }.joined(separator: ", ")
        }.joined(separator: ", ")
    }

    /// Whether there is any pattern.
    public var isEmpty: Bool { words.isEmpty }

    /// What to say where no file fits.
    ///
    /// - Parameter name: the repo and its revision.
    public func wordsOfNoFile(in name: String) -> String {
        "no file of \(name) is chosen by \(words); '*' crosses folders, and upper and lower case differ"
    }

    /// Whether a file is meant.
    public func includes(_ path: BytePath) -> Bool {
        included?.contains { $0.matches(path) } ?? true && !excluded.contains { $0.matches(path) }
    }
}
