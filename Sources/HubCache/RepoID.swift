/// The Hub's kinds of repo that a cache holds.
public enum RepoType: String, Sendable, Hashable, CaseIterable, Comparable {
    /// A model.
    case model
    /// A dataset.
    case dataset
    /// A space.
    case space
    /// A kernel.
    case kernel

    /// The plural that starts a cache folder's name and the Hub's API paths.
    public var plural: String { rawValue + "s" }

    /// Orders as declared.
    public static func < (left: RepoType, right: RepoType) -> Bool {
        (allCases.firstIndex(of: left) ?? 0) < (allCases.firstIndex(of: right) ?? 0)
    }
}

/// A repo of the Hub: its type and its name, `org/name` or, for old ones, `name`.
public struct RepoID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The type.
    public let type: RepoType
    /// One or two segments separated by `/`.
    public let name: String

    /// Makes an id when the name keeps the Hub's rules.
    ///
    /// One or two segments of `[A-Za-z0-9_.-]`, at most 96 characters each, none starting or ending with `-` or `.`, no `--`
    /// or `..`, not ending in `.git` (`validate_repo_id` of huggingface_hub).
    public init?(type: RepoType, name: String) {
        let segments = name.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(segments.count), segments.allSatisfy(RepoID.isSegment), !name.hasSuffix(".git") else {
            return nil
        }
        self.type = type
        self.name = name
    }

    /// Reads the name of a cache folder, such as `models--org--name`.
    ///
    /// The mapping is unambiguous since a name never contains `--`.
    ///
    /// - Returns: nil when it is not a repo folder's name.
    public init?(folder: BytePath) {
        guard let text = folder.exactText,
            let type = RepoType.allCases.first(where: { text.hasPrefix($0.plural + "--") })
        else { return nil }
        var segments: [Substring] = []
        var rest = text.dropFirst(type.plural.count + 2)
        while let range = rest.firstDoubleDash {
            segments.append(rest[..<range.lowerBound])
            rest = rest[range.upperBound...]
        }
        segments.append(rest)
        self.init(type: type, name: segments.joined(separator: "/"))
    }

    /// The name of this repo's folder in a cache.
    public var folder: BytePath {
        BytePath(type.plural + "--" + name.split(separator: "/").joined(separator: "--"))
    }

    /// `type/name`, the form the program prints and takes.
    public var description: String { "\(type.rawValue)/\(name)" }

    /// Orders by type, then by name.
    public static func < (left: RepoID, right: RepoID) -> Bool {
        left.type == right.type ? left.name < right.name : left.type < right.type
    }

    private static func isSegment(_ segment: Substring) -> Bool {
        let utf8 = segment.utf8
        guard (1...96).contains(utf8.count), let first = utf8.first, let last = utf8.last else { return false }
        let edge = [UInt8(ascii: "-"), UInt8(ascii: ".")]
        guard !edge.contains(first), !edge.contains(last), segment.firstDoubleDash == nil else { return false }
        var previous: UInt8 = 0
        for byte in utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                break
            case UInt8(ascii: "."):
                if previous == byte { return false }
            default: return false
            }
            previous = byte
        }
        return true
    }
}

extension Substring {
    fileprivate var firstDoubleDash: Range<Index>? {
        var index = startIndex
        while let dash = self[index...].firstIndex(of: "-") {
            let next = self.index(after: dash)
            if next < endIndex, self[next] == "-" { return dash..<self.index(after: next) }
            index = next
        }
        return nil
    }
}

/// A commit: 40 lower-case hexadecimal digits. Anything else that stands for a revision is the name of a ref.
public struct CommitHash: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The 40 digits.
    public let hex: String

    /// Reads a commit.
    public init?(_ text: some StringProtocol) {
        let utf8 = Array(text.utf8)
        guard utf8.count == 40, utf8.allSatisfy(isLowerHexadecimal) else { return nil }
        self.hex = String(decoding: utf8, as: UTF8.self)
    }

    /// Reads a commit from a folder's name.
    public init?(_ path: BytePath) {
        guard path.bytes.count == 40, path.bytes.allSatisfy(isLowerHexadecimal) else { return nil }
        self.hex = path.text
    }

    /// The 40 digits.
    public var description: String { hex }

    /// The first digits, enough for a person.
    public var short: String { String(hex.prefix(8)) }

    /// Orders by digits.
    public static func < (left: CommitHash, right: CommitHash) -> Bool { left.hex < right.hex }
}
