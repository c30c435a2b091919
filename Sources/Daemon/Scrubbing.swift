internal import HubCache
internal import Ledger
internal import LinuxIO
internal import Retention
internal import SystemdSupport
internal import Verification

/// The background digest pass of one cache, as the loop knows it.
struct ScrubState {
    /// What somebody asked for, until it is done.
    enum Wish { case start, cancel }

    var record: ScrubRecord?
    var isLoaded = false
    /// Whether the recorder or the scrub's own worker has something to do for it.
    var isBusy = false
    var wish: Wish?
    /// Repos whose turn came while somebody worked on them.
    var skipped: Set<BytePath> = []
    /// Ends what is being read now.
    var cancellation: Cancellation?
    var progress: VerificationProgress?
    /// When to see whether one is due, on the monotonic clock.
    var nextLook: UInt64 = 0

    /// The pass that is under way.
    var current: ScrubRecord? { record.flatMap { $0.endedAt == nil ? $0 : nil } }
}

// Every content against its digest, repo after repo, as often as the policy says or when somebody asks.
extension DaemonLoop {
    /// Begins a digest pass over a cache now, whatever the policy says. One that is under way goes on.
    func startScrub(of cache: WatchedCache) { wish(.start, of: cache) }

    /// Ends the digest pass over a cache that is under way. The next one begins anew, by the policy's period from now.
    func cancelScrub(of cache: WatchedCache) { wish(.cancel, of: cache) }

    private func wish(_ wish: ScrubState.Wish, of cache: WatchedCache) {
        cache.scrub.wish = wish
        cache.scrub.nextLook = 0
        // Nobody waits for the read that runs now.
        if wish == .cancel { cache.scrub.cancellation?.cancel() }
        fulfilWish(cache)
        isStatusStale = true
    }

    /// Does what was asked for as soon as it is known what was before.
    private func fulfilWish(_ cache: WatchedCache) {
        guard let wish = cache.scrub.wish, cache.scrub.isLoaded, let root = cache.root else { return }
        cache.scrub.wish = nil
        let time = currentTime()
        switch wish {
        case .start:
            var record =
                cache.scrub.current ?? ScrubRecord(begunAt: time, finishedAt: cache.scrub.record?.finishedAt)
            record.isRequested = true
            note(record, cache, root)
        case .cancel:
            guard var record = cache.scrub.current else { return }
            record.endedAt = time
            note(record, cache, root)
        }
    }

    private func note(_ record: ScrubRecord, _ cache: WatchedCache, _ root: BytePath) {
        cache.scrub.record = record
        isStatusStale = true
        let ledger = ledger
        recorder?.add { ledger.note(scrub: record, cache: root) }
    }

    func scrubIfDue(_ cache: WatchedCache, _ now: UInt64) {
        guard mayScrub(cache), now >= cache.scrub.nextLook, let root = cache.root else { return }
        guard cache.scrub.isLoaded else { return loadScrub(cache, root) }
        fulfilWish(cache)
        guard let record = scrubDue(cache) else {
            var wait = 10 * Timers.minute
            if let due = nextScrub(cache) {
                let rest = due.nanoseconds.subtractingReportingOverflow(currentTime().nanoseconds)
                if !rest.overflow { wait = min(wait, UInt64(max(0, rest.partialValue)) &+ Timers.second) }
            }
            cache.scrub.nextLook = now &+ wait
            return
        }
        if cache.scrub.record != record { note(record, cache, root) }
        // What comes while the pass runs has its turn when its name has; what somebody works on then, at the end.
        let rest = cache.repos.keys.filter { $0.text > record.position }
        cache.scrub.skipped.formUnion(rest.filter { cache.live[$0] != nil })
        let free = { (folder: BytePath) in cache.live[folder] == nil && cache.repos[folder] != nil }
        let next =
            rest.filter(free).min { $0.text < $1.text }
            ?? cache.scrub.skipped.filter(free).min { $0.text < $1.text }
        guard let next else { return finishScrub(cache, record, root) }
        cache.scrub.skipped.remove(next)
        scrub(next, of: cache, record)
    }

    /// Whether anything can be done about a scrub now.
    func mayScrub(_ cache: WatchedCache) -> Bool {
        isReady && cache.presence == .present && cache.isInventoryDone && cache.root != nil && !cache.isUnresponsive
            && !cache.scrub.isBusy
    }

