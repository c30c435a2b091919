import Foundation
import Glibc
import HubCache
import TestSupport
import Testing

/// A test that could not set up what it needs.
struct CannotTest: Error, CustomStringConvertible {
    let description: String
}

/// A Unix datagram socket that a test receives on, as the service manager does.
final class Receiver: Sendable {
    let descriptor: Int32
    /// What `NOTIFY_SOCKET` has to be.
    let variable: String

    /// - Parameter variable: a path, or `@` and an abstract name.
    init(_ variable: String) throws {
        self.variable = variable
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        try bindSocket(descriptor, variable)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// The next message; nil when none came for long.
    func next() -> String? {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
        return count < 0 ? nil : String(decoding: buffer.prefix(count), as: UTF8.self)
    }

    /// Whether a message waits.
    var isEmpty: Bool {
        var byte: UInt8 = 0
        return unsafe recv(descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) < 0
    }
}

/// bind(2) to a path, or to an abstract name after `@`.
func bindSocket(_ descriptor: Int32, _ variable: String) throws {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var name = Array(variable.utf8)
    if name.first == UInt8(ascii: "@") { name[0] = 0 }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
    let length = socklen_t(2 + name.count)
    let result = unsafe withUnsafePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(descriptor, $0, length) }
    }
    guard result == 0 else { throw CannotTest(description: "bind \(variable): errno \(errno)") }
}

/// Skips a test where something is missing; where nothing may be, it fails.
func need(_ isThere: Bool, _ what: String) throws {
    guard !isThere else { return }
    if ProcessInfo.processInfo.environment["HFJANITOR_TESTS_REQUIRE_ALL"] == "1" {
        throw CannotTest(description: "this test needs \(what)")
    }
    try Test.cancel("this test needs \(what)")
}

/// Skips a test where the tests do not run as root, which no package can put right.
func needRoot() throws {
    if !isRoot { try Test.cancel("this test needs root") }
}

/// Skips a test where root may not do what root usually may, as in most containers.
func needNamespaces() throws {
    if try run("unshare", ["--mount", "--pid", "--fork", "true"]).status != 0 {
        try Test.cancel("this test needs namespaces, which may not be made here")
    }
}

/// Where a command is; nil when it is not installed.
func find(_ command: String) -> String? {
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/lib/systemd", "/lib/systemd"].map { "\($0)/\(command)" }
        .first { FileManager.default.isExecutableFile(atPath: $0) }
}

/// What a command printed, and how it ended.
struct CommandRun {
    var status: Int32
    var output: String
    var errors: String
    /// Both outputs.
    var everything: String { output + errors }
}

/// Runs a command to its end.
func run(_ command: String, _ arguments: [String], environment: [String: String] = [:]) throws -> CommandRun {
    guard let path = find(command) ?? (command.hasPrefix("/") ? command : nil) else {
        throw CannotTest(description: "no \(command) here")
    }
    // Files and not pipes: what is left running by the command would hold a pipe open.
    let folder = try TestFolder()
    defer { folder.remove() }
    for name in ["output", "errors"] { try folder.write(BytePath(name), "") }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"].merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle(forWritingAtPath: "\(folder.path)/output")
    process.standardError = FileHandle(forWritingAtPath: "\(folder.path)/errors")
    // Threads of the test runner block signals, and a command inherits that.
    var none = sigset_t()
    var usual = sigset_t()
    unsafe sigemptyset(&none)
    unsafe pthread_sigmask(SIG_SETMASK, &none, &usual)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &usual, nil) }
    try process.run()
    process.waitUntilExit()
    let isSignal = process.terminationReason == .uncaughtSignal
    return CommandRun(
        status: isSignal ? 128 + process.terminationStatus : process.terminationStatus,
        output: try String(contentsOfFile: "\(folder.path)/output", encoding: .utf8),
        errors: try String(contentsOfFile: "\(folder.path)/errors", encoding: .utf8))
}

/// The source tree.
let sourceTree = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
