internal import Glibc
internal import HubCache
internal import Synchronization

/// How long a ledger may still make its callers wait for other processes.
///
/// SQLite's own busy timeout counts anew for every statement: a command with twenty statements could wait twenty times.
/// Here all waiting of one ledger draws on one account of two seconds, which fills up again slowly, so that a command waits
/// two seconds at most and a daemon that met a stuck process goes back to waiting when that is long over.
final class WaitBudget: Sendable {
    /// What may be waited in one go.
    static let capacityNanoseconds: Int64 = 2_000_000_000
    /// One second of waiting is earned in this many seconds.
    static let secondsPerSecond: Int64 = 30

    private struct Account {
        var left: Int64
        var filledAt: Int64
    }

    private let account: Mutex<Account>
    private let now: @Sendable () -> Int64
    private let sleep: @Sendable (Int64) -> Void

    /// Starts with a full account.
    ///
    /// - Parameters:
    ///   - now: a clock that never goes back, in nanoseconds.
    ///   - sleep: blocks the thread for some nanoseconds.
    init(
        now: @escaping @Sendable () -> Int64 = monotonicNanoseconds,
        sleep: @escaping @Sendable (Int64) -> Void = { usleep(UInt32($0 / 1000)) }
    ) {
        self.now = now
        self.sleep = sleep
        self.account = Mutex(Account(left: Self.capacityNanoseconds, filledAt: now()))
    }

    /// Waits a little before another try, if the account allows.
    ///
    /// - Parameter attempt: how many tries were made before; later ones wait longer.
    /// - Returns: false when nothing is left: give up.
    func wait(attempt: Int) -> Bool {
        // Most holders are gone within a millisecond; a long one is not asked more than forty times a second.
        let milliseconds: [Int64] = [1, 1, 2, 5, 10, 15, 20, 25]
        let pause = milliseconds[max(0, min(attempt, milliseconds.count - 1))] * 1_000_000
        let granted = account.withLock { account in
            let time = now()
            let earned = max(0, time - account.filledAt) / Self.secondsPerSecond
            account.left = min(Self.capacityNanoseconds, account.left + earned)
            account.filledAt = time
            guard account.left >= pause else { return false }
            account.left -= pause
            return true
        }
        if granted { sleep(pause) }
        return granted
    }
}

/// Nanoseconds of a clock that never goes back.
func monotonicNanoseconds() -> Int64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// The time of day.
@Sendable func wallClock() -> Timestamp {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(seconds: Int64(time.tv_sec), nanoseconds: Int64(time.tv_nsec))
}
