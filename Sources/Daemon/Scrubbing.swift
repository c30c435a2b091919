internal import HubCache
internal import Ledger
internal import LinuxIO
internal import Retention
internal import Synchronization
internal import SystemdSupport
internal import Verification

/// The background digest pass of one cache, as the loop knows it.
struct ScrubState {
    var record: ScrubRecord?
    var isLoaded = false
    var isBusy = false
    /// When to see whether one is due, on the monotonic clock.
    var nextLook: UInt64 = 0
}

// Every content against its digest, repo after repo, as often as the policy says.
extension DaemonLoop {
    func scrubIfDue(_ cache: WatchedCache, _ now: UInt64) {
        guard let every = inForce.policy.verification.scrubEvery, mayScrub(cache), now >= cache.scrub.nextLook,
            let root = cache.root
        else { return }
        guard cache.scrub.isLoaded else { return loadScrub(cache, root) }
        let time = currentTime()
        if let record = cache.scrub.record, let finished = record.finishedAt {
            let age = time.nanoseconds &- finished.nanoseconds
            guard age >= every.components.seconds &* 1_000_000_000 else {
                cache.scrub.nextLook = now &+ 10 * Timers.minute
                return
            }
            cache.scrub.record = nil
        }
        let record = cache.scrub.record ?? ScrubRecord(begunAt: time)
        cache.scrub.record = record
        // What comes while the pass runs has its turn when its name has.
        let next = cache.repos.keys.filter { $0.text > record.position && cache.live[$0] == nil }
            .min { $0.text < $1.text }
        if let next { scrub(next, of: cache, record) } else { finishScrub(cache, record, root) }
    }

    /// Whether anything can be done about a scrub now.
    func mayScrub(_ cache: WatchedCache) -> Bool {
        inForce.policy.verification.scrubEvery != nil && isReady && cache.presence == .present && cache.isInventoryDone
            && cache.root != nil && !cache.isUnresponsive && !cache.scrub.isBusy
    }

    private func loadScrub(_ cache: WatchedCache, _ root: BytePath) {
        guard let recorder else { return }
        cache.scrub.isBusy = true
        let ledger = ledger
        hand(
            recorder, of: cache, { ledger.scrub(cache: root) },
            then: { _, cache, record in
                cache.scrub.isBusy = false
                cache.scrub.isLoaded = true
                cache.scrub.record = record
            })
    }

    private func scrub(_ folder: BytePath, of cache: WatchedCache, _ record: ScrubRecord) {
        guard let looker = looker(cache), let worker = readingWorker(cache), let root = cache.root else { return }
        cache.scrub.isBusy = true
        let rate = inForce.policy.verification.rate
        let gauge = PressureGauge(mostPartsPerMillion: inForce.policy.verification.ioPressureMax)
        let ledger = ledger
        hand(
            worker, of: cache,
            { () -> (RepoLook?, ScrubRecord) in
                let look = try? looker.repo(
                    folder, depth: .digests, rate: rate, isFresh: true, mustPause: { gauge.isHigh })
                var record = record
                if !looker.cancellation.isCancelled {
                    record.position = folder.text
                    record.checked += look?.states.count ?? 0
                    ledger.note(scrub: record, cache: root)
                }
                return (look, record)
            },
            then: { loop, cache, found in
                cache.scrub.isBusy = false
                guard !loop.cancellation.isCancelled else { return }
                cache.scrub.record = found.1
                if let look = found.0, !look.isGone { loop.take(look, of: cache, isOverdue: false) }
            })
    }

    private func finishScrub(_ cache: WatchedCache, _ record: ScrubRecord, _ root: BytePath) {
        var record = record
        record.finishedAt = currentTime()
        cache.scrub.record = record
        let (ledger, ended) = (ledger, record)
        recorder?.add { ledger.note(scrub: ended, cache: root) }
        let duration = (record.finishedAt?.nanoseconds ?? 0) &- record.begunAt.nanoseconds
        say(
            JournalEvent(
                .scrubFinished, "\(root.display): all content of \(record.checked) revisions was checked",
                EventFields(
                    cache: root, durationMicroseconds: UInt64(max(0, duration / 1000)), checked: UInt64(record.checked))
            ))
    }
}

/// How busy the disks are: `some avg10` of `/proc/pressure/io`, looked at once a second at most.
final class PressureGauge: Sendable {
    private let most: UInt32
    private let last = Mutex<(isHigh: Bool, time: UInt64)>((false, 0))

    init(mostPartsPerMillion: UInt32) { most = mostPartsPerMillion }

    /// Whether somebody waits for disks more than may be. Where the kernel does not say, nobody does.
    var isHigh: Bool {
        last.withLock { last in
            let now = monotonicNanoseconds()
            if last.time == 0 || now &- last.time > Timers.second { last = (Self.pressure() > most, now) }
            return last.isHigh
        }
    }

    /// Parts per million of the last ten seconds.
    private static func pressure() -> UInt32 {
        guard let file = try? OwnedDescriptor.open(trustedPath: "/proc/pressure/io"),
            let bytes = (try? file.readAll(limit: 4096)).flatMap(\.self)
        else { return 0 }
        return parse(String(decoding: bytes, as: UTF8.self))
    }

    /// Reads `some avg10=2.97 …`: percent with two decimals.
    static func parse(_ text: String) -> UInt32 {
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("some ") }),
            let field = line.split(separator: " ").first(where: { $0.hasPrefix("avg10=") }),
            let percent = Double(field.dropFirst(6)), percent >= 0, percent <= 100
        else { return 0 }
        return UInt32(percent * 10_000)
    }
}
