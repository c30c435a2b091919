public import Daemon
internal import HTTPTypes
internal import HubCache
internal import HummingbirdCore
internal import LinuxIO
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// The TCP listener of the policy's `metrics: {listen}`: `/metrics` and `/healthz`, and nothing else.
///
/// It follows the policy as that changes. An address that cannot be listened at is told to the daemon, and tried again. Its event
/// loop has a thread of its own, made when the policy first names an address: who floods it keeps nobody from the control socket.
public final class MetricsServer: Sendable {
    /// As many connections are served at once; for one more the oldest idle one is closed.
    static let mostConnections = 64
    private static let pause = TimeAmount.seconds(5)

    private struct State {
        /// Where to listen; nil: nowhere.
        var wanted: ListenAddress?
        /// Goes up whenever another address is wanted: what was begun for an earlier one is over.
        var turn = 0
        var channel: (any Channel)?
        var group: MultiThreadedEventLoopGroup?
        var isStopped = false
    }

    private let desk: DaemonDesk
    private let state = Mutex(State())
    private let connections = Connections(atMost: mostConnections)

    /// Makes one that listens nowhere yet.
    ///
    /// - Parameter desk: where it asks.
    public init(_ desk: DaemonDesk) { self.desk = desk }

    /// Listens where the policy says, from now on.
    public func start() { desk.followMetricsAddress { address in self.listen(at: address) } }

    /// Listens no more.
    public func stop() {
        state.withLock { $0.isStopped = true }
        listen(at: nil)
    }

    private func listen(at address: ListenAddress?) {
        let (turn, former, group) = state.withLock { state in
            state.turn += 1
            state.wanted = state.isStopped ? nil : address
            if state.wanted != nil, state.group == nil {
                state.group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
            }
            defer { state.channel = nil }
            return (state.turn, state.channel, state.group)
        }
        guard let group else { return }
        let loop = group.next()
        let closed = former.map { $0.close().recover { _ in } } ?? loop.makeSucceededVoidFuture()
        connections.closeAll()
        closed.hop(to: loop).whenSuccess { self.begin(turn, group) }
    }

    /// Begins what is wanted, unless something else is by now.
    private func begin(_ turn: Int, _ group: MultiThreadedEventLoopGroup) {
        guard let address = state.withLock({ $0.turn == turn ? $0.wanted : nil }) else { return }
        let listening: @Sendable () async -> Void = {
            do {
                try await self.serve(address, turn, group)
            } catch {
                guard self.state.withLock({ $0.turn == turn }) else { return }
                self.desk.report(metricsAt: address, problem: Self.words(error))
                group.next().scheduleTask(in: Self.pause) { self.begin(turn, group) }
            }
        }
        _ = LoopExecutor.begin(on: group.next(), listening)
    }

    private func serve(_ address: ListenAddress, _ turn: Int, _ group: MultiThreadedEventLoopGroup) async throws {
        let desk = desk
        let http = GuardedHTTP(connections, mostHeaderBytes: 8 * 1024) { request, writer, _ in
            let response = await Self.response(to: request, desk)
            try await writer.write(response: response.head, body: response.body)
        }
        let server = try await http.bootstrap(group, backlog: 128)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .bind(host: address.host, port: Int(address.port)) { http.admit($0) }
        let isWanted = state.withLock { state in
            guard state.turn == turn, state.wanted != nil else { return false }
            state.channel = server.channel
            return true
        }
        if isWanted { desk.report(metricsAt: address, problem: nil) } else { server.channel.close(promise: nil) }
        try await http.serve(server)
    }

    /// The answer to whoever reaches the address: names and numbers, and no way to change anything.
    private static func response(to request: Request, _ desk: DaemonDesk) async -> Response {
        guard ["/metrics", "/healthz"].contains(request.uri.path) else {
            return plain(.notFound, "only /metrics and /healthz are here\n")
        }
        guard request.method == .get || request.method == .head else {
            var response = plain(.methodNotAllowed, "only GET and HEAD\n")
            response.headers[.allow] = "GET, HEAD"
            return response
        }
        guard let numbers = try? await desk.numbers() else { return plain(.serviceUnavailable, "stopping\n") }
        let response =
            request.uri.path == "/metrics"
            ? Response.text(ByteBuffer(string: Metrics.text(numbers)), type: Metrics.contentType)
            : plain(.ok, numbers.status.isReady ? "ok\n" : "starting\n")
        return request.method == .head ? response.createHeadResponse() : response
    }

    private static func plain(_ status: HTTPResponse.Status, _ text: String) -> Response {
        .text(ByteBuffer(string: text), status: status, type: "text/plain; charset=utf-8")
    }

    private static func words(_ error: any Error) -> String {
        guard let failure = error as? IOError else { return displayText(of: "\(error)") }
        return SystemCallFailure(call: "bind", errno: failure.errnoCode, subject: .empty).reason
    }
}
