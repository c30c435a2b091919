import FoundationEssentials
internal import Glibc
import HubCache
import Verification

/// Writes a document as one line of JSON with its keys in order.
func printJSON(_ document: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    Terminal.print(String(decoding: try encoder.encode(document), as: UTF8.self))
}

/// A time as RFC 3339 in UTC.
///
/// By the C library: a listing has thousands of them, and Foundation's formatter takes longer than everything else in it.
func formatTime(_ time: Timestamp) -> String {
    var seconds = time_t(time.seconds)
    var parts = unsafe tm()
    guard unsafe gmtime_r(&seconds, &parts) != nil else { return "" }
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
        guard let base = buffer.baseAddress, unsafe strftime(base, 64, "%Y-%m-%dT%H:%M:%SZ", &parts) > 0 else {
            return ""
        }
        return unsafe String(cString: base)
    }
}

/// `hfjanitor.verify/1`.
struct VerifyDocument: Encodable {
    struct Cache: Encodable {
        var path: String
        var repos: [Repo]
        var findings: [FindingDocument]
    }

    struct Repo: Encodable {
        var id: String
        var folder: String
        var revisions: [Revision]
        var findings: [FindingDocument]
    }

    struct Revision: Encodable {
        var commit: String?
        var refs: [String]
        var state: String
        var files: Int
        var bytes: UInt64
        var findings: [FindingDocument]

        enum CodingKeys: CodingKey { case commit, refs, state, files, bytes, findings }

        // Written by hand: `commit` is null, not absent, for a plain folder.
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(commit, forKey: .commit)
            try container.encode(refs, forKey: .refs)
            try container.encode(state, forKey: .state)
            try container.encode(files, forKey: .files)
            try container.encode(bytes, forKey: .bytes)
            try container.encode(findings, forKey: .findings)
        }
    }

    struct Summary: Encodable {
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

    init(depth: VerificationDepth, reports: [CacheReport], summary: VerificationSummary) {
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
struct FindingDocument: Encodable {
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

    init(_ finding: Finding) {
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

/// `hfjanitor.ls/1`.
struct ListDocument: Encodable {
    struct Cache: Encodable {
        var path: String
        var bytes: UInt64
        var freeBytes: UInt64
        var reclaimableBytes: UInt64
        var otherBytes: UInt64
        var repos: [Repo]
        var leftovers: [LeftoverDocument]?

        enum CodingKeys: String, CodingKey {
            case path, bytes, repos, leftovers
            case freeBytes = "free_bytes"
            case reclaimableBytes = "reclaimable_bytes"
            case otherBytes = "other_bytes"
        }
    }

    struct Repo: Encodable {
        var id: String
        var folder: String
        var bytes: UInt64
        var reclaimableBytes: UInt64
        var state: String
        var lastUse: LastUseDocument?
        var pinned: Bool
        var held: Bool
        var revisions: [Revision]

        enum CodingKeys: String, CodingKey {
            case id, folder, bytes, state, pinned, held, revisions
            case reclaimableBytes = "reclaimable_bytes"
            case lastUse = "last_use"
        }
    }

    struct Revision: Encodable {
        var commit: String?
        var refs: [String]
        var state: String
        var files: Int
        var bytes: UInt64
        var uniqueBytes: UInt64
        var arrived: String?
        var lastUse: LastUseDocument?

        enum CodingKeys: String, CodingKey {
            case commit, refs, state, files, bytes, arrived
            case uniqueBytes = "unique_bytes"
            case lastUse = "last_use"
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(commit, forKey: .commit)
            try container.encode(refs, forKey: .refs)
            try container.encode(state, forKey: .state)
            try container.encode(files, forKey: .files)
            try container.encode(bytes, forKey: .bytes)
            try container.encode(uniqueBytes, forKey: .uniqueBytes)
            try container.encodeIfPresent(arrived, forKey: .arrived)
            try container.encodeIfPresent(lastUse, forKey: .lastUse)
        }
    }

    struct LeftoverDocument: Encodable {
        var path: String
        var kind: String
        var bytes: UInt64
    }

    struct LastUseDocument: Encodable {
        var time: String
        var source: String

        init(_ use: LastUse) {
            time = formatTime(use.time)
            source = use.source.rawValue
        }
    }

    var schema = "hfjanitor.ls/1"
    var caches: [Cache]

    init(reports: [CacheReport], withLeftovers: Bool, protection: ListedProtection) {
        caches = reports.map { cache in
            Cache(
                path: cache.path.text, bytes: cache.bytes, freeBytes: cache.freeBytes,
                reclaimableBytes: cache.reclaimableBytes, otherBytes: cache.otherBytes,
                repos: cache.repos.map {
                    Self.repo($0, isPinned: protection.isPinned($0), isHeld: protection.isHeld($0, in: cache))
                },
                leftovers: withLeftovers
                    ? cache.allLeftovers.map {
                        LeftoverDocument(path: $0.path.text, kind: $0.kind, bytes: $0.bytes)
                    } : nil)
        }
    }

    private static func repo(_ repo: RepoReport, isPinned: Bool, isHeld: Bool) -> Repo {
        Repo(
            id: repo.id, folder: repo.folder.text, bytes: repo.bytes, reclaimableBytes: repo.reclaimableBytes,
            state: repo.state.rawValue, lastUse: repo.lastUse.map(LastUseDocument.init), pinned: isPinned, held: isHeld,
            revisions: repo.revisions.map { revision in
                Revision(
                    commit: revision.commit?.hex, refs: revision.refs.map(\.text), state: revision.state.rawValue,
                    files: revision.fileCount, bytes: revision.bytes, uniqueBytes: revision.uniqueBytes,
                    arrived: revision.arrived.map(formatTime), lastUse: revision.lastUse.map(LastUseDocument.init))
            })
    }
}

extension CacheReport {
    /// The leftovers of the root and of every repo.
    var allLeftovers: [Leftover] { leftovers + repos.flatMap(\.leftovers) }
}
