internal import HummingbirdCore
internal import NIOCore
internal import Synchronization

/// The connections there are.
final class Connections: Sendable {
    private let open = Mutex<[ObjectIdentifier: any Channel]>([:])

    private let most: Int

    /// - Parameter most: as many are served at once.
    init(atMost most: Int) { self.most = most }

    /// Closes a connection that is not served.
    static func refuse(_ channel: any Channel) -> EventLoopFuture<HTTP1Channel.Value> {
        channel.close(promise: nil)
        return channel.eventLoop.makeFailedFuture(Refused())
    }

    /// - Returns: whether there is room for one more.
    func admit(_ channel: any Channel) -> Bool {
        let key = ObjectIdentifier(channel)
        let isAdmitted = open.withLock { [most] open in
            guard open.count < most else { return false }
            open[key] = channel
            return true
        }
        if isAdmitted {
            channel.closeFuture.whenComplete { _ in self.open.withLock { $0[key] = nil } }
        }
        return isAdmitted
    }

    func closeAll() {
        for channel in open.withLock({ Array($0.values) }) { channel.close(promise: nil) }
    }
}

/// A connection that is not served.
private struct Refused: Error {}

/// What goes wrong with accepting one connection, such as a lack of descriptors, does not end accepting others.
final class AcceptFailures: ChannelInboundHandler {
    typealias InboundIn = Channel

    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
