internal import HTTPTypes
internal import HubCache
internal import HummingbirdCore
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypes
internal import NIOHTTPTypesHTTP1
internal import NIOPosix

/// What becomes of a request at the loopback port: refused, or asked of the daemon over a connection of its own.
struct Forwarding: Sendable {
    let socket: BytePath
    let secret: [UInt8]
    let name: String
    let group: MultiThreadedEventLoopGroup
    let use = PortUse()

    private typealias Asked = (head: HTTPRequest, body: ByteBuffer)

    @concurrent func serve(_ request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel) async throws
    {
        let authority = "\(name):\(channel.localAddress?.port ?? 0)"
        let asked: Asked
        do {
            asked = try await check(request, authority)
        } catch let problem as Problem {
            return try await refuse(problem, writer)
        } catch {
            return try await refuse(
                Problem(.tooLarge, "a request's body has at most \(Endpoint.mostBodyBytes) bytes"), writer)
        }
        use.begin()
        defer { use.end() }
        let upstream: DaemonConnection
        do {
            upstream = try await DaemonConnection(socket, group)
        } catch {
            return try await refuse(Problem(.unavailable, "the daemon does not answer; is it running?"), writer)
        }
        // Who listens to events is told of nothing for long: the daemon has to hear at once that nobody listens any more.
        channel.closeFuture.whenComplete { _ in upstream.close() }
        defer { upstream.close() }
        try await forward(asked, to: upstream, writer)
    }

    // MARK: what is let through

    /// - Throws: `Problem`.
    private func check(_ request: Request, _ authority: String) async throws -> Asked {
        guard let target = target(of: request.head.path ?? "") else {
            throw Problem(.notFound, "there is nothing at this path")
        }
        guard request.head.authority == authority else {
            throw Problem(.crossSite, "the Host header is not \(authority)")
        }
        let origin = request.headers[.origin]
        guard origin == nil || origin == "http://\(authority)" else {
            throw Problem(.crossSite, "requests of another site are not answered")
        }
        try Self.checkSite(request, isPage: target == "/")
        var head = HTTPRequest(method: request.method, scheme: "http", authority: "localhost", path: target)
        switch request.method {
        case .get, .head: return (head, ByteBuffer())
        case .post, .delete: break
        default: throw Problem(.methodNotAllowed, "this path does not take that method")
        }
        // A form of another site can send neither.
        guard origin != nil else { throw Problem(.crossSite, "the Origin header is missing") }
        guard Self.isJSON(request.headers[.contentType]) else {
            throw Problem(.invalidRequest, "the Content-Type is not application/json")
        }
        var request = request
        let body = try await request.collectBody(upTo: Endpoint.mostBodyBytes)
        head.headerFields[.contentType] = "application/json"
        head.headerFields[.contentLength] = String(body.readableBytes)
        return (head, body)
    }

    /// What is asked of the daemon; nil where the path is not the secret one, or is for nobody here.
    private func target(of path: String) -> String? {
        let bytes = Array(path.utf8)
        guard bytes.count > secret.count + 1, bytes[0] == UInt8(ascii: "/"), bytes[secret.count + 1] == bytes[0] else {
            return nil
        }
        // As long for a nearly right one as for any other.
        let difference = zip(bytes.dropFirst(), secret).reduce(0) { $0 | ($1.0 ^ $1.1) }
        guard difference == 0 else { return nil }
        let rest = String(decoding: bytes.dropFirst(secret.count + 1), as: UTF8.self)
        return rest == "/" || rest.hasPrefix("/api/") ? rest : nil
    }

    /// Browsers say where a request comes from. Only the page itself may be gone to from elsewhere: it is opened by a file.
    private static func checkSite(_ request: Request, isPage: Bool) throws {
        guard let site = header("Sec-Fetch-Site", of: request), site != "same-origin", site != "none" else { return }
        let isNavigation =
            header("Sec-Fetch-Mode", of: request) == "navigate" && header("Sec-Fetch-Dest", of: request) == "document"
        guard isPage, isNavigation, request.method == .get else {
            throw Problem(.crossSite, "requests of another site are not answered")
        }
    }

