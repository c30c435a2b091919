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
        try self.init(arguments: arguments, environment: environment, input: input, result: -1)
    }

    /// - Parameter result: what its standard output is; -1 for nothing.
    private init(
        arguments: [String], environment: [String], input: [UInt8], result: Int32
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
                            return unsafe hfj_spawn(arguments, environment, base, bytes.count, result)
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

extension ChildProgram {
    /// What a pipe holds on every system; a program that prints more waits, and is ended.
    private static let outputLimit = 64 << 10

    /// Runs a program to its end and takes what it prints.
    ///
    /// - Parameters:
    ///   - arguments: the first is the program's absolute path.
    ///   - environment: all that it gets, as `NAME=value`.
    ///   - time: after it the program is ended, with what it started.
    /// - Returns: nil when it could not be run, failed, took too long, or printed more than 64 KiB.
    public static func output(of arguments: [String], environment: [String], within time: Duration) -> [UInt8]? {
        var (reading, writing): (Int32, Int32) = (-1, -1)
        guard unsafe hfj_pipe(&reading, &writing) == 0 else { return nil }
        defer { close(reading) }
        let child = try? ChildProgram(arguments: arguments, environment: environment, input: [], result: writing)
        close(writing)
        guard let child, child.waits(for: time) == .exited(0) else { return nil }
        return unsafe [UInt8](unsafeUninitializedCapacity: outputLimit) { buffer, filled in
            while let base = buffer.baseAddress, filled < outputLimit {
                let count = unsafe read(reading, base + filled, outputLimit - filled)
                if count <= 0 { break }
                filled += count
            }
        }
    }

    /// Waits for its end, and ends it, with what it started, when that takes too long. One that hangs in the kernel is left to
    /// itself.
    ///
    /// - Returns: nil when it was ended.
    public func waits(for time: Duration, cancellation: Cancellation = Cancellation()) -> End? {
        if let end = end(before: .now + time, cancellation) { return end }
        kill()
        _ = end(before: .now + .milliseconds(200), Cancellation())
        return nil
    }

    private func end(before deadline: ContinuousClock.Instant, _ cancellation: Cancellation) -> End? {
        var pause: UInt32 = 1
        while true {
            if let end = end() { return end }
            guard .now < deadline, !cancellation.isCancelled else { return nil }
            sleepMilliseconds(pause)
            pause = min(pause * 2, 50)
        }
    }
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
