public import CacheScan
public import HubCache
public import LinuxIO
internal import Synchronization

/// What of a cache is meant.
public enum CacheSelection: Sendable {
    /// All of it.
    case everything
    /// One repo, and of it one revision or all.
    case repo(RepoID, CommitHash?)
}

/// What a verification is told.
public struct VerificationOptions: Sendable {
    /// How deep it looks.
    public var depth: VerificationDepth
    /// How many threads work at once.
    public var jobs: Int
    /// At most so many bytes a second are hashed; nil for as fast as it goes.
    public var bytesPerSecond: UInt64?
    /// Asked between two reads of contents whether to stand back; nil: never.
    public var mustPause: (@Sendable () -> Bool)?
    /// Whether remembered digests are left aside.
    public var ignoresMemory: Bool
    /// The secret that tensor names are hashed with.
    public var hashSeed: UInt64

    /// Makes options.
    public init(
        depth: VerificationDepth, jobs: Int = availableProcessors(), bytesPerSecond: UInt64? = nil,
        ignoresMemory: Bool = false, hashSeed: UInt64 = .random(in: .min ... .max)
    ) {
        self.depth = depth
        self.jobs = max(1, jobs)
        self.bytesPerSecond = bytesPerSecond
        self.ignoresMemory = ignoresMemory
        self.hashSeed = hashSeed
    }
}

/// The first half of the pipeline, from the disk to findings, for one cache.
///
/// It creates and changes nothing in the cache. Its calls block the caller's thread until they are done.
public struct Verifier: Sendable {
    private let scan: CacheScan
    private let options: VerificationOptions
    private let memory: Memory
    private let progress: VerificationProgress
    private let cancellation: Cancellation

    /// Makes a verifier.
    ///
    /// - Parameters:
    ///   - memory: what earlier runs found out; `Memory.none` for nothing.
    ///   - progress: is told how far it is; may be read from another thread.
    ///   - cancellation: when it is cancelled, the rest is left out and the report is not to be used.
    public init(
        root: CacheRoot, options: VerificationOptions, memory: Memory = .none,
        progress: VerificationProgress = VerificationProgress(), cancellation: Cancellation = Cancellation()
    ) {
        scan = CacheScan(root: root)
        self.options = options
        self.memory = memory
        self.progress = progress
        self.cancellation = cancellation
    }

    /// Verifies what is selected.
    ///
    /// - Parameters:
    ///   - selection: what is looked at.
    ///   - observe: is told of every repo when it is judged, on one of the threads that judge; several at once. For what is
    ///     needed of the inventories, which are not kept.
    /// - Returns: nil when the selection is not in this cache.
    /// - Throws: `SystemCallFailure` when the root cannot be read.
    public func verify(
        _ selection: CacheSelection = .everything, observe: (@Sendable (ObservedRepo) -> Void)? = nil
    ) throws(SystemCallFailure) -> CacheReport? {
        let listing: CacheListing
        if case .repo(let id, _) = selection {
            guard let found = try scan.list(only: id) else { return nil }
            listing = found
        } else {
            listing = try scan.list()
        }
        var folders = listing.repos
        var onlyCommits: Set<CommitHash>?
        var isWhole = true
        if case .repo(let id, let commit) = selection {
            folders = folders.filter { $0.id == id }
            if folders.isEmpty { return nil }
            onlyCommits = commit.map { [$0] }
            isWhole = false
        }
        // The locks are one more item of work: as many files as there are blobs.
        let locks = Mutex(LockListing())
        let lockScan =
            isWhole ? BackgroundThread(name: "hfj-locks") { [scan] in locks.withLock { $0 = scan.scanLocks() } } : nil
        let reports = judge(folders, listing: listing, onlyCommits: onlyCommits, observe: observe)
        if let lockScan, !lockScan.isStarted { locks.withLock { $0 = scan.scanLocks() } }
        lockScan?.join()
        let others = isWhole ? [] : try uses(besides: reports, store: listing.store)
        return report(reports, listing: listing, locks: locks.withLock { $0 }, others: others, isWhole: isWhole)
    }

    /// Verifies a plain folder or file.
    public func verify(_ folder: PlainFolderScan, id: BytePath) -> CacheReport {
        let startedAt = currentTime()
        let examiner = examiner(store: StoreInventory())
        var examined = examiner.examine(folder.scan(), onlyCommits: nil)
        memory.remember(examined, by: examiner, startedAt: startedAt)
        hash([examined.views], examiner.facts) { examined.evidence.digests.merge($0) { _, new in new } }
        let repo = examined.report(
            store: StoreInventory(), depth: options.depth, displayID: "local:" + id.text)
        return CacheReport(
            path: scan.root.path, bytes: repo.bytes, freeBytes: scan.root.filesystem.availableBytes,
            reclaimableBytes: repo.reclaimableBytes, otherBytes: 0, repos: [repo], findings: [], leftovers: [])
    }

