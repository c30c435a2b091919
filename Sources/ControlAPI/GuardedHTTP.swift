internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOPosix

/// HTTP as every server here speaks it: with a bound for what a client may send, for how long it may take, and for how many there
/// may be.
struct GuardedHTTP: Sendable {
    private let connections: Connections
    private let http: HTTP1Channel
    private let quiet: Logger

    /// - Parameters:
    ///   - connections: those there are.
    ///   - mostHeaderBytes: of one field; of all of them twice that.
    ///   - respond: answers a request.
    init(
        _ connections: Connections, mostHeaderBytes: Int,
        respond: @escaping HTTPChannelHandler.Responder
    ) {
        var logger = Logger(label: "hfjanitor", factory: { _ in SwiftLogNoOpLogHandler() })
        logger.logLevel = .critical
        (self.connections, quiet) = (connections, logger)
        http = HTTP1Channel(
            responder: { request, writer, channel in
                connections.begin(channel)
                defer { connections.end(channel) }
                try await respond(request, writer, channel)
            },
            configuration: HTTP1Channel.Configuration(
                additionalChannelHandlers: [SlowClientGuard()],
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: mostHeaderBytes, maxHeaderListSize: 2 * mostHeaderBytes,
                    maxHeaderFieldCount: 100)))
    }

    /// What a listening socket begins with.
    ///
    /// - Parameter backlog: as many may wait to be taken.
    func bootstrap(_ group: MultiThreadedEventLoopGroup, backlog: Int32) -> ServerBootstrap {
        ServerBootstrap(group: group).serverChannelOption(.backlog, value: backlog)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptFailures())
                }
            }
    }

    /// Serves a connection, or closes it where there are too many or it is not welcome.
    func admit(
        _ channel: any Channel, ifWelcome isWelcome: ((any Channel) -> EventLoopFuture<Bool>)? = nil
    ) -> EventLoopFuture<HTTP1Channel.Value> {
        guard connections.admit(channel) else { return Self.refuse(channel) }
        guard let isWelcome else { return http.setup(channel: channel, logger: quiet) }
        return isWelcome(channel).flatMap {
            $0 ? http.setup(channel: channel, logger: quiet) : Self.refuse(channel)
        }
    }

    /// Serves until the listening socket is closed.
    func serve(_ listener: NIOAsyncChannel<HTTP1Channel.Value, Never>) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            try await listener.executeThenClose { inbound in
                for try await connection in inbound {
                    group.addTask { await http.handle(value: connection, logger: quiet) }
                }
            }
        }
    }

    private static func refuse(_ channel: any Channel) -> EventLoopFuture<HTTP1Channel.Value> {
        channel.close(promise: nil)
        return channel.eventLoop.makeFailedFuture(Refused())
    }
}

/// A connection that is not served.
private struct Refused: Error {}

/// What goes wrong with accepting one connection, such as a lack of descriptors, does not end accepting others.
private final class AcceptFailures: ChannelInboundHandler {
    typealias InboundIn = Channel

    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
