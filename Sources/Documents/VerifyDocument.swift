internal import FoundationEssentials
public import HubCache
public import Verification

/// `hfjanitor.verify/1`.
public struct VerifyDocument: Encodable, Sendable {
    /// A cache.
    public struct Cache: Encodable, Sendable {
        var path: String
        var repos: [Repo]
        var findings: [FindingDocument]
    }

    /// A repo.
    public struct Repo: Encodable, Sendable {
        var id: String
        var folder: String
        var revisions: [Revision]
        var findings: [FindingDocument]
    }

    /// A revision.
    public struct Revision: Encodable, Sendable {
        var commit: String?
        var refs: [String]
        var state: String
        var files: Int
        var bytes: UInt64
        var findings: [FindingDocument]

        enum CodingKeys: CodingKey { case commit, refs, state, files, bytes, findings }

        /// Written by hand: `commit` is null, not absent, for a plain folder.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(commit, forKey: .commit)
            try container.encode(refs, forKey: .refs)
            try container.encode(state, forKey: .state)
            try container.encode(files, forKey: .files)
            try container.encode(bytes, forKey: .bytes)
            try container.encode(findings, forKey: .findings)
        }
    }

    /// The numbers.
    public struct Summary: Encodable, Sendable {
        var repos: Int
        var revisions: Int
        var complete: Int
        var partial: Int
        var downloading: Int
        var corrupt: Int
        var unknown: Int
        var filesChecked: Int
        var bytesChecked: UInt64
        var bytesHashed: UInt64
        var seconds: Double

        enum CodingKeys: String, CodingKey {
            case repos, revisions, complete, partial, downloading, corrupt, unknown, seconds
            case filesChecked = "files_checked"
            case bytesChecked = "bytes_checked"
            case bytesHashed = "bytes_hashed"
        }
    }

    var schema = "hfjanitor.verify/1"
    var depth: String
    var caches: [Cache]
    var summary: Summary

    /// What a verification came to.
    public init(depth: VerificationDepth, reports: [CacheReport], summary: VerificationSummary) {
        self.depth = depth.rawValue
        caches = reports.map { cache in
            Cache(
                path: cache.path.text,
                repos: cache.repos.map { repo in
                    Repo(
                        id: repo.id, folder: repo.folder.text,
                        revisions: repo.revisions.map { revision in
                            Revision(
                                commit: revision.commit?.hex, refs: revision.refs.map(\.text),
                                state: revision.state.rawValue,
                                files: revision.fileCount, bytes: revision.bytes,
                                findings: revision.findings.map(FindingDocument.init))
                        },
                        findings: repo.findings.map(FindingDocument.init))
                },
                findings: cache.findings.map(FindingDocument.init))
        }
        func count(_ state: RevisionState) -> Int { summary.states[state] ?? 0 }
        self.summary = Summary(
            repos: summary.repos, revisions: summary.revisions, complete: count(.complete), partial: count(.partial),
            downloading: count(.downloading), corrupt: count(.corrupt), unknown: count(.unknown),
            filesChecked: summary.filesChecked, bytesChecked: summary.bytesChecked, bytesHashed: summary.bytesHashed,
            seconds: summary.seconds)
    }
}

/// A finding in JSON; keys that do not apply are left out.
public struct FindingDocument: Encodable, Sendable {
    var code: String
    var severity: String
    var path: String
    var pathBase64: String?
    var file: String?
    var fileBase64: String?
    var blob: String?
    var expected: String?
    var actual: String?
    var offset: UInt64?
    var detail: String?

    enum CodingKeys: String, CodingKey {
        case code, severity, path, file, blob, expected, actual, offset, detail
        case pathBase64 = "path_base64"
        case fileBase64 = "file_base64"
    }

    /// A finding.
    public init(_ finding: Finding) {
        code = finding.code.rawValue
        severity = finding.severity.rawValue
        path = finding.path.text
        pathBase64 = Self.base64(finding.path)
        file = finding.file?.text
        fileBase64 = finding.file.flatMap(Self.base64)
        blob = finding.blob?.text
        expected = finding.expected
        actual = finding.actual
        offset = finding.offset
        detail = finding.detail
    }

    /// The exact bytes of a name that is not UTF-8.
    private static func base64(_ path: BytePath) -> String? {
        path.exactText == nil ? Data(path.bytes).base64EncodedString() : nil
    }
}
