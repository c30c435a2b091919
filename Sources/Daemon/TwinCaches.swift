internal import CacheWatch
internal import HubCache
internal import LinuxIO
internal import SystemdSupport

// One cache that a policy lists twice, by a link or a mount: the first entry counts. Two that each took it for their own would
// count its bytes twice, and lock each other out of it.
extension DaemonLoop {
    /// Sets a cache aside that an earlier entry has already, and later ones that are this one.
    ///
    /// - Returns: whether this one is set aside.
    func setTwinsAside(of cache: WatchedCache, _ look: CacheLook) -> Bool {
        let twins = caches.filter { $0 === cache || ($0.presence == .present && $0.rootKey == look.rootKey) }
        guard let first = twins.first else { return false }
        let root = first === cache ? look.path : first.root
        for twin in twins.dropFirst() { setAside(twin, for: first, sharesBook: twin.root == root) }
        return first !== cache
    }

    private func setAside(_ twin: WatchedCache, for first: WatchedCache, sharesBook: Bool) {
        if let root = twin.root, !sharesBook { book.forget(root, now: currentTime()) }
        _ = conditions.replace(scope: twin.path.display, with: [], now: currentTime())
        twin.forgetWhatWasFound()
        twin.isInventoryDone = true
        twin.presence = .sameAs(first.path)
        raise(
            condition(
                twin, "listed-twice", .warning,
                "\(twin.path.display) is the same folder as \(first.path.display): only the first entry counts; remove the "
                    + "other from the policy"))
    }

    /// Looks again at what was set aside: the one that it was the same as may be another now, or gone.
    func reconsiderTwins() {
        for cache in caches {
            guard case .sameAs = cache.presence else { continue }
            cache.isInventoryDone = false
            becomePresent(cache)
            planFullLook(cache, at: monotonicNanoseconds())
        }
    }
}

extension WatchEvent {
    /// Whether it tells of what is in the cache, and not of the cache itself.
    var isOfContent: Bool {
        switch self {
        case .repoChanged, .rootChanged, .storeChanged, .opened, .overflow: true
        case .armed, .root, .degraded, .restored: false
        }
    }
}
