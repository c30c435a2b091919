internal import HubCache
internal import Synchronization

/// What a job is still to write, so that another one of this process does not count on the same room.
final class RoomReservation: Sendable {
    private struct Job {
        /// By etag, in bytes.
        var parts: [BytePath: UInt64] = [:]
        var sum: UInt64 = 0
    }

    /// By filesystem and number.
    private static let jobs = Mutex<[UInt64: [UInt64: Job]]>([:])
    private static let last = Atomic<UInt64>(0)

    private let filesystem: UInt64
    private let number = RoomReservation.last.add(1, ordering: .relaxed).newValue

    /// Reserves nothing yet.
    init(onFilesystem id: UInt64) { filesystem = id }

    deinit { Self.jobs.withLock { [filesystem, number] in _ = $0[filesystem]?.removeValue(forKey: number) } }

    /// Reserves room if it fits beside what others have reserved; of two that ask at once, one is told of the other.
    ///
    /// - Parameters:
    ///   - parts: bytes by etag.
    ///   - sum: of them.
    ///   - fits: is asked with the bytes of the others.
    /// - Returns: whether it was reserved.
    func add(_ parts: [BytePath: UInt64], inAll sum: UInt64, ifFits fits: (UInt64) -> Bool) -> Bool {
        Self.jobs.withLock { jobs in
            guard fits(others(jobs)) else { return false }
            jobs[filesystem, default: [:]][number] = Job(parts: parts, sum: sum)
            return true
        }
    }

    /// Says that so much of a file was written, or is not needed any more.
    func take(_ bytes: UInt64, of etag: BytePath) {
        Self.jobs.withLock { jobs in
            guard let left = jobs[filesystem]?[number]?.parts[etag] else { return }
            let taken = min(left, bytes)
            jobs[filesystem]?[number]?.parts[etag] = left - taken
            jobs[filesystem]?[number]?.sum -= taken
        }
    }

    /// What other jobs are still to write there.
    var ofOthers: UInt64 { Self.jobs.withLock { others($0) } }

    private func others(_ jobs: [UInt64: [UInt64: Job]]) -> UInt64 {
        (jobs[filesystem] ?? [:]).reduce(0) { $1.key == number ? $0 : $0.addingUpTo($1.value.sum) }
    }
}
