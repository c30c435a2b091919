import Foundation
import HubCache
import Ledger
import LinuxIO
import TestSupport
import Testing

/// What is opened by others while a daemon watches.
@Suite(.serialized) struct OpensTests {
    private static let day = 86400

    private func start(_ cache: TestCache, policy text: String = "mode: observe\n") throws -> RunningTestDaemon {
        try cache.outer.write("policy.yaml", text)
        let daemon = try RunningTestDaemon(
            cache: cache.path, policy: cache.outer.path.appending("policy.yaml"), state: state(cache))
        try daemon.wait(for: "daemon-ready")
        return daemon
    }

    private func state(_ cache: TestCache) -> BytePath { cache.outer.path.appending("state") }

    private func ledger(_ cache: TestCache, readOnly: Bool = true) -> Ledger {
        Ledger.open(directory: state(cache).appending("hfjanitor"), programVersion: "test", readOnly: readOnly)
    }

    /// Waits until everything was heard of that happened so far: a later change is judged later.
    private func settle(_ daemon: RunningTestDaemon, _ cache: TestCache, _ name: String) throws {
        try cache.repo(name).model(commit(9))
        try daemon.wait(for: "arrived") { $0.repo == "model/\(name)" }
    }

    /// Has another process read files.
    private func read(_ files: [BytePath]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/cat")
        process.arguments = files.map(\.text)
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
    }

    private func run(_ command: String, _ cache: TestCache, _ more: [String] = []) throws -> [[String: Any]] {
        let run = try Program.run(
            [command, "--json", "--cache", cache.path.text] + more, environment: ["XDG_STATE_HOME": state(cache).text])
        return try #require(try run.json["caches"] as? [[String: Any]], "\(run.errors)")
    }

    private func lastUse(_ thing: [String: Any]) -> (source: String, time: Date)? {
        guard let use = thing["last_use"] as? [String: Any], let text = use["time"] as? String,
            let source = use["source"] as? String,
            let time = ISO8601DateFormatter().date(from: text.replacing(/\.\d+/, with: ""))
        else { return nil }
        return (source, time)
    }

