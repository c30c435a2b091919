internal import HubCache
internal import HubClient
internal import LinuxIO
internal import Synchronization

/// Sees to it that a download leaves free what has to stay free.
final class SpaceGuard: Sendable {
    private let place: RepoPlace
    private let settings: RepairSettings
    private let unseen = Mutex<Int>(0)
    private let reservation: RoomReservation
    /// Held while room is looked for, so that it is made once for all who want it at the same time.
    private let looking = Mutex<Void>(())

    /// Bytes between two looks while a transfer runs.
    private static let interval = 64 << 20

    init(place: RepoPlace, settings: RepairSettings) {
        self.place = place
        self.settings = settings
        reservation = RoomReservation(onFilesystem: place.filesystem)
    }

    /// Refuses what has no room, after asking for room to be made, and keeps the room from others of this process until
    /// it is written.
    ///
    /// - Parameters:
    ///   - parts: bytes by etag.
    ///   - bytes: their sum.
    /// - Throws: `RepairFailure` with `insufficient_disk`.
    func reserve(_ parts: [BytePath: UInt64], inAll bytes: UInt64) throws {
        try requireRoom(for: bytes) { available, need in
            reservation.add(parts, inAll: bytes) { isEnough(available, need.addingUpTo($0)) }
        }
    }

    /// Gives back what is left of a file's room.
    func release(_ etag: BytePath) { reservation.take(.max, of: etag) }

    /// Refuses what has no room, after asking for room to be made.
    ///
    /// - Throws: `RepairFailure` with `insufficient_disk`.
    func requireRoom(for bytes: UInt64) throws {
        try requireRoom(for: bytes) { isEnough($0, $1.addingUpTo(reservation.ofOthers)) }
    }

    private func requireRoom(for bytes: UInt64, _ fits: (_ available: UInt64, _ need: UInt64) -> Bool) throws {
        guard bytes > 0 else { return }
        // Split so that no product of a size that there is gets too large.
        let margin = UInt64(settings.estimateMargin)
        let need = (bytes / 1_000_000).timesUpTo(margin).addingUpTo(bytes % 1_000_000 * margin / 1_000_000)
        try looking.withLock { _ in
            var available = try place.availableBytes()
            if fits(available, need) { return }
            let others = reservation.ofOthers
            if let makeRoom = settings.makeRoom {
                makeRoom(settings.criticalFree.addingUpTo(need).addingUpTo(others), place.repo)
                available = try place.availableBytes()
                if fits(available, need) { return }
            }
            let besides = others > 0 ? ", \(formatBytes(others)) of it for downloads under way" : ""
            throw RepairFailure(
                .insufficientDisk,
                "need \(formatBytes(need)), \(formatBytes(available)) free\(besides), "
                    + "floor \(formatBytes(settings.criticalFree)); see 'hfjanitor plan' for what could go")
        }
    }

    private func isEnough(_ available: UInt64, _ need: UInt64) -> Bool {
        available >= settings.criticalFree && available - settings.criticalFree >= need
    }

    /// Looks now and then whether others, too, left enough.
    ///
    /// - Parameters:
    ///   - count: bytes that are about to be written.
    ///   - etag: of which file.
    func watch(_ count: Int, of etag: BytePath) throws {
        reservation.take(UInt64(count), of: etag)
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
