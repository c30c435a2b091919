internal import CacheWatch
internal import HubCache
internal import HubClient
internal import LinuxIO
internal import Repair
internal import Retention
internal import SystemdSupport
internal import Verification

// Downloads that somebody asks for: each on a thread of its own, which the loop hands its orders and hears from.
extension DaemonLoop {
    typealias DownloadReply = Reply<Result<BegunTransfer, TransferRefusal>>

    /// Begins a download, or joins the one that runs; answers once it may begin.
    func download(_ request: DownloadRequest, _ reply: DownloadReply) {
        do throws(TransferRefusal) {
            let cache = try placeForDownload(of: request.model)
            let known = transfers.running.filter { $0.number == cache.number && $0.repo == request.model.repo }
            if let same = try running(known, request) { return join(same, reply) }
            try requireLeave(request, cache)
            try begin(request, in: cache, known, reply)
        } catch {
            reply.give(.failure(error))
        }
    }

    /// The one that runs for the same revision.
    ///
    /// - Throws: `TransferRefusal` when that is for other files of it.
    private func running(_ known: [Transfer], _ request: DownloadRequest) throws(TransferRefusal) -> Transfer? {
        let same = known.first {
            $0.kind == .download && ($0.revision == request.revision || $0.commit?.hex == request.revision)
        }
        guard let same else { return nil }
        try requireSameFiles(same, request.include, request.exclude)
        return same
    }

    private func requireSameFiles(
        _ transfer: Transfer, _ include: [String], _ exclude: [String]
    ) throws(TransferRefusal) {
        if transfer.cancellation.isCancelled {
            throw TransferRefusal("already_downloading", "the download of it is being cancelled", retryAfter: 2)
        }
        guard transfer.include != include || transfer.exclude != exclude else { return }
        throw TransferRefusal(
            "already_downloading", "other files of this revision are being downloaded: task \(transfer.task)",
            retryAfter: 10)
    }

    private func join(_ transfer: Transfer, _ reply: DownloadReply) {
        // Who only waits for a verdict waits for the same one.
        guard transfer.state == .running else {
            transfer.waiting.append((reply, true))
            return
        }
        reply.give(.success(BegunTransfer(task: transfer.task, joined: true)))
        if transfer.isJoined { return }
        transfer.isJoined = true
        say(
            JournalEvent(
                .downloadJoined, "\(words(for: transfer)): asked for once more over the control socket",
                fields(of: transfer)))
    }

    /// The cache that has the repo, else the first one.
    private func placeForDownload(of name: ModelName) throws(TransferRefusal) -> WatchedCache {
        let named: [WatchedCache]
        do throws(NamingFailure) {
            let all = try caches(named: name.cache)
            let holders = all.filter { $0.repos[name.repo.folder] != nil }
            guard holders.count < 2 else { throw .several(holders.map(\.id)) }
            named = holders.isEmpty ? all : holders
        } catch {
            throw TransferRefusal(error)
        }
        guard let cache = named.first else { throw TransferRefusal("unavailable", "there is no cache") }
        try requireWritable(cache)
        return cache
    }

    /// - Throws: `TransferRefusal` where nothing can be written now.
    func requireWritable(_ cache: WatchedCache) throws(TransferRefusal) {
        guard cache.presence == .present, cache.isInventoryDone, !cache.isUnresponsive else {
            throw TransferRefusal(
                "unavailable", "\(cache.path.display) is not there, or was not looked at yet", retryAfter: 10)
        }
        if isForeign(cache) {
            throw TransferRefusal("not_allowed", "root writes nothing into another user's cache")
        }
        if cache.isReadOnly { throw TransferRefusal("not_allowed", "\(cache.path.display) is read-only") }
    }

