internal import Glibc
internal import HubCache
internal import LinuxIO
internal import Synchronization

/// What the program writes to: results on standard output, everything else on standard error.
enum Terminal {
    /// Whether standard output is a terminal that should get colours.
    static let hasColour = isatty(STDOUT_FILENO) == 1 && wantsColour
    /// Whether standard error, where it is a terminal, gets colours.
    static let hasErrorColour = wantsColour
    /// Whether standard error is a terminal that can show progress.
    static let hasProgress = isatty(STDERR_FILENO) == 1 && !isDumb

    /// Whether standard output is a terminal on which text can be replaced.
    static let hasScreen = isatty(STDOUT_FILENO) == 1 && !isDumb

    private static let wantsColour = !isSet("NO_COLOR") && !isDumb
    private static let isDumb = variable("TERM") == "dumb"

    /// An environment variable.
    static func variable(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        return unsafe String(cString: value)
    }

    private static func isSet(_ name: String) -> Bool { !(variable(name) ?? "").isEmpty }

    /// The whole environment.
    static var environment: [String: String] {
        var result: [String: String] = [:]
        var entry = unsafe environ
        while let text = unsafe entry.pointee {
            let pair = unsafe String(cString: text).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2 { result[String(pair[0])] = String(pair[1]) }
            unsafe entry += 1
        }
        return result
    }

    /// Prints a result.
    static func print(_ text: String) { write(text + "\n", to: STDOUT_FILENO) }

    /// Prints a diagnostic.
    static func complain(_ text: String) { write("hfjanitor: " + text + "\n", to: STDERR_FILENO) }

    /// Prints a diagnostic that this process has not printed yet.
    static func complainOnce(_ text: String) {
        if complaints.withLock({ $0.insert(text).inserted }) { complain(text) }
    }

    private static let complaints = Mutex<Set<String>>([])

    /// Why not all of the results could be written; nil when they were.
    static var outputFailure: String? {
        let number = outputErrno.load(ordering: .relaxed)
        return number == 0 ? nil : describeErrno(number)
    }

    /// Whether the reader of the results went away, which SIGPIPE tells where it is not ignored.
    static var hasReaderLeft: Bool { outputErrno.load(ordering: .relaxed) == EPIPE }

    private static let outputErrno = Atomic<Int32>(0)

    /// Writes all of a text, or as much as the reader takes.
    static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                // Without standard error there is nobody to tell.
                if descriptor == STDOUT_FILENO { outputErrno.store(errno, ordering: .relaxed) }
                return
            }
            bytes = bytes.dropFirst(count)
        }
    }

    /// Colours, where there are any.
    enum Style: String {
        case bold = "1"
        case dim = "2"
        case red = "31"
        case green = "32"
        case yellow = "33"
    }

    static func styled(_ text: String, _ style: Style) -> String {
        hasColour && !text.isEmpty ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
    }
}

/// A duration for a person.
func formatSeconds(_ seconds: Double) -> String {
    if seconds < 10 {
        let hundredths = Int((seconds * 100).rounded())
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest) s"
    }
    // The rest, and what is no number, is longer than anybody waits.
    let whole = Int((seconds < 1e15 ? seconds : 1e15).rounded())
    if whole < 120 { return "\(whole) s" }
    if whole < 7200 { return "\(whole / 60) min \(whole % 60) s" }
    return "\(whole / 3600) h \(whole % 3600 / 60) min"
}

/// How long ago something was, for a person.
func formatAge(_ time: Timestamp, now: Timestamp) -> String {
    let seconds = (now.nanoseconds &- time.nanoseconds) / 1_000_000_000
    switch seconds {
    case ..<0: return "in the future"
    case ..<60: return "just now"
    case ..<3600: return "\(seconds / 60) min ago"
    case ..<(48 * 3600): return "\(seconds / 3600) h ago"
    default: return "\(seconds / 86400) days ago"
    }
}

/// A table whose columns are as wide as they must be; the last one is not padded.
struct Table {
    private var rows: [[(text: String, style: Terminal.Style?)]] = []

    mutating func add(_ cells: [(String, Terminal.Style?)]) { rows.append(cells.map { (text: $0.0, style: $0.1) }) }

    /// The lines. Where the terminal is too narrow for the last column, what does not fit of that goes to a line of its own; where
    /// it is too narrow for the others, each row takes as many as it needs, and nothing is padded.
    func lines(rightAligned: Set<Int> = []) -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.compactMap { $0.count > column ? $0[column].text.count : nil }.max() ?? 0
        }
        let room = ProgressText.columns(of: STDOUT_FILENO)
        if let room, widths.dropLast().reduce(-2, { $0 + $1 + 2 }) > room {
            return rows.flatMap { Self.folded($0, columns: room) }
        }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.text.count)
                let shown = cell.style.map { Terminal.styled(cell.text, $0) } ?? cell.text
                let isLast = column == row.count - 1
                if isLast, column > 0, let room, widths[..<column].reduce(cell.text.count, { $0 + $1 + 2 }) > room {
                    while line.last == " " { line.removeLast() }
                    line += "\n    "
                }
                line += rightAligned.contains(column) ? padding + shown : shown + (isLast ? "" : padding)
                if !isLast { line += "  " }
            }
            return line
        }
    }

    private static func folded(_ row: [(text: String, style: Terminal.Style?)], columns: Int) -> [String] {
        var lines = [""]
        var width = 0
        for cell in row where !cell.text.isEmpty {
            let own = ProgressText.width(cell.text)
            if width > 0 {
                let fits = width + 2 + own <= columns
                if fits { lines[lines.count - 1] += "  " } else { lines.append("    ") }
                width = fits ? width + 2 : 4
            }
            lines[lines.count - 1] += cell.style.map { Terminal.styled(cell.text, $0) } ?? cell.text
            width += own
        }
        return lines
    }
}
