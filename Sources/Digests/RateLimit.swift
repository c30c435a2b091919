internal import LinuxIO
internal import Synchronization

/// Holds all threads of a run together to so many bytes per second.
final class RateLimit: Sendable {
    private let bytesPerSecond: UInt64
    private let mustPause: (@Sendable () -> Bool)?
    /// When the bytes allowed so far are paid for.
    private let paidUntil: Mutex<ContinuousClock.Instant>

    /// How late a thread may notice that the run was cancelled.
    private static let slice = Duration.milliseconds(20)
    private static let pause = Duration.milliseconds(250)

    /// - Parameter mustPause: asked now and then whether to stand back; nothing is read while it says so.
    init(bytesPerSecond: UInt64, mustPause: (@Sendable () -> Bool)? = nil) {
        self.mustPause = mustPause
        self.bytesPerSecond = max(1, bytesPerSecond)
        self.paidUntil = Mutex(.now)
    }

    /// Accounts for bytes that were read, and sleeps for as long as they are too many, or until cancelled.
    func wait(for count: Int, cancellation: Cancellation) {
        let price = Duration.nanoseconds(Int64(Double(count) / Double(bytesPerSecond) * 1e9))
        let until = paidUntil.withLock { paid in
            // Time in which nothing was read is not made up for later.
            paid = max(paid, .now) + price
            return paid
        }
        while !cancellation.isCancelled {
            let left = ContinuousClock.now.duration(to: until)
            if left <= .zero { break }
            sleepThread(for: min(left, Self.slice))
        }
        while let mustPause, !cancellation.isCancelled, mustPause() { sleepThread(for: Self.pause) }
    }
}
