internal import CacheScan
internal import Enforcement
public import HubCache
internal import LinuxIO
internal import Retention
internal import Verification

/// What removing something would do, before anybody does.
public struct RemovalOutlook: Sendable {
    /// Another revision that keeps some of the bytes.
    public struct Sharer: Sendable {
        /// The repo, `type/org/name`.
        public var repo: String
        /// The revision.
        public var commit: CommitHash
        /// What both have, in bytes.
        public var bytes: UInt64
    }

    /// What the disk would have more.
    public var bytes: UInt64 = 0
    /// Whether that is an upper bound.
    public var isAtMost = false
    /// Who shares content with it, those that share the most first.
    public var sharers: [Sharer] = []
    /// What keeps it, or a part of it, now.
    public var kept: [Kept] = []
    /// Why nothing may be removed there at all; nil: it may.
    public var refusal: String?
}

extension DaemonDesk {
    /// What removing a repo or a revision would do; changes nothing.
    public func removalOutlook(_ name: ModelName) async throws -> Result<RemovalOutlook, AskedWorkFailure> {
        try await ask { loop, reply in loop.removalOutlook(name, reply) }
    }
}

extension DaemonLoop {
    private static let mostOutlooks = 8

    func removalOutlook(_ name: ModelName, _ reply: Reply<Result<RemovalOutlook, AskedWorkFailure>>) {
        let cache: WatchedCache
        let commit: CommitHash?
        do throws(NamingFailure) {
            cache = try place(of: name)
            commit = try self.commit(of: name, in: cache)
        } catch {
            return reply.give(.failure(.naming(error)))
        }
        guard let worker = answeringWorker(cache), worker.count < Self.mostOutlooks, !cache.isUnresponsive else {
            return reply.give(.failure(.busy))
        }
        let isForeign = isForeign(cache)
        let order = passOrder(for: [cache])
        hand(worker, { order.outlook(of: name.repo, commit) }) { loop, found in
            guard !loop.cancellation.isCancelled else { return }
            guard var outlook = found else { return reply.give(.failure(.naming(.absent))) }
            if isForeign { outlook.refusal = "root removes nothing from another user's cache" }
            reply.give(.success(outlook))
        }
    }
}

extension PassOrder {
    /// - Returns: nil when it is not here.
    fileprivate func outlook(of repo: RepoID, _ commit: CommitHash?) -> RemovalOutlook? {
        let reading = ClockReading.now()
        let gathered = gather(reading.time)
        guard let cache = gathered.first, let removal = cache.removal(of: repo, commit, cache: 0) else { return nil }
        let plan = enforcer(gathered, reading, forgets: false).plan(removal)
        var outlook = RemovalOutlook(
            bytes: cache.facts.freed(by: removal.items), isAtMost: plan.actions.contains(where: \.isAtMost),
            kept: plan.kept.flatMap(\.reasons))
        let revisions = removal.items.compactMap { item -> Int? in
            if case .revision(_, let index) = item { index } else { nil }
        }
        outlook.sharers = cache.facts.sharers(of: Set(revisions)).map { sharer in
            let revision = cache.facts.revisions[sharer.revision]
            return RemovalOutlook.Sharer(
                repo: cache.facts.repos[revision.repo].id.description, commit: revision.commit, bytes: sharer.bytes)
        }
        outlook.refusal = Enforcer.refusal(of: cache.root, enforcer: policy.enforcer)
        return outlook
    }
}
