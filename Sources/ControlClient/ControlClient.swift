internal import CCurl
public import HubCache
public import LinuxIO

/// A daemon's control socket, as its clients see it. Each request is one connection and blocks the caller's thread.
public struct ControlClient: Sendable {
    /// An answer.
    public struct Answer: Sendable {
        /// The HTTP status.
        public var status: Int
        /// The body.
        public var body: [UInt8]
    }

    /// Why there is no answer.
    public enum Failure: Error, Sendable, Hashable {
        /// Nobody listens there, or this user may not connect.
        case absent
        /// The connection broke, or there was no answer in time; libcurl's words.
        case broken(String)
    }

    /// More than any answer has.
    private static let mostBytes = 256 << 20

    /// The socket.
    public let path: BytePath

    /// The first of some sockets that somebody may listen at: one that belongs to this user or root.
    ///
    /// - Returns: nil where there is none.
    public init?(_ paths: [BytePath]) {
        let found = paths.first { path in
            guard let folder = try? OwnedDescriptor.open(trustedPath: path.parent, options: .directory),
                let stat = try? folder.stat(of: path.lastComponent)
            else { return false }
            return stat.kind == .socket && (stat.uid == 0 || stat.uid == effectiveUser())
        }
        guard let found else { return nil }
        path = found
    }

    /// Asks, and waits for the whole answer.
    ///
    /// - Parameters:
    ///   - target: the path and query of the URL.
    ///   - body: JSON.
    ///   - milliseconds: for the whole; 0 for no limit.
    ///   - cancellation: ends it within about a second.
    ///   - onBody: is told once the answer's body begins.
    public func ask(
        _ method: String, _ target: String, body: [UInt8]? = nil, milliseconds: Int,
        cancellation: Cancellation = Cancellation(), onBody: (@Sendable () -> Void)? = nil
    ) throws(Failure) -> Answer {
        guard libraryCode == 0, let handle = unsafe curl_easy_init() else { throw .broken("no memory") }
        defer { unsafe hfj_curl_destroy(handle) }
        let collector = Collector(limit: Self.mostBytes, cancellation: cancellation, onBody: onBody)
        var status = 0
        let socket = path.bytes.map { CChar(bitPattern: $0) } + [0]
        let content = body.map { $0.map { CChar(bitPattern: $0) } }
        let code = unsafe socket.withUnsafeBufferPointer { socket -> Int32 in
            unsafe "http://localhost\(target)".withCString { url in
                unsafe method.withCString { method in
                    unsafe (content ?? []).withUnsafeBufferPointer { content in
                        guard let socket = socket.baseAddress else { return -1 }
                        var request = unsafe hfj_local_request(
                            socket_path: socket, url: url, method: method,
                            body: body == nil ? nil : content.baseAddress, body_length: content.count,
                            milliseconds: milliseconds, on_body: takeBody, on_progress: goesOn,
                            // Only called while the request runs, which keeps the collector alive.
                            context: Unmanaged.passUnretained(collector).toOpaque())
                        return withExtendedLifetime(collector) { unsafe hfj_curl_ask_local(handle, &request, &status) }
                    }
                }
            }
        }
        if code == Int32(CURLE_COULDNT_CONNECT.rawValue) { throw .absent }
        guard code == 0 else { throw .broken(unsafe String(cString: curl_easy_strerror(CURLcode(UInt32(code))))) }
        return Answer(status: status, body: collector.bytes)
    }
}

private final class Collector {
    private(set) var bytes: [UInt8] = []
    let cancellation: Cancellation
    private let limit: Int
    private let onBody: (@Sendable () -> Void)?

    init(limit: Int, cancellation: Cancellation, onBody: (@Sendable () -> Void)?) {
        self.limit = limit
        self.cancellation = cancellation
        self.onBody = onBody
    }

    func take(_ piece: UnsafeRawBufferPointer) -> Bool {
        if bytes.isEmpty { onBody?() }
        guard bytes.count + piece.count <= limit else { return false }
        unsafe bytes.append(contentsOf: piece)
        return true
    }
}

private let libraryCode = hfj_curl_initialize()

private func takeBody(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let context = unsafe context else { return 0 }
    let collector = unsafe Unmanaged<Collector>.fromOpaque(context).takeUnretainedValue()
    let isTaken = unsafe collector.take(UnsafeRawBufferPointer(start: bytes, count: size * count))
    return isTaken ? size * count : 0
}

private func goesOn(
    _ context: UnsafeMutableRawPointer?, _ total: curl_off_t, _ now: curl_off_t, _ totalUp: curl_off_t,
    _ nowUp: curl_off_t
) -> Int32 {
    guard let context = unsafe context else { return 1 }
    return unsafe Unmanaged<Collector>.fromOpaque(context).takeUnretainedValue().cancellation.isCancelled ? 1 : 0
}
