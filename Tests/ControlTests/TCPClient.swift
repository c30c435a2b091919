import Foundation
import Glibc
import TestSupport
import Testing

/// A connection over TCP to this machine.
final class TCPConnection {
    private let descriptor: Int32

    /// - Returns: nil when nobody listens.
    init?(_ port: UInt16, isSix: Bool = false) {
        descriptor = socket(isSix ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let isConnected: Bool
        if isSix {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            address.sin6_addr = in6addr_loopback
            isConnected = unsafe withUnsafeBytes(of: &address) { bytes in
                let pointer = unsafe bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
                return unsafe connect(descriptor, pointer, socklen_t(bytes.count)) == 0
            }
        } else {
            var address = loopback(port)
            isConnected = unsafe withUnsafeBytes(of: &address) { bytes in
                let pointer = unsafe bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
                return unsafe connect(descriptor, pointer, socklen_t(bytes.count)) == 0
            }
        }
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard isConnected else { return nil }
    }

    deinit { close(descriptor) }

    /// - Returns: nil when the connection is closed without an answer.
    func ask(_ method: String, _ target: String, _ headers: [String] = []) -> SocketAnswer? {
        let lines = ["\(method) \(target) HTTP/1.1", "Host: localhost", "Connection: close"]
        let text = (headers.isEmpty ? lines : [lines[0], lines[2]] + headers).joined(separator: "\r\n") + "\r\n\r\n"
        let bytes = Array(text.utf8)
        let sent = unsafe bytes.withUnsafeBytes {
            unsafe send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        guard sent == bytes.count else { return nil }
        var all = Data()
        while true {
            let more = receive()
            if more.isEmpty { return SocketAnswer(all) }
            all += more
        }
    }

    /// Some bytes; empty at the end.
    func receive() -> Data {
        var room = [UInt8](repeating: 0, count: 65536)
        let count = unsafe room.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
        return Data(room.prefix(max(0, count)))
    }
}

/// Somebody else who listens at a port.
final class Listener {
    private let descriptor: Int32

    /// - Parameter port: 0 for any.
    init?(_ port: UInt16) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = loopback(port)
        let isBound = unsafe withUnsafeBytes(of: &address) { bytes in
            let pointer = unsafe bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
            return unsafe bind(descriptor, pointer, socklen_t(bytes.count)) == 0
        }
        guard isBound, listen(descriptor, 1) == 0 else {
            close(descriptor)
            return nil
        }
    }

    func end() { close(descriptor) }

    var port: UInt16 {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        unsafe withUnsafeMutableBytes(of: &address) { bytes in
            let pointer = unsafe bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
            _ = unsafe getsockname(descriptor, pointer, &size)
        }
        return UInt16(bigEndian: address.sin_port)
    }
}

/// A port that nobody listens at now.
func freePort() throws -> UInt16 {
    let listener = try #require(Listener(0))
    defer { listener.end() }
    return listener.port
}

private func loopback(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
}
