import HubCache
import Yams

/// One YAML document to elements. The only file that knows Yams.
///
/// A document is parsed to text with marks; no implicit type of YAML ever decides what a value is, so that `no`, `1e3`, `012`
/// and `1:30` are what was written.
struct YAMLDocument {
    private let file: Int
    private let log: DiagnosticLog
    /// How many elements a document may have after its aliases are put in.
    private static let maximumElements = 20_000
    private static let maximumDepth = 16
    /// How many duplicate keys are looked for, each by parsing once more.
    private static let maximumDuplicates = 20

    init(file: Int, log: DiagnosticLog) {
        self.file = file
        self.log = log
    }

    /// The document's root; nil: there is nothing in it, or it is wrong, which is then in the log.
    func root(_ bytes: [UInt8]) -> Element? {
        guard let text = SourceCheck(file: file, log: log).text(bytes) else { return nil }
        guard let (node, renamed) = compose(text) else { return nil }
        guard let node else { return nil }
        var converter = Converter(file: file, log: log, renamed: renamed, elementsLeft: Self.maximumElements)
        let element = converter.element(node, depth: Self.maximumDepth)
        return element.isNothing ? nil : element
    }

    // MARK: Parsing

    /// The node, and where keys were given other names because they stand twice; nil when it is no YAML.
    private func compose(_ text: String) -> (Node?, renamed: [String: String])? {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        var renamed: [String: String] = [:]
        while true {
            do {
                // Yams hands the parser a pointer into the string and keeps it. That of a string of up to 15 bytes points at
                // a copy that is gone by then; the blank lines make the string longer.
                let padded = lines.joined(separator: "\n") + String(repeating: "\n", count: 16)
                // Without the resolver's rules every plain scalar is a text, and `1` and `"1"` are the same key.
                let parser = try Parser(yaml: padded, resolver: .basic, encoding: .utf8)
                return (try parser.singleRoot(), renamed)
            } catch YamlError.duplicatedKeysInMapping(let names, let context) {
                // Yams names the first of two equal keys and stops. It gets another name of the same length, so that the
                // rest is looked at too and no mark moves.
                guard renamed.count < Self.maximumDuplicates, let name = names.first,
                    let placeholder = rename(name, at: context.mark, number: renamed.count, in: &lines)
                else {
                    log.error(position(context.mark), "this key stands twice in one map")
                    return nil
                }
                renamed[placeholder] = name
            } catch let error as YamlError {
                report(error, lines: lines)
                return nil
            } catch {
                log.error(Position(file: file), "this cannot be read as YAML")
                return nil
            }
        }
    }

    private func rename(_ name: String, at mark: Mark, number: Int, in lines: inout [String]) -> String? {
        guard lines.indices.contains(mark.line - 1), !name.isEmpty,
            let scalar = Unicode.Scalar(0xE000 + UInt32(number))
        else { return nil }
        var scalars = Array(lines[mark.line - 1].unicodeScalars)
        var start = mark.column - 1
        if scalars.indices.contains(start), "\"'".unicodeScalars.contains(scalars[start]) { start += 1 }
        let old = Array(name.unicodeScalars)
        guard start + old.count <= scalars.count, Array(scalars[start..<start + old.count]) == old else { return nil }
        for index in old.indices { scalars[start + index] = scalar }
        var line = String.UnicodeScalarView()
        line.append(contentsOf: scalars)
        lines[mark.line - 1] = String(line)
        var placeholder = String.UnicodeScalarView()
        placeholder.append(contentsOf: repeatElement(scalar, count: old.count))
        return String(placeholder)
    }

    private func position(_ mark: Mark) -> Position {
        Position(file: file, line: max(1, mark.line), column: max(1, mark.column))
    }

    // MARK: Errors

