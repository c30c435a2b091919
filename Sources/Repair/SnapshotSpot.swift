internal import HubCache
internal import HubClient
internal import LinuxIO
internal import Removal

/// What stands where a revision has a file.
enum SnapshotSpot: Sendable, Hashable {
    case free
    case link
    /// A file of its own: a client made it that makes no links, or somebody put it there.
    case file(FileStat)

    /// The path of a revision's file in the repo's folder.
    static func path(of wanted: WantedFile, at commit: CommitHash) -> BytePath {
        BytePath("snapshots").appending(commit.hex).appending(wanted.path)
    }
}

extension RepoPlace {
    /// Looks at the place of a file.
    ///
    /// - Throws: `RepairFailure` when nothing can be put there, whatever becomes of other files.
    func spot(of wanted: WantedFile, at commit: CommitHash) throws -> SnapshotSpot {
        var above = BytePath("snapshots").appending(commit.hex)
        for component in wanted.path.parent.components {
            above = above.appending(component)
            guard let stat = try folders.statIfPresent(above) else { return .free }
            if stat.kind == .directory { continue }
            throw RepairFailure(
                occupied:
                    "'\(wanted.path.display)' has no place: '\(above.display)' is a \(stat.kind.word) and no folder; "
                    + "move it away first")
        }
        guard let stat = try folders.statIfPresent(SnapshotSpot.path(of: wanted, at: commit)) else { return .free }
        switch stat.kind {
        case .symlink: return .link
        case .regular: return .file(stat)
        default:
            throw RepairFailure(
                occupied: "'\(wanted.path.display)' is a \(stat.kind.word) and no file: move it away first")
        }
    }
}
