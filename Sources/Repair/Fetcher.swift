public import CacheScan
public import HubCache
public import HubClient
public import LinuxIO
internal import Removal

/// Which files of which repo to fetch.
public struct FetchRequest: Sendable, Hashable {
    /// The repo.
    public var repo: RepoID
    /// A branch, a tag, `refs/pr/n` or a commit.
    public var revision: String
    /// Patterns as huggingface_hub's `allow_patterns`; empty for all files.
    public var include: [String]
    /// Patterns as huggingface_hub's `ignore_patterns`.
    public var exclude: [String]

    /// Makes a request.
    public init(repo: RepoID, revision: String = "main", include: [String] = [], exclude: [String] = []) {
        self.repo = repo
        self.revision = revision
        self.include = include
        self.exclude = exclude
    }
}

/// What a request comes to, once nothing speaks against it any more.
public struct AcceptedFetch: Sendable, Hashable {
    /// The commit that the revision is.
    public var commit: CommitHash
    /// How many files were asked for.
    public var files: Int
    /// Their bytes, those that are here already included.
    public var bytes: UInt64
}

/// What became of a request.
public struct FetchOutcome: Sendable, Hashable {
    /// A file, and how it came to be here.
    public struct File: Sendable, Hashable {
        /// The path in the repo.
        public var path: BytePath
        /// The content's length.
        public var bytes: UInt64
        /// How.
        public var means: RepairMeans
    }

    /// The commit that the revision is.
    public var commit: CommitHash
    /// The snapshot's folder, relative to the cache root. It is there when a file is.
    public var folder: BytePath
    /// All files that were asked for, in the order of their paths.
    public var files: [File]
    /// Bytes that came over the network.
    public var bytesFetched: UInt64
}

/// Fetches revisions as `snapshot_download` of huggingface_hub does: what it leaves is what the client would have left.
///
/// Its calls block the caller's thread.
public struct Fetcher: Sendable {
    let root: CacheRoot
    let others: [CacheRoot]
    let settings: RepairSettings
    let progress: TransferProgress
    let cancellation: Cancellation
    let steps: RepairSteps
    private let threads: Int

    /// Makes a fetcher.
    ///
    /// - Parameters:
    ///   - root: the cache.
    ///   - others: other watched caches: what one of them has already is copied.
    public init(
        root: CacheRoot, others: [CacheRoot] = [], settings: RepairSettings,
        progress: TransferProgress = TransferProgress(), cancellation: Cancellation = Cancellation()
    ) {
        self.init(
            root: root, others: others, settings: settings, progress: progress, cancellation: cancellation,
            threads: 8, step: { _ in })
    }

    /// Makes a fetcher whose steps somebody watches; they have an order with one thread alone.
    package init(
        root: CacheRoot, others: [CacheRoot] = [], settings: RepairSettings,
        progress: TransferProgress = TransferProgress(), cancellation: Cancellation = Cancellation(),
        threads: Int, step: @escaping @Sendable (RepairStep) -> Void
    ) {
        self.root = root
        self.others = others
        self.settings = settings
        self.progress = progress
        self.cancellation = cancellation
        self.threads = threads
        steps = RepairSteps(observer: step)
    }

    /// Fetches what is not here yet.
    ///
    /// - Parameter accepted: is told once there are a place and room for it, before anything changes.
    /// - Throws: `RepairFailure`. What came until then is here, and the next run goes on with it.
    public func fetch(
        _ request: FetchRequest, from hub: HubClient, accepted: (AcceptedFetch) -> Void = { _ in }
    ) throws(RepairFailure) -> FetchOutcome {
        do {
            return try fetched(request, hub, accepted)
        } catch {
            throw RepairFailure(error, at: root.path.appending(request.repo.folder).display)
        }
    }

    private func fetched(
        _ request: FetchRequest, _ hub: HubClient, _ accepted: (AcceptedFetch) -> Void
    ) throws -> FetchOutcome {
        guard isRepoPath(Array(request.revision.utf8)) else {
            throw RepairFailure(
                .revisionNotFound, "no revision can be named '\(displayText(of: request.revision))'")
        }
        let commit =
            try CommitHash(request.revision)
            ?? hub.repoInfo(request.repo, revision: request.revision, cancellation: cancellation).commit
        // A commit's files never change, so that its manifest, once here, is as good as the Hub's listing.
        let existing = try existingPlace(of: request.repo)
        let known = existing.flatMap { WantedFile.manifest(of: commit, in: $0) }
        let listing = try known == nil ? hub.tree(of: request.repo, commit: commit, cancellation: cancellation) : []
        let place = try existing ?? openPlace(of: request.repo, makes: true)
        let filter = NameFilter(include: request.include, exclude: request.exclude)
        let wanted = try (known ?? listing.map(Self.file)).filter { filter.includes($0.path) }
            .sorted { $0.path < $1.path }
        let installer = FileInstaller(
            place: place, commit: commit, settings: settings,
            twins: LocalTwins(target: root, others: others), progress: progress, cancellation: cancellation)
        // What is refused has changed nothing: no ref names a commit of which nothing is here.
        try installer.reserveRoom(for: wanted)
        accepted(
            AcceptedFetch(
                commit: commit, files: wanted.count, bytes: wanted.reduce(0) { $0.addingUpTo($1.size) }))
        let texts = CommitTexts(place: place)
        if known == nil { try texts.writeManifest(listing, of: commit) }
        if !wanted.isEmpty { try texts.writeTag() }
        let means = try bringIn(wanted, installer, hub.access)
        let files = wanted.compactMap { file in
            means[file.path].map { FetchOutcome.File(path: file.path, bytes: file.size, means: $0) }
        }
        if files.count < wanted.count { throw RepairFailure(.downloadCancelled, "cancelled") }
        if request.revision != commit.hex { try texts.writeRef(BytePath(request.revision), to: commit) }
        return FetchOutcome(
            commit: commit, folder: request.repo.folder.appending("snapshots").appending(commit.hex), files: files,
            bytesFetched: installer.bytesFetched)
    }

    /// Several at once. The first that fails ends it all.
    private func bringIn(
        _ wanted: [WantedFile], _ installer: FileInstaller, _ access: HubAccess
    ) throws -> [BytePath: RepairMeans] {
        let queue = FetchQueue(wanted, threads: threads)
        runOnThreads(queue.workers, name: "hfj-fetch") { worker in
            let hub = access.makeClient()
            while !installer.cancellation.isCancelled, let files = queue.next(worker: worker) {
                do throws(RepairFailure) {
                    for file in files { queue.finish(file, try installer.install(file, .length, from: hub)) }
                } catch {
                    queue.fail(error)
                    installer.stop()
                }
            }
        }
        try installer.synchronizeFolders()
        return try queue.results()
    }

    private func existingPlace(of repo: RepoID) throws -> RepoPlace? {
        try CacheScan(root: root).repoFolder(repo.folder) == nil ? nil : openPlace(of: repo, makes: false)
    }

    private func openPlace(of repo: RepoID, makes: Bool) throws -> RepoPlace {
        try RepoPlace(
            repo, in: root, makes: makes, allowsLinkedFolder: settings.allowsLinkedFolder, steps: steps)
    }

    private static func file(_ listed: HubTreeFile) throws -> WantedFile {
        guard let file = WantedFile(listed) else {
            throw RepairFailure(.digestMismatch, "the Hub lists '\(listed.path.display)' without a digest")
        }
        return file
    }
}
