import Foundation
import HubCache
import TestSupport
import Testing

/// `plan`, `enforce`, `explain` and `rm` as a user meets them: lines, JSON keys, exit codes.
@Suite struct RetentionCommandTests {
    /// A policy beside the cache.
    private func policy(_ cache: TestCache, _ text: String, mode: String = "enforce") throws -> String {
        try cache.outer.write(
            "policy.yaml",
            """
            mode: \(mode)
            caches:
              - {path: "\(cache.path.text)", min-age: 0s, irreplaceable: evict, recent-use: 0s}
            \(text)
            """)
        return cache.outer.absolute("policy.yaml").text
    }

    /// Makes everything of a repo look as if it had arrived so many days ago; ctimes cannot be set back.
    private func age(_ repo: TestRepo, days: Int) throws {
        let time = Int(Date().timeIntervalSince1970) - days * 86_400
        let blobs = try FileManager.default.contentsOfDirectory(
            atPath: repo.cache.outer.absolute(repo.place("blobs")).text)
        for blob in blobs {
            try repo.cache.outer.setTimes(repo.place("blobs").appending(blob), accessed: time, modified: time)
        }
    }

    /// Two models, one of them 60 days old.
    private func makeModels(_ cache: TestCache) throws {
        try cache.repo("org/old").model()
        try cache.repo("org/new").model(commit(2))
        try age(cache.repo("org/old"), days: 60)
    }

    private let unused = "rules: [{name: unused models, match: {type: model}, unused-for: 45d}]"

    private func run(_ arguments: [String]) throws -> ProgramRun { try Program.run(arguments) }

    private func repos(_ cache: TestCache) throws -> [String] {
        let document = try run(["ls", "--json", "--cache", cache.path.text]).json
        let caches = try #require(document["caches"] as? [[String: Any]])
        let repos = try #require(caches.first?["repos"] as? [[String: Any]])
        return repos.filter { !(($0["revisions"] as? [Any])?.isEmpty ?? true) }.compactMap { $0["id"] as? String }
    }

    @Test func planSaysWhatAndWhy() throws {
        try withTestCache { cache in
            try makeModels(cache)
            let file = try policy(cache, unused)
            let before = TreeFingerprint(cache.path)
            let document = try run(["plan", "--json", "--policy", file]).json
            #expect(document["schema"] as? String == "hfjanitor.plan/1")
            #expect(document["mode"] as? String == "enforce")
            let plan = try #require((document["caches"] as? [[String: Any]])?.first)
            for key in ["path", "filesystem", "free_bytes", "shortfall_bytes", "actions", "kept", "after"] {
                #expect(plan[key] != nil, "no \(key)")
            }
            let actions = try #require(plan["actions"] as? [[String: Any]])
            #expect(actions.count == 1)
            let action = try #require(actions.first)
            #expect(action["action"] as? String == "remove-revision")
            #expect(action["repo"] as? String == "model/org/old")
            #expect(action["commit"] as? String == commit(1))
            #expect(action["path"] as? String == "models--org--old/snapshots/\(commit(1))")
            #expect(action["bytes_at_most"] as? Bool == false)
            #expect(action["rule"] as? String == "unused models")
            let reason = try #require(action["reason"] as? [String: Any])
            #expect(reason["fact"] as? String == "unused-for")
            #expect(reason["limit"] as? Int == 45 * 86_400)
            #expect((reason["value"] as? Int ?? 0) >= 60 * 86_400)
            #expect(reason["source"] as? String == "mtime")
            let after = try #require(plan["after"] as? [String: Any])
            #expect(after["reached"] as? Bool == true)
            #expect(after["free_bytes"] != nil && after["free_bytes_if_refused"] != nil)
            #expect(TreeFingerprint(cache.path) == before)
            let text = try run(["plan", "--policy", file])
            #expect(text.status == 0)
            #expect(text.output.contains("unused-for 60 days (limit 45 days, by mtime)"), "\(text.output)")
        }
    }

    @Test func anotherTime() throws {
        try withTestCache { cache in
            try makeModels(cache)
            let file = try policy(cache, unused)
            func actions(_ arguments: [String]) throws -> Int {
                let document = try run(["plan", "--json", "--policy", file] + arguments).json
                let plan = try #require((document["caches"] as? [[String: Any]])?.first)
                return (plan["actions"] as? [Any])?.count ?? -1
            }
            // The last complete one stays, however old it gets.
            #expect(try actions(["--at", "+46d"]) == 1)
            #expect(try actions(["--at", "2020-01-01"]) == 0)
            #expect(try run(["plan", "--policy", file, "--at", "soon"]).status == 64)
        }
    }

