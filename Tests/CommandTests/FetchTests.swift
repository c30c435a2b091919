import Foundation
import HubCache
import TestSupport
import Testing

/// What `fetch` and `repair` say and leave, from a stand-in Hub.
@Suite struct FetchCommandTests {
    private struct Ground {
        let hub: HubStandIn
        let folder: TestFolder
        var cache: String { folder.absolute("hub").text }
        var environment: [String: String] {
            [
                "HF_ENDPOINT": hub.hub, "HF_HOME": folder.absolute("home").text,
                "XDG_STATE_HOME": folder.absolute("state").text,
            ]
        }

        func run(
            _ arguments: [String], _ more: [String: String] = [:], user: UInt32? = nil
        ) throws -> ProgramRun {
            try Program.run(
                arguments + ["--cache", cache], environment: environment.merging(more) { _, new in new }, user: user)
        }

        func lock(_ name: String) -> BytePath { BytePath("hub/.locks/\(name)") }
    }

    private static let longName = "a-very-long-name/" + String(repeating: "長い", count: 40) + "/model-00001.safetensors"

    private func withHub(_ body: (Ground) throws -> Void) throws {
        try withTestFolder { folder in
            let small = ["base64": Data("{}".utf8).base64EncodedString()]
            let parts = ["part-0.bin", "part-1.bin", "part-2.bin"].reduce(into: [String: Any]()) { files, name in
                files[name] = ["size": 17 << 20, "seed": name] as [String: Any]
            }
            let description: [String: Any] = [
                "repos": [
                    ["id": "acme/x", "commits": [["files": ["config.json": small]]]],
                    [
                        "id": "acme/parts",
                        "commits": [
                            ["files": parts],
                            ["branch": "more", "files": parts.merging(["config.json": small]) { $1 }],
                        ],
                    ],
                    ["id": "acme/y", "commits": [["files": ["settings.json": small]]]],
                    [
                        "id": "acme/long",
                        "commits": [["files": [Self.longName: ["size": 1_000_000, "seed": "long"] as [String: Any]]]],
                    ],
                ]
            ]
            try folder.makeFolder("hub/.locks")
            try body(Ground(hub: HubStandIn(description, in: folder), folder: folder))
        }
    }

