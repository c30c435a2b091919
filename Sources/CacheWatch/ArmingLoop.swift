internal import HubCache
internal import LinuxIO

/// What a cache's own thread does: looks at the root, watches and polls.
struct ArmingLoop: ~Copyable {
    private let monitor: CacheMonitor
    private var state = RootState.unknown
    private var nextRootLook: UInt64 = 0
    private var nextSweep: UInt64 = .max
    /// How long the last sweep took.
    private var sweepTime: UInt64 = 0
    /// Where the root really is, and the mounts that matter there, as of the last look.
    private var place: BytePath = .empty
    private var mounts: [MountTable.Entry]?
    private var hasInstance = true
    /// Whether the kernel had no room for another watch since the last sweep.
    private var isFull = false

    private enum RootState: Equatable {
        case unknown
        case present(FileKey)
        case absent
        case unreadable(errno: Int32, last: FileKey?)
    }

    /// A pass that took long is followed by a rest as long, at most this, so that a storm of new folders cannot take a
    /// processor for itself.
    private static let longestPause: UInt64 = 1_000_000_000

    init(monitor: CacheMonitor) { self.monitor = monitor }

    /// Runs until the monitor is stopped.
    mutating func run() {
        while !monitor.isStopped {
            monitor.waitForWork(until: min(nextRootLook, nextSweep))
            if monitor.isStopped { break }
            let began = monotonicNanoseconds()
            monitor.begin()
            pass(monitor.takeWork(), at: began)
            monitor.rest()
            let pause = min(monotonicNanoseconds() - began, Self.longestPause)
            if pause > 5_000_000 { sleepMilliseconds(UInt32(pause / 1_000_000)) }
        }
        monitor.reset(inotify: nil)
        monitor.ended()
    }

    private mutating func pass(_ work: ArmingWork, at now: UInt64) {
        let isRootDue = work.isRoot || work.isRootLost || now >= nextRootLook
        let isSweepDue = now >= nextSweep
        guard let root = openRoot(work, isDue: isRootDue, now: now) else { return }
        guard case .present = state else { return }
        let haveMountsChanged = haveMountsChanged(root, isDue: isRootDue)
        if work.isEverything || haveMountsChanged { armEverything(root, isFirst: false) }
        // A filesystem that is read-only now, or no more, tells nothing by itself.
        if haveMountsChanged { monitor.mark { $0.isRootChanged = true } }
        if isSweepDue {
            let began = monotonicNanoseconds()
            sweep(root)
            sweepTime = monotonicNanoseconds() - began
            nextSweep = .max
        }
        arm(root, units: work.units)
        updateCondition()
    }

    // MARK: the root

    /// The root, open for this pass only: an open folder would keep its filesystem from being unmounted.
    private struct OpenRoot: ~Copyable {
        let folder: OwnedDescriptor
        let stat: FileStat
        let info: UnitWalk.RootInfo
    }

    private mutating func openRoot(_ work: ArmingWork, isDue: Bool, now: UInt64) -> OpenRoot? {
        do throws(SystemCallFailure) {
            let root = try Self.open(monitor)
            isDue ? present(root, isLost: work.isRootLost) : presentUnasked(root, isLost: work.isRootLost)
            nextRootLook = isDue ? now &+ monitor.limits.rootInterval : nextRootLook
            return root
        } catch {
            nextRootLook = now &+ monitor.limits.absentInterval
            guard error.isAbsent else {
                unreadable(error.errno)
                return nil
            }
            absent()
            // What is there by now was made before the folder above was watched.
            guard let root = try? Self.open(monitor) else { return nil }
            present(root, isLost: true)
            return root
        }
    }

    private static func open(_ monitor: CacheMonitor) throws(SystemCallFailure) -> OpenRoot {
        let folder = try OwnedDescriptor.open(trustedPath: monitor.path, options: [.directory, .keepAccessTime])
        let stat = try folder.stat()
        let kind = try folder.filesystem().kind
        return OpenRoot(
            folder: folder, stat: stat,
            info: UnitWalk.RootInfo(
                device: stat.key.device, owner: stat.uid,
                isRemote: kind.tellsNoEvents || monitor.limits.pollsEverything,
                countsFolders: kind.hasTrustworthyLeases))
    }

