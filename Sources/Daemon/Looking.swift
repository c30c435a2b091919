internal import CacheWatch
internal import HubCache
internal import LinuxIO
internal import Retention
internal import SystemdSupport
internal import Verification

// What is looked at, when, and what is made of it.
extension DaemonLoop {
    private enum Times {
        static let firstPause = 2 * Timers.second
        static let longestPause = 10 * Timers.second
        /// What is worked on for longer is judged nevertheless.
        static let longestLive = 60 * Timers.second
        /// What is not watched, such as locks, is looked at this often.
        static let sweep = 30 * Timers.minute
        static let longestRescanPause = 30 * Timers.second
    }

    var depth: VerificationDepth {
        // Digests are computed behind the others, so that nothing waits for them.
        inForce.policy.verification.onArrival == .structure ? .structure : .headers
    }

    func lookAtWhatIsDue(_ cache: WatchedCache, _ now: UInt64) {
        guard cache.presence == .present else { return }
        if let due = cache.nextFullLook, now >= due, !cache.isFullLookRunning { lookAtEverything(cache) }
        guard cache.isInventoryDone else { return }
        for due in cache.settle.due(at: now, isBusy: { cache.beingLookedAt.contains($0) }) {
            lookAt(due.key, of: cache, isOverdue: !due.isSettled)
        }
        for (folder, live) in cache.live where now >= live.nextLook && !cache.beingLookedAt.contains(folder) {
            cache.live[folder]?.pause = min(live.pause * 2, Times.longestPause)
            cache.live[folder]?.nextLook = now &+ min(live.pause * 2, Times.longestPause)
            lookAt(folder, of: cache, isOverdue: now &- live.since > Times.longestLive)
        }
    }

    // MARK: one repo

    private func lookAt(_ folder: BytePath, of cache: WatchedCache, isOverdue: Bool) {
        guard let looker = looker(cache) else { return }
        cache.beingLookedAt.insert(folder)
        let depth = depth
        let root = cache.root
        hand(
            cache.verifying, of: cache,
            { () -> Result<RepoLook, SystemCallFailure> in
                do throws(SystemCallFailure) { return .success(try looker.repo(folder, depth: depth)) } catch {
                    return .failure(error)
                }
            },
            then: { loop, cache, found in
                cache.beingLookedAt.remove(folder)
                guard cache.root == root else { return }
                switch found {
                case .success(let look): loop.take(look, of: cache, isOverdue: isOverdue)
                case .failure(let failure):
                    // A root that went meanwhile is reported by the watch; what else was in the way may be gone soon.
                    if !failure.isAbsent { loop.keepLive(folder, of: cache, monotonicNanoseconds()) }
                }
            })
    }

    func take(_ look: RepoLook, of cache: WatchedCache, isOverdue: Bool) {
        let now = monotonicNanoseconds()
        guard look.begun >= cache.lookedAt[look.folder] ?? 0 else { return }
        noteDownloads(look, of: cache, now)
        // A newer change is looked at when it has settled.
        if !isOverdue, look.isLive || (cache.changedAt[look.folder] ?? 0) >= look.begun {
            if look.isLive { keepLive(look.folder, of: cache, now) }
            return
        }
        if look.isLive { keepLive(look.folder, of: cache, now) } else { cache.live[look.folder] = nil }
        let before = cache.repos[look.folder]?.states
        publish(look, of: cache, isFirst: false)
        considerRepair(look, of: cache, now)
        if !look.isLive {
            if let change = cache.changedAt[look.folder] { counters.lastLag = now &- change }
            cache.changedAt[look.folder] = nil
            if before != cache.repos[look.folder]?.states { becomesDifferent(cache, folder: look.folder) }
        }
    }

    /// Takes a look at all content, which took long. One that began meanwhile, before the digests were known, is newer: then the
    /// repo is looked at once more, and the ledger knows them.
    func takeDeep(_ look: RepoLook, of cache: WatchedCache) {
        let isOvertaken =
            look.begun < cache.lookedAt[look.folder] ?? 0 || cache.beingLookedAt.contains(look.folder)
        take(look, of: cache, isOverdue: false)
        if isOvertaken, !look.isGone { keepLive(look.folder, of: cache, monotonicNanoseconds()) }
    }

