public import Daemon
internal import Glibc
internal import HubCache
internal import HummingbirdCore
internal import LinuxIO
internal import NIOCore
internal import NIOPosix
internal import Synchronization
public import SystemdSupport

/// The HTTP server of a daemon: on a Unix socket alone, so that the socket's permissions say who may talk to it.
///
/// Its one event loop has a thread; what a request needs beyond that is asked at the daemon's desk and awaited.
public final class ControlServer: Sendable {
    /// As many connections are served at once; for one more the oldest idle one is closed.
    static let mostConnections = 1500

    private let socket: ControlSocket
    private let desk: DaemonDesk
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let listener = Mutex<(any Channel)?>(nil)
    private let connections = Connections(atMost: mostConnections)

    /// Makes a server that does not serve yet.
    ///
    /// - Parameters:
    ///   - socket: where it listens.
    ///   - desk: where it asks.
    public init(_ socket: ControlSocket, desk: DaemonDesk) {
        self.socket = socket
        self.desk = desk
    }

    /// Serves from now on, on threads of its own.
    ///
    /// - Parameter report: is told of why it ended, if it ended by itself.
    public func start(report: @escaping @Sendable (String) -> Void) {
        // The one task that all others are children of: it ends with the listening socket.
        let serving: @Sendable () async -> Void = {
            do { try await self.serve() } catch { report("\(error)") }
        }
        _ = LoopExecutor.begin(on: group.next(), serving)
    }

    /// Takes no more connections, and closes those there are, once what is being answered has been, or after a moment: who
    /// waited for the daemon hears that it stops.
    public func stop() {
        socket.removeName()
        listener.withLock { $0 }?.close(promise: nil)
        for _ in 0..<60 where !connections.areIdle { sleepMilliseconds(5) }
        connections.closeAll()
    }

    private func serve() async throws {
        let answering = Answering(desk)
        let http = GuardedHTTP(connections, mostHeaderBytes: 16 * 1024) { request, writer, channel in
            let response = await answering.response(to: request, of: Caller(channel))
            try await writer.write(response: response.head, body: response.body)
        }
        // The copy is closed by the event loop.
        let copy = fcntl(socket.raw, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw SystemCallFailure(call: "dup", errno: errno, subject: .empty) }
        let isOwn = socket.isOwn
        let server = try await http.bootstrap(group, backlog: 1024)
            .serverChannelOption(.maxMessagesPerRead, value: 64)
            .bind(copy) { channel in http.admit(channel, ifWelcome: isOwn ? { Peer.isWelcome($0) } : nil) }
        listener.withLock { $0 = server.channel }
        try await http.serve(server)
    }
}

/// Who is at the other end of a connection.
private enum Peer {
    /// `struct ucred` of unix(7), which the C library hides.
    private struct Credentials {
        var processID: Int32 = 0
        var user: UInt32 = 0
        var group: UInt32 = 0
    }

    /// Whether it is this user or root: nobody else may talk to a socket of our own, whatever became of its mode.
    static func isWelcome(_ channel: any Channel) -> EventLoopFuture<Bool> {
        guard let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeSucceededFuture(false)
        }
        let peer: EventLoopFuture<Credentials> = provider.unsafeGetSocketOption(
            level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
        return peer.map { $0.user == 0 || $0.user == geteuid() }
    }
}
