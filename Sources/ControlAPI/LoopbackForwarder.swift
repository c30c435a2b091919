public import HubCache
internal import HummingbirdCore
internal import LinuxIO
internal import Logging
internal import NIOCore
internal import NIOHTTPTypes
internal import NIOPosix
internal import Synchronization

/// A port on the loopback interface that leads a browser to a daemon's control socket.
///
/// Who may use it is told by a path that nobody can guess, since every user of the machine can connect to the port. Whoever does
/// not know the path, comes by another name (a trick of its name server), or from another site, is refused here; the daemon never
/// hears of it.
public final class LoopbackForwarder: Sendable {
    /// As many connections are served at once; one more is closed at once.
    private static let mostConnections = 64

    /// The port.
    public let port: Int

    private let forwarding: Forwarding
    private let http: HTTP1Channel
    private let group: MultiThreadedEventLoopGroup
    private let listener: NIOAsyncChannel<HTTP1Channel.Value, Never>
    private let quiet: Logger

    /// Listens. Nothing is served yet.
    ///
    /// - Parameters:
    ///   - socket: where the daemon listens.
    ///   - port: 0 for any that is free.
    ///   - name: what browsers come by, `127.0.0.1` or `localhost`.
    /// - Throws: what the system says when it cannot listen there.
    public init(to socket: BytePath, port: Int, name: String) throws {
        var logger = Logger(label: "hfjanitor", factory: { _ in SwiftLogNoOpLogHandler() })
        logger.logLevel = .critical
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let forwarding = Forwarding(socket: socket, secret: Self.makeSecret(), name: name, group: group)
        let http = HTTP1Channel(
            responder: { request, writer, channel in try await forwarding.serve(request, writer, channel) },
            configuration: HTTP1Channel.Configuration(
                additionalChannelHandlers: [SlowClientGuard()],
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: 16 * 1024, maxHeaderListSize: 32 * 1024, maxHeaderFieldCount: 100)))
        let silent = logger
        let listening: @Sendable () async throws -> NIOAsyncChannel<HTTP1Channel.Value, Never> = {
            try await ServerBootstrap(group: group)
                .serverChannelOption(.backlog, value: 64)
                .serverChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(AcceptFailures())
                    }
                }
                .bind(host: "127.0.0.1", port: port) { channel -> EventLoopFuture<HTTP1Channel.Value> in
                    guard forwarding.use.enter(atMost: Self.mostConnections) else {
                        channel.close(promise: nil)
                        return channel.eventLoop.makeFailedFuture(ChannelError.alreadyClosed)
                    }
                    channel.closeFuture.whenComplete { _ in forwarding.use.leave() }
                    return http.setup(channel: channel, logger: silent)
                }
        }
        listener = try group.next().makeFutureWithTask(listening).wait()
        guard let bound = listener.channel.localAddress?.port else { throw ChannelError.unknownLocalAddress }
        (self.port, self.group, self.http, self.forwarding, quiet) = (bound, group, http, forwarding, logger)
    }

    /// What to open in a browser.
    public var url: String {
        "http://\(forwarding.name):\(port)/\(String(decoding: forwarding.secret, as: UTF8.self))/"
    }

    /// How long nobody used it, in nanoseconds; 0 while somebody does.
    public var idleTime: UInt64 { forwarding.use.idleTime }

    /// Serves from now on, on threads of its own.
    public func start() {
        let serving: @Sendable () async -> Void = { [self] in
            try? await withThrowingDiscardingTaskGroup { group in
                try await listener.executeThenClose { inbound in
                    for try await connection in inbound {
                        group.addTask { [self] in await http.handle(value: connection, logger: quiet) }
                    }
                }
            }
        }
        _ = group.next().makeFutureWithTask(serving)
    }

    /// 192 random bits.
    private static func makeSecret() -> [UInt8] {
        var random = SystemRandomNumberGenerator()
        let words = (0..<3).map { _ in String(random.next() as UInt64, radix: 16) }
        return Array(words.map { String(repeating: "0", count: 16 - $0.count) + $0 }.joined().utf8)
    }
}

/// Whether somebody uses a port, and since when nobody does.
final class PortUse: Sendable {
    private struct State {
        var connections = 0
        var requests = 0
        var last = monotonicNanoseconds()
    }

    private let state = Mutex(State())

    /// - Returns: whether there is room for one more connection.
    func enter(atMost limit: Int) -> Bool {
        state.withLock { state in
            guard state.connections < limit else { return false }
            state.connections += 1
            return true
        }
    }

    func leave() { state.withLock { $0.connections -= 1 } }

    /// Somebody who knows the path asks, and is being answered.
    func begin() { state.withLock { $0.requests += 1 } }

    func end() {
        state.withLock { state in
            state.requests -= 1
            state.last = monotonicNanoseconds()
        }
    }

    var idleTime: UInt64 { state.withLock { $0.requests > 0 ? 0 : monotonicNanoseconds() - $0.last } }
}
