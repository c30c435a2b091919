internal import CacheWatch
public import HubCache
internal import LinuxIO
internal import Verification

/// What a request names: a repo, perhaps one revision, perhaps in one cache.
public struct ModelName: Sendable, Hashable {
    /// The cache's id; nil: the one that has it.
    public var cache: String?
    /// The repo.
    public var repo: RepoID
    /// A commit or the name of a ref; nil: the repo.
    public var revision: String?

    /// Makes a name.
    public init(cache: String? = nil, repo: RepoID, revision: String? = nil) {
        self.cache = cache
        self.repo = repo
        self.revision = revision
    }
}

/// What is known of a repo.
public struct KnownModel: Sendable {
    /// The id of its cache.
    public var cache: String
    /// The repo, `type/org/name`.
    public var repo: String
    /// The state of the revision that was asked for, or of the repo; nil: that revision is not here.
    public var state: RevisionState?
    /// Its download.
    public var progress: TransferReport.Progress?
    /// The worst that was found.
    public var worst: Finding?
    /// Why the last download of it failed; nil: it did not.
    public var failure: TransferRefusal?
}

/// Every repo.
public struct ModelList: Sendable {
    /// Lists of one number are the same list.
    public var number: UInt64
    /// The repos, cache after cache, by the names of their folders.
    public var models: [KnownModel]
}

/// A finding and where it was made.
public struct KnownFinding: Sendable {
    /// The id of its cache.
    public var cache: String
    /// The repo, `type/org/name`.
    public var repo: String?
    /// The revision.
    public var revision: CommitHash?
    /// What was found.
    public var finding: Finding
}

/// Why something cannot be done with what a request names.
public enum NamingFailure: Error, Sendable, Hashable {
    /// No cache has that id.
    case unknownCache
    /// No cache has that repo or revision.
    case absent
    /// Several caches have it: their ids.
    case several([String])

    /// One sentence.
    public var message: String {
        switch self {
        case .unknownCache: "no cache has this id; see /api/models/space"
        case .absent: "this is not in any cache that is watched"
        case .several(let ids): "several caches have it; name one in 'cache': \(ids.joined(separator: ", "))"
        }
    }
}

// What requests name, and what is known of it.
extension DaemonLoop {
    /// The caches that a request means.
    func caches(named id: String?) throws(NamingFailure) -> [WatchedCache] {
        guard let id else { return caches }
        guard let cache = caches.first(where: { $0.id == id }) else { throw .unknownCache }
        return [cache]
    }

    /// The cache that has a repo.
    func place(of name: ModelName) throws(NamingFailure) -> WatchedCache {
        let found = try caches(named: name.cache).filter { $0.repos[name.repo.folder] != nil }
        guard let first = found.first else { throw .absent }
        guard found.count == 1 else { throw .several(found.map(\.id)) }
        return first
    }

    /// The commit that a name's revision is.
    func commit(of name: ModelName, in cache: WatchedCache) throws(NamingFailure) -> CommitHash? {
        guard let revision = name.revision else { return nil }
        guard let known = cache.repos[name.repo.folder] else { throw .absent }
        guard let commit = known.refs[revision] ?? CommitHash(revision), known.states[commit] != nil else {
            throw .absent
        }
        return commit
    }

    /// Every repo, without how far its download is; made anew when something changed.
    var models: ModelList {
        let mark = [bookChanges] + caches.flatMap { [UInt64($0.number), $0.changes] }
        if let known = lastModels, known.mark == mark { return known.list }
        let list = ModelList(number: (lastModels?.list.number ?? 0) + 1, models: makeModels())
        lastModels = (list, mark)
        return list
    }

    private func makeModels() -> [KnownModel] {
        caches.flatMap { cache in
            let worst = worstFindings(of: cache)
            return cache.repos.sorted { $0.key < $1.key }.map { folder, repo in
                var model = model(folder, repo, cache, commit: nil, worst: worst[repo.id])
                model.progress = nil
                return model
            }
        }
    }

