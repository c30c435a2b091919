internal import CSystemd
internal import HubCache
public import LinuxIO

/// The sockets that the service manager opened for this service: sd_listen_fds(3).
///
/// They are taken one by one, each checked to be what it should be; those that nobody took are closed with the value.
public struct SocketActivation: ~Copyable {
    /// Descriptors that are still here, with their names.
    private var sockets: [(number: Int32, name: String)]

    /// SD_LISTEN_FDS_START.
    private static let firstDescriptor: Int32 = 3

    /// Takes over all that were handed over. Call it once, before anything is opened, and with what
    /// `ServiceEnvironment.take` returned.
    public init(_ environment: ServiceEnvironment) {
        self.init(adopting: environment.listenNames, from: Self.firstDescriptor)
    }

    init(adopting names: [String], from first: Int32) {
        sockets = names.enumerated().map { (first + Int32($0.offset), $0.element) }
        // A child must not inherit them.
        for socket in sockets { _ = hfj_close_on_exec(socket.number) }
    }

    deinit {
        for socket in sockets { _ = OwnedDescriptor(adopting: socket.number) }
    }

    /// The names of those that nobody took yet: `FileDescriptorName=` of the socket unit, else the unit's name.
    public var names: [String] { sockets.map(\.name) }

    /// Takes the listening Unix stream socket with that name.
    ///
    /// - Returns: nil when none with that name was handed over; the caller then makes one of its own.
    /// - Throws: `ActivationFailure` when it is something else; it is closed.
    public mutating func takeListener(named name: String) throws(ActivationFailure) -> OwnedDescriptor? {
        guard let index = sockets.firstIndex(where: { $0.name == name }) else { return nil }
        let number = sockets.remove(at: index).number
        var kind = hfj_socket_kind()
        guard unsafe hfj_kind_of_socket(number, &kind) == 0 else {
            // Nothing is open under that number: there is nothing to close.
            throw ActivationFailure(name: name, found: "not open")
        }
        let descriptor = OwnedDescriptor(adopting: number)
        guard kind.is_socket == 1 else { throw ActivationFailure(name: name, found: "not a socket") }
        guard kind.is_unix == 1 else { throw ActivationFailure(name: name, found: "not a Unix socket") }
        guard kind.is_stream == 1 else { throw ActivationFailure(name: name, found: "not a stream socket") }
        guard kind.is_listening == 1 else { throw ActivationFailure(name: name, found: "not listening") }
        return descriptor
    }
}

/// A descriptor of the service manager's that is not what it should be.
public struct ActivationFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// Its name.
    public let name: String
    /// What it is, in words that fit behind "is".
    public let found: String

    /// One sentence without a full stop.
    public var description: String {
        "the socket '\(displayText(of: name))' of the service manager is \(found); a listening Unix stream socket is needed"
    }
}
