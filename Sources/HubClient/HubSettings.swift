internal import Glibc
public import LinuxIO

/// How patient a client is, and how much it takes from a server. The defaults are the product's.
public struct HubSettings: Sendable {
    /// What the client calls itself, such as `hfjanitor/1.0`.
    public var userAgent = "hfjanitor"
    /// The longest wait for a connection, its encryption included.
    public var connectTimeout = Duration.seconds(10)
    /// The longest wait for an answer's headers once connected.
    public var answerTimeout = Duration.seconds(10)
    /// The longest time one page of a listing may take.
    public var pageTimeout = Duration.seconds(60)
    /// Slower than `stallSpeed` for so long is a stall.
    public var stallTime = Duration.seconds(60)
    /// Bytes a second.
    public var stallSpeed = 1000
    /// The longest time one download may take, waiting included.
    public var downloadTimeout = Duration.seconds(24 * 3600)
    /// How often one thing is tried.
    public var attempts = 5
    /// The wait before the second attempt; it doubles with every further one.
    public var firstBackoff = Duration.seconds(1)
    /// The longest wait between two attempts, unless the server asks for more.
    public var longestBackoff = Duration.seconds(60)
    /// The longest wait a server may ask for; where it wants more, the attempt counts as refused for now.
    public var longestRetryAfter = Duration.seconds(310)
    /// Failures in a row after which an endpoint is left alone.
    public var breakerFailures = 5
    /// For how long it is left alone.
    public var breakerRest = Duration.seconds(60)
    /// Redirects followed for one request.
    public var redirects = 20
    /// Bytes of all headers of one answer.
    public var headerBytes = 64 * 1024
    /// Headers of one answer.
    public var headerCount = 200
    /// Bytes of one page of a listing.
    public var pageBytes = 32 * 1024 * 1024
    /// Pages of one listing.
    public var pages = 1000
    /// Files and folders of one listing.
    public var entries = 1_000_000
    /// So many bytes in one attempt, and attempts are counted from the first again.
    public var progressBytes: UInt64 = 1024 * 1024

    /// The defaults.
    public init() {}
}

/// Time, as a client sees it; a test has its own.
public struct HubClock: Sendable {
    /// A time that never jumps.
    public var now: @Sendable () -> ContinuousClock.Instant
    /// Seconds since 1970, for dates a server names.
    public var wallSeconds: @Sendable () -> Int64
    /// Stops the calling thread, until cancelled at most.
    public var sleep: @Sendable (Duration, Cancellation) -> Void
    /// A number from 0 up to 1, to spread what many clients do.
    public var jitter: @Sendable () -> Double

    /// Makes a clock.
    public init(
        now: @escaping @Sendable () -> ContinuousClock.Instant, wallSeconds: @escaping @Sendable () -> Int64,
        sleep: @escaping @Sendable (Duration, Cancellation) -> Void, jitter: @escaping @Sendable () -> Double
    ) {
        self.now = now
        self.wallSeconds = wallSeconds
        self.sleep = sleep
        self.jitter = jitter
    }

    /// The system's time.
    public static let system = HubClock(
        now: { .now }, wallSeconds: { Int64(time(nil)) }, sleep: sleepUnlessCancelled,
        jitter: { Double.random(in: 0..<1) })
}

/// In slices, so that a cancellation is noticed within a fifth of a second.
private func sleepUnlessCancelled(_ duration: Duration, _ cancellation: Cancellation) {
    let end = ContinuousClock.now + duration
    while !cancellation.isCancelled {
        let left = ContinuousClock.now.duration(to: end)
        if left <= .zero { return }
        let (seconds, attoseconds) = min(left, .milliseconds(200)).components
        var slice = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        unsafe nanosleep(&slice, nil)
    }
}