    /// What is not here yet is fetched with the owner's token only where the owner allows that.
    private func requireLeave(_ request: DownloadRequest, _ cache: WatchedCache) throws(TransferRefusal) {
        if request.token != nil || inForce.policy.allowsFetch { return }
        guard cache.repos[request.model.repo.folder]?.states.isEmpty ?? true else { return }
        throw TransferRefusal(
            "not_allowed",
            "\(request.model.repo) is not in the cache yet: give a token of your own in 'hf_token', or set 'control: "
                + "allow-fetch' in the policy")
    }

    private func begin(
        _ request: DownloadRequest, in cache: WatchedCache, _ known: [Transfer], _ reply: DownloadReply
    ) throws(TransferRefusal) {
        // By another name it may be one that runs: which commit it is has to be asked first.
        if !known.contains(where: { $0.kind == .download }) {
            try requirePlace(besides: transfers.running, in: cache.number)
        }
        guard transfers.running.count < TransferBook.mostRunning, let looker = looker(cache),
            let worker = try? Worker(name: "transfer")
        else { throw TransferRefusal("busy", "too much is under way", retryAfter: 10) }
        let transfer = Transfer(
            .download, in: cache, repo: request.model.repo, revision: request.revision, include: request.include,
            exclude: request.exclude, within: cancellation)
        let isBusyByUs = transfers.running.contains {
            $0.number == cache.number && ($0.repo ?? request.model.repo) == request.model.repo
        }
        let order = DownloadOrder(
            ground: ground(of: transfer, in: cache, looker, account(request.token)),
            request: FetchRequest(
                repo: request.model.repo, revision: request.revision, include: request.include,
                exclude: request.exclude),
            mayBeGated: request.token != nil || inForce.policy.allowsFetch, isBusyByUs: isBusyByUs)
        transfer.worker = worker
        transfer.waiting = [(reply, false)]
        transfers.begin(transfer, monotonicNanoseconds())
        hand(worker, { order.prepare() }) { [task = transfer.task] loop, result in
            guard let transfer = loop.transfer(task) else { return }
            loop.take(result, transfer, order)
        }
    }

    /// - Throws: `TransferRefusal` when as many downloads run in a cache as may.
    private func requirePlace(besides all: some Sequence<Transfer>, in number: Int) throws(TransferRefusal) {
        let limit = inForce.policy.repair.maxConcurrentDownloads
        let running = all.filter { $0.number == number && $0.kind == .download }
        guard running.count >= limit else { return }
        let names = running.map { words(for: $0) }.joined(separator: ", ")
        throw TransferRefusal(
            "download_limit_reached",
            "\(running.count) of \(limit) downloads are running (\(names)); try again when one is done, or raise "
                + "'repair: max-concurrent-downloads'", retryAfter: 60)
    }

    /// What makes room for a download, where the policy has anything removed. An edit of the policy ends it.
    func roomOrder(for cache: WatchedCache) -> PassOrder? {
        guard inForce.policy.mode == .enforce else { return nil }
        let neighbours = caches.filter {
            $0.presence == .present && !$0.isUnresponsive && $0.filesystem == cache.filesystem
        }
        if neighbours.contains(where: isForeign) { return nil }
        var order = passOrder(for: neighbours)
        order.cancellation = roomCancellation
        return order
    }

    func transfer(_ task: String) -> Transfer? { transfers.running.first { $0.task == task } }

    // MARK: what its thread found

