import Foundation
import Testing

/// One proof with one client.
struct Proof: Sendable, Hashable, CustomTestStringConvertible {
    /// What it says of itself, one line of JSON.
    struct Outcome: Decodable {
        var failures: [String]
        var skipped: String?
    }

    /// Where it is, in `Tests`.
    var folder: String
    var name: String
    var client: String

    var testDescription: String { "\(client)/\(name)" }

    func run() throws -> Outcome {
        let (output, errors) = try Proofs.command(
            client, ["--of", Proofs.tests.appending(path: folder).path, name, "--program", Proofs.program.path])
        guard let line = output.split(separator: "\n").last else {
            throw ProofFailed(description: "\(name) said nothing: \(errors)")
        }
        return try JSONDecoder().decode(Outcome.self, from: Data(line.utf8))
    }
}

struct ProofFailed: Error, CustomStringConvertible {
    var description: String
}

/// Where proofs are, and how they are run.
enum Proofs {
    static let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let tests = package.appending(path: "Tests")
    static let script = tests.appending(path: "RetentionIntegration/proofs.py").path
    static let folders = ["RetentionIntegration", "RepairIntegration"]
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

    /// The proofs of a folder.
    static func all(of folder: String) throws -> [Proof] {
        guard areNeeded else { return [] }
        let (output, errors) = try command(clients[0], ["--of", tests.appending(path: folder).path, "--list"])
        let lines = output.split(separator: "\n")
        guard !lines.isEmpty else { throw ProofFailed(description: "there are no proofs: \(errors)") }
        return lines.flatMap { line in
            let columns = line.split(separator: "\t")
            return columns[1].split(separator: " ").map {
                Proof(folder: folder, name: String(columns[0]), client: String($0))
            }
        }
    }

    /// Runs the script to its end. Output goes through files, so that no amount of it can block.
    static func command(_ client: String, _ arguments: [String]) throws -> (output: String, errors: String) {
        let folder = FileManager.default.temporaryDirectory.appending(path: "hfjanitor-proof-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = ["output", "errors"].map { folder.appending(path: $0) }
        for file in files { try Data().write(to: file) }
        let process = Process()
        process.executableURL = python(client)
        process.arguments = [script] + arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: files[0])
        process.standardError = try FileHandle(forWritingTo: files[1])
        try process.run()
        process.waitUntilExit()
        let texts = try files.map { String(decoding: try Data(contentsOf: $0), as: UTF8.self) }
        return (texts[0], texts[1])
    }
}

/// Runs all proofs, a few at a time: each of them mostly waits, for clients to settle or for disks.
final class ProofRuns: @unchecked Sendable {
    static let shared = ProofRuns()

    private static let workers = 4
    private let condition = NSCondition()
    private var waiting: [Proof] = []
    private var outcomes: [Proof: Result<Proof.Outcome, any Error>] = [:]

    private init() {
        waiting = Proofs.folders.flatMap { (try? Proofs.all(of: $0)) ?? [] }
        // The longest first, so that nothing waits for it alone in the end.
        if let race = waiting.firstIndex(where: { $0.name == "race" }) { waiting.swapAt(0, race) }
        for _ in 0..<Self.workers { Thread.detachNewThread { [self] in work() } }
    }

    private func work() {
        while let proof = next() {
            let outcome = Result { try proof.run() }
            condition.withLock {
                outcomes[proof] = outcome
                condition.broadcast()
            }
        }
    }

    private func next() -> Proof? { condition.withLock { waiting.isEmpty ? nil : waiting.removeFirst() } }

    /// Waits for the outcome of one that `Proofs.all` lists.
    func outcome(of proof: Proof) throws -> Proof.Outcome {
        try condition.withLock {
            while true {
                if let outcome = outcomes[proof] { return try outcome.get() }
                condition.wait()
            }
        }
    }
}
