public import CacheScan
internal import HubCache
internal import InUse
public import Ledger
public import LinuxIO
internal import Removal
public import Retention
internal import Synchronization

extension Enforcer {
    /// Has items removed, all at once, and says what became of each, in the same order.
    ///
    /// - Parameter wholeRepos: repos, by cache and place in its facts, of which everything goes.
    func carryOut(_ items: [Item], overrides: Overrides, wholeRepos: Set<RepoPlace> = []) -> [ActionOutcome] {
        var further: [(path: BytePath, outcome: ActionOutcome)] = []
        return carryOut(items, overrides: overrides, wholeRepos: wholeRepos, further: &further)
    }

    /// The same; what else a whole repo was found to have is added to `further`, by its path.
    func carryOut(
        _ items: [Item], overrides: Overrides, wholeRepos: Set<RepoPlace>,
        further: inout [(path: BytePath, outcome: ActionOutcome)]
    ) -> [ActionOutcome] {
        var outcomes: [Item: ActionOutcome] = [:]
        settings.catchUp()
        for cache in caches.indices {
            let own = items.filter { $0.cache == cache }
            let whole = wholeRepos.filter { $0.cache == cache }
            if own.isEmpty && whole.isEmpty { continue }
            if !overrides.isByName {
                recentOpens.read(ledger, cache: caches[cache].root.path)
                if isMemoryLost {
                    let kept = Kept(by: .cannotTell, "what the ledger remembered was lost while this was planned")
                    for item in own { outcomes[item] = .kept([kept]) }
                    continue
                }
            }
            var requests: [RepoPlace: RemovalRequest] = [:]
            var order: [RepoPlace] = []
            func add(_ item: RemovalItem?, to place: RepoPlace) {
                if requests[place] == nil {
                    requests[place] = request(for: place, isWhole: wholeRepos.contains(place))
                    order.append(place)
                }
                if let item { requests[place]?.items.append(item) }
            }
            let removals = own.map(removalItem)
            for (place, removal) in removals { add(removal, to: place) }
            for place in whole.sorted(by: { ($0.repo ?? 0) < ($1.repo ?? 0) }) { add(nil, to: place) }
            let results = remover(for: cache, overrides: overrides).remove(order.compactMap { requests[$0] })
            noteRemoved(results, in: cache)
            var told: [RepoPlace: [RemovalItem: ActionOutcome]] = [:]
            for result in results {
                told[order[result.request], default: [:]][result.item] = ActionOutcome(result.result)
            }
            let planned = Set(removals.map(\.item))
            further += results.filter { !planned.contains($0.item) }.map { ($0.path, ActionOutcome($0.result)) }
            for (item, (place, removal)) in zip(own, removals) { outcomes[item] = told[place]?[removal] }
        }
        return items.map { outcomes[$0] ?? .failed("nothing was said of it", isPermission: false) }
    }

    /// What was removed on purpose is no history any more: fetched again, it is what it is then.
    private func noteRemoved(_ results: [RemovalOutcome], in cache: Int) {
        for outcome in results {
            guard case .removed = outcome.result, case .revision(let commit, _) = outcome.item,
                let folder = outcome.folder
            else { continue }
            ledger.forget(revision: commit, cache: caches[cache].root.path, repo: folder.text)
        }
        let root = caches[cache].root
        for folder in Set(results.compactMap(\.folder)) {
            do throws(SystemCallFailure) { _ = try root.stat(at: folder) } catch {
                guard error.isAbsent else { continue }
                ledger.forgetPartials(cache: root.path, repo: folder.text)
                ledger.forgetAsked(cache: root.path, repo: folder.text, commit: nil)
            }
        }
    }

    private func request(for place: RepoPlace, isWhole: Bool) -> RemovalRequest {
        let cache = caches[place.cache]
        guard let repo = place.repo else { return RemovalRequest(folder: nil, items: []) }
        let folder = cache.facts.repos[repo].folder
        let blobs = folder.appending("blobs")
        return RemovalRequest(
            folder: folder, items: [], isWholeRepo: isWhole, removesEmptyFolders: true,
            allowsLinkedFolder: cache.listedLinks.contains(repo),
            blobsLinkedFromElsewhere: Set(cache.linkedFromElsewhere.compactMap { $0.relative(to: blobs) }))
    }