    @Test func enforceDoesWhatPlanPrints() throws {
        try withTestCache { cache in
            try makeModels(cache)
            let file = try policy(cache, unused)
            func lines(_ text: String) -> [String] {
                text.split(separator: "\n").filter { $0.contains("  remove ") }.map(String.init)
            }
            let plan = try run(["plan", "--policy", file])
            let done = try run(["enforce", "--policy", file])
            #expect(done.status == 0, "\(done.output)\(done.errors)")
            #expect(lines(plan.output) == lines(done.output))
            #expect(lines(done.output).count == 1)
            #expect(try repos(cache) == ["model/org/new"])
            // Nothing of it is left, not even empty folders.
            #expect(!cache.outer.exists(cache.repo("org/old").place("")))
            let again = try run(["enforce", "--policy", file, "--json"])
            #expect(again.status == 0)
            #expect(try again.json["schema"] as? String == "hfjanitor.enforce/1")
        }
    }

    @Test func observing() throws {
        try withTestCache { cache in
            try makeModels(cache)
            let file = try policy(cache, unused, mode: "observe")
            let refused = try run(["enforce", "--policy", file])
            #expect(refused.status == 78)
            #expect(refused.errors.contains("--yes"))
            #expect(try repos(cache).count == 2)
            #expect(try run(["enforce", "--policy", file, "--yes"]).status == 0)
            #expect(try repos(cache) == ["model/org/new"])
        }
    }

    @Test func aWrongPolicyStopsEverything() throws {
        try withTestCache { cache in
            try makeModels(cache)
            let file = try policy(cache, "ruels: []")
            for command in ["plan", "enforce", "verify", "ls"] {
                let result = try run([command, "--policy", file])
                #expect(result.status == 78, "\(command)")
                #expect(result.errors.contains("policy.yaml:4:1: "), "\(command): \(result.errors)")
            }
            #expect(try run(["doctor", "--policy", file, "--cache", cache.path.text]).status == 1)
            #expect(try repos(cache).count == 2)
        }
    }

