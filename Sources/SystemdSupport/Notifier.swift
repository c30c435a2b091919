internal import CSystemd
internal import HubCache
internal import LinuxIO

/// What a service tells its manager: sd_notify(3).
public enum ServiceNotice: Sendable, Hashable {
    /// `READY=1`: started, or reloaded.
    case ready
    /// `RELOADING=1`, with the time it began; `.ready` ends it.
    case reloading
    /// `STOPPING=1`.
    case stopping
    /// `STATUS=`: one line that `systemctl status` shows. It is made safe to show and cut off at 2000 bytes.
    case status(String)
    /// `WATCHDOG=1`: a sign of life.
    case watchdog
    /// `EXTEND_TIMEOUT_USEC=`: to start, reload or stop takes that much longer from now.
    case extendTimeout(Duration)
    /// `MAINPID=`: another process is the service from now on.
    case mainProcess(Int32)
}

/// Tells the service manager how the service is. Without one, every call does nothing. Any thread may send.
public final class Notifier: Sendable {
    private let socket: DatagramSocket?

    /// The service manager's queue is emptied at once or the machine is in trouble; a daemon must not hang with it.
    private static let waitMilliseconds: UInt32 = 1000

    /// Makes a notifier for the manager that the environment names; where there is none, or its socket cannot be had, one
    /// that does nothing.
    public init(_ environment: ServiceEnvironment) {
        socket = environment.notifySocket.flatMap { name in
            try? DatagramSocket(to: name, milliseconds: Self.waitMilliseconds)
        }
    }

    /// Whether somebody is there to be told.
    public var isConnected: Bool { socket != nil }

    /// Tells all of it in one message.
    ///
    /// - Returns: whether it was delivered; false too where nobody wants to be told.
    @discardableResult
    public func send(_ notices: ServiceNotice...) -> Bool {
        guard let socket, !notices.isEmpty else { return false }
        let lines = notices.map { $0.lines(now: hfj_monotonic_microseconds()) }.joined(separator: "\n")
        return socket.send(Array(lines.utf8)) == 0
    }
}

extension ServiceNotice {
    /// The manager ignores a message above 4096 bytes whole; the other lines of one are short.
    static let statusLimit = 2000

    /// The assignments, one a line.
    ///
    /// - Parameter now: CLOCK_MONOTONIC in microseconds.
    func lines(now: UInt64) -> String {
        switch self {
        case .ready: "READY=1"
        case .reloading: "RELOADING=1\nMONOTONIC_USEC=\(now)"
        case .stopping: "STOPPING=1"
        // A name with a line break in it must not become an assignment of its own.
        case .status(let text): "STATUS=\(shortened(displayText(of: text), to: Self.statusLimit))"
        case .watchdog: "WATCHDOG=1"
        case .extendTimeout(let duration): "EXTEND_TIMEOUT_USEC=\(microseconds(of: duration))"
        case .mainProcess(let processID): "MAINPID=\(processID)"
        }
    }
}

/// A text of at most that many bytes, cut off between characters.
private func shortened(_ text: String, to limit: Int) -> String {
    guard text.utf8.count > limit else { return text }
    var kept = ""
    var count = 0
    let room = limit - "…".utf8.count
    for scalar in text.unicodeScalars {
        count += UTF8.width(scalar)
        if count > room { break }
        kept.unicodeScalars.append(scalar)
    }
    return kept + "…"
}

private func microseconds(of duration: Duration) -> Int64 {
    let (seconds, attoseconds) = duration.components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
    let (sum, overflowed) = product.addingReportingOverflow(attoseconds / 1_000_000_000_000)
    return overflow || overflowed ? .max : max(0, sum)
}