    private func take(_ result: Result<CommitHash, TransferRefusal>, _ transfer: Transfer, _ order: DownloadOrder) {
        guard let worker = transfer.worker else { return }
        switch result {
        case .failure(let refusal): end(transfer, refusal: transfer.cancellation.isCancelled ? .cancelled : refusal)
        case .success(let commit):
            transfer.commit = commit
            // By another name it may be under way already.
            let same = transfers.running.first {
                $0 !== transfer && $0.kind == .download && $0.number == transfer.number && $0.repo == transfer.repo
                    && $0.commit == commit
            }
            if let same {
                do throws(TransferRefusal) {
                    try requireSameFiles(same, transfer.include, transfer.exclude)
                } catch {
                    return end(transfer, refusal: error)
                }
                for (reply, _) in transfer.waiting { join(same, reply) }
                transfer.waiting = []
                return end(transfer, refusal: .cancelled)
            }
            do throws(TransferRefusal) {
                try requirePlace(
                    besides: transfers.running.prefix { $0 !== transfer }, in: transfer.number)
            } catch {
                return end(transfer, refusal: error)
            }
            let (task, mailbox) = (transfer.task, mailbox)
            hand(
                worker,
                {
                    order.run(
                        accepted: { fetch in mailbox.post { loop in loop.takeAccepted(task, fetch) } },
                        say: { event in mailbox.post { loop in loop.say(event) } })
                },
                then: { loop, found in
                    if let transfer = loop.transfer(task) { loop.take(found, transfer, order) }
                })
        }
    }

    private func takeAccepted(_ task: String, _ fetch: AcceptedFetch) {
        guard let transfer = transfer(task) else { return }
        transfer.commit = fetch.commit
        transfer.totalBytes = fetch.bytes
        transfer.accept()
        say(
            JournalEvent(
                .downloadStarted,
                "\(words(for: transfer)): downloading \(fetch.files) file\(fetch.files == 1 ? "" : "s"), "
                    + "\(formatBytes(fetch.bytes)), as was asked over the control socket",
                fields(of: transfer, bytes: fetch.bytes)))
    }

    private func take(_ found: DownloadFindings, _ transfer: Transfer, _ order: DownloadOrder) {
        let isCancelled = transfer.cancellation.isCancelled
        guard found.wasAccepted else {
            if case .failure(let refusal) = found.result { end(transfer, refusal: isCancelled ? .cancelled : refusal) }
            return
        }
        transfer.last = transfer.currentProgress()
        switch found.result {
        case .success(let bytes):
            transfer.state = .finished
            say(
                JournalEvent(
                    .downloadFinished,
                    "\(words(for: transfer)): downloaded, \(formatBytes(bytes)) of it transferred",
                    fields(of: transfer, bytes: bytes)))
            if isCancelled { return end(transfer, look: found.look, left: "it had been downloaded already") }
        // A daemon that stops leaves what came for the next one.
        case .failure where isCancelled && cancellation.isCancelled: transfer.state = .cancelled
        case .failure where isCancelled: return cleanUp(found, transfer, order)
        case .failure(let refusal):
            transfer.state = .failed
            transfer.error = refusal
            sayFailure(of: transfer, refusal)
        }
        end(transfer, look: found.look)
    }

    private func cleanUp(_ found: DownloadFindings, _ transfer: Transfer, _ order: DownloadOrder) {
        transfer.state = .cancelled
        transfer.error = .cancelled
        sayFailure(of: transfer, .cancelled)
        guard let worker = transfer.worker, let traces = found.traces,
            let cache = caches.first(where: { $0.number == transfer.number })
        else {
            return end(transfer, look: found.look, left: "its cache is not watched any more: what came stays there")
        }
        let (removal, mailbox, task) = (passOrder(for: [cache]), mailbox, transfer.task)
        var fresh = order
        fresh.ground.looker.cancellation = cancellation
        hand(
            worker,
            { [fresh] in fresh.cleanUp(traces, removal) { event in mailbox.post { loop in loop.say(event) } } },
            then: { loop, result in
                if let transfer = loop.transfer(task) { loop.end(transfer, look: result.1, left: result.0) }
            })
    }

    /// Ends one that never began.
    private func end(_ transfer: Transfer, refusal: TransferRefusal) {
        transfer.state = transfer.cancellation.isCancelled ? .cancelled : .failed
        transfer.error = refusal
        transfer.refuse(refusal)
        end(transfer, look: nil, isKept: false)
    }

