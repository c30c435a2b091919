public import HubCache

/// What was found about one revision.
public struct RevisionReport: Sendable {
    /// The commit; nil for a plain folder whose metadata do not agree on one.
    public var commit: CommitHash?
    /// The refs that name it.
    public var refs: [BytePath]
    /// Its state.
    public var state: RevisionState
    /// How many files its snapshot shows.
    public var fileCount: Int
    /// Bytes on the disk of its files, each inode once.
    public var bytes: UInt64
    /// Bytes on the disk that nothing else holds.
    public var uniqueBytes: UInt64
    /// When its last file arrived.
    public var arrived: Timestamp?
    /// When it was last used.
    public var lastUse: LastUse?
    /// Interrupted downloads in the repo that may be of files of this revision, which nothing here names.
    public var possibleLeftovers: [BytePath]
    /// What was found, worst first.
    public var findings: [Finding]
    /// Payloads of the shared store that only this revision of its repo uses, with their bytes on the disk.
    var uniquePayloads: [BytePath: UInt64] = [:]
}

/// What was found about one repo.
public struct RepoReport: Sendable {
    /// `model/org/name`, or `local:PATH`.
    public var id: String
    /// The repo; nil for a plain folder.
    public var repo: RepoID?
    /// The folder's name in the cache.
    public var folder: BytePath
    /// Bytes on the disk of everything in the folder and of the payloads it links to.
    public var bytes: UInt64
    /// Bytes that could be reclaimed without any policy.
    public var reclaimableBytes: UInt64
    /// The worst state of the revisions that have a ref, of all if none has; without any revision what its leftovers say, and
    /// nil where they say nothing.
    public var state: RevisionState?
    /// When it was last used.
    public var lastUse: LastUse?
    /// The revisions.
    public var revisions: [RevisionReport]
    /// What was found outside of revisions.
    public var findings: [Finding]
    /// Leftovers, for `ls --all`.
    public var leftovers: [Leftover]
    /// How many files were looked at, and the apparent bytes of their distinct contents.
    public var filesChecked: Int
    /// Apparent bytes of the distinct contents looked at.
    public var bytesChecked: UInt64
    var tally: AllocationTally
    var payloads: Set<BytePath>
    /// Places in other repos that links of this one end at.
    var elsewhere: Set<BytePath>
    /// Whether there may be links that nobody could look at.
    var hasUnseenLinks: Bool
    /// The refs that name a commit amid white space: the Python client takes them for no commit when it is offline.
    public var refsWithWhitespace: Set<BytePath> = []
}

extension RepoReport {
    /// Adds what was found about further revisions of the same repo.
    public mutating func add(_ further: [RevisionReport]) {
        for revision in further where !revisions.contains(where: { $0.commit == revision.commit }) {
            revisions.append(revision)
            filesChecked += revision.fileCount
            lastUse = revision.lastUse.map { LastUse.younger(lastUse, $0) } ?? lastUse
        }
        revisions.sort { ($0.commit?.hex ?? "") < ($1.commit?.hex ?? "") }
        let named = revisions.filter { !$0.refs.isEmpty }
        state = (named.isEmpty ? revisions : named).map(\.state).min() ?? state
    }
}

/// Something that could be removed, or that nobody knows.
public struct Leftover: Sendable, Hashable {
    /// Where it is, relative to the cache root.
    public var path: BytePath
    /// What it is: a finding code, or a kind of its own.
    public var kind: String
    /// The bytes on the disk that removing it alone gives back.
    public var bytes: UInt64

    /// Makes a leftover.
    public init(path: BytePath, kind: String, bytes: UInt64) {
        self.path = path
        self.kind = kind
        self.bytes = bytes
    }
}

/// What was found in one cache.
public struct CacheReport: Sendable {
    /// The root, without links.
    public var path: BytePath
    /// Bytes on the disk of everything below the root, as `du` counts them.
    public var bytes: UInt64
    /// What an unprivileged user could still write.
    public var freeBytes: UInt64
    /// Bytes that could be reclaimed without any policy.
    public var reclaimableBytes: UInt64
    /// Bytes in no repo's folder and in no payload that a repo uses.
    public var otherBytes: UInt64
    /// The repos.
    public var repos: [RepoReport]
    /// What was found outside of repos.
    public var findings: [Finding]
    /// Leftovers outside of repos.
    public var leftovers: [Leftover]
    /// Files that say that a repo is held, relative to the root, of a whole cache; nil: they were not looked for.
    public var holdFiles: [BytePath]?
}

/// What a verification came to.
public struct VerificationSummary: Sendable, Hashable {
    /// Repos looked at.
    public var repos = 0
    /// Revisions looked at.
    public var revisions = 0
    /// Revisions by state.
    public var states: [RevisionState: Int] = [:]
    /// Findings by severity, one that several revisions share counted once.
    public var findings: [Severity: Int] = [:]
    /// Snapshot entries looked at.
    public var filesChecked = 0
    /// Apparent bytes of the distinct contents looked at.
    public var bytesChecked: UInt64 = 0
    /// Bytes hashed now.
    public var bytesHashed: UInt64 = 0
    /// How long it took.
    public var seconds = 0.0

    /// Adds up reports.
    public init(_ caches: [CacheReport], bytesHashed: UInt64, seconds: Double) {
        var counted: Set<Counted> = []
        func count(_ finding: Finding) {
            let key = Counted(code: finding.code, content: finding.content, path: finding.path, file: finding.file)
            if counted.insert(key).inserted { findings[finding.severity, default: 0] += 1 }
        }
        for cache in caches {
            cache.findings.forEach(count)
            for repo in cache.repos {
                repos += 1
                filesChecked += repo.filesChecked
                bytesChecked &+= repo.bytesChecked
                repo.findings.forEach(count)
                for revision in repo.revisions {
                    revisions += 1
                    states[revision.state, default: 0] += 1
                    revision.findings.forEach(count)
                }
            }
        }
        self.bytesHashed = bytesHashed
        self.seconds = seconds
    }

    private struct Counted: Hashable {
        var code: FindingCode
        var content: FileKey?
        var path: BytePath
        var file: BytePath?

        init(code: FindingCode, content: FileKey?, path: BytePath, file: BytePath?) {
            self.code = code
            self.content = content
            // One content in several revisions, under whatever path, is one finding.
            self.path = content == nil ? path : .empty
            self.file = content == nil ? file : nil
        }
    }
}
