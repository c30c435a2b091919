public import Daemon
internal import Glibc
internal import HubCache
internal import HummingbirdCore
internal import LinuxIO
internal import Logging
internal import NIOCore
internal import NIOHTTPTypes
internal import NIOPosix
internal import Synchronization
public import SystemdSupport

/// The HTTP server of a daemon: on a Unix socket alone, so that the socket's permissions say who may talk to it.
///
/// Its one event loop has a thread; what a request needs beyond that is asked at the daemon's desk and awaited.
public final class ControlServer: Sendable {
    /// As many connections are served at once; one more is closed at once.
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
        _ = group.next().makeFutureWithTask(serving)
    }

    /// Takes no more connections, and closes those there are.
    public func stop() {
        socket.removeName()
        listener.withLock { $0 }?.close(promise: nil)
        connections.closeAll()
    }

    private func serve() async throws {
        var logger = Logger(label: "hfjanitor", factory: { _ in SwiftLogNoOpLogHandler() })
        logger.logLevel = .critical
        let answering = Answering(desk)
        let http = HTTP1Channel(
            responder: { request, writer, channel in
                let response = await answering.response(to: request, of: Caller(channel))
                try await writer.write(response: response.head, body: response.body)
            },
            configuration: HTTP1Channel.Configuration(
                additionalChannelHandlers: [SlowClientGuard()],
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: 16 * 1024, maxHeaderListSize: 32 * 1024, maxHeaderFieldCount: 100)))
        let (isOwn, connections) = (socket.isOwn, connections)
        // The copy is closed by the event loop.
        let copy = fcntl(socket.raw, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw SystemCallFailure(call: "dup", errno: errno, subject: .empty) }
        let quiet = logger
        let server = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.maxMessagesPerRead, value: 64)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptFailures())
                }
            }
            .bind(copy) { channel -> EventLoopFuture<HTTP1Channel.Value> in
                guard connections.admit(channel) else { return Connections.refuse(channel) }
                guard isOwn else { return http.setup(channel: channel, logger: quiet) }
                return Peer.isWelcome(channel).flatMap { isWelcome in
                    guard isWelcome else { return Connections.refuse(channel) }
                    return http.setup(channel: channel, logger: quiet)
                }
            }
        listener.withLock { $0 = server.channel }
        try await withThrowingDiscardingTaskGroup { group in
            try await server.executeThenClose { inbound in
                for try await connection in inbound {
                    group.addTask { await http.handle(value: connection, logger: quiet) }
                }
            }
        }
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
