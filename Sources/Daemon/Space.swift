internal import CacheScan
internal import HubCache
internal import LinuxIO
internal import Retention
internal import SystemdSupport

/// What was measured of a cache's filesystem.
struct SpaceLook: Sendable {
    var free: UInt64
    var total: UInt64
    var filesystem: UInt64
    /// Bytes on the disk of the downloads that are still there.
    var present: [BytePath: UInt64]

    /// Nanoseconds until the next look while nothing grows: others write here too, and are given no time to get below the floor.
    func rest(above floor: UInt64) -> UInt64 {
        guard free > floor else { return Timers.idle }
        return min(Timers.idle, max(2, (free - floor) / Self.fastestWriter) &* Timers.second)
    }

    /// Bytes a second.
    private static let fastestWriter: UInt64 = 1_000_000_000

    static func present(of downloads: [LiveDownload], in root: CacheRoot) -> [BytePath: UInt64] {
        var present: [BytePath: UInt64] = [:]
        for download in downloads {
            if let stat = try? root.stat(at: download.location) { present[download.location] = stat.allocated }
        }
        return present
    }

    /// Bytes that downloads still need now.
    static func remaining(of downloads: [LiveDownload], in root: CacheRoot) -> UInt64 {
        let present = present(of: downloads, in: root)
        return downloads.reduce(UInt64(0)) { sum, download in
            var download = download
            guard let bytes = present[download.location] else { return sum }
            download.present = bytes
            return sum &+ download.remaining
        }
    }
}

// Free space: asked seldom while nothing grows, often while a download nears the floor.
extension DaemonLoop {
    func lookAtSpace(_ cache: WatchedCache, _ now: UInt64) {
        guard cache.presence == .present, cache.isInventoryDone, !cache.space.isLooking, now >= cache.space.nextLook,
            let looker = looker(cache)
        else { return }
        cache.space.isLooking = true
        let downloads = cache.repos.values.flatMap(\.downloads)
        hand(
            cache.measuring, of: cache,
            { () -> SpaceLook? in
                guard let root = try? looker.openRoot(), let filesystem = try? root.currentFilesystem() else {
                    return nil
                }
                return SpaceLook(
                    free: filesystem.availableBytes, total: filesystem.totalBytes, filesystem: filesystem.id,
                    present: SpaceLook.present(of: downloads, in: root))
            },
            then: { loop, cache, look in
                cache.space.isLooking = false
                loop.take(look, of: cache, downloads)
            })
    }

    func take(_ look: SpaceLook?, of cache: WatchedCache, _ downloads: [LiveDownload]) {
        let now = monotonicNanoseconds()
        cache.space.nextLook = now &+ Timers.idle
        guard let look else { return }
        var remaining: UInt64 = 0
        var isGrowing = false
        for var download in downloads {
            guard let present = look.present[download.location] else { continue }
            isGrowing = isGrowing || present != download.present
            download.present = present
            remaining &+= download.remaining
            for (folder, repo) in cache.repos {
                if let index = repo.downloads.firstIndex(where: { $0.location == download.location }) {
                    cache.repos[folder]?.downloads[index] = download
                }
            }
        }
        let hadMore = cache.space.free.map { $0 > look.free } ?? false
        cache.space.free = look.free
        cache.space.total = look.total
        cache.space.remaining = remaining
        cache.space.isGrowing = isGrowing || !downloads.isEmpty
        let isElsewhere = cache.filesystem != look.filesystem
        cache.filesystem = look.filesystem
        if isElsewhere { clearIdleFloors() }
        // What is free is free for all of them: the highest floor counts.
        let floor = caches.filter { $0.filesystem == look.filesystem }.compactMap {
            $0.policy.minFree?.bytes(of: look.total)
        }
        .max()
        // Within reach: what is under way, or a twentieth of the disk, ends below the floor.
        let reach = max(floor ?? 0, cache.space.critical(cache.policy)) &+ max(remaining, look.total / 20)
        if cache.space.isGrowing || hadMore, look.free < reach {
            cache.space.nextLook = now &+ 2 * Timers.second
        } else if cache.space.isGrowing {
            cache.space.nextLook = now &+ 10 * Timers.second
        } else if let floor {
            cache.space.nextLook = now &+ look.rest(above: floor)
        }
        sampleSpace(cache, now)
        judgeCritical(cache)
        if let floor { judgeFloor(cache, floor: floor) }
    }

