internal import Foundation

/// One proof with one client: a Python function that says what it found wrong.
package struct Proof: Sendable, Hashable, CustomStringConvertible {
    /// What it says of itself, one line of JSON.
    package struct Outcome: Decodable, Sendable {
        /// What is wrong, a sentence each.
        package var failures: [String]
        /// Why it could not be tried; nil when it was.
        package var skipped: String?
    }

    package var name: String
    package var client: String

    package var description: String { "\(client)/\(name)" }
}

/// The proofs of one folder of `Tests`, each run once: with the built program, and the interpreter that has the client.
package final class Proofs: @unchecked Sendable {
    /// Those of the retention commands.
    package static let retention = Proofs(folder: "RetentionIntegration", workers: 4, first: ["race"])
    /// Those of fetching and repairing.
    package static let repair = Proofs(folder: "RepairIntegration", workers: 4, first: ["scenarios", "servers"])
    /// Those of the daemon.
    package static let daemon = Proofs(
        folder: "DaemonIntegration", workers: 5, first: ["hung-filesystem", "clients", "soak"])

    /// Those of the page in a browser.
    package static let page = Proofs(folder: "PageIntegration", workers: 2, first: ["page-looks"], environment: "page")

    private static let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    private static let clients = ["newest", "v0.36"]

    /// Bounds how many are run at a time, of all folders together.
    private static let places = DispatchSemaphore(value: 7)

    private let script: String
    private let environment: String
    private let workers: Int
    private let first: [String]
    private let condition = NSCondition()
    private var isStarted = false
    private var waiting: [Proof] = []
    private var outcomes: [Proof: Result<Proof.Outcome, any Error>] = [:]

    /// - Parameters:
    ///   - workers: how many are run at a time: each of them mostly waits, for clients to settle or for disks.
    ///   - first: the longest ones, so that nothing waits for them alone in the end.
    ///   - environment: what they need besides the clients.
    private init(folder: String, workers: Int, first: [String], environment: String = "newest") {
        self.environment = environment
        script = Self.package.appending(path: "Tests/\(folder)/proofs.py").path
        self.workers = workers
        self.first = first
    }

    private static func python(_ client: String) -> URL {
        package.appending(path: ".build/python/\(client)/bin/python")
    }

    /// Whether what is missing is to be a failure.
    package static var mustNotSkip: Bool { ProcessInfo.processInfo.environment["HFJANITOR_TESTS_REQUIRE_ALL"] == "1" }

    /// Whether they run: when the clients are there, or when their absence is to be a failure.
    package static var areNeeded: Bool {
        mustNotSkip || clients.allSatisfy { FileManager.default.isExecutableFile(atPath: python($0).path) }
    }

    /// Whether those of this folder run: when besides the clients the environment of that name is there.
    package var haveTheirEnvironment: Bool {
        Self.mustNotSkip
            || Self.areNeeded && FileManager.default.isExecutableFile(atPath: Self.python(environment).path)
    }

    /// What to do when they do not run.
    package static let advice =
        "SKIPPED: no virtual environments with real clients; make them with Tests/Integration/environments"

    /// All of the folder.
    package func all() throws -> [Proof] {
        guard Self.areNeeded else { return [] }
        let (output, errors) = try command(Self.clients[0], ["--list"])
        let lines = output.split(separator: "\n")
        guard !lines.isEmpty else { throw SetupFailure(description: "there are no proofs: \(errors)") }
        return lines.flatMap { line in
            let columns = line.split(separator: "\t")
            return columns[1].split(separator: " ").map { Proof(name: String(columns[0]), client: String($0)) }
        }
    }

    /// What is wrong by one that `all` lists; waits for it. The first call has all of them run.
    package func failures(of proof: Proof) throws -> [String] {
        let outcome = try condition.withLock {
            if !isStarted { start() }
            while true {
                if let outcome = outcomes[proof] { return try outcome.get() }
                condition.wait()
            }
        }
        guard let skipped = outcome.skipped else { return outcome.failures }
        let message = "SKIPPED: \(proof): \(skipped)"
        FileHandle.standardError.write(Data("\(message)\n".utf8))
        return outcome.failures + (Self.mustNotSkip ? [message] : [])
    }

    private func start() {
        isStarted = true
        waiting = (try? all()) ?? []
        waiting = waiting.filter { first.contains($0.name) } + waiting.filter { !first.contains($0.name) }
        for _ in 0..<workers { Thread.detachNewThread { [self] in work() } }
    }

    private func work() {
        while let proof = condition.withLock({ waiting.isEmpty ? nil : waiting.removeFirst() }) {
            Self.places.wait()
            let outcome = Result { try run(proof) }
            Self.places.signal()
            condition.withLock {
                outcomes[proof] = outcome
                condition.broadcast()
            }
        }
    }

    private func run(_ proof: Proof) throws -> Proof.Outcome {
        let (output, errors) = try command(proof.client, [proof.name, "--program", Program.path])
        guard let line = output.split(separator: "\n").last else {
            throw SetupFailure(description: "\(proof.name) said nothing: \(errors)")
        }
        return try JSONDecoder().decode(Proof.Outcome.self, from: Data(line.utf8))
    }

    /// Runs the script to its end. Output goes through files, so that no amount of it can block.
    private func command(_ client: String, _ arguments: [String]) throws -> (output: String, errors: String) {
        let folder = FileManager.default.temporaryDirectory.appending(path: "hfjanitor-proof-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = ["output", "errors"].map { folder.appending(path: $0) }
        for file in files { try Data().write(to: file) }
        let process = Process()
        process.executableURL = Self.python(client)
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
