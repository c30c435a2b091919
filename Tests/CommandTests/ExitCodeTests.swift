import Foundation
import HubCache
import TestSupport
import Testing

/// The exit codes of `verify`, `ls` and `ready`.
@Suite struct ExitCodeTests {
    @Test func good() throws {
        try withTestCache { cache in
            try cache.repo().model()
            for arguments in [
                ["verify"], ["verify", "org/model"], ["ls"], ["ready", "org/model"],
                ["verify", "--depth", "structure"],
            ] {
                let run = try cache.run(arguments)
                #expect(run.status == 0, "\(arguments): \(run)")
                #expect(run.errors == "", "\(arguments)")
            }
        }
    }

    @Test func somethingIsWrong() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try cache.repo("org/fine").model()
            cache.outer.delete(repo.snapshot(commit(1), BytePath(shardName(2, of: 2))))
            #expect(try cache.run(["verify"]).status == 1)
            #expect(try cache.run(["verify", "org/model"]).status == 1)
            #expect(try cache.run(["verify", "org/fine"]).status == 0)
            #expect(try cache.run(["ready", "org/model"]).status == 1)
            #expect(try cache.run(["ready", "org/fine"]).status == 0)
            #expect(try cache.run(["ls"]).status == 0)
        }
    }

    @Test func warningsAndNotesAreGood() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try repo.partial(ReferenceDigest.sha256([1]))
            try repo.blob([2])
            try repo.ref("gone", commit(5))
            #expect(try cache.run(["verify"]).status == 0)
            #expect(try cache.run(["ready", "org/model"]).status == 0)
        }
    }

    @Test func downloading() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            cache.outer.delete(repo.snapshot(commit(1), BytePath(shardName(2, of: 2))))
            let lock = try HeldLock(cache.outer, repo.lockPlace(entries[2].etag))
            defer { lock.release() }
            #expect(try cache.run(["verify", "org/model"]).status == 75)
            #expect(try cache.run(["verify"]).status == 0, "not named")
            #expect(try cache.run(["ready", "org/model"]).status == 75)
        }
    }

    @Test func downloadingOfARepoWithoutAnyRevision() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.partial(ReferenceDigest.sha256([1]))
            let file = try HeldFile(
                cache.outer, repo.place("blobs").appending(ReferenceDigest.sha256([1]) + ".0a1b2c3d.incomplete"))
            #expect(try cache.run(["ready", "org/model"]).status == 75)
            #expect(try cache.run(["verify", "org/model"]).status == 75)
            file.release()
            #expect(try cache.run(["ready", "org/model"]).status == 66)
        }
    }

    @Test func weightsAbsentIsNotReady() throws {
        try withTestCache { cache in
            try cache.repo().file("config.json", Array("{}".utf8), at: commit(1), isLFS: false)
            #expect(try cache.run(["ready", "org/model"]).status == 1)
            #expect(try cache.run(["ready", "org/model", "--allow-subset"]).status == 0)
            #expect(try cache.run(["verify", "org/model"]).status == 0)
        }
    }

    @Test func corruptStaysNotReadyForASubset() throws {
        try withTestCache { cache in
            try cache.repo().file("model.safetensors", [1], at: commit(1))
            #expect(try cache.run(["ready", "org/model", "--allow-subset"]).status == 1)
        }
    }

    @Test func usage() throws {
        try withTestCache { cache in
            try cache.repo().model()
            for arguments in [
                ["verify", "--depth", "deep"], ["verify", "--bogus"], ["ready"], ["verify", "a/b/c/d"],
                ["verify", "a b"],
                ["verify", ""], ["verify", "org/model@"], ["ls", "--sort", "colour"], ["verify", "--jobs", "0"],
                ["bogus"],
                ["verify", "--rate", "-1"], ["verify", "--rate", "fast"], ["verify", "hf://"],
            ] {
                let run = try cache.run(arguments)
                #expect(run.status == 64, "\(arguments): \(run)")
                #expect(run.output == "" && run.errors != "", "\(arguments)")
            }
        }
    }

    @Test func absent() throws {
        try withTestCache { cache in
            try cache.repo().model()
            for arguments in [
                ["verify", "org/other"], ["ready", "org/other"], ["ls", "org/other"], ["verify", "org/model@v9"],
                ["verify", "dataset/org/model"], ["verify", "./nothing"], ["verify", "/nothing/here"],
                ["verify", "org/model@2222222"], ["ready", "org/model@refs/pr/1"],
            ] {
                let run = try cache.run(arguments)
                #expect(run.status == 66, "\(arguments): \(run)")
                #expect(run.output == "" && run.errors.hasPrefix("hfjanitor: "))
            }
            #expect(try Program.run(["verify", "--cache", "/nothing/here"]).status == 66)
            #expect(try Program.run(["ls", "--cache", cache.path.appending("CACHEDIR.TAG").text]).status == 66)
        }
    }

    @Test func namedFolderThatIsNoCacheIsAbsent() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try cache.outer.write("else/notes.txt", "x")
            let places = [
                (cache.outer.path, "did you mean '\(cache.path.text)'?"),
                (cache.path.appending(repo.folder), "it is a repo's folder; did you mean '\(cache.path.text)'?"),
                (cache.outer.absolute("else"), "nothing in it belongs to one"),
            ]
            for (place, hint) in places {
                for command in [
                    ["verify"], ["ls"], ["ready", "org/model"], ["plan"], ["enforce", "--yes"],
                    ["explain", "org/model"], ["rm", "org/model", "--yes"], ["repair"], ["status"],
                ] {
                    let run = try Program.run(command + ["--cache", place.text])
                    #expect(run.status == 66, "\(command): \(run)")
                    #expect(run.output == "" && run.errors.contains("is no cache: \(hint)"), "\(command): \(run)")
                }
            }
            // The environment's is only warned of, as a client would make a cache of it.
            let run = try Program.run(["verify"], environment: ["HF_HUB_CACHE": cache.outer.path.text])
            #expect(run.status == 0 && run.errors.contains("is no cache: did you mean"), "\(run)")
        }
    }

    @Test(arguments: [
        [], ["lost+found/"], [".locks/"], ["CACHEDIR.TAG", "notes.txt"], ["models--org--x/", "notes.txt"],
    ])
    func namedFolderThatMayBecomeACacheIsOne(entries: [String]) throws {
        try withTestCache { cache in
            try cache.outer.makeFolder("new")
            for entry in entries {
                let place = BytePath("new").appending(BytePath(entry))
                if entry.hasSuffix("/") { try cache.outer.makeFolder(place) } else { try cache.outer.write(place, "") }
            }
            for command in [["verify"], ["ls"], ["plan"]] {
                let run = try Program.run(command + ["--cache", cache.outer.absolute("new").text])
                #expect(run.status == 0 && run.errors == "", "\(command): \(run)")
            }
        }
    }

    @Test func readyGivesADocumentWhateverItFinds() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.repo("org/gone").ref("main", commit(7))
            for (target, status) in [
                ("org/model", Int32(0)), ("org/other", 66), ("org/model@v9", 66), ("org/gone", 66),
            ] {
                for wait in [[], ["--wait", "0"]] {
                    let run = try cache.run(["ready", target, "--json"] + wait)
                    #expect(run.status == (wait.isEmpty || status == 0 ? status : 75), "\(target): \(run.errors)")
                    let document = try run.json
                    #expect(document["schema"] as? String == "hfjanitor.ready/1")
                    #expect(document["ready"] as? Bool == (status == 0))
                    let message = document["error_message"] as? String
                    #expect(message.map { run.errors.contains($0) } == (status == 0 ? nil : true), "\(run)")
                }
            }
        }
    }

    /// Clients before 1.0 write no manifest: of a weight file that was being fetched only the partial is left.
    @Test func whatMayLackAnInterruptedFileIsNotReady() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(withManifest: false)
            #expect(try cache.run(["ready", "org/model"]).errors == "")
            let etag = ReferenceDigest.sha256([42])
            try repo.partial(etag)
            let lock = try HeldLock(cache.outer, repo.lockPlace(etag))
            #expect(try cache.run(["ready", "org/model"]).status == 75)
            lock.release()
            for target in ["org/model", "org/model@main", "org/model@1111111"] {
                let run = try cache.run(["ready", target])
                #expect(run.status == 1, "\(run)")
                #expect(run.output.contains("stale-partial") && run.output.contains(etag), "\(run.output)")
                for word in ["fetch it again", "hfjanitor plan", "--allow-subset"] {
                    #expect(run.output.contains(word), "\(run.output)")
                }
            }
            try expectLeftover(of: cache, "org/model")
        }
    }

    @Test(arguments: ["", ".0a1b2c3d"]) func treeThatMayLackAnInterruptedFileIsNotReady(writer: String) throws {
        try withTestCache { cache in
            try cache.outer.write("tree/config.json", "{}")
            try cache.outer.write("tree/model.safetensors", safetensors([("a", [1])]))
            #expect(try cache.run(["ready", "./tree"]).status == 0)
            let etag = ReferenceDigest.sha256([42])
            let name = "4SfAgk9U607e8pVunEB9nSiU10k=.\(etag)\(writer).incomplete"
            try cache.outer.write(BytePath("tree/.cache/huggingface/download/unet/" + name), [1])
            let run = try cache.run(["ready", "./tree"])
            #expect(run.status == 1 && run.output.contains(etag), "\(run)")
            try expectLeftover(of: cache, "./tree")
        }
    }

    private func expectLeftover(of cache: TestCache, _ target: String) throws {
        let told = try cache.run(["ready", target, "--json"])
        #expect(told.status == 1)
        #expect(try told.json["ready"] as? Bool == false)
        let findings = try #require(try told.json["findings"] as? [[String: Any]])
        let leftover = try #require(findings.first { $0["code"] as? String == "stale-partial" })
        #expect((leftover["detail"] as? String)?.contains("--allow-subset") == true)
        let allowed = try cache.run(["ready", target, "--allow-subset"])
        #expect(allowed.status == 0 && allowed.errors.contains("fetch it again"), "\(allowed)")
    }

    /// The Python client compares what the file holds, and asks the Hub, or fails offline.
    @Test(arguments: ["\(commit(1))\n", " \(commit(1))"]) func refAmidWhiteSpaceIsNotReady(content: String) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try repo.ref("main", content)
            try repo.ref("next", commit(1))
            for target in ["org/model", "org/model@main", cache.path.appending(repo.folder).text] {
                let run = try cache.run(["ready", target])
                #expect(run.status == 1, "\(target): \(run)")
                #expect(run.errors.contains("no client can use it offline"), "\(run.errors)")
                #expect(run.errors.contains("rewrite 'models--org--model/refs/main'"), "\(run.errors)")
            }
            #expect(try cache.run(["ready", "org/model", "--json"]).json["ready"] as? Bool == false)
            let snapshot = cache.path.appending(repo.folder).appending("snapshots").appending(BytePath(commit(1)))
            for target in ["org/model@next", "org/model@1111111", "org/model@\(commit(1))", snapshot.text] {
                let run = try cache.run(["ready", target])
                #expect(run.status == 0, "\(target): \(run)")
            }
        }
    }

    @Test func refOfWhichNothingIsHereIsAbsent() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.repo().ref("next", commit(7))
            let run = try cache.run(["ready", "org/model@next"])
            #expect(run.status == 66)
            #expect(run.errors.contains(commit(7)))
        }
    }

    @Test func readyChoosesMainElseTheOnlyOne() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(commit(1))
            try cache.outer.makeFolder(repo.snapshot(commit(2)))
            #expect(try cache.run(["ready", "org/model"]).status == 0)
            #expect(try cache.run(["ready", "org/model@2222222"]).status == 1)
            cache.outer.delete(repo.place("refs"))
            let ambiguous = try cache.run(["ready", "org/model"])
            #expect(ambiguous.status == 64)
            #expect(ambiguous.errors.contains(commit(1)) && ambiguous.errors.contains(commit(2)))
            cache.outer.delete(repo.snapshot(commit(2)))
            #expect(try cache.run(["ready", "org/model"]).status == 0)
        }
    }

    @Test func mainOfWhichNothingIsHereIsNotAnotherRevision() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(commit(1))
            try repo.ref("main", commit(2))
            // The revision is refs/main, and that one is not here: a server would download it, or fail.
            let run = try cache.run(["ready", "org/model"])
            #expect(run.status == 66, "\(run)")
        }
    }

    @Test(.enabled(if: isRoot)) func permission() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            try cache.repo("org/fine").model()
            // Manifests are 0600 as the clients write them: said, and judged without them.
            #expect(try cache.run(["verify"], user: 65534).status == 0)
            #expect(try cache.run(["verify", "--json"], user: 65534).codes == ["unverifiable"])
            try cache.outer.chmod(repo.place("blobs").appending(entries[1].etag), 0)
            let run = try cache.run(["verify", "--json"], user: 65534)
            #expect(run.status == 77)
            #expect(try run.codes.contains("unreadable"))
            let summary = try #require(try run.json["summary"] as? [String: Any])
            #expect(summary["unknown"] as? Int == 1 && summary["complete"] as? Int == 1)
            #expect(try run.repoIDs == ["model/org/fine", "model/org/model"])
            #expect(try cache.run(["ready", "org/model"], user: 65534).status == 77)
            #expect(try cache.run(["ready", "org/fine"], user: 65534).status == 0)
            // A real error counts for more.
            cache.outer.delete(cache.repo("org/fine").snapshot(commit(1), BytePath(shardName(2, of: 2))))
            #expect(try cache.run(["verify"], user: 65534).status == 1)
        }
    }

    @Test(
        .enabled(if: isRoot),
        arguments: [
            "models--org--model", "models--org--model/blobs", "models--org--model/snapshots", "models--org--model/refs",
            "models--org--model/trees", "models--org--model/snapshots/C", "models--org--model/snapshots/C/sub",
            ".locks", "blobs",
            "blobs/SHELF",
        ], [0o000, 0o444])
    func unreadableFolder(place: String, mode: Int) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try repo.file("sub/x.txt", [1, 2, 3], at: commit(1))
            try cache.repo("org/fine").model()
            try cache.outer.write(repo.lockPlace("x"), "")
            try cache.makeStore()
            let hash = try cache.payload([9, 9, 9])
            try repo.linkBlob(ReferenceDigest.sha256([9, 9, 9]), toPayload: hash)
            try repo.link("big.bin", to: ReferenceDigest.sha256([9, 9, 9]), at: commit(1))
            let other = try cache.payload([8, 8, 8])
            try cache.repo("org/fine").linkBlob(ReferenceDigest.sha256([8, 8, 8]), toPayload: other)
            try cache.repo("org/fine").link("big.bin", to: ReferenceDigest.sha256([8, 8, 8]), at: commit(1))
            let place = BytePath(place.replacing("C", with: commit(1)).replacing("SHELF", with: String(hash.prefix(2))))
            try cache.outer.chmod(cache.place(place), UInt32(mode))
            let run = try cache.run(["verify", "--json"], user: 65534)
            // In a folder that may be listed and not entered, names are seen and nothing else.
            let isManifests = place.hasSuffix("trees") && mode == 0o444
            #expect(run.status == 77 || isManifests && run.status == 0, "\(place) \(run.output)")
            #expect(
                try run.codes.isSubset(of: [
                    "unreadable", "unverifiable", "weights-absent", "ref-without-snapshot", "detached", "foreign-entry",
                ]), "\(place) \(run.output)")
            if !isManifests { #expect(try run.codes.contains("unreadable")) }
            if place != "blobs" {
                let fine = try cache.run(["verify", "org/fine"], user: 65534)
                #expect(fine.status == 0 || place == ".locks", "\(place): \(fine)")
            }
            #expect(try run.repoIDs == ["model/org/fine", "model/org/model"])
            #expect(try cache.run(["ls", "--json"], user: 65534).status == 0)
        }
    }

    /// Where neither locks nor open files can be told, the time of the last write decides.
    @Test(
        .enabled(if: isRoot),
        arguments: [
            (-60, "in-flight"), (-3600, "stale-partial"), (3600, "stale-partial"), (9_000_000_000, "stale-partial"),
        ])
    func partialOfAnotherUser(age: Int, code: String) throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.repo().partial(ReferenceDigest.sha256([1]), suffix: ".incomplete")
            let place = cache.repo().place("blobs").appending(ReferenceDigest.sha256([1]) + ".incomplete")
            let time = Int(Date().timeIntervalSince1970) + age
            try cache.outer.setTimes(place, accessed: time, modified: time)
            let codes = try cache.run(["verify", "--json"], user: 65534).codes
            #expect(codes == [code, "unverifiable"])
        }
    }

    @Test func lowLimitOfOpenFiles() throws {
        try withTestCache { cache in
            for number in 0..<20 {
                let path = BytePath(Array(repeating: "d", count: 30).joined(separator: "/") + "/model.safetensors")
                try cache.repo("org/m\(number)").file(path, safetensors([("a", [1])]), at: commit(1))
            }
            let run = try Program.run(
                ["verify", "--jobs", "16", "--cache", cache.path.text],
                wrapper: ["/bin/sh", "-c", "ulimit -S -n 24 && exec \"$@\"", "sh"])
            #expect(run.status == 0, "\(run)")
        }
    }

    @Test(.enabled(if: isRoot)) func unreadableRoot() throws {
        try withTestCache { cache in
            try cache.outer.chmod("hub", 0)
            let run = try cache.run(["verify"], user: 65534)
            #expect(run.status == 77)
            #expect(run.errors.contains("Permission denied"))
        }
    }
}
