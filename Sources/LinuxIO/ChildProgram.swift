internal import CLinux
internal import Glibc
internal import HubCache

/// A program that was started, cut off from this process: a session of its own, no descriptor but a standard input, an
/// environment that is given whole.
public struct ChildProgram: Sendable {
    /// How a program ended.
    public enum End: Sendable, Hashable {
        /// By itself, with a status.
        case exited(Int32)
        /// By a signal.
        case killed(signal: Int32)
    }

    private let process: Int32

    /// Starts one.
    ///
    /// - Parameters:
    ///   - arguments: the first is the program's absolute path. None may have a NUL.
    ///   - environment: all that it gets, as `NAME=value`.
    ///   - input: what its standard input holds.
    /// - Throws: `SystemCallFailure` where it cannot be started.
    public init(
        arguments: [String], environment: [String], input: [UInt8]
    ) throws(SystemCallFailure) {
        guard let path = arguments.first, !(arguments + environment).contains(where: { $0.utf8.contains(0) }) else {
            throw SystemCallFailure(call: "posix_spawn", errno: EINVAL, subject: .empty)
        }
        process = try checked("posix_spawn", BytePath(path)) {
            unsafe withStrings(arguments) { arguments in
                unsafe withStrings(environment) { environment in
                    unsafe input.withUnsafeBytes { bytes in
                        // An empty array has no address; nothing is read of it.
                        var nothing: UInt8 = 0
                        return unsafe withUnsafeBytes(of: &nothing) { empty in
                            guard let base = unsafe bytes.baseAddress ?? empty.baseAddress else { return -EINVAL }
                            return unsafe hfj_spawn(arguments, environment, base, bytes.count)
                        }
                    }
                }
            }
        }
    }

    /// How it ended; nil while it runs. To be asked no more once it said so.
    public func end() -> End? {
        var status: Int32 = 0
        let answer = unsafe hfj_has_ended(process, &status)
        if answer == 0 { return nil }
        // Nobody else waits for our children: one that cannot be waited for is gone.
        guard answer == 1 else { return .exited(-1) }
        let signal = status & 0x7f
        return signal == 0 ? .exited(status >> 8 & 0xff) : .killed(signal: signal)
    }

    /// Ends it and what it started in its process group. Its end is still to be asked for.
    public func kill() { _ = hfj_kill_group(process) }
}

/// Calls with texts as an array of C strings that ends in a null pointer.
private func withStrings<Result>(
    _ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers = unsafe texts.map { unsafe strdup($0) }
    unsafe pointers.append(nil)
    defer { unsafe pointers.forEach { unsafe free($0) } }
    return unsafe pointers.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { preconditionFailure("it holds at least a null pointer") }
        return unsafe body(base)
    }
}
