internal import HubCache
internal import HubClient
internal import LinuxIO
internal import Synchronization

/// Sees to it that a download leaves free what has to stay free.
final class SpaceGuard: Sendable {
    private let place: RepoPlace
    private let settings: RepairSettings
    private let unseen = Mutex<Int>(0)
    /// Held while room is looked for, so that it is made once for all who want it at the same time.
    private let looking = Mutex<Void>(())

    /// Bytes between two looks while a transfer runs.
    private static let interval = 64 << 20

    init(place: RepoPlace, settings: RepairSettings) {
        self.place = place
        self.settings = settings
    }

    /// Refuses what has no room, after asking for room to be made.
    ///
    /// - Throws: `RepairFailure` with `insufficient_disk`.
    func requireRoom(for bytes: UInt64) throws {
        guard bytes > 0 else { return }
        // Split so that no product of a size that there is gets too large.
        let margin = UInt64(settings.estimateMargin)
        let need = (bytes / 1_000_000).timesUpTo(margin).addingUpTo(bytes % 1_000_000 * margin / 1_000_000)
        let available = try looking.withLock { _ in
            let available = try place.availableBytes()
            guard !isEnough(available, need), let makeRoom = settings.makeRoom else { return available }
            makeRoom(settings.criticalFree.addingUpTo(need))
            return try place.availableBytes()
        }
        guard !isEnough(available, need) else { return }
        throw RepairFailure(
            .insufficientDisk,
            "need \(formatBytes(need)), \(formatBytes(available)) free, floor \(formatBytes(settings.criticalFree)); "
                + "see 'hfjanitor plan' for what could go")
    }

    private func isEnough(_ available: UInt64, _ need: UInt64) -> Bool {
        available >= settings.criticalFree && available - settings.criticalFree >= need
    }

    /// Looks now and then whether others, too, left enough.
    ///
    /// - Parameter count: bytes that are about to be written.
    func watch(_ count: Int) throws {
        let isDue = unseen.withLock { unseen in
            unseen += count
            guard unseen >= Self.interval else { return false }
            unseen = 0
            return true
        }
        guard isDue else { return }
        let available = try place.availableBytes()
        guard available < settings.criticalFree else { return }
        throw RepairFailure(
            .insufficientDisk,
            "only \(formatBytes(available)) are free, floor \(formatBytes(settings.criticalFree)); what came so far stays "
                + "for the next run")
    }
}
