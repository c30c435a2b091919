internal import Glibc
public import HubCache
internal import LinuxIO
internal import Synchronization

/// Where events go: to journald with all their fields; else lines on standard error, for a person at a terminal and as JSON
/// for whatever collects it elsewhere (a container's log, a file).
///
/// Any thread may send. Sending never throws and never waits long: a daemon must not hang with the journal.
public final class Journal: Sendable {
    /// The form that events take.
    public enum Destination: String, Sendable, Hashable {
        /// The journal's native protocol: structured fields.
        case journal
        /// Standard error is the journal, but its socket cannot be had (a sandbox without `/run`): text with a priority.
        case journalStream
        /// Standard error is a terminal.
        case terminal
        /// One JSON object a line.
        case jsonLines
    }

    /// The form that events take.
    public let destination: Destination

    private let socket: DatagramSocket?
    private let stream: Int32
    private let identifier: String
    private let hasColour: Bool
    private let lost = Atomic<UInt64>(0)
    /// Held while a line is written, so that lines of two threads do not mix.
    private let writing = Mutex<Void>(())

    /// Where journald listens for its native protocol.
    public static let standardSocket: BytePath = "/run/systemd/journal/socket"

    /// As long as journald may take to make room; it is restarted faster than that.
    private static let waitMilliseconds: UInt32 = 1000

    /// Finds out where events go.
    ///
    /// - Parameters:
    ///   - environment: what the service manager said.
    ///   - identifier: `SYSLOG_IDENTIFIER`.
    ///   - stream: standard error, which stays the caller's; another one in tests.
    ///   - socket: where journald listens.
    ///   - wantsColour: whether a terminal gets colours (`NO_COLOR`).
    public init(
        _ environment: ServiceEnvironment, identifier: String = "hfjanitor", stream: Int32 = 2,
        socket: BytePath = Journal.standardSocket, wantsColour: Bool = true
    ) {
        self.identifier = displayText(of: identifier)
        self.stream = stream
        hasColour = wantsColour
        if Self.isJournal(stream, environment) {
            let opened = SocketName(path: socket).flatMap { name in
                try? DatagramSocket(to: name, milliseconds: Self.waitMilliseconds)
            }
            self.socket = unsafe access(socket.text, F_OK) == 0 ? opened : nil
            destination = self.socket == nil ? .journalStream : .journal
        } else {
            self.socket = nil
            destination = isatty(stream) == 1 ? .terminal : .jsonLines
        }
    }

    /// Sends to journald, whatever standard error is.
    init(identifier: String, socket: DatagramSocket) {
        self.identifier = identifier
        self.socket = socket
        stream = STDERR_FILENO
        hasColour = false
        destination = .journal
    }

    /// How many events could not be delivered since the start.
    public var lostEvents: UInt64 { lost.load(ordering: .relaxed) }

    /// Whether a stream is connected to the journal: systemd.exec(5), `JOURNAL_STREAM`. Only a comparison tells, since a shell
    /// may have redirected the stream afterwards.
    public static func isJournal(_ stream: Int32, _ environment: ServiceEnvironment) -> Bool {
        guard let expected = environment.journalStream else { return false }
        var status = Glibc.stat()
        guard unsafe fstat(stream, &status) == 0 else { return false }
        return FileKey(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)) == expected
    }

    /// Sends one event.
    public func send(_ event: JournalEvent) {
        switch destination {
        case .journal: sendNatively(event)
        case .journalStream: write(event.prefixedLine)
        case .terminal: write(event.terminalLine(time: timeOfDay(), hasColour: hasColour))
        case .jsonLines: write(event.jsonLine(time: timestamp()))
        }
    }

    /// An event of now as a line of JSON, the same that goes to a stream.
    public static func jsonLine(_ event: JournalEvent) -> String { event.jsonLine(time: timestamp()) }

    private func sendNatively(_ event: JournalEvent) {
        guard let socket else { return }
        let message = event.nativeMessage(identifier: identifier)
        var result = socket.send(message)
        if result == -EMSGSIZE || result == -ENOBUFS { result = socket.sendInMemory(message) }
        if result != 0 { lost.wrappingAdd(1, ordering: .relaxed) }
    }

    private func write(_ line: String) {
        let bytes = Array(line.utf8)
        let isWritten = writing.withLock { _ in
            var done = 0
            while done < bytes.count {
                let count = unsafe bytes.withUnsafeBytes { buffer in
                    guard let base = buffer.baseAddress else { return 0 }
                    return unsafe Glibc.write(stream, base + done, buffer.count - done)
                }
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return false }
                done += count
            }
            return true
        }
        if !isWritten { lost.wrappingAdd(1, ordering: .relaxed) }
    }
}

/// The time in UTC by RFC 3339, to the millisecond.
private func timestamp() -> String {
    var now = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &now)
    var parts = unsafe tm()
    guard unsafe gmtime_r(&now.tv_sec, &parts) != nil else { return "" }
    let milliseconds = String(1000 + now.tv_nsec / 1_000_000).dropFirst()
    return unsafe formatted("%Y-%m-%dT%H:%M:%S", &parts) + ".\(milliseconds)Z"
}

/// The local time of day.
private func timeOfDay() -> String {
    var now = time(nil)
    var parts = unsafe tm()
    guard unsafe localtime_r(&now, &parts) != nil else { return "" }
    return unsafe formatted("%H:%M:%S", &parts)
}

private func formatted(_ format: String, _ parts: inout tm) -> String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
        guard let base = buffer.baseAddress, unsafe strftime(base, 64, format, &parts) > 0 else { return "" }
        return unsafe String(cString: base)
    }
}
