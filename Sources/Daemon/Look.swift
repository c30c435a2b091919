internal import CacheScan
internal import CacheWatch
internal import Enforcement
internal import HubCache
internal import Ledger
internal import LinuxIO
internal import Retention
internal import Synchronization
internal import Verification

/// A finding, and the revision it belongs to.
struct FoundThing: Sendable, Hashable {
    var finding: Finding
    var revision: CommitHash?
}

/// A partial download that somebody writes.
struct LiveDownload: Sendable, Hashable {
    /// Relative to the cache root.
    var location: BytePath
    /// Its length when it is whole; nil: nothing here says.
    var expected: UInt64?
    /// Bytes on the disk.
    var present: UInt64

    var remaining: UInt64 { expected.map { $0 > present ? $0 - present : 0 } ?? 0 }
}

/// What a look at one repo came to: what the loop keeps of a report.
struct RepoLook: Sendable {
    var folder: BytePath
    var id: String
    var states: [CommitHash: RevisionState] = [:]
    /// The worst of those that have a ref, of all if none has; nil: there is nothing to judge.
    var state: RevisionState?
    var refs: [String: CommitHash] = [:]
    /// Bytes on the disk of everything in the folder.
    var allBytes: UInt64 = 0
    /// Revisions with files that are complete.
    var whole: Set<CommitHash> = []
    var bytes: [CommitHash: UInt64] = [:]
    var things: [FoundThing] = []
    var downloads: [LiveDownload] = []
    /// Blobs that are links into the shared store, by payload.
    var payloads: [BytePath: BytePath] = [:]
    /// Whether somebody works on it.
    var isLive = false
    /// When the look began, on the monotonic clock.
    var begun: UInt64 = 0

    var isGone: Bool { id.isEmpty }

    /// Stands for states and findings: the same in two looks of one depth while nothing is different.
    var structure: Int {
        var hasher = Hasher()
        hasher.combine(states)
        hasher.combine(Set(things))
        return hasher.finalize()
    }
}

/// What a look at a whole cache came to.
struct CacheLook: Sendable {
    /// The root without links, by which the ledger knows the cache.
    var path: BytePath
    var rootKey: FileKey
    var owner: UInt32
    var filesystem: UInt64
    var isReadOnly: Bool
    var freeBytes: UInt64
    var totalBytes: UInt64
    var bytes: UInt64
    var reclaimableBytes: UInt64
    var inUseMethod: String
    var repos: [RepoLook]
    var things: [FoundThing]
    var begun: UInt64
    var duration: UInt64
    /// What was said of operations that an earlier run left behind.
    var recovered: [(text: String, isDealtWith: Bool)] = []
    /// Revisions by repo folder that were known to be complete before; nil: nothing was known of this cache.
    var completeBefore: [String: Set<CommitHash>]?
}

/// Looks at one cache on a worker's thread.
struct Looker: Sendable {
    var path: BytePath
    var ledger: Ledger
    var ownReads: OwnReads
    var cancellation: Cancellation

    /// - Throws: `SystemCallFailure` when the root is not there or cannot be read.
    func openRoot() throws(SystemCallFailure) -> CacheRoot {
        let (path, ownReads) = (path, ownReads)
        return try CacheRoot(opening: path) { location in ownReads.announce(location, of: path) }
    }

    /// Looks at everything.
    ///
    /// - Throws: `SystemCallFailure` when the root is not there or cannot be read.
    func everything(
        depth: VerificationDepth, jobs: Int, progress: VerificationProgress,
        recovering: (policy: CachePolicy, enforcer: String?)?
    ) throws(SystemCallFailure) -> CacheLook {
        let begun = monotonicNanoseconds()
        let root = try openRoot()
        var recovered: [(text: String, isDealtWith: Bool)] = []
        if let recovering, mayChange(root) {
            recovered = try Enforcer.recover(
                root, policy: recovering.policy, enforcer: recovering.enforcer, ledger: ledger,
                cancellation: cancellation)
        }
        let before = ledger.completeOnce(cache: root.path)
        let observations = Observations()
        let report = try Verifier(
            root: root, options: VerificationOptions(depth: depth, jobs: jobs), memory: Memory(ledger),
            progress: progress, cancellation: cancellation
        ).verify(.everything, observe: observations.note)
        guard let report else { preconditionFailure("the whole of a cache is always in it") }
        let notes = observations.all
        var look = CacheLook(
            path: root.path, rootKey: root.stat.key, owner: root.stat.uid, filesystem: root.filesystem.id,
            isReadOnly: root.filesystem.isReadOnly, freeBytes: report.freeBytes,
            totalBytes: root.filesystem.totalBytes, bytes: report.bytes,
            reclaimableBytes: report.reclaimableBytes, inUseMethod: root.inUseMethod,
            repos: report.repos.map { Self.summary($0, notes[$0.folder], begun: begun) },
            things: report.findings.map { FoundThing(finding: $0, revision: nil) }, begun: begun,
            duration: monotonicNanoseconds() - begun)
        look.recovered = recovered
        look.completeBefore = before.isEmpty ? nil : before
        return look
    }