    private mutating func presentUnasked(_ root: borrowing OpenRoot, isLost: Bool) {
        // Whatever the pass is for, it must not mix two roots.
        if case .present(root.stat.key) = state, !isLost { return }
        present(root, isLost: isLost)
    }

    private mutating func present(_ root: borrowing OpenRoot, isLost: Bool) {
        let key = root.stat.key
        let previous = state
        state = .present(key)
        switch previous {
        case .unknown: break
        case .present(key) where !isLost: return
        case .present:
            noteUnmount()
            monitor.note(.replaced)
        case .unreadable(_, key) where !isLost:
            monitor.note(.back)
            armEverything(root, isFirst: false)
            return
        case .absent, .unreadable: monitor.note(.back)
        }
        armAnew(root)
    }

    private mutating func unreadable(_ errno: Int32) {
        let last: FileKey? =
            switch state {
            case .present(let key): key
            case .unreadable(_, let last): last
            case .unknown, .absent: nil
            }
        let new = RootState.unreadable(errno: errno, last: last)
        if state != new { monitor.note(.unreadable(errno: errno)) }
        state = new
    }

    private mutating func absent() {
        guard state != .absent || monitor.inotify == nil else {
            watchAncestor(monitor.inotify)
            return
        }
        if state != .absent {
            noteUnmount()
            monitor.note(.gone)
        }
        state = .absent
        monitor.setArmed(false)
        monitor.mark { $0.degradations = [] }
        nextSweep = .max
        let inotify = try? Inotify()
        monitor.reset(inotify: inotify)
        watchAncestor(inotify)
    }

    /// Watches the nearest folder above that there is for the next one on the way to the root.
    private func watchAncestor(_ inotify: Inotify?) {
        guard let inotify else { return }
        // The next one may have come after it was looked for and before the watch. Somebody who makes and removes it all the
        // time cannot keep this thread busy.
        for _ in 0..<100 {
            guard let next = watchNearest(inotify), next != monitor.path, !monitor.isStopped,
                (try? OwnedDescriptor.open(trustedPath: next, options: [.directory, .keepAccessTime])) != nil
            else { return }
        }
    }

    /// - Returns: the path of the next one, which was not there just before.
    private func watchNearest(_ inotify: Inotify) -> BytePath? {
        var missing = monitor.path
        while !missing.isEmpty {
            monitor.tick()
            let above = missing.parent
            if let folder = try? OwnedDescriptor.open(
                trustedPath: above.isEmpty ? "/" : above, options: [.directory, .keepAccessTime])
            {
                monitor.withTable { $0.awaited = missing.lastComponent }
                let node = WatchNode(unit: WatchTable.root, kind: .ancestor)
                let watch = try? monitor.add(folder, as: node, to: inotify).0
                var result = UnitWalk.Result()
                result.watches = watch.map { [$0] } ?? []
                settle(WatchTable.root, result)
                return watch == nil ? nil : missing
            }
            missing = above
        }
        return nil
    }

    private mutating func haveMountsChanged(_ root: borrowing OpenRoot, isDue: Bool) -> Bool {
        guard isDue else { return false }
        let old = mounts
        lookAtMounts(root)
        return old != mounts || mounts == nil
    }

    private mutating func lookAtMounts(_ root: borrowing OpenRoot) {
        place = (try? root.folder.currentPath()) ?? monitor.path
        mounts = MountTable.entries(concerning: place)
    }

    /// Tells when the mount that the root was on is there no more. inotify tells it too, but not in time.
    private func noteUnmount() {
        let containing = (mounts ?? []).filter { place.relative(to: $0.point) != nil || $0.point == "/" }
        guard let mount = containing.max(by: { $0.point.bytes.count < $1.point.bytes.count }),
            let now = MountTable.entries(concerning: place), !now.contains(where: { $0.isSameMount(as: mount) })
        else { return }
        monitor.note(.unmounted)
    }

