public import CacheScan
public import HubCache
public import LinuxIO

/// Removes things from a cache, each only after it was proven once more that nobody needs it, and in such a way that a client
/// at work at the same time and a crash at any moment lose nothing.
///
/// A revision, or an orphan blob, is first renamed out of the way, within its repo. What a client links to in the time until it
/// is decided goes back at once; what is still out of the way then is unlinked. An intent on the disk says all along what was
/// begun, so that it can be finished or undone by whoever comes next: see `recover`.
///
/// Nothing outside the root is touched, nothing that belongs to another user, and no link is followed.
public final class Remover: Sendable {
    private let context: RemovalContext
    private let touched = TouchedFiles()

    /// Operations under way at once. Each holds a handful of descriptors.
    private static let limit = 64

    /// Makes a remover for a cache.
    ///
    /// - Parameters:
    ///   - root: the cache.
    ///   - settle: how long things stay out of the way before they are decided. Clients poll their locks every 50 ms; below a
    ///     second is for tests.
    ///   - reproof: reasons to keep that the caller knows: holds, pins, openers. Called under the locks right before anything is
    ///     touched and again before the decision: for each revision with its commit; for each partial download, orphan and other
    ///     single file with where it is (was, before the decision), relative to the root; for what is in no repo with an
    ///     inventory without an id.
    ///   - inUse: whether anybody has a file open, where a write lease cannot tell (`FilesystemKind.hasTrustworthyLeases`).
    ///   - assumesUnused: whether what cannot be told to be unused goes all the same.
    ///   - cancellation: once set, nothing more is begun and what is out of the way goes back.
    ///   - event: told of what happens, from any thread.
    public convenience init(
        root: CacheRoot, settle: Duration = .seconds(1),
        reproof: @escaping @Sendable (RepoInventory, CommitHash?, BytePath?) -> [Kept] = { _, _, _ in [] },
        inUse: @escaping @Sendable (FileKey, FileStat) -> ProbeAnswer = { key, _ in
            OpenFileScan.shared.answer(for: key)
        },
        assumesUnused: @escaping @Sendable (RepoInventory, CommitHash?) -> Bool = { _, _ in false },
        cancellation: Cancellation = Cancellation(), event: @escaping @Sendable (RemovalEvent) -> Void = { _ in }
    ) {
        self.init(
            root: root, settle: settle, reproof: reproof, inUse: inUse, assumesUnused: assumesUnused,
            cancellation: cancellation, event: event, step: { _ in })
    }

    /// Makes a remover whose caller does not ask which file of a repo it is about.
    public convenience init(
        root: CacheRoot, settle: Duration = .seconds(1),
        reproof: @escaping @Sendable (RepoInventory, CommitHash?) -> [Kept],
        inUse: @escaping @Sendable (FileKey, FileStat) -> ProbeAnswer = { key, _ in
            OpenFileScan.shared.answer(for: key)
        },
        assumesUnused: @escaping @Sendable (RepoInventory, CommitHash?) -> Bool = { _, _ in false },
        cancellation: Cancellation = Cancellation(), event: @escaping @Sendable (RemovalEvent) -> Void = { _ in }
    ) {
        self.init(
            root: root, settle: settle, reproof: { repo, commit, _ in reproof(repo, commit) }, inUse: inUse,
            assumesUnused: assumesUnused, cancellation: cancellation, event: event)
    }

    /// Makes a remover that tells of every step, for tests that end it there.
    package init(
        root: CacheRoot, settle: Duration,
        reproof: @escaping @Sendable (RepoInventory, CommitHash?, BytePath?) -> [Kept],
        inUse: @escaping @Sendable (FileKey, FileStat) -> ProbeAnswer,
        assumesUnused: @escaping @Sendable (RepoInventory, CommitHash?) -> Bool, cancellation: Cancellation,
        event: @escaping @Sendable (RemovalEvent) -> Void, step: @escaping @Sendable (RemovalStep) -> Void
    ) {
        ignoreLeaseBreakSignal()
        raiseDescriptorLimit()
        context = RemovalContext(
            root: root, settle: settle, reproof: reproof, inUse: InUseTest(root: root, fallback: inUse),
            assumesUnused: assumesUnused, cancellation: cancellation, event: event, steps: Steps(observer: step))
    }