    private func examiner(store: StoreInventory) -> RepoExaminer {
        RepoExaminer(
            root: scan.root, store: store, depth: options.depth,
            facts: memory.facts(of: scan.root, isFresh: options.ignoresMemory && options.depth == .digests),
            liveness: LivenessProbe(root: scan.root, now: currentTime()),
            headerCheck: HeaderCheck(hashSeed: options.hashSeed), cancellation: cancellation)
    }

    /// Scans, examines and judges repos. Below the digests depth each is forgotten when it is judged, so that memory does not
    /// grow with the cache.
    private func judge(
        _ folders: [CacheListing.RepoFolder], listing: CacheListing, onlyCommits: Set<CommitHash>?,
        observe: (@Sendable (ObservedRepo) -> Void)?
    ) -> [RepoReport] {
        let startedAt = currentTime()
        let examiner = examiner(store: listing.store)
        let scan = scan
        let memory = memory
        let depth = options.depth
        let cancellation = cancellation
        let progress = progress
        progress.begin(repos: folders.count)
        let seen = SeenInPass()
        defer { memory.remember(seen, cache: scan.root.path, startedAt: startedAt) }
        @Sendable func report(_ examined: ExaminedRepo) -> RepoReport {
            let report = examined.report(
                store: listing.store, depth: depth, displayID: examined.repo.displayID(in: scan.root.path))
            observe?(ObservedRepo(examined, report: report, store: listing.store))
            seen.add(examined.repo, report)
            return report
        }
        @Sendable func examine(_ folder: CacheListing.RepoFolder) -> ExaminedRepo? {
            if cancellation.isCancelled { return nil }
            let examined = examiner.examine(scan.scanRepo(folder, store: listing.store), onlyCommits: onlyCommits)
            memory.remember(examined, by: examiner, startedAt: startedAt)
            return examined
        }
        guard depth == .digests else {
            return mapOnThreads(options.jobs, name: "hfj-verify", folders) { folder -> RepoReport? in
                defer { progress.finishRepo() }
                var examined = examine(folder)
                for _ in 0..<Self.laterLooks where examined?.evidence.wasOvertaken ?? false {
                    examined = examine(folder)
                }
                return examined.map(report)
            }.compactMap(\.self)
        }
        var reports: [RepoReport] = []
        var pending = folders
        for look in 0...Self.laterLooks where !pending.isEmpty && !cancellation.isCancelled {
            var examined = mapOnThreads(options.jobs, name: "hfj-verify", pending) { folder in
                defer { progress.finishRepo() }
                return examine(folder)
            }.compactMap(\.self)
            hash(examined.map(\.judgedViews), examiner.facts) { digests in
                for index in examined.indices { examined[index].takeOwn(digests) }
            }
            let overtaken =
                look < Self.laterLooks ? examined.filter { $0.evidence.wasOvertaken }.map(\.repo.folder) : []
            pending = pending.filter { overtaken.contains($0.folder) }
            let settled = examined.filter { !overtaken.contains($0.repo.folder) }
            reports += mapOnThreads(options.jobs, name: "hfj-verify", settled, report)
        }
        let order = Dictionary(uniqueKeysWithValues: folders.enumerated().map { ($0.element.folder, $0.offset) })
        return reports.sorted { (order[$0.folder] ?? 0) < (order[$1.folder] ?? 0) }
    }

    /// How often a repo is looked at anew when a client changed it meanwhile.
    private static let laterLooks = 2

    private func hash(
        _ views: [[RevisionView]], _ facts: KnownFacts, into merge: ([DigestKey: DigestEvidence]) -> Void
    ) {
        guard options.depth == .digests else { return }
        let pass = DigestPass(
            root: scan.root, options: options, memory: memory, facts: facts, progress: progress,
            cancellation: cancellation)
        merge(pass.run(views.flatMap(\.self)))
    }

    // MARK: the whole cache

    /// What a repo uses of others.
    private struct Uses: Sendable {
        var payloads: Set<BytePath>
        var elsewhere: Set<BytePath>
    }

    /// What the repos that were not asked for use of those that were, where it matters: they may hold what looks like an
    /// orphan, or a payload.
    private func uses(
        besides reports: [RepoReport], store: StoreInventory
    ) throws(SystemCallFailure) -> [Uses] {
        guard
            reports.contains(where: { report in
                !report.payloads.isEmpty || report.findings.contains { $0.code == .orphanBlob }
            })
        else { return [] }
        let known = Set(reports.map(\.folder))
        let folders = try scan.list().repos
        let scan = scan
        let cancellation = cancellation
        return mapOnThreads(options.jobs, name: "hfj-verify", folders.filter { !known.contains($0.folder) }) { folder in
            if cancellation.isCancelled { return Uses(payloads: [], elsewhere: []) }
            let repo = scan.scanRepo(folder, store: store)
            return Uses(payloads: repo.usedPayloads, elsewhere: repo.placesElsewhere)
        }
    }

