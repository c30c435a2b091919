internal import HubCache
internal import Synchronization

/// What a job is still to write, so that another one of this process does not count on the same room.
final class RoomReservation: Sendable {
    /// By filesystem and job, in bytes.
    private static let all = Mutex<[UInt64: [UInt64: UInt64]]>([:])
    private static let last = Atomic<UInt64>(0)

    private let filesystem: UInt64
    private let number = RoomReservation.last.add(1, ordering: .relaxed).newValue

    /// Reserves nothing yet.
    init(onFilesystem id: UInt64) { filesystem = id }

    deinit { Self.all.withLock { [filesystem, number] in _ = $0[filesystem]?.removeValue(forKey: number) } }

    /// Reserves more if it fits beside what others have reserved; of two that ask at once, one is told of the other.
    ///
    /// - Parameter fits: is asked with the bytes of the others.
    /// - Returns: whether it was reserved.
    func add(_ bytes: UInt64, ifFits fits: (UInt64) -> Bool) -> Bool {
        Self.all.withLock { all in
            guard fits(others(all)) else { return false }
            let known = all[filesystem]?[number] ?? 0
            all[filesystem, default: [:]][number] = known.addingUpTo(bytes)
            return true
        }
    }

    /// Says that so much of it was written.
    func take(_ bytes: UInt64) {
        Self.all.withLock { all in
            guard let known = all[filesystem]?[number] else { return }
            all[filesystem]?[number] = known > bytes ? known - bytes : 0
        }
    }

    /// What other jobs are still to write there.
    var ofOthers: UInt64 { Self.all.withLock { others($0) } }

    private func others(_ all: [UInt64: [UInt64: UInt64]]) -> UInt64 {
        (all[filesystem] ?? [:]).reduce(0) { $1.key == number ? $0 : $0.addingUpTo($1.value) }
    }
}
