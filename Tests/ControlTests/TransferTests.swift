import Foundation
import HubCache
import TestSupport
import Testing

/// Downloads, previews and repairs by requests alone, with a Hub on the loopback interface.
@Suite(.serialized) struct TransferTests {
    private static let allowing = "mode: observe\ncontrol: {allow-fetch: true}\n"

    /// A model with one large file, another one, and one that is gated.
    private func withHub(_ body: (TestCache, HubStandIn) throws -> Void) throws {
        let files: [String: Any] = [
            "config.json": ["text": "{\"model_type\": \"test\"}"], "model.bin": ["size": 3_000_000, "seed": "weights"],
        ]
        func repo(_ id: String, _ files: [String: Any]) -> [String: Any] {
            ["type": "model", "id": id, "commits": [["branch": "main", "files": files, "tags": ["v1"]]]]
        }
        try withTestCache { cache in
            let hub = try HubStandIn(
                ["repos": [repo("acme/m", files), repo("acme/other", ["other.bin": ["size": 50_000, "seed": "o"]])]],
                in: cache.outer)
            try body(cache, hub)
        }
    }

    private func daemon(
        _ cache: TestCache, _ hub: HubStandIn, policy: String = allowing, _ more: [String: String] = [:]
    ) throws -> ControlledDaemon {
        try ControlledDaemon(
            cache, policy: policy,
            environment: ["HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.hub].merging(more) { $1 })
    }

    private func status(_ daemon: ControlledDaemon, _ repo: String = "acme/m") -> [String: Any] {
        daemon.tryToAsk("POST", "/api/models/status", "{\"hf_repo\":\"\(repo)\"}")?.json ?? [:]
    }

    private func waitFor(_ word: String, _ daemon: ControlledDaemon, _ repo: String = "acme/m") -> Bool {
        daemon.wait { status(daemon, repo)["status"] as? String == word }
    }

    /// Everything in the cache but lock files, which are never removed.
    private func left(in cache: TestCache) -> [String] {
        let all = FileManager.default.enumerator(atPath: cache.path.text)?.compactMap { $0 as? String } ?? []
        return all.filter { !$0.hasPrefix(".locks") && $0 != "CACHEDIR.TAG" }.sorted()
    }

    private static let request = #"{"hf_repo":"acme/m"}"#

    /// Who waits for an answer when the daemon stops is told so, instead of being left with a closed connection.
    @Test func whoWaitsHearsThatItStops() throws {
        try withHub { cache, hub in
            let daemon = try daemon(cache, hub)
            try hub.fault("hold", ["origin": "hub", "method": "GET"])
            let waiting = try ["/api/models/download", "/api/models/preview"].map { path in
                let connection = try #require(SocketConnection(daemon.path))
                connection.send(
                    "POST \(path) HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(Self.request.utf8.count)\r\n\r\n"
                        + Self.request)
                return connection
            }
            #expect(daemon.wait { (try? daemon.ask("GET", "/api/downloads"))?.text.contains("acme/m") == true })
            #expect(daemon.stop() == 0)
            for connection in waiting {
                let answer = try #require(SocketAnswer(connection.receiveAll()))
                #expect(answer.status == 503 && answer.text.contains("stopping"), "\(answer.text)")
            }
        }
    }

    /// A removal that is not carried out because the daemon stops has not failed.
    @Test func whoWaitsForARemovalHearsThatItStops() throws {
        try withHub { cache, hub in
            let names = (1...8).map { "acme/r\($0)" }
            for name in names { try cache.repo(name).model() }
            let daemon = try daemon(cache, hub)
            let waiting = try names.map { name in
                let connection = try #require(SocketConnection(daemon.path))
                let body = "{\"hf_repo\":\"\(name)\"}"
                connection.send(
                    "DELETE /api/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
                )
                return connection
            }
            #expect(daemon.wait { daemon.words.contains("removed") })
            #expect(daemon.stop() == 0)
            for connection in waiting {
                let answer = try #require(SocketAnswer(connection.receiveAll()))
                let isStopping = answer.status == 503 && answer.text.contains("stopping")
                #expect(answer.status == 200 || isStopping, "\(answer.status) \(answer.text)")
            }
        }
    }

    @Test func downloadsAndTellsHowFarItIs() throws {
        try withHub { cache, hub in
            let daemon = try daemon(cache, hub)
            let listener = try #require(SocketConnection(daemon.path))
            listener.send("GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            _ = listener.receive(until: ": listening")
            try hub.fault("hold", ["origin": "cdn", "method": "GET", "after": 1_500_000])
            let begun = try daemon.ask("POST", "/api/models/download", Self.request)
            #expect(begun.status == 202 && begun.json["joined"] as? Bool == false, "\(begun.text)")
            #expect(begun.json["status"] as? String == "DOWNLOADING")
            let task = try #require(begun.json["task_id"] as? String)
            let isHalf = daemon.wait {
                let known = status(daemon)
                let progress = known["progress"] as? [String: Any]
                return known["status"] as? String == "DOWNLOADING" && progress?["bytes"] as? Int ?? 0 >= 1_000_000
            }
            #expect(isHalf, "\(status(daemon))")
            let progress = try #require(status(daemon)["progress"] as? [String: Any])
            #expect(
                Set(progress.keys) == [
                    "start_time", "elapsed_seconds", "bytes", "total_bytes", "bytes_per_second", "eta_seconds",
                ])
            #expect(progress["total_bytes"] as? Int == 3_000_000 + "{\"model_type\": \"test\"}".utf8.count)
            let heard = listener.receive(until: "event: progress")
            #expect(heard.contains("event: download-started"))
            #expect(listener.receive(until: "\n\n").contains(task) || heard.contains(task))

            // The same again, by each of its names.
            for name in ["", #","hf_commit":"main""#, ",\"hf_commit\":\"\(hub.commit.hex)\"", #","hf_commit":"v1""#] {
                let joined = try daemon.ask("POST", "/api/models/download", "{\"hf_repo\":\"acme/m\"\(name)}")
                #expect(
                    joined.status == 202 && joined.json["joined"] as? Bool == true
                        && joined.json["task_id"] as? String == task, "\(name): \(joined.text)")
            }
            let others = try daemon.ask("POST", "/api/models/download", #"{"hf_repo":"acme/m","include":["*.json"]}"#)
            #expect(others.status == 409 && others.code == "already_downloading", "\(others.text)")
            let second = try daemon.ask("POST", "/api/models/download", #"{"hf_repo":"acme/other"}"#)
            #expect(second.status == 429 && second.code == "download_limit_reached", "\(second.text)")
            #expect(Int(second.headers["retry-after"] ?? "") ?? 0 > 0)
            let list = try daemon.ask("GET", "/api/downloads").json["downloads"] as? [[String: Any]] ?? []
            #expect(list.map { $0["task_id"] as? String } == [task])
            #expect(list.first?["status"] as? String == "RUNNING")
            #expect(list.first?["commit"] as? String == hub.commit.hex)

            // A policy that forbids it now is for those that come.
            try cache.outer.write("policy.yaml", "mode: observe\n")
            #expect(try daemon.ask("POST", "/api/reload").status == 200)
            #expect(try daemon.ask("POST", "/api/models/download", #"{"hf_repo":"acme/other"}"#).code == "not_allowed")
            try hub.clear()
            #expect(waitFor("DOWNLOADED", daemon), "\(status(daemon))")
            let ended = try daemon.ask("GET", "/api/downloads").json["downloads"] as? [[String: Any]] ?? []
            #expect(ended.first?["status"] as? String == "FINISHED", "\(ended)")
            #expect(daemon.wait { daemon.words.contains("\"event\":\"download-finished\"") })
            #expect(daemon.words.contains("\"event\":\"download-joined\""))
            #expect(cache.outer.exists(cache.place("models--acme--m/refs/main")))
            let verified = try daemon.ask(
                "POST", "/api/verify", #"{"hf_repo":"acme/m","hf_commit":"main","depth":"digests"}"#)
            #expect((verified.json["summary"] as? [String: Any])?["complete"] as? Int == 1, "\(verified.text)")
            // What is here is no error.
            #expect(try daemon.ask("POST", "/api/models/download", Self.request).status == 202)
            let isOver = daemon.wait {
                let known = try? daemon.ask("GET", "/api/downloads").json["downloads"] as? [[String: Any]]
                return known?.allSatisfy { $0["status"] as? String != "RUNNING" } ?? false
            }
            #expect(isOver)
            // Who wants that cancelled does not want the model gone.
            let late = try daemon.ask("DELETE", "/api/models", "{\"hf_repo\":\"acme/m\",\"task_id\":\"\(task)\"}")
            #expect(late.code == "model_not_found", "\(late.text)")
            let gone = try daemon.ask("DELETE", "/api/models", Self.request)
            #expect(gone.json["status"] as? String == "deleted", "\(gone.text)")
            #expect(left(in: cache).isEmpty, "\(left(in: cache))")
            #expect(daemon.stop() == 0)
        }
    }

    @Test func cancellingLeavesNothing() throws {
        try withHub { cache, hub in
            let daemon = try daemon(cache, hub)
            try hub.fault("hold", ["origin": "cdn", "method": "GET", "after": 1_500_000])
            for body in [Self.request, #"{"hf_repo":"acme/m","include":["model.bin"]}"#] {
                #expect(try daemon.ask("POST", "/api/models/download", body).status == 202)
                #expect(daemon.wait { left(in: cache).contains { $0.hasSuffix(".incomplete") } })
                let cancelled = try daemon.ask("DELETE", "/api/models", Self.request)
                #expect(cancelled.status == 200, "\(cancelled.text)")
                #expect(cancelled.json["status"] as? String == "cancelled" && cancelled.json["kept"] is NSNull)
                #expect(left(in: cache).isEmpty, "\(left(in: cache))")
                #expect(status(daemon)["status"] as? String == "NOT_FOUND")
                #expect(try daemon.ask("DELETE", "/api/models", Self.request).code == "model_not_found")
            }
            // Whoever asks anew while it is being cancelled is told to wait, and then gets all of it.
            #expect(try daemon.ask("POST", "/api/models/download", Self.request).status == 202)
            #expect(daemon.wait { left(in: cache).contains { $0.hasSuffix(".incomplete") } })
            let connection = try #require(SocketConnection(daemon.path))
            connection.send(
                "DELETE /api/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                    + "Content-Length: \(Self.request.utf8.count)\r\n\r\n\(Self.request)")
            var codes: Set<String> = []
            let isBegunAnew = daemon.wait {
                guard let answer = daemon.tryToAsk("POST", "/api/models/download", Self.request) else { return false }
                if let code = answer.code { codes.insert(code) }
                return answer.status == 202 && answer.json["joined"] as? Bool == false
            }
            #expect(isBegunAnew && codes.isSubset(of: ["already_downloading"]), "\(codes)")
            #expect(SocketAnswer(connection.receiveAll())?.json["status"] as? String == "cancelled")
            #expect(try daemon.ask("DELETE", "/api/models", Self.request).json["status"] as? String == "cancelled")
            #expect(left(in: cache).isEmpty, "\(left(in: cache))")
            // What was here before stays.
            try hub.clear()
            #expect(
                try daemon.ask("POST", "/api/models/download", #"{"hf_repo":"acme/m","include":["*.json"]}"#).status
                    == 202)
            #expect(daemon.wait { !left(in: cache).isEmpty && status(daemon)["status"] as? String != "DOWNLOADING" })
            let before = left(in: cache)
            try hub.fault("hold", ["origin": "cdn", "method": "GET", "after": 1_500_000])
            #expect(daemon.wait { (try? daemon.ask("POST", "/api/models/download", Self.request))?.status == 202 })
            #expect(daemon.wait { left(in: cache).contains { $0.hasSuffix(".incomplete") } })
            #expect(try daemon.ask("DELETE", "/api/models", Self.request).json["status"] as? String == "cancelled")
            #expect(left(in: cache) == before, "\(left(in: cache))")
            #expect(daemon.stop() == 0)
        }
    }

    /// What others brought of the same revision meanwhile is not the download's to take away.
    @Test func cancellingLeavesWhatOthersBrought() throws {
        try withHub { cache, hub in
            let environment = ["HF_ENDPOINT": hub.hub]
            func fetch(_ pattern: String, _ more: [String: String]) throws -> Int32 {
                try Program.run(
                    ["fetch", "acme/m", "--include", pattern, "--cache", cache.path.text],
                    environment: environment.merging(more) { $1 }
                ).status
            }
            try hub.fault("hold", ["origin": "cdn", "method": "GET", "after": 500_000])
            let daemon = try daemon(cache, hub)
            let wanted = #"{"hf_repo":"acme/m","include":["model.bin"]}"#
            #expect(try daemon.ask("POST", "/api/models/download", wanted).status == 202)
            #expect(daemon.wait { left(in: cache).contains { $0.hasSuffix(".incomplete") } })
            #expect(try fetch("config.json", [:]) == 0)
            let cancelled = try daemon.ask("DELETE", "/api/models", Self.request)
            #expect(cancelled.json["status"] as? String == "cancelled", "\(cancelled.text)")
            #expect((cancelled.json["kept"] as? String)?.contains("others brought") == true, "\(cancelled.text)")
            #expect(left(in: cache).contains { $0.hasSuffix("/config.json") })
            #expect(!left(in: cache).contains { $0.hasSuffix(".incomplete") })
            #expect(daemon.stop() == 0)
        }
    }

    /// What an earlier fetch left half-way is gone on with, and is still there when that is cancelled.
    @Test func cancellingLeavesWhatWasBegunBefore() throws {
        try withHub { cache, hub in
            try hub.fault("hold", ["origin": "cdn", "method": "GET", "after": 500_000])
            func partial() -> UInt64 {
                let name = left(in: cache).first { $0.hasSuffix(".incomplete") }
                let path = name.map { cache.path.appending(BytePath($0)).text }
                let found = path.flatMap { try? FileManager.default.attributesOfItem(atPath: $0)[.size] as? UInt64 }
                return found ?? 0
            }
            let killed = try Program.start(
                ["fetch", "acme/m", "--cache", cache.path.text], environment: ["HF_ENDPOINT": hub.hub])
            let end = Date().addingTimeInterval(60)
            while partial() == 0, Date() < end { usleep(20_000) }
            kill(killed.process.processIdentifier, SIGKILL)
            killed.process.waitUntilExit()
            let before = partial()
            #expect(before > 0)
            let daemon = try daemon(cache, hub)
            #expect(try daemon.ask("POST", "/api/models/download", Self.request).status == 202)
            #expect(daemon.wait { (status(daemon)["progress"] as? [String: Any])?["bytes"] as? Int ?? 0 > 0 })
            let cancelled = try daemon.ask("DELETE", "/api/models", Self.request)
            #expect(cancelled.json["status"] as? String == "cancelled", "\(cancelled.text)")
            #expect(partial() >= before, "\(left(in: cache))")
            #expect(daemon.stop() == 0)
        }
    }

    @Test func cancellingTakesOnlyItsOwnRevision() throws {
        let commits: [[String: Any]] = [
            ["branch": "v2", "files": ["config.json": ["text": "{\"model_type\": \"two\"}"]]],
            ["branch": "main", "files": ["model.bin": ["size": 3_000_000, "seed": "weights"]]],
        ]
        try withTestCache { cache in
            let hub = try HubStandIn(
                ["repos": [["type": "model", "id": "acme/two", "commits": commits]]], in: cache.outer)
            let daemon = try daemon(
                cache, hub, policy: Self.allowing + "repair: {max-concurrent-downloads: 4}\n")
            try hub.fault("hold", ["origin": "cdn", "method": "GET", "after": 1_500_000])
            #expect(try daemon.ask("POST", "/api/models/download", #"{"hf_repo":"acme/two"}"#).status == 202)
            #expect(daemon.wait { left(in: cache).contains { $0.hasSuffix(".incomplete") } })
            let second = #"{"hf_repo":"acme/two","hf_commit":"v2"}"#
            #expect(try daemon.ask("POST", "/api/models/download", second).status == 202)
            let isHere = daemon.wait {
                daemon.tryToAsk("POST", "/api/models/status", second)?.json["status"] as? String == "DOWNLOADED"
            }
            #expect(isHere)
            let cancelled = try daemon.ask("DELETE", "/api/models", #"{"hf_repo":"acme/two","hf_commit":"main"}"#)
            #expect(cancelled.json["status"] as? String == "cancelled", "\(cancelled.text)")
            #expect(
                try daemon.ask("POST", "/api/models/status", second).json["status"] as? String == "DOWNLOADED")
            #expect(left(in: cache).contains { $0.hasSuffix("refs/v2") })
            #expect(!left(in: cache).contains { $0.hasSuffix(".incomplete") || $0.hasSuffix("model.bin") })
            #expect(daemon.stop() == 0)
        }
    }

    @Test func whatCameWrongIsMissing() throws {
        try withHub { cache, hub in
            let daemon = try daemon(cache, hub)
            try hub.fault("flip", ["origin": "cdn", "method": "GET"])
            #expect(try daemon.ask("POST", "/api/models/download", Self.request).status == 202)
            #expect(daemon.wait { status(daemon)["error_code"] as? String == "digest_mismatch" })
            #expect(daemon.wait { status(daemon)["status"] as? String == "PARTIAL" }, "\(status(daemon))")
            #expect(daemon.stop() == 0)
        }
    }

    @Test func aRestartLosesNothing() throws {
        try withHub { cache, hub in
            let first = try daemon(cache, hub)
            try hub.fault("hold", ["origin": "cdn", "method": "GET", "after": 1_500_000])
            #expect(try first.ask("POST", "/api/models/download", Self.request).status == 202)
            #expect(first.wait { (status(first)["progress"] as? [String: Any])?["bytes"] as? Int ?? 0 > 1_000_000 })
            #expect(first.stop() == 0)
            #expect(left(in: cache).contains { $0.hasSuffix(".incomplete") })
            try hub.clear()
            let second = try daemon(cache, hub)
            #expect(second.wait { (try? second.ask("POST", "/api/models/download", Self.request))?.status == 202 })
            #expect(waitFor("DOWNLOADED", second))
            let ranges = try hub.log().compactMap { $0["range"] as? String }
            #expect(ranges.contains { !$0.hasPrefix("bytes=0-") }, "\(ranges)")
            #expect(second.stop() == 0)
        }
    }

    @Test func whatIsKnownBeforehandIsRefused() throws {
        try withHub { cache, hub in
            let daemon = try daemon(cache, hub)
            func download(_ body: String) throws -> SocketAnswer {
                try daemon.ask("POST", "/api/models/download", body)
            }
            for (body, status, code) in [
                (#"{"hf_repo":"acme/no"}"#, 404, "repo_not_found"),
                (#"{"hf_repo":"acme/m","hf_commit":"no"}"#, 404, "revision_not_found"),
                (#"{"hf_repo":"acme/m","cache":"no"}"#, 400, "unknown_cache"),
                (#"{"hf_repo":"../m"}"#, 400, "invalid_repo_id"),
                (#"{"hf_repo":"acme/m","hf_token":"a b"}"#, 400, "invalid_request"),
                (#"{"hf_repo":"acme/m","hf_token":""}"#, 400, "invalid_request"),
                (#"{"hf_repo":"acme/m","include":"*"}"#, 400, "invalid_request"),
                (#"{"hf_repo":"acme/m","include":[""]}"#, 400, "invalid_request"),
                (#"{"hf_repo":"acme/m","include":[["x"]]}"#, 400, "invalid_request"),
                (#"{"hf_repo":"acme/m","path":"/etc"}"#, 400, "invalid_request"),
                (#"{"include":["*"]}"#, 400, "invalid_request"),
            ] {
                let answer = try download(body)
                #expect(answer.status == status && answer.code == code, "\(body): \(answer.text)")
            }
            try hub.fault(
                "status",
                ["status": 403, "path": "/api/models/acme/m/*", "headers": ["X-Error-Code": "GatedRepo"]])
            let gated = try download(Self.request)
            #expect(gated.status == 403 && gated.code == "gated", "\(gated.text)")
            try hub.clear()
            try hub.fault("status", ["status": 503, "path": "/api/models/acme/m/*"])
            let silent = try download(Self.request)
            #expect(silent.status == 502 && silent.code == "network", "\(silent.text)")
            try hub.clear()
            #expect(left(in: cache).isEmpty, "\(left(in: cache))")
            #expect(daemon.stop() == 0)

            let full = try self.daemon(
                cache, hub, policy: Self.allowing + "caches: [{path: \(cache.path.text), critical-free: 900TB}]\n")
            let refused = try full.ask("POST", "/api/models/download", Self.request)
            #expect(refused.status == 507 && refused.code == "insufficient_disk", "\(refused.text)")
            let words = refused.json["detail"] as? String ?? ""
            #expect(words.contains("need ") && words.contains(" free, floor "), "\(words)")
            #expect(left(in: cache).isEmpty, "\(left(in: cache))")
            #expect(try full.ask("GET", "/api/downloads").json["downloads"] as? [Int] == [])
            #expect(full.stop() == 0)

            let offline = try self.daemon(cache, hub, ["HF_HUB_OFFLINE": "1"])
            let unasked = try offline.ask("POST", "/api/models/download", Self.request)
            #expect(unasked.status == 503 && unasked.code == "offline", "\(unasked.text)")
        }
    }

    /// The owner's token is for what the owner wants; the asker's own opens more, and is never told.
    @Test func ownersTokenFetchesNothingNew() throws {
        try withHub { cache, hub in
            let secret = "hf_0123456789abcdefSECRET"
            let owner = "hf_OWNERowner0123456789"
            let daemon = try daemon(cache, hub, policy: "mode: observe\n", ["HF_TOKEN": owner])
            let refused = try daemon.ask("POST", "/api/models/download", Self.request)
            #expect(refused.status == 403 && refused.code == "not_allowed", "\(refused.text)")
            #expect(try hub.log().isEmpty, "the Hub was asked")
            // A preview goes without it.
            #expect(try daemon.ask("POST", "/api/models/preview", Self.request).status == 200)
            #expect(try hub.originsWithToken().isEmpty)

            let listener = try #require(SocketConnection(daemon.path))
            listener.send("GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            _ = listener.receive(until: ": listening")
            try hub.fault("hold", ["origin": "cdn", "method": "GET", "after": 1_500_000])
            let begun = try daemon.ask(
                "POST", "/api/models/download", "{\"hf_repo\":\"acme/m\",\"hf_token\":\"\(secret)\"}")
            #expect(begun.status == 202, "\(begun.text)")
            #expect(try !hub.originsWithToken().isEmpty)
            var told = begun.text + listener.receive(until: "event: progress")
            told += String(describing: status(daemon))
            for path in ["/api/downloads", "/api/status", "/metrics", "/openapi.json"] {
                told += try daemon.ask("GET", path).text
            }
            for file in ["cmdline", "environ"] {
                let bytes = FileManager.default.contents(atPath: "/proc/\(daemon.processID)/\(file)") ?? Data()
                #expect(!String(decoding: bytes, as: UTF8.self).contains(secret))
            }
            try hub.clear()
            #expect(waitFor("DOWNLOADED", daemon))
            let body = "{\"hf_repo\":\"acme/no\",\"hf_token\":\"\(secret)\"}"
            told += try daemon.ask("POST", "/api/models/download", body).text
            told += try daemon.ask("POST", "/api/models/download", "{\"hf_token\":[\"\(secret)\"]}").text
            told += try daemon.ask(
                "POST", "/api/models/download", "{\"hf_repo\":\"acme/m\",\"hf_token\":\"\(secret) x\"}"
            ).text
            told += String(describing: status(daemon, "acme/no"))

            // What is here is fetched with the owner's, unless it is not for everybody.
            let known = try daemon.ask("POST", "/api/models/download", #"{"hf_repo":"acme/m","hf_commit":"v1"}"#)
            #expect(known.status == 202, "\(known.text)")
            #expect(waitFor("DOWNLOADED", daemon))
            try hub.fault(
                "replace", ["path": "/api/models/acme/m/revision/*"],
                body: "{\"sha\":\"\(hub.commit.hex)\",\"gated\":\"auto\",\"private\":false}")
            let gated = try daemon.ask("POST", "/api/models/download", Self.request)
            #expect(gated.status == 403 && gated.code == "not_allowed", "\(gated.text)")
            #expect(daemon.stop() == 0)
            told += daemon.words
            let state = cache.outer.path.appending("state").text
            for case let name as String in FileManager.default.enumerator(atPath: state) ?? .init() {
                let bytes = FileManager.default.contents(atPath: "\(state)/\(name)") ?? Data()
                #expect(bytes.range(of: Data(secret.utf8)) == nil, "\(name)")
                #expect(bytes.range(of: Data(owner.utf8)) == nil, "\(name)")
            }
            #expect(!told.contains("SECRET") && !told.contains("OWNERowner"))
        }
    }

    /// Another program has a lock of the repo: its download is not joined, since nobody knows of what.
    @Test func aForeignDownloadIsLeftAlone() throws {
        try withHub { cache, hub in
            let daemon = try daemon(cache, hub)
            #expect(
                try daemon.ask("POST", "/api/models/download", #"{"hf_repo":"acme/m","include":["*.json"]}"#).status
                    == 202)
            #expect(daemon.wait { status(daemon)["status"] as? String != "DOWNLOADING" && !left(in: cache).isEmpty })
            try cache.outer.write(cache.place(".locks/models--acme--m/0123.lock"), "")
            let lock = cache.path.appending(".locks/models--acme--m/0123.lock").text
            let holder = Process()
            holder.executableURL = URL(fileURLWithPath: "/usr/bin/flock")
            holder.arguments = ["--no-fork", lock, "sleep", "600"]
            try holder.run()
            // Children of a test runner may have its signals blocked.
            defer { kill(holder.processIdentifier, SIGKILL) }
            let isRefused = daemon.wait {
                daemon.tryToAsk("POST", "/api/models/download", Self.request)?.code == "already_downloading"
            }
            #expect(isRefused)
            kill(holder.processIdentifier, SIGKILL)
            holder.waitUntilExit()
            #expect(daemon.wait { daemon.tryToAsk("POST", "/api/models/download", Self.request)?.status == 202 })
            #expect(waitFor("DOWNLOADED", daemon))
        }
    }

    @Test func aFailureIsRememberedUntilTheNextSuccess() throws {
        try withHub { cache, hub in
            let daemon = try daemon(cache, hub)
            try hub.fault(
                "status",
                [
                    "origin": "hub", "path": "/acme/m/resolve/*/model.bin", "status": 404,
                    "headers": ["X-Error-Code": "EntryNotFound"],
                ])
            #expect(try daemon.ask("POST", "/api/models/download", Self.request).status == 202)
            #expect(daemon.wait { !(status(daemon)["error_code"] is NSNull) && status(daemon)["error_code"] != nil })
            let known = status(daemon)
            #expect(known["error_code"] as? String == "entry_not_found", "\(known)")
            #expect(daemon.wait { daemon.words.contains("\"event\":\"download-failed\"") })
            try hub.clear()
            #expect(try daemon.ask("POST", "/api/models/download", Self.request).status == 202)
            #expect(waitFor("DOWNLOADED", daemon))
            #expect(status(daemon)["error_code"] is NSNull, "\(status(daemon))")
        }
    }

    @Test func previewIsTheCommands() throws {
        try withHub { cache, hub in
            let daemon = try daemon(cache, hub)
            let asked = try daemon.ask("POST", "/api/models/preview", Self.request)
            #expect(asked.status == 200 && asked.json["schema"] as? String == "hfjanitor.preview/1", "\(asked.text)")
            let command = try Program.run(
                ["preview", "acme/m", "--json", "--cache", cache.path.text], environment: ["HF_ENDPOINT": hub.hub])
            let document = try command.json
            for key in ["repo", "revision", "commit", "files", "bytes", "weights", "model", "access", "custom_code"] {
                #expect(asked.json[key] as? NSObject == document[key] as? NSObject, "\(key)")
            }
            #expect(Set(asked.json.keys) == Set(document.keys))
            let some = try daemon.ask("POST", "/api/models/preview", #"{"hf_repo":"acme/m","include":["*.json"]}"#)
            #expect(some.json["files"] as? Int == 1, "\(some.text)")
            #expect(try daemon.ask("POST", "/api/models/preview", #"{"hf_repo":"acme/no"}"#).code == "repo_not_found")
            #expect(
                try daemon.ask("POST", "/api/models/preview", #"{"hf_repo":"acme/m","hf_commit":"no"}"#).code
                    == "revision_not_found")
        }
    }

    @Test func repairs() throws {
        try withHub { cache, hub in
            let daemon = try daemon(cache, hub)
            #expect(try daemon.ask("POST", "/api/models/download", Self.request).status == 202)
            #expect(waitFor("DOWNLOADED", daemon))
            let blobs = cache.place("models--acme--m/blobs")
            let names = try FileManager.default.contentsOfDirectory(
                atPath: cache.outer.path.appending(blobs).text)
            cache.outer.delete(blobs.appending(BytePath(try #require(names.first { $0.count == 64 }))))
            #expect(daemon.wait { ["PARTIAL", "CORRUPT"].contains(status(daemon)["status"] as? String) })
            let begun = try daemon.ask("POST", "/api/repair", Self.request)
            #expect(begun.status == 202, "\(begun.text)")
            let tasks = begun.json["tasks"] as? [[String: Any]] ?? []
            #expect(tasks.count == 1 && tasks.first?["model"] as? String == "acme/m")
            #expect(waitFor("DOWNLOADED", daemon))
            let list = try daemon.ask("GET", "/api/downloads").json["downloads"] as? [[String: Any]] ?? []
            let task = list.first { $0["task_id"] as? String == tasks.first?["task_id"] as? String }
            #expect(task?["status"] as? String == "FINISHED", "\(list)")
            #expect((task?["files"] as? [String: Int])?["repaired"] == 1)
            #expect(daemon.words.contains("\"event\":\"repaired\""))
            let all = try daemon.ask("POST", "/api/repair", "")
            #expect(all.status == 202 && (all.json["tasks"] as? [Any])?.count == 1)
            #expect(try daemon.ask("POST", "/api/repair", #"{"hf_repo":"acme/no"}"#).code == "model_not_found")
            #expect(try daemon.ask("POST", "/api/repair", #"{"cache":"no"}"#).code == "unknown_cache")
            #expect(daemon.stop() == 0)
        }
    }
}