    private func report(
        _ repos: [RepoReport], listing: CacheListing, locks: LockListing, others: [Uses], isWhole: Bool
    ) -> CacheReport {
        var repos = repos
        var report = CacheReport(
            path: scan.root.path, bytes: 0, freeBytes: scan.root.filesystem.availableBytes, reclaimableBytes: 0,
            otherBytes: 0, repos: [], findings: [], leftovers: [])
        var other = listing.tally
        other.add(listing.store.tally)
        other.add(locks.tally)
        var tally = other
        var payloadUsers: [BytePath: Int] = [:]
        var linkedElsewhere: Set<BytePath> = []
        for repo in repos {
            tally.add(repo.tally)
            for payload in repo.payloads { payloadUsers[payload, default: 0] += 1 }
            linkedElsewhere.formUnion(repo.elsewhere)
        }
        for other in others {
            for payload in other.payloads { payloadUsers[payload, default: 0] += 1 }
            linkedElsewhere.formUnion(other.elsewhere)
        }
        for index in repos.indices {
            repos[index].settle(payloadUsers: payloadUsers, linkedElsewhere: linkedElsewhere)
            report.reclaimableBytes &+= repos[index].reclaimableBytes
        }
        report.repos = repos
        if isWhole {
            report.bytes = tally.total
            report.holdFiles = locks.holds
            let used = payloadUsers.keys.reduce(UInt64(0)) { $0 &+ (listing.store.payloads[$1]?.stat.allocated ?? 0) }
            report.otherBytes = other.total &- min(used, other.total)
            judgeRoot(listing, locks, payloadUsers: payloadUsers, into: &report)
        } else {
            report.bytes = repos.reduce(0) { $0 &+ $1.bytes }
        }
        return report
    }

    private func judgeRoot(
        _ listing: CacheListing, _ locks: LockListing, payloadUsers: [BytePath: Int], into report: inout CacheReport
    ) {
        var findings: [Finding] = []
        for stray in listing.strays + listing.store.strays + locks.strays {
            findings.append(Finding(stray.code, path: stray.path, detail: stray.detail))
            if stray.allocated > 0 {
                report.leftovers.append(Leftover(path: stray.path, kind: stray.code.rawValue, bytes: stray.allocated))
            }
        }
        let liveness = LivenessProbe(root: scan.root, now: currentTime())
        for partial in listing.oldPartials {
            if case .live(let how) = liveness.liveness(ofRootPartial: partial) {
                findings.append(Finding(.inFlight, path: partial.name, detail: how))
            } else {
                findings.append(
                    Finding(.stalePartial, path: partial.name, detail: "a temporary download of a client before 0.23"))
                report.reclaimableBytes &+= partial.stat.freed
                report.leftovers.append(
                    Leftover(path: partial.name, kind: FindingCode.stalePartial.rawValue, bytes: partial.stat.freed)
                )
            }
        }
        for lock in locks.softLocks where lock.isStale {
            findings.append(
                Finding(
                    .staleSoftLock, path: lock.path,
                    detail: "process \(lock.processID) of this machine, which made it, is gone"))
        }
        // What cannot be looked at may well link to a payload.
        if report.repos.contains(where: \.hasUnseenLinks) {
            report.findings = findings.sortedForReading()
            return
        }
        for (name, payload) in listing.store.payloads.sorted(by: { $0.key < $1.key }) where payloadUsers[name] == nil {
            if payload.stat.changed >= listing.store.scannedAt { continue }
            let path = StoreInventory.location(of: name)
            findings.append(
                Finding(
                    .orphanPayload, path: path, blob: name,
                    detail: payload.hasManifest
                        ? "no repo links to it" : "no repo links to it; without a readable manifest it is kept for ever"
                ))
            report.leftovers.append(
                Leftover(path: path, kind: FindingCode.orphanPayload.rawValue, bytes: payload.stat.freed))
            if payload.hasManifest { report.reclaimableBytes &+= payload.stat.freed }
        }
        report.findings = findings.sortedForReading()
    }
}

extension RepoReport {
    /// What only the whole cache can tell: blobs that other repos link to are no orphans, and payloads that other repos use
    /// are not held by one revision alone.
    fileprivate mutating func settle(payloadUsers: [BytePath: Int], linkedElsewhere: Set<BytePath>) {
        for index in revisions.indices {
            for (payload, bytes) in revisions[index].uniquePayloads where payloadUsers[payload] ?? 0 > 1 {
                revisions[index].uniqueBytes &-= bytes
            }
        }
        guard !linkedElsewhere.isEmpty else { return }
        findings.removeAll { $0.code == .orphanBlob && linkedElsewhere.contains($0.path) }
        for leftover in leftovers
        where leftover.kind == FindingCode.orphanBlob.rawValue && linkedElsewhere.contains(leftover.path) {
            reclaimableBytes &-= leftover.bytes
        }
        leftovers.removeAll { $0.kind == FindingCode.orphanBlob.rawValue && linkedElsewhere.contains($0.path) }
    }
}
