import Foundation
import Glibc
import HubCache
import Synchronization
import TestSupport
import Testing

/// An answer as it came over the socket.
struct SocketAnswer {
    var status: Int
    var headers: [String: String]
    var body: Data

    /// - Parameter bytes: everything until the other side closed.
    init?(_ bytes: Data) {
        guard let end = bytes.range(of: Data("\r\n\r\n".utf8)) else { return nil }
        let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        guard let words = lines.first?.split(separator: " "), words.count >= 2, let status = Int(words[1]) else {
            return nil
        }
        self.status = status
        headers = Dictionary(
            lines.dropFirst().compactMap { line in
                let parts = line.split(separator: ":", maxSplits: 1)
                return parts.count == 2
                    ? (parts[0].lowercased(), parts[1].trimmingCharacters(in: .whitespaces)) : nil
            }, uniquingKeysWith: { first, _ in first })
        body = Data(bytes[end.upperBound...])
    }

    var text: String { String(decoding: body, as: UTF8.self) }
    var json: [String: Any] {
        (try? JSONSerialization.jsonObject(with: body) as? [String: Any]) ?? [:]
    }
    var code: String? { json["code"] as? String }
}

/// A connection to a Unix socket, with nothing between the test and the bytes.
final class SocketConnection {
    private let descriptor: Int32

    /// - Returns: nil when nobody lets us in.
    init?(_ path: BytePath) {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.text.utf8) + [0]
        let isConnected = unsafe withUnsafeMutableBytes(of: &address.sun_path) { room -> Bool in
            guard bytes.count <= room.count else { return false }
            unsafe room.copyBytes(from: bytes)
            return true
        }
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard isConnected, result == 0 else { return nil }
    }

    /// - Parameter port: on the loopback interface.
    /// - Returns: nil when nobody listens there.
    init?(port: UInt16) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard result == 0 else { return nil }
    }

    deinit { close(descriptor) }

    /// Closes it for both sides.
    func end() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// - Returns: whether all of it was taken.
    @discardableResult
    func send(_ text: String) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return false }
            bytes = bytes.dropFirst(count)
        }
        return true
    }

    /// Some bytes; empty at the end.
    func receive() -> Data {
        var room = [UInt8](repeating: 0, count: 65536)
        let count = unsafe room.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
        return Data(room.prefix(max(0, count)))
    }

    func receiveAll() -> Data {
        var all = Data()
        while true {
            let more = receive()
            if more.isEmpty { return all }
            all += more
        }
    }

    /// Waits until a text has come.
    func receive(until text: String) -> String {
        var all = ""
        while !all.contains(text) {
            let more = receive()
            if more.isEmpty { break }
            all += String(decoding: more, as: UTF8.self)
        }
        return all
    }
}

private final class Words: Sendable {
    let data = Mutex(Data())
}

/// A real daemon with a control socket of its own.
final class ControlledDaemon {
    private let program: StartedProgram
    private let runtime: BytePath
    private let state: BytePath
    let path: BytePath
    private let said = Words()

    /// What it said on standard error so far.
    var words: String { said.data.withLock { String(decoding: $0, as: UTF8.self) } }

    /// - Parameters:
    ///   - policy: its text.
    ///   - wrapper: a command that becomes the daemon.
    init(
        _ cache: TestCache, policy: String = "mode: observe\n", namesCache: Bool = true,
        environment: [String: String] = [:],
        wrapper: [String] = []
    ) throws {
        try cache.outer.write("policy.yaml", policy)
        for folder in ["run", "state"] where !cache.outer.exists(BytePath(folder)) {
            try cache.outer.makeFolder(BytePath(folder))
        }
        runtime = cache.outer.path.appending("run")
        state = cache.outer.path.appending("state")
        path = runtime.appending("hfjanitor/control.sock")
        program = try Program.start(
            ["daemon", "--policy", cache.outer.path.appending("policy.yaml").text]
                + (namesCache ? ["--cache", cache.path.text] : []),
            environment: [
                "XDG_STATE_HOME": state.text, "XDG_RUNTIME_DIR": runtime.text, "HF_HUB_OFFLINE": "1",
            ].merging(environment) { $1 }, wrapper: wrapper)
        // What it says is to be read, or it would wait for that.
        let (handle, said) = (program.errors.fileHandleForReading, said)
        Thread.detachNewThread {
            while case let more = handle.availableData, !more.isEmpty { said.data.withLock { $0 += more } }
        }
        let isReady = wait { self.tryToAsk("GET", "/healthz")?.json["status"] as? String == "ok" }
        try #require(isReady, "the daemon is not ready")
    }

    deinit { if isRunning { kill(processID, SIGKILL) } }

    var processID: Int32 { program.process.processIdentifier }
    var isRunning: Bool { program.process.isRunning }

    /// What commands need to find it.
    var environment: [String: String] { ["XDG_STATE_HOME": state.text, "XDG_RUNTIME_DIR": runtime.text] }

    func stop() -> Int32 {
        kill(processID, SIGTERM)
        program.process.waitUntilExit()
        return program.process.terminationStatus
    }

    /// Waits until something is so, as long as any machine may take.
    func wait(until isSo: () -> Bool) -> Bool {
        let end = Date().addingTimeInterval(90)
        while Date() < end {
            if isSo() { return true }
            if !isRunning { return false }
            usleep(20_000)
        }
        return false
    }

    func ask(_ method: String, _ target: String, _ body: String? = nil, headers: [String] = []) throws -> SocketAnswer {
        try #require(
            tryToAsk(method, target, body, headers: headers), "no answer to \(method) \(target)")
    }

    /// - Returns: nil when nobody answers.
    func tryToAsk(_ method: String, _ target: String, _ body: String? = nil, headers: [String] = []) -> SocketAnswer? {
        guard let connection = SocketConnection(path) else { return nil }
        var lines = ["\(method) \(target) HTTP/1.1", "Connection: close"] + headers
        if !headers.contains(where: { $0.hasPrefix("Host:") }) { lines.append("Host: localhost") }
        if let body { lines.append("Content-Length: \(body.utf8.count)") }
        connection.send(lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? ""))
        return SocketAnswer(connection.receiveAll())
    }
}
