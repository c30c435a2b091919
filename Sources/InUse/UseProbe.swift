public import CacheScan
public import HubCache
public import Ledger
public import LinuxIO
internal import Synchronization

/// A file of a repo, to be asked about.
public struct UsedFile: Sendable, Hashable {
    /// Where its content is, relative to the cache root: of a blob that is a link to the shared store, the payload.
    public var location: BytePath
    /// What `stat` said of the content.
    public var stat: FileStat
    /// The blob it is known as in its repo, by which opens are recorded and locks are named; nil: it is none.
    public var blob: BytePath?

    /// Makes a file to ask about.
    public init(location: BytePath, stat: FileStat, blob: BytePath?) {
        self.location = location
        self.stat = stat
        self.blob = blob
    }

    /// The content at the end of a snapshot's file; nil where there is none.
    public init?(_ content: FileContent) {
        guard case .file(let stat, let location, let blob) = content else { return nil }
        self.init(location: location, stat: stat, blob: blob)
    }
}

/// Finds out who uses what in a cache. It creates and changes nothing.
///
/// Its calls block: on the disk, and at the first question of a pass on `/proc`.
public struct UseProbe: Sendable {
    private let root: CacheRoot
    private let assumeUnusedAfter: Int64?
    private let now: Timestamp
    private let pass: UsePass
    private let liveness: LivenessProbe
    private let openers: Openers

    /// Makes a probe of a cache.
    ///
    /// - Parameters:
    ///   - ledger: knows which processes opened what.
    ///   - assumeUnusedAfter: the policy's `assume-unused-after` in nanoseconds: where nothing can tell whether something is
    ///     in use, what was last used longer ago is taken for unused; nil: never.
    ///   - now: the time to judge ages by.
    ///   - pass: the look at processes to share.
    public init(
        root: CacheRoot, ledger: Ledger, assumeUnusedAfter: Int64?, now: Timestamp, pass: UsePass = UsePass()
    ) {
        self.root = root
        self.assumeUnusedAfter = assumeUnusedAfter
        self.now = now
        self.pass = pass
        liveness = LivenessProbe(root: root, now: now)
        openers = Openers(cache: root.path, ledger: ledger)
    }

    /// The holds of a repo that hold now.
    ///
    /// - Parameter folder: the repo's folder name.
    public func holds(of folder: BytePath) -> [Hold] { HoldReader(root: root, now: now).holds(of: folder) }

    /// What keeps a revision, or files of a repo that belong to none, because somebody uses it: `hold`, `lock`, `open`,
    /// `opener-alive`, `cannot-tell` and `named-by-process`, at most one of each, in that order.
    ///
    /// The answer is true for the moment it was found in. Files that this very process has open count as used.
    ///
    /// - Parameters:
    ///   - commit: the revision; nil: leftover files of the repo, of which only their own locks count, and no name.
    ///   - files: all contents that would go.
    ///   - repo: the repo as it was scanned.
    ///   - lastUse: when they were last used, for `assumeUnusedAfter`.
    public func keepers(
        of commit: CommitHash?, files: [UsedFile], in repo: RepoInventory, lastUse: Timestamp?
    ) -> [Kept] {
        var kept: [Kept] = []
        var blindSpots: [String] = []
        if let hold = holds(of: repo.folder).first(where: { $0.covers(commit) }) {
            kept.append(Kept(by: .hold, hold.words))
        }
        if let lock = lock(of: commit, files: files, in: repo, blindSpots: &blindSpots) {
            kept.append(Kept(by: .lock, lock))
        }
        if let open = open(files, in: repo, blindSpots: &blindSpots) { kept.append(Kept(by: .open, open)) }
        if let process = opener(of: commit, files: files, in: repo) {
            kept.append(Kept(by: .openerAlive, "process \(process.display) opened it and still runs"))
        }
        if let reason = blindSpots.first, !isAssumedUnused(lastUse) { kept.append(Kept(by: .cannotTell, reason)) }
        if let commit, let process = named(commit, in: repo) {
            kept.append(Kept(by: .namedByProcess, "process \(process.display) names it in its command line"))
        }
        return kept
    }

    /// What of this holds besides locks and open files: `hold`, `opener-alive` and `named-by-process`. For those who hold the
    /// locks themselves, and look at the files themselves.
    ///
    /// - Parameters: as those of `keepers`.
    public func standingKeepers(of commit: CommitHash?, files: [UsedFile], in repo: RepoInventory) -> [Kept] {
        var kept: [Kept] = []
        if let hold = holds(of: repo.folder).first(where: { $0.covers(commit) }) {
            kept.append(Kept(by: .hold, hold.words))
        }
        if let process = opener(of: commit, files: files, in: repo) {
            kept.append(Kept(by: .openerAlive, "process \(process.display) opened it and still runs"))
        }
        if let commit, let process = named(commit, in: repo) {
            kept.append(Kept(by: .namedByProcess, "process \(process.display) names it in its command line"))
        }
        return kept
    }

    private func named(_ commit: CommitHash, in repo: RepoInventory) -> ProcessRecord? {
        guard let id = repo.id else { return nil }
        return pass.named.user(of: id, folder: repo.folder, commit: commit)
    }

    private func isAssumedUnused(_ lastUse: Timestamp?) -> Bool {
        guard let assumeUnusedAfter, let lastUse else { return false }
        let (age, overflow) = now.nanoseconds.subtractingReportingOverflow(lastUse.nanoseconds)
        return !overflow && age >= assumeUnusedAfter
    }