    @Test func pinsKeepAndExplainSaysSo() throws {
        try withTestCache { cache in
            try makeModels(cache)
            let file = try policy(cache, unused + "\npins: [{repo: org/old, reason: production}]")
            #expect(try run(["enforce", "--policy", file]).status == 0)
            #expect(try repos(cache).count == 2)
            let others = try policy(
                cache, "pins: [{repo: org/old, revision: main}, {repo: Org/Old}, {repo: org/new, revision: 2222}]")
            let diagnosis = try run(["doctor", "--policy", others]).output
            #expect(diagnosis.contains("2 pins of nothing that is here: 'Org/Old', 'org/new@2222'"), "\(diagnosis)")
            _ = try policy(cache, unused + "\npins: [{repo: org/old, reason: production}]")
            let document = try run(["explain", "org/old", "--json", "--policy", file]).json
            #expect(document["schema"] as? String == "hfjanitor.explain/1")
            let item = try #require((document["items"] as? [[String: Any]])?.first)
            #expect(item["verdict"] as? String == "keep")
            let tried = try #require((item["tried"] as? [[String: Any]])?.first)
            #expect(tried["rule"] as? String == "unused models")
            #expect(tried["matched"] as? Bool == true)
            #expect(tried["fact"] as? String == "unused-for")
            let kept = try #require(item["kept_by"] as? [[String: Any]])
            #expect(kept.contains { $0["by"] as? String == "pin" })
            let listed = try run(["ls", "--json", "--policy", file]).json
            let repos = try #require((listed["caches"] as? [[String: Any]])?.first?["repos"] as? [[String: Any]])
            #expect(
                repos.filter { $0["pinned"] as? Bool == true }.compactMap { $0["id"] as? String } == ["model/org/old"])
            #expect(try run(["rm", "org/old", "--yes", "--policy", file]).status == 75)
            #expect(try self.repos(cache).count == 2)
            #expect(try run(["rm", "org/old", "--yes", "--force", "--policy", file]).status == 0)
            #expect(try self.repos(cache) == ["model/org/new"])
        }
    }

    @Test func aShortenedFileTakesNoPinAwayAtOnce() throws {
        try withTestCache { cache in
            try makeModels(cache)
            let state = ["STATE_DIRECTORY": cache.outer.absolute("state").text]
            var file = try policy(cache, unused + "\npins: [{repo: org/old}]")
            #expect(try Program.run(["enforce", "--policy", file], environment: state).status == 0)
            file = try policy(cache, unused)
            let plan = try Program.run(["plan", "--policy", file, "--json"], environment: state).json
            let kept = try #require((plan["caches"] as? [[String: Any]])?.first?["kept"] as? [[String: Any]])
            #expect(kept.contains { $0["by"] as? String == "edit-grace" && $0["repo"] as? String == "model/org/old" })
            #expect(try Program.run(["enforce", "--policy", file], environment: state).status == 0)
            #expect(try repos(cache).count == 2)
        }
    }

    @Test func removingByName() throws {
        try withTestCache { cache in
            try makeModels(cache)
            let root = ["--cache", cache.path.text]
            #expect(try run(["rm", "org/old"] + root).status == 64)
            #expect(try run(["rm", "--yes", cache.path.text] + root).status == 64)
            #expect(try run(["rm", "--yes", "org/absent"] + root).status == 66)
            #expect(try run(["rm", "org/old@main", "--dry-run"] + root).status == 0)
            #expect(try repos(cache).count == 2)
            let result = try run(["rm", "org/old", "--yes", "--json"] + root)
            #expect(result.status == 0, "\(result.errors)")
            #expect(try result.json["schema"] as? String == "hfjanitor.rm/1")
            #expect((try result.json["removed"] as? [Any])?.count == 1)
            #expect(try repos(cache) == ["model/org/new"])
            #expect(!cache.outer.exists(cache.repo("org/old").place("")))
        }
    }

    @Test func withoutMemoryNothingGoes() throws {
        try withTestCache { cache in
            try makeModels(cache)
            let file = try policy(cache, unused)
            // A file that others may write to is nobody's memory.
            try cache.outer.write("state/ledger.sqlite", "", mode: 0o666)
            try cache.outer.chmod("state/ledger.sqlite", 0o666)
            let state = ["STATE_DIRECTORY": cache.outer.absolute("state").text]
            let result = try Program.run(["enforce", "--policy", file], environment: state)
            #expect(result.status == 74, "\(result.errors)")
            #expect(result.errors.contains("nothing is removed"))
            #expect(try repos(cache).count == 2)
        }
    }

    /// Whoever hears that the memory was lost decides whether to go on without it.
    @Test func whatWasRememberedAndLostIsToldFirst() throws {
        try withTestCache { cache in
            try makeModels(cache)
            let file = try policy(cache, unused)
            try cache.outer.write("state/ledger.sqlite", String(repeating: "garbage ", count: 2000), mode: 0o600)
            let state = ["STATE_DIRECTORY": cache.outer.absolute("state").text]
            let first = try Program.run(["enforce", "--policy", file], environment: state)
            #expect(first.status == 74 && first.errors.contains("was lost, so nothing is removed"), "\(first.errors)")
            #expect(try repos(cache).count == 2)
            let second = try Program.run(["enforce", "--policy", file], environment: state)
            #expect(second.status == 0, "\(second.errors)")
            #expect(try repos(cache).count == 1)
        }
    }

    @Test func aRepoWithNothingToShowIsAskedAboutToo() throws {
        try withTestCache { cache in
            try cache.repo("org/refs-only").ref("main", commit(1))
            let root = ["--cache", cache.path.text]
            #expect(try run(["rm", "org/refs-only"] + root).status == 64)
            #expect(cache.outer.exists(cache.repo("org/refs-only").place("refs/main")))
        }
    }

    @Test func whatIsOpenStays() throws {
        try withTestCache { cache in
            try makeModels(cache)
            let old = cache.repo("org/old")
            let blob = try #require(
                FileManager.default.contentsOfDirectory(atPath: cache.outer.absolute(old.place("blobs")).text).first)
            let reader = try #require(
                FileHandle(forReadingAtPath: cache.outer.absolute(old.place("blobs").appending(blob)).text))
            defer { try? reader.close() }
            let file = try policy(cache, unused)
            let result = try run(["enforce", "--policy", file])
            #expect(try repos(cache).count == 2)
            #expect(result.output.contains("0 items"), "\(result.output)")
            let plan = try run(["plan", "--policy", file])
            #expect(plan.output.contains("keep") && plan.output.contains("open ("), "\(plan.output)")
            #expect(try run(["rm", "org/old", "--yes", "--force", "--cache", cache.path.text]).status == 75)
            #expect(try repos(cache).count == 2)
        }
    }

    @Test func sizesAndTargets() throws {
        try withTestCache { cache in
            try makeModels(cache)
            let file = try policy(cache, unused)
            #expect(try run(["enforce", "--policy", file, "--free", "lots"]).status == 64)
            #expect(try run(["enforce", "--policy", file, "--free", "10"]).errors.contains("did you mean '10GB'?"))
            // More than any disk has: everything that may go goes, and the target is not reached.
            let result = try run(["enforce", "--policy", file, "--free", "9000TB"])
            #expect(result.status == 75, "\(result.output)")
            #expect(try repos(cache) == ["model/org/new"])
        }
    }
}

