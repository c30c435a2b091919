import Foundation
import HubCache
import Ledger
import TestSupport
import Testing

/// Every endpoint of a daemon that runs, with a real cache.
@Suite(.serialized) struct EndpointTests {
    @Test func tellsWhatItDoes() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            let daemon = try ControlledDaemon(cache)
            let status = try daemon.ask("GET", "/api/status")
            #expect(status.status == 200)
            #expect(status.headers["content-type"] == "application/json")
            #expect(
                Set(status.json.keys) == [
                    "schema", "daemon", "caches", "work", "next", "conditions", "last_pass",
                ])
            #expect(status.json["schema"] as? String == "hfjanitor.status/1")
            let about = try #require(status.json["daemon"] as? [String: Any])
            #expect(Set(about.keys) == ["pid", "version", "since", "mode", "policy"])
            #expect(about["pid"] as? Int == Int(daemon.processID))
            let caches = try #require(status.json["caches"] as? [[String: Any]])
            #expect(
                Set(caches[0].keys) == ["path", "watch", "free_bytes", "states", "findings", "in_use_method"],
                "there is no floor, and nothing is foreseen")
            #expect((caches[0]["states"] as? [String: Int])?["complete"] == 1)

            let command = try Program.run(["status", "--json"], environment: daemon.environment)
            #expect(try command.json["daemon"] as? [String: Any] != nil)
            #expect(command.status == 0)
            #expect(try Program.run(["status"], environment: daemon.environment).output.contains("daemon "))
            #expect(
                try Program.run(
                    ["status", "--socket", daemon.path.text, "--json"], environment: ["XDG_STATE_HOME": "/nowhere"]
                ).json["daemon"] as? [String: Any] != nil)
            #expect(try Program.run(["status", "--socket", "/nowhere/x"]).status == 69)

            for path in ["/healthz", "/api/findings", "/api/plan", "/api/models/list", "/api/models/space", "/metrics"]
            {
                #expect(try daemon.ask("GET", path).status == 200, "\(path)")
                let head = try daemon.ask("HEAD", path)
                #expect(head.status == 200 && head.body.isEmpty, "\(path)")
                let wrong = try daemon.ask("POST", path)
                #expect(wrong.status == 405 && wrong.code == "method_not_allowed", "\(path)")
                #expect(wrong.headers["allow"]?.contains("GET") ?? false)
            }
            let absent = try daemon.ask("GET", "/api/../etc/passwd")
            #expect(absent.status == 404 && absent.code == "not_found")
            #expect(absent.headers["content-type"] == "application/problem+json")
            #expect(daemon.stop() == 0)
            #expect(!cache.outer.exists("run/hfjanitor/control.sock"))
        }
    }

    @Test func tellsOfModels() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            try cache.repo("org/data", .dataset).model()
            try cache.repo("org/broken").model()
            let shard = cache.repo("org/broken").snapshot(commit(1), BytePath(shardName(2, of: 2)))
            cache.outer.delete(shard)
            let daemon = try ControlledDaemon(cache)
            let list = try daemon.ask("GET", "/api/models/list").json["models"] as? [[String: String]] ?? []
            let states = Dictionary(
                list.map { ("\($0["type"] ?? "")/\($0["model"] ?? "")", $0["status"] ?? "") },
                uniquingKeysWith: { first, _ in first })
            #expect(
                states == [
                    "model/org/whole": "DOWNLOADED", "dataset/org/data": "DOWNLOADED", "model/org/broken": "PARTIAL",
                ])
            func status(_ body: String) throws -> SocketAnswer { try daemon.ask("POST", "/api/models/status", body) }
            let broken = try status(#"{"hf_repo":"org/broken"}"#)
            #expect(broken.json["status"] as? String == "PARTIAL")
            #expect(broken.json["error_code"] as? String == "missing-shard")
            #expect(broken.json["progress"] is NSNull)
            #expect(try status(#"{"hf_repo":"org/data"}"#).json["status"] as? String == "NOT_FOUND")
            #expect(
                try status(#"{"hf_repo":"org/data","type":"dataset","hf_commit":"main"}"#).json["status"] as? String
                    == "DOWNLOADED")
            #expect(
                try status("{\"hf_repo\":\"org/whole\",\"hf_commit\":\"\(commit(1))\"}").json["status"] as? String
                    == "DOWNLOADED")
            #expect(
                try status("{\"hf_repo\":\"org/whole\",\"hf_commit\":\"\(commit(2))\"}").json["status"] as? String
                    == "NOT_FOUND")
            let found = try daemon.ask("GET", "/api/findings?hf_repo=org/broken")
            let findings = (found.json["caches"] as? [[String: Any]])?[0]["findings"] as? [[String: Any]] ?? []
            let errors = findings.filter { $0["severity"] as? String == "error" }
            #expect(errors.map { $0["code"] as? String } == ["missing-shard"])
            #expect(errors.first?["commit"] as? String == commit(1))
            let space = try daemon.ask("GET", "/api/models/space").json
            #expect(space["cache_path"] as? String == cache.path.text)
            let id = try #require((space["caches"] as? [[String: Any]])?[0]["id"] as? String)
            #expect(
                try status("{\"hf_repo\":\"org/whole\",\"cache\":\"\(id)\"}").json["status"] as? String == "DOWNLOADED")
            for (body, code) in [
                (#"{"hf_repo":"org/whole","cache":"no"}"#, "unknown_cache"),
                (#"{"hf_repo":"../x"}"#, "invalid_repo_id"),
                (#"{"hf_repo":"/etc"}"#, "invalid_repo_id"),
                (#"{"hf_repo":"org/whole","path":"/"}"#, "invalid_request"),
                (#"{"hf_repo":7}"#, "invalid_request"), ("", "invalid_request"), ("[]", "invalid_request"),
                ("{", "invalid_request"), (#"{"hf_repo":"org/whole","type":"zoo"}"#, "invalid_request"),
                (String(repeating: "[", count: 60_000), "invalid_request"),
                (#"{"a":"# + String(repeating: #"{"a":"#, count: 10_000), "invalid_request"),
            ] {
                let answer = try status(body)
                #expect(answer.status == 400 && answer.code == code, "\(body.prefix(60))")
            }
            let large = try status(#"{"hf_repo":""# + String(repeating: "x", count: 70_000) + #""}"#)
            #expect(large.status == 413 && large.code == "too_large")
        }
    }

    @Test func verifiesAndRemoves() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            try cache.repo("org/held").model()
            try cache.repo("org/pinned").model()
            try cache.outer.write(
                cache.place(".locks/models--org--held/0123abcd.hold"),
                #"{"commit":null,"until":"2999-01-01T00:00:00Z","by":"test","reason":"test"}"#)
            let daemon = try ControlledDaemon(cache, policy: "mode: observe\npins:\n  - {repo: org/pinned}\n")
            let verified = try daemon.ask("POST", "/api/verify", #"{"hf_repo":"org/whole","depth":"digests"}"#)
            #expect(verified.status == 200)
            #expect(verified.json["schema"] as? String == "hfjanitor.verify/1")
            #expect((verified.json["summary"] as? [String: Any])?["complete"] as? Int == 1)
            let all = try daemon.ask("POST", "/api/verify", "")
            #expect((all.json["summary"] as? [String: Any])?["complete"] as? Int == 3)
            #expect(try daemon.ask("POST", "/api/verify", #"{"hf_repo":"org/no"}"#).code == "model_not_found")
            #expect(try daemon.ask("POST", "/api/verify", #"{"depth":"deep"}"#).code == "invalid_request")

            func remove(_ name: String) throws -> SocketAnswer {
                try daemon.ask("DELETE", "/api/models", "{\"hf_repo\":\"\(name)\"}")
            }
            for (name, status, code) in [
                ("org/no", 404, "model_not_found"), ("org/held", 409, "held"), ("org/pinned", 409, "pinned"),
            ] {
                let answer = try remove(name)
                #expect(answer.status == status && answer.code == code, "\(name): \(answer.text)")
            }
            let blob = cache.outer.path.appending(
                cache.repo("org/whole").snapshot(commit(1), BytePath(shardName(1, of: 2))))
            // A process of its own: who opened it and still runs keeps it, too.
            let user = Process()
            user.executableURL = URL(fileURLWithPath: "/bin/sh")
            user.arguments = ["-c", #"exec sleep 600 <"$0""#, blob.text]
            try user.run()
            let isOpen = daemon.wait {
                (try? FileManager.default.destinationOfSymbolicLink(
                    atPath: "/proc/\(user.processIdentifier)/fd/0"))?.contains("/blobs/") ?? false
            }
            #expect(isOpen)
            let used = try remove("org/whole")
            #expect(used.status == 409 && used.code == "in_use", "\(used.text)")
            kill(user.processIdentifier, SIGKILL)
            user.waitUntilExit()
            let gone = try remove("org/whole")
            #expect(gone.status == 200 && gone.json["status"] as? String == "deleted", "\(gone.text)")
            #expect(!cache.outer.exists(cache.place("models--org--whole")))
            let status = try daemon.ask("POST", "/api/models/status", #"{"hf_repo":"org/whole"}"#)
            #expect(status.json["status"] as? String == "NOT_FOUND")
            #expect(cache.outer.exists(cache.place("models--org--held")))
            let metrics = try daemon.ask("GET", "/metrics").text
            #expect(metrics.contains("hfjanitor_removed_items_total{rule=\"rm\"} 1"))
        }
    }

    @Test func reloadTellsTheVerdict() throws {
        try withTestCache { cache in
            let daemon = try ControlledDaemon(cache)
            #expect(try daemon.ask("POST", "/api/reload").json["status"] as? String == "applied")
            #expect(try Program.run(["reload"], environment: daemon.environment).status == 0)
            try cache.outer.write("policy.yaml", "mode: observe\nrulez: []\n")
            let bad = try daemon.ask("POST", "/api/reload")
            #expect(bad.status == 422 && bad.code == "policy_invalid")
            #expect((bad.json["detail"] as? String)?.contains("policy.yaml:2:1") ?? false)
            let command = try Program.run(["reload"], environment: daemon.environment)
            #expect(command.status == 78 && command.errors.contains("policy.yaml:2:1"))
        }
    }

    @Test func scrubs() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            let daemon = try ControlledDaemon(cache)
            func first(_ answer: SocketAnswer) -> [String: Any] {
                (answer.json["caches"] as? [[String: Any]])?.first ?? [:]
            }
            #expect(first(try daemon.ask("GET", "/api/scrub"))["state"] as? String == "never")
            #expect(try daemon.ask("POST", "/api/scrub", #"{"action":"begin"}"#).code == "invalid_request")
            #expect(try daemon.ask("POST", "/api/scrub", #"{"action":"start","cache":"no"}"#).code == "unknown_cache")
            #expect(try daemon.ask("POST", "/api/scrub", #"{"action":"start"}"#).status == 200)
            #expect(daemon.wait { daemon.tryToAsk("GET", "/api/scrub").map { first($0)["finished"] != nil } ?? false })
            #expect(try daemon.ask("POST", "/api/scrub", #"{"action":"cancel"}"#).status == 200)
            for words in [["scrub", "start"], ["scrub", "cancel"], ["scrub", "status"], ["scrub"]] {
                let run = try Program.run(words, environment: daemon.environment)
                #expect(run.status == 0 && run.output.contains(cache.path.text), "\(words): \(run.errors)")
            }
            let json = try Program.run(["scrub", "status", "--json"], environment: daemon.environment)
            #expect(try json.json["schema"] as? String == "hfjanitor.scrub/1")
            #expect(try Program.run(["scrub", "start"], environment: ["XDG_RUNTIME_DIR": "/nowhere"]).status == 69)
        }
    }

    /// A daemon with a memory of its own knows of a content that is wrong; who asks whether it is ready is told.
    @Test func readyIsToldWhatTheDaemonFound() throws {
        try withTestCache { cache in
            let repo = cache.repo("org/whole")
            try repo.model()
            let daemon = try ControlledDaemon(cache)
            let blob = try #require(
                try FileManager.default.contentsOfDirectory(
                    atPath: cache.outer.path.appending(cache.place("models--org--whole/blobs")).text
                ).map { "hub/models--org--whole/blobs/\($0)" }.max {
                    size(cache.outer.path.appending($0)) < size(cache.outer.path.appending($1))
                })
            let ready = ["ready", "org/whole", "--cache", cache.path.text]
            let other = ["XDG_STATE_HOME": "/nowhere", "XDG_RUNTIME_DIR": daemon.environment["XDG_RUNTIME_DIR"] ?? ""]
            #expect(try Program.run(ready, environment: other).status == 0)
            let place = BytePath(blob)
            try cache.outer.overwrite(place, at: size(cache.outer.path.appending(blob)) - 1, [0xff])
            // A digest is remembered of a file that has not changed for two seconds.
            let isKnown = daemon.wait {
                let body = #"{"hf_repo":"org/whole","depth":"digests"}"#
                let verified = daemon.tryToAsk("POST", "/api/verify", body)
                return verified?.text.contains("digest-mismatch") ?? false
                    && daemon.tryToAsk("GET", "/api/findings")?.text.contains("digest-mismatch") ?? false
            }
            #expect(isKnown)
            let told = try Program.run(ready, environment: other)
            #expect(told.status == 1 && told.output.contains("digest-mismatch"), "\(told.output)\(told.errors)")
        }
    }

    /// What was being fetched once is remembered by the daemon; to a process with another memory its absence looks intended.
    @Test func readyIsToldWhatTheDaemonSawComing() throws {
        try withTestCache { cache in
            let repo = cache.repo("org/whole")
            let extra = ManifestEntry("extra/notes.bin", Array("notes".utf8))
            try repo.manifest(TestSupport.commit(1), try repo.model() + [extra])
            let ready = ["ready", "org/whole", "--cache", cache.path.text]
            try repo.partial(extra.etag)
            let daemon = try ControlledDaemon(cache)
            func isTold() -> Bool { daemon.tryToAsk("GET", "/api/findings")?.text.contains("missing-file") ?? false }
            #expect(daemon.wait { isTold() })
            let partial = repo.place("blobs").appending(extra.etag + ".0a1b2c3d.incomplete")
            try FileManager.default.removeItem(atPath: cache.outer.path.appending(partial).text)
            let runtime = daemon.environment["XDG_RUNTIME_DIR"] ?? ""
            let alone = ["XDG_STATE_HOME": "/nowhere", "XDG_RUNTIME_DIR": "/nowhere"]
            #expect(try Program.run(ready, environment: alone).status == 0)
            let other = ["XDG_STATE_HOME": "/nowhere", "XDG_RUNTIME_DIR": runtime]
            let told = try Program.run(ready, environment: other)
            #expect(
                told.status == 1 && told.output.contains("missing-file  extra/notes.bin"),
                "\(told.output)\(told.errors)")
            try repo.file("extra/notes.bin", extra.content, at: TestSupport.commit(1))
            #expect(try Program.run(ready, environment: other).status == 0)
            #expect(daemon.stop() == 0)
        }
    }

    private func size(_ path: BytePath) -> Int {
        (try? FileManager.default.attributesOfItem(atPath: path.text)[.size] as? Int) ?? 0
    }

    /// Two entries of `local-dirs` that lead to the same folder: what is wrong there is told until neither leads there.
    @Test func twoNamesOfALocalFolder() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.outer.makeFolder("local/cut")
            let weights = safetensors([("a", Array(repeating: 1, count: 100))])
            try cache.outer.write("local/cut/model.safetensors", Array(weights.dropLast(10)))
            for name: BytePath in ["one", "two"] { try cache.outer.link(name, to: "local") }
            func listing(_ names: [String]) -> String {
                let folders = names.map { "\(cache.outer.path.text)/\($0)" }.joined(separator: ", ")
                return "mode: observe\ncaches:\n  - {path: \(cache.path.text), local-dirs: [\(folders)]}\n"
            }
            // One that is not there is told when those before it have been looked at.
            let policy = listing(["one", "two", "first-absent"])
            let daemon = try ControlledDaemon(cache, policy: policy, namesCache: false)
            func isTold() throws -> Bool { try daemon.ask("GET", "/api/findings").text.contains("truncated") }
            #expect(daemon.wait { daemon.words.contains("first-absent") })
            let told = try daemon.ask("GET", "/api/findings").text
            #expect(told.components(separatedBy: "\"truncated\"").count == 2, "once: \(told)")
            try cache.outer.write("policy.yaml", listing(["two", "second-absent"]))
            #expect(daemon.wait { daemon.words.contains("second-absent") })
            #expect(try isTold())
            try cache.outer.write("policy.yaml", listing([]))
            #expect(daemon.wait { (try? isTold()) == false })
            #expect(daemon.stop() == 0)
        }
    }

    /// As the unit runs it: with a low priority that it may not raise. What it says is its own words only.
    @Test func aLowPriorityIsNoNews() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let nice = ["/usr/bin/nice", "-n", "10"]
            let daemon = try ControlledDaemon(
                cache, environment: ["LIBDISPATCH_LOG": "stderr"],
                wrapper: isRoot ? ["/usr/bin/setpriv", "--bounding-set=-sys_nice"] + nice : nice)
            for _ in 1...20 { #expect(try daemon.ask("GET", "/api/models/list").status == 200) }
            #expect(daemon.stop() == 0)
            #expect(!daemon.words.contains("priority"), "\(daemon.words)")
        }
    }

    @Test func openAPIHasEveryPath() throws {
        try withTestCache { cache in
            let daemon = try ControlledDaemon(cache)
            let document = try daemon.ask("GET", "/openapi.json")
            #expect(document.json["openapi"] as? String == "3.1.0")
            let paths = try #require(document.json["paths"] as? [String: [String: Any]])
            let schemas = try #require(
                (document.json["components"] as? [String: Any])?["schemas"] as? [String: Any])
            #expect(
                Set(paths.keys) == [
                    "/healthz", "/api/status", "/api/reload", "/api/scrub", "/api/findings", "/api/history",
                    "/api/plan",
                    "/api/models/list", "/api/models/status", "/api/models/space", "/api/models", "/api/verify",
                    "/api/reads", "/api/events", "/metrics", "/openapi.json", "/api/models/download",
                    "/api/models/preview", "/api/repair", "/api/downloads", "/", "/api/ls", "/api/models/removal",
                ])
            for reference in document.text.components(separatedBy: "#/components/schemas/").dropFirst() {
                #expect(schemas[String(reference.prefix { $0 != "\"" })] != nil, "\(reference.prefix(20))")
            }
            // What it says of an answer is what comes; those that last are looked at elsewhere.
            for (path, methods) in paths where !["/api/events", "/api/reads"].contains(path) {
                for (method, operation) in methods {
                    let answers = try #require((operation as? [String: Any])?["responses"] as? [String: Any])
                    let answer = try daemon.ask(method.uppercased(), path)
                    #expect(answers[String(answer.status)] != nil, "\(method) \(path): \(answer.status)")
                    let content = (answers[String(answer.status)] as? [String: Any])?["content"] as? [String: Any]
                    #expect(content?.keys.contains(answer.headers["content-type"] ?? "") ?? false, "\(path)")
                }
            }
        }
    }

    @Test func eventsAreHeardAsTheyAreSaid() throws {
        try withTestCache { cache in
            let daemon = try ControlledDaemon(cache)
            let listener = try #require(SocketConnection(daemon.path))
            listener.send("GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(listener.receive(until: ": listening").contains("text/event-stream"))
            try cache.repo("org/new").model()
            let heard = listener.receive(until: "event: arrived")
            #expect(heard.contains("event: arrived"))
            #expect(daemon.stop() == 0)
        }
    }

    /// What one-shots and announced readers open is no use; what others open is.
    @Test func announcedReadsAreNoUse() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            let daemon = try ControlledDaemon(cache)
            let reader = try #require(SocketConnection(daemon.path))
            reader.send("POST /api/reads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
            #expect(reader.receive(until: "announced").contains("200"))
            #expect(
                try daemon.ask("POST", "/api/reads", #"{"models":[{"hf_repo":"no/no/no"}]}"#).code == "invalid_repo_id")
            #expect(try daemon.ask("POST", "/api/reads", #"{"models":"all"}"#).code == "invalid_request")
            reader.end()
            let environment = daemon.environment
            let verify = ["verify", "--depth", "digests", "--fresh", "--cache", cache.path.text]
            #expect(try Program.run(verify, environment: environment).status == 0)
            #expect(daemon.stop() == 0)
            #expect(try !isUsed(cache))

            let other = try ControlledDaemon(cache)
            #expect(
                try Program.run(
                    verify, environment: environment.merging(["XDG_RUNTIME_DIR": "/nowhere"]) { $1 }
                ).status == 0)
            #expect(other.stop() == 0)
            // Nobody told it, and an open is in doubt a use.
            #expect(try isUsed(cache))
        }
    }

    /// What another process proves wrong is in the ledger, and nothing in the cache tells of it.
    @Test func whatAOneShotProvesWrongIsKnownToTheDaemon() throws {
        try withTestCache { cache in
            let repo = cache.repo("org/flipped")
            try repo.flipBit(of: repo.model()[1])
            let daemon = try ControlledDaemon(cache)
            let verify = ["verify", "--depth", "digests", "--cache", cache.path.text]
            #expect(try Program.run(verify, environment: daemon.environment).status == 1)
            #expect(daemon.wait { daemon.words.contains("digest-mismatch") }, "\(daemon.words)")
            #expect(daemon.stop() == 0)
        }
    }

    /// Whether a daemon remembers that something in the cache was opened.
    private func isUsed(_ cache: TestCache) throws -> Bool {
        let state = cache.outer.path.appending("state/hfjanitor")
        let ledger = Ledger.open(directory: state, programVersion: "test", readOnly: true)
        defer { ledger.close() }
        guard case .unavailable(let reason) = ledger.availability else {
            return ledger.lastOpens(cache: cache.path).values.contains { $0.values.contains { $0.source == .watch } }
        }
        throw SetupFailure(description: "no ledger: \(reason)")
    }
}
