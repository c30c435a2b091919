internal import CSystemd
internal import Glibc
internal import HubCache
internal import LinuxIO

/// A socket that sends datagrams to one name. Any thread may send.
///
/// The name is looked up for each datagram, so that a receiver that was restarted is found again.
final class DatagramSocket: Sendable {
    private let descriptor: OwnedDescriptor
    private let name: SocketName

    /// - Parameter milliseconds: the longest that one send waits for room in the receiver's queue.
    init(to name: SocketName, milliseconds: UInt32) throws(SystemCallFailure) {
        let number = hfj_datagram_socket(milliseconds)
        guard number >= 0 else { throw SystemCallFailure(call: "socket", errno: number, subject: .empty) }
        self.descriptor = OwnedDescriptor(adopting: number)
        self.name = name
    }

    /// Sends one datagram. 0 or `-errno`.
    func send(_ bytes: [UInt8]) -> Int32 {
        // Both pointers are used during the call only.
        unsafe name.bytes.withUnsafeBytes { address in
            unsafe bytes.withUnsafeBytes { message in
                guard let to = address.baseAddress, let from = message.baseAddress else { return -EINVAL }
                return unsafe hfj_send_datagram(descriptor.raw, to, address.count, from, message.count)
            }
        }
    }

    /// Sends a message of any length in a sealed memory file. 0 or `-errno`.
    func sendInMemory(_ bytes: [UInt8]) -> Int32 {
        unsafe name.bytes.withUnsafeBytes { address in
            unsafe bytes.withUnsafeBytes { message in
                guard let to = address.baseAddress, let from = message.baseAddress else { return -EINVAL }
                return unsafe hfj_send_sealed_memory(descriptor.raw, to, address.count, from, message.count)
            }
        }
    }
}