    // MARK: locks

    private func lock(
        of commit: CommitHash?, files: [UsedFile], in repo: RepoInventory, blindSpots: inout [String]
    ) -> String? {
        guard commit != nil else {
            // A leftover of one blob is nobody's business but of those who fetch that blob.
            let own = files.compactMap(\.blob).first { liveness.isLocked(etag: $0, in: repo) }
            return own.map { "the lock of \($0.display) is held" }
        }
        let (held, hasUnseen, _) = liveness.heldLocks(of: repo)
        if let etag = held.min() { return "the lock of \(etag.display) is held: a download is under way" }
        for partial in repo.partials {
            if case .live(let evidence) = liveness.liveness(of: partial, in: repo) {
                return "\(partial.name.display) is being written: \(evidence)"
            }
        }
        if hasUnseen { blindSpots.append("the locks of the repo cannot all be looked at") }
        return nil
    }

    // MARK: open files

    private func open(_ files: [UsedFile], in repo: RepoInventory, blindSpots: inout [String]) -> String? {
        for file in files {
            switch probe(file, in: repo) {
            case .free: continue
            case .unknown(let reason): blindSpots.append(reason)
            case .taken:
                let name = file.location.lastComponent.display
                guard let id = pass.openFiles.user(of: file.stat.key) else { return "\(name) is open or mapped" }
                let process = pass.table.processes[id]?.display ?? "\(id)"
                return "process \(process) has \(name) open or mapped"
            }
        }
        return nil
    }

    /// Whether anybody has a content open or mapped: by a lease where that can be believed, else by `/proc` where that shows
    /// every process.
    func probe(_ file: UsedFile, in repo: RepoInventory) -> ProbeAnswer {
        let isExported =
            pass.exported.concern(root.path)
            || repo.linkedFolders.contains { pass.exported.concern($0.physicalPath) }
        var isNetwork = root.filesystem(ofDevice: file.stat.key.device).kind.isNetwork
        do throws(SystemCallFailure) {
            let opened = try root.open(file.location, linked: repo.linkedFolders)
            guard try opened.stat().key == file.stat.key else { return .unknown(reason: "it was replaced meanwhile") }
            // Of the file itself: something may be mounted in the middle of a cache.
            let kind = try opened.filesystem().kind
            isNetwork = isNetwork || kind.isNetwork
            if kind.hasTrustworthyLeases {
                switch opened.probeOpenElsewhere() {
                case .taken: return .taken
                case .free where !isExported: return .free
                case .free, .unknown: break
                }
            }
        } catch {
            // What may not be opened may still be seen in `/proc`.
            if !error.isPermission { return .unknown(reason: "it cannot be opened: \(error.reason)") }
        }
        return Self.answer(pass.openFiles, file.stat.key, isExported: isExported, isNetwork: isNetwork)
    }

    /// Whether anybody has a file open or mapped, where no lease can tell: by `/proc` where that shows every process. What
    /// other machines may have open, of a network filesystem or a tree that is exported by NFS, is unknown.
    ///
    /// The look at processes is shared, and at most a second old.
    ///
    /// - Parameters:
    ///   - key: the file.
    ///   - root: the cache it belongs to.
    ///   - linked: the folders elsewhere that its repo is linked to.
    public static func answerWithoutLease(for key: FileKey, in root: CacheRoot, linked: [LinkedFolder] = [])
        -> ProbeAnswer
    {
        answer(
            .shared, key, isExported: isExported(root, linked: linked),
            isNetwork: root.filesystem(ofDevice: key.device).kind.isNetwork)
    }

    /// Whether other machines may use a cache, or folders that its repos are linked to, over NFS: then no lease proves that a
    /// file is unused, and nor does `/proc`.
    public static func isExported(_ root: CacheRoot, linked: [LinkedFolder] = []) -> Bool {
        let exported = ExportedTrees.current()
        return exported.concern(root.path) || linked.contains { exported.concern($0.physicalPath) }
    }

    private static func answer(_ scan: OpenFileScan, _ key: FileKey, isExported: Bool, isNetwork: Bool) -> ProbeAnswer {
        switch scan.answer(for: key) {
        case .free where isExported: .unknown(reason: "other machines may have it open: it is exported by NFS")
        case .free where isNetwork: .unknown(reason: "other machines may have it open")
        case let answer: answer
        }
    }

    // MARK: openers

    private func opener(of commit: CommitHash?, files: [UsedFile], in repo: RepoInventory) -> ProcessRecord? {
        let blobs = Set(files.compactMap { $0.blob?.text })
        let table = pass.table
        return openers.of(repo: repo.folder.text, boot: table.boot).lazy
            .filter { opener in opener.blob.map { blobs.contains($0) } ?? (commit != nil) }
            .compactMap { table.runs($0.process) }
            .first { $0.id != table.own }
    }
}

/// The recorded openers of a cache, read once.
private final class Openers: Sendable {
    private let cache: BytePath
    private let ledger: Ledger
    private let loaded = Mutex<[String: [RecordedOpener]]?>(nil)

    init(cache: BytePath, ledger: Ledger) {
        self.cache = cache
        self.ledger = ledger
    }

    func of(repo: String, boot: String) -> [RecordedOpener] {
        loaded.withLock { loaded in
            let all = loaded ?? ledger.openers(cache: cache, boot: boot)
            loaded = all
            return all[repo] ?? []
        }
    }
}
