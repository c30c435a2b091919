import Foundation

/// What a finished command left behind.
struct Outcome {
    var status: Int32
    var output: Data
    var errors: String

    var text: String { String(decoding: output, as: UTF8.self) }
}

/// A command of which a test cannot go on without the result.
struct CommandFailed: Error, CustomStringConvertible {
    var description: String
}

/// Where things are: the package, the products of this build, and what the tests write.
enum Places {
    static let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The folder of the test bundle, which the program is built into as well.
    static let products = Bundle.main.bundleURL.resolvingSymlinksInPath()

    static let program = products.appending(path: "hfjanitor")

    /// Emptied at the start of a run and left at its end, to look at what failed.
    static let scratch: URL = {
        let folder = products.appending(path: "integration-tests")
        try? FileManager.default.removeItem(at: folder)
        return folder
    }()

    static func emptyFolder(_ name: String) throws -> URL {
        let folder = scratch.appending(path: name)
        try? FileManager.default.removeItem(at: folder)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }
}

/// Runs a command to its end. Output goes through files, so that no amount of it can block.
func run(_ program: URL, _ arguments: [String], environment: [String: String]? = nil) throws -> Outcome {
    let folder = try Places.emptyFolder("output-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let files = ["output", "errors"].map { folder.appending(path: $0) }
    for file in files {
        try Data().write(to: file)
    }
    let process = Process()
    process.executableURL = program
    process.arguments = arguments
    if let environment {
        process.environment = environment
    }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: files[0])
    process.standardError = try FileHandle(forWritingTo: files[1])
    try process.run()
    process.waitUntilExit()
    let status = process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
    return Outcome(
        status: status, output: try Data(contentsOf: files[0]),
        errors: String(decoding: try Data(contentsOf: files[1]), as: UTF8.self))
}

/// Runs a shell line whose failure is the test's own.
func shell(_ line: String) throws -> String {
    let variables = ["PATH": "/usr/bin:/bin", "LC_ALL": "C"]
    let outcome = try run(URL(filePath: "/bin/sh"), ["-euc", line], environment: variables)
    guard outcome.status == 0 else {
        throw CommandFailed(description: "\(line): \(outcome.errors)")
    }
    return outcome.text
}

/// A user of the program: a home of its own, so that nothing remembered leaks from one check into another.
struct User {
    var home: URL

    init(_ name: String) throws {
        home = try Places.emptyFolder("homes/\(name)")
    }

    func hfjanitor(_ arguments: [String]) throws -> Outcome {
        let variables = [
            "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "HOME": home.path,
            "XDG_STATE_HOME": home.path + "/state", "XDG_CACHE_HOME": home.path + "/cache",
            "XDG_RUNTIME_DIR": home.path + "/run", "XDG_CONFIG_HOME": home.path + "/config",
        ]
        return try run(Places.program, arguments, environment: variables)
    }
}