    private func keepLive(_ folder: BytePath, of cache: WatchedCache, _ now: UInt64) {
        guard cache.live[folder] == nil else { return }
        cache.live[folder] = LiveRepo(since: now, nextLook: now &+ Times.firstPause, pause: Times.firstPause)
    }

    private func becomesDifferent(_ cache: WatchedCache, folder: BytePath) {
        requestPass(cache, after: 5 * Timers.second, hasChanged: true)
        if inForce.policy.verification.onArrival == .digests { computeDigests(of: folder, in: cache) }
    }

    private func noteDownloads(_ look: RepoLook, of cache: WatchedCache, _ now: UInt64) {
        guard !look.downloads.isEmpty || !(cache.repos[look.folder]?.downloads.isEmpty ?? true) else { return }
        cache.repos[look.folder, default: KnownRepo(id: look.id)].downloads = look.downloads
        cache.space.nextLook = min(cache.space.nextLook, now)
    }

    /// Says what a look at a repo found that was not known.
    private func publish(_ look: RepoLook, of cache: WatchedCache, isFirst: Bool, before: Set<CommitHash>? = nil) {
        let root = cache.root ?? cache.path
        cache.lookedAt[look.folder] = look.begun
        let events = book.replace(
            look.things, repo: look.isGone ? nil : look.id, folder: look.folder, cache: root, now: currentTime())
        for event in events { say(event) }
        isStatusStale = true
        forgetPayloads(of: look.folder, in: cache)
        guard !look.isGone else {
            cache.repos[look.folder] = nil
            return
        }
        for (payload, blob) in look.payloads { cache.payloadUsers[payload, default: [:]][look.folder] = blob }
        let known = cache.repos[look.folder]
        var everWhole = known?.everWhole ?? []
        if isFirst { everWhole.formUnion(before ?? look.whole) }
        for commit in look.whole.sorted() where everWhole.insert(commit).inserted {
            say(
                JournalEvent(
                    .arrived, "\(look.id)@\(commit.hex.prefix(12)) arrived and is whole",
                    EventFields(cache: root, repo: look.id, revision: commit, bytes: look.bytes[commit])))
        }
        everWhole.formIntersection(look.states.keys)
        cache.repos[look.folder] = KnownRepo(
            id: look.id, states: look.states, everWhole: everWhole, downloads: look.downloads,
            state: look.state, refs: look.refs, bytes: look.allBytes)
    }

    private func forgetPayloads(of folder: BytePath, in cache: WatchedCache) {
        guard !cache.payloadUsers.isEmpty else { return }
        for (payload, users) in cache.payloadUsers where users[folder] != nil {
            cache.payloadUsers[payload]?[folder] = nil
        }
    }

    // MARK: everything

    private func lookAtEverything(_ cache: WatchedCache) {
        guard let looker = looker(cache) else { return }
        cache.isFullLookRunning = true
        cache.isFullLookStale = false
        cache.nextFullLook = nil
        let progress = VerificationProgress()
        cache.lookProgress = progress
        cache.lastProgress = (-1, monotonicNanoseconds())
        let recovering = cache.isInventoryDone ? nil : (policy: cache.policy, enforcer: inForce.policy.enforcer)
        let jobs = cache.isInventoryDone ? 1 : availableProcessors()
        hand(
            cache.verifying, of: cache,
            { () -> Result<CacheLook, SystemCallFailure> in
                do throws(SystemCallFailure) {
                    return .success(
                        try looker.everything(depth: .structure, jobs: jobs, progress: progress, recovering: recovering)
                    )
                } catch { return .failure(error) }
            },
            then: { loop, cache, found in
                cache.isFullLookRunning = false
                cache.lookProgress = nil
                loop.setUnresponsive(cache, false)
                let now = monotonicNanoseconds()
                switch found {
                case .success(let look):
                    if !loop.cancellation.isCancelled { loop.take(look, of: cache) }
                case .failure(let failure):
                    if failure.isAbsent { return }
                    loop.raise(
                        loop.condition(
                            cache, "unreadable", .error, "\(cache.path.display) cannot be read: \(failure.reason)"))
                    loop.planFullLook(cache, at: now &+ Timers.minute)
                    cache.isInventoryDone = true
                }
                if cache.isFullLookStale { loop.planFullLook(cache, at: now &+ cache.rescanPause) }
            })
    }

