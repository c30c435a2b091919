internal import CCurl
internal import HubCache
internal import LinuxIO

/// Why an exchange did not come to its end.
enum ExchangeFailure: Error {
    /// It was asked to stop.
    case cancelled
    /// No connection, or one that broke; libcurl's words.
    case network(String)
    /// No connection or no answer in time.
    case timeout(String)
    /// Data came, but too slowly for too long.
    case stalled
    /// The time for the whole was up.
    case outOfTime
    /// The answer breaks the protocol, or a bound.
    case malformed(String)
    /// Whoever takes the body failed.
    case sink(any Error)
    /// Whoever looks at the answer wants nothing of its body. No failure.
    case enough
}

/// What to ask for.
struct ExchangeRequest {
    var address: WebAddress
    var isHead = false
    /// A document to post, in place of asking for one.
    var json: [UInt8]?
    /// Already judged: it is sent as it is.
    var token: HubToken?
    /// The offset to start at; 0 asks for the whole.
    var offset: UInt64 = 0
    /// How many bytes to ask for, at least one; nil asks for all to the end.
    var count: UInt64?
    /// When the exchange must be over.
    var deadline: ContinuousClock.Instant?
}

/// One exchange while it runs: what the server said, and who takes the body.
final class Exchange {
    private(set) var head = ResponseHead()
    /// What ended it before its time.
    private(set) var failure: ExchangeFailure?
    /// Bytes of the body so far.
    private(set) var bodyBytes: UInt64 = 0

    private let settings: HubSettings
    private let cancellation: Cancellation
    private let deadline: ContinuousClock.Instant?
    private let isHead: Bool
    private let now: @Sendable () -> ContinuousClock.Instant
    private let onHead: (ResponseHead) throws(ExchangeFailure) -> Void
    private let onBody: (ResponseHead, Span<UInt8>) throws(ExchangeFailure) -> Void
    private let start: ContinuousClock.Instant
    private var windowStart: ContinuousClock.Instant
    private var windowBytes: UInt64 = 0

    /// - Parameters:
    ///   - onHead: called once, when all headers of the final answer are here.
    ///   - onBody: called with every piece of the body.
    init(
        _ request: ExchangeRequest, _ settings: HubSettings, _ clock: HubClock, _ cancellation: Cancellation,
        onHead: @escaping (ResponseHead) throws(ExchangeFailure) -> Void,
        onBody: @escaping (ResponseHead, Span<UInt8>) throws(ExchangeFailure) -> Void
    ) {
        self.settings = settings
        self.cancellation = cancellation
        self.deadline = request.deadline
        self.isHead = request.isHead
        self.now = clock.now
        self.start = clock.now()
        self.windowStart = start
        self.onHead = onHead
        self.onBody = onBody
    }

    /// - Returns: whether to go on.
    fileprivate func takeHeader(_ line: [UInt8]) -> Bool {
        attempt { () throws(ExchangeFailure) in
            let wasComplete = head.isComplete && head.status >= 200
            try head.add(line[...], settings)
            guard head.isComplete, head.status >= 200, !wasComplete else { return }
            windowStart = now()
            try onHead(head)
            // The body of an error or a redirect is nothing to wait for: it may never end.
            if !isHead, head.status != 200, head.status != 206 { throw .enough }
        }
    }

    /// - Returns: whether to go on.
    fileprivate func takeBody(_ bytes: Span<UInt8>) -> Bool {
        bodyBytes += UInt64(bytes.count)
        let before = now()
        do throws(ExchangeFailure) {
            try onBody(head, bytes)
        } catch {
            failure = failure ?? error
            return false
        }
        // A slow disk is no slow network.
        windowStart += before.duration(to: now())
        return true
    }

    /// - Returns: whether to go on.
    fileprivate func look() -> Bool {
        attempt { () throws(ExchangeFailure) in
            if cancellation.isCancelled { throw .cancelled }
            let now = now()
            if let deadline, now >= deadline { throw .outOfTime }
            guard head.isComplete, head.status >= 200 else {
                if start.duration(to: now) > settings.connectTimeout + settings.answerTimeout {
                    throw .timeout("no answer in time")
                }
                return
            }
            let window = windowStart.duration(to: now)
            guard window >= settings.stallTime else { return }
            if Double(bodyBytes - windowBytes) < Double(settings.stallSpeed) * (window / .seconds(1)) { throw .stalled }
            (windowStart, windowBytes) = (now, bodyBytes)
        }
    }

    private func attempt(_ body: () throws(ExchangeFailure) -> Void) -> Bool {
        do throws(ExchangeFailure) {
            try body()
            return true
        } catch {
            failure = failure ?? error
            return false
        }
    }
}

