internal import CacheScan
internal import HubCache
internal import Ledger
internal import LinuxIO
internal import Retention
internal import SystemdSupport
internal import Verification

/// A folder of `local-dirs`: verified now and then, never watched and never changed.
struct LocalFolder {
    /// On the monotonic clock.
    var nextLook: UInt64 = 0
    /// The folders of weights in it that something is wrong with.
    var wrong: Set<BytePath> = []
}

/// What a look at such a folder needs, on a worker's thread.
struct LocalFolderLooker: Sendable {
    var folder: BytePath
    var ledger: Ledger
    var options: VerificationOptions
    var cancellation: Cancellation
    /// The roots of watched caches: what is in or around one is verified as such already.
    var caches: [BytePath]

    /// What was found.
    struct Found: Sendable {
        var trees: [(path: BytePath, id: String, things: [FoundThing])] = []
        var failure: SystemCallFailure?
        /// Whether there are more folders than are looked at.
        var isCut = false
        var duration: UInt64 = 0
    }

    func look() -> Found {
        let begun = monotonicNanoseconds()
        var found = Found()
        do throws(SystemCallFailure) {
            let listing = try WeightFolders.list(below: folder)
            found.isCut = listing.isCut
            for path in listing.folders where !cancellation.isCancelled {
                if caches.contains(where: { $0.relative(to: path) != nil || path.relative(to: $0) != nil || $0 == path }
                ) {
                    continue
                }
                guard let tree = tree(path) else { continue }
                found.trees.append(tree)
            }
        } catch {
            found.failure = error
        }
        found.duration = monotonicNanoseconds() &- begun
        return found
    }

    private func tree(_ path: BytePath) -> (path: BytePath, id: String, things: [FoundThing])? {
        let scan: PlainFolderScan
        do throws(SystemCallFailure) { scan = try PlainFolderScan(opening: path) } catch {
            // What vanished since it was listed is simply not there any more.
            if error.isAbsent { return nil }
            let finding = Finding(error.findingCode, path: ".", detail: error.reason)
            return (path, "local:" + path.display, [FoundThing(finding: finding, revision: nil)])
        }
        let report = Verifier(
            root: scan.root, options: options, memory: Memory(ledger), cancellation: cancellation
        ).verify(scan, id: path)
        let things = report.repos.flatMap { repo in
            repo.findings.map { FoundThing(finding: $0, revision: nil) }
                + repo.revisions.flatMap { revision in
                    revision.findings.map { FoundThing(finding: $0, revision: revision.commit) }
                }
        }
        return (path, "local:" + path.display, things)
    }
}

extension DaemonLoop {
    private static let pause = 10 * Timers.minute

    /// When a folder of a cache's `local-dirs` is to be looked at.
    func nextLocalLook(_ cache: WatchedCache) -> UInt64? {
        guard isReady, cache.localReading == nil else { return nil }
        return cache.policy.localDirs.map { cache.localFolders[$0]?.nextLook ?? 0 }.min()
    }

    func lookAtLocalFolders(_ cache: WatchedCache, _ now: UInt64) {
        for gone in cache.localFolders.keys where !cache.policy.localDirs.contains(gone) { forget(gone, of: cache) }
        guard let next = nextLocalLook(cache), next <= now,
            let folder = cache.policy.localDirs.first(where: { cache.localFolders[$0]?.nextLook ?? 0 == next })
        else { return }
        if cache.localReader == nil { cache.localReader = try? Worker(name: "local") }
        guard let worker = cache.localReader else {
            cache.localFolders[folder, default: LocalFolder()].nextLook = now &+ Timers.minute
            return
        }
        let verification = inForce.policy.verification
        let readsAll = verification.onArrival == .digests || verification.scrubEvery != nil
        var options = VerificationOptions(
            depth: readsAll ? .digests : depth, jobs: 1, bytesPerSecond: verification.rate)
        let gauge = PressureGauge(mostPartsPerMillion: verification.ioPressureMax)
        options.mustPause = { gauge.isHigh }
        let cancellation = Cancellation(within: cancellation)
        let looker = LocalFolderLooker(
            folder: folder, ledger: ledger, options: options, cancellation: cancellation,
            caches: caches.compactMap(\.root))
        cache.localReading = (folder, cancellation)
        hand(
            worker, of: cache, looker.look,
            then: { loop, cache, found in
                cache.localReading = nil
                guard !cancellation.isCancelled, cache.policy.localDirs.contains(folder) else { return }
                loop.take(found, of: folder, in: cache)
            })
    }

    private func take(_ found: LocalFolderLooker.Found, of folder: BytePath, in cache: WatchedCache) {
        var known = cache.localFolders[folder] ?? LocalFolder()
        known.nextLook = monotonicNanoseconds() &+ max(Self.pause, 20 &* found.duration)
        let identity = Condition.Identity(scope: cache.path.display, code: "local-dir", subject: folder.display)
        let problem =
            found.failure.map {
                "cannot be verified: \($0.reason); correct the policy, or let the daemon's user read it"
            }
            ?? (found.isCut
                ? "has too many folders: only the first \(found.trees.count) with weights are verified; list those in it "
                    + "that hold models"
                : nil)
        if let problem {
            raise(
                Condition(
                    identity,
                    event: JournalEvent(
                        .watchDegraded, priority: .warning, "\(folder.display) of 'local-dirs' \(problem)",
                        EventFields(path: folder, code: "local-dir"))))
        } else {
            clear(identity, saying: nil)
        }
        if found.failure == nil {
            var wrong: Set<BytePath> = []
            for tree in found.trees {
                let events = book.replace(
                    tree.things, repo: tree.id, folder: nil, cache: tree.path, now: currentTime())
                for event in events { say(event) }
                if tree.things.contains(where: { $0.finding.severity > .info }) { wrong.insert(tree.path) }
            }
            let gone = known.wrong.subtracting(found.trees.map(\.path))
            for path in gone.sorted() where !isKnown(path, besides: folder, of: cache) {
                for event in book.clear(path, now: currentTime()) { say(event) }
            }
            known.wrong = wrong
        }
        cache.localFolders[folder] = known
        isStatusStale = true
    }

    /// Whether something wrong was also found by way of another entry of `local-dirs`, which leads to the same folder.
    private func isKnown(_ path: BytePath, besides folder: BytePath, of cache: WatchedCache) -> Bool {
        caches.contains { other in
            other.localFolders.contains { ($0.key != folder || other !== cache) && $0.value.wrong.contains(path) }
        }
    }

    /// What is wrong in a cache's `local-dirs`.
    func localFindings(_ cache: WatchedCache) -> [(repo: String?, thing: FoundThing)] {
        // Several entries may lead to the same folder.
        Set(cache.localFolders.values.flatMap(\.wrong)).sorted().flatMap { book.found(in: $0) }
    }

    /// Has them looked at by another policy.
    func planLocalLooks(of cache: WatchedCache) {
        for folder in cache.localFolders.keys { cache.localFolders[folder]?.nextLook = 0 }
    }

    func forgetLocalFolders(of cache: WatchedCache) {
        for folder in cache.localFolders.keys { forget(folder, of: cache) }
    }

    private func forget(_ folder: BytePath, of cache: WatchedCache) {
        if let reading = cache.localReading, reading.folder == folder { reading.cancellation.cancel() }
        for path in cache.localFolders[folder]?.wrong ?? [] where !isKnown(path, besides: folder, of: cache) {
            book.forget(path, now: currentTime())
        }
        cache.localFolders[folder] = nil
        clear(.init(scope: cache.path.display, code: "local-dir", subject: folder.display), saying: nil)
    }
}