    // MARK: arming

    private mutating func armAnew(_ root: borrowing OpenRoot) {
        monitor.setArmed(false)
        var inotify: Inotify?
        if !root.info.isRemote { inotify = try? Inotify() }
        hasInstance = inotify != nil || root.info.isRemote
        isFull = false
        lookAtMounts(root)
        monitor.reset(inotify: inotify)
        armEverything(root, isFirst: true)
        updateCondition()
        if !monitor.isStopped { monitor.setArmed(true) }
    }

    /// Compares the folders of the cache with what is watched.
    private mutating func armEverything(_ root: borrowing OpenRoot, isFirst: Bool) {
        armRoot(root, isFirst: isFirst)
        armStore(root, isFirst: isFirst)
        for name in listRepos(root, isFirst: isFirst) {
            if monitor.isStopped { return }
            armRepo(name, root, isFirst: isFirst)
        }
    }

    private mutating func armRoot(_ root: borrowing OpenRoot, isFirst: Bool) {
        let result = walk(root, WatchTable.root) { (walk, folder) throws(SystemCallFailure) in
            try walk.visitRoot(folder)
        }
        if settle(WatchTable.root, result), !isFirst { monitor.mark { $0.isRootChanged = true } }
    }

    private mutating func armStore(_ root: borrowing OpenRoot, isFirst: Bool) {
        let result = walk(root, WatchTable.store) { (walk, folder) throws(SystemCallFailure) in
            try walk.visitStore(in: folder)
        }
        if settle(WatchTable.store, result), !isFirst { monitor.mark { $0.isStoreChanged = true } }
    }

    private mutating func armRepo(_ name: BytePath, _ root: borrowing OpenRoot, isFirst: Bool) {
        let number = monitor.withTable { $0.number(of: name) }
        let result = walk(root, number) { (walk, folder) throws(SystemCallFailure) in
            try walk.visitRepo(name, in: folder)
        }
        if settle(number, result), !isFirst { monitor.mark { $0.repos.insert(name) } }
    }

    /// The repos that there are; forgets the others.
    private mutating func listRepos(_ root: borrowing OpenRoot, isFirst: Bool) -> [BytePath] {
        monitor.tick()
        guard let folder = try? root.folder.open(".", options: [.directory, .keepAccessTime]),
            let entries = try? folder.names(ofKinds: [.directory, .symlink])
        else { return monitor.withTable(\.repoNames) }
        var names = entries.map(\.name).filter { RepoID(folder: $0) != nil }.sorted()
        let isTooMany = names.count > monitor.limits.repos
        if isTooMany { names.removeLast(names.count - monitor.limits.repos) }
        monitor.mark { marks in
            if isTooMany { marks.degradations.insert(.tooManyRepos) } else { marks.degradations.remove(.tooManyRepos) }
        }
        let wanted = Set(names)
        for name in monitor.withTable(\.repoNames) where !wanted.contains(name) {
            settle(monitor.withTable { $0.number(of: name) }, nil)
            monitor.mark { marks in
                marks.repos.insert(name)
                marks.isRootChanged = true
            }
        }
        return names
    }

    /// Looks at the units that events named.
    private mutating func arm(_ root: borrowing OpenRoot, units: Set<BytePath>) {
        for name in units {
            if monitor.isStopped { return }
            if name == "blobs" {
                armStore(root, isFirst: false)
            } else if monitor.withTable({ $0.numbers[name] != nil || $0.repoCount < monitor.limits.repos }) {
                armRepo(name, root, isFirst: false)
            } else {
                monitor.mark { $0.degradations.insert(.tooManyRepos) }
            }
        }
    }

    private mutating func walk(
        _ root: borrowing OpenRoot, _ unit: Int32,
        _ visit: (inout UnitWalk, borrowing OwnedDescriptor) throws(SystemCallFailure) -> Void
    ) -> UnitWalk.Result? {
        let result = UnitWalk.run(
            monitor: monitor, root: root.info, unit: unit, inotify: isFull ? nil : monitor.inotify, in: root.folder,
            visit)
        if result?.isLimitReached == true { isFull = true }
        return result
    }