    private func take(_ look: CacheLook, of cache: WatchedCache) {
        if let root = cache.root, root != look.path {
            // The link leads elsewhere now: what was wrong where it led before is not wrong here.
            if !caches.contains(where: { $0 !== cache && $0.root == root }) {
                for event in book.clear(root, now: currentTime()) { say(event) }
            }
            cache.forgetWhatWasFound()
            reconsiderTwins()
        }
        if setTwinsAside(of: cache, look) { return }
        let isFirst = !cache.isInventoryDone
        let now = monotonicNanoseconds()
        clear(.init(scope: cache.path.display, code: "unreadable"), saying: nil)
        cache.root = look.path
        cache.rootKey = look.rootKey
        cache.owner = look.owner
        cache.filesystem = look.filesystem
        cache.isReadOnly = look.isReadOnly
        judgeWritability(cache)
        cache.bytes = look.bytes
        cache.reclaimableBytes = look.reclaimableBytes
        cache.inUseMethod = look.inUseMethod
        cache.space.free = look.freeBytes
        cache.space.total = look.totalBytes
        cache.lastFullLookDuration = look.duration
        cache.isInventoryDone = true
        for (text, isDealtWith) in look.recovered {
            say(
                JournalEvent(
                    .pass, priority: isDealtWith ? .notice : .warning, text,
                    EventFields(cache: look.path, code: "recovered")))
        }
        for event in book.replace(look.things, repo: nil, folder: nil, cache: look.path, now: currentTime()) {
            say(event)
        }
        for event in book.keepOnly(look.repos.map(\.folder), of: look.path, now: currentTime()) { say(event) }
        let folders = Set(look.repos.map(\.folder))
        cache.structures = cache.structures.filter { folders.contains($0.key) }
        for folder in cache.repos.keys where !folders.contains(folder) {
            cache.repos[folder] = nil
            forgetPayloads(of: folder, in: cache)
            forgetRepair(of: folder, in: cache)
        }
        for repo in look.repos {
            // What a look at the repo alone found goes deeper; here only what is new counts.
            let isOther = cache.structures.updateValue(repo.structure, forKey: repo.folder) != repo.structure
            if !isFirst {
                if isOther || cache.repos[repo.folder] == nil { cache.settle.changed(repo.folder, at: now) }
                continue
            }
            if (cache.changedAt[repo.folder] ?? 0) >= look.begun || repo.isLive {
                if repo.isLive { keepLive(repo.folder, of: cache, now) }
                noteDownloads(repo, of: cache, now)
                if isFirst {
                    var quiet = repo
                    quiet.things = []
                    publish(quiet, of: cache, isFirst: true)
                }
                continue
            }
            let before = look.completeBefore.map { $0[repo.folder.text] ?? [] }
            publish(repo, of: cache, isFirst: isFirst, before: isFirst ? before : nil)
            considerRepair(repo, of: cache, now)
        }
        cache.lookedAt = cache.lookedAt.filter { folders.contains($0.key) || $0.value >= look.begun }
        // At the start that is begun when the daemon is ready.
        if isFirst ? isReady : cache.isToBeReadAnew {
            if !isFirst { cache.rescanPause = min(2 * cache.rescanPause, Times.longestRescanPause) }
            cache.isToBeReadAnew = false
            readInBackground(cache)
        }
        planFullLook(cache, at: now &+ Times.sweep)
        isStatusStale = true
        sayPass(checked: look.repos.reduce(0) { $0 + $1.states.count })
        sayLedgerProblems()
        if !isFirst { requestPass(cache, after: 5 * Timers.second) }
    }

    // MARK: what takes long

