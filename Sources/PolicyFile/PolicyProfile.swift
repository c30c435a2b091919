/// A policy to start from, shipped with the program.
public struct PolicyProfile: Sendable, Hashable {
    /// Its name: that of its file in `policies/`.
    public let name: String
    /// The file, comments and all.
    public let text: String

    /// All of them, the default first.
    public static let all = texts.map { PolicyProfile(name: $0.name, text: $0.text) }

    /// What it is for: its first comment, without its name.
    public var summary: String {
        let line = text.prefix { $0 != "\n" }
        return String(line.dropFirst("# \(name): ".count))
    }

    /// The profile of a name.
    public init?(named name: String) {
        guard let profile = Self.all.first(where: { $0.name == name }) else { return nil }
        self = profile
    }

    private init(name: String, text: String) {
        self.name = name
        self.text = text
    }

    /// The profile that was probably meant by a name that is none.
    public static func nearest(to name: String) -> PolicyProfile? {
        Suggestion.nearest(to: name, in: all.map(\.name)).flatMap { PolicyProfile(named: $0) }
    }
}

extension PolicyProfile {
    /// Every key that a policy file may have, each once, without the maps they stand in.
    public static let keys: [String] = Set(Section.all.flatMap(\.keys)).sorted()
}
