public import HubCache
internal import Synchronization
public import Verification

/// Where other threads ask the daemon's loop. Every question is a letter to it, answered with plain values; nothing here
/// waits for a filesystem, and nobody but the loop's thread decides.
public final class DaemonDesk: Sendable {
    private let mailbox: Mailbox
    /// What is said to the journal, as it is said.
    public let bulletin: Bulletin

    init(_ mailbox: Mailbox, _ bulletin: Bulletin) {
        self.mailbox = mailbox
        self.bulletin = bulletin
    }

    /// What the daemon is doing.
    ///
    /// - Throws: `DaemonIsStopping`, as all of these.
    public func status() async throws -> DaemonStatus {
        try await ask { loop, reply in reply.give(loop.currentStatus) }
    }

    /// Has the policy read again, and waits for the verdict.
    public func reload() async throws -> ReloadVerdict {
        try await ask { loop, reply in loop.reload(reply) }
    }

    /// The daemon's numbers.
    public func numbers() async throws -> DaemonNumbers {
        try await ask { loop, reply in reply.give(loop.numbers) }
    }

    /// Begins digest passes, or ends them.
    ///
    /// - Parameters:
    ///   - isStart: whether to begin.
    ///   - cache: its id; nil: all.
    /// - Returns: how far each is.
    public func scrub(isStart: Bool, cache: String?) async throws -> Result<[DaemonStatus.Scrub], NamingFailure> {
        try await ask { loop, reply in
            do throws(NamingFailure) {
                let caches = try loop.caches(named: cache)
                for cache in caches { if isStart { loop.startScrub(of: cache) } else { loop.cancelScrub(of: cache) } }
                reply.give(.success(caches.map { loop.scrub(of: $0) }))
            } catch {
                reply.give(.failure(error))
            }
        }
    }

    /// Every repo.
    public func models() async throws -> ModelList { try await ask { loop, reply in reply.give(loop.models) } }

    /// One repo or revision.
    public func model(_ name: ModelName) async throws -> Result<KnownModel, NamingFailure> {
        try await ask { loop, reply in reply.give(loop.model(name)) }
    }

    /// What is wrong.
    ///
    /// - Parameters:
    ///   - cache: its id; nil: all.
    ///   - repo: nil: all, and what is in none.
    public func findings(cache: String?, repo: RepoID?) async throws -> Result<[KnownFinding], NamingFailure> {
        try await ask { loop, reply in
            do throws(NamingFailure) { reply.give(.success(try loop.findings(in: cache, of: repo))) } catch {
                reply.give(.failure(error))
            }
        }
    }

    /// Does not count the reads of a process that announces them as use.
    ///
    /// - Parameters:
    ///   - names: what it reads; none: everything.
    ///   - depth: how deep.
    /// - Returns: what ends that; nil where too many do so already.
    public func announceReads(of names: [ModelName], depth: VerificationDepth) async throws
        -> Result<(@Sendable () -> Void)?, NamingFailure>
    {
        try await ask { loop, reply in
            do throws(NamingFailure) { reply.give(.success(try loop.announceReads(of: names, depth: depth))) } catch {
                reply.give(.failure(error))
            }
        }
    }

    /// What the policy would do now.
    public func plan() async throws -> Result<AskedPlan, AskedWorkFailure> {
        try await ask { loop, reply in loop.plan(reply) }
    }

    /// Verifies a repo, a revision, a cache or everything, and waits for what is found.
    public func verify(_ name: ModelName?, cache: String?, depth: VerificationDepth) async throws
        -> Result<AskedVerification, AskedWorkFailure>
    {
        try await ask { loop, reply in loop.verify(name, cache: cache, depth: depth, reply) }
    }

    /// Removes a repo or a revision as safely as the policy would, and waits for what comes of it; where a download of it runs,
    /// cancels that instead.
    ///
    /// - Parameter task: cancels this download or repair of it, and does nothing where it has ended.
    public func remove(_ name: ModelName, task: String? = nil) async throws -> Result<AskedRemoval, AskedWorkFailure> {
        try await ask { loop, reply in loop.remove(name, task: task, reply) }
    }

    /// Begins a download, or joins the one that runs; answers once it is known whether it may begin.
    public func download(_ request: DownloadRequest) async throws -> Result<BegunTransfer, TransferRefusal> {
        try await ask { loop, reply in loop.download(request, reply) }
    }

    /// Begins repairs: of a repo, a cache or all caches.
    public func repair(_ request: RepairRequest) async throws -> Result<[BegunRepair], TransferRefusal> {
        try await ask { loop, reply in
            do throws(TransferRefusal) { reply.give(.success(try loop.repair(request))) } catch {
                reply.give(.failure(error))
            }
        }
    }

    /// What a repo on the Hub is, and whether it fits here.
    public func preview(_ request: DownloadRequest) async throws -> Result<AskedPreview, TransferRefusal> {
        try await ask { loop, reply in loop.preview(request, reply) }
    }

    /// The downloads and repairs that run, and those that ended not long ago.
    public func transfers() async throws -> [TransferReport] {
        try await ask { loop, reply in reply.give(loop.transferReports) }
    }

    /// Has the journal say that something about the control socket is not as it should be.
    public func complain(_ problem: String) { mailbox.post { loop in loop.complain(problem) } }

    func post(_ letter: @escaping Mailbox.Letter) { mailbox.post(letter) }

    /// What a stop makes of work under way is not told as what came of it.
    func ask<Found: Sendable, Failure: Error>(
        _ letter: @escaping @Sendable (DaemonLoop, Reply<Result<Found, Failure>>) -> Void
    ) async throws -> Result<Found, Failure> {
        let result = try await answer(to: letter)
        if case .failure = result, bulletin.isOver { throw DaemonIsStopping() }
        return result
    }

    func ask<Answer: Sendable>(_ letter: @escaping @Sendable (DaemonLoop, Reply<Answer>) -> Void) async throws -> Answer
    {
        try await answer(to: letter)
    }

    private func answer<Answer: Sendable>(
        to letter: @escaping @Sendable (DaemonLoop, Reply<Answer>) -> Void
    ) async throws -> Answer {
        try await withCheckedThrowingContinuation { continuation in
            let reply = Reply(continuation)
            mailbox.post { loop in if !loop.isStopping { letter(loop, reply) } }
        }
    }
}

/// The daemon ends, and answers no more.
public struct DaemonIsStopping: Error {
    init() {}
}

/// Somebody who waits for an answer. Whoever drops it without one, as the end of the daemon does with all that is still
/// waiting, has answered that the daemon is stopping.
final class Reply<Answer: Sendable>: Sendable {
    private let continuation: Mutex<CheckedContinuation<Answer, any Error>?>

    init(_ continuation: CheckedContinuation<Answer, any Error>) { self.continuation = Mutex(continuation) }

    deinit { take()?.resume(throwing: DaemonIsStopping()) }

    /// Answers; only the first answer counts.
    func give(_ answer: Answer) { take()?.resume(returning: answer) }

    private func take() -> CheckedContinuation<Answer, any Error>? {
        continuation.withLock { continuation in
            defer { continuation = nil }
            return continuation
        }
    }
}
