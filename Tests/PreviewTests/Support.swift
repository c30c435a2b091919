import Foundation
import HubCache
import HubClient
import LinuxIO
import Preview
import TestSupport

let secret = "hf_secretsecretsecretsecretsecretsec"

/// A model repo on a Hub of its own.
struct ModelHub {
    static let repo: RepoID = {
        guard let repo = RepoID(type: .model, name: "acme/x") else { preconditionFailure("not a repo's name") }
        return repo
    }()

    let hub: HubStandIn
    let folder: TestFolder

    /// Previews the repo without ever sleeping.
    func preview(
        include: [String] = [], exclude: [String] = [], revision: String = "main"
    ) throws -> RepoPreview {
        var settings = HubSettings()
        settings.breakerFailures = 1000
        settings.attempts = 2
        let environment = HubEnvironment(environment: ["HF_ENDPOINT": hub.hub, "HF_TOKEN": secret])
        let clock = HubClock(
            now: { .now }, wallSeconds: { 1_800_000_000 }, sleep: { _, _ in }, jitter: { 0 })
        let health = HubHealth()
        let previewer = Previewer(
            repo: Self.repo, filter: NameFilter(include: include, exclude: exclude), cancellation: Cancellation()
        ) { [settings] in
            HubClient(environment: environment, health: health, settings: settings, clock: clock)
        }
        return try previewer.preview(revision: revision)
    }

    /// The code with which there is no preview.
    func refusal(revision: String = "main") -> HubErrorCode? {
        do {
            _ = try preview(revision: revision)
            return nil
        } catch {
            return (error as? HubFailure)?.code
        }
    }

    /// Makes the Hub answer with a status, and with a code of its own unless that is empty.
    func refuse(_ path: String, _ status: Int, _ code: String) throws {
        var settings: [String: Any] = ["status": status, "path": path]
        if !code.isEmpty { settings["headers"] = ["X-Error-Code": code] }
        try hub.fault("status", settings)
    }

    /// What the program says about it.
    func run(_ arguments: [String], environment: [String: String] = [:]) throws -> ProgramRun {
        let variables = ["HF_ENDPOINT": hub.hub, "HF_TOKEN": secret, "HF_HOME": folder.absolute("home").text]
        return try Program.run(
            ["preview"] + arguments, environment: variables.merging(environment) { _, new in new })
    }
}

/// Gives a test a Hub with one model that has these files.
func withModel(_ files: [String: [UInt8]], _ body: (ModelHub) throws -> Void) throws {
    try withTestFolder { folder in
        let served = files.mapValues { ["base64": Data($0).base64EncodedString()] }
        let description: [String: Any] = ["repos": [["id": "acme/x", "commits": [["files": served]]]]]
        try body(ModelHub(hub: HubStandIn(description, in: folder), folder: folder))
    }
}

/// A safetensors file with one tensor for each type and its number of bytes.
func weights(_ tensors: [(dtype: String, elements: Int, bytes: Int)]) -> [UInt8] {
    var offset = 0
    var entries: [String] = ["\"__metadata__\":{\"format\":\"pt\"}"]
    for (number, tensor) in tensors.enumerated() {
        entries.append(
            "\"t\(number)\":{\"dtype\":\"\(tensor.dtype)\",\"shape\":[\(tensor.elements)],"
                + "\"data_offsets\":[\(offset),\(offset + tensor.bytes)]}")
        offset += tensor.bytes
    }
    return safetensors(header: "{\(entries.joined(separator: ","))}") + Array(repeating: 0, count: offset)
}

func json(_ text: String) -> [UInt8] { Array(text.utf8) }