    /// Looks at one repo.
    ///
    /// - Returns: one without an id when it is not there any more.
    /// - Throws: `SystemCallFailure` when the root is not there or cannot be read.
    func repo(
        _ folder: BytePath, depth: VerificationDepth, rate: UInt64? = nil, isFresh: Bool = false,
        progress: VerificationProgress = VerificationProgress(), mustPause: (@Sendable () -> Bool)? = nil
    ) throws(SystemCallFailure) -> RepoLook {
        let begun = monotonicNanoseconds()
        let root = try openRoot()
        var gone = RepoLook(folder: folder, id: "")
        gone.begun = begun
        guard let id = RepoID(folder: folder) else { return gone }
        let observations = Observations()
        var options = VerificationOptions(depth: depth, jobs: 1, bytesPerSecond: rate, ignoresMemory: isFresh)
        options.mustPause = mustPause
        let report = try Verifier(
            root: root, options: options, memory: Memory(ledger), progress: progress, cancellation: cancellation
        ).verify(.repo(id, nil), observe: observations.note)
        guard let repo = report?.repos.first(where: { $0.folder == folder }) else { return gone }
        var look = Self.summary(repo, observations.all[folder], begun: begun)
        look.isLive = look.isLive || hasHeldLock(folder, in: root)
        return look
    }

    /// Verifies something for somebody who asked, and tells what the loop keeps of it.
    ///
    /// - Returns: nil when it is not there any more.
    /// - Throws: `SystemCallFailure` when the root is not there or cannot be read.
    func report(_ selection: CacheSelection, depth: VerificationDepth, progress: VerificationProgress)
        throws(SystemCallFailure) -> (report: CacheReport, looks: [RepoLook])?
    {
        let begun = monotonicNanoseconds()
        let root = try openRoot()
        let observations = Observations()
        let report = try Verifier(
            root: root, options: VerificationOptions(depth: depth, jobs: 1), memory: Memory(ledger),
            progress: progress, cancellation: cancellation
        ).verify(selection, observe: observations.note)
        guard let report else { return nil }
        let looks = report.repos.map { repo in
            var look = Self.summary(repo, observations.all[repo.folder], begun: begun)
            look.isLive = look.isLive || hasHeldLock(repo.folder, in: root)
            return look
        }
        return (report, looks)
    }

    /// Whether this process may change something in a cache: root works in its own only.
    func mayChange(_ root: CacheRoot) -> Bool {
        !root.filesystem.isReadOnly && (effectiveUser() != 0 || root.stat.uid == 0)
    }

    /// A client between two files holds no partial, but the next one's lock.
    private func hasHeldLock(_ folder: BytePath, in root: CacheRoot) -> Bool {
        guard let stat = try? root.stat(at: folder) else { return false }
        let repo = RepoInventory(folder: folder, id: RepoID(folder: folder), stat: stat)
        return !LivenessProbe(root: root, now: currentTime()).heldLocks(of: repo).held.isEmpty
    }

    private static func summary(_ report: RepoReport, _ note: Observations.Note?, begun: UInt64) -> RepoLook {
        var look = RepoLook(folder: report.folder, id: report.id)
        look.begun = begun
        look.state = report.state
        look.allBytes = report.bytes
        look.downloads = note?.downloads ?? []
        look.payloads = note?.payloads ?? [:]
        look.things = report.findings.map { FoundThing(finding: $0, revision: nil) }
        for revision in report.revisions {
            look.things += revision.findings.map { FoundThing(finding: $0, revision: revision.commit) }
            guard let commit = revision.commit else { continue }
            look.states[commit] = revision.state
            look.bytes[commit] = revision.bytes
            for ref in revision.refs { look.refs[ref.text] = commit }
            if revision.state == .complete && revision.fileCount > 0 { look.whole.insert(commit) }
        }
        look.isLive =
            !look.downloads.isEmpty
            || look.things.contains { thing in
                thing.finding.code == .inFlight || thing.finding.code == .removing
            }
        return look
    }
}

/// What is needed of inventories beyond the reports.
private final class Observations: Sendable {
    struct Note: Sendable {
        var downloads: [LiveDownload] = []
        var payloads: [BytePath: BytePath] = [:]
    }

    private let notes = Mutex<[BytePath: Note]>([:])

    var all: [BytePath: Note] { notes.withLock { $0 } }

    @Sendable func note(_ repo: ObservedRepo) {
        var note = Note()
        for partial in repo.inventory.partials where repo.isLive(partial) {
            note.downloads.append(
                LiveDownload(
                    location: repo.inventory.location(of: partial),
                    expected: repo.expectedSize(ofEtag: partial.etag), present: partial.stat.allocated))
        }
        for (name, blob) in repo.inventory.blobs {
            if case .payload(let payload) = blob.link { note.payloads[payload] = name }
        }
        guard !note.downloads.isEmpty || !note.payloads.isEmpty else { return }
        notes.withLock { $0[repo.inventory.folder] = note }
    }
}
