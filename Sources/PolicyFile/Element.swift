/// A value of a document and where it stands. Scalars are text: what they mean is said by the key, never guessed.
struct Element: Sendable {
    struct Entry: Sendable {
        var key: String
        var position: Position
        var value: Element
    }

    enum Content: Sendable {
        /// `isPlain`: not quoted, and no block.
        case scalar(String, isPlain: Bool)
        case list([Element])
        case map([Entry])
    }

    var content: Content
    var position: Position

    /// Nothing was written: `key:` and the end of the line.
    var isNothing: Bool {
        if case .scalar("", isPlain: true) = content { true } else { false }
    }

    /// What it is, for a person.
    var kind: String {
        switch content {
        case .scalar: "a value"
        case .list: "a list"
        case .map: "a map of keys"
        }
    }

    var entries: [Entry]? { if case .map(let entries) = content { entries } else { nil } }

    var items: [Element]? { if case .list(let items) = content { items } else { nil } }

    var text: String? { if case .scalar(let text, _) = content { text } else { nil } }

    /// The value of a key of a map.
    subscript(key: String) -> Element? { entries?.first { $0.key == key }?.value }
}