/// Mistakes in policies that would cost a model if they were taken as they are written.
@Suite struct PolicyMistakeTests {
    private func check(_ text: String) throws -> ProgramRun {
        try withTestFolder { folder in
            try folder.write("policy.yaml", text)
            return try Program.run(["policy", "check", folder.absolute("policy.yaml").text])
        }
    }

    @Test(arguments: [
        "models/org/a", "models--org--a", "hf://org/a", "https://huggingface.co/org/a", "org/a@main", "org/a/b",
        "org a",
    ])
    func aPinThatCanNeverFit(_ name: String) throws {
        let result = try check("pins: [{repo: \"\(name)\"}]\n")
        #expect(result.status == 78, "\(result.output)")
        #expect(result.errors.contains("policy.yaml:1:15: ") || result.output.contains("policy.yaml:1:15: "))
    }

    @Test(arguments: ["org/a", "a", "model/org/a", "dataset/org/a", "org/*", "*", "*/a-?B"])
    func aPinThatMayFit(_ name: String) throws {
        #expect(try check("pins: [{repo: \"\(name)\"}]\n").status == 0)
    }

    @Test func aForgottenUnit() throws {
        let result = try check("mode: enforce\ncaches: [{path: /c, min-free: 10}]\n")
        #expect(result.status == 78)
        #expect((result.output + result.errors).contains("10%"))
    }

    @Test func aRuleForEverythingAtOnce() throws {
        #expect(try check("mode: enforce\nrules: [{name: a, match: {repo: \"*\"}}]\n").status == 78)
        #expect(try check("mode: enforce\nrules: [{name: a, match: {repo: \"x/*\"}}]\n").status == 0)
    }

    @Test func aFloorThatNoDiskHas() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.outer.write(
                "policy.yaml", "mode: enforce\ncaches: [{path: \"\(cache.path.text)\", min-free: 900000TB}]\n")
            let result = try Program.run(["enforce", "--policy", cache.outer.absolute("policy.yaml").text])
            #expect(result.status == 78, "\(result.errors)")
            #expect(cache.outer.exists(cache.repo().snapshot(commit(1), "config.json")))
        }
    }

    @Test func onePassAtATime() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.outer.write(
                "policy.yaml", "mode: enforce\ncaches: [{path: \"\(cache.path.text)\", max-size: 1MB}]\n")
            let file = cache.outer.absolute("policy.yaml").text
            let held = try HeldLock(cache.outer, "hub")
            #expect(try Program.run(["enforce", "--policy", file]).status == 75)
            held.release()
            #expect(try Program.run(["enforce", "--policy", file]).status == 0)
        }
    }

    @Test func somebodysOwnFileAmongTheBlobsIsNoOrphan() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.repo().blob(named: "my-finetune.safetensors", [1, 2, 3])
            try cache.outer.write(
                "policy.yaml",
                "mode: enforce\ncaches: [{path: \"\(cache.path.text)\", max-size: 1kB, min-age: 0s}]\n"
                    .replacingOccurrences(of: "1kB", with: "1000kB"))
            let file = cache.outer.absolute("policy.yaml").text
            let plan = try Program.run(["plan", "--policy", file, "--at", "+400d"])
            #expect(!plan.output.contains("my-finetune"))
            let listed = try Program.run(["ls", "--all", "--cache", cache.path.text])
            #expect(listed.output.contains("foreign-entry"), "\(listed.output)")
        }
    }
}
