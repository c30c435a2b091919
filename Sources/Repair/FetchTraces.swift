public import CacheScan
public import HubCache
public import Ledger
internal import LinuxIO
internal import Removal
internal import Synchronization

/// What of a revision was here before somebody began to fetch it, and what is under way: so that a download that is cancelled
/// leaves nothing behind.
///
/// It takes away partial downloads, a manifest of a revision that is not here, and empty folders. What has the name of a blob is
/// for the removal to judge, since others may have begun to use it.
public final class FetchTraces: Sendable {
    private struct State {
        var commit: CommitHash?
        var hadRevision = false
        var hadManifest = false
        var underWay: Set<BytePath> = []
        /// The files that this fetch brought.
        var brought: Set<BytePath> = []
        /// The partial downloads that were here before.
        var partials: Set<BytePath> = []
        var asked: (files: AskedFiles, time: Timestamp)?
    }

    private let root: CacheRoot
    private let repo: RepoID
    private let allowsLinkedFolder: @Sendable (LinkedFolder) -> Bool
    private let ledger: Ledger
    private let state = Mutex(State())
    /// Whether the repo's folder was there.
    public let hadFolder: Bool

    /// Looks what is here, before anything is fetched.
    ///
    /// - Parameters:
    ///   - settings: those of the fetch.
    ///   - ledger: where it notes what it waits for.
    public init(of repo: RepoID, in root: CacheRoot, settings: RepairSettings, ledger: Ledger) {
        self.ledger = ledger
        self.root = root
        self.repo = repo
        allowsLinkedFolder = settings.allowsLinkedFolder
        hadFolder = (try? root.stat(at: repo.folder)) != nil
    }

    /// The revision that is fetched, if it was not here before; nil where it was, or nothing has begun.
    public var newCommit: CommitHash? { state.withLock { $0.hadRevision ? nil : $0.commit } }

    /// Whether there is anything of that revision by now.
    public var hasNewRevision: Bool { newCommit.map { isThere(snapshot($0)) } ?? false }

    /// Looks what is here of a revision, before anything of it is fetched.
    public func begin(_ commit: CommitHash) {
        let (hadRevision, hadManifest) = (isThere(snapshot(commit)), isThere(manifest(commit)))
        let partials = Set(partialDownloads().map(\.etag))
        let asked = ledger.asked(cache: root.path)[repo.folder.text]?[commit]
        state.withLock { state in
            state.commit = commit
            state.hadRevision = hadRevision
            state.hadManifest = hadManifest
            state.partials = partials
            state.asked = asked
        }
    }

    /// Takes what happens while it is fetched.
    public func note(_ event: RepairEvent) {
        switch event {
        case .downloadStarted(let file, _, _): state.withLock { _ = $0.underWay.insert(file.etag) }
        case .downloadFinished(let file, _, _): state.withLock { _ = $0.underWay.remove(file.etag) }
        case .installed(let file, let means):
            // What was here, or came by somebody else, is theirs.
            if means != .present, means != .joined { state.withLock { _ = $0.brought.insert(file.path) } }
        case .downloadJoined, .downloadFailed, .repaired: break
        }
    }

    /// Whether there are files in the revision's snapshot that this fetch did not bring, or nobody can tell.
    public var hasFilesOfOthers: Bool {
        guard let commit = newCommit else { return false }
        let scan = CacheScan(root: root)
        guard let folder = try? scan.repoFolder(repo.folder),
            let files = scan.scanRepo(folder, store: StoreInventory()).snapshots.first(where: { $0.commit == commit })?
                .files
        else { return true }
        let brought = state.withLock(\.brought)
        return files.contains { !brought.contains($0.path) }
    }

    /// Takes the partial downloads away that this fetch began, under their blobs' locks: who else fetches one of them holds it.
    /// What was asked for before is what is asked for again.
    public func removePartials() {
        restoreAsked()
        defer { disownLocks() }
        guard let place = openPlace(), let blobs = try? place.folders.openIfPresent("blobs") else { return }
        let etags = state.withLock { $0.underWay.subtracting($0.partials) }
        for etag in etags.sorted() {
            guard let locks = try? RepoLocks(folders: place.folders).take([etag], until: 0) else { continue }
            defer { withExtendedLifetime(locks) {} }
            for partial in partialDownloads() where partial.etag == etag {
                guard [.pythonUnique, .hfjanitor].contains(partial.writer), partial.entry.stat.kind == .regular,
                    partial.entry.stat.uid == effectiveUser(), partial.entry.stat.linkCount == 1
                else { continue }
                _ = try? blobs.unlinkIfPresent(partial.entry.name)
            }
        }
    }

    private func restoreAsked() {
        let (commit, asked) = state.withLock { ($0.commit, $0.asked) }
        guard let commit else { return }
        if let asked {
            ledger.note(
                asked: asked.files, cache: root.path, repo: repo.folder.text, commit: commit, at: asked.time)
        } else {
            ledger.forgetAsked(cache: root.path, repo: repo.folder.text, commit: commit)
        }
    }

    private func disownLocks() {
        guard let commit = state.withLock(\.commit), let place = openPlace() else { return }
        CommitTexts(place: place).disownLocks(of: commit)
    }

    private func partialDownloads() -> [(entry: DirectoryEntry, etag: BytePath, writer: PartialWriter)] {
        guard let place = openPlace(), let blobs = try? place.folders.openIfPresent("blobs") else { return [] }
        return ((try? blobs.listDirectory().entries) ?? []).compactMap { entry in
            guard case .partial(let etag, let writer) = BlobEntryName(entry.name) else { return nil }
            return (entry, etag, writer)
        }
    }

    /// Takes away the manifest that came for a revision of which nothing is here, and the repo's folders where they were not
    /// there before and are empty.
    public func removeRest() {
        guard let place = openPlace(), !isBusy(place) else { return }
        let (commit, hadManifest) = state.withLock { ($0.commit, $0.hadManifest) }
        if let commit, !hadManifest, !isThere(snapshot(commit)), let trees = try? place.folders.openIfPresent("trees") {
            _ = try? trees.unlinkIfPresent(BytePath(commit.hex + ".json"))
        }
        guard !hadFolder, let top = try? root.open(.empty, options: [.directory, .keepAccessTime]) else { return }
        for name: BytePath in ["blobs", "trees", "snapshots", "refs"] { try? place.folders.repo.removeFolder(name) }
        try? top.removeFolder(repo.folder)
    }

    private func openPlace() -> RepoPlace? {
        guard isThere(repo.folder) else { return nil }
        return try? RepoPlace(
            repo, in: root, makes: false, allowsLinkedFolder: allowsLinkedFolder,
            steps: RepairSteps(observer: { _ in }))
    }

    /// Whether somebody is about to put something there.
    private func isBusy(_ place: RepoPlace) -> Bool {
        let inventory = RepoInventory(folder: repo.folder, id: repo, stat: place.folders.stat)
        return !LivenessProbe(root: root, now: currentTime()).heldLocks(of: inventory).held.isEmpty
    }

    private func isThere(_ path: BytePath) -> Bool { (try? root.stat(at: path)) != nil }
    private func snapshot(_ commit: CommitHash) -> BytePath {
        repo.folder.appending("snapshots").appending(commit.hex)
    }
    private func manifest(_ commit: CommitHash) -> BytePath {
        repo.folder.appending("trees").appending(BytePath(commit.hex + ".json"))
    }
}
