internal import LinuxIO
internal import Synchronization

/// Holds all downloads that share it together to so many bytes a second.
///
/// libcurl has a limit of its own, but for one transfer alone, and it lets the first buffers pass.
public final class HubSpeedLimit: Sendable {
    private let bytesPerSecond: UInt64
    /// When the bytes that came so far are paid for.
    private let paidUntil = Mutex<ContinuousClock.Instant?>(nil)

    private static let current = Mutex<HubSpeedLimit?>(nil)

    /// The limit of this process: who asks for the same one shares it, whatever cache the download is for.
    public static func ofProcess(bytesPerSecond: UInt64) -> HubSpeedLimit {
        current.withLock { current in
            if let current, current.bytesPerSecond == max(1, bytesPerSecond) { return current }
            let limit = HubSpeedLimit(bytesPerSecond: bytesPerSecond)
            current = limit
            return limit
        }
    }

    /// Makes a limit.
    ///
    /// - Parameter bytesPerSecond: 0 counts as 1.
    public init(bytesPerSecond: UInt64) { self.bytesPerSecond = max(1, bytesPerSecond) }

    /// Accounts for bytes that came, and sleeps for as long as they are too many, or until cancelled.
    func wait(for count: Int, _ clock: HubClock, _ cancellation: Cancellation) {
        let price = Duration.nanoseconds(Int64(Double(count) / Double(bytesPerSecond) * 1e9))
        let now = clock.now()
        let until = paidUntil.withLock { paid in
            // Time in which nothing came is not made up for later.
            let next = max(paid ?? now, now) + price
            paid = next
            return next
        }
        clock.sleep(now.duration(to: until), cancellation)
    }
}
