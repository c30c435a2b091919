import Foundation
import HubCache
import TestSupport
import Testing

/// What a TARGET may be, and how the cache is found.
@Suite struct TargetTests {
    @Test(arguments: [
        "org/model", "model/org/model", "models/org/model", "hf://org/model", "hf://models/org/model",
        "models--org--model",
        "org/model@main", "org/model@refs/pr/1", "org/model@1111111", "hf://org/model@main",
        "hf://org/model@refs%2Fpr%2F1",
        "./hub/models--org--model", "org/model@feature/a", "./hub/models--org--model/", "hf://org/model/",
    ])
    func formsOfOneModel(target: String) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try repo.ref("refs/pr/1", commit(1))
            try repo.ref("feature/a", commit(1))
            try cache.repo("org/model", .dataset).file("x.csv", [1], at: commit(2))
            try cache.repo("other/model").model()
            let run = try cache.run(["verify", target, "--json"])
            if target.contains("/") && !target.contains("models") && !target.contains("model/org")
                && !target.hasPrefix("hf")
            {
                // A dataset has that name too.
                #expect(run.status == 64, "\(run)")
                #expect(run.errors.contains("model/org/model") && run.errors.contains("dataset/org/model"))
                return
            }
            #expect(run.status == 0, "\(run)")
            #expect(try run.repoIDs == ["model/org/model"])
        }
    }

    @Test(arguments: [
        (RepoType.dataset, ["org/data", "dataset/org/data", "datasets/org/data", "hf://datasets/org/data"]),
        (.space, ["space/org/data", "hf://spaces/org/data"]),
        (.kernel, ["kernel/org/data", "kernels/org/data", "kernels--org--data"]),
    ])
    func otherTypes(type: RepoType, targets: [String]) throws {
        try withTestCache { cache in
            try cache.repo("org/data", type).file("x", [1], at: commit(1))
            for target in targets {
                #expect(
                    try cache.run(["verify", target, "--json"]).repoIDs == ["\(type.rawValue)/org/data"], "\(target)")
            }
        }
    }

    @Test func nameOfOneSegment() throws {
        try withTestCache { cache in
            try cache.repo("gpt2").model()
            #expect(try cache.run(["ready", "gpt2"]).status == 0)
            #expect(try cache.run(["ready", "model/gpt2"]).status == 0)
        }
    }

    @Test func organisationCalledModel() throws {
        try withTestCache { cache in
            try cache.repo("model/x").model()
            #expect(try cache.run(["verify", "model/x", "--json"]).repoIDs == ["model/model/x"])
            try cache.repo("x").model()
            let run = try cache.run(["verify", "model/x"])
            #expect(run.status == 64)
            #expect(run.errors.contains("model/model/x"))
        }
    }

    @Test func refsWinOverCommits() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(commit(1))
            try cache.outer.makeFolder(repo.snapshot(commit(2)))
            try repo.ref("1111111", commit(2))
            #expect(try cache.run(["verify", "org/model@1111111"]).status == 1)
            #expect(try cache.run(["verify", "org/model@11111111"]).status == 0)
            #expect(try cache.run(["verify", "org/model@111111"]).status == 66, "six digits are no commit")
        }
    }

    @Test func shortCommitOfSeveral() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let near = String(repeating: "1", count: 39) + "2"
            try repo.file("a.safetensors", safetensors([("a", [1])]), at: commit(1))
            try repo.file("a.safetensors", safetensors([("a", [1])]), at: near)
            let run = try cache.run(["verify", "org/model@1111111"])
            #expect(run.status == 64)
            #expect(run.errors.contains(commit(1)) && run.errors.contains(near))
            #expect(try cache.run(["verify", "org/model@\(near)"]).status == 0)
        }
    }

    @Test func ambiguousOverCaches() throws {
        try withTestCache { one in
            try withTestCache { other in
                try one.repo().model()
                try other.repo().model()
                let both = ["--cache", one.path.text, "--cache", other.path.text]
                let run = try Program.run(["ready", "org/model"] + both)
                #expect(run.status == 64)
                #expect(run.errors.contains(one.path.text) && run.errors.contains(other.path.text))
                #expect(try Program.run(["verify", "--json"] + both).repoIDs.count == 2)
                let path = one.path.appending("models--org--model").text
                #expect(try Program.run(["ready", path] + both).status == 0)
            }
        }
    }

    @Test func sameCacheTwiceThroughALink() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.outer.link("alias", to: "hub")
            let both = [
                "--cache", cache.path.text, "--cache", cache.outer.absolute("alias").text, "--cache", "hub/../hub/",
            ]
            let run = try Program.run(["verify", "--json"] + both, folder: cache.outer.path.text)
            #expect(try run.repoIDs == ["model/org/model"])
            #expect(try Program.run(["ready", "org/model"] + both, folder: cache.outer.path.text).status == 0)
        }
    }

    @Test func sameRepoNamedTwice() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let run = try cache.run(["verify", "org/model", "model/org/model", "--json"])
            #expect(try run.repoIDs == ["model/org/model"])
            try cache.outer.makeFolder(cache.repo().snapshot(commit(2)))
            for targets in [
                ["org/model@1111111", "org/model@2222222"], ["org/model@main", "org/model"], ["./hub", "org/model"],
                ["org/model", "./hub/", "./hub"],
            ] {
                let run = try cache.run(["ls", "--json", "--revisions"] + targets)
                #expect(try run.repoIDs == ["model/org/model"], "\(targets)")
                let caches = try #require(try run.json["caches"] as? [[String: Any]])
                #expect(caches.count == 1, "\(targets)")
                let repo = try #require((caches.first?["repos"] as? [[String: Any]])?.first)
                #expect((repo["revisions"] as? [Any])?.count == 2, "\(targets)")
            }
            let list = try cache.run(["ls", "org/model", "model/org/model", "--json"])
            #expect(try list.repoIDs == ["model/org/model"])
        }
    }

    @Test func pathsOfFoldersInACache() throws {
        try withTestCache { cache in
            try cache.repo().model(commit(1))
            try cache.outer.makeFolder(cache.repo().snapshot(commit(2)))
            try cache.repo("org/other").model()
            func verify(_ target: String) throws -> ProgramRun {
                try Program.run(["verify", target, "--json"], folder: cache.outer.path.text)
            }
            #expect(try verify("./hub").repoIDs == ["model/org/model", "model/org/other"])
            #expect(try verify("./hub/models--org--other").repoIDs == ["model/org/other"])
            let snapshot = try verify("./hub/models--org--model/snapshots/\(commit(1))")
            #expect(try snapshot.repoIDs == ["model/org/model"])
            #expect(snapshot.status == 0, "the other revision is not meant")
            #expect(try verify("./hub/models--org--model/snapshots/\(commit(2))").status == 1)
            #expect(
                try verify(cache.path.text + "/models--org--model/../models--org--other/").repoIDs == [
                    "model/org/other"
                ])
        }
    }

    @Test func plainFolders() throws {
        try withTestCache { cache in
            try cache.outer.write("weights/model.safetensors", safetensors([("a", [1])]))
            try cache.outer.write("weights/config.json", "{}")
            let run = try cache.run(["verify", "./weights", "--json"])
            #expect(run.status == 0)
            #expect(try run.repoIDs == ["local:./weights"])
            let caches = try #require(try run.json["caches"] as? [[String: Any]])
            #expect(caches.count == 1)
            #expect(caches.first?["path"] as? String == cache.outer.absolute("weights").text)
            let repo = try #require((caches.first?["repos"] as? [[String: Any]])?.first)
            #expect(repo["folder"] as? String == ".")
            let revision = try #require((repo["revisions"] as? [[String: Any]])?.first)
            #expect(revision["commit"] is NSNull)
            #expect(try cache.run(["ready", "./weights"]).status == 0)
            #expect(try cache.run(["ls", "./weights"]).status == 0)
            try cache.outer.resize("weights/model.safetensors", to: 20)
            #expect(try cache.run(["verify", "./weights"]).status == 1)
            #expect(try cache.run(["ready", "./weights"]).status == 1)
        }
    }

    @Test func singleFiles() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try cache.outer.write("one.safetensors", safetensors([("a", [1])]))
            try cache.outer.write("cut.safetensors", Array(safetensors([("a", [1, 2, 3])]).dropLast()))
            try cache.outer.link("alias.safetensors", to: "cut.safetensors")
            try cache.outer.fifo("pipe.safetensors")
            #expect(try cache.run(["verify", "./one.safetensors"]).status == 0)
            #expect(try cache.run(["verify", "./cut.safetensors"]).status == 1)
            #expect(try cache.run(["verify", "./alias.safetensors"]).status == 1)
            #expect(try cache.run(["verify", "./pipe.safetensors"]).status == 1)
            #expect(try cache.run(["ready", cache.outer.absolute("one.safetensors").text]).status == 0)
            // A file of a snapshot is a link to a blob without an extension.
            let file = "./hub/models--org--model/snapshots/\(commit(1))/model-00001-of-00002.safetensors"
            let run = try cache.run(["verify", file, "--json"])
            #expect(run.status == 0, "\(run)")
            let etag = try repo.file(
                "broken.safetensors", Array(safetensors([("a", [1, 2, 3])]).dropLast()), at: commit(1))
            #expect(!etag.isEmpty)
            #expect(
                try cache.run(["verify", "./hub/models--org--model/snapshots/\(commit(1))/broken.safetensors"]).status
                    == 1)
        }
    }

    @Test func homeFolder() throws {
        try withTestCache { cache in
            try cache.outer.write("weights/model.safetensors", safetensors([("a", [1])]))
            let run = try Program.run(["ready", "~/weights"], environment: ["HOME": cache.outer.path.text])
            #expect(run.status == 0, "\(run)")
        }
    }

    // MARK: the default cache

    @Test func defaultCacheThatDoesNotExistYet() throws {
        try withTestFolder { folder in
            let home = ["HOME": folder.path.text]
            for command in ["verify", "ls"] {
                let run = try Program.run([command, "--json"], environment: home)
                #expect(run.status == 0)
                #expect((try run.json["caches"] as? [Any])?.isEmpty == true)
                #expect(run.errors.contains(".cache/huggingface/hub"))
                #expect(try Program.run([command], environment: home).status == 0)
            }
            #expect(try Program.run(["ready", "org/model"], environment: home).status == 66)
            #expect(try Program.run(["verify", "org/model"], environment: home).status == 66)
            #expect(!folder.exists(".cache"))
        }
    }

    @Test(arguments: [
        (["HF_HUB_CACHE": "H/hub"], ""), (["HUGGINGFACE_HUB_CACHE": "H/hub"], ""),
        (["HF_HUB_CACHE": "H/hub", "HUGGINGFACE_HUB_CACHE": "/nothing", "HF_HOME": "/nothing"], ""),
        (["HF_HOME": "H"], ""), (["HF_HOME": "~"], ""), (["HF_HOME": "$ROOT"], ""), (["HF_HOME": "${ROOT}/x/.."], ""),
        (["HF_HUB_CACHE": "~/hub"], ""), (["HF_HUB_CACHE": ""], "hub"), (["HF_HOME": ""], ""),
        (["HF_HUB_CACHE": "hub"], ""),
        (["HUGGINGFACE_HUB_CACHE": "", "HF_HOME": "/nothing"], "hub"),
    ])
    func variables(environment: [String: String], folder: String) throws {
        try withTestCache { cache in
            try cache.repo().model()
            let root = cache.outer.path.text
            var variables = environment.mapValues { $0.replacing("H/", with: root + "/") }
            if variables["HF_HOME"] == "H" { variables["HF_HOME"] = root }
            variables["HOME"] = root
            variables["ROOT"] = root
            try cache.outer.makeFolder("x")
            let run = try Program.run(["ready", "org/model"], environment: variables, folder: root + "/" + folder)
            #expect(run.status == 0, "\(run)")
        }
    }

    @Test(arguments: [("XDG", "XDG/huggingface/hub"), ("", "huggingface/hub"), ("$ROOT/XDG", "XDG/huggingface/hub")])
    func cacheHome(value: String, place: String) throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.outer.makeFolder(BytePath(place).parent)
            try cache.outer.move("hub", to: BytePath(place))
            let root = cache.outer.path.text
            let value = value == "XDG" ? root + "/XDG" : value
            let run = try Program.run(
                ["ready", "org/model"], environment: ["XDG_CACHE_HOME": value, "HOME": "/nothing", "ROOT": root],
                folder: root)
            #expect(run.status == 0, "\(run)")
        }
    }

    @Test func homeIsTheLastResort() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.outer.makeFolder(".cache/huggingface")
            try cache.outer.move("hub", to: ".cache/huggingface/hub")
            #expect(try Program.run(["ready", "org/model"], environment: ["HOME": cache.outer.path.text]).status == 0)
        }
    }
}
