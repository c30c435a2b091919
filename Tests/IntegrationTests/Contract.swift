import Foundation

/// `verify --json`, as far as tests compare it.
struct VerifyReport: Decodable, Equatable {
    var schema: String
    var depth: String
    var caches: [VerifiedCache]
    var summary: Summary

    var everything: [Finding] {
        caches.flatMap { cache in
            cache.findings + cache.repos.flatMap { $0.everything }
        }
    }

    /// Without what may differ from run to run.
    var lasting: VerifyReport {
        var copy = self
        copy.summary.seconds = 0
        copy.summary.bytesHashed = 0
        return copy
    }
}

struct VerifiedCache: Decodable, Equatable {
    var path: String
    var repos: [VerifiedRepo]
    var findings: [Finding]
}

struct VerifiedRepo: Decodable, Equatable {
    var id: String
    var folder: String
    var revisions: [VerifiedRevision]
    var findings: [Finding]

    var everything: [Finding] { findings + revisions.flatMap(\.findings) }
}

struct VerifiedRevision: Decodable, Equatable {
    var commit: String?
    var refs: [String]
    var state: String
    var files: Int
    var bytes: Int
    var findings: [Finding]
}

struct Finding: Decodable, Equatable, CustomStringConvertible {
    var code: String
    var severity: String
    var path: String?
    var file: String?
    var blob: String?
    var detail: String?

    var description: String {
        "\(severity) \(code) \(file ?? path ?? "") \(detail ?? "")"
    }
}

struct Summary: Decodable, Equatable {
    var repos: Int
    var revisions: Int
    var complete: Int
    var partial: Int
    var downloading: Int
    var corrupt: Int
    var unknown: Int
    var filesChecked: Int
    var bytesChecked: Int
    var bytesHashed: Int
    var seconds: Double
}

/// `ls --json`, as far as tests compare it.
struct ListReport: Decodable {
    struct Cache: Decodable {
        var path: String
        var bytes: Int
        var freeBytes: Int
        var reclaimableBytes: Int
        var otherBytes: Int
        var repos: [Repo]
    }

    struct Repo: Decodable {
        var id: String
        var folder: String
        var bytes: Int
        /// Absent where no revision is here.
        var state: String?
        var revisions: [Revision]
    }

    struct Revision: Decodable {
        var commit: String?
        var refs: [String]
        var state: String
        var files: Int
        var bytes: Int
        var uniqueBytes: Int
    }

    var schema: String
    var caches: [Cache]
}

/// The finding codes by severity.
private let codes: [String: Set<String>] = [
    "error": [
        "missing-shard", "missing-file", "missing-upstream", "dangling-link", "size-mismatch", "truncated",
        "header-invalid", "bad-upstream", "digest-mismatch", "wrong-blob", "lfs-pointer", "html-content",
        "empty-snapshot", "tensor-missing", "index-invalid", "index-unsafe-path", "link-escapes-cache", "not-a-file",
        "unreadable", "read-error",
    ],
    "warning": ["stale-partial", "orphan-blob", "orphan-payload", "shard-set-mixed"],
    "info": [
        "in-flight", "weights-absent", "removing", "ref-without-snapshot", "detached", "subset", "foreign-entry",
        "stale-soft-lock", "unverifiable",
    ],
]

/// Everything in which a report contradicts itself or the contract, in words.
private func contradictions(in report: VerifyReport) -> [String] {
    var found = report.everything.filter { codes[$0.severity]?.contains($0.code) != true }.map { "unknown: \($0)" }
    let repos = report.caches.flatMap(\.repos)
    let states = repos.flatMap(\.revisions).map(\.state)
    let summary = report.summary
    let counted = [
        "repos": (summary.repos, repos.count), "revisions": (summary.revisions, states.count),
        "complete": (summary.complete, states.count { $0 == "complete" }),
        "partial": (summary.partial, states.count { $0 == "partial" }),
        "downloading": (summary.downloading, states.count { $0 == "downloading" }),
        "corrupt": (summary.corrupt, states.count { $0 == "corrupt" }),
        "unknown": (summary.unknown, states.count { $0 == "unknown" }),
    ]
    for (key, (stated, actual)) in counted.sorted(by: { $0.key < $1.key }) where stated != actual {
        found.append("summary: \(key) \(stated) instead of \(actual)")
    }
    return found
}

/// Everything in which a report differs from what a scenario expects, in words.
func differences(_ report: VerifyReport, at depth: String, from scenario: Scenario) -> [String] {
    var found = contradictions(in: report)
    if report.schema != "hfjanitor.verify/1" || report.depth != depth {
        found.append("schema \(report.schema), depth \(report.depth)")
    }
    let repos = report.caches.flatMap(\.repos)
    let ids = repos.map(\.id).sorted()
    let expectedIDs = scenario.repos.map(\.id).sorted()
    if ids != expectedIDs {
        found.append("repos \(ids) instead of \(expectedIDs)")
    }
    found += missing(scenario.must, in: report.everything, of: "the cache")
    for expected in scenario.repos {
        guard let repo = repos.first(where: { $0.id == expected.id }) else { continue }
        if repo.folder != expected.folder {
            found.append("\(repo.id): folder \(repo.folder) instead of \(expected.folder)")
        }
        found += missing(expected.must, in: repo.everything, of: repo.id)
        found += forbidden(expected.mustNot, in: repo.everything, of: repo.id)
        let commits = repo.revisions.map { $0.commit ?? "none" }.sorted()
        let expectedCommits = expected.revisions.map { $0.commit ?? "none" }.sorted()
        if commits != expectedCommits {
            found.append("\(repo.id): revisions \(commits) instead of \(expectedCommits)")
        }
        for revision in expected.revisions {
            guard let actual = repo.revisions.first(where: { $0.commit == revision.commit }),
                let outcome = revision.outcomes[depth]
            else { continue }
            let name = "\(repo.id)@\(revision.commit?.prefix(7) ?? "none")"
            found += differences(actual, from: revision, outcome, of: name)
        }
    }
    return found
}

private func differences(
    _ actual: VerifiedRevision, from revision: ExpectedRevision, _ outcome: ExpectedOutcome, of name: String
) -> [String] {
    var found: [String] = []
    if actual.refs.sorted() != revision.refs.sorted() {
        found.append("\(name): refs \(actual.refs) instead of \(revision.refs)")
    }
    if let files = revision.files, actual.files != files {
        found.append("\(name): \(actual.files) files instead of \(files)")
    }
    if let state = outcome.state, actual.state != state {
        found.append("\(name): \(actual.state) instead of \(state); findings: \(actual.findings)")
    }
    found += missing(outcome.must, in: actual.findings, of: name)
    found += forbidden(outcome.mustNot, in: actual.findings, of: name)
    let allowed = Set(outcome.must.map(\.code) + outcome.may)
    let unexpected = actual.findings.filter { $0.severity == "error" && !allowed.contains($0.code) }
    found += unexpected.map { "\(name): unexpected \($0)" }
    return found
}

private func missing(_ expected: [ExpectedFinding], in findings: [Finding], of name: String) -> [String] {
    expected.filter { wanted in !findings.contains { wanted.isMet(by: $0) } }
        .map { "\(name): no \($0); findings: \(findings)" }
}

private func forbidden(_ codes: [String], in findings: [Finding], of name: String) -> [String] {
    findings.filter { codes.contains($0.code) }.map { "\(name): unexpected \($0)" }
}
