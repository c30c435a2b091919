public import CacheScan
internal import HubCache
public import HubClient
public import Ledger
public import LinuxIO
internal import Removal
public import Verification

/// What became of one file.
public struct RepairResult: Sendable, Hashable {
    /// How it ended.
    public enum Outcome: Sendable, Hashable {
        /// It is right now.
        case repaired(RepairMeans, bytes: UInt64)
        /// It is what the Hub has, byte for byte: what is wrong with it was published so.
        case asPublished
        /// Nothing was done; why.
        case left(reason: String)
        /// It was tried in vain.
        case failed(RepairFailure, attempt: Int, attempts: Int)
    }

    /// What was planned.
    public var item: PlannedRepair
    /// How it ended.
    public var outcome: Outcome
}

/// Repairs what a verification found missing or wrong in one cache, and nothing else.
///
/// Its calls block the caller's thread. Several of them may work on one cache, in this process and in others.
public struct Repairer: Sendable {
    let root: CacheRoot
    let settings: RepairSettings
    let ledger: Ledger
    let progress: TransferProgress
    let cancellation: Cancellation
    let steps: RepairSteps
    let twins: LocalTwins

    /// Makes a repairer.
    ///
    /// - Parameters:
    ///   - root: the cache.
    ///   - others: other watched caches, whose files may be copied.
    ///   - ledger: remembers what was tried in vain.
    public init(
        root: CacheRoot, others: [CacheRoot] = [], settings: RepairSettings, ledger: Ledger,
        progress: TransferProgress = TransferProgress(), cancellation: Cancellation = Cancellation()
    ) {
        self.init(
            root: root, others: others, settings: settings, ledger: ledger, progress: progress,
            cancellation: cancellation, step: { _ in })
    }

    /// Makes a repairer whose steps somebody watches.
    package init(
        root: CacheRoot, others: [CacheRoot] = [], settings: RepairSettings, ledger: Ledger,
        progress: TransferProgress = TransferProgress(), cancellation: Cancellation = Cancellation(),
        step: @escaping @Sendable (RepairStep) -> Void
    ) {
        self.root = root
        self.settings = settings
        self.ledger = ledger
        self.progress = progress
        self.cancellation = cancellation
        steps = RepairSteps(observer: step)
        twins = LocalTwins(target: root, others: others)
    }

    func place(of repo: RepoID) throws -> RepoPlace {
        let place = try RepoPlace(
            repo, in: root, makes: false, allowsLinkedFolder: settings.allowsLinkedFolder, steps: steps)
        try place.requireOwn()
        return place
    }

    /// What could be done about what was found.
    ///
    /// - Parameters:
    ///   - report: what a verification of this cache found.
    ///   - triesAgain: whether files are tried that were tried as often as they may be: somebody asked for them.
    public func plan(_ report: CacheReport, triesAgain: Bool = false) -> [PlannedRepair] {
        let planner = RepairPlanner(repairer: self)
        let tried = ledger.repairAttempts(cache: root.path)
        var planned: [PlannedRepair] = []
        for repo in report.repos {
            guard let id = repo.repo else { continue }
            planned += planner.plan(id, repo.findings)
            let attempts = tried[repo.folder.text] ?? []
            // To open it is to look at all of it.
            lazy var place = Result { try self.place(of: id) }
            for revision in repo.revisions {
                guard let commit = revision.commit else { continue }
                planned += planner.plan(id, revision, commit, in: { try place.get() }).map { item in
                    let own = attempts.first { $0.commit == commit && BytePath($0.file) == item.file.path }
                    guard let own, own.count >= settings.attempts, !triesAgain else { return item }
                    var item = item
                    item.action = .leave(
                        reason: "tried \(own.count) times in vain (\(own.reason)); name it to try again")
                    return item
                }
            }
        }
        return planned
    }

    /// Does it.
    ///
    /// - Parameter report: is told what became of each, as it happens.
    /// - Returns: the same, in the plan's order.
    public func repair(
        _ plan: [PlannedRepair], from hub: HubClient, report: (RepairResult) -> Void = { _ in }
    ) -> [RepairResult] {
        var results: [RepairResult] = []
        // One at a time: each holds a place among the running downloads.
        var current: RepairJob?
        // What is in the way of one download is in the way of all.
        var ending: RepairFailure?
        progress.begin(bytes: plan.reduce(0) { $0.addingUpTo($1.bytes ?? 0) })
        for item in plan {
            let outcome: RepairResult.Outcome
            if case .leave(let reason) = item.action {
                outcome = .left(reason: reason)
            } else if cancellation.isCancelled {
                outcome = .left(reason: "interrupted")
            } else if item.action == .unlink {
                outcome = unlink(item.file)
            } else if let commit = item.file.commit {
                let key = JobKey(repo: item.file.repo, commit: commit)
                if current?.key != key { current = nil }
                let job = current ?? RepairJob(self, key, hub)
                current = job
                outcome = self.outcome(of: item, commit, in: job, &ending)
            } else {
                outcome = .left(reason: "it belongs to no revision")
            }
            let result = RepairResult(item: item, outcome: outcome)
            report(result)
            results.append(result)
        }
        return results
    }

    /// Takes a blob's name away that leads nowhere, under its lock.
    private func unlink(_ file: FileOfRepo) -> RepairResult.Outcome {
        do {
            let place = try place(of: file.repo)
            let locks = try RepoLocks(folders: place.folders).take([file.etag], until: 0)
            defer { withExtendedLifetime(locks) {} }
            guard case .other(let stat) = try place.blob(file.etag), stat.kind == .symlink,
                !place.linkedBlobs.contains(file.etag)
            else { return .repaired(.joined, bytes: 0) }
            try place.folders.open("blobs").unlinkIfPresent(file.etag)
            return .repaired(.unlinked, bytes: 0)
        } catch {
            let failure = RepairFailure(error, at: file.repo.folder.display)
            return .failed(failure, attempt: 1, attempts: settings.attempts)
        }
    }

