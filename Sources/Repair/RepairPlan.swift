public import HubCache
internal import LinuxIO
internal import Removal
internal import Verification

/// What is to be done about one file that is missing or wrong.
public enum RepairAction: Sendable, Hashable {
    /// The blob is here, or seems to be: its link is made anew.
    case relink
    /// A file on this machine has the name: it is copied.
    case copy
    /// It is fetched.
    case fetch
    /// A blob that is a link to nothing, and that no revision links to: the name goes.
    case unlink
    /// Nothing can be done; why.
    case leave(reason: String)

    /// The word for it.
    public var word: String {
        switch self {
        case .relink: "relink"
        case .copy: "copy"
        case .fetch: "fetch"
        case .unlink: "unlink"
        case .leave: "leave"
        }
    }
}

/// One file of a plan.
public struct PlannedRepair: Sendable, Hashable {
    /// Which; its etag is empty where only the Hub knows it.
    public var file: FileOfRepo
    /// What was found, the worst first.
    public var findings: [FindingCode]
    /// The content's length, where it is known without asking.
    public var bytes: UInt64?
    /// The cheapest way that seems to be right; what is really right shows when it is done.
    public var action: RepairAction
    /// Whether the file is not here, and not here but wrong.
    public var isMissing: Bool {
        findings.allSatisfy { [.missingShard, .missingFile, .danglingLink].contains($0) }
    }
    /// Whether what is here can be nobody's work: it is cut short, or no file of its format.
    var isDamaged: Bool {
        findings.contains { [.truncated, .headerInvalid, .lfsPointer, .htmlContent].contains($0) }
    }
    let wanted: WantedFile?
    /// The file that the findings are about.
    let content: FileKey?

    init(
        _ file: FileOfRepo, _ findings: [FindingCode], _ action: RepairAction, wanted: WantedFile? = nil,
        content: FileKey? = nil
    ) {
        self.file = file
        self.findings = findings
        self.action = action
        self.wanted = wanted
        self.content = content
        bytes = wanted?.size
    }
}

/// What a verification found, as files to be repaired.
struct RepairPlanner {
    let repairer: Repairer

    /// The files of a revision that are missing or wrong.
    ///
    /// - Parameter opened: gives the repo's folder; it is called when something is.
    func plan(
        _ repo: RepoID, _ revision: RevisionReport, _ commit: CommitHash, in opened: () throws -> RepoPlace
    ) -> [PlannedRepair] {
        var found: [BytePath: [Finding]] = [:]
        var whole: [Finding] = []
        for finding in revision.findings where finding.severity == .error {
            if let file = finding.file { found[file, default: []].append(finding) } else { whole.append(finding) }
        }
        if found.isEmpty && whole.isEmpty { return [] }
        var planned = whole.map { finding in
            let reason =
                finding.code == .emptySnapshot
                ? "nothing tells which files are wanted: 'hfjanitor fetch \(repo) --revision \(commit.hex)' fetches all"
                : Self.reason(finding.code) ?? "it names no file"
            return PlannedRepair(
                FileOfRepo(repo: repo, commit: commit, path: .empty), [finding.code], .leave(reason: reason))
        }
        let place: RepoPlace
        do {
            place = try opened()
        } catch {
            let reason = RepairFailure(error, at: repo.folder.display).message
            return planned
                + found.sorted { $0.key < $1.key }.map { path, findings in
                    PlannedRepair(
                        FileOfRepo(repo: repo, commit: commit, path: path), findings.map(\.code),
                        .leave(reason: reason))
                }
        }
        let files = WantedFile.manifest(of: commit, in: place)
        let keepsFiles = files.map { place.keepsFiles(commit, of: $0) } ?? false || !repairer.settings.makesLinks
        let manifest = files.map { files in
            Dictionary(files.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
        }
        let twins = repairer.twins
        for (path, findings) in found.sorted(by: { $0.key < $1.key }) {
            let codes = findings.map(\.code).sorted { $0.severity > $1.severity }
            let wanted = manifest?[path]
            let etag = wanted?.etag ?? findings.lazy.compactMap(\.blob).first ?? .empty
            var item = PlannedRepair(
                FileOfRepo(repo: repo, commit: commit, path: path, etag: etag), codes, .fetch, wanted: wanted,
                content: findings.lazy.compactMap(\.content).first)
            if let reason = codes.lazy.compactMap(Self.reason).first {
                item.action = .leave(reason: reason)
            } else if let reason = Self.reason(item, commit, place, keepsFiles: keepsFiles) {
                item.action = .leave(reason: reason)
            } else if manifest != nil, wanted == nil {
                item.action = .leave(reason: "the revision has no such file on the Hub")
            } else if let wanted {
                item.action = action(wanted, codes, place, twins)
            } else if !etag.isEmpty, !codes.contains(where: Self.isAboutContent),
                !twins.lengths(of: etag, in: place).isEmpty
            {
                item.action = .copy
            }
            planned.append(item)
        }
        return planned
    }

    /// What was found outside of revisions: blobs that lead nowhere.
    func plan(_ repo: RepoID, _ findings: [Finding]) -> [PlannedRepair] {
        findings.compactMap { finding in
            guard finding.code == .danglingLink, let etag = finding.blob,
                finding.path == repo.folder.appending("blobs").appending(etag)
            else { return nil }
            return PlannedRepair(
                FileOfRepo(repo: repo, commit: nil, path: .empty, etag: etag), [finding.code], .unlink)
        }
    }

    private func action(
        _ wanted: WantedFile, _ codes: [FindingCode], _ place: RepoPlace, _ twins: LocalTwins
    ) -> RepairAction {
        let found = try? place.blob(wanted.etag)
        if found?.content?.size == wanted.size, !codes.contains(where: Self.isAboutContent) { return .relink }
        return twins.candidates(for: wanted, in: place, besides: found?.content?.key).isEmpty ? .fetch : .copy
    }

    /// Why a file that is no link is left alone: somebody may have edited it.
    private static func reason(
        _ item: PlannedRepair, _ commit: CommitHash, _ place: RepoPlace, keepsFiles: Bool
    ) -> String? {
        guard let wanted = item.wanted, case .file(let here)? = try? place.spot(of: wanted, at: commit),
            !keepsFiles || !item.isDamaged && here.size != wanted.size && here.size > 0
        else { return nil }
        return "it is a file of its own, which somebody may have edited: move it away to get the Hub's"
    }

    /// Whether the bytes themselves are wrong, and not only where they are.
    private static func isAboutContent(_ code: FindingCode) -> Bool {
        switch code {
        case .sizeMismatch, .truncated, .headerInvalid, .digestMismatch, .lfsPointer, .htmlContent, .tensorMissing,
            .indexInvalid:
            true
        default: false
        }
    }

    /// Why nothing can be done about a finding; nil when something can.
    private static func reason(_ code: FindingCode) -> String? {
        switch code {
        case .missingUpstream: "the Hub has no such file at this revision"
        case .badUpstream: "the file is broken as it was published"
        case .indexUnsafePath: "the index leads out of its folder, as it was published"
        case .unreadable: "it may not be read: see its permissions"
        case .readError: "the disk cannot read it: see the kernel's log"
        case .notAFile: "something that is no file stands in its place: move it away"
        default: nil
        }
    }
}
