import Foundation
import Glibc
import HubCache
import HubClient
import LinuxIO
import Synchronization
import TestSupport

/// `Tests/HubStandIn/hub_stand_in.py` as a process, with one model repo that all tests ask about.
final class HubStandIn: Sendable {
    let hub: String
    let cdn: String
    let other: String
    let commit: CommitHash
    let largeContent = HubStandIn.largeBytes
    private let process: Process
    private let input: Pipe

    static let repo: RepoID = {
        guard let repo = RepoID(type: .model, name: "acme/x") else { preconditionFailure("not a repo's name") }
        return repo
    }()
    static let largeBytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    static let large: BytePath = "model.safetensors"
    static let largeEtag = BytePath(ReferenceDigest.sha256(largeBytes))
    static let small: BytePath = "sub/a b+ü.json"
    static let smallBytes = Array("{\"a\": 1}".utf8)
    static let smallEtag = BytePath(ReferenceDigest.sha1(Array("blob \(smallBytes.count)\0".utf8) + smallBytes))

    /// - Parameter certificate: a file with certificate and key in the folder; the Hub then speaks https.
    init(in folder: TestFolder, pageSize: Int = 1000, resolveCache: Bool = false, certificate: String? = nil) throws {
        let files: [String: Any] = [
            Self.large.text: ["base64": Data(Self.largeBytes).base64EncodedString()],
            Self.small.text: ["base64": Data(Self.smallBytes).base64EncodedString()],
            "README.md": ["text": "# x"], "empty.txt": ["text": ""],
        ]
        var description: [String: Any] = [
            "repos": [
                ["type": "model", "id": "acme/x", "commits": [["files": files, "tags": ["v1"]]]],
                ["type": "dataset", "id": "acme/d", "commits": [["files": ["a.json": ["text": "[]"]]]]],
            ],
            "renamed": [["type": "model", "from": "acme/old", "to": "acme/x"]],
            "page_size": pageSize, "resolve_cache": resolveCache,
        ]
        if let certificate { description["tls"] = ["certificate": certificate, "key": certificate] }
        let json = try JSONSerialization.data(withJSONObject: description)
        try folder.write("hub.json", Array(json))
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("HubStandIn/hub_stand_in.py").path
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", "-B", script, folder.absolute("hub.json").text]
        let input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        // It prints its addresses once it listens, and nothing more.
        var line = Data()
        while line.last != 0x0a {
            let piece = output.fileHandleForReading.availableData
            if piece.isEmpty { throw StandInFailure(description: "the stand-in did not start") }
            line += piece
        }
        guard let urls = try JSONSerialization.jsonObject(with: line) as? [String: String], let hub = urls["hub"],
            let cdn = urls["cdn"], let other = urls["other"]
        else { throw StandInFailure(description: "the stand-in said something else") }
        (self.hub, self.cdn, self.other, self.process, self.input) = (hub, cdn, other, process, input)
        let info = try rawRequest("GET", other, "/api/models/acme/x/revision/main")
        guard let object = try JSONSerialization.jsonObject(with: info) as? [String: Any],
            let sha = object["sha"] as? String, let commit = CommitHash(sha)
        else { throw StandInFailure(description: "the stand-in has no commit") }
        self.commit = commit
        try clearLog()
    }

