import CacheScan
import Foundation
import HubCache
import Testing

@testable import Removal
@testable import TestSupport

/// A cache for the crash tests, and what to remove from it.
struct CrashScene: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var build: @Sendable (TestCache) throws -> [String]

    static let all: [CrashScene] = [
        CrashScene(testDescription: "one revision among two, with refs, markers, a manifest and a shared blob") {
            cache in
            let repo = cache.repo()
            try repo.model(commit(1), shards: 1)
            try repo.file("deep/er/two.bin", [9, 9], at: commit(2))
            try repo.link(
                "config.json", to: ReferenceDigest.gitSHA1(Array("{\"model_type\": \"org/model\"}".utf8)), at: commit(2)
            )
            try repo.ref("refs/pr/3", commit(1))
            try repo.ref("v2", commit(2))
            try cache.outer.write(repo.place(".no_exist").appending(commit(1) + "/sub/absent.json"), "")
            return [repo.folder.text + "@" + commit(1)]
        },
        CrashScene(testDescription: "two revisions of one repo that share a blob, none of them the last") { cache in
            let repo = cache.repo()
            for number in 1...3 {
                try repo.file("a.bin", [1], at: commit(number))
                try repo.file("sub/b.bin", [UInt8(number), 2], at: commit(number))
                try repo.file("sub/c.bin", [UInt8(number / 2), 3], at: commit(number))
            }
            try repo.ref("main", commit(2))
            return [repo.folder.text + "@" + commit(1), repo.folder.text + "@" + commit(2)]
        },
        CrashScene(testDescription: "payloads of the shared store: one of its own, one shared with another repo") {
            cache in
            try cache.makeStore()
            let (one, two) = (cache.repo("o/a"), cache.repo("o/b"))
            let shared = try cache.payload(
                [1, 1], references: ["models--o--a/blobs/s1", "models--o--b/blobs/s1"])
            let own = try cache.payload([2, 2], references: ["models--o--a/blobs/s2"])
            for repo in [one, two] {
                try repo.linkBlob("s1", toPayload: shared)
                try repo.link("shared.bin", to: "s1", at: commit(1))
            }
            try one.linkBlob("s2", toPayload: own)
            try one.link("own.bin", to: "s2", at: commit(1))
            return [one.folder.text + "@" + commit(1)]
        },
        CrashScene(testDescription: "a snapshot without links") { cache in
            let repo = cache.repo()
            try repo.plainFile("config.json", [1], at: commit(1))
            try repo.plainFile("sub/model.safetensors", [2, 2], at: commit(1))
            try repo.plainFile("config.json", [3], at: commit(2))
            try repo.ref("main", commit(1))
            return [repo.folder.text + "@" + commit(1)]
        },
        CrashScene(testDescription: "a whole repo with orphans and a partial") { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            try repo.ref("main", commit(1))
            try repo.manifest(commit(1), [ManifestEntry("a.bin", [1])])
            try repo.blob([5, 5])
            try repo.partial("etag")
            return [repo.folder.text + "!"]
        },
        CrashScene(testDescription: "orphans alone") { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            try repo.blob([5, 5])
            try repo.blob([6, 6])
            return [repo.folder.text]
        },
        CrashScene(testDescription: "two repos with one commit") { cache in
            for name in ["o/old", "o/new"] {
                let repo = cache.repo(name)
                try repo.file("a.bin", [1], at: commit(1))
                try repo.ref("main", commit(1))
            }
            return ["models--o--old@" + commit(1), "models--o--new@" + commit(1)]
        },
    ]
}

/// A process that is killed at any step leaves what the next run makes whole: all as before, or all as finished.
@Suite struct CrashTests {
    /// What a scene is before, and after an undisturbed removal.
    private struct Ends {
        var before: Content
        var after: Content
        var steps: [String]
    }

    private func ends(of scene: CrashScene, wrapper: [String] = []) throws -> Ends {
        try withTestCache { cache in
            let items = try scene.build(cache)
            let before = Content(cache.outer.path)
            let run = try RemovalRun.removal(cache, items, wrapper: wrapper)
            #expect(!run.outcomes.isEmpty && run.outcomes.allSatisfy { $0.contains("removed") }, "\(run.lines)")
            let after = Content(cache.outer.path)
            #expect(before != after)
            #expect(!after.entries.keys.contains { $0.text.contains(".hfjanitor") })
            return Ends(before: before, after: after, steps: run.steps)
        }
    }