    private func report(_ error: YamlError, lines: [String]) {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _):
            let line = lines.indices.contains(mark.line - 1) ? Array(lines[mark.line - 1].unicodeScalars) : []
            let next = line.indices.contains(mark.column - 1) ? line[mark.column - 1] : nil
            log.error(clamped(mark, lines), describe(problem, context: context?.text, next: next))
        case .composer(_, let problem, let mark, _):
            let isSecond = problem.contains("another document")
            log.error(
                clamped(mark, lines),
                isSecond ? "a second document starts here: a policy file has one" : displayText(of: problem))
        case .reader(let problem, let offset, _, _):
            let text = lines.joined(separator: "\n")
            let before = text.prefix(offset ?? 0)
            let line = before.count { $0.isNewline } + 1
            let last = before.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).last ?? ""
            log.error(
                Position(file: file, line: line, column: last.unicodeScalars.count + 1), displayText(of: problem))
        default: log.error(Position(file: file), "this cannot be read as YAML")
        }
    }

    /// The lines that were added are not the reader's.
    private func clamped(_ mark: Mark, _ lines: [String]) -> Position {
        guard mark.line > lines.count, let last = lines.lastIndex(where: { !$0.isEmpty }) else { return position(mark) }
        return Position(file: file, line: last + 1, column: lines[last].unicodeScalars.count + 1)
    }

    private func describe(_ problem: String, context: String?, next: Unicode.Scalar?) -> String {
        if problem == "found character that cannot start any token", let next {
            if next == "\t" { return "a tab stands where YAML takes spaces only" }
            return "a value cannot start with '\(displayText(of: String(next)))': quote it"
        }
        if context == "while scanning an alias" { return "'*' starts an alias: quote a pattern, as in \"*\"" }
        if problem == "mapping values are not allowed in this context" {
            return "a ':' is not expected here: is the line indented as the one before, or a value with ':' not quoted?"
        }
        let text = displayText(of: problem)
        return context.map { "\(text) (\(displayText(of: $0)))" } ?? text
    }

    // MARK: Nodes to elements

    private struct Converter {
        let file: Int
        let log: DiagnosticLog
        let renamed: [String: String]
        var elementsLeft: Int
        private var isExhausted = false

        init(file: Int, log: DiagnosticLog, renamed: [String: String], elementsLeft: Int) {
            self.file = file
            self.log = log
            self.renamed = renamed
            self.elementsLeft = elementsLeft
        }

        private func position(_ mark: Mark?) -> Position {
            mark.map { Position(file: file, line: max(1, $0.line), column: max(1, $0.column)) } ?? Position(file: file)
        }

        mutating func element(_ node: Node, depth: Int) -> Element {
            let position = position(node.mark)
            let nothing = Element(content: .scalar("", isPlain: true), position: position)
            elementsLeft -= 1
            guard elementsLeft > 0, depth > 0 else {
                if !isExhausted {
                    log.error(position, depth > 0 ? "there is too much in this document" : "this is nested too deeply")
                }
                isExhausted = true
                elementsLeft = 0
                return nothing
            }
            switch node {
            case .scalar(let scalar):
                checkTag(scalar.tag, position, usual: "str")
                if scalar.string.unicodeScalars.contains("\0") { log.error(position, "a NUL character") }
                return Element(content: .scalar(scalar.string, isPlain: scalar.style == .plain), position: position)
            case .sequence(let sequence):
                checkTag(sequence.tag, position, usual: "seq")
                return Element(content: .list(sequence.map { element($0, depth: depth - 1) }), position: position)
            case .mapping(let mapping):
                checkTag(mapping.tag, position, usual: "map")
                return Element(content: .map(entries(mapping, depth: depth)), position: position)
            case .alias:
                log.error(position, "an alias to nothing")
                return nothing
            }
        }

        private mutating func entries(_ mapping: Node.Mapping, depth: Int) -> [Element.Entry] {
            var entries: [Element.Entry] = []
            var places: [String: Position] = [:]
            for (key, value) in mapping {
                let position = position(key.mark)
                guard case .scalar(let scalar) = key else {
                    log.error(position, "a key must be a word")
                    continue
                }
                checkTag(scalar.tag, position, usual: "str")
                let name = renamed[scalar.string] ?? scalar.string
                if let first = places[name] {
                    log.error(position, "'\(displayText(of: name))' stands twice here, first in line \(first.line)")
                    continue
                }
                places[name] = position
                entries.append(
                    Element.Entry(key: name, position: position, value: element(value, depth: depth - 1)))
                if isExhausted { break }
            }
            return entries
        }

        private func checkTag(_ tag: Tag, _ position: Position, usual: String) {
            let name = tag.description
            guard !name.isEmpty, name != "tag:yaml.org,2002:\(usual)" else { return }
            log.error(position, "tags such as '\(displayText(of: name))' are not understood here")
        }
    }
}