    deinit {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    /// What was asked so far.
    func log() throws -> [[String: Any]] {
        try JSONSerialization.jsonObject(with: rawRequest("GET", cdn, "/_log")) as? [[String: Any]] ?? []
    }

    func clearLog() throws { _ = try rawRequest("DELETE", cdn, "/_log") }

    /// The origins that saw an `Authorization` header.
    func originsWithToken() throws -> Set<String> {
        Set(try log().filter { $0["authorized"] as? Bool == true }.compactMap { $0["origin"] as? String })
    }

    /// Makes requests go wrong: see `Fault` in the stand-in.
    func fault(_ kind: String, _ settings: [String: Any] = [:], body: String? = nil) throws {
        var fault = settings
        fault["kind"] = kind
        if let body { fault["body"] = Data(body.utf8).base64EncodedString() }
        try order(["fault": fault])
    }

    /// Makes all go well again, and forgets what was asked.
    func clear() throws {
        try order(["clear": true])
        try clearLog()
    }

    private func order(_ order: [String: Any]) throws {
        let answer = try rawRequest("POST", cdn, "/_control", JSONSerialization.data(withJSONObject: order))
        guard try JSONSerialization.jsonObject(with: answer) is [Any] else {
            throw StandInFailure(description: "the stand-in refused: \(String(decoding: answer, as: UTF8.self))")
        }
    }
}

/// One request over a plain socket: the tests must not rely on the client they test.
func rawRequest(_ method: String, _ url: String, _ path: String, _ body: Data = Data()) throws -> Data {
    let parts = url.split(separator: ":").map(String.init)
    guard parts.count == 3, let port = UInt16(parts[2]) else { throw StandInFailure(description: "no port in \(url)") }
    let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(number) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = unsafe inet_addr(String(parts[1].dropFirst(2)))
    let connected = unsafe withUnsafePointer(to: &address) {
        unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe connect(number, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    guard connected == 0 else { throw StandInFailure(description: "connect to \(url): errno \(errno)") }
    let head = "\(method) \(path) HTTP/1.1\r\nHost: hub\r\nConnection: close\r\nContent-Length: \(body.count)\r\n\r\n"
    let message = Data(head.utf8) + body
    let sent = unsafe message.withUnsafeBytes { unsafe send(number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    guard sent == message.count else { throw StandInFailure(description: "send: errno \(errno)") }
    var answer = Data()
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = unsafe recv(number, &buffer, buffer.count, 0)
        if count <= 0 { break }
        answer += buffer.prefix(count)
    }
    guard let end = answer.range(of: Data("\r\n\r\n".utf8)) else { throw StandInFailure(description: "no answer") }
    return answer[end.upperBound...]
}

/// The stand-ins that no test uses at the moment; starting one takes longer than most tests. They end with this process.
private let idle = Mutex<[String: [HubStandIn]]>([:])

/// Gives a test a stand-in that nobody else uses meanwhile, without faults and with an empty log.
func withHub(
    pageSize: Int = 1000, resolveCache: Bool = false, _ body: (HubStandIn, TestFolder) throws -> Void
) throws {
    try withTestFolder { folder in
        let key = "\(pageSize) \(resolveCache)"
        let hub =
            try idle.withLock { $0[key]?.popLast() }
            ?? HubStandIn(in: folder, pageSize: pageSize, resolveCache: resolveCache)
        try body(hub, folder)
        try hub.clear()
        idle.withLock { $0[key, default: []].append(hub) }
    }
}

/// Time that passes at once where someone sleeps; what was slept is kept.
final class TestClock: Sendable {
    private let state = Mutex<(offset: Duration, slept: [Duration])>((.zero, []))

    var slept: [Duration] { state.withLock(\.slept) }

    func advance(_ duration: Duration) { state.withLock { $0.offset += duration } }

    var clock: HubClock {
        HubClock(
            now: { .now + self.state.withLock(\.offset) }, wallSeconds: { 1_800_000_000 },
            sleep: { duration, _ in
                self.state.withLock {
                    $0.offset += duration
                    $0.slept.append(duration)
                }
            }, jitter: { 0 })
    }
}

/// Patient settings, however busy the machine is; a test about impatience has its own.
var usualSettings: HubSettings {
    var settings = HubSettings()
    settings.userAgent = "hfjanitor/test"
    settings.breakerFailures = 1000
    return settings
}

let secret = "hf_secretsecretsecretsecretsecretsec"

extension HubStandIn {
    /// A client of this Hub, with a token.
    func client(
        _ settings: HubSettings = usualSettings, clock: TestClock = TestClock(), health: HubHealth = HubHealth(),
        environment: [String: String] = [:], endpoints: [HubEndpoint]? = nil
    ) -> HubClient {
        let variables = ["HF_ENDPOINT": hub, "HF_TOKEN": secret].merging(environment) { _, new in new }
        return HubClient(
            environment: HubEnvironment(environment: variables), endpoints: endpoints, health: health,
            settings: settings, clock: clock.clock)
    }

    /// Whether the large file would be given back.
    func askForLarge(_ client: HubClient? = nil, etag: BytePath = HubStandIn.largeEtag) -> HubAnswer {
        (client ?? self.client()).availability(
            of: Self.large, repo: Self.repo, commit: commit, expectedEtag: etag)
    }
}

/// The stand-in could not be used.
struct StandInFailure: Error, CustomStringConvertible {
    let description: String
}