    func model(_ name: ModelName) -> Result<KnownModel, NamingFailure> {
        do throws(NamingFailure) {
            let cache = try place(of: name)
            let commit = try commit(of: name, in: cache)
            guard let repo = cache.repos[name.repo.folder] else { throw .absent }
            let worst = book.found(in: cache.root ?? cache.path).filter {
                $0.repo == repo.id && (commit == nil || $0.thing.revision == nil || $0.thing.revision == commit)
            }.map(\.thing.finding).max { $0.severity < $1.severity }
            let known = model(name.repo.folder, repo, cache, commit: commit, worst: worst)
            return .success(adding(known, of: name) ?? known)
        } catch {
            if error == .absent, let known = adding(nil, of: name) { return .success(known) }
            return .failure(error)
        }
    }

    private func worstFindings(of cache: WatchedCache) -> [String: Finding] {
        var worst: [String: Finding] = [:]
        for (repo, thing) in book.found(in: cache.root ?? cache.path) {
            guard let repo, worst[repo].map({ $0.severity < thing.finding.severity }) ?? true else { continue }
            worst[repo] = thing.finding
        }
        return worst
    }

    private func model(
        _ folder: BytePath, _ repo: KnownRepo, _ cache: WatchedCache, commit: CommitHash?, worst: Finding?
    ) -> KnownModel {
        var state = repo.states.isEmpty ? nil : repo.state
        if let commit { state = repo.states[commit] }
        if !repo.downloads.isEmpty, state == nil || state == .partial { state = .downloading }
        let isError = worst.map { $0.severity == .error } ?? false
        var model = KnownModel(
            cache: cache.id, repo: repo.id, state: state, worst: isError ? worst : nil)
        if state == .downloading, !repo.downloads.isEmpty {
            let elapsed = cache.live[folder].map { monotonicNanoseconds() &- $0.since } ?? 0
            let sizes = repo.downloads.compactMap(\.expected)
            model.progress = TransferReport.Progress(
                start: Timestamp(nanoseconds: currentTime().nanoseconds &- Int64(clamping: elapsed)),
                elapsed: Double(elapsed) / 1e9, bytes: repo.downloads.reduce(0) { $0 &+ $1.present },
                totalBytes: sizes.count == repo.downloads.count ? sizes.reduce(0, &+) : nil)
        }
        return model
    }

    func findings(in id: String?, of repo: RepoID?) throws(NamingFailure) -> [KnownFinding] {
        try caches(named: id).flatMap { cache in
            (book.found(in: cache.root ?? cache.path) + localFindings(cache)).filter {
                repo == nil || $0.repo == repo?.description
            }.map {
                KnownFinding(
                    cache: cache.id, repo: $0.repo, revision: $0.thing.revision, finding: $0.thing.finding)
            }
        }
    }

    // MARK: reads of other processes

    /// Does not count the reads of a process that announces them as use.
    ///
    /// - Returns: what ends that; nil where too many do so already, or nothing of it is watched.
    func announceReads(of names: [ModelName], depth: VerificationDepth) throws(NamingFailure) -> (@Sendable () -> Void)?
    {
        guard let watcher else { return nil }
        // An index is read twice, a content to find out what it is and to hash it, and again where it seems wrong.
        let opens =
            switch depth {
            case .structure: 1
            case .headers: 2
            case .digests: 4
            }
        var ends: [@Sendable () -> Void] = []
        let end: @Sendable ([@Sendable () -> Void]) -> Void = { ends in for end in ends { end() } }
        for cache in caches {
            let mine = names.filter { $0.cache == nil || $0.cache == cache.id }
            if !names.isEmpty && mine.isEmpty { continue }
            let repos = names.isEmpty ? nil : Set(mine.map(\.repo.folder))
            guard let ended = watcher.ownReads.announce(repos: repos, of: cache.path, opens: opens) else {
                end(ends)
                return nil
            }
            ends.append(ended)
        }
        let all = ends
        guard depth == .digests else { return { end(all) } }
        // What was proven wrong is in the ledger then, and nothing in the cache tells of it.
        let folders = names.isEmpty ? nil : Set(names.map(\.repo.folder))
        return { [mailbox] in
            end(all)
            mailbox.post { loop in loop.lookAgain(at: folders) }
        }
    }

    private func lookAgain(at folders: Set<BytePath>?) {
        let now = monotonicNanoseconds()
        for cache in caches where cache.presence == .present {
            for folder in cache.repos.keys where folders?.contains(folder) ?? true {
                cache.settle.changed(folder, at: now)
            }
        }
    }
}
