import Foundation
import Testing

/// The project's folder.
let project = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// A file of the project as text.
func text(_ path: String) throws -> String {
    try String(contentsOf: project.appending(path: path), encoding: .utf8)
}

/// All places where a pattern fits, as the groups of each.
func matches(_ pattern: String, in text: String) throws -> [[String]] {
    let expression = try NSRegularExpression(pattern: pattern, options: [.anchorsMatchLines])
    let whole = NSString(string: text)
    return expression.matches(in: text, range: NSRange(location: 0, length: whole.length)).map { match in
        (0..<match.numberOfRanges).map { group in
            let range = match.range(at: group)
            return range.location == NSNotFound ? "" : whole.substring(with: range)
        }
    }
}

/// A page of the manual, as it is written.
struct Page {
    let name: String
    /// The text of each section.
    private var sections: [String: String] = [:]

    init(_ name: String) throws {
        self.name = name
        var section = ""
        for line in try text("packaging/man/\(name).md").components(separatedBy: "\n") {
            if line.hasPrefix("## ") {
                section = String(line.dropFirst(3))
            } else {
                sections[section, default: ""] += line + "\n"
            }
        }
    }

    var names: [String] { sections.keys.filter { !$0.isEmpty } }

    func section(_ name: String) throws -> String {
        try #require(sections[name], "\(self.name) has no section '\(name)'")
    }

    /// The terms that a section defines: each word in backquotes of a line with a definition below it.
    func terms(_ section: String) throws -> [String] {
        let lines = try self.section(section).components(separatedBy: "\n")
        return try zip(lines, lines.dropFirst()).filter { $0.1.hasPrefix(":   ") }
            .flatMap { try matches("`([^`]+)`", in: $0.0).map { $0[1] } }
    }
}

/// Both directions at once: what the program has and the manual lacks, and what the manual has and the program lacks.
func expectSame(
    _ program: some Sequence<String>, _ manual: some Sequence<String>, _ what: String,
    location: SourceLocation = #_sourceLocation
) {
    let program = Set(program)
    let manual = Set(manual)
    for name in program.subtracting(manual).sorted() {
        Issue.record("'\(name)' is not in the manual: \(what)", sourceLocation: location)
    }
    for name in manual.subtracting(program).sorted() {
        Issue.record("'\(name)' is in the manual, and not in the program: \(what)", sourceLocation: location)
    }
    #expect(!program.isEmpty, sourceLocation: location)
}