    private func removalItem(_ item: Item) -> (place: RepoPlace, item: RemovalItem) {
        switch item {
        case .revision(let cache, let index):
            let revision = caches[cache].facts.revisions[index]
            return (
                RepoPlace(cache: cache, repo: revision.repo),
                .revision(revision.commit, identity: revision.identity)
            )
        case .file(let cache, let index):
            let file = caches[cache].facts.files[index]
            let place = RepoPlace(cache: cache, repo: file.repo)
            let name = file.path.lastComponent
            switch file.kind {
            case .stalePartial where file.repo == nil: return (place, .rootTemporary(name: name, stat: file.stat))
            case .stalePartial: return (place, .partial(name: name, stat: file.stat))
            case .orphanBlob: return (place, .orphanBlob(name: name, stat: file.stat))
            case .orphanPayload: return (place, .payload(name: name, stat: file.stat))
            }
        }
    }
}

/// A repo of one of the caches, by its place in the facts; nil: the cache outside of the repos.
struct RepoPlace: Hashable {
    var cache: Int
    var repo: Int?
}

extension RemovalOutcome {
    /// Where the item is, relative to the cache root.
    fileprivate var path: BytePath {
        let folder = folder ?? .empty
        switch item {
        case .revision(let commit, _): return folder.appending("snapshots").appending(commit.hex)
        case .partial(let name, _), .orphanBlob(let name, _): return folder.appending("blobs").appending(name)
        case .rootTemporary(let name, _): return name
        case .payload(let name, _): return StoreInventory.location(of: name)
        }
    }
}

extension ActionOutcome {
    fileprivate init(_ result: RemovalResult) {
        switch result {
        case .removed(let bytes): self = .removed(bytes: bytes)
        case .kept(let reasons): self = .kept(reasons)
        case .undone(let reason): self = .kept([Kept(by: .lock, reason)])
        case .failed(let failure):
            self = .failed("\(failure.what): \(failure.remedy)", isPermission: failure.isPermission)
        }
    }
}

extension Enforcer {
    /// Finishes or undoes what an earlier run was killed in the middle of, in one cache.
    ///
    /// Nothing is touched where this host may not remove: what another one is at only looks abandoned from here.
    ///
    /// - Parameters:
    ///   - policy: what the policy says of the cache.
    ///   - enforcer: the host that may remove from network filesystems.
    /// - Returns: a line for a person for each operation that was found, and whether it could be dealt with.
    /// - Throws: `SystemCallFailure` when the root cannot be listed.
    public static func recover(
        _ root: CacheRoot, policy: CachePolicy, enforcer: String?, ledger: Ledger, cancellation: Cancellation
    ) throws(SystemCallFailure) -> [(text: String, isDealtWith: Bool)] {
        guard refusal(of: root, enforcer: enforcer) == nil else { return [] }
        let probe = UseProbe(root: root, ledger: ledger, assumeUnusedAfter: nil, now: currentTime())
        let remover = Remover(
            root: root, reproof: { Self.reproof($0, $1, $2, probe, in: root) },
            inUse: { key, _ in UseProbe.answerWithoutLease(for: key, in: root) }, cancellation: cancellation)
        return try remover.recover(linkedFolders: linkedFolders(of: root, policy)).map { outcome in
            let name = "\(outcome.folder.display)/.hfjanitor/\(outcome.operation.display)"
            switch outcome.result {
            case .finished(let bytes): return ("finished \(name), which freed \(bytes) bytes", true)
            case .undone: return ("undid \(name)", true)
            case .live: return ("\(name) is under way", true)
            case .left(let reason): return ("\(name) was left alone: \(reason)", false)
            case .failed(let failure): return ("\(name): \(failure.what): \(failure.remedy)", false)
            }
        }
    }

    /// The repo folders that are links to where the policy says they may lead.
    private static func linkedFolders(of root: CacheRoot, _ policy: CachePolicy) throws(SystemCallFailure) -> Set<
        BytePath
    > {
        guard !policy.also.isEmpty else { return [] }
        let scan = CacheScan(root: root)
        let listing = try scan.list()
        var found: Set<BytePath> = []
        for folder in listing.repos where (try? root.stat(at: folder.folder))?.kind == .symlink {
            let links = scan.scanRepo(folder, store: listing.store).linkedFolders
            if !links.isEmpty, links.allSatisfy(policy.lists) { found.insert(folder.folder) }
        }
        return found
    }

