internal import CacheScan
internal import Digests
internal import HubCache
internal import Ledger
internal import LinuxIO
internal import Synchronization

/// What earlier runs found out, kept in the ledger: digests, bad headers, partial downloads that were seen.
///
/// A run is right without it; with it, it need not read what has not changed.
public struct Memory: Sendable {
    private let ledger: Ledger

    private init(_ ledger: Ledger) { self.ledger = ledger }

    /// No memory at all.
    public static var none: Memory { Memory(Ledger.none) }

    /// The memory of a user: in `$STATE_DIRECTORY`, else in the user's state folder. Always usable; see `problem`.
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
    func facts(of root: CacheRoot, depth: VerificationDepth, isFresh: Bool) -> KnownFacts {
        KnownFacts(ledger: ledger, cache: root.path, loadsAllDigests: depth == .digests, ignoresDigests: isFresh)
    }

    /// Remembers what was seen of repos: headers that no reader would accept, partial downloads.
    func remember(_ examined: [ExaminedRepo], root: CacheRoot, facts: KnownFacts, startedAt: Timestamp) {
        var bad: [BadHeader] = []
        for repo in examined {
            for view in repo.judgedViews { collect(view, repo.evidence, root, facts, startedAt, into: &bad) }
            guard repo.repo.id != nil else { continue }
            let etags = Set(repo.repo.partials.map(\.etag.text)).subtracting([""])
            let folder = repo.repo.folder.text
            if !etags.isEmpty { ledger.notePartials(cache: root.path, repo: folder, etags: etags, at: startedAt) }
            let arrived = Set(repo.evidence.rememberedPartials.filter { repo.repo.blobs[$0] != nil }.map(\.text))
            if !arrived.isEmpty { ledger.forgetPartials(cache: root.path, repo: folder, etags: arrived) }
        }
        if !bad.isEmpty { ledger.remember(badHeaders: bad) }
    }

    private func collect(
        _ view: RevisionView, _ evidence: RepoEvidence, _ root: CacheRoot, _ facts: KnownFacts, _ startedAt: Timestamp,
        into bad: inout [BadHeader]
    ) {
        for position in view.contents.indices {
            guard case .file(let stat, _, _) = view.contents[position], let expectation = view.expectation(at: position)
            else { continue }
            switch evidence.headers[HeaderKey(file: stat.key, expectation: expectation)] {
            case .bad(let code, let reason, let detail, let offset):
                let verdict = HeaderVerdict(code: code.rawValue, reason: reason, offset: offset, detail: detail)
                bad.append(BadHeader(version: root.version(of: stat), verdict: verdict, startedAt: startedAt))
            case .sound:
                let version = root.version(of: stat)
                if facts.badHeader(of: version) != nil { ledger.forgetBadHeader(of: version) }
            case .unverifiable, .failed, nil: break
            }
        }
    }

    /// Remembers digests that were computed.
    func remember(_ digests: [HashedContent]) {
        if !digests.isEmpty { ledger.remember(digests: digests) }
    }
}

/// What is known from earlier runs about the files of a cache, loaded when it is first asked for.
final class KnownFacts: Sendable {
    /// A header verdict that was bad.
    struct BadHeaderFact: Sendable {
        var code: FindingCode
        var detail: String
        var offset: UInt64?
    }

    private let ledger: Ledger
    private let cache: BytePath
    private let loadsAllDigests: Bool
    private let ignoresDigests: Bool
    private let digests = Mutex<[UInt64: RememberedDigests]>([:])
    private let mismatched = Mutex<[UInt64: RememberedDigests]>([:])
    private let badHeaders = Mutex<[UInt64: RememberedHeaderVerdicts]>([:])

    init(ledger: Ledger, cache: BytePath, loadsAllDigests: Bool, ignoresDigests: Bool) {
        self.ledger = ledger
        self.cache = cache
        self.loadsAllDigests = loadsAllDigests
        self.ignoresDigests = ignoresDigests
    }

    /// The remembered digest of exactly this version of a file, right or wrong.
    func digest(of version: FileVersion, _ algorithm: DigestAlgorithm) -> ContentDigest? {
        if ignoresDigests { return nil }
        guard loadsAllDigests else { return ledger.digest(of: version, algorithm: algorithm)?.digest }
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
                let code = FindingCode(rawValue: verdict.code)
            else { return nil }
            return BadHeaderFact(code: code, detail: verdict.detail, offset: verdict.offset)
        }
    }

    /// The etags of partials that a repo once had.
    func partials(of repo: BytePath) -> Set<BytePath> {
        Set(ledger.seenPartials(cache: cache, repo: repo.text).map { BytePath($0) })
    }
}
