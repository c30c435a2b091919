internal import Glibc
public import HubCache

/// A system call that failed: which one, on what, and why.
public struct SystemCallFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// The call's name as its man page has it.
    public let call: String
    /// The `errno` it left, a positive number.
    public let errno: Int32
    /// What it was called on, as far as the caller knew; relative to the folder the context names.
    public let subject: BytePath

    /// Makes a failure.
    ///
    /// - Parameter errno: positive, or negative as the kernel returns it.
    public init(call: String, errno: Int32, subject: BytePath) {
        self.call = call
        self.errno = abs(errno)
        self.subject = subject
    }

    /// The error's own words, such as `Permission denied`.
    public var reason: String { describeErrno(errno) }

    /// One sentence without a full stop: what happened, to what.
    public var description: String {
        subject.isEmpty ? "\(call): \(reason)" : "\(call) of '\(subject.display)': \(reason)"
    }

    /// Whether the name was not there (any more).
    public var isAbsent: Bool { errno == ENOENT || errno == ENOTDIR }
    /// Whether permission was lacking.
    public var isPermission: Bool { errno == EACCES || errno == EPERM }
    /// Whether a symbolic link stood where none may be followed.
    public var isLink: Bool { errno == ELOOP }
}

/// The words for an `errno`.
public func describeErrno(_ number: Int32) -> String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        unsafe buffer.initialize(repeating: 0)
        guard let base = buffer.baseAddress, unsafe strerror_r(number, base, buffer.count) == 0 else {
            return "error \(number)"
        }
        return unsafe String(cString: base)
    }
}

/// Calls again while a signal interrupted the call, and turns a negative result into a failure.
///
/// - Parameters:
///   - call: the call's name, for the failure.
///   - subject: what it is called on, for the failure.
///   - body: returns a result, or `-errno`.
/// - Throws: `SystemCallFailure` for any `errno` but `EINTR`.
@inline(__always)
func checked<Result: BinaryInteger>(
    _ call: @autoclosure () -> String, _ subject: @autoclosure () -> BytePath, _ body: () -> Result
) throws(SystemCallFailure) -> Result {
    while true {
        let result = body()
        if result >= 0 { return result }
        let errno = Int32(truncatingIfNeeded: -Int64(result))
        if errno == EINTR { continue }
        throw SystemCallFailure(call: call(), errno: errno, subject: subject())
    }
}

extension SystemCallFailure {
    /// `ESTALE`: what was opened is no longer what was looked at.
    public static let staleNumber: Int32 = ESTALE
    /// `EADDRINUSE`: somebody listens there.
    public static let addressInUseNumber: Int32 = EADDRINUSE
    /// `ENOSPC`: no room, or a limit of the user's is reached.
    public static let noSpaceNumber: Int32 = ENOSPC
    /// `ENOTDIR`.
    public static let notAFolderNumber: Int32 = ENOTDIR
    /// `EISDIR`.
    public static let isAFolderNumber: Int32 = EISDIR
}

extension SystemCallFailure {
    /// `EEXIST`: the name is taken.
    public static let existsNumber: Int32 = EEXIST
    /// `EOPNOTSUPP`: the filesystem cannot.
    public static let unsupportedNumber: Int32 = EOPNOTSUPP
}
