import HubCache
import Verification

/// What `verify` says to a person: a table of what is wrong, then one line.
struct VerifyText {
    private let reports: [CacheReport]
    private let summary: VerificationSummary
    private let depth: VerificationDepth
    private let withNotes: Bool

    init(reports: [CacheReport], summary: VerificationSummary, depth: VerificationDepth, withNotes: Bool) {
        self.reports = reports
        self.summary = summary
        self.depth = depth
        self.withNotes = withNotes
    }

    /// All of it, with a final newline.
    var text: String {
        var lines: [String] = []
        for cache in reports {
            let rows = rows(of: cache)
            guard !rows.isEmpty else { continue }
            lines.append(Terminal.styled(cache.path.display, .bold))
            var table = Table()
            table.add(["FINDING", "REPO", "REVISION", "FILE", "WHY"].map { ($0, .dim) })
            rows.forEach { table.add($0) }
            lines += table.lines()
            lines.append("")
        }
        lines.append(summaryLine)
        return lines.joined(separator: "\n") + "\n"
    }

    /// What a person must know: errors, warnings, and what is being fetched. The rest is for who asks.
    private func isShown(_ finding: Finding) -> Bool {
        // That something was not proved belongs beside a verdict of a proof.
        var notes: Set<FindingCode> = [.inFlight, .removing, .weightsAbsent]
        if depth == .digests { notes.insert(.unverifiable) }
        return withNotes || finding.severity > .info || notes.contains(finding.code)
    }

    private var hidesNotes: Bool {
        reports.contains { cache in
            let repos = cache.repos.flatMap { $0.findings + $0.revisions.flatMap(\.findings) }
            return !(cache.findings + repos).allSatisfy(isShown)
        }
    }

    private func rows(of cache: CacheReport) -> [[(String, Terminal.Style?)]] {
        var rows: [(severity: Severity, cells: [(String, Terminal.Style?)])] = []
        func add(_ finding: Finding, repo: String, revision: String) {
            guard isShown(finding) else { return }
            let style: Terminal.Style? =
                switch finding.severity {
                case .error: .red
                case .warning: .yellow
                case .info: nil
                }
            rows.append(
                (
                    finding.severity,
                    [
                        (finding.code.rawValue, style), (repo, nil), (revision, nil),
                        (place(of: finding), nil), (reason(finding), .dim),
                    ]
                ))
        }
        for finding in cache.findings { add(finding, repo: "", revision: "") }
        for repo in cache.repos {
            let name = displayText(of: repo.id)
            for finding in repo.findings { add(finding, repo: name, revision: "") }
            for revision in repo.revisions {
                let ref = revision.refs.first.map { "\($0.display) " } ?? ""
                let absentShards = Set(revision.findings.filter { $0.code == .missingShard }.map(\.file))
                for finding in revision.findings {
                    // One absent file is one row, though its index and its interrupted download both tell of it.
                    if finding.code == .missingFile && absentShards.contains(finding.file) { continue }
                    add(finding, repo: name, revision: ref + (revision.commit?.short ?? ""))
                }
            }
        }
        let sorted = rows.enumerated().sorted { left, right in
            left.element.severity == right.element.severity
                ? left.offset < right.offset : left.element.severity > right.element.severity
        }
        return sorted.map(\.element.cells)
    }

    /// The file in the repo, or the place in the cache with the long hashes in it cut short: `--json` has them whole.
    private func place(of finding: Finding) -> String {
        if let file = finding.file { return file.display }
        return finding.path.components.map { component in
            let digits = component.bytes.prefix { isLowerHexadecimal($0) }
            guard digits.count >= 40 else { return component.display }
            return displayText(of: digits.prefix(12)) + "…" + displayText(of: component.bytes.dropFirst(digits.count))
        }.joined(separator: "/")
    }

    private func reason(_ finding: Finding) -> String {
        var parts = finding.detail.map { [$0] } ?? []
        switch finding.code {
        case .digestMismatch, .wrongBlob:
            if let expected = finding.expected, let actual = finding.actual {
                parts.append("expected \(expected.prefix(12))…, found \(actual.prefix(12))…")
            }
        case .sizeMismatch:
            if let expected = finding.expected, let actual = finding.actual {
                parts.append("expected \(expected) bytes, found \(actual)")
            }
        case .linkEscapesCache: if let actual = finding.actual { parts.append("'\(displayText(of: actual))'") }
        default: break
        }
        return displayText(of: parts.joined(separator: "; "))
    }

    private var summaryLine: String {
        let bad = summary.revisions - (summary.states[.complete] ?? 0)
        let errors = summary.findings[.error] ?? 0
        let warnings = summary.findings[.warning] ?? 0
        let notes = summary.findings[.info] ?? 0
        let verdict: String
        if bad == 0 && errors == 0 {
            verdict =
                summary.revisions == 0
                ? "Nothing to check."
                : Terminal.styled(
                    (summary.revisions == 1 ? "" : "All ") + counted(summary.revisions, "revision") + " complete.",
                    .green)
        } else {
            let states = RevisionState.allCases.compactMap { state in
                summary.states[state].flatMap { $0 > 0 ? "\($0) \(state.rawValue)" : nil }
            }
            let style: Terminal.Style = errors > 0 ? .red : .yellow
            let list = states.isEmpty ? "" : ": " + states.joined(separator: ", ")
            verdict = Terminal.styled(counted(summary.revisions, "revision") + list + ".", style)
        }
        var found = [(errors, "error"), (warnings, "warning"), (notes, "note")]
            .compactMap { $0.0 > 0 ? counted($0.0, $0.1) : nil }.joined(separator: ", ")
        if hidesNotes { found += " (--notes lists them)" }
        var work =
            "\(counted(summary.repos, "repo")), \(counted(summary.filesChecked, "file")), \(formatBytes(summary.bytesChecked))"
        if depth == .digests { work += " (\(formatBytes(summary.bytesHashed)) hashed now)" }
        return "\(verdict) \(found.isEmpty ? "" : found + ". ")"
            + "Checked \(work) to depth \(depth.rawValue) in \(formatSeconds(summary.seconds))."
    }
}

/// A count with its noun.
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