/// A libcurl handle with its connections. It is used by one thread at a time.
@safe final class EasyHandle {
    // Made in init, freed in deinit, never handed out.
    private let handle: UnsafeMutableRawPointer

    /// - Returns: nil where libcurl has no memory or could not be initialised.
    init?() {
        guard libraryCode == 0, let handle = unsafe curl_easy_init() else { return nil }
        unsafe self.handle = unsafe handle
    }

    deinit { unsafe hfj_curl_destroy(handle) }

    /// Asks, and waits for the end of the answer.
    ///
    /// - Parameter certificates: a file or folder to trust in place of the system's, and whether it is a folder.
    /// - Throws: why the answer is not whole. `ExchangeFailure.enough` is no error here.
    func perform(
        _ request: ExchangeRequest, _ exchange: Exchange, _ settings: HubSettings,
        certificates: (path: String, isFolder: Bool)?
    ) throws(ExchangeFailure) {
        var lines = ["Accept-Encoding: identity", "Accept: */*"]
        if let count = request.count {
            lines.append("Range: bytes=\(request.offset)-\(request.offset + count - 1)")
        } else if request.offset > 0 {
            lines.append("Range: bytes=\(request.offset)-")
        }
        if request.json != nil { lines.append("Content-Type: application/json") }
        if let token = request.token { lines.append("Authorization: Bearer \(token.value)") }
        var headers: UnsafeMutablePointer<curl_slist>?
        defer { unsafe curl_slist_free_all(headers) }
        for line in lines {
            guard let longer = unsafe curl_slist_append(headers, line) else { throw .network("no memory") }
            unsafe headers = unsafe longer
        }
        let connect = max(1, Int(settings.connectTimeout / .milliseconds(1)))
        let code = unsafe request.address.text.withCString { url in
            unsafe settings.userAgent.withCString { userAgent in
                unsafe (certificates?.path ?? "").withCString { trusted in
                    let isFolder = certificates?.isFolder ?? false
                    return unsafe (request.json ?? []).withUnsafeBytes { body in
                        var raw = unsafe hfj_exchange(
                            url: url, user_agent: userAgent, headers: headers,
                            certificate_file: certificates == nil || isFolder ? nil : trusted,
                            certificate_folder: isFolder ? trusted : nil, is_head: request.isHead ? 1 : 0,
                            is_post: request.json == nil ? 0 : 1, body: body.baseAddress, body_length: body.count,
                            // The token may go to this machine unencrypted, so it must not go through a proxy on another.
                            bypasses_proxy: request.address.origin.isLoopback ? 1 : 0, connect_milliseconds: connect,
                            on_header: takeHeader, on_body: takeBody,
                            on_progress: look,
                            // The callbacks are only called while `perform` runs, which keeps the exchange alive.
                            context: Unmanaged.passUnretained(exchange).toOpaque())
                        return withExtendedLifetime(exchange) { unsafe hfj_curl_perform(handle, &raw) }
                    }
                }
            }
        }
        if let failure = exchange.failure {
            if case .enough = failure { return }
            throw failure
        }
        if code != 0 { throw Self.failure(CURLcode(UInt32(code))) }
        guard exchange.head.isComplete else { throw .malformed("no headers") }
    }

    private static func failure(_ code: CURLcode) -> ExchangeFailure {
        // libcurl's general words for the code: they name neither URL nor header.
        let words = unsafe String(cString: unsafe curl_easy_strerror(code))
        return code == CURLE_OPERATION_TIMEDOUT ? .timeout(words) : .network(words)
    }
}

/// What curl_global_init(3) said, which is called once.
private let libraryCode = hfj_curl_initialize()

private func exchange(_ context: UnsafeMutableRawPointer?) -> Exchange? {
    guard let context = unsafe context else { return nil }
    return unsafe Unmanaged<Exchange>.fromOpaque(context).takeUnretainedValue()
}

private func takeHeader(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let exchange = unsafe exchange(context) else { return 0 }
    let line = unsafe Array(UnsafeRawBufferPointer(start: bytes, count: size * count))
    return exchange.takeHeader(line) ? line.count : 0
}

private func takeBody(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let exchange = unsafe exchange(context) else { return 0 }
    let length = size * count
    // libcurl's buffer is good until this returns, and a span cannot outlive it.
    let isTaken = unsafe UnsafeRawBufferPointer(start: bytes, count: length).withMemoryRebound(to: UInt8.self) {
        unsafe exchange.takeBody(Span(_unsafeElements: $0))
    }
    return isTaken ? length : 0
}

private func look(
    _ context: UnsafeMutableRawPointer?, _: curl_off_t, _: curl_off_t, _: curl_off_t, _: curl_off_t
) -> Int32 {
    guard let exchange = unsafe exchange(context) else { return 1 }
    return exchange.look() ? 0 : 1
}