    /// Takes over what a walk found; nil when the unit is not there.
    ///
    /// - Returns: whether that differs from before.
    @discardableResult
    private func settle(_ unit: Int32, _ result: UnitWalk.Result?) -> Bool {
        let (unwanted, inotify, polled) = monitor.withTable { table in
            let polled = table.units[unit]?.polled
            return (result.map { table.settle(unit, $0) } ?? table.remove(unit), table.inotify, polled)
        }
        for watch in unwanted { inotify?.unwatch(watch) }
        guard let result else { return polled != nil || !unwanted.isEmpty }
        if polled != result.polled { return true }
        return result.polled == nil && (result.isChanged || !unwanted.isEmpty)
    }

    // MARK: polling

    /// Compares what is polled with how it was, and tries what could not be watched before.
    private mutating func sweep(_ root: borrowing OpenRoot) {
        if !hasInstance, let inotify = try? Inotify() {
            _ = inotify
            armAnew(root)
            return
        }
        isFull = false
        let units = monitor.withTable { table in
            table.units.filter { $0.value.polled != nil || $0.value.hasUnseen }.sorted { $0.key < $1.key }
        }
        var isTooMany = false
        monitor.mark { isTooMany = $0.degradations.contains(.tooManyRepos) }
        if isTooMany {
            monitor.mark { $0.isOverflown = true }
            pollRootList(root)
        }
        for (number, unit) in units {
            if monitor.isStopped { return }
            var isChanged = unit.isTooBig
            for entry in unit.polled ?? [] where !isChanged {
                monitor.tick()
                let stat = try? root.folder.stat(of: entry.path)
                isChanged = stat.map { PolledEntry(path: entry.path, stat: $0) } != entry
            }
            // Once the kernel has no room again, only what changed is looked at.
            let isWorthTrying = unit.hasUnseen || (!unit.isRemote && !isFull && !root.info.isRemote && !unit.isTooBig)
            guard isChanged || isWorthTrying else { continue }
            switch number {
            case WatchTable.root:
                armRoot(root, isFirst: false)
                if isChanged { pollRootList(root) }
            case WatchTable.store:
                armStore(root, isFirst: false)
                if isChanged { monitor.mark { $0.isStoreChanged = true } }
            default:
                armRepo(unit.name, root, isFirst: false)
                if isChanged { monitor.mark { $0.repos.insert(unit.name) } }
            }
        }
    }

    private mutating func pollRootList(_ root: borrowing OpenRoot) {
        let known = Set(monitor.withTable(\.repoNames))
        for name in listRepos(root, isFirst: false) where !known.contains(name) {
            armRepo(name, root, isFirst: false)
            monitor.mark { $0.repos.insert(name) }
        }
        armStore(root, isFirst: false)
        monitor.mark { $0.isRootChanged = true }
    }

    /// Tells what is worse than it should be, and when to poll next.
    private mutating func updateCondition() {
        let (counts, isRemote) = monitor.withTable { table in
            (table.counts, table.units[WatchTable.root]?.isRemote == true)
        }
        let hasInstance = hasInstance
        var needsSweep = counts != WatchTable.Counts() || !hasInstance
        monitor.mark { marks in
            marks.set(.instanceLimit, !hasInstance)
            marks.set(.watchLimit, hasInstance && counts.limited > 0)
            marks.set(.tooManyFolders, counts.tooBig > 0)
            marks.set(.networkFilesystem, isRemote || counts.remote > 0)
            needsSweep = needsSweep || marks.degradations.contains(.tooManyRepos)
        }
        guard needsSweep else {
            nextSweep = .max
            return
        }
        guard nextSweep == .max else { return }
        nextSweep = monotonicNanoseconds() &+ max(monitor.limits.sweepInterval, sweepTime &* 10)
    }
}

extension Marks {
    mutating func set(_ degradation: WatchDegradation, _ isOn: Bool) {
        if isOn { degradations.insert(degradation) } else { degradations.remove(degradation) }
    }
}