    /// What removes from a cache: one for the whole run, since it knows which changes of times were its own.
    private func remover(for cache: Int, overrides: Overrides) -> Remover {
        if let known = removers.withLock({ $0[cache] }) { return known }
        let root = caches[cache].root
        let facts = caches[cache].facts
        let looks = RecentLooks { [ledger] in
            UseProbe(root: root, ledger: ledger, assumeUnusedAfter: nil, now: currentTime())
        }
        let unusedAfter = assumeUnusedAfter(of: facts)
        let now = settings.now
        let lookedAt = facts.policy.recentUse > .zero ? settings.lookedAt : nil
        // An open just before the look may have been heard of after it.
        let unheard = min(60, max(0, facts.policy.recentUse.components.seconds))
        let unheardSince = Timestamp(nanoseconds: settings.lookedAt.nanoseconds &- unheard &* 1_000_000_000)
        let recentOpens = recentOpens
        let remover = Remover(
            root: root, settle: settings.settle,
            reproof: { repo, commit, file in
                let reasons = Self.reproof(repo, commit, file, looks.recent(), in: root)
                guard overrides.isByName else {
                    guard let lookedAt else { return reasons }
                    return reasons + Self.recentUse(repo, commit, since: lookedAt, in: root)
                        + recentOpens.keepers(repo, commit, since: unheardSince, in: root.path)
                }
                return overrides.applied(to: reasons.filter { Self.honouredByName.contains($0.by) })
            },
            inUse: { key, _ in UseProbe.answerWithoutLease(for: key, in: root) },
            assumesUnused: { repo, commit in
                if overrides.assumesUnused { return true }
                guard let unusedAfter else { return false }
                let place = facts.repos.firstIndex { $0.id == repo.id }
                let lastUse: Timestamp? =
                    if let commit {
                        facts.revisions.first { $0.repo == place && $0.commit == commit }?.lastUse?.time
                    } else {
                        // Which of the leftovers is meant is not told: the youngest speaks for all.
                        facts.files.filter { $0.repo == place }.map(\.stat.modified).max()
                    }
                return lastUse.map { now.nanoseconds &- $0.nanoseconds >= unusedAfter } ?? false
            }, cancellation: cancellation)
        removers.withLock { $0[cache] = remover }
        return remover
    }

    /// Whether a revision was opened since it was looked at, as access times tell: a loader may have read it and gone.
    private static func recentUse(
        _ repo: RepoInventory, _ commit: CommitHash?, since lookedAt: Timestamp, in root: CacheRoot
    ) -> [Kept] {
        guard let commit, let snapshot = repo.snapshots.first(where: { $0.commit == commit }) else {
            return []
        }
        for file in snapshot.files {
            var content: FileStat? = file.stat.kind == .regular ? file.stat : nil
            if case .blob(let name) = file.link, let blob = repo.blobs[name] {
                content = blob.link == nil ? blob.stat : nil
                if case .payload(let payload) = blob.link {
                    content = try? root.stat(at: StoreInventory.location(of: payload))
                }
            }
            if let content, content.accessed > content.modified, content.accessed > lookedAt {
                return [Kept(by: .recentUse, "'\(file.path.display)' was read after it was planned")]
            }
        }
        return []
    }

    /// What besides locks and open files keeps a revision, or files of a repo.
    private static func reproof(
        _ repo: RepoInventory, _ commit: CommitHash?, _ file: BytePath?, _ probe: UseProbe, in root: CacheRoot
    ) -> [Kept] {
        guard repo.id != nil else { return [] }
        guard let commit else {
            // A leftover is nobody's business but of those who have that very file.
            let name = file?.lastComponent ?? .empty
            let blob = repo.blobs[name].map {
                UsedFile(location: repo.location(ofBlob: name), stat: $0.stat, blob: name)
            }
            return probe.standingKeepers(of: nil, files: blob.map { [$0] } ?? [], in: repo)
        }
        let store = StoreInventory()
        let files = repo.snapshots.filter { $0.commit == commit }.flatMap { snapshot in
            snapshot.files.compactMap { file -> UsedFile? in
                // Whoever opened it is remembered by the blob's name, wherever its content is.
                guard case .blob(let name) = file.link, let blob = repo.blobs[name] else {
                    return UsedFile(repo.content(of: file, in: snapshot, store: store))
                }
                return UsedFile(location: repo.location(ofBlob: name), stat: blob.stat, blob: name)
            }
        }
        return probe.standingKeepers(of: commit, files: files, in: repo)
    }
}

/// A look at processes that is never older than a moment: the one that the plan was made by may be minutes old, and one for
/// each item would cost more than removing it.
private final class RecentLooks: Sendable {
    private let make: @Sendable () -> UseProbe
    private let last = Mutex<(probe: UseProbe, madeAt: UInt64)?>(nil)
    private static let lifetime: UInt64 = 1_000_000_000

    init(_ make: @escaping @Sendable () -> UseProbe) { self.make = make }

    func recent() -> UseProbe {
        last.withLock { last in
            if let last, monotonicNanoseconds() &- last.madeAt < Self.lifetime { return last.probe }
            let probe = make()
            last = (probe, monotonicNanoseconds())
            return probe
        }
    }
}