    /// The pass to go on with, or to begin; nil: none is due.
    private func scrubDue(_ cache: WatchedCache) -> ScrubRecord? {
        let every = inForce.policy.verification.scrubEvery
        if let current = cache.scrub.current, every != nil || current.isRequested { return current }
        guard every != nil, cache.scrub.current == nil else { return nil }
        let time = currentTime()
        if let due = nextScrub(cache), time < due { return nil }
        return ScrubRecord(begunAt: time, finishedAt: cache.scrub.record?.finishedAt)
    }

    /// When the next pass is to begin; nil: none is, or one is under way, or there was none yet.
    private func nextScrub(_ cache: WatchedCache) -> Timestamp? {
        guard let every = inForce.policy.verification.scrubEvery, let ended = cache.scrub.record?.endedAt else {
            return nil
        }
        return Timestamp(nanoseconds: ended.nanoseconds &+ every.components.seconds &* 1_000_000_000)
    }

    private func loadScrub(_ cache: WatchedCache, _ root: BytePath) {
        guard let recorder else { return }
        cache.scrub.isBusy = true
        let ledger = ledger
        hand(
            recorder, of: cache, { ledger.scrub(cache: root) },
            then: { loop, cache, record in
                cache.scrub.isBusy = false
                cache.scrub.isLoaded = true
                cache.scrub.record = record
                loop.isStatusStale = true
            })
    }

    private func scrub(_ folder: BytePath, of cache: WatchedCache, _ record: ScrubRecord) {
        if cache.scrubbing == nil { cache.scrubbing = try? Worker(name: "scrub") }
        guard var looker = looker(cache), let worker = cache.scrubbing, let root = cache.root else {
            cache.scrub.nextLook = monotonicNanoseconds() &+ Timers.minute
            return
        }
        let (cancellation, progress) = (Cancellation(), VerificationProgress())
        cache.scrub.isBusy = true
        cache.scrub.cancellation = cancellation
        cache.scrub.progress = progress
        looker.cancellation = cancellation
        let reader = looker
        let rate = inForce.policy.verification.rate
        let gauge = PressureGauge(mostPartsPerMillion: inForce.policy.verification.ioPressureMax)
        hand(
            worker, of: cache,
            {
                try? reader.repo(
                    folder, depth: .digests, rate: rate, isFresh: true, progress: progress,
                    mustPause: { gauge.isHigh })
            },
            then: { loop, cache, look in
                cache.scrub.isBusy = false
                cache.scrub.cancellation = nil
                cache.scrub.progress = nil
                guard !cancellation.isCancelled, var record = cache.scrub.current else { return }
                record.position = max(record.position, folder.text)
                record.checked += look?.states.count ?? 0
                record.bytes &+= progress.bytesDone
                loop.note(record, cache, root)
                if let look, !look.isGone { loop.takeDeep(look, of: cache) }
            })
    }

    private func finishScrub(_ cache: WatchedCache, _ record: ScrubRecord, _ root: BytePath) {
        var record = record
        let time = currentTime()
        record.endedAt = time
        record.finishedAt = time
        note(record, cache, root)
        let skipped = cache.scrub.skipped.filter { cache.repos[$0] != nil }.count
        cache.scrub.skipped = []
        let words = skipped == 0 ? "" : "; \(skipped) repos that somebody works on were left out"
        let duration = time.nanoseconds &- record.begunAt.nanoseconds
        say(
            JournalEvent(
                .scrubFinished, "\(root.display): all content of \(record.checked) revisions was checked\(words)",
                EventFields(
                    cache: root, bytes: record.bytes, durationMicroseconds: UInt64(max(0, duration / 1000)),
                    checked: UInt64(record.checked))
            ))
    }

    // MARK: telling

    /// What `scrub status` is told: how far the digest pass over each cache is.
    var scrubDescription: JSONValue { .list(caches.map { scrub(of: $0).document }) }

    func scrub(of cache: WatchedCache) -> DaemonStatus.Scrub {
        let record = cache.scrub.record
        let isRunning =
            cache.scrub.current.map { $0.isRequested || inForce.policy.verification.scrubEvery != nil } ?? false
        return DaemonStatus.Scrub(
            path: cache.root ?? cache.path, state: record == nil ? .never : isRunning ? .running : .idle,
            reposDone: record.map { record in cache.repos.keys.count { $0.text <= record.position } } ?? 0,
            reposTotal: cache.repos.count, revisions: record?.checked ?? 0,
            bytes: (record?.bytes ?? 0) &+ (cache.scrub.progress?.bytesDone ?? 0), begun: record?.begunAt,
            finished: record?.finishedAt, cancelled: record.flatMap { $0.isCancelled ? $0.endedAt : nil },
            nextDue: nextScrub(cache))
    }
}
