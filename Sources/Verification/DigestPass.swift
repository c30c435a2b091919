internal import CacheScan
internal import Digests
internal import HubCache
internal import Ledger
internal import LinuxIO
internal import Synchronization

/// Computes the digests that revisions are to be held against, each content once, and remembers them.
struct DigestPass {
    let root: CacheRoot
    let options: VerificationOptions
    let memory: Memory
    let facts: KnownFacts
    let progress: VerificationProgress
    let cancellation: Cancellation

    /// One content to be hashed: where it is, and every digest that some revision takes for right.
    private struct Content {
        var key: DigestKey
        var stat: FileStat
        var location: BytePath
        var linked: [LinkedFolder]
        /// What the names and manifests of all that was asked for say.
        var expected: Set<ContentDigest>

        /// Whether a digest is what all of them say. One that disagrees with any is looked at twice and is remembered as
        /// such: which of them is wrong is for judging.
        func agrees(_ digest: ContentDigest) -> Bool {
            expected.allSatisfy { $0.algorithm != digest.algorithm || $0 == digest }
        }
    }

    /// Digests are written down so often, so that little is lost when the process is killed.
    private static let flushInterval: UInt64 = 5_000_000_000

    /// Above this, loading all remembered digests of a filesystem is faster than looking each up: a look-up takes some
    /// 7 µs, a hundred thousand rows some 40 ms.
    private static let manyDigests = 2000

    /// So long after its last change a file is remembered: see the ledger's `remember(digests:)`.
    private static let settling: Int64 = 2_100_000_000

    /// Hashes what the views need and memory does not have. What a cancelled run has computed is remembered too.
    func run(_ views: [RevisionView]) -> [DigestKey: DigestEvidence] {
        var evidence: [DigestKey: DigestEvidence] = [:]
        var contents: [Content] = []
        let wanted = gather(views)
        for content in wanted {
            let version = root.version(of: content.stat)
            let isOneOfMany = wanted.count > Self.manyDigests
            if let known = facts.digest(of: version, content.key.algorithm, isOneOfMany: isOneOfMany) {
                evidence[content.key] = .digest(known)
            } else {
                contents.append(content)
            }
        }
        progress.begin(bytes: contents.reduce(0) { $0 &+ $1.stat.size })
        let startedAt = currentTime()
        evidence.merge(hash(contents)) { _, new in new }
        evidence.merge(hashUnsettled(contents, evidence, startedAt: startedAt)) { _, new in new }
        return evidence
    }

    /// Hashes once more what disagrees with its name and changed a moment ago.
    ///
    /// The ledger forgets what was hashed within two seconds of its last change, and a wrong digest that is forgotten would
    /// let `ready` say good a moment later.
    private func hashUnsettled(
        _ contents: [Content], _ evidence: [DigestKey: DigestEvidence], startedAt: Timestamp
    ) -> [DigestKey: DigestEvidence] {
        let fresh = contents.filter { content in
            guard case .digest(let digest) = evidence[content.key], !content.agrees(digest) else { return false }
            let changed = max(content.stat.modified.nanoseconds, content.stat.changed.nanoseconds)
            return startedAt.nanoseconds &- changed < Self.settling
        }
        guard !fresh.isEmpty else { return [:] }
        let end = monotonicNanoseconds() + UInt64(Self.settling)
        while monotonicNanoseconds() < end {
            if cancellation.isCancelled { return [:] }
            sleepMilliseconds(20)
        }
        progress.begin(bytes: fresh.reduce(0) { $0 &+ $1.stat.size })
        return hash(fresh)
    }

    private func gather(_ views: [RevisionView]) -> [Content] {
        var positions: [DigestKey: Int] = [:]
        var contents: [Content] = []
        for view in views {
            for position in view.contents.indices {
                guard case .file(let stat, let location, _) = view.contents[position] else { continue }
                let expected = view.expectedDigests(at: position)
                for algorithm in Set(expected.map(\.algorithm)) {
                    let key = DigestKey(file: stat.key, algorithm: algorithm)
                    if let known = positions[key] {
                        contents[known].expected.formUnion(expected)
                        continue
                    }
                    positions[key] = contents.count
                    contents.append(
                        Content(
                            key: key, stat: stat, location: location, linked: view.repo.linkedFolders,
                            expected: Set(expected)))
                }
            }
        }
        return contents
    }

    private func hash(_ contents: [Content]) -> [DigestKey: DigestEvidence] {
        let root = root
        let jobs = contents.enumerated().map { index, content in
            DigestJob(
                id: index, algorithm: content.key.algorithm, expected: content.stat,
                accept: { content.agrees($0) },
                open: { () throws(SystemCallFailure) in try root.open(content.location, linked: content.linked) })
        }
        let results = Results(memory: memory, flushInterval: Self.flushInterval)
        let startedAt = currentTime()
        var pool = DigestPool(threads: options.jobs, bytesPerSecond: options.bytesPerSecond)
        pool.mustPause = options.mustPause
        pool.run(jobs, cancellation: cancellation, progress: progress.hashing) { index, outcome in
            let content = contents[index]
            switch outcome {
            case .digest(let found):
                results.add(
                    content.key, .digest(found.digest),
                    HashedContent(
                        version: root.version(of: found.version), digest: found.digest,
                        mismatched: !content.agrees(found.digest), startedAt: startedAt,
                        verifiedAt: currentTime()))
            case .inconsistent(let first, let second): results.add(content.key, .inconsistent(first, second))
            case .changed: results.add(content.key, .changed)
            case .failed(let failure, let offset): results.add(content.key, .failed(failure, offset: offset))
            case .cancelled: break
            }
        }
        return results.finish()
    }

    /// Results as they come in from several threads.
    private final class Results: Sendable {
        private struct State {
            var evidence: [DigestKey: DigestEvidence] = [:]
            var pending: [HashedContent] = []
            var lastFlush = monotonicNanoseconds()
        }

        private let state = Mutex(State())
        private let memory: Memory
        private let flushInterval: UInt64

        init(memory: Memory, flushInterval: UInt64) {
            self.memory = memory
            self.flushInterval = flushInterval
        }

        func add(_ key: DigestKey, _ found: DigestEvidence, _ hashed: HashedContent? = nil) {
            let due = state.withLock { state -> [HashedContent] in
                state.evidence[key] = found
                if let hashed { state.pending.append(hashed) }
                guard monotonicNanoseconds() - state.lastFlush > flushInterval else { return [] }
                state.lastFlush = monotonicNanoseconds()
                defer { state.pending = [] }
                return state.pending
            }
            memory.remember(due)
        }

        func finish() -> [DigestKey: DigestEvidence] {
            let (evidence, pending) = state.withLock { ($0.evidence, $0.pending) }
            memory.remember(pending)
            return evidence
        }
    }
}
