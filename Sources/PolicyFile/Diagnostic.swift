public import HubCache

/// Something that is wrong with a policy file, or odd in it, and where.
public struct Diagnostic: Error, Sendable, Hashable {
    /// The file, as it was named.
    public var file: BytePath
    /// The line from 1; nil: the file as a whole.
    public var line: Int?
    /// The column from 1, in characters (Unicode scalars), as YAML counts them.
    public var column: Int?
    /// `error`: the policy is not used. `warning`: it is, and does something other than it seems to.
    public var severity: Severity
    /// What is wrong, a clause without a full stop, safe to show.
    public var message: String
    /// What was probably meant.
    public var suggestion: String?

    /// Makes a diagnostic.
    public init(
        file: BytePath, line: Int? = nil, column: Int? = nil, severity: Severity = .error, message: String,
        suggestion: String? = nil
    ) {
        self.file = file
        self.line = line
        self.column = column
        self.severity = severity
        self.message = message
        self.suggestion = suggestion
    }

    /// `file:line:column: message`, as compilers print it, on one line. A warning says that it is one.
    public var text: String {
        var text = file.display
        if let line { text += ":\(line):\(column ?? 1)" }
        text += severity == .error ? ": " : ": \(severity.rawValue): "
        text += message
        if let suggestion { text += "; did you mean '\(displayText(of: suggestion))'?" }
        return text
    }
}

/// A policy that cannot be used: everything that is wrong with it.
public struct PolicyFailure: Error, Sendable, Hashable {
    /// All errors and warnings, in the order of the files and of the places in them. At least one is an error.
    public var diagnostics: [Diagnostic]

    /// Makes a failure.
    public init(diagnostics: [Diagnostic]) { self.diagnostics = diagnostics }

    /// One diagnostic a line.
    public var text: String { diagnostics.map(\.text).joined(separator: "\n") }
}

/// A place in one of the files that make up a policy.
struct Position: Sendable, Hashable, Comparable {
    /// The file, by its place in the order of reading.
    var file: Int
    /// From 1; 0 means the file as a whole.
    var line = 0
    /// From 1.
    var column = 0

    static func < (left: Position, right: Position) -> Bool {
        (left.file, left.line, left.column) < (right.file, right.line, right.column)
    }
}

/// Collects what is wrong. A set, because every file is looked at alone and again as a part of the whole.
final class DiagnosticLog {
    /// More are of no use to anybody; a hostile file could cause millions.
    static let limit = 100

    private struct Entry: Hashable {
        var position: Position
        var severity: Severity
        var message: String
        var suggestion: String?
    }

    private var entries: Set<Entry> = []
    /// How often an error was reported, the same ones again included.
    private(set) var errorCount = 0

    var hasErrors: Bool { errorCount > 0 }

    func error(_ position: Position, _ message: String, suggestion: String? = nil) {
        errorCount += 1
        add(Entry(position: position, severity: .error, message: message, suggestion: suggestion))
    }

    func error(_ position: Position, _ error: UnitError) {
        self.error(position, error.message, suggestion: error.suggestion)
    }

    func warn(_ position: Position, _ message: String) {
        add(Entry(position: position, severity: .warning, message: message))
    }

    /// Whether nothing more is taken: finding suggestions would be in vain.
    var isFull: Bool { entries.count >= 10 * Self.limit }

    private func add(_ entry: Entry) {
        if !isFull { entries.insert(entry) }
    }

    /// Sorted by place.
    func diagnostics(files: [BytePath]) -> [Diagnostic] {
        let sorted = entries.sorted {
            ($0.position, $1.severity, $0.message) < ($1.position, $0.severity, $1.message)
        }
        // Errors first come, first kept: a hundred warnings must not push the one error out.
        let errors = sorted.filter { $0.severity == .error }.prefix(Self.limit)
        let warnings = sorted.filter { $0.severity != .error }.prefix(Self.limit - errors.count)
        let kept = Set(errors).union(warnings)
        return sorted.filter(kept.contains).map { entry in
            let hasPlace = entry.position.line > 0
            return Diagnostic(
                file: files.indices.contains(entry.position.file) ? files[entry.position.file] : "policy",
                line: hasPlace ? entry.position.line : nil, column: hasPlace ? entry.position.column : nil,
                severity: entry.severity, message: entry.message, suggestion: entry.suggestion)
        }
    }
}
