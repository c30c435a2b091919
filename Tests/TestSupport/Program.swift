package import Foundation
internal import Glibc

/// One run of the built program.
package struct ProgramRun: Sendable {
    /// The exit code; 128 and the signal's number when a signal ended it, as shells count.
    package var status: Int32
    /// Whether a signal ended it, and which.
    package var signal: Int32?
    package var output: String
    package var errors: String

    /// The output as JSON.
    package var json: [String: Any] {
        get throws {
            guard let object = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any] else {
                throw SetupFailure(description: "not a JSON object: \(output)")
            }
            return object
        }
    }
}

/// The built program.
package enum Program {
    /// Where it is: beside the test bundle.
    package static var path: String {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let arguments = ([own] + CommandLine.arguments).filter { $0.contains("/.build/") || $0.contains(".xctest") }
        for argument in arguments {
            let candidate = URL(fileURLWithPath: argument).deletingLastPathComponent().appendingPathComponent(
                "hfjanitor")
            if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate.path }
        }
        return "hfjanitor"
    }

    /// Runs it to its end.
    ///
    /// - Parameters:
    ///   - environment: the whole of its environment; a home of its own so that nothing of this machine's user is read.
    ///   - user: runs as this uid; needs root.
    package static func run(
        _ arguments: [String], environment: [String: String] = [:], folder: String = "/", user: UInt32? = nil,
        wrapper: [String] = []
    ) throws -> ProgramRun {
        let process = try start(
            arguments, environment: environment, folder: folder, user: user, wrapper: wrapper)
        let errors = Pump(process.errors)
        let output = process.output.fileHandleForReading.readDataToEndOfFile()
        process.process.waitUntilExit()
        return ProgramRun(
            process.process, output: String(decoding: output, as: UTF8.self),
            errors: String(decoding: errors.finish(), as: UTF8.self))
    }

    /// Starts it.
    package static func start(
        _ arguments: [String], environment: [String: String] = [:], folder: String = "/", user: UInt32? = nil,
        wrapper: [String] = []
    ) throws -> StartedProgram {
        var command = wrapper
        if let user {
            command += ["/usr/bin/setpriv", "--reuid=\(user)", "--regid=\(user)", "--clear-groups", "--inh-caps=-all"]
        }
        command += [path] + arguments
        let process = Process()
        process.executableURL = URL(fileURLWithPath: command[0])
        process.arguments = Array(command.dropFirst())
        // A home of its own, so that no run remembers what another one found.
        let home = FileManager.default.temporaryDirectory.appendingPathComponent("hfj-home-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: home, withIntermediateDirectories: true)
        if let user { try FileManager.default.setAttributes([.ownerAccountID: user], ofItemAtPath: home.path) }
        process.terminationHandler = { _ in try? FileManager.default.removeItem(at: home) }
        // And a socket of its own: as root all would share the machine's.
        var own = ["HOME": home.path, "PATH": "/usr/bin:/bin"]
        // What a sanitizer is told is meant for the program too.
        own.merge(ProcessInfo.processInfo.environment.filter { $0.key.hasSuffix("SAN_OPTIONS") }) { mine, _ in mine }
        if environment["XDG_RUNTIME_DIR"] == nil { own["HFJANITOR_SOCKET"] = home.path + "/control.sock" }
        process.environment = own.merging(environment) { _, new in new }
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        let output = Pipe()
        let errors = Pipe()
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        // Threads of the test runner block signals, and a program inherits that.
        var none = sigset_t()
        var usual = sigset_t()
        unsafe sigemptyset(&none)
        unsafe pthread_sigmask(SIG_SETMASK, &none, &usual)
        defer { unsafe pthread_sigmask(SIG_SETMASK, &usual, nil) }
        try process.run()
        return StartedProgram(process: process, output: output, errors: errors)
    }
}

/// A run that has begun.
package struct StartedProgram {
    package let process: Process
    package let output: Pipe
    package let errors: Pipe
}

extension ProgramRun {
    package init(_ process: Process, output: String, errors: String) {
        let isSignal = process.terminationReason == .uncaughtSignal
        self.init(
            status: isSignal ? 128 + process.terminationStatus : process.terminationStatus,
            signal: isSignal ? process.terminationStatus : nil, output: output, errors: errors)
    }
}

/// Reads a pipe on a thread of its own, so that a program that writes much to both of its outputs never waits.
private final class Pump: @unchecked Sendable {
    private var data = Data()
    private let done = DispatchSemaphore(value: 0)

    init(_ pipe: Pipe) {
        let handle = pipe.fileHandleForReading
        Thread.detachNewThread { [self] in
            data = handle.readDataToEndOfFile()
            done.signal()
        }
    }

    func finish() -> Data {
        done.wait()
        return data
    }
}
