public import HubCache
internal import HubClient
internal import LinuxIO
internal import Repair
internal import Retention
internal import SystemdSupport
internal import Verification

/// What somebody wants repaired.
public struct RepairRequest: Sendable {
    /// A repo or a revision; nil: all of a cache.
    public var model: ModelName?
    /// The cache's id; nil: all caches.
    public var cache: String?
    /// The asker's own token, for this job alone.
    var token: HubToken?

    /// Makes a request.
    ///
    /// - Throws: `TransferRefusal` for a token that cannot be one.
    public init(_ model: ModelName?, cache: String?, token: String? = nil) throws(TransferRefusal) {
        self.model = model
        self.cache = cache
        self.token = try DownloadRequest.token(token)
    }
}

/// A repair that was begun, or that somebody has begun already.
public struct BegunRepair: Sendable, Hashable {
    /// What it is asked about by.
    public var transfer: BegunTransfer
    /// The id of the cache.
    public var cache: String
    /// The repo; nil: the whole cache.
    public var repo: RepoID?
}

// Repairs that somebody asks for: one a repo or a cache, each on a thread of its own.
extension DaemonLoop {
    /// Begins them.
    func repair(_ request: RepairRequest) throws(TransferRefusal) -> [BegunRepair] {
        var chosen: [(cache: WatchedCache, commit: CommitHash?)] = []
        do throws(NamingFailure) {
            if let name = request.model {
                let cache = try place(of: name)
                chosen = [(cache, try commit(of: name, in: cache))]
            } else {
                chosen = try caches(named: request.cache).map { ($0, nil) }
            }
        } catch {
            throw TransferRefusal(error)
        }
        // All or none, but for caches that nobody named.
        let isEach = request.model == nil && request.cache == nil
        var begun: [BegunRepair] = []
        var refusal: TransferRefusal?
        for (cache, commit) in chosen {
            do throws(TransferRefusal) {
                try requireWritable(cache)
                begun.append(try repair(request, commit, in: cache))
            } catch {
                if !isEach { throw error }
                refusal = error
            }
        }
        if begun.isEmpty, let refusal { throw refusal }
        return begun
    }

    private func repair(
        _ request: RepairRequest, _ commit: CommitHash?, in cache: WatchedCache
    ) throws(TransferRefusal) -> BegunRepair {
        let repo = request.model?.repo
        func document(_ transfer: Transfer, joined: Bool) -> BegunRepair {
            BegunRepair(
                transfer: BegunTransfer(task: transfer.task, joined: joined), cache: cache.id, repo: repo)
        }
        let same = transfers.running.first {
            $0.kind == .repair && !$0.isOwn && $0.number == cache.number && $0.repo == repo && $0.commit == commit
        }
        if let same { return document(same, joined: true) }
        guard transfers.running.count < TransferBook.mostRunning, let looker = looker(cache),
            let worker = try? Worker(name: "transfer")
        else { throw TransferRefusal("busy", "too much is under way", retryAfter: 10) }
        let transfer = Transfer(
            .repair, in: cache, repo: repo, revision: request.model?.revision, within: cancellation)
        transfer.commit = commit
        transfer.worker = worker
        transfer.accept()
        transfers.begin(transfer, monotonicNanoseconds())
        let order = RepairOrder(
            ground: ground(of: transfer, in: cache, looker, account(request.token)),
            selection: repo.map { .repo($0, commit) } ?? .everything, isAsked: true, triesAgain: repo != nil)
        let (mailbox, task) = (mailbox, transfer.task)
        hand(
            worker,
            {
                let findings = order.run { event in mailbox.post { loop in loop.say(event) } }
                return (findings, repo.flatMap { try? order.ground.looker.repo($0.folder, depth: .structure) })
            },
            then: { loop, found in
                guard let transfer = loop.transfer(task) else { return }
                loop.conclude(transfer, found.0)
                loop.end(transfer, look: found.1)
                if transfer.repo == nil, let cache = loop.caches.first(where: { $0.number == transfer.number }) {
                    loop.planFullLook(cache, at: monotonicNanoseconds())
                }
            })
        return document(transfer, joined: false)
    }

    /// Takes what a repair came to.
    func conclude(_ transfer: Transfer, _ found: RepairFindings) {
        transfer.last = transfer.currentProgress()
        var files = TransferReport.Files()
        for result in found.results {
            switch result.outcome {
            case .repaired: files.repaired += 1
            case .asPublished, .left: files.left += 1
            case .failed(let failure, _, _):
                files.failed += 1
                transfer.error = transfer.error ?? TransferRefusal(failure)
            }
        }
        transfer.files = files
        if let problem = found.problem { transfer.error = TransferRefusal("failed", problem) }
        if transfer.cancellation.isCancelled { transfer.error = .cancelled }
        transfer.state = transfer.cancellation.isCancelled ? .cancelled : transfer.error == nil ? .finished : .failed
        if !transfer.isOwn, let error = transfer.error, !cancellation.isCancelled { sayFailure(of: transfer, error) }
    }

    /// Somebody does not want what the daemon repairs by itself: it is left alone for a while.
    func postponeOwnRepair(of transfer: Transfer) {
        guard let repo = transfer.repo, let cache = caches.first(where: { $0.number == transfer.number }) else {
            return
        }
        cache.repairs[repo.folder]?.next = monotonicNanoseconds() &+ 60 * Timers.minute
    }
}
