public import HubCache
public import LinuxIO
internal import Synchronization

/// Watches caches and tells what has to be looked at again.
///
/// One thread reads the events of all caches and never asks a filesystem; each cache has a thread of its own that does. The
/// order for the caller: make a watcher, scan a cache when `armed` comes, and look again at what is marked; nothing that
/// happens after `armed` is lost without a mark.
public final class CacheWatcher: Sendable {
    /// Where this process announces what it opens itself.
    public let ownReads: OwnReads

    private let board: MarkBoard
    private let monitors: [CacheMonitor]
    private let readerBell: WakeUp
    private let threads: Mutex<[BackgroundThread]>
    private let isInterrupted = Atomic<Bool>(false)
    private let stopRequest = Cancellation()

    /// How long `stop` waits for a filesystem call to come back.
    private static let patience: UInt64 = 1_000_000_000

    /// Starts watching. No cache has to be there.
    ///
    /// - Parameters:
    ///   - caches: absolute paths of cache roots; links in them are followed each time. Events name a cache as it is written
    ///     here.
    ///   - limits: bounds and intervals.
    /// - Throws: `SystemCallFailure` when the process may not open a few more descriptors.
    public init(caches: [BytePath], limits: WatchLimits = WatchLimits()) throws(SystemCallFailure) {
        var order: [BytePath] = []
        for cache in caches where !order.contains(cache) { order.append(cache) }
        let board = try MarkBoard(caches: order)
        let readerBell = try WakeUp()
        var monitors: [CacheMonitor] = []
        for cache in order {
            monitors.append(try CacheMonitor(path: cache, limits: limits, board: board, readerBell: readerBell))
        }
        self.board = board
        self.readerBell = readerBell
        self.monitors = monitors
        let ownReads = OwnReads(bell: readerBell)
        self.ownReads = ownReads
        let reader = EventReader(
            monitors: monitors, bell: readerBell, ownReads: ownReads, stopRequest: stopRequest, limits: limits)
        threads = Mutex([BackgroundThread(name: "watch") { reader.run() }])
        for monitor in monitors {
            let thread = BackgroundThread(name: "watch-arm") {
                var loop = ArmingLoop(monitor: monitor)
                loop.run()
            }
            threads.withLock { $0.append(thread) }
        }
    }

    deinit { stop() }

    /// Takes the marks, waiting for the first one.
    ///
    /// - Parameter nanoseconds: how long to wait at most; nil for ever.
    /// - Returns: for each cache what concerns the whole of it first; none when the time is over or `interrupt` was called.
    public func next(within nanoseconds: UInt64?) -> [WatchEvent] {
        let deadline = nanoseconds.map { monotonicNanoseconds() &+ $0 }
        while true {
            let events = board.take()
            if !events.isEmpty || isInterrupted.exchange(false, ordering: .acquiringAndReleasing) { return events }
            let now = monotonicNanoseconds()
            if let deadline, deadline <= now { return [] }
            board.bell.wait(atMost: deadline.map { $0 - now })
        }
    }

    /// Makes the `next` that waits now, or the next one, return at once.
    public func interrupt() {
        isInterrupted.store(true, ordering: .releasing)
        board.bell.ring()
    }

    /// Looks at the roots now instead of when it is due.
    public func lookAtRoots() { for monitor in monitors { monitor.lookAtRoot() } }

    /// How well each cache is watched.
    public var status: [WatchStatus] { monitors.map(\.status) }

    /// Ends all threads. A thread that is in a filesystem call that does not come back is left to itself.
    public func stop() {
        let started = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        guard let reader = started.first else { return }
        for monitor in monitors { monitor.stop() }
        stopRequest.cancel()
        readerBell.ring()
        reader.join()
        for (monitor, thread) in zip(monitors, started.dropFirst())
        where monitor.waitForEnd(atMost: Self.patience) { thread.join() }
    }
}

/// The thread that reads all events.
private struct EventReader: Sendable {
    let monitors: [CacheMonitor]
    let bell: WakeUp
    let ownReads: OwnReads
    let stopRequest: Cancellation
    let limits: WatchLimits

    /// Reads of one instance in a row: more than a queue of the usual length holds.
    private static let readsInARow = 256

    func run() {
        let mounts = try? MountTable()
        while !stopRequest.isCancelled {
            let instances = monitors.map(\.inotify)
            var inputs = [PolledInput(bell.raw)]
            if let mounts { inputs.append(PolledInput(mounts.raw, isMountTable: true)) }
            inputs += instances.compactMap { $0.map { PolledInput($0.raw) } }
            var isBusy = false
            for monitor in monitors where monitor.watchOverCalls() { isBusy = true }
            let ready = waitForInput(inputs, atMost: isBusy ? max(limits.responseLimit / 4, 10_000_000) : nil)
            if stopRequest.isCancelled { return }
            if ready[0] { bell.clear() }
            if mounts != nil, ready[1] { for monitor in monitors { monitor.lookAtRoot() } }
            let over = ownReads.beginReading()
            var hasEvents = false
            for (monitor, instance) in zip(monitors, instances) {
                guard let instance else { continue }
                if drain(instance, of: monitor) { hasEvents = true }
            }
            ownReads.endReading(over)
            // Equal events that gather meanwhile are one, and many are read at once.
            if hasEvents { _ = waitForInput([PolledInput(bell.raw)], atMost: limits.gatherTime) }
        }
    }

    /// Reads until the queue is empty, or all that was in it at the beginning has been read.
    private func drain(_ instance: Inotify, of monitor: CacheMonitor) -> Bool {
        for count in 0..<Self.readsInARow {
            let events = instance.read()
            if events.isEmpty { return count > 0 }
            monitor.apply(events, from: instance, ownReads: ownReads)
        }
        return true
    }
}
