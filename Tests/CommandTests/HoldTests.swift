import Foundation
import HubCache
import TestSupport
import Testing

@Suite struct HoldCommandTests {
    private func isHeld(_ cache: TestCache, _ arguments: [String] = [], user: UInt32? = nil) throws -> Bool {
        let caches = try #require(
            try cache.run(["ls", "--json"] + arguments, user: user).json["caches"] as? [[String: Any]])
        let repos = try #require(caches.first?["repos"] as? [[String: Any]])
        return try #require(repos.first?["held"] as? Bool)
    }

    private func holdFiles(_ cache: TestCache) -> [String] {
        let folder = cache.path.appending(".locks/models--org--model").text
        return ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    }

    @Test func holdAndRelease() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let before = try isHeld(cache)
            let run = try cache.run(["hold", "org/model@main", "--for", "2h", "--reason", "why", "--json"])
            #expect(!before && run.status == 0 && run.errors == "")
            let document = try run.json
            #expect(document["commit"] as? String == commit(1) && document["reason"] as? String == "why")
            #expect(try isHeld(cache))
            #expect(try isHeld(cache, ["org/model"]))
            let text = try cache.run(["ls"]).output
            #expect(text.contains("model/org/model (held)"))
            // Files of holds are nothing to complain of.
            #expect(try cache.run(["verify", "--json"]).codes.isEmpty)
            let release = try cache.run(["release", "org/model"])
            #expect(release.status == 0 && release.output.contains("1 hold given up"))
            #expect(try !isHeld(cache))
            #expect(holdFiles(cache).isEmpty)
            #expect(try cache.run(["release", "org/model"]).status == 0)
        }
    }

    private static let refused: [(String, Int32)] = [
        ("hold org/model --for 31d", 64), ("hold org/model --for soon", 64), ("hold org/model --for 1h -- true", 64),
        ("hold org/model --for 10000000000s", 64), ("hold org/model --for 0s", 64), ("hold org/model --", 64),
        ("hold org/none", 66), ("hold /tmp", 64), ("release org/none", 66), ("hold", 64),
    ]

    @Test(arguments: refused)
    func refusals(words: String, status: Int32) throws {
        try withTestCache { cache in
            try cache.repo().model()
            let run = try Program.run(words.split(separator: " ").map(String.init).withCache(cache))
            #expect(run.status == status, "\(run.errors)")
            #expect(holdFiles(cache).isEmpty)
        }
    }

    @Test(arguments: [
        ("hold org/model --for -1h", "cannot be negative"), ("hold org/model --for --json", "not a length of time"),
        ("hold org/model --for 31d", "not between 1s and 30d"), ("hold org/model --", "no program behind '--'"),
        ("ready org/model --wait -5s", "cannot be negative"), ("ready org/model --wait 5", "did you mean '5d'?"),
        ("plan --at +5", "a length of time needs a unit: s, m, h, d, w or y; did you mean '+5d'?"),
        ("explain org/model --at soon", "'soon' is no time: use 2026-05-01"),
        ("enforce --free 5Gb", "did you mean '5GB'?"), ("report --html x.html --json", "--json"),
    ])
    func whatIsWrongIsSaid(words: String, why: String) throws {
        try withTestCache { cache in
            try cache.repo().model()
            // The words come last: an empty program must be the end of the line.
            let parts = words.split(separator: " ").map(String.init)
            let run = try Program.run([parts[0], "--cache", cache.path.text] + parts.dropFirst())
            #expect(run.status == 64 && run.errors.contains(why), "\(run.errors)")
            #expect(holdFiles(cache).isEmpty)
        }
    }

    @Test func theProgramsExitStatus() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let commands: [[String]: Int32] = [["sh", "-c", "exit 7"]: 7, ["no-such-program"]: 127, ["/tmp"]: 126]
            for (command, status) in commands {
                let run = try Program.run(
                    ["hold", "org/model", "--cache", cache.path.text, "--"] + command)
                #expect(run.status == status, "\(command): \(run.errors)")
            }
            #expect(try !isHeld(cache))
            // What ended programs left is tidied by the next.
            _ = try cache.run(["hold", "org/model"])
            #expect(holdFiles(cache).count == 1)
        }
    }

    @Test func heldWhileTheLastProcessLives() throws {
        try withTestCache { cache in
            try cache.repo().model()
            // The shell ends at once; its output does with it, since the child has none.
            let script = "sleep 1000 >/dev/null 2>&1 & echo $!"
            let program = try Program.start(["hold", "org/model", "--cache", cache.path.text, "--", "sh", "-c", script])
            let line = program.output.fileHandleForReading.readDataToEndOfFile()
            let child = try #require(
                Int32(String(decoding: line, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)))
            defer { kill(child, SIGKILL) }
            // Its child has inherited the descriptor.
            let held = try isHeld(cache)
            let release = try cache.run(["release", "org/model"])
            #expect(held && release.status == 75 && release.errors.contains("a process has it"))
            kill(child, SIGKILL)
            while kill(child, 0) == 0 && (try? isHeld(cache)) == true { usleep(1000) }
            #expect(try !isHeld(cache))
        }
    }

    // MARK: root and other users

    private static let stranger: UInt32 = 12_345

    private func give(_ cache: TestCache, to user: UInt32) throws {
        for name in try FileManager.default.subpathsOfDirectory(atPath: cache.path.text) + [""] {
            try cache.outer.chown(cache.place("").appending(name), user)
        }
    }

    private func owners(_ cache: TestCache) throws -> Set<UInt32> {
        var found: Set<UInt32> = []
        for name in try FileManager.default.subpathsOfDirectory(atPath: cache.path.text) + [""] {
            var status = stat()
            guard unsafe lstat(cache.path.text + "/" + name, &status) == 0 else { continue }
            found.insert(status.st_uid)
        }
        return found
    }

    @Test(.enabled(if: isRoot, "needs root")) func rootBecomesTheOwner() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try give(cache, to: Self.stranger)
            for command in [["verify"], ["ls"], ["ready", "org/model"], ["hold", "org/model"], ["ls"]] {
                let run = try cache.run(command)
                #expect(run.status == 0, "\(command): \(run.errors)")
            }
            #expect(try owners(cache) == [Self.stranger])
            #expect(holdFiles(cache).count == 1)
            let release = try cache.run(["release", "org/model"])
            #expect(release.status == 0 && holdFiles(cache).isEmpty)
            // The program would run as somebody whom nobody named.
            let run = try Program.run(["hold", "org/model", "--cache", cache.path.text, "--", "true"])
            #expect(run.status == 77 && holdFiles(cache).isEmpty)
        }
    }

    @Test(.enabled(if: isRoot, "needs root")) func rootRemembersNothingInItsOwnLedger() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try give(cache, to: Self.stranger)
            let state = try TestFolder()
            defer { state.remove() }
            _ = try Program.run(
                ["verify", "--cache", cache.path.text],
                environment: ["XDG_STATE_HOME": state.path.text, "STATE_DIRECTORY": state.path.appending("s").text])
            let left = try FileManager.default.subpathsOfDirectory(atPath: state.path.text)
            #expect(left.isEmpty, "\(left)")
        }
    }

    @Test(.enabled(if: isRoot, "needs root")) func rootOnCachesOfSeveralUsers() throws {
        try withTestCache { one in
            try withTestCache { other in
                try one.repo().model()
                try other.repo().model()
                try give(one, to: Self.stranger)
                try give(other, to: Self.stranger + 1)
                let run = try Program.run(["ls", "--cache", one.path.text, "--cache", other.path.text])
                #expect(run.status == 77 && run.errors.contains("--cache"), "\(run.errors)")
                #expect(try Program.run(["ls", "--cache", one.path.text]).status == 0)
            }
        }
    }

    @Test(.enabled(if: isRoot, "needs root")) func aCacheNamedByAPathHasAnOwnerToo() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try give(cache, to: Self.stranger)
            let path = cache.path.appending("models--org--model").text
            let run = try Program.run(["hold", path])
            #expect(run.status == 0, "\(run.errors)")
            #expect(try owners(cache) == [Self.stranger])
        }
    }

    @Test(.enabled(if: isRoot, "needs root")) func othersCannotHold() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let run = try cache.run(["hold", "org/model"], user: 65_534)
            #expect(run.status == 77 && holdFiles(cache).isEmpty, "\(run.errors)")
            #expect(try cache.run(["hold", "org/model"]).status == 0)
            #expect(try isHeld(cache, user: 65_534))
            #expect(try cache.run(["release", "org/model"], user: 65_534).status == 77)
        }
    }
}

extension [String] {
    /// The same arguments with the cache named before a program's own.
    fileprivate func withCache(_ cache: TestCache) -> [String] {
        let place = firstIndex(of: "--") ?? endIndex
        return self[..<place] + ["--cache", cache.path.text] + self[place...]
    }
}
