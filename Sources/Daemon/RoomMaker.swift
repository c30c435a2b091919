internal import CacheScan
internal import HubCache
internal import LinuxIO
internal import Retention
internal import Synchronization
internal import SystemdSupport

/// Makes room for a download or a repair by the policy that is in force then: a transfer may run for hours.
struct RoomMaker: Sendable {
    let mailbox: Mailbox
    /// The number of the cache.
    let cache: Int
    let cancellation: Cancellation

    /// Carries the policy's plan out, so that so much is free above its floor. On the transfer's thread, and never on the loop's.
    /// Of the repo that the room is for nothing goes.
    func makeRoom(
        _ free: UInt64, for repo: RepoID, on root: CacheRoot, _ say: @escaping @Sendable (JournalEvent) -> Void
    ) {
        guard var order = order() else { return }
        order.room = order.caches.map(\.policy).room(toFree: free, of: root.filesystem.totalBytes)
        order.spared = repo
        // Nothing goes for what finds no room even then.
        guard let outlook = try? order.run(acts: false, say: say),
            outlook.plan.caches.contains(where: { $0.freeBytesAfter >= free })
        else { return }
        _ = try? order.run(acts: true, say: say)
    }

    /// Asks the loop; nil where the policy only observes, or the cache is not watched any more.
    private func order() -> PassOrder? {
        let answer = Answer()
        let cache = cache
        mailbox.post { loop in
            let watched = loop.caches.first { $0.number == cache }
            answer.given.withLock { $0 = .some(watched.flatMap { loop.roomOrder(for: $0) }) }
        }
        // A loop that ends answers no more, and cancels.
        while !cancellation.isCancelled {
            if let given = answer.given.withLock({ $0 }) { return given }
            sleepMilliseconds(5)
        }
        return nil
    }

    private final class Answer: Sendable {
        let given = Mutex<PassOrder??>(nil)
    }
}
