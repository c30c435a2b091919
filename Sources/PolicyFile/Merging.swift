import HubCache

/// Puts the files of a policy together: scalars and lists replace, maps merge, caches merge by path, pins append, rules merge by
/// name. What is no such thing replaces what was there, and is found to be wrong when the whole is read.
enum Merging {
    static func merged(_ base: Element?, with addition: Element, paths: PathReader) -> Element {
        guard let base, base.entries != nil, addition.entries != nil else { return addition }
        return maps(base, addition) { key, old, new in
            switch key {
            case "pins": lists(old, new) { $0 + $1 }
            case "caches": lists(old, new) { mergedByKey($0, $1) { paths.key(ofCache: $0) } }
            case "rules": lists(old, new) { mergedByKey($0, $1) { $0["name"]?.text } }
            default: values(old, new)
            }
        }
    }

    private static func maps(
        _ base: Element, _ addition: Element, _ merge: (String, Element, Element) -> Element
    ) -> Element {
        var entries = base.entries ?? []
        for entry in addition.entries ?? [] {
            if let index = entries.firstIndex(where: { $0.key == entry.key }) {
                entries[index].value = merge(entry.key, entries[index].value, entry.value)
                entries[index].position = entry.position
            } else {
                entries.append(entry)
            }
        }
        return Element(content: .map(entries), position: base.position)
    }

    private static func values(_ old: Element, _ new: Element) -> Element {
        if old.isNothing { return new }
        guard old.entries != nil else { return new }
        // Nothing after a map's key adds nothing to it.
        if new.isNothing { return old }
        guard new.entries != nil else { return new }
        return maps(old, new) { values($1, $2) }
    }

    private static func lists(_ old: Element, _ new: Element, _ merge: ([Element], [Element]) -> [Element]) -> Element {
        if new.isNothing { return old }
        guard let oldItems = old.items, let newItems = new.items else { return new }
        return Element(content: .list(merge(oldItems, newItems)), position: old.position)
    }

    private static func mergedByKey(_ old: [Element], _ new: [Element], _ key: (Element) -> String?) -> [Element] {
        var items = old
        for item in new {
            if let name = key(item), let index = items.firstIndex(where: { key($0) == name }) {
                items[index] = values(items[index], item)
            } else {
                items.append(item)
            }
        }
        return items
    }
}

/// Reads paths of a policy: absolute, or in the home folder, and written in one way.
struct PathReader: Sendable {
    /// What `~` stands for; nil: it is not known.
    var home: String?

    /// - Throws: `UnitError` when the path is relative, climbs, or needs a home folder that is not known.
    func parse(_ text: String) throws(UnitError) -> BytePath {
        var path = text
        if path == "~" || path.hasPrefix("~/") {
            guard let home, home.hasPrefix("/") else {
                throw UnitError("'~' stands for a home folder that is not known")
            }
            path = home + path.dropFirst()
        }
        guard path.hasPrefix("/") else {
            throw UnitError("'\(displayText(of: text))' is not an absolute path")
        }
        guard !path.utf8.contains(0), path.utf8.count < 4096 else { throw UnitError("this is no path") }
        let parts = path.split(separator: "/").filter { $0 != "." }
        guard !parts.contains("..") else { throw UnitError("a path must not contain '..'") }
        return BytePath("/" + parts.joined(separator: "/"))
    }

    /// What two entries of `caches` have in common when they mean the same cache. One without a path means the default one.
    func key(ofCache element: Element) -> String? {
        guard element.entries != nil else { return nil }
        guard let text = element["path"]?.text else { return "" }
        return (try? parse(text))?.text ?? text
    }
}
