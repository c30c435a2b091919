internal import Glibc
public import HubCache

/// What a service manager tells a service through its environment: systemd.exec(5), sd_notify(3), sd_listen_fds(3),
/// sd_watchdog_enabled(3).
///
/// A value read once at the start. Variables that are absent or make no sense read as absent: without a service manager
/// the program runs the same way.
public struct ServiceEnvironment: Sendable {
    /// `NOTIFY_SOCKET`, where it names a socket that a datagram can be sent to.
    public let notifySocket: SocketName?
    /// `WATCHDOG_USEC`, where it is meant for this process: without a sign of life for that long the service is killed.
    public let watchdogInterval: Duration?
    /// How often to give a sign of life: half of `watchdogInterval`, as sd_watchdog_enabled(3) recommends.
    public var watchdogPeriod: Duration? { watchdogInterval.map { $0 / 2 } }
    /// `CREDENTIALS_DIRECTORY`.
    public let credentialsDirectory: BytePath?
    /// `JOURNAL_STREAM`: the device and inode of the stream that is connected to the journal.
    public let journalStream: FileKey?
    /// The names of the sockets handed over, for descriptors 3, 4, …; empty where none are meant for this process.
    let listenNames: [String]

    /// The variables that are meant for this process alone.
    public static let variables = [
        "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
        "JOURNAL_STREAM",
        "CREDENTIALS_DIRECTORY",
    ]

    /// As many sockets as anybody would hand over; more is nonsense.
    private static let socketLimit = 64

    /// Reads the variables.
    ///
    /// - Parameters:
    ///   - environment: the process's environment.
    ///   - processID: this process, for variables that say whom they are for.
    public init(environment: [String: String], processID: Int32) {
        notifySocket = environment["NOTIFY_SOCKET"].flatMap { SocketName(variable: $0) }
        let isWatched = environment["WATCHDOG_PID"].map { Int32($0) == processID } ?? true
        let interval = environment["WATCHDOG_USEC"].flatMap { Int64($0) }.filter { $0 > 0 }
        watchdogInterval = isWatched ? interval.map { .microseconds($0) } : nil
        credentialsDirectory = environment["CREDENTIALS_DIRECTORY"].map { BytePath($0) }.filter { $0.hasPrefix("/") }
        let stream = (environment["JOURNAL_STREAM"] ?? "").split(separator: ":", omittingEmptySubsequences: false)
        if stream.count == 2, let device = UInt64(stream[0]), let inode = UInt64(stream[1]) {
            journalStream = FileKey(device: device, inode: inode)
        } else {
            journalStream = nil
        }
        let isReceiver = environment["LISTEN_PID"].map { Int32($0) == processID } ?? false
        let count = environment["LISTEN_FDS"].flatMap { Int($0) } ?? 0
        if isReceiver, (1...Self.socketLimit).contains(count) {
            let names = environment["LISTEN_FDNAMES"]?.split(separator: ":", omittingEmptySubsequences: false) ?? []
            listenNames = (0..<count).map { names.count == count ? String(names[$0]) : "unknown" }
        } else {
            listenNames = []
        }
    }

    /// This process's own, whose variables are then removed so that no child takes them for its own.
    ///
    /// Call it first thing in `main`, while there is one thread: the environment has no lock. A second call finds nothing.
    ///
    /// - Parameter environment: the process's environment.
    public static func take(environment: [String: String]) -> ServiceEnvironment {
        let taken = ServiceEnvironment(environment: environment, processID: getpid())
        for name in variables { unsafe unsetenv(name) }
        return taken
    }
}

/// The name of an AF_UNIX socket: a path, or an abstract name.
public struct SocketName: Sendable, Hashable {
    /// What goes into `sun_path`; an abstract name starts with a NUL.
    let bytes: [UInt8]

    /// The room in `sun_path`.
    private static let limit = 108

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// Makes the name of a socket with an absolute path of at most 107 bytes.
    public init?(path: BytePath) {
        guard path.hasPrefix("/"), path.bytes.count > 1, path.bytes.count < Self.limit, !path.bytes.contains(0) else {
            return nil
        }
        self.init(bytes: path.bytes)
    }

    /// Reads a value of `NOTIFY_SOCKET`: an absolute path, or `@` and an abstract name. Other kinds (`vsock:`) are for
    /// virtual machines and read as none.
    public init?(variable: String) {
        let raw = Array(variable.utf8)
        if raw.first == UInt8(ascii: "@") {
            guard raw.count > 1, raw.count <= Self.limit else { return nil }
            self.init(bytes: [0] + raw.dropFirst())
        } else {
            self.init(path: BytePath(bytes: raw))
        }
    }
}

extension Optional {
    /// The value, where it passes a test.
    fileprivate func filter(_ passes: (Wrapped) -> Bool) -> Wrapped? { flatMap { passes($0) ? $0 : nil } }
}