    @Test func patternsThatNoFileFitsWriteNothing() throws {
        try withHub { ground in
            let before = TreeFingerprint(ground.folder.path.appending("hub"))
            let run = try ground.run(["fetch", "acme/parts", "--include", "*.nope", "--include", "*.NOPE"])
            #expect(run.status == 66 && run.output.isEmpty, "\(run)")
            #expect(
                run.errors.contains("no file of model/acme/parts@main is chosen by include '*.nope', '*.NOPE'"),
                "\(run.errors)")
            let told = try ground.run(["fetch", "acme/parts", "--include", "*.nope", "--json"])
            #expect(try told.status == 66 && told.json["error_code"] as? String == "entry_not_found")
            #expect(TreeFingerprint(ground.folder.path.appending("hub")).differences(from: before) == [])
        }
    }

    /// What was asked for and did not come is missing, also what was never begun; until somebody asks for less of that revision.
    @Test func whatAFetchDidNotGetToIsMissing() throws {
        try withHub { ground in
            func missing(_ revision: String = "main") throws -> (status: Int32, files: Int) {
                let run = try ground.run(["verify", "--json", "acme/parts@\(revision)"])
                return (run.status, run.output.components(separatedBy: "\"missing-file\"").count - 1)
            }
            func fetch(_ words: String...) throws -> Int32 { try ground.run(["fetch", "acme/parts"] + words).status }
            #expect(try fetch("--include", "part-0.bin") == 0)
            #expect(try missing() == (0, 0), "a part that was asked for is all there is to be")
            let repo: BytePath = "hub/models--acme--parts"
            try ground.folder.copy(repo, to: "subset")
            try ground.hub.fault("status", ["origin": "hub", "path": "*/resolve/*", "status": 404])
            #expect(try fetch() == 66)
            #expect(try missing() == (1, 2))
            #expect(try ground.run(["ready", "acme/parts", "--allow-subset"]).status == 1)
            try ground.hub.clear()
            // The other revision has the same files, and one more.
            #expect(try fetch("--revision", "more", "--include", "part-0.bin") == 0)
            #expect(try missing("more") == (0, 0))
            #expect(try missing() == (1, 2), "another revision is another wish")
            #expect(try fetch("--revision", "more") == 0)
            #expect(try missing("more") == (0, 0))
            for _ in 1...2 { #expect(try missing() == (1, 2), "its links are not here") }
            #expect(try fetch("--include", "part-0.bin") == 0)
            #expect(try missing() == (0, 0))
            // Removed, and fetched again in part by somebody else.
            func remove(_ name: String) throws -> Int32 {
                try ground.run(["rm", name, "--yes", "--force", "--assume-unused"]).status
            }
            #expect(try remove("acme/parts@more") == 0)
            try ground.hub.fault("status", ["origin": "hub", "path": "*/resolve/*", "status": 404])
            #expect(try fetch() == 66)
            #expect(try missing() == (1, 2))
            #expect(try remove("acme/parts") == 0)
            try ground.folder.copy("subset", to: repo)
            #expect(try missing() == (0, 0), "what was wanted before it was removed is not wanted now")
        }
    }

    /// Of two at once the smaller one is done first, and takes nothing back of what the larger one wants.
    @Test func aSmallerFetchForgetsNothingOfALargerOne() throws {
        try withHub { ground in
            func missing() throws -> Int {
                try ground.run(["verify", "--json", "acme/parts"]).output
                    .components(separatedBy: "\"missing-file\"").count - 1
            }
            #expect(try ground.run(["fetch", "acme/parts", "--include", "part-0.bin"]).status == 0)
            try ground.hub.fault("mute", ["origin": "hub", "path": "*/resolve/*part-1*"])
            let larger = try Program.start(
                ["fetch", "acme/parts", "--cache", ground.cache], environment: ground.environment
            ).process
            let locks = ground.folder.path.appending("hub/.locks/models--acme--parts")
            let before = try FileManager.default.contentsOfDirectory(atPath: locks.text).count
            let end = Date().addingTimeInterval(60)
            while try FileManager.default.contentsOfDirectory(atPath: locks.text).count == before, Date() < end {
                Thread.sleep(forTimeInterval: 0.02)
            }
            #expect(try ground.run(["fetch", "acme/parts", "--include", "part-0.bin"]).status == 0)
            larger.terminate()
            larger.waitUntilExit()
            #expect(try missing() > 0)
            // Who wants less when nobody wants more has it.
            try ground.hub.clear()
            #expect(try ground.run(["fetch", "acme/parts", "--include", "part-0.bin"]).status == 0)
            #expect(try missing() == 0)
        }
    }

    /// A folder in a file's place is told, and the rest comes.
    @Test func aFolderInAFilesPlaceIsLeftAlone() throws {
        try withHub { ground in
            #expect(try ground.run(["fetch", "acme/parts", "--include", "part-2.bin"]).status == 0)
            let snapshots = ground.folder.path.appending("hub/models--acme--parts/snapshots")
            let commit = try #require(FileManager.default.contentsOfDirectory(atPath: snapshots.text).first)
            try ground.folder.makeFolder(BytePath("hub/models--acme--parts/snapshots/\(commit)/part-0.bin"))
            let run = try ground.run(["fetch", "acme/parts"])
            #expect(run.status == 75 && run.errors.contains("part-0.bin"), "\(run.output)\(run.errors)")
            #expect(ground.folder.exists(BytePath("hub/models--acme--parts/snapshots/\(commit)/part-1.bin")))
            let verdict = try ground.run(["verify", "--json", "acme/parts"])
            #expect(verdict.status == 1 && verdict.output.contains("\"not-a-file\""), "\(verdict.output)")
        }
    }

    @Test func aDocumentInASlotsPlaceStaysAsItIs() throws {
        try withHub { ground in
            let words = Array("my thesis".utf8)
            try ground.folder.write("document", words)
            try ground.folder.hardLink(ground.lock("hfjanitor-download-0.lock"), to: "document")
            let run = try ground.run(["fetch", "acme/x"])
            #expect(
                FileManager.default.contents(atPath: ground.folder.absolute("document").text).map { Array($0) } == words
            )
            #expect(run.status == 77 && run.errors.contains("hfjanitor-download-0.lock"), "\(run.errors)")
            #expect(run.errors.contains("see what it is for"), "\(run.errors)")
        }
    }

    @Test(arguments: ["hfjanitor-download-0.lock", "hfjanitor-downloads.lock"])
    func aPipeInALocksPlaceIsNamed(name: String) throws {
        try withHub { ground in
            try ground.folder.fifo(ground.lock(name))
            let run = try ground.run(["fetch", "acme/x"])
            #expect(run.status == 77 && run.errors.contains(name), "\(run.errors)")
            #expect(run.errors.contains("see what it is for, and remove it"), "\(run.errors)")
        }
    }

    @Test(.enabled(if: isRoot)) func usersOfASharedCacheFetchOneAfterTheOther() throws {
        try withHub { ground in
            try ground.folder.chmod(".", 0o755)
            for place: BytePath in ["hub", "hub/.locks"] { try ground.folder.chmod(place, 0o777) }
            let home = ["HF_HOME": "/nonexistent"]
            for (id, user) in [("acme/x", UInt32(61234)), ("acme/y", 61235), ("acme/long", 61236)] {
                let run = try ground.run(["fetch", id], home, user: user)
                #expect(run.status == 0, "\(user): \(run.errors)")
            }
        }
    }

    @Test(arguments: [
        ["acme/x", "--revision", ""], ["acme/x@../../etc"], ["acme/x", "--revision", "a//b"], ["acme/x@/main"],
    ])
    func impossibleRevisionsAreUsage(words: [String]) throws {
        try withHub { ground in
            for command in ["fetch", "preview"] {
                let run = try ground.run([command] + words)
                #expect(run.status == 64 && run.errors.contains("no revision can be named"), "\(run.errors)")
            }
            #expect(try ground.hub.log().isEmpty)
        }
    }

    @Test func attemptsAreToldWhereThereWereSeveral() throws {
        try withHub { ground in
            #expect(try ground.run(["fetch", "acme/x"]).status == 0)
            ground.folder.delete("hub/models--acme--x/blobs")
            try ground.folder.makeFolder("hub/models--acme--x/blobs")
            let offline = try ground.run(["repair"], ["HF_HUB_OFFLINE": "1"])
            #expect(offline.status == 69 && offline.output.contains("offline"), "\(offline)")
            #expect(!offline.output.contains("of 5"), "\(offline.output)")
            try ground.hub.fault(
                "status", ["status": 404, "headers": ["X-Error-Code": "RepoNotFound"], "path": "*", "times": 100])
            let gone = try ground.run(["repair"])
            #expect(gone.status == 66, "\(gone)")
            #expect(gone.output.components(separatedBy: "1 of 5").count == 2, "\(gone.output)")
        }
    }

    /// Root's own environment stays behind when it works as a cache's owner; a token that the caller gave does not.
    @Test(.enabled(if: isRoot)) func rootOnAnothersCache() throws {
        try withHub { ground in
            try ground.folder.chmod(".", 0o755)
            let user: UInt32 = 61234
            for place: BytePath in ["hub", "hub/.locks"] { try ground.folder.chown(place, user) }
            let token = ["HF_TOKEN": "hf_" + String(repeating: "s", count: 34)]
            let fetched = try ground.run(["fetch", "acme/x"], token)
            #expect(fetched.status == 0, "\(fetched.errors)")
            #expect(try ground.hub.originsWithToken().contains("hub"))
            // That user has no home, so that nothing is remembered: whoever relies on it is told.
            for command in [["ready", "acme/x", "--allow-subset"], ["repair", "acme/x"]] {
                let run = try ground.run(command, token)
                #expect(run.status == 0, "\(run.errors)")
                #expect(run.errors.components(separatedBy: "nothing is remembered").count == 2, "\(run.errors)")
            }
        }
    }

    /// As in a container: the cache's owner has no home, and the state folder is the owner's.
    @Test(.enabled(if: isRoot)) func rootRemembersForAnOwnerWithoutHome() throws {
        try withHub { ground in
            try ground.folder.chmod(".", 0o755)
            let user: UInt32 = 61234
            try ground.folder.makeFolder("state")
            for place: BytePath in ["hub", "hub/.locks", "state"] { try ground.folder.chown(place, user) }
            #expect(try ground.run(["fetch", "acme/x"]).status == 0)
            let blobs = try FileManager.default.contentsOfDirectory(atPath: ground.cache + "/models--acme--x/blobs")
            let blob = BytePath("hub/models--acme--x/blobs/\(try #require(blobs.first))")
            try ground.folder.write(blob, "[]")
            try ground.folder.chown(blob, user)
            #expect(try ground.run(["verify", "--depth", "digests"]).status == 1)
            let ready = try ground.run(["ready", "acme/x", "--allow-subset"])
            #expect(ready.status == 1 && ready.output.contains("digest-mismatch"), "\(ready.output)\(ready.errors)")
        }
    }

    @Test func theProgressLineFitsTheTerminal() throws {
        try withHub { ground in
            try ground.hub.fault("slow", ["rate": 500_000, "origin": "cdn"])
            let line = "stty cols 80; '\(Program.path)' fetch acme/long --cache '\(ground.cache)'"
            let script = Process()
            script.executableURL = URL(fileURLWithPath: "/usr/bin/script")
            script.arguments = ["-qec", line, "/dev/null"]
            script.environment = [
                "HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "TERM": "xterm", "HF_ENDPOINT": ground.hub.hub,
            ]
            let pipe = Pipe()
            script.standardOutput = pipe
            script.standardInput = FileHandle.nullDevice
            try script.run()
            let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            script.waitUntilExit()
            let lines = output.components(separatedBy: "\r\u{1B}[K").filter {
                $0.contains(" MB of ") || $0.contains(" kB of ")
            }
            #expect(!lines.isEmpty, "\(output)")
            for line in lines {
                let shown = line.components(separatedBy: "\r").first ?? line
                let width = shown.unicodeScalars.reduce(0) { $0 + ($1.value > 0x2e80 ? 2 : 1) }
                #expect(width < 80, "\(shown)")
                #expect(shown.hasPrefix("a-very") && shown.contains("…"), "\(shown)")
            }
        }
    }
}