    private func outcome(
        of item: PlannedRepair, _ commit: CommitHash, in job: RepairJob, _ ending: inout RepairFailure?
    ) -> RepairResult.Outcome {
        let file = item.file
        do throws(RepairFailure) {
            let (means, wanted) = try job.repair(item, asksHub: ending == nil)
            if means == .present, let content = item.content, try job.contentKey(of: wanted) == content {
                note(file, commit, "as it was published")
                return .asPublished
            }
            ledger.forgetFailedRepairs(
                cache: root.path, repo: file.repo.folder.text, commit: commit, file: file.path.text)
            // What is right by now, and was not when it was looked at, somebody else has mended.
            let brought = means == .present ? .joined : means
            settings.event(.repaired(file, brought, bytes: wanted.size))
            return .repaired(brought, bytes: wanted.size)
        } catch {
            let failure = ending ?? error
            if error.endsFetching, ending == nil { ending = error }
            guard error.countsAsAttempt, ending == nil || ending == error else {
                return .failed(failure, attempt: tried(file, commit), attempts: settings.attempts)
            }
            note(file, commit, "\(failure.code?.rawValue ?? "error"): \(failure.message)")
            return .failed(failure, attempt: tried(file, commit), attempts: settings.attempts)
        }
    }

    private func note(_ file: FileOfRepo, _ commit: CommitHash, _ reason: String) {
        ledger.noteFailedRepair(
            cache: root.path, repo: file.repo.folder.text, commit: commit, file: file.path.text, reason: reason,
            at: currentTime())
    }

    private func tried(_ file: FileOfRepo, _ commit: CommitHash) -> Int {
        let files = ledger.repairAttempts(cache: root.path)[file.repo.folder.text] ?? []
        return max(1, files.first { $0.commit == commit && BytePath($0.file) == file.path }?.count ?? 1)
    }
}

private struct JobKey: Hashable {
    var repo: RepoID
    var commit: CommitHash
}

/// All that is repaired in one revision.
private final class RepairJob {
    private let repairer: Repairer
    let key: JobKey
    private let hub: HubClient
    private var installer: FileInstaller?
    /// What the Hub lists, once it was asked.
    private var listing: [BytePath: WantedFile]?

    init(_ repairer: Repairer, _ key: JobKey, _ hub: HubClient) {
        self.repairer = repairer
        self.key = key
        self.hub = hub
    }

    func repair(_ item: PlannedRepair, asksHub: Bool) throws(RepairFailure) -> (RepairMeans, WantedFile) {
        do {
            let care: FileInstaller.Care = item.isDamaged ? .damage : .digest
            if let wanted = item.wanted {
                let installer = try madeInstaller()
                let means = try installer.install(wanted, care, from: asksHub ? hub : nil)
                try installer.synchronizeFolders()
                return (means, wanted)
            }
            if let found = try fromThisMachine(item, try madeInstaller()) { return found }
            guard asksHub else { throw RepairFailure(.entryNotFound, "the Hub was not asked") }
            guard let wanted = try listed()[item.file.path] else {
                throw RepairFailure(
                    .entryNotFound, "the Hub has no '\(item.file.path.display)' at this revision")
            }
            let installer = try madeInstaller()
            let means = try installer.install(wanted, care, from: hub)
            try installer.synchronizeFolders()
            return (means, wanted)
        } catch {
            throw RepairFailure(error, at: key.repo.folder.display)
        }
    }

    /// The file that now has a content.
    func contentKey(of wanted: WantedFile) throws(RepairFailure) -> FileKey? {
        do {
            guard let place = installer?.place else { return nil }
            if case .file(let stat) = try place.spot(of: wanted, at: key.commit) { return stat.key }
            return try place.blob(wanted.etag).content?.key
        } catch {
            throw RepairFailure(error, at: key.repo.folder.display)
        }
    }

    /// Where no manifest says what the file is, its link still has the name; another file of that name has the content.
    private func fromThisMachine(
        _ item: PlannedRepair, _ installer: FileInstaller
    ) throws -> (RepairMeans, WantedFile)? {
        guard item.action == .copy, !item.file.etag.isEmpty else { return nil }
        for length in repairer.twins.lengths(of: item.file.etag, in: installer.place).sorted(by: >) {
            guard let wanted = WantedFile(path: item.file.path, etag: item.file.etag, size: length),
                let means = try? installer.install(wanted, .digest, from: nil)
            else { continue }
            try installer.synchronizeFolders()
            return (means, wanted)
        }
        return nil
    }

    private func listed() throws -> [BytePath: WantedFile] {
        if let listing { return listing }
        let files = try hub.tree(of: key.repo, commit: key.commit, cancellation: repairer.cancellation)
        let found = Dictionary(
            files.compactMap { WantedFile($0) }.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
        listing = found
        // How the revision was written shows now; nothing was fetched without the listing.
        installer = nil
        return found
    }

    private func madeInstaller() throws -> FileInstaller {
        if let installer { return installer }
        let place = try repairer.place(of: key.repo)
        let files = WantedFile.manifest(of: key.commit, in: place) ?? listing.map { Array($0.values) } ?? []
        let made = FileInstaller(
            place: place, commit: key.commit, files: files, settings: repairer.settings, twins: repairer.twins,
            ledger: repairer.ledger, progress: repairer.progress, cancellation: repairer.cancellation)
        installer = made
        return made
    }
}
