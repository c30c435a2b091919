import Foundation
import Testing

/// The built program's retention commands on real filesystems, beside real clients and real processes. The proofs are in
/// Tests/RetentionIntegration, whose README says what each of them is about.
@Suite(.serialized, .enabled(if: Proofs.areNeeded, Proofs.advice))
struct RetentionProofTests {
    @Test(arguments: try Proofs.all())
    func holds(_ proof: Proof) throws {
        let result = try proof.result()
        if let skipped = result.skipped {
            let message = "SKIPPED: \(proof.testDescription): \(skipped)"
            FileHandle.standardError.write(Data("\(message)\n".utf8))
            if Proofs.mustNotSkip { Issue.record(Comment(rawValue: message)) }
        }
        for failure in result.failures { Issue.record(Comment(rawValue: failure)) }
    }
}

/// One proof with one client.
struct Proof: Sendable, CustomTestStringConvertible {
    /// What it says of itself, one line of JSON.
    struct Result: Decodable {
        var failures: [String]
        var skipped: String?
    }

    var name: String
    var client: String

    var testDescription: String { "\(client)/\(name)" }

    func result() throws -> Result {
        let outcome = try Proofs.run(
            Proofs.python(client), [Proofs.script, name, "--program", Proofs.program.path])
        guard let line = outcome.output.split(separator: "\n").last else {
            throw ProofFailed(description: "\(name) said nothing: \(outcome.errors)")
        }
        return try JSONDecoder().decode(Result.self, from: Data(line.utf8))
    }
}

struct ProofFailed: Error, CustomStringConvertible {
    var description: String
}

/// Where proofs are, and how they are run.
enum Proofs {
    static let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let script = package.appending(path: "Tests/RetentionIntegration/proofs.py").path
    /// Beside the test bundle, which it is built with.
    static let program = Bundle.main.bundleURL.resolvingSymlinksInPath().appending(path: "hfjanitor")
    static let clients = ["newest", "v0.36"]

    static func python(_ client: String) -> URL { package.appending(path: ".build/python/\(client)/bin/python") }

    static var mustNotSkip: Bool { ProcessInfo.processInfo.environment["HFJANITOR_TESTS_REQUIRE_ALL"] == "1" }

    /// Whether they run: when the clients are there, or when their absence is to be a failure.
    static var areNeeded: Bool {
        mustNotSkip || clients.allSatisfy { FileManager.default.isExecutableFile(atPath: python($0).path) }
    }

    static let advice: Comment =
        "SKIPPED: no virtual environments with real clients; make them with Tests/Integration/environments"

    static func all() throws -> [Proof] {
        guard areNeeded else { return [] }
        let outcome = try run(python(clients[0]), [script, "--list"])
        let lines = outcome.output.split(separator: "\n")
        guard !lines.isEmpty else { throw ProofFailed(description: "there are no proofs: \(outcome.errors)") }
        return lines.flatMap { line in
            let columns = line.split(separator: "\t")
            return columns[1].split(separator: " ").map { Proof(name: String(columns[0]), client: String($0)) }
        }
    }

    /// Runs a command to its end. Output goes through files, so that no amount of it can block.
    static func run(_ program: URL, _ arguments: [String]) throws -> (output: String, errors: String) {
        let folder = FileManager.default.temporaryDirectory.appending(path: "hfjanitor-proof-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = ["output", "errors"].map { folder.appending(path: $0) }
        for file in files { try Data().write(to: file) }
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: files[0])
        process.standardError = try FileHandle(forWritingTo: files[1])
        try process.run()
        process.waitUntilExit()
        let texts = try files.map { String(decoding: try Data(contentsOf: $0), as: UTF8.self) }
        return (texts[0], texts[1])
    }
}