    /// Ends one, and looks at what it has changed.
    func end(_ transfer: Transfer, look: RepoLook?, left: String? = nil, isKept: Bool = true) {
        transfer.worker?.stop(droppingJobs: true)
        transfer.worker = nil
        transfer.last = transfer.currentProgress()
        transfer.ended = currentTime()
        transfers.end(transfer, isKept: isKept)
        isStatusStale = true
        if isKept { bulletin.publish(.progress(transfer.report)) }
        if isKept, let repo = transfer.repo, let cache = caches.first(where: { $0.number == transfer.number }) {
            let now = monotonicNanoseconds()
            // Who asks next is told what is there now.
            if let look { take(look, of: cache, isOverdue: true) }
            cache.settle.changed(repo.folder, at: now)
            cache.changedAt[repo.folder] = now
            cache.space.nextLook = now
            sayLedgerProblems()
        }
        for told in transfer.cancelling { told(left) }
        transfer.cancelling = []
    }

    // MARK: cancelling

    /// Cancels what runs of a model, or one task of it.
    ///
    /// - Returns: whether there was anything; then the reply is given when it is over.
    func cancelTransfers(
        of name: ModelName, task: String?, _ reply: Reply<Result<AskedRemoval, AskedWorkFailure>>
    ) -> Bool {
        let meant = transfers.running.filter { transfer in
            // Who wants a model gone that is being repaired wants it gone.
            task.map { transfer.task == $0 } ?? (transfer.kind == .download && transfer.isMeant(by: name))
        }
        guard !meant.isEmpty else { return false }
        let places = Set(meant.map(\.cacheID))
        if places.count > 1 {
            reply.give(.failure(.naming(.several(places.sorted()))))
            return true
        }
        let group = CancelledGroup(count: meant.count)
        for transfer in meant {
            transfer.cancelling.append { left in
                group.note(left)
                if group.count == 0 { reply.give(.success(.cancelled(left: group.left))) }
            }
            transfer.cancellation.cancel()
            if transfer.isOwn { postponeOwnRepair(of: transfer) }
        }
        return true
    }

    /// Cancels all: the daemon ends. What came stays for the next one.
    func stopTransfers() {
        for transfer in transfers.running { transfer.worker?.stop(droppingJobs: true) }
    }

    var areTransfersOver: Bool {
        transfers.running.allSatisfy { transfer in
            let isHung = caches.contains { $0.number == transfer.number && $0.isUnresponsive }
            return isHung || transfer.worker?.isIdle ?? true
        }
    }

    // MARK: words

    func words(for transfer: Transfer) -> String {
        guard let repo = transfer.repo else { return "cache \(transfer.cacheID)" }
        return "\(repo)" + (transfer.revision.map { "@\(displayText(of: $0))" } ?? "")
    }

    func fields(of transfer: Transfer, bytes: UInt64? = nil, code: String? = nil) -> EventFields {
        let cache = caches.first { $0.number == transfer.number }
        return EventFields(
            cache: cache?.root ?? cache?.path, repo: transfer.repo?.description, revision: transfer.commit, code: code,
            bytes: bytes,
            durationMicroseconds: transfer.state == .finished
                ? (monotonicNanoseconds() &- transfer.startedAt) / 1000 : nil)
    }

    func sayFailure(of transfer: Transfer, _ refusal: TransferRefusal) {
        let isWanted = refusal == .cancelled
        say(
            JournalEvent(
                .downloadFailed, priority: isWanted ? .notice : nil,
                "\(words(for: transfer)): "
                    + (isWanted
                        ? "the \(transfer.kind.rawValue) was cancelled"
                        : "\(displayText(of: refusal.message)); ask for it again to go on with what came"),
                fields(of: transfer, code: refusal.code)))
    }
}

/// Those that were cancelled together.
private final class CancelledGroup {
    var count: Int
    var left: String?

    init(count: Int) { self.count = count }

    func note(_ left: String?) {
        count -= 1
        self.left = self.left ?? left
    }
}
