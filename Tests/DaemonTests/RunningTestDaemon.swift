import Foundation
import HubCache
import Synchronization
import TestSupport
import Testing

/// One line of a daemon's JSON on standard error.
struct LoggedEvent: Sendable {
    var line: String
    var event: String
    var texts: [String: String]
    var numbers: [String: Int]

    init?(line: String) {
        guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
            let event = object["event"] as? String
        else { return nil }
        self.line = line
        self.event = event
        texts = object.compactMapValues { $0 as? String }
        numbers = object.compactMapValues { $0 as? Int }
    }

    var code: String { texts["code"] ?? "" }
    var repo: String { texts["repo"] ?? "" }
    var message: String { texts["message"] ?? "" }

    /// What a finding is told apart by.
    var thing: String {
        let blob = texts["blob"]
        return "\(code) \(repo) \(blob ?? texts["path"] ?? "")"
    }
}

/// A real daemon process, and what it said so far.
final class RunningTestDaemon: @unchecked Sendable {
    private let program: StartedProgram
    private let lines = Mutex<[String]>([])
    private let reader = DispatchSemaphore(value: 0)

    /// - Parameters:
    ///   - state: keeps what the daemon remembers, for the next one.
    ///   - environment: more variables.
    init(
        cache: BytePath?, policy: BytePath? = nil, state: BytePath, environment: [String: String] = [:],
        arguments: [String] = []
    ) throws {
        var words = ["daemon"] + arguments
        if let cache { words += ["--cache", cache.text] }
        if let policy { words += ["--policy", policy.text] }
        program = try Program.start(
            words, environment: ["XDG_STATE_HOME": state.text, "HF_HUB_OFFLINE": "1"].merging(environment) { $1 })
        let handle = program.errors.fileHandleForReading
        Thread.detachNewThread { [self] in
            var rest = Data()
            while true {
                let more = handle.availableData
                if more.isEmpty { break }
                rest += more
                while let end = rest.firstIndex(of: 0x0a) {
                    let line = String(decoding: rest[rest.startIndex..<end], as: UTF8.self)
                    rest = Data(rest[rest.index(after: end)...])
                    lines.withLock { $0.append(line) }
                }
            }
            reader.signal()
        }
    }

    deinit { if program.process.isRunning { kill(program.process.processIdentifier, SIGKILL) } }

    var processID: Int32 { program.process.processIdentifier }
    var isRunning: Bool { program.process.isRunning }

    /// All events so far.
    var events: [LoggedEvent] { lines.withLock { $0 }.compactMap(LoggedEvent.init) }
    var text: String { lines.withLock { $0 }.joined(separator: "\n") }
    /// A place to wait from.
    var mark: Int { lines.withLock { $0.count } }

    /// The first event of a kind after a mark; waits for it as long as any machine may take.
    @discardableResult
    func wait(
        for event: String, after mark: Int = 0, where fits: (LoggedEvent) -> Bool = { _ in true },
        location: SourceLocation = #_sourceLocation
    ) throws -> LoggedEvent {
        var found: LoggedEvent?
        wait(until: {
            found = self.lines.withLock { Array($0.dropFirst(mark)) }.compactMap(LoggedEvent.init)
                .first { $0.event == event && fits($0) }
            return found != nil
        })
        return try #require(found, "no \(event) in:\n\(text)", sourceLocation: location)
    }

    /// Waits until something is so, as long as any machine may take.
    ///
    /// - Returns: whether it came to be.
    @discardableResult
    func wait(until isSo: () -> Bool) -> Bool {
        let end = Date().addingTimeInterval(90)
        while Date() < end {
            if isSo() { return true }
            if !isRunning { return isSo() }
            usleep(20_000)
        }
        return false
    }

    func signal(_ number: Int32) { kill(processID, number) }

    /// Ends it as a service manager does.
    ///
    /// - Returns: its exit status.
    @discardableResult
    func stop() -> Int32 {
        signal(SIGTERM)
        return waitForEnd()
    }

    func waitForEnd() -> Int32 {
        program.process.waitUntilExit()
        reader.wait()
        return program.process.terminationReason == .exit
            ? program.process.terminationStatus : 128 + program.process.terminationStatus
    }

    /// The findings that hold by what was said.
    var standing: Set<String> {
        var standing: Set<String> = []
        for event in events {
            if event.event == "finding" { standing.insert(event.thing) }
            if event.event == "finding-cleared" { standing.remove(event.thing) }
        }
        return standing
    }
}

/// What a fresh one-shot check finds, errors and warnings.
func verified(_ cache: TestCache) throws -> Set<String> {
    let run = try Program.run(["verify", "--json", "--cache", cache.path.text])
    var found: Set<String> = []
    func add(_ findings: Any?, repo: String) {
        for finding in findings as? [[String: Any]] ?? [] where finding["severity"] as? String != "info" {
            let place = finding["blob"] as? String ?? finding["path"] as? String ?? ""
            found.insert("\(finding["code"] as? String ?? "") \(repo) \(place)")
        }
    }
    for cache in try run.json["caches"] as? [[String: Any]] ?? [] {
        add(cache["findings"], repo: "")
        for repo in cache["repos"] as? [[String: Any]] ?? [] {
            let id = repo["id"] as? String ?? ""
            add(repo["findings"], repo: id)
            for revision in repo["revisions"] as? [[String: Any]] ?? [] { add(revision["findings"], repo: id) }
        }
    }
    return found
}
