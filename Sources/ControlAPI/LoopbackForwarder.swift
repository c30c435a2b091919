public import HubCache
internal import HummingbirdCore
internal import LinuxIO
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// A port on the loopback interface that leads a browser to a daemon's control socket.
///
/// Who may use it is told by a path that nobody can guess, since every user of the machine can connect to the port. Whoever does
/// not know the path, comes by another name (a trick of its name server), or from another site, is refused here; the daemon never
/// hears of it.
public final class LoopbackForwarder: Sendable {
    /// As many connections are served at once; for one more the oldest idle one is closed.
    private static let mostConnections = 64

    /// The port.
    public let port: Int

    private let forwarding: Forwarding
    private let http: GuardedHTTP
    private let group: MultiThreadedEventLoopGroup
    private let listener: NIOAsyncChannel<HTTP1Channel.Value, Never>

    /// Listens. Nothing is served yet.
    ///
    /// - Parameters:
    ///   - socket: where the daemon listens.
    ///   - port: 0 for any that is free.
    ///   - name: what browsers come by, `127.0.0.1` or `localhost`.
    /// - Throws: what the system says when it cannot listen there.
    public init(to socket: BytePath, port: Int, name: String) throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let forwarding = Forwarding(socket: socket, secret: Self.makeSecret(), name: name, group: group)
        let http = GuardedHTTP(Connections(atMost: Self.mostConnections), mostHeaderBytes: 16 * 1024) {
            try await forwarding.serve($0, $1, $2)
        }
        let listening: @Sendable () async throws -> NIOAsyncChannel<HTTP1Channel.Value, Never> = {
            try await http.bootstrap(group, backlog: 64).bind(host: "127.0.0.1", port: port) { http.admit($0) }
        }
        listener = try LoopExecutor.begin(on: group.next(), listening).wait()
        guard let bound = listener.channel.localAddress?.port else { throw ChannelError.unknownLocalAddress }
        (self.port, self.group, self.http, self.forwarding) = (bound, group, http, forwarding)
    }

    /// What to open in a browser.
    public var url: String {
        "http://\(forwarding.name):\(port)/\(String(decoding: forwarding.secret, as: UTF8.self))/"
    }

    /// How long nobody used it, in nanoseconds; 0 while somebody does.
    public var idleTime: UInt64 { forwarding.use.idleTime }

    /// Serves from now on, on threads of its own.
    public func start() {
        let serving: @Sendable () async -> Void = { [self] in try? await http.serve(listener) }
        _ = LoopExecutor.begin(on: group.next(), serving)
    }

    /// 192 random bits.
    private static func makeSecret() -> [UInt8] {
        var random = SystemRandomNumberGenerator()
        let words = (0..<3).map { _ in String(random.next() as UInt64, radix: 16) }
        return Array(words.map { String(repeating: "0", count: 16 - $0.count) + $0 }.joined().utf8)
    }
}

/// Whether somebody who knows a port's path uses it, and since when nobody does.
final class PortUse: Sendable {
    private struct State {
        var requests = 0
        var last = monotonicNanoseconds()
    }

    private let state = Mutex(State())

    /// A request is being answered.
    func begin() { state.withLock { $0.requests += 1 } }

    func end() {
        state.withLock { state in
            state.requests -= 1
            state.last = monotonicNanoseconds()
        }
    }

    var idleTime: UInt64 { state.withLock { $0.requests > 0 ? 0 : monotonicNanoseconds() - $0.last } }
}