    /// Looks at every repo as deep as the policy wants, behind everything else.
    func readInBackground(_ cache: WatchedCache) {
        guard cache.presence == .present, inForce.policy.verification.onArrival != .structure else {
            cache.rescanPause = Timers.second
            return
        }
        // What still waits comes first: however often this begins anew, every repo has its turn.
        let waiting = Set(cache.pendingReads)
        cache.pendingReads += cache.repos.keys.filter { !waiting.contains($0) }.sorted()
        readNext(cache)
    }

    /// One repo at a time, so that what changes meanwhile need not wait.
    func readNext(_ cache: WatchedCache) {
        guard !cache.isReading, !cache.pendingReads.isEmpty, let looker = looker(cache),
            let worker = readingWorker(cache)
        else { return }
        let depth = depth
        let root = cache.root
        cache.isReading = true
        let folders = Array(cache.pendingReads.prefix(32))
        cache.pendingReads.removeFirst(folders.count)
        hand(
            worker, of: cache,
            { () -> [RepoLook] in
                folders.compactMap { folder in
                    looker.cancellation.isCancelled ? nil : try? looker.repo(folder, depth: depth)
                }
            },
            then: { loop, cache, looks in
                cache.isReading = false
                guard !loop.cancellation.isCancelled else { return }
                for look in looks where cache.root == root && !look.isGone && !cache.beingLookedAt.contains(look.folder)
                {
                    loop.take(look, of: cache, isOverdue: false)
                }
                if cache.pendingReads.isEmpty {
                    if !cache.isToBeReadAnew { cache.rescanPause = Timers.second }
                    // What was being read here was in use to a pass meanwhile.
                    loop.requestPass(cache, after: 5 * Timers.second)
                }
                loop.readNext(cache)
            })
    }

    private func computeDigests(of folder: BytePath, in cache: WatchedCache) {
        guard let looker = looker(cache), let worker = readingWorker(cache) else { return }
        let rate = inForce.policy.verification.rate
        hand(
            worker, of: cache, { try? looker.repo(folder, depth: .digests, rate: rate) },
            then: { loop, cache, look in
                guard let look, !loop.cancellation.isCancelled else { return }
                loop.takeDeep(look, of: cache)
            })
    }

    func readingWorker(_ cache: WatchedCache) -> Worker? {
        if cache.reading == nil { cache.reading = try? Worker(name: "read") }
        return cache.reading
    }

    /// A look at everything that comes no further hangs in the kernel.
    func lookForHangs(_ cache: WatchedCache, _ now: UInt64) {
        guard let progress = cache.lookProgress else { return }
        let value = progress.reposDone
        if value != cache.lastProgress.value {
            cache.lastProgress = (value, now)
        } else if now &- cache.lastProgress.since > Timers.hangLimit {
            setUnresponsive(cache, true)
        }
    }

    // MARK: numbers

    /// Sums up after a look at everything, where that is news.
    func sayPass(checked: Int, removed: Int = 0, errors: Int = 0) {
        lastPass.time = currentTime()
        lastPass.checked = caches.reduce(0) { $0 + $1.repos.values.reduce(0) { $0 + $1.states.count } }
        lastPass.incomplete = caches.reduce(0) { sum, cache in
            sum + cache.repos.values.reduce(0) { $0 + $1.states.values.count { $0 != .complete } }
        }
        lastPass.removed = removed
        lastPass.errors = errors
        isStatusStale = true
        guard lastPassSaid.map({ !$0.isSame(as: lastPass) }) ?? true || removed > 0 || errors > 0 else { return }
        lastPassSaid = lastPass
        say(
            JournalEvent(
                .pass,
                "\(lastPass.checked) revisions looked at, \(lastPass.incomplete) not complete, \(removed) removed, "
                    + "\(errors) errors",
                EventFields(
                    checked: UInt64(lastPass.checked), incomplete: UInt64(lastPass.incomplete),
                    removed: UInt64(removed), errors: UInt64(errors))))
    }
}

/// The numbers of a pass.
struct PassNumbers {
    var time: Timestamp?
    var checked = 0
    var incomplete = 0
    var removed = 0
    var bytes: UInt64 = 0
    var errors = 0

    func isSame(as other: PassNumbers) -> Bool { (checked, incomplete) == (other.checked, other.incomplete) }
}
