import FoundationEssentials
import HubCache
import Verification

/// Writes a document as one line of JSON with its keys in order.
func printJSON(_ document: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    Terminal.print(String(decoding: try encoder.encode(document), as: UTF8.self))
}

/// A time as RFC 3339 in UTC.
func formatTime(_ time: Timestamp) -> String { CalendarTime.text(of: time) }

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
