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
        state.withLock { state in
            state.commit = commit
            state.hadRevision = hadRevision
            state.hadManifest = hadManifest
        }
    }

    /// Takes what happens while it is fetched.
    public func note(_ event: RepairEvent) {
        switch event {
        case .downloadStarted(let file, _, _): state.withLock { _ = $0.underWay.insert(file.etag) }
        case .downloadFinished(let file, _, _): state.withLock { _ = $0.underWay.remove(file.etag) }
        case .downloadJoined, .downloadFailed, .repaired: break
        }
    }

    /// Takes the partial downloads away that this fetch wrote, under their blobs' locks: who else fetches one of them holds it.
    /// Nothing of the revision is waited for any more.
    public func removePartials() {
        guard let place = openPlace() else { return }
        defer { forgetAwaited(place) }
        let etags = state.withLock(\.underWay)
        guard !etags.isEmpty, let blobs = try? place.folders.openIfPresent("blobs") else { return }
        for etag in etags.sorted() {
            guard let locks = try? RepoLocks(folders: place.folders).take([etag], until: 0) else { continue }
            defer { withExtendedLifetime(locks) {} }
            for entry in (try? blobs.listDirectory().entries) ?? [] {
                guard case .partial(etag, let writer) = BlobEntryName(entry.name),
                    [.pythonUnique, .hfjanitor].contains(writer), entry.stat.kind == .regular,
                    entry.stat.uid == effectiveUser(), entry.stat.linkCount == 1
                else { continue }
                _ = try? blobs.unlinkIfPresent(entry.name)
            }
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

    private func forgetAwaited(_ place: RepoPlace) {
        guard let commit = state.withLock(\.commit), let files = WantedFile.manifest(of: commit, in: place) else {
            return
        }
        ledger.forgetPartials(cache: root.path, repo: repo.folder.text, etags: Set(files.map(\.etag.text)))
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