    private static func header(_ name: String, of request: Request) -> String? {
        HTTPField.Name(name).flatMap { request.headers[$0] }
    }

    private static func isJSON(_ type: String?) -> Bool {
        let word = type?.prefix { $0 != ";" && $0 != " " }
        return word?.lowercased() == "application/json"
    }

    // MARK: what is answered

    @concurrent private func refuse(_ problem: Problem, _ writer: consuming ResponseWriter) async throws {
        var response = problem.response
        Self.guardHeaders(&response.head.headerFields)
        try await writer.write(response: response.head, body: response.body)
    }

    /// The path is a secret: no other site may learn it, embed what it leads to, or read it.
    private static func guardHeaders(_ headers: inout HTTPFields) {
        for (name, value) in [("Referrer-Policy", "no-referrer"), ("Cross-Origin-Resource-Policy", "same-origin")] {
            if let name = HTTPField.Name(name) { headers[name] = value }
        }
    }

    @concurrent private func forward(_ asked: Asked, to upstream: DaemonConnection, _ writer: consuming ResponseWriter)
        async throws
    {
        try await upstream.send([.head(asked.head), .body(asked.body), .end(nil)])
        var parts = upstream.parts.makeAsyncIterator()
        guard case .head(var head)? = try? await parts.next() else {
            return try await refuse(Problem(.unavailable, "the daemon did not answer"), writer)
        }
        for name in [HTTPField.Name.connection, .transferEncoding] { head.headerFields[name] = nil }
        Self.guardHeaders(&head.headerFields)
        var body = try await writer.writeHead(head)
        while true {
            upstream.wantMore()
            guard case .body(let piece)? = try await parts.next() else { break }
            try await body.write(piece)
        }
        try await body.finish(nil)
    }
}

/// A connection to the daemon for one request. More of the answer is read only when it is wanted.
private struct DaemonConnection: Sendable {
    let parts: AsyncThrowingStream<HTTPResponsePart, any Error>
    private let channel: any Channel

    init(_ socket: BytePath, _ group: MultiThreadedEventLoopGroup) async throws {
        let (parts, continuation) = AsyncThrowingStream.makeStream(of: HTTPResponsePart.self)
        self.parts = parts
        channel = try await ClientBootstrap(group: group).connectTimeout(.seconds(10)).channelOption(
            .autoRead, value: false
        )
        .channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let pipeline = channel.pipeline.syncOperations
                try pipeline.addHTTPClientHandlers()
                try pipeline.addHandlers([HTTP1ToHTTPClientCodec(), AnswerTaker(continuation)])
            }
        }
        .connect(unixDomainSocketPath: socket.text).get()
    }

    func send(_ parts: [HTTPRequestPart]) async throws {
        for part in parts { try await channel.writeAndFlush(part) }
        channel.read()
    }

    func wantMore() { channel.read() }

    func close() { channel.close(promise: nil) }
}

/// Takes an answer's parts to whoever waits for them.
private final class AnswerTaker: ChannelInboundHandler {
    typealias InboundIn = HTTPResponsePart

    private let continuation: AsyncThrowingStream<HTTPResponsePart, any Error>.Continuation
    private var hasTaken = false

    init(_ continuation: AsyncThrowingStream<HTTPResponsePart, any Error>.Continuation) {
        self.continuation = continuation
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        continuation.yield(unwrapInboundIn(data))
        hasTaken = true
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // Nobody was woken by what came, so nobody will ask for the rest of it.
        if !hasTaken { context.read() }
        hasTaken = false
    }

    func channelInactive(context: ChannelHandlerContext) { continuation.finish() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        continuation.finish(throwing: error)
        context.close(promise: nil)
    }
}
