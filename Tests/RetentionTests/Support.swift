import HubCache
import Retention

/// A fixed now: 2026-01-31T12:00:00Z.
let now = Timestamp(seconds: 1_769_860_800)
let hour: Int64 = 3600
let day: Int64 = 86_400
let gigabyte: UInt64 = 1_000_000_000

/// A time so many seconds before now.
func ago(_ seconds: Int64) -> Timestamp { Timestamp(seconds: now.seconds - seconds) }

/// A commit of one hexadecimal digit repeated, or the digits followed by zeros.
func commit(_ digits: String) -> CommitHash {
    let hex = digits.count == 1 ? String(repeating: digits, count: 40) : digits.padded(to: 40)
    guard let commit = CommitHash(hex) else { preconditionFailure("\(digits) is no commit") }
    return commit
}

extension String {
    func padded(to length: Int) -> String { self + String(repeating: "0", count: max(0, length - count)) }
}

/// Builds the facts of a cache line by line. Every blob has a letter or word of its own; revisions name what they link to.
struct CacheBuilder {
    var facts: CacheFacts
    private var blobs: [String: StorageGraph.NodeID] = [:]
    private var sizes: [String: UInt64] = [:]
    private var total: UInt64 = 0

    init(
        _ path: String = "/cache", policy: CachePolicy = CachePolicy(), filesystem: UInt64 = 1,
        size: UInt64 = 1000 * gigabyte, free: UInt64 = 500 * gigabyte, keepsAccessTimes: Bool = true
    ) {
        var policy = policy
        policy.path = BytePath(path)
        facts = CacheFacts(
            path: BytePath(path), policy: policy,
            filesystem: FilesystemFacts(
                id: filesystem, name: "fs\(filesystem)", totalBytes: size, freeBytes: free,
                keepsAccessTimes: keepsAccessTimes), bytes: 0)
    }

    /// Adds content; `payload` makes it a link to content that was added before.
    mutating func blob(_ name: String, _ bytes: UInt64, foreign: Int = 0, payload: String? = nil) {
        blobs[name] = facts.storage.add(bytes: bytes, foreignHolders: foreign, holding: payload.flatMap { blobs[$0] })
        sizes[name] = bytes + (payload.flatMap { sizes[$0] } ?? 0)
        total += bytes
        facts.bytes = total
    }

    private mutating func place(of repo: String) -> Int {
        let parts = repo.split(separator: ":")
        let type = parts.count == 2 ? RepoType(rawValue: String(parts[0])) : .model
        guard let type, let name = parts.last, let id = RepoID(type: type, name: String(name)) else {
            preconditionFailure("\(repo) is no repo")
        }
        if let known = facts.repos.firstIndex(where: { $0.id == id }) { return known }
        facts.repos.append(RepoFacts(id: id, folder: id.folder))
        return facts.repos.count - 1
    }

    /// Adds a revision. `content` are blobs that were added before, or one of that many bytes of its own.
    @discardableResult mutating func revision(
        _ repo: String, _ digits: String, _ state: RevisionState = .complete, refs: [String] = ["main"],
        bytes: UInt64? = nil, blobs names: [String] = [], own: UInt64 = 0, arrived: Int64 = 100 * day,
        used: Int64? = 100 * day, source: LastUse.Source = .atime, opened: Int64? = nil,
        edit: (inout RevisionFacts) -> Void = { _ in }
    ) -> Int {
        var names = names
        if let bytes {
            let name = "\(repo)@\(digits)#\(facts.revisions.count)"
            blob(name, bytes)
            names.append(name)
        }
        var revision = RevisionFacts(
            repo: place(of: repo), commit: commit(digits), state: state, arrived: ago(arrived))
        revision.refs = refs.map { BytePath($0) }
        revision.nodes = names.compactMap { blobs[$0] }
        revision.bytes = names.reduce(own) { $0 + (sizes[$1] ?? 0) }
        revision.ownBytes = own
        total += own
        facts.bytes = total
        for node in revision.nodes { facts.storage.addHolder(of: node) }
        revision.lastUse = used.map { LastUse(time: ago($0), source: source) }
        revision.lastOpen = opened.map { LastUse(time: ago($0), source: .open) }
        revision.refetchBytes = revision.bytes
        revision.wasComplete = state == .complete
        edit(&revision)
        facts.revisions.append(revision)
        return facts.revisions.count - 1
    }

