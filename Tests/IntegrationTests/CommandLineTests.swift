import Foundation
import Testing

/// What the commands promise about exit codes and empty machines; needs no client.
@Suite struct CommandLineTests {
    @Test func defaultCacheThatDoesNotExistIsNoError() throws {
        let user = try User("no-cache")
        for command in ["verify", "ls"] {
            let outcome = try user.hfjanitor([command, "--json"])
            #expect(outcome.status == 0, "\(command): \(outcome.errors)")
        }
        let outcome = try user.hfjanitor(["verify", "--json"])
        let report: VerifyReport = try Caches.decoded(outcome.output)
        #expect(report.caches.flatMap(\.repos) == [])
        #expect(!FileManager.default.fileExists(atPath: user.home.path + "/cache/huggingface"))
    }

    @Test func namedCacheOrTargetThatDoesNotExist() throws {
        let user = try User("absent")
        let absent = user.home.path + "/absent"
        let empty = try Places.emptyFolder("empty-cache").path
        for command in ["verify", "ls"] {
            #expect(try user.hfjanitor([command, "--cache", absent]).status == 66)
        }
        #expect(try user.hfjanitor(["verify", "--cache", empty, "model/acme/absent"]).status == 66)
        #expect(try user.hfjanitor(["ready", "--cache", empty, "model/acme/absent"]).status == 66)
        #expect(try user.hfjanitor(["verify", absent]).status == 66)
    }

    @Test(arguments: [["verify", "--depth", "deep"], ["verify", "--no-such-option"], ["ready"], ["no-such-command"]])
    func mistakesInUsage(arguments: [String]) throws {
        let outcome = try User("usage").hfjanitor(arguments)
        #expect(outcome.status == 64)
        #expect(outcome.output.isEmpty)
        #expect(!outcome.errors.isEmpty)
    }

    /// The cache that `make run` shows a newcomer.
    @Test func sampleCache() throws {
        let cache = try Places.emptyFolder("sample").appending(path: "hub").path
        let script = Places.package.appending(path: "Tests/SampleCache/make-sample-cache").path
        _ = try shell("'\(script)' '\(cache)'")
        let states = [
            "structure": ["complete", "partial", "complete"], "headers": ["complete", "partial", "complete"],
            "digests": ["complete", "partial", "corrupt"],
        ]
        for (depth, expected) in states {
            let user = try User("sample-\(depth)")
            let outcome = try user.hfjanitor(["verify", "--json", "--depth", depth, "--cache", cache])
            #expect(outcome.status == 1)
            let report: VerifyReport = try Caches.decoded(outcome.output)
            let repos = report.caches.flatMap(\.repos)
            let names = ["whole", "missing-shard", "flipped-bit"]
            let actual = names.map { name in repos.first { $0.id == "model/sample/\(name)" }?.revisions.first?.state }
            #expect(actual == expected, "at \(depth)")
        }
    }
}