    /// Whether a tree is one of the ends, repo by repo: an operation is on one repo. A partial download goes by itself.
    private func isAnEnd(_ content: Content, _ ends: Ends) -> Bool {
        let repos = ends.before.entries.keys.filter { $0.components.count == 2 && $0.hasPrefix("hub/models--") }
        for repo in repos where !content.entries.keys.contains(where: { $0.hasPrefix(repo.text + "/") }) {
            // Killed between the intent and the repo's own folder: an empty folder is as good as none.
            return ends.after.differences(from: content).allSatisfy { $0.hasPrefix(repo.text + ":") }
        }
        var groups: [BytePath: (before: Bool, after: Bool)] = [:]
        let names = Set(content.entries.keys).union(ends.before.entries.keys).union(ends.after.entries.keys)
        for name in names {
            let parts = name.components
            let isPartial = name.hasSuffix(".incomplete")
            let group = isPartial ? name : BytePath(parts.prefix(2).map(\.text).joined(separator: "/"))
            // Payloads go with the repo that was the last to link to them.
            let key = group == "hub/blobs" ? "hub/models--o--a" : group
            var both = groups[key] ?? (true, true)
            both.before = both.before && content.entries[name] == ends.before.entries[name]
            both.after = both.after && content.entries[name] == ends.after.entries[name]
            groups[key] = both
        }
        return groups.values.allSatisfy { $0.before || $0.after }
    }

    private func shortest(_ content: Content, _ ends: Ends) -> [String] {
        let (one, two) = (content.differences(from: ends.before), content.differences(from: ends.after))
        return one.count < two.count ? one : two
    }

    @Test(arguments: CrashScene.all) func killedAtEveryStep(_ scene: CrashScene) throws {
        let ends = try ends(of: scene)
        for step in 1...ends.steps.count {
            try withTestCache { cache in
                let items = try scene.build(cache)
                let killed = try RemovalRun.removal(cache, items, killAt: step)
                #expect(killed.wasKilled)
                let recovery = try RemovalRun.run(cache, ["recover"])
                #expect(recovery.status == 0)
                let result = Content(cache.outer.path)
                #expect(
                    isAnEnd(result, ends),
                    "killed at step \(step), \(ends.steps[step - 1]): \(result.differences(from: ends.before)) \(recovery.lines)"
                )
            }
        }
    }

    /// Killed, and killed again while the next run recovers, at every step of both.
    @Test(arguments: Array(CrashScene.all.prefix(3))) func killedAgainWhileRecovering(_ scene: CrashScene) throws {
        let ends = try ends(of: scene)
        // The recovery looks different on both sides of the decision: one step of each side, and the last before.
        let decided = ends.steps.firstIndex(of: "decided") ?? 0
        for first in [decided, decided + 1, decided + 3] {
            var second = 1
            while true {
                let wasKilled = try withTestCache { cache in
                    let items = try scene.build(cache)
                    _ = try RemovalRun.removal(cache, items, killAt: first)
                    let again = try RemovalRun.run(cache, killAt: second, ["recover"])
                    _ = try RemovalRun.run(cache, ["recover"])
                    let result = Content(cache.outer.path)
                    #expect(
                        isAnEnd(result, ends),
                        "killed at \(first) and at \(second): \(shortest(result, ends)) \(again.steps)")
                    return again.wasKilled
                }
                if !wasKilled { break }
                second += 1
            }
            #expect(second > 1)
        }
    }
}

/// The list of steps is the truth: no step is never reached, so that the crash tests have seen them all.
@Suite struct StepTests {
    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/strace"), "needs strace"))
    func everyStepIsReached() throws {
        var seen: Set<String> = []
        for scene in CrashScene.all {
            try withTestCache { cache in
                let items = try scene.build(cache)
                let run = try RemovalRun.removal(cache, items)
                seen.formUnion(run.steps)
            }
            // Killed when everything is out of the way, and put back.
            for wrapper in [[], withoutRenames] {
                try withTestCache { cache in
                    let items = try scene.build(cache)
                    let whole = try RemovalRun.removal(cache, items, killAt: 10_000, wrapper: wrapper)
                    seen.formUnion(whole.steps)
                }
                try withTestCache { cache in
                    let items = try scene.build(cache)
                    let first = try withTestCache { other in
                        _ = try scene.build(other)
                        return try RemovalRun.removal(other, items, wrapper: wrapper).steps
                    }
                    let parked = (first.firstIndex(of: "parked") ?? 0) + 1
                    _ = try RemovalRun.removal(cache, items, killAt: parked, wrapper: wrapper)
                    seen.formUnion(try RemovalRun.run(cache, wrapper: wrapper, ["recover"]).steps)
                }
            }
        }
        let missing = RemovalStep.allCases.map(\.rawValue).filter { !seen.contains($0) }
        #expect(missing == [])
    }

    private let withoutRenames = [
        "/usr/bin/strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=renameat2", "-e",
        "inject=renameat2:error=EINVAL:when=1+",
    ]
}
