internal import HTTPTypes
internal import NIOCore
internal import NIOHTTPTypes

/// Closes connections that hold on to this process for nothing: no request comes for too long, a request does not come to its
/// end, or an answer is not read.
final class SlowClientGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// From the start of a connection, or the end of an answer, to the end of the next request's headers.
    static let headLimit = TimeAmount.seconds(20)
    /// From there to the end of its body.
    static let bodyLimit = TimeAmount.seconds(10)
    /// As long may an answer wait to be read.
    static let writeLimit = TimeAmount.seconds(20)

    private var reading: Scheduled<Void>?
    private var writing: Scheduled<Void>?
    private var isReceiving = false

    func handlerAdded(context: ChannelHandlerContext) { expect(within: Self.headLimit, context) }

    func handlerRemoved(context: ChannelHandlerContext) {
        reading?.cancel()
        writing?.cancel()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            isReceiving = true
            expect(within: Self.bodyLimit, context)
        case .body: break
        case .end:
            isReceiving = false
            reading?.cancel()
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data), !isReceiving { expect(within: Self.headLimit, context) }
        context.write(data, promise: promise)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        writing?.cancel()
        if !context.channel.isWritable { writing = close(context.channel, after: Self.writeLimit) }
        context.fireChannelWritabilityChanged()
    }

    private func expect(within limit: TimeAmount, _ context: ChannelHandlerContext) {
        reading?.cancel()
        reading = close(context.channel, after: limit)
    }

    private func close(_ channel: any Channel, after limit: TimeAmount) -> Scheduled<Void> {
        channel.eventLoop.scheduleTask(in: limit) { channel.close(promise: nil) }
    }
}
