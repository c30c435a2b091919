public import CacheScan
public import HubCache
public import HubClient
public import Ledger
public import LinuxIO
internal import Removal
internal import Synchronization

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
    /// Files that were asked for and that something else stands in the place of: it was left alone.
    public var left: [BytePath: RepairFailure] = [:]
    /// What could not be done beside the files, and what helps.
    public var warnings: [String] = []
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
    private let ledger: Ledger
    private let threads: Int

    /// Makes a fetcher.
    ///
    /// - Parameters:
    ///   - root: the cache.
    ///   - others: other watched caches: what one of them has already is copied.
    ///   - ledger: remembers which files an earlier check found wrong; those are not taken for present.
    public init(
        root: CacheRoot, others: [CacheRoot] = [], settings: RepairSettings, ledger: Ledger = .disabled,
        progress: TransferProgress = TransferProgress(), cancellation: Cancellation = Cancellation()
    ) {
        self.init(
            root: root, others: others, settings: settings, ledger: ledger, progress: progress,
            cancellation: cancellation, threads: 8, step: { _ in })
    }

    /// Makes a fetcher whose steps somebody watches; they have an order with one thread alone.
    package init(
        root: CacheRoot, others: [CacheRoot] = [], settings: RepairSettings, ledger: Ledger = .disabled,
        progress: TransferProgress = TransferProgress(), cancellation: Cancellation = Cancellation(),
        threads: Int, step: @escaping @Sendable (RepairStep) -> Void
    ) {
        self.root = root
        self.others = others
        self.settings = settings
        self.ledger = ledger
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
        let existing = try existingPlace(of: request.repo)
        let commit = try commit(of: request, existing, hub)
        // A commit's files never change, so that its manifest, once here, is as good as the Hub's listing.
        let known = existing.flatMap { WantedFile.manifest(of: commit, in: $0) }
        if known == nil, hub.isOffline {
            throw RepairFailure(
                .offline,
                "\(request.repo)@\(commit.hex): no manifest here says which files it has, and HF_HUB_OFFLINE, or "
                    + "TRANSFORMERS_OFFLINE, is set: unset it to fetch them")
        }
        let listing = try known == nil ? hub.tree(of: request.repo, commit: commit, cancellation: cancellation) : []
        let all = try known ?? listing.map(Self.file)
        let filter = NameFilter(include: request.include, exclude: request.exclude)
        if !filter.isEmpty, !all.contains(where: { filter.includes($0.path) }) {
            throw RepairFailure(
                .entryNotFound,
                filter.wordsOfNoFile(in: "\(request.repo)@\(displayText(of: request.revision))"))
        }
        let place = try existing ?? openPlace(of: request.repo, makes: true)
        do {
            return try fetched(request, commit, all, listing: known == nil ? listing : nil, in: place, hub, accepted)
        } catch {
            // Nothing that others could have put there is taken away: only an empty folder goes.
            if existing == nil {
                try? root.open(.empty, options: [.directory, .keepAccessTime]).removeFolder(request.repo.folder)
            }
            throw error
        }
    }

    /// - Parameter listing: what the Hub lists, where no manifest was here.
    private func fetched(
        _ request: FetchRequest, _ commit: CommitHash, _ all: [WantedFile], listing: [HubTreeFile]?,
        in place: RepoPlace, _ hub: HubClient, _ accepted: (AcceptedFetch) -> Void
    ) throws -> FetchOutcome {
        let filter = NameFilter(include: request.include, exclude: request.exclude)
        let wanted = all.filter { filter.includes($0.path) }.sorted { $0.path < $1.path }
        let installer = FileInstaller(
            place: place, commit: commit, files: all, settings: settings,
            twins: LocalTwins(target: root, others: others), ledger: ledger, progress: progress,
            cancellation: cancellation)
        if hub.isOffline { try requireHere(wanted, installer) }
        if !place.isOwn { try requirePresent(wanted, installer) }
        // What is refused has changed nothing: no ref names a commit of which nothing is here.
        try installer.reserveRoom(for: wanted)
        accepted(
            AcceptedFetch(
                commit: commit, files: wanted.count, bytes: wanted.reduce(0) { $0.addingUpTo($1.size) }))
        // What was asked for and does not come, whatever ends this, is missing, and not left out on purpose.
        let rememberAsked = { [ledger, root] in
            ledger.note(
                asked: AskedFiles(include: request.include, exclude: request.exclude), cache: root.path,
                repo: request.repo.folder.text, commit: commit, at: currentTime())
        }
        if try wanted.contains(where: { try !installer.isCertainlyPresent($0) }) { rememberAsked() }
        let texts = CommitTexts(place: place)
        if let listing, place.isOwn { try texts.writeManifest(listing, of: commit) }
        if !wanted.isEmpty, place.isOwn { try texts.writeTag() }
        let means: [BytePath: RepairMeans]
        let left: [BytePath: RepairFailure]
        do { (means, left) = try bringIn(wanted, installer, hub.access) } catch {
            // Who asked for less meanwhile, and got it, had that forgotten.
            rememberAsked()
            throw error
        }
        let files = wanted.compactMap { file in
            means[file.path].map { FetchOutcome.File(path: file.path, bytes: file.size, means: $0) }
        }
        if files.count + left.count < wanted.count {
            rememberAsked()
            throw RepairFailure(.downloadCancelled, "cancelled")
        }
        // What was not asked for is left out on purpose from now on.
        if left.isEmpty {
            ledger.forgetAsked(cache: root.path, repo: request.repo.folder.text, commit: commit)
            if wanted.count < all.count, place.isOwn { texts.disownLocks(of: commit) }
        }
        // What is here is here, whatever becomes of its name.
        var outcome = FetchOutcome(
            commit: commit, folder: request.repo.folder.appending("snapshots").appending(commit.hex), files: files,
            bytesFetched: installer.bytesFetched, left: left)
        if request.revision != commit.hex, let problem = try texts.refProblem(BytePath(request.revision), commit) {
            outcome.warnings.append(problem)
        }
        return outcome
    }

    /// The commit that is asked for: the Hub knows, or without it the ref that is here.
    private func commit(of request: FetchRequest, _ existing: RepoPlace?, _ hub: HubClient) throws -> CommitHash {
        if let commit = CommitHash(request.revision) { return commit }
        guard hub.isOffline else {
            return try hub.repoInfo(request.repo, revision: request.revision, cancellation: cancellation).commit
        }
        if let commit = existing?.commit(ofRef: BytePath(request.revision)) { return commit }
        throw RepairFailure(
            .offline,
            "\(request.repo): no ref '\(displayText(of: request.revision))' is here, and HF_HUB_OFFLINE, or "
                + "TRANSFORMERS_OFFLINE, is set: unset it to ask the Hub")
    }

    /// Refuses, without the Hub, what is nowhere on this machine.
    private func requireHere(_ wanted: [WantedFile], _ installer: FileInstaller) throws {
        let lacking = try wanted.filter { file in
            try installer.isLacking(file)
                && installer.twins.candidates(for: file, in: installer.place, besides: nil).isEmpty
        }
        if lacking.isEmpty { return }
        throw RepairFailure(
            .offline,
            "\(Self.counted(lacking, of: wanted)) not here, and HF_HUB_OFFLINE, or TRANSFORMERS_OFFLINE, is set: "
                + "\(Self.names(of: lacking)); unset it to fetch them")
    }

    /// Into another user's folder nothing is put, but what is there is there.
    private func requirePresent(_ wanted: [WantedFile], _ installer: FileInstaller) throws {
        let absent = try wanted.filter { try !installer.isPresent($0) }
        if absent.isEmpty { return }
        let place = installer.place
        throw RepairFailure(
            SystemCallFailure(call: "open", errno: SystemCallFailure.deniedNumber, subject: place.repo.folder),
            at:
                "\(Self.counted(absent, of: wanted)) not here (\(Self.names(of: absent))), and the folder belongs to uid "
                + "\(place.folders.stat.uid)")
    }

    private static func counted(_ some: [WantedFile], of all: [WantedFile]) -> String {
        "\(some.count) of \(all.count) file\(all.count == 1 ? "" : "s") \(some.count == 1 ? "is" : "are")"
    }

    private static func names(of files: [WantedFile]) -> String {
        let most = 5
        let named = files.prefix(most).map { "'\($0.path.display)'" }.joined(separator: ", ")
        return files.count > most ? "\(named) and \(files.count - most) more" : named
    }

    /// Several at once. The first that fails ends it all, but for what stands in the place of one file alone.
    private func bringIn(
        _ wanted: [WantedFile], _ installer: FileInstaller, _ access: HubAccess
    ) throws -> (means: [BytePath: RepairMeans], left: [BytePath: RepairFailure]) {
        let queue = FetchQueue(wanted, threads: threads)
        let left = Mutex<[BytePath: RepairFailure]>([:])
        runOnThreads(queue.workers, name: "hfj-fetch") { worker in
            let hub = access.makeClient()
            while !installer.cancellation.isCancelled, let files = queue.next(worker: worker) {
                do throws(RepairFailure) {
                    for file in files {
                        do throws(RepairFailure) {
                            queue.finish(file, try installer.install(file, .length, from: hub))
                        } catch {
                            guard error.isOccupied else { throw error }
                            left.withLock { $0[file.path] = error }
                        }
                    }
                } catch {
                    queue.fail(error)
                    installer.stop()
                }
            }
        }
        try installer.synchronizeFolders()
        return (try queue.results(), left.withLock(\.self))
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
