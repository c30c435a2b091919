/// What a person names on the command line: a repo, perhaps of one type, perhaps at a revision.
///
/// `org/name`, `name`, `model/org/name`, `datasets/org/name`, `hf://datasets/org/name`, each with an optional `@revision`.
public struct TargetName: Sendable, Hashable {
    /// The repos that the text may mean: `model/x` is the model `x`, or a repo `x` of the organisation `model`.
    public let candidates: [RepoID]
    /// The ref, commit or start of a commit behind `@`.
    public let revision: String?
    /// The text as it was given.
    public let text: String

    /// Reads a target.
    ///
    /// - Returns: nil when the text cannot be the name of a repo.
    public init?(_ text: String) {
        var rest = Substring(text)
        let isURL = rest.hasPrefix("hf://")
        if isURL { rest = rest.dropFirst(5) }
        var revision: String?
        if let at = rest.firstIndex(of: "@") {
            let name = String(rest[rest.index(after: at)...])
            guard !name.isEmpty else { return nil }
            revision = isURL ? TargetName.percentDecoded(name) : name
            rest = rest[..<at]
        }
        while rest.hasSuffix("/") { rest = rest.dropLast() }
        var found: [RepoID] = []
        if let slash = rest.firstIndex(of: "/"),
            let type = RepoType.allCases.first(where: { [$0.rawValue, $0.plural].contains(String(rest[..<slash])) }),
            let id = RepoID(type: type, name: String(rest[rest.index(after: slash)...]))
        {
            found.append(id)
        }
        if let id = RepoID(folder: BytePath(rest)) { found.append(id) }
        for type in RepoType.allCases {
            // A URL without a type means a model.
            if isURL && type != .model { continue }
            if let id = RepoID(type: type, name: String(rest)) { found.append(id) }
        }
        guard !found.isEmpty else { return nil }
        self.candidates = found
        self.revision = revision
        self.text = text
    }

    private static func percentDecoded(_ text: String) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension RepoInventory {
    /// The commits that a revision's name may mean here: a ref wins; else a commit or at least seven of its first digits.
    ///
    /// - Returns: none, one, or several when a short commit is ambiguous.
    public func commits(named revision: String) -> [CommitHash] {
        let name = BytePath(revision)
        if let ref = refs.first(where: { $0.name == name }), let commit = ref.commit { return [commit] }
        let known = snapshots.compactMap(\.commit)
        guard revision.utf8.count >= 7, revision.utf8.allSatisfy(isLowerHexadecimal) else { return [] }
        return known.filter { $0.hex.hasPrefix(revision) }
    }
}