    /// Changes rows that only days of watching could write.
    private func edit(_ cache: TestCache, _ statement: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "python3", "-c",
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit(); c.close()",
            state(cache).appending("hfjanitor").appending("ledger.sqlite").text, statement,
        ]
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
    }

    /// A file so old that its own times are no use.
    private func age(_ cache: TestCache, _ repo: TestRepo, _ files: [ManifestEntry], days: Int) throws {
        let then = Int(Date().timeIntervalSince1970) - days * Self.day
        for file in files {
            try cache.outer.setTimes(repo.place("blobs").appending(file.etag), accessed: then, modified: then)
        }
    }

    @Test func anOpenCountsForEveryRevisionThatLinksTheBlob() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let files = try repo.model(commit(1))
            for file in files { try repo.link(BytePath(file.path), to: file.etag, at: commit(2)) }
            let other = try repo.file("other.bin", Array("another revision's own".utf8), at: commit(3))
            try age(cache, repo, files, days: 40)
            let then = Int(Date().timeIntervalSince1970) - 40 * Self.day
            try cache.outer.setTimes(repo.place("blobs").appending(other), accessed: then, modified: then)
            let daemon = try start(cache)
            try read([
                cache.path.appending(repo.folder).appending("snapshots").appending(commit(1))
                    .appending(BytePath(files[1].path))
            ])
            try settle(daemon, cache, "org/marker")
            #expect(daemon.stop() == 0)
            let listed = try #require(try run("ls", cache, ["--revisions"]).first?["repos"] as? [[String: Any]])
            let found = try #require(listed.first { $0["id"] as? String == "model/org/model" })
            for revision in try #require(found["revisions"] as? [[String: Any]]) {
                let isThird = revision["commit"] as? String == commit(3)
                #expect(lastUse(revision)?.source == (isThird ? "mtime" : "open"), "\(revision)")
            }
            #expect(lastUse(found)?.source == "open")
        }
    }

    @Test func ownReadsAreNoUse() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try age(cache, repo, try repo.model(), days: 40)
            let daemon = try start(
                cache,
                policy: "mode: observe\nverify: {on-arrival: digests, scrub-every: 1d, io-pressure-max: 100%}\n")
            try daemon.wait(for: "scrub-finished")
            try settle(daemon, cache, "org/marker")
            #expect(daemon.stop() == 0)
            let opens = ledger(cache).lastOpens(cache: cache.path)
            #expect(opens[repo.folder.text] == nil, "\(opens)")
        }
    }

    /// Whoever opened it may hold nothing open any more, and serve it nevertheless.
    @Test func anOpenerIsRememberedWhileItLives() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let files = try repo.model()
            try age(cache, repo, files, days: 40)
            let rule = """
                mode: observe
                caches:
                  - {path: \(cache.path.text), min-age: 0s, recent-use: 0s, irreplaceable: evict, allow-empty: true,
                     assume-unused-after: 7d}
                rules:
                  - {name: everything, match: {state: complete}, older-than: 1s}

                """
            let daemon = try start(cache, policy: rule)
            let server = Process()
            server.executableURL = URL(fileURLWithPath: "/bin/sh")
            let release = cache.outer.path.appending("release").text
            server.arguments = [
                "-c",
                """
                exec 3< "$1"
                while ! test -e "$2"; do sleep 0.1; done
                exec 3<&-
                : > "$2.done"
                exec sleep 10000
                """,
                "server", cache.path.appending(repo.folder).appending("blobs").appending(files[1].etag).text, release,
            ]
            try server.run()
            defer {
                kill(server.processIdentifier, SIGKILL)
                server.waitUntilExit()
            }
            let boot = ProcessTable.currentBoot()
            #expect(
                daemon.wait {
                    ledger(cache).openers(cache: cache.path, boot: boot)[repo.folder.text]?
                        .contains { $0.process.id == server.processIdentifier && $0.blob == files[1].etag } ?? false
                })
            try cache.outer.write("release", "")
            #expect(daemon.wait { cache.outer.exists("release.done") })
            #expect(daemon.stop() == 0)
            let more = ["--policy", cache.outer.path.appending("policy.yaml").text]
            func keepers() throws -> [String] {
                let kept = try run("plan", cache, more).first?["kept"] as? [[String: Any]] ?? []
                return kept.compactMap { $0["by"] as? String }
            }
            let plan = try run("plan", cache, more)
            // The rule takes it a second after it arrived.
            let end = Date().addingTimeInterval(30)
            while Date() < end, try keepers().isEmpty { usleep(100_000) }
            #expect(try keepers().contains("opener-alive"), "\(plan)")
            kill(server.processIdentifier, SIGKILL)
            server.waitUntilExit()
            #expect(try !keepers().contains("opener-alive"))
        }
    }

    /// Long gaps are no watching; a restart is none.
    @Test(arguments: [(5, true), (20, false)]) func aGapEndsWatching(minutes: Int, isKept: Bool) throws {
        try withTestCache { cache in
            try cache.repo().model()
            let first = try start(cache)
            #expect(first.wait { ledger(cache).watchedSince(cache: cache.path) != nil })
            #expect(first.stop() == 0)
            let now = Int(Date().timeIntervalSince1970)
            try edit(
                cache,
                "UPDATE watched SET since = \(now - 90 * Self.day)000000000, last_seen = \(now - minutes * 60)000000000"
            )
            let next = try start(cache)
            var since = 0
            #expect(
                next.wait {
                    since = Int((ledger(cache).watchedSince(cache: cache.path)?.nanoseconds ?? 0) / 1_000_000_000)
                    return since > 0
                        && (isKept ? since == now - 90 * Self.day : since >= now)
                }, "\(since)")
            #expect(next.stop() == 0)
        }
    }

    /// A backup reads everything. When things were used before must still be known afterwards, over restarts too.
    @Test func aSweepTakesNoPlaceOfAUse() throws {
        try withTestCache { cache in
            var blobs: [BytePath] = []
            for number in 0..<25 {
                let repo = cache.repo("org/r\(number)")
                let files = try repo.model()
                try age(cache, repo, files, days: 40)
                blobs += files.map { cache.path.appending(repo.folder).appending("blobs").appending($0.etag) }
            }
            let used = cache.repo("org/r3").folder
            let first = try start(cache)
            #expect(first.wait { ledger(cache).watchedSince(cache: cache.path) != nil })
            #expect(first.stop() == 0)
            // Watched for long, and one of them used meanwhile.
            let now = Int(Date().timeIntervalSince1970)
            try edit(cache, "UPDATE watched SET since = \(now - 90 * Self.day)000000000")
            let use = now - 20 * Self.day
            let written = ledger(cache, readOnly: false)
            written.note(
                opens: [
                    RecordedOpen(
                        repo: used.text, thing: .blob(blobs[3 * blobs.count / 25].lastComponent.text),
                        time: Timestamp(nanoseconds: Int64(use) * 1_000_000_000), source: .watch)
                ], cache: cache.path)
            written.close()

            // The backup is interrupted by a restart of the daemon.
            let half = blobs.count / 2
            for part in [blobs[..<half], blobs[half...]] {
                let daemon = try start(cache)
                try read(Array(part))
                try settle(daemon, cache, "org/marker\(part.startIndex)")
                #expect(daemon.stop() == 0)
            }
            for _ in 0..<2 {
                let repos = try #require(try run("ls", cache).first?["repos"] as? [[String: Any]])
                for repo in repos {
                    let id = try #require(repo["id"] as? String)
                    if id.hasPrefix("model/org/marker") { continue }
                    let found = try #require(lastUse(repo))
                    #expect(
                        found.source == (id == "model/org/r3" ? "open" : "mtime"), "\(id): \(repo["last_use"] ?? "")")
                    let days = (Date().timeIntervalSince(found.time) / Double(Self.day)).rounded()
                    #expect(days == (id == "model/org/r3" ? 20 : 40), "\(id)")
                }
                let daemon = try start(cache)
                #expect(daemon.stop() == 0)
            }
            try cache.outer.write(
                "policy.yaml",
                """
                mode: observe
                caches:
                  - {path: \(cache.path.text), min-age: 0s, irreplaceable: evict, assume-unused-after: 7d}
                rules:
                  - {name: unused, match: {repo: org/r*}, unused-for: 30d}

                """)
            let plan = try #require(
                try run("plan", cache, ["--policy", cache.outer.path.appending("policy.yaml").text]).first)
            let actions = try #require(plan["actions"] as? [[String: Any]])
            let repos = Set(actions.compactMap { $0["repo"] as? String })
            // The youngest use of all keeps the last one: it is another.
            #expect(repos.count == 24, "\(plan)")
            #expect(!repos.contains("model/org/r3"))
        }
    }
}
