import Foundation
import HubCache
import HubClient
import LinuxIO
import Synchronization
import TestSupport

extension HubStandIn {
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
    convenience init(
        in folder: TestFolder, pageSize: Int = 1000, resolveCache: Bool = false, certificate: String? = nil
    ) throws {
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
        try self.init(description, in: folder)
    }
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
