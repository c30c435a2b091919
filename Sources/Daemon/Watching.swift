internal import CacheWatch
internal import HubCache
internal import LinuxIO
internal import Retention
internal import SystemdSupport

// What is heard of caches: it marks what is to be looked at, and never says what will be found.
extension DaemonLoop {
    func take(_ event: WatchEvent) {
        guard let cache = cache(at: event.cache) else { return }
        if case .sameAs = cache.presence, event.isOfContent { return }
        let now = monotonicNanoseconds()
        switch event {
        case .repoChanged(_, let folder):
            cache.settle.changed(folder, at: now)
            cache.changedAt[folder] = now
            // What is written may be a download: the floor matters now.
            cache.space.nextLook = min(cache.space.nextLook, now &+ 2 * Timers.second)
        case .rootChanged, .storeChanged:
            planFullLook(cache, at: now &+ Timers.second &+ min(10 * cache.lastFullLookDuration, 60 * Timers.second))
        case .opened(_, let file, let time): noteOpen(file, of: cache, at: time)
        case .overflow:
            cache.isFullLookStale = true
            cache.isToBeReadAnew = true
            planFullLook(cache, at: now &+ cache.rescanPause)
        case .armed:
            // The root is there: this comes for a new one too.
            becomePresent(cache)
            cache.isFullLookStale = true
            cache.isToBeReadAnew = cache.isInventoryDone
            planFullLook(cache, at: now)
        case .root(_, let change): take(change, of: cache, now)
        case .degraded(_, let degradation):
            cache.degradations.insert(degradation)
            raise(
                Condition(
                    .init(scope: cache.path.display, code: degradation.code),
                    event: JournalEvent(
                        .watchDegraded, priority: degradation.priority, "\(cache.path.display): \(degradation.words)",
                        EventFields(cache: cache.path, code: degradation.code))))
        case .restored(_, let degradation):
            cache.degradations.remove(degradation)
            clear(
                .init(scope: cache.path.display, code: degradation.code),
                saying: restored(cache, degradation.code, "is watched as it should be again"))
        }
        isStatusStale = true
    }

    private func take(_ change: RootChange, of cache: WatchedCache, _ now: UInt64) {
        switch change {
        case .gone, .unmounted:
            guard cache.presence != .absent else { return }
            cache.presence = .absent
            cache.settle = SettleTracker()
            cache.live = [:]
            cache.nextFullLook = nil
            reconsiderTwins()
            raise(
                condition(
                    cache, "absent", .warning, "there is no cache at \(cache.path.display); it is looked for on and on"
                ))
        case .unreadable(let errno):
            cache.presence = .unreadable(errno: errno)
            let reason = SystemCallFailure(call: "open", errno: errno, subject: cache.path).reason
            raise(condition(cache, "unreadable", .error, "\(cache.path.display) cannot be read: \(reason)"))
        case .back, .replaced:
            becomePresent(cache)
            cache.isFullLookStale = true
            cache.isToBeReadAnew = cache.isInventoryDone
            planFullLook(cache, at: now)
        case .unresponsive: setUnresponsive(cache, true)
        case .responsive: setUnresponsive(cache, false)
        }
    }

    func becomePresent(_ cache: WatchedCache) {
        cache.presence = .present
        clear(.init(scope: cache.path.display, code: "listed-twice"), saying: nil)
        clear(.init(scope: cache.path.display, code: "absent"), saying: restored(cache, "absent", "is there"))
        clear(
            .init(scope: cache.path.display, code: "unreadable"), saying: restored(cache, "unreadable", "can be read"))
    }

    func setUnresponsive(_ cache: WatchedCache, _ isUnresponsive: Bool) {
        guard cache.isUnresponsive != isUnresponsive else { return }
        cache.isUnresponsive = isUnresponsive
        let identity = Condition.Identity(scope: cache.path.display, code: "unresponsive")
        if isUnresponsive {
            raise(
                condition(
                    cache, "unresponsive", .error,
                    "\(cache.path.display) does not answer: a call on its filesystem hangs; look at the disk or the server"
                ))
        } else {
            clear(identity, saying: restored(cache, "unresponsive", "answers again"))
        }
    }

    func condition(_ cache: WatchedCache, _ code: String, _ priority: EventPriority, _ message: String) -> Condition {
        Condition(
            .init(scope: cache.path.display, code: code),
            event: JournalEvent(
                .watchDegraded, priority: priority, message, EventFields(cache: cache.path, code: code)))
    }

    private func restored(_ cache: WatchedCache, _ code: String, _ words: String) -> JournalEvent {
        JournalEvent(
            .watchDegraded, priority: .notice, "\(cache.path.display) \(words)",
            EventFields(cache: cache.path, code: code))
    }

    /// A cache that is read-only is watched like any other; only where the policy wants something removed is it a
    /// condition.
    func judgeWritability(_ cache: WatchedCache) {
        guard cache.isReadOnly, inForce.policy.mode == .enforce, hasWork(cache) else {
            clear(
                .init(scope: cache.path.display, code: "read-only"),
                saying: restored(cache, "read-only", "need not be written to, or can be"))
            return
        }
        raise(
            condition(
                cache, "read-only", .warning,
                "\(cache.path.display) is read-only for the daemon, which can remove nothing there: name it in "
                    + "ReadWritePaths= (systemctl edit hfjanitor) and restart, or mount it writable"))
    }

    func planFullLook(_ cache: WatchedCache, at time: UInt64) {
        cache.nextFullLook = min(cache.nextFullLook ?? .max, time)
    }
}

extension WatchDegradation {
    var code: String {
        switch self {
        case .watchLimit: "watch-limit"
        case .instanceLimit: "instance-limit"
        case .networkFilesystem: "network-filesystem"
        case .tooManyFolders: "too-many-folders"
        case .tooManyRepos: "too-many-repos"
        }
    }

    var priority: EventPriority { self == .networkFilesystem ? .notice : .warning }

    var words: String {
        switch self {
        case .watchLimit:
            "out of inotify watches, the rest is polled and opens there are not seen; raise fs.inotify.max_user_watches"
        case .instanceLimit:
            "out of inotify instances or descriptors, everything is polled; raise fs.inotify.max_user_instances"
        case .networkFilesystem: "on a network filesystem, which tells of no changes: it is polled"
        case .tooManyFolders: "some repos have too many folders to watch: they are polled"
        case .tooManyRepos: "more repos than can be watched: everything is polled"
        }
    }
}
