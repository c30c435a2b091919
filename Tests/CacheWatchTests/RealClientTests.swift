import Foundation
import HubCache
import TestSupport
import Testing

@testable import CacheWatch

private let package = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
private let environments = ["newest", "v0.36"]

private func python(_ environment: String) -> String {
    package.appending(path: ".build/python/\(environment)/bin/python").path
}

private let areNeeded =
    environments.allSatisfy { FileManager.default.isExecutableFile(atPath: python($0)) }
    || ProcessInfo.processInfo.environment["HFJANITOR_TESTS_REQUIRE_ALL"] == "1"

/// What the real client does to a cache, from the Hub stand-in.
@Suite(.enabled(if: areNeeded, "SKIPPED: no real clients; make them with Tests/Integration/environments"))
struct RealClientTests {
    private static let description = """
        {"repos": [{"type": "model", "id": "acme/x", "commits": [{"branch": "main", "files": {
        "config.json": {"text": "{}"}, "sub/a.bin": {"size": 300000, "seed": "a"}, "big.gguf": {"size": 900000, "seed": "b"}
        }}]}]}
        """

    @Test(arguments: environments) func downloadIsAChangeAndNoUse(environment: String) throws {
        try withTestCache { cache in
            try cache.outer.write("description.json", Self.description)
            let hub = Process()
            hub.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
            hub.arguments = [
                package.appending(path: "Tests/HubStandIn/hub_stand_in.py").path,
                cache.outer.absolute("description.json").text,
            ]
            let (input, output) = (Pipe(), Pipe())
            hub.standardInput = input
            hub.standardOutput = output
            try hub.run()
            defer {
                try? input.fileHandleForWriting.close()
                hub.waitUntilExit()
            }
            var line = Data()
            while !line.contains(UInt8(ascii: "\n")) { line += output.fileHandleForReading.availableData }
            let urls = try #require(try JSONSerialization.jsonObject(with: line) as? [String: String])
            let endpoint = try #require(urls["hub"])

            let watch = try Watch(cache.path)
            let client = Process()
            client.executableURL = URL(fileURLWithPath: python(environment))
            client.arguments = [
                package.appending(path: "Tests/Integration/client_call.py").path, "snapshot_download",
                "{\"repo_id\": \"acme/x\"}",
            ]
            client.environment = [
                "HOME": cache.outer.path.text, "HF_HUB_CACHE": cache.path.text, "HF_ENDPOINT": endpoint,
                "HF_HUB_DISABLE_TELEMETRY": "1", "PATH": "/usr/bin:/bin",
            ]
            let result = Pipe()
            client.standardOutput = result
            try client.run()
            let printed = String(decoding: result.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            client.waitUntilExit()
            #expect(client.terminationStatus == 0)
            let folder: BytePath = "models--acme--x"
            try watch.wait(for: .repoChanged(cache: cache.path, folder: folder), .rootChanged(cache: cache.path))
            try watch.drain()
            #expect(watch.staleRepos == [folder] && watch.opens == [])

            watch.clear()
            let snapshot = BytePath(printed.trimmingCharacters(in: .whitespacesAndNewlines))
            try cache.outer.use(snapshot.appending("sub/a.bin"))
            try watch.drain()
            #expect(watch.opens.count == 1 && watch.staleRepos == [])
            let link = try FileManager.default.destinationOfSymbolicLink(atPath: snapshot.appending("sub/a.bin").text)
            #expect(watch.opens == [.blob(repo: folder, name: BytePath(link).lastComponent)])

            // Everything is there: the client only looks.
            watch.clear()
            let again = Process()
            again.executableURL = client.executableURL
            again.arguments = client.arguments
            again.environment = client.environment
            again.standardOutput = FileHandle.nullDevice
            try again.run()
            again.waitUntilExit()
            try watch.drain()
            #expect(watch.opens == [])
        }
    }
}
