import Foundation
import Glibc
import HubCache
import TestSupport
import Testing

/// What the commands print, and that they change nothing.
@Suite struct OutputTests {
    /// A cache with something of everything.
    private func withMixedCache(_ body: (TestCache) throws -> Void) throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            let broken = cache.repo("org/broken")
            let entries = try broken.model()
            try cache.outer.resize(broken.place("blobs").appending(entries[1].etag), to: 12)
            cache.outer.delete(broken.snapshot(commit(1), BytePath(shardName(2, of: 2))))
            try broken.partial(ReferenceDigest.sha256([1]))
            try broken.blob([5, 5])
            try broken.ref("v2", commit(9))
            try cache.repo("org/data", .dataset).file("deep/er/x.csv", [1, 2], at: commit(3))
            try cache.makeStore()
            let hash = try cache.payload([1, 1, 1])
            try cache.repo("org/data", .dataset).linkBlob(ReferenceDigest.sha256([1, 1, 1]), toPayload: hash)
            try cache.repo("org/data", .dataset).link("y.csv", to: ReferenceDigest.sha256([1, 1, 1]), at: commit(3))
            _ = try cache.payload([2, 2, 2])
            try cache.outer.write("hub/stray/file", "x")
            try cache.outer.write(broken.lockPlace("x"), "")
            try body(cache)
        }
    }

    private static let commands = [
        ["verify"], ["verify", "--depth", "structure"], ["verify", "--json"], ["verify", "org/whole"], ["ls"],
        ["ls", "--json"],
        ["ls", "--all", "--revisions"], ["ls", "--all", "--json"], ["ready", "org/whole"],
        ["ready", "org/broken", "--json"],
        ["verify", "./hub/models--org--whole/snapshots/1111111111111111111111111111111111111111/"],
    ]

    // MARK: nothing changes

    @Test(arguments: commands) func changesNothing(command: [String]) throws {
        try withMixedCache { cache in
            let before = TreeFingerprint(cache.outer.path)
            _ = try cache.run(command)
            #expect(TreeFingerprint(cache.outer.path).differences(from: before) == [])
        }
    }

    @Test(.enabled(if: isRoot), arguments: commands) func worksOnAReadOnlyMount(command: [String]) throws {
        try withMixedCache { cache in
            let before = TreeFingerprint(cache.outer.path)
            let hub = cache.path.text
            // A mount namespace of its own, gone with the process.
            let script =
                "mount --bind '\(hub)' '\(hub)' && mount -o remount,bind,ro '\(hub)' && ! touch '\(hub)/x' 2>/dev/null && exec \"$@\""
            let run = try Program.run(
                command + ["--cache", hub], folder: cache.outer.path.text,
                wrapper: ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, "sh"])
            let plain = try cache.run(command)
            #expect(run.status == plain.status, "\(run)")
            #expect(TreeFingerprint(cache.outer.path).differences(from: before) == [])
        }
    }

    @Test(
        .enabled(if: isRoot),
        arguments: [["rm", "org/model", "--yes"], ["rm", "org/model@main", "--yes"], ["enforce", "--yes"]])
    func removingNeedsAFilesystemThatCanBeWritten(command: [String]) throws {
        try withTestCache { cache in
            try cache.repo().model()
            let hub = cache.path.text
            let script = "mount --bind '\(hub)' '\(hub)' && mount -o remount,bind,ro '\(hub)' && exec \"$@\""
            let run = try Program.run(
                command + ["--cache", hub], wrapper: ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, "sh"])
            #expect(run.status == 73, "\(run)")
            #expect(run.errors.contains("'\(hub)': the filesystem is read-only"), "\(run)")
        }
    }

    @Test(.enabled(if: isRoot)) func worksWhereNothingMayBeWritten() throws {
        try withMixedCache { cache in
            // Of another user, and closed for writing: as a shared cache is for its readers.
            // Others' processes cannot be seen, so that a partial counts as live for ten minutes after the last write.
            let partial = cache.repo("org/broken").place("blobs").appending(
                ReferenceDigest.sha256([1]) + ".0a1b2c3d.incomplete")
            try cache.outer.setTimes(partial, accessed: 1_000_000, modified: 1_000_000)
            let run = try cache.run(["verify", "--json"], user: 65534)
            #expect(run.status == 1)
            #expect(try run.codes.contains("missing-shard"))
            #expect(try cache.run(["ready", "org/whole"], user: 65534).status == 0)
        }
    }

    // MARK: text

    @Test(arguments: commands) func noEscapeCodesInAPipe(command: [String]) throws {
        try withMixedCache { cache in
            let run = try cache.run(command)
            #expect(!run.output.unicodeScalars.contains("\u{1b}"))
            #expect(!run.errors.unicodeScalars.contains("\u{1b}"))
        }
    }

    @Test func stateFolderInsideTheCacheIsNotUsed() throws {
        try withMixedCache { cache in
            let before = TreeFingerprint(cache.outer.path)
            let state = cache.outer.absolute(cache.place("state")).text
            let run = try Program.run(
                ["verify", "--depth", "digests", "--cache", cache.path.text], environment: ["STATE_DIRECTORY": state])
            #expect(run.errors.contains("nothing is remembered"))
            #expect(TreeFingerprint(cache.outer.path).differences(from: before) == [])
        }
    }

    /// Runs the program with a terminal as its output.
    private func onTerminal(
        _ command: [String], _ cache: TestCache, columns: Int = 0, environment: [String: String]
    ) throws -> ProgramRun {
        let words = ([Program.path] + command + ["--cache", cache.path.text]).map { "'\($0)'" }
        let line = (columns > 0 ? "stty cols \(columns); " : "") + words.joined(separator: " ")
        let script = Process()
        script.executableURL = URL(fileURLWithPath: "/usr/bin/script")
        script.arguments = ["-qec", line, "/dev/null"]
        script.environment = ["HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "TERM": "xterm"].merging(environment) {
            _, new in new
        }
        let pipe = Pipe()
        script.standardOutput = pipe
        script.standardInput = FileHandle.nullDevice
        try script.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        script.waitUntilExit()
        return ProgramRun(script, output: String(decoding: output, as: UTF8.self), errors: "")
    }

    @Test func coloursOnATerminalOnly() throws {
        try withMixedCache { cache in
            let plain = try onTerminal(["verify"], cache, environment: [:]).output
            #expect(plain.contains("\u{1b}[31m"))
            let uncoloured = try onTerminal(["verify"], cache, environment: ["NO_COLOR": "1"]).output
            #expect(!uncoloured.contains("\u{1b}[31m"))
            let dumb = try onTerminal(["verify"], cache, environment: ["TERM": "dumb"]).output
            #expect(!dumb.contains("\u{1b}"))
            let document = try onTerminal(["verify", "--json"], cache, environment: [:]).output
            #expect(!document.contains("\u{1b}[3"))
        }
    }

    /// Where a row has no place in a line it takes several, broken between its cells.
    @Test func tablesFitTheTerminal() throws {
        try withMixedCache { cache in
            func rows(_ columns: Int) throws -> [String] {
                try onTerminal(["verify"], cache, columns: columns, environment: ["NO_COLOR": "1"]).output
                    .components(separatedBy: "\r\n")
            }
            let wide = try rows(300)
            let line = try #require(wide.first { $0.contains("size-mismatch") })
            #expect(line.contains("model/org/broken"))
            let middle = try rows(100)
            let place = try #require(middle.firstIndex { $0.hasPrefix("size-mismatch") })
            #expect(middle[place].contains("model-00001") && middle[place + 1].hasPrefix("    69 bytes are missing"))
            let narrow = try rows(60)
            let start = try #require(narrow.firstIndex { $0.hasPrefix("size-mismatch") })
            let end = narrow[(start + 1)...].firstIndex { !$0.hasPrefix("    ") } ?? narrow.endIndex
            let row = narrow[start..<end]
            #expect(row.count > 1 && row.contains { $0.contains("bytes are missing") })
            #expect(row.allSatisfy { $0.count <= 60 }, "\(row.joined(separator: "\n"))")
        }
    }

    /// Why something goes or stays is on a line of its own where both have no place in one.
    @Test func plansFitTheTerminal() throws {
        try withMixedCache { cache in
            try cache.outer.write(
                "policy.yaml",
                """
                mode: enforce
                caches: [{path: "\(cache.path.text)", min-age: 0s}]
                rules: [{name: all, match: {type: model}}]
                """)
            let command = ["plan", "--policy", cache.outer.absolute("policy.yaml").text]
            func rows(_ columns: Int) throws -> [String] {
                try onTerminal(command, cache, columns: columns, environment: ["NO_COLOR": "1"]).output
                    .components(separatedBy: "\r\n")
            }
            let wide = try #require(try rows(500).first { $0.contains("model/org/whole@") })
            #expect(wide.contains("  all: state complete"), "\(wide)")
            let narrow = try rows(60)
            let place = try #require(narrow.firstIndex { $0.contains("model/org/whole@") })
            #expect(narrow[place].count <= 60 && !narrow[place].hasSuffix(" "))
            #expect(narrow[place + 1].hasPrefix("      "))
            #expect(wide == narrow[place] + "  " + narrow[place + 1].dropFirst(6))
        }
    }

    @Test func hostileNamesCannotReachTheTerminal() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let names: [(BytePath, String)] = [
                ("a\nb.bin", "a\\x0Ab.bin"), ("esc\u{1b}[31mred.bin", "esc\\x1B[31mred.bin"),
                ("bidi\u{202e}x.bin", "bidi\\xE2\\x80\\xAEx.bin"),
                (BytePath(bytes: [0x66, 0xff, 0x2e, 0x62, 0x69, 0x6e]), "f\\xFF.bin"),
                ("c1\u{9b}x.bin", "c1\\xC2\\x9Bx.bin"),
            ]
            for (name, _) in names {
                try repo.link(name, to: "\u{1b}[2J", at: commit(1))
                try cache.outer.write(cache.place(name), "x")
                try repo.ref(name, commit(1))
            }
            let index = shardIndex([("t", "\u{1b}]0;title\u{7}../x")])
            try repo.file("model.safetensors.index.json", index, at: commit(1), isLFS: false)
            try cache.outer.link(repo.snapshot(commit(1), "out"), to: "/tmp/\u{1b}[31m\u{202e}")
            for command in [
                ["verify"], ["ls", "--all", "--revisions"], ["ready", "org/model"], ["verify", "org/model@\u{1b}[31m"],
                ["verify", "./\u{1b}[31m"], ["verify", "\u{1b}[31m"],
            ] {
                let run = try cache.run(command)
                for scalar in (run.output + run.errors).unicodeScalars {
                    let isSafe =
                        scalar == "\n"
                        || scalar.properties.generalCategory != .control && scalar.properties.generalCategory != .format
                    #expect(isSafe, "\(command): U+\(String(scalar.value, radix: 16))")
                }
                if command == ["verify"] {
                    for (_, shown) in names { #expect(run.output.contains(shown), "\(shown)") }
                }
                if command.first == "ls" {
                    for (_, shown) in names { #expect(run.output.contains(shown), "\(shown)") }
                }
            }
        }
    }

    // MARK: JSON

    /// Compares an object's keys with what the contract has: all of the first, and of the second what applies.
    private func expectKeys(
        _ object: [String: Any], _ required: Set<String>, optional: Set<String> = [], _ what: Comment
    ) {
        let keys = Set(object.keys)
        #expect(required.subtracting(keys) == [], what)
        #expect(keys.subtracting(required).subtracting(optional) == [], what)
    }

    private func objects(_ value: Any?) throws -> [[String: Any]] { try #require(value as? [[String: Any]]) }

    private func expectFinding(_ finding: [String: Any]) throws {
        expectKeys(
            finding, ["code", "severity", "path"],
            optional: ["file", "blob", "expected", "actual", "offset", "detail", "path_base64", "file_base64"],
            "finding")
        let name = try #require(finding["code"] as? String)
        let code = try #require(FindingCode(rawValue: name))
        #expect(finding["severity"] as? String == code.severity.rawValue)
        #expect(!finding.values.contains { $0 is NSNull })
    }

    @Test(arguments: ["structure", "headers", "digests"]) func verifyDocument(depth: String) throws {
        try withMixedCache { cache in
            let run = try cache.run(["verify", "--json", "--depth", depth])
            #expect(run.output.filter { $0 == "\n" }.count == 1, "one line")
            let document = try run.json
            expectKeys(document, ["schema", "depth", "caches", "summary"], "document")
            #expect(document["schema"] as? String == "hfjanitor.verify/1")
            #expect(document["depth"] as? String == depth)
            for item in try objects(document["caches"]) {
                expectKeys(item, ["path", "repos", "findings"], "cache")
                #expect(item["path"] as? String == cache.path.text)
                try objects(item["findings"]).forEach(expectFinding)
                let repos = try objects(item["repos"])
                #expect(
                    repos.map { $0["folder"] as? String } == [
                        "models--org--broken", "models--org--whole", "datasets--org--data",
                    ])
                for repo in repos {
                    expectKeys(repo, ["id", "folder", "revisions", "findings"], "repo")
                    try objects(repo["findings"]).forEach(expectFinding)
                    for revision in try objects(repo["revisions"]) {
                        expectKeys(revision, ["commit", "refs", "state", "files", "bytes", "findings"], "revision")
                        try objects(revision["findings"]).forEach(expectFinding)
                    }
                }
            }
            let summary = try #require(document["summary"] as? [String: Any])
            expectKeys(
                summary,
                [
                    "repos", "revisions", "complete", "partial", "downloading", "corrupt", "unknown", "files_checked",
                    "bytes_checked",
                    "bytes_hashed", "seconds",
                ], "summary")
            #expect(summary["repos"] as? Int == 3)
            #expect(summary["revisions"] as? Int == 3)
            let states = ["complete", "partial", "downloading", "corrupt", "unknown"].compactMap { summary[$0] as? Int }
            #expect(states.reduce(0, +) == 3)
            #expect(summary["files_checked"] as? Int == 9)
        }
    }

    @Test func aRepoOfWhichNoRevisionIsHereHasNoState() throws {
        try withTestCache { cache in
            try cache.repo().ref("main", commit(7))
            let caches = try objects(try cache.run(["ls", "--json"]).json["caches"])
            let repo = try #require(try objects(caches.first?["repos"]).first)
            #expect(repo["id"] as? String == "model/org/model" && repo["state"] == nil, "\(repo)")
            for arguments in [["ls"], ["ls", "--revisions"], ["ls", "org/model"]] {
                let run = try cache.run(arguments)
                let line = try #require(run.output.split(separator: "\n").first { $0.contains("model/org/model") })
                #expect(line.split(separator: " ").contains("-") && !run.output.contains("complete"), "\(line)")
            }
            // What is left of it may say more.
            try cache.repo().partial(ReferenceDigest.sha256([1]))
            #expect(try cache.run(["ls"]).output.contains("partial"))
        }
    }

    @Test func listDocument() throws {
        try withMixedCache { cache in
            for all in [false, true] {
                let document = try cache.run(["ls", "--json"] + (all ? ["--all"] : [])).json
                expectKeys(document, ["schema", "caches"], "document")
                #expect(document["schema"] as? String == "hfjanitor.ls/1")
                for item in try objects(document["caches"]) {
                    expectKeys(
                        item,
                        Set(["path", "bytes", "free_bytes", "reclaimable_bytes", "other_bytes", "repos"]).union(
                            all ? ["leftovers"] : []), "cache")
                    for repo in try objects(item["repos"]) {
                        expectKeys(
                            repo,
                            [
                                "id", "folder", "bytes", "reclaimable_bytes", "state", "last_use", "pinned", "held",
                                "revisions",
                            ], "repo")
                        let use = try #require(repo["last_use"] as? [String: Any])
                        expectKeys(use, ["time", "source"], "last use")
                        #expect(["open", "atime", "mtime", "ctime", "unwatched"].contains(use["source"] as? String))
                        let time = try #require(use["time"] as? String)
                        #expect(ISO8601DateFormatter().date(from: time) != nil)
                        for revision in try objects(repo["revisions"]) {
                            expectKeys(
                                revision,
                                ["commit", "refs", "state", "files", "bytes", "unique_bytes", "arrived", "last_use"],
                                "revision")
                        }
                    }
                    if all {
                        let leftovers = try objects(item["leftovers"])
                        leftovers.forEach { expectKeys($0, ["path", "kind", "bytes"], "leftover") }
                        #expect(
                            Set(leftovers.compactMap { $0["kind"] as? String }) == [
                                "stale-partial", "orphan-blob", "orphan-payload", "foreign-entry",
                            ])
                    }
                }
            }
        }
    }

    @Test func namesThatAreNotText() throws {
        try withTestCache { cache in
            let name = BytePath(bytes: [0x66, 0xff, 0x2e, 0x62, 0x69, 0x6e])
            try cache.repo().link(name, to: "0000", at: commit(1))
            try cache.repo().link("plain\n\u{1b}.bin", to: "0000", at: commit(1))
            let run = try cache.run(["verify", "--json"])
            let findings = try run.findings.filter { $0["code"] as? String == "dangling-link" }
            let odd = try #require(findings.first { $0["path_base64"] != nil })
            #expect((odd["path"] as? String)?.hasSuffix("f\u{fffd}.bin") == true)
            let text = try #require(odd["path_base64"] as? String)
            let bytes = try #require(Data(base64Encoded: text))
            #expect(BytePath(bytes: bytes).lastComponent == name)
            let plain = try #require(findings.first { $0["path_base64"] == nil })
            #expect(plain["file"] as? String == "plain\n\u{1b}.bin")
        }
    }

    @Test func sharedBlobIsCountedOnce() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            for number in 1...3 { try repo.file("model.safetensors", [1, 2, 3], at: commit(number)) }
            let run = try cache.run(["verify"])
            #expect(run.output.contains("1 error"), "\(run.output)")
            #expect(
                try cache.run(["verify", "--json"]).findings.filter { $0["severity"] as? String == "error" }.count == 3)
        }
    }

    // MARK: order

    @Test(arguments: [
        ("name", ["a", "b", "c"]), ("size", ["b", "c", "a"]), ("size:asc", ["a", "c", "b"]),
        ("arrived", ["c", "a", "b"]), ("used:asc", ["b", "a", "c"]),
    ])
    func sorted(order: String, names: [String]) throws {
        try withTestCache { cache in
            for (name, size, time) in [("a", 1, 2_000_000), ("b", 3, 1_000_000), ("c", 2, 3_000_000)] {
                let repo = cache.repo("org/\(name)")
                let etag = try repo.file("x.bin", [UInt8](repeating: UInt8(size), count: size * 10_000), at: commit(1))
                for place in [repo.place("blobs").appending(etag), repo.snapshot(commit(1), "x.bin")] {
                    try cache.outer.setTimes(place, accessed: time, modified: time)
                }
            }
            let run = try cache.run(["ls", "--json", "--sort", order])
            #expect(try run.repoIDs == names.map { "model/org/\($0)" })
        }
    }

    @Test func lastUseIsTheAccessOnlyWhenItIsLater() throws {
        try withTestCache { cache in
            let etag = try cache.repo().file("x.bin", [1], at: commit(1))
            let blob = cache.repo().place("blobs").appending(etag)
            for (accessed, modified, expected, source) in [
                (2_000_000, 1_000_000, "1970-01-24T03:33:20Z", "atime"),
                (1_000_000, 2_000_000, "1970-01-24T03:33:20Z", "mtime"),
                (1_000_000, 1_000_000, "1970-01-12T13:46:40Z", "mtime"),
            ] {
                try cache.outer.setTimes(blob, accessed: accessed, modified: modified)
                let caches = try objects(try cache.run(["ls", "--json"]).json["caches"])
                let repo = try #require(try objects(caches.first?["repos"]).first)
                let use = try #require(repo["last_use"] as? [String: String])
                #expect(use == ["time": expected, "source": source])
            }
        }
    }

    /// ext4 keeps times within a few centuries; tmpfs keeps any.
    @Test(arguments: ["/tmp", "/dev/shm"]) func timesOfOtherAges(place: String) throws {
        try withTestCache(in: place) { cache in
            let etag = try cache.repo().file("x.bin", [1], at: commit(1))
            for time in [Int.min, -900_000_000_000, -5_000_000_000, 0, 32_503_680_000, 4_000_000_000_000] {
                try cache.outer.setTimes(cache.repo().place("blobs").appending(etag), accessed: time, modified: time)
                #expect(try cache.run(["ls", "--json"]).status == 0)
                #expect(try cache.run(["ls"]).status == 0)
            }
        }
    }

    // MARK: interruption

    /// Some service managers and CI runners start programs with SIGPIPE ignored.
    @Test(arguments: [[], ["/bin/sh", "-c", "trap '' PIPE; exec \"$@\"", "sh"]])
    func readerThatGoesAway(wrapper: [String]) throws {
        try withTestCache { cache in
            for number in 0..<300 {
                try cache.repo("org/model\(number)").link("model.safetensors", to: "0000", at: commit(1))
            }
            for command in [["verify", "--json"], ["verify"], ["ls", "--json"], ["ls"]] {
                let started = try Program.start(command + ["--cache", cache.path.text], wrapper: wrapper)
                _ = started.output.fileHandleForReading.readData(ofLength: 1)
                try started.output.fileHandleForReading.close()
                let errors = started.errors.fileHandleForReading.readDataToEndOfFile()
                started.process.waitUntilExit()
                let run = ProgramRun(started.process, output: "", errors: String(decoding: errors, as: UTF8.self))
                // Like any other program: ended by SIGPIPE, or with its own verdict.
                #expect([0, 1, 141].contains(run.status), "\(run)")
                #expect(run.errors == "")
            }
        }
    }

    @Test(arguments: commands) func outputThatCannotBeWritten(command: [String]) throws {
        try withMixedCache { cache in
            let run = try Program.run(
                command + ["--cache", cache.path.text], folder: cache.outer.path.text,
                wrapper: ["/bin/sh", "-c", "exec \"$@\" > /dev/full", "sh"])
            #expect(run.status == 73, "\(run)")
            #expect(run.errors.contains("No space left on device"))
        }
    }

    @Test(arguments: [SIGINT, SIGTERM]) func interrupted(signal: Int32) throws {
        try withTestCache { cache in
            // Enough work that the signal always comes in the middle of it.
            let places = (0..<4000).map { ("layer.\($0)", "model-\($0).safetensors") }
            let index = shardIndex(places)
            for number in 0..<200 {
                try cache.repo("org/model\(number)").plainFile("model.safetensors.index.json", index, at: commit(1))
            }
            let before = TreeFingerprint(cache.outer.path)
            let started = try Program.start(["verify", "--json", "--jobs", "1", "--cache", cache.path.text])
            let pid = started.process.processIdentifier
            // Until its handler is there, a signal would simply end it.
            while started.process.isRunning, !handles(signal, pid) { sched_yield() }
            kill(pid, signal)
            let output = started.output.fileHandleForReading.readDataToEndOfFile()
            let errors = String(decoding: started.errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            started.process.waitUntilExit()
            let run = ProgramRun(started.process, output: String(decoding: output, as: UTF8.self), errors: errors)
            #expect(run.status == 128 + signal, "\(run.status) \(errors)")
            #expect(run.signal == nil)
            #expect(run.output == "", "half a report is none")
            #expect(errors.contains("interrupted"))
            #expect(TreeFingerprint(cache.outer.path).differences(from: before) == [])
        }
    }

    /// Whether a process catches a signal, from the mask that /proc shows.
    private func handles(_ signal: Int32, _ pid: Int32) -> Bool {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("SigCgt:") }),
            let mask = UInt64(line.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16)
        else { return false }
        return mask & (1 << UInt64(signal - 1)) != 0
    }

    @Test func unknownCommands() throws {
        let list = "'hfjanitor --help' lists the commands\n"
        for (word, message) in [
            ("verfy", "unknown command 'verfy'; did you mean 'verify'?\n"),
            ("raedy", "unknown command 'raedy'; did you mean 'ready'?\n"),
            ("org/model", "unknown command 'org/model'\n"), ("\u{1B}[31m", "unknown command '\\x1B[31m'\n"),
        ] {
            let run = try Program.run([word])
            #expect(run.status == 64 && run.output == "" && run.errors == "hfjanitor: " + message + list, "\(run)")
        }
        #expect(try Program.run(["help", "verify"]).status == 0)
    }

    @Test func oneIsSaidInTheSingular() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            #expect(try cache.run(["verify"]).output.hasPrefix("1 revision complete. "))
            let weight = try #require(entries.first { $0.path.hasSuffix(".safetensors") })
            let place = repo.place("blobs").appending(weight.etag)
            try cache.outer.write(place, weight.content.dropLast())
            #expect(try cache.run(["verify"]).output.contains("1 byte is missing"))
            try cache.outer.write(place, weight.content + [0])
            #expect(try cache.run(["verify"]).output.contains("1 byte too many"))
        }
    }

    @Test(.enabled(if: isRoot)) func oneManifestIsSaidInTheSingular() throws {
        try withTestCache { cache in
            try cache.repo().model()
            #expect(
                try cache.run(["doctor"], user: 65534).output.contains("1 offline manifest can be read by its owner"))
        }
    }

    @Test func notesAreListedForWhoAsks() throws {
        try withTestCache { cache in
            try cache.repo().model()
            #expect(try !cache.run(["verify"]).output.contains("--notes"))
            try cache.repo().ref("gone", commit(7))
            let quiet = try cache.run(["verify"])
            #expect(quiet.output.contains("1 note (--notes lists them)."), "\(quiet.output)")
            #expect(!quiet.output.contains("ref-without-snapshot"))
            let all = try cache.run(["verify", "--notes"])
            #expect(all.status == 0 && all.output.contains("ref-without-snapshot  model/org/model"), "\(all.output)")
            #expect(all.output.contains("1 note. Checked"), "\(all.output)")
        }
    }

    @Test func helpAndVersion() throws {
        #expect(try Program.run(["--version"]).output == "0.1.0\n")
        for arguments in [["--help"], ["verify", "--help"], ["ls", "--help"], ["ready", "--help"]] {
            let run = try Program.run(arguments)
            #expect(run.status == 0 && run.output.contains("USAGE"))
        }
    }
}