    /// Removes what is asked for, as far as nothing forbids it.
    ///
    /// Blocks for at least the settle time when anything was taken out of the way; all requests share it. Requests for one repo
    /// are one after the other: what goes together is best asked for in one.
    ///
    /// - Returns: an outcome for every item, and for every other one that a whole repo was found to have, which stays.
    public func remove(_ requests: [RemovalRequest]) -> [RemovalOutcome] {
        var outcomes: [RemovalOutcome] = []
        var queue = Array(requests.enumerated())
        var waiting: [Waiting] = []
        let watch = SettleWatch()
        defer { watch.end() }
        while !queue.isEmpty || !waiting.isEmpty {
            let busy = Set(waiting.map(\.operation.intent.folder))
            let next = queue.firstIndex { $0.element.folder.map { !busy.contains($0) } ?? true }
            let isDue = waiting.first.map { $0.deadline <= monotonicNanoseconds() || context.cancellation.isCancelled }
            if let next, waiting.count < Self.limit, isDue != true {
                let (index, request) = queue.remove(at: next)
                begin(request, index, watch, &waiting, &outcomes)
            } else if let first = waiting.first {
                if isDue != true {
                    sleepMilliseconds(UInt32(min(20, (first.deadline &- monotonicNanoseconds()) / 1_000_000 + 1)))
                    continue
                }
                waiting.removeFirst()
                watch.remove(first.operation)
                let results = Ending(context: context).decide(first)
                tell(results, first.request, first.operation.intent.folder, &outcomes)
            }
        }
        return outcomes
    }

    private func begin(
        _ request: RemovalRequest, _ index: Int, _ watch: SettleWatch, _ waiting: inout [Waiting],
        _ outcomes: inout [RemovalOutcome]
    ) {
        if context.cancellation.isCancelled {
            let results = request.items.map { ($0, RemovalResult.undone(reason: "stopped before it was begun")) }
            tell(results, index, request.folder, &outcomes)
            return
        }
        guard request.folder != nil else {
            let results = request.items.map { ($0, Leftovers(context: context).remove($0)) }
            tell(results, index, nil, &outcomes)
            return
        }
        var beginning = Beginning(context: context, touched: touched, watch: watch, request: request, index: index)
        if let parked = beginning.run() { waiting.append(parked) }
        tell(beginning.settled, index, request.folder, &outcomes)
    }

    private func tell(
        _ results: [(item: RemovalItem, result: RemovalResult)], _ request: Int, _ folder: BytePath?,
        _ outcomes: inout [RemovalOutcome]
    ) {
        for (item, result) in results {
            let outcome = RemovalOutcome(request: request, folder: folder, item: item, result: result)
            outcomes.append(outcome)
            context.event(.done(outcome))
        }
    }

    /// Finishes or undoes every operation that a run before has left in the cache: undone as long as it was not decided,
    /// finished from then on. What another process is at, or what is not ours, is left and told.
    ///
    /// - Parameter linkedFolders: repo folders that are links to elsewhere and may be written to: the policy's `also` lists
    ///   them. Others that are links are left.
    /// - Throws: `SystemCallFailure` when the root cannot be listed.
    public func recover(linkedFolders: Set<BytePath> = []) throws(SystemCallFailure) -> [RecoveryOutcome] {
        let recovery = Recovery(context: context, touched: touched)
        let top = try context.root.open(.empty, options: [.directory, .keepAccessTime])
        var outcomes: [RecoveryOutcome] = []
        for entry in try top.listDirectory().entries.sorted(by: { $0.name < $1.name })
        where RepoID(folder: entry.name) != nil {
            if context.cancellation.isCancelled { break }
            if entry.stat.kind == .symlink, linkedFolders.contains(entry.name) {
                outcomes += recovery.recover(entry.name)
                continue
            }
            guard entry.stat.kind == .directory else { continue }
            // Nearly no repo has any: one look tells.
            guard let folder = try? top.open(entry.name, options: [.directory, .keepAccessTime]),
                (try? folder.stat(of: Intent.parkingFolder)) != nil
            else { continue }
            outcomes += recovery.recover(entry.name)
        }
        return outcomes
    }
}
