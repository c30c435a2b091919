internal import CacheScan
internal import Digests
internal import HubCache
public import Ledger
internal import LinuxIO
internal import Synchronization

/// What earlier runs found out, kept in the ledger: digests, bad headers, partial downloads that were seen.
///
/// A run is right without it; with it, it need not read what has not changed.
public struct Memory: Sendable {
    private let ledger: Ledger

    /// The memory that a ledger is.
    public init(_ ledger: Ledger) { self.ledger = ledger }

    /// No memory at all.
    public static var none: Memory { Memory(Ledger.disabled) }

    /// The memory of a user: in `$STATE_DIRECTORY`, else in the user's state folder. Always usable; see `takeProblem`.
    ///
    /// - Parameters:
    ///   - environment: the process's environment.
    ///   - programVersion: header verdicts of other versions are not believed.
    public static func open(environment: [String: String], programVersion: String) -> Memory {
        Memory(
            Ledger.open(directory: LedgerLocation.directory(environment: environment), programVersion: programVersion))
    }

    /// A sentence for the user when something is wrong with it; each is given once.
    public func takeProblem() -> String? { ledger.takeProblem() }

    /// What is known about the files of a cache.
    ///
    /// - Parameter isFresh: leaves remembered digests aside.
    func facts(of root: CacheRoot, isFresh: Bool) -> KnownFacts {
        KnownFacts(ledger: ledger, cache: root.path, ignoresDigests: isFresh)
    }

    /// Remembers what was seen of a repo: headers that no reader would accept, partial downloads.
    func remember(_ examined: ExaminedRepo, by examiner: RepoExaminer, startedAt: Timestamp) {
        if examiner.depth >= .headers { rememberHeaders(of: examined, by: examiner, startedAt: startedAt) }
        guard examined.repo.id != nil else { return }
        let cache = examiner.root.path
        let folder = examined.repo.folder.text
        let etags = Set(examined.repo.partials.map(\.etag.text)).subtracting([""])
        if !etags.isEmpty { ledger.notePartials(cache: cache, repo: folder, etags: etags, at: startedAt) }
        var arrived = examined.evidence.rememberedPartials.filter { examined.repo.blobs[$0] != nil }
        // What came for another revision has not come for one that has no link to it.
        if !arrived.isEmpty { for view in examined.views { arrived.subtract(view.absentBlobs) } }
        let longAgo = startedAt.nanoseconds - Self.patience
        for (commit, asked) in examined.evidence.asked where asked.time.nanoseconds < longAgo {
            // Somebody has removed it since.
            if !examined.repo.snapshots.contains(where: { $0.commit == commit }) {
                ledger.forgetAsked(cache: cache, repo: folder, commit: commit)
            }
        }
        if !arrived.isEmpty { ledger.forgetPartials(cache: cache, repo: folder, etags: Set(arrived.map(\.text))) }
    }

    /// In nanoseconds: as long may a fetch take until its first file is here.
    private static let patience: Int64 = 3_600_000_000_000

    private func rememberHeaders(of examined: ExaminedRepo, by examiner: RepoExaminer, startedAt: Timestamp) {
        var bad: [BadHeader] = []
        for view in examined.judgedViews {
            for position in view.contents.indices {
                guard case .file(let stat, _, _) = view.contents[position],
                    let expectation = view.expectation(at: position)
                else { continue }
                let version = examiner.root.version(of: stat)
                switch examined.evidence.headers[HeaderKey(file: stat.key, expectation: expectation)] {
                case .bad(let code, let reason, let detail, let offset):
                    // The same bytes may be sound under another name: the verdict is of this expectation only.
                    let verdict = HeaderVerdict(
                        code: code.rawValue, reason: "\(expectation.rawValue):\(reason)", offset: offset, detail: detail
                    )
                    bad.append(BadHeader(version: version, verdict: verdict, startedAt: startedAt))
                case .sound where examiner.facts.badHeader(of: version)?.expectation == expectation:
                    ledger.forgetBadHeader(of: version)
                case .sound, .unverifiable, .failed, nil: break
                }
            }
        }
        if !bad.isEmpty { ledger.remember(badHeaders: bad) }
    }

    /// Remembers what refs named in a pass, and which revisions were complete.
    func remember(_ seen: SeenInPass, cache: BytePath, startedAt: Timestamp) {
        let revisions = seen.all()
        if !revisions.isEmpty { ledger.note(revisions: revisions, cache: cache, at: startedAt) }
    }

    /// Remembers digests that were computed.
    func remember(_ digests: [HashedContent]) {
        if !digests.isEmpty { ledger.remember(digests: digests) }
    }
}

/// What a pass sees of revisions, collected so that it is written at once.
final class SeenInPass: Sendable {
    private let repos = Mutex<[SeenRevisions]>([])