    /// Adds a leftover.
    @discardableResult mutating func file(
        _ kind: FileFacts.Kind, _ path: String, repo: String? = nil, bytes: UInt64, modified: Int64 = 10 * day,
        links: UInt32 = 1, asNode: Bool = true
    ) -> Int {
        let stat = FileStat(
            key: FileKey(device: 1, inode: UInt64(facts.files.count + 1)), kind: .regular, permissions: 0o644,
            linkCount: links, uid: 0, gid: 0, size: bytes, allocated: bytes, accessed: ago(modified),
            modified: ago(modified), changed: ago(modified))
        var file = FileFacts(kind: kind, repo: repo.map { place(of: $0) }, path: BytePath(path), stat: stat)
        if asNode {
            blob(path, bytes)
            file.nodes = [blobs[path]].compactMap { $0 }
            for node in file.nodes { facts.storage.addHolder(of: node) }
        } else {
            total += bytes
            facts.bytes = total
        }
        facts.files.append(file)
        return facts.files.count - 1
    }
}

/// Builds a cache in one expression.
func cache(
    _ path: String = "/cache", policy: CachePolicy = CachePolicy(), filesystem: UInt64 = 1,
    size: UInt64 = 1000 * gigabyte, free: UInt64 = 500 * gigabyte, keepsAccessTimes: Bool = true,
    _ build: (inout CacheBuilder) -> Void
) -> CacheFacts {
    var builder = CacheBuilder(
        path, policy: policy, filesystem: filesystem, size: size, free: free, keepsAccessTimes: keepsAccessTimes)
    build(&builder)
    return builder.facts
}

/// What a cache's policy says, in one expression.
func bounds(_ edit: (inout CachePolicy) -> Void) -> CachePolicy {
    var policy = CachePolicy()
    edit(&policy)
    return policy
}

/// A policy of rules and pins.
func policy(_ rules: [Rule], pins: [Pin] = [], caches: [CachePolicy] = []) -> Policy {
    var policy = Policy()
    policy.mode = .enforce
    policy.rules = rules
    policy.pins = pins
    policy.caches = caches
    return policy
}

/// A rule in one expression.
func rule(
    _ name: String, _ states: [Match.State] = [], repos: [String] = [], types: [RepoType] = [],
    revisions: [String] = [], larger: UInt64? = nil, smaller: UInt64? = nil, older: Int64? = nil, unused: Int64? = nil,
    keepLast: Int? = nil, pressure: Bool = false, order: Rule.Order = .lru
) -> Rule {
    var match = Match()
    match.states = states
    match.repos = repos.map { Glob($0) }
    match.types = types
    match.revisions = revisions.map { Glob($0) }
    match.largerThan = larger
    match.smallerThan = smaller
    return Rule(
        name: name, occasion: pressure ? .pressure : .always, match: match, keepLast: keepLast,
        olderThan: older.map { .seconds($0) }, unusedFor: unused.map { .seconds($0) }, order: order)
}

/// No look finds anything.
func nothing(_: Item) -> ItemEvidence { ItemEvidence() }

extension Planner {
    /// Everything there is to explain.
    static func items(of caches: [CacheFacts]) -> [Item] {
        caches.indices.flatMap { cache in
            caches[cache].revisions.indices.map { Item.revision(cache: cache, index: $0) }
                + caches[cache].files.indices.map { Item.file(cache: cache, index: $0) }
        }
    }
}
