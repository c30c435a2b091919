internal import CLinux
internal import Glibc
public import HubCache

/// A bell that one thread rings and another waits for. Rung several times before somebody listens, it is heard once.
public final class WakeUp: Sendable {
    private let descriptor: OwnedDescriptor

    /// Makes one that has not rung.
    ///
    /// - Throws: `SystemCallFailure` as eventfd(2).
    public init() throws(SystemCallFailure) {
        let number = try checked("eventfd", .empty) { hfj_event_open() }
        descriptor = OwnedDescriptor(adopting: number)
    }

    /// The descriptor that is readable while it rings.
    package var raw: Int32 { descriptor.raw }

    /// Rings, from any thread.
    public func ring() { hfj_event_signal(descriptor.raw) }

    /// Silences it.
    public func clear() { hfj_event_clear(descriptor.raw) }

    /// Waits until it rings, and silences it.
    ///
    /// - Parameter nanoseconds: how long at most; nil for ever.
    public func wait(atMost nanoseconds: UInt64?) {
        _ = waitForInput([PolledInput(raw)], atMost: nanoseconds)
        clear()
    }
}

/// A descriptor that is waited for.
package struct PolledInput {
    package let descriptor: Int32
    package let isMountTable: Bool

    package init(_ descriptor: Int32, isMountTable: Bool = false) {
        self.descriptor = descriptor
        self.isMountTable = isMountTable
    }
}

/// Waits until one of several descriptors has something to read, at most for a time.
///
/// - Returns: for each whether it has.
package func waitForInput(_ inputs: [PolledInput], atMost nanoseconds: UInt64?) -> [Bool] {
    var polled = inputs.map { input in
        pollfd(fd: input.descriptor, events: Int16(input.isMountTable ? POLLPRI : POLLIN), revents: 0)
    }
    // Rounded up: a wait that is too short would be a loop without rest.
    let milliseconds = nanoseconds.map { Int32(clamping: ($0 &+ 999_999) / 1_000_000) } ?? -1
    let count = nfds_t(polled.count)
    // Interrupted by a signal, it has nothing: the caller looks at its clock and comes back.
    guard unsafe poll(&polled, count, milliseconds) > 0 else { return inputs.map { _ in false } }
    return polled.map { $0.revents != 0 }
}

/// The mounts that this process sees, and word of their changes: `/proc/self/mountinfo`, proc_pid_mountinfo(5).
public final class MountTable: Sendable {
    private let descriptor: OwnedDescriptor

    /// Opens the table.
    ///
    /// - Throws: `SystemCallFailure` where there is no `/proc`.
    public init() throws(SystemCallFailure) {
        descriptor = try OwnedDescriptor.open(trustedPath: "/proc/self/mountinfo")
    }

    /// The descriptor on which poll(2) tells of each change once, as POLLPRI.
    package var raw: Int32 { descriptor.raw }

    /// One mount.
    public struct Entry: Hashable, Sendable {
        /// Where it is mounted.
        public var point: BytePath
        /// The whole line.
        public var line: [UInt8]

        /// Whether both are one mount, with the same options or others.
        public func isSameMount(as other: Entry) -> Bool { identity == other.identity }

        /// Its id, its parent's, the device and what of it is mounted.
        private var identity: ArraySlice<UInt8> {
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 4)
            return fields.count > 4 ? line[..<fields[4].startIndex] : line[...]
        }
    }

    /// The mounts at a folder, below it and above it; nil where the table cannot be read or is huge. Asks no filesystem.
    ///
    /// - Parameter folder: absolute, without links.
    public static func entries(concerning folder: BytePath) -> [Entry]? {
        guard let file = try? OwnedDescriptor.open(trustedPath: "/proc/self/mountinfo"),
            let content = try? file.readAll(limit: 8 << 20)
        else { return nil }
        return content.split(separator: UInt8(ascii: "\n")).compactMap { line in
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
            guard fields.count > 4 else { return nil }
            let point = BytePath(bytes: unescape(fields[4]))
            let concerns = point == "/" || folder.relative(to: point) != nil || point.relative(to: folder) != nil
            return concerns ? Entry(point: point, line: Array(line)) : nil
        }
    }

    /// Space, tab, newline and backslash are written as a backslash and three octal digits.
    private static func unescape(_ field: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        var rest = field
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == UInt8(ascii: "\\"), digits.count == 3, digits.allSatisfy({ (0x30...0x37).contains($0) }) {
                result.append(UInt8(truncatingIfNeeded: digits.reduce(0) { $0 << 3 | Int($1 - 0x30) }))
                rest = rest.dropFirst(3)
            } else {
                result.append(byte)
            }
        }
        return result
    }
}