    func add(_ repo: RepoInventory, _ report: RepoReport) {
        guard repo.id != nil, let folder = repo.folder.exactText else { return }
        var seen = SeenRevisions(repo: folder, refs: [:], complete: [])
        for ref in repo.refs {
            if let name = ref.name.exactText, let commit = ref.commit { seen.refs[name] = commit }
        }
        for revision in report.revisions where revision.state == .complete && revision.fileCount > 0 {
            if let commit = revision.commit { seen.complete.insert(commit) }
        }
        guard !seen.refs.isEmpty || !seen.complete.isEmpty else { return }
        repos.withLock { $0.append(seen) }
    }

    func all() -> [SeenRevisions] { repos.withLock { $0 } }
}

/// What is known from earlier runs about the files of a cache, loaded when it is first asked for.
final class KnownFacts: Sendable {
    /// A header verdict that was bad.
    struct BadHeaderFact: Sendable {
        var expectation: HeaderExpectation
        var code: FindingCode
        var detail: String
        var offset: UInt64?
    }

    private let ledger: Ledger
    private let cache: BytePath
    private let ignoresDigests: Bool
    private let digests = Mutex<[UInt64: RememberedDigests]>([:])
    private let mismatched = Mutex<[UInt64: RememberedDigests]>([:])
    private let badHeaders = Mutex<[UInt64: RememberedHeaderVerdicts]>([:])
    private let asked = Mutex<[String: [CommitHash: (files: AskedFiles, time: Timestamp)]]?>(nil)

    init(ledger: Ledger, cache: BytePath, ignoresDigests: Bool) {
        self.ledger = ledger
        self.cache = cache
        self.ignoresDigests = ignoresDigests
    }

    /// The remembered digest of exactly this version of a file, right or wrong.
    ///
    /// - Parameter isOneOfMany: whether so many are asked for that it pays to load all of the filesystem's.
    func digest(
        of version: FileVersion, _ algorithm: DigestAlgorithm, isOneOfMany: Bool = false
    ) -> ContentDigest? {
        if ignoresDigests { return nil }
        guard isOneOfMany else { return ledger.digest(of: version, algorithm: algorithm)?.digest }
        return digests.withLock { loaded in
            if loaded[version.filesystem] == nil {
                loaded[version.filesystem] = ledger.digests(onFilesystem: version.filesystem)
            }
            return loaded[version.filesystem]?.digest(of: version, algorithm: algorithm)?.digest
        }
    }

    /// The remembered digests of this version of a file that disagreed with its name.
    func mismatchedDigests(of version: FileVersion) -> [ContentDigest] {
        if ignoresDigests { return [] }
        return mismatched.withLock { loaded in
            if loaded[version.filesystem] == nil {
                loaded[version.filesystem] = ledger.mismatchedDigests(onFilesystem: version.filesystem)
            }
            guard let known = loaded[version.filesystem], !known.isEmpty else { return [] }
            return DigestAlgorithm.allCases.compactMap { known.digest(of: version, algorithm: $0)?.digest }
        }
    }

    /// The remembered header verdict of this version of a file; only bad ones are remembered.
    func badHeader(of version: FileVersion) -> BadHeaderFact? {
        badHeaders.withLock { loaded in
            if loaded[version.filesystem] == nil {
                loaded[version.filesystem] = ledger.badHeaders(onFilesystem: version.filesystem)
            }
            guard let verdict = loaded[version.filesystem]?.badHeader(of: version)?.verdict,
                let code = FindingCode(rawValue: verdict.code),
                let number = UInt8(verdict.reason.prefix { $0 != ":" }),
                let expectation = HeaderExpectation(rawValue: number)
            else { return nil }
            return BadHeaderFact(
                expectation: expectation, code: code, detail: verdict.detail, offset: verdict.offset)
        }
    }

    /// What was asked for of a repo's revisions and did not all come.
    func asked(of repo: BytePath) -> [CommitHash: AskedFact] {
        let known = asked.withLock { loaded in
            if let loaded { return loaded }
            let found = ledger.asked(cache: cache)
            loaded = found
            return found
        }
        return (known[repo.text] ?? [:]).mapValues {
            AskedFact(filter: NameFilter(include: $0.files.include, exclude: $0.files.exclude), time: $0.time)
        }
    }

    /// When a repo's revisions were complete, as last seen.
    func lastComplete(in repo: BytePath) -> [CommitHash: Timestamp] {
        ledger.lastComplete(cache: cache, repo: repo.text)
    }

    /// The etags of partials that a repo once had.
    func partials(of repo: BytePath) -> Set<BytePath> {
        Set(ledger.seenPartials(cache: cache, repo: repo.text).map { BytePath($0) })
    }
}