    /// Raises that hardly anything is free, whatever the policy removes.
    private func judgeCritical(_ cache: WatchedCache) {
        guard let free = cache.space.free, let group = cache.filesystem, !cache.isReadOnly else { return }
        let root = cache.root ?? cache.path
        let critical = caches.filter { $0.filesystem == group }.map { $0.space.critical($0.policy) }.max() ?? 0
        let identity = Condition.Identity(scope: "filesystem \(group)", code: "critical-free")
        if free < critical {
            raise(
                Condition(
                    identity,
                    event: JournalEvent(
                        .floorBreached, priority: .critical,
                        "\(root.display): only \(formatBytes(free)) free, \(formatBytes(critical - free)) below "
                            + "critical-free: downloads will fail soon; see what takes the room: hfjanitor ls --sort size, "
                            + "hfjanitor plan",
                        EventFields(cache: root, code: "critical-free", bytes: critical - free, freeBytes: free))))
        } else if free >= critical &+ critical / 50 {
            // A little more than enough, so that what comes and goes is not told every time.
            clear(
                identity,
                saying: JournalEvent(
                    .floorHeld, "\(root.display): \(formatBytes(free)) free, which is above critical-free again",
                    EventFields(cache: root, code: "critical-free", freeBytes: free)))
        }
    }

    /// Says and does what free space calls for.
    private func judgeFloor(_ cache: WatchedCache, floor: UInt64) {
        guard let free = cache.space.free, let group = cache.filesystem else { return }
        let remaining = caches.filter { $0.filesystem == group }.reduce(UInt64(0)) { $0 &+ $1.space.remaining }
        let identity = Condition.Identity(scope: "filesystem \(group)", code: "floor-breached")
        let isBelow = free < floor
        let isBelowSoon = !isBelow && free < floor &+ remaining
        if isBelow || isBelowSoon {
            let words =
                isBelow
                ? "\(formatBytes(free)) free, \(formatBytes(floor - free)) below the floor of \(formatBytes(floor))"
                : "\(formatBytes(free)) free, and downloads under way need \(formatBytes(remaining)) more: that ends "
                    + "below the floor of \(formatBytes(floor))"
            raise(
                Condition(
                    identity, detail: isBelow ? "below" : "soon",
                    event: JournalEvent(
                        .floorBreached, "\((cache.root ?? cache.path).display): \(words)",
                        EventFields(
                            cache: cache.root ?? cache.path, code: isBelow ? nil : "predicted",
                            bytes: isBelow ? floor - free : floor &+ remaining - free, freeBytes: free))))
            requestPass(cache, after: 0, isForSpace: true)
        } else {
            floorHolds(cache, group, free: free)
        }
    }

    /// Ends what was raised of filesystems on which no cache is any more, and of floors that are in no policy any more.
    func clearIdleFloors() {
        for entry in conditions.open {
            let identity = entry.condition.identity
            guard identity.scope.hasPrefix("filesystem "), let group = UInt64(identity.scope.dropFirst(11)) else {
                continue
            }
            let members = caches.filter { $0.filesystem == group }
            let isBacked: Bool =
                switch identity.code {
                case "floor-breached": members.contains { $0.policy.minFree != nil }
                case "floor-unreachable", "floor-foreseen": members.contains(where: hasWork)
                default: !members.isEmpty
                }
            if !isBacked { clear(identity, saying: nil) }
        }
    }

    func floorHolds(_ cache: WatchedCache, _ group: UInt64, free: UInt64) {
        let wasBreached = clear(.init(scope: "filesystem \(group)", code: "floor-breached"), saying: nil)
        let wasUnreachable = clear(.init(scope: "filesystem \(group)", code: "floor-unreachable"), saying: nil)
        passes[group]?.failures = 0
        guard wasBreached || wasUnreachable else { return }
        say(
            JournalEvent(
                .floorHeld, "\((cache.root ?? cache.path).display): \(formatBytes(free)) free, the floor holds",
                EventFields(cache: cache.root ?? cache.path, freeBytes: free)))
    }
}
