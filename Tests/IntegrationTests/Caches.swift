import Foundation
import Testing

/// The virtual environments that hold real clients.
enum ClientEnvironment: String, CaseIterable, Sendable {
    case newest
    case lastBeforeOne = "v0.36"

    var python: URL { Places.package.appending(path: ".build/python/\(rawValue)/bin/python") }

    /// Whether every environment is there.
    static var arePresent: Bool {
        allCases.allSatisfy { FileManager.default.isExecutableFile(atPath: $0.python.path) }
    }

    /// Whether the tests that need them run: when they are there, or when their absence is to be a failure.
    static var areNeeded: Bool { arePresent || mustNotSkip }

    static var mustNotSkip: Bool { ProcessInfo.processInfo.environment["HFJANITOR_TESTS_REQUIRE_ALL"] == "1" }

    static let advice: Comment =
        "SKIPPED: no virtual environments with real clients; make them with Tests/Integration/environments"
}

/// What `make_caches.py` prints; Tests/Integration/README.md describes it.
struct WrittenCaches: Decodable, Sendable {
    var schema: String
    var client: String
    var scenarios: [Scenario]
}

struct ExpectedFinding: Decodable, Sendable, Hashable, CustomStringConvertible {
    var code: String
    var file: String?

    var description: String { file.map { "\(code) of \($0)" } ?? code }

    func isMet(by finding: Finding) -> Bool {
        finding.code == code && (file == nil || finding.file == file)
    }
}

struct ExpectedOutcome: Decodable, Sendable {
    var state: String?
    var must: [ExpectedFinding]
    var may: [String]
    var mustNot: [String]
}

struct ExpectedRevision: Decodable, Sendable {
    var commit: String?
    var refs: [String]
    var files: Int?
    var outcomes: [String: ExpectedOutcome]
}

struct ExpectedRepo: Decodable, Sendable {
    var id: String
    var folder: String
    var must: [ExpectedFinding]
    var mustNot: [String]
    var revisions: [ExpectedRevision]
}

struct ClientVerdict: Decodable, Sendable {
    var repo: String
    var commit: String?
    var ok: Bool
    var error: String?
    var mismatches: [String]?
}

struct ClientScan: Decodable, Sendable {
    var repos: [String]?
    var error: String?
}

struct ClientOpinion: Decodable, Sendable {
    var scan: ClientScan?
    var verify: [ClientVerdict]?
}

struct Scenario: Decodable, Sendable, CustomTestStringConvertible {
    var name: String
    var about: String
    var environment: String
    var cache: String
    var target: String?
    var exit: [String: Int32?]
    var namedExit: Int32?
    var must: [ExpectedFinding]
    var repos: [ExpectedRepo]
    var client: ClientOpinion

    var testDescription: String { "\(environment)/\(name)" }

    /// A name for what belongs to it on disk.
    var slug: String { "\(environment)-\(name)" }

    /// How the program is told what to look at.
    var selection: [String] { target.map { [$0] } ?? ["--cache", cache] }

    /// Where the scenario's files are.
    var place: String { target ?? cache }
}

/// Writes the caches, once per environment and run.
enum Caches {
    static let all: [Result<WrittenCaches, any Error>] = ClientEnvironment.allCases.map { environment in
        Result { try write(with: environment) }
    }

    /// Every scenario of every environment.
    static func scenarios() throws -> [Scenario] {
        guard ClientEnvironment.areNeeded else { return [] }
        return try all.flatMap { try $0.get().scenarios }
    }

    static func arguments(for environment: ClientEnvironment) throws -> [String] {
        guard FileManager.default.isExecutableFile(atPath: environment.python.path) else {
            let advice = "run Tests/Integration/environments"
            throw CommandFailed(description: "\(environment.python.path) is missing: \(advice)")
        }
        return [Places.package.appending(path: "Tests/Integration/make_caches.py").path]
    }

    private static func write(with environment: ClientEnvironment) throws -> WrittenCaches {
        let folder = try Places.emptyFolder("caches-\(environment.rawValue)").appending(path: "caches")
        let outcome = try run(environment.python, try arguments(for: environment) + [folder.path])
        guard outcome.status == 0 else {
            throw CommandFailed(description: "make_caches.py: \(outcome.errors)")
        }
        return try decoded(outcome.output)
    }

    static func decoded<Value: Decodable>(_ data: Data) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Value.self, from: data)
    }
}

/// A writer that stays, with one download held half-way.
final class HeldDownload {
    private let process = Process()
    private let orders = Pipe()
    private let answers = Pipe()
    private var unread = Data()

    /// The scenario as it stands; after `finish`, as it became.
    private(set) var scenario: Scenario

    init(with environment: ClientEnvironment) throws {
        let folder = try Places.emptyFolder("held-\(environment.rawValue)").appending(path: "caches")
        process.executableURL = environment.python
        process.arguments = try Caches.arguments(for: environment) + [folder.path, "--only", "live", "--serve"]
        process.standardInput = orders
        process.standardOutput = answers
        scenario = Scenario(
            name: "live", about: "", environment: "", cache: "", exit: [:], must: [], repos: [],
            client: ClientOpinion())
        try process.run()
        let written: WrittenCaches = try Caches.decoded(try line())
        guard let first = written.scenarios.first else {
            throw CommandFailed(description: "make_caches.py wrote no live scenario")
        }
        scenario = first
    }

    deinit {
        try? orders.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    func finish() throws {
        try orders.fileHandleForWriting.write(contentsOf: Data("finish live\n".utf8))
        scenario = try Caches.decoded(try line())
    }

    private func line() throws -> Data {
        while true {
            if let end = unread.firstIndex(of: UInt8(ascii: "\n")) {
                let line = Data(unread[unread.startIndex..<end])
                unread = Data(unread[unread.index(after: end)...])
                return line
            }
            let more = answers.fileHandleForReading.availableData
            guard !more.isEmpty else {
                throw CommandFailed(description: "make_caches.py ended early")
            }
            unread.append(more)
        }
    }
}
