import Foundation
import HubCache
import TestSupport
import Testing

/// Events that go to whom the policy names.
@Suite(.serialized) struct NotifyTests {
    /// A daemon with a finding, an error, from the start.
    private func withFinding(_ body: (TestCache) throws -> Void) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let files = try repo.model()
            cache.outer.delete(repo.place("blobs").appending(files[1].etag))
            try body(cache)
        }
    }

    private func start(_ cache: TestCache, notify: String, environment: [String: String] = [:]) throws
        -> RunningTestDaemon
    {
        try cache.outer.write("policy.yaml", "mode: observe\nnotify: \(notify)\n")
        return try RunningTestDaemon(
            cache: cache.path, policy: cache.outer.path.appending("policy.yaml"),
            state: cache.outer.path.appending("state"), environment: environment)
    }

    private func script(_ cache: TestCache, _ lines: String) throws -> String {
        try cache.outer.write("page-me", "#!/bin/sh\n" + lines + "\n", mode: 0o755)
        return cache.outer.path.appending("page-me").text
    }

    private func text(_ cache: TestCache, _ name: BytePath) -> String {
        (try? String(contentsOfFile: cache.outer.path.appending(name).text, encoding: .utf8)) ?? ""
    }

    @Test func aProgramGetsTheEventAndNothingElseOfOurs() throws {
        try withFinding { cache in
            let out = cache.outer.path.text
            let program = try script(
                cache,
                """
                cat > '\(out)/event.new'
                env > '\(out)/environment'
                ls -l /proc/$$/fd > '\(out)/descriptors'
                ps -o pid=,pgid=,sid= -p $$ > '\(out)/ids'
                grep SigBlk /proc/self/status > '\(out)/signals'
                pwd > '\(out)/folder'
                echo "$1" > '\(out)/argument'
                mv '\(out)/event.new' '\(out)/event'
                """)
            let daemon = try start(
                cache, notify: "{command: [\(program), \"$(touch '\(out)/shell')\"]}",
                environment: ["HF_TOKEN": "hf_secret", "CREDENTIALS_DIRECTORY": out])
            let finding = try daemon.wait(for: "finding")
            #expect(daemon.wait { cache.outer.exists("event") }, "\(daemon.text)")
            let event = try #require(LoggedEvent(line: text(cache, "event").trimmingCharacters(in: .newlines)))
            #expect(event.event == "finding")
            #expect(event.thing == finding.thing)
            #expect(event.texts["message_id"] == finding.texts["message_id"])
            #expect(event.texts["level"] == "error")
            let variables = text(cache, "environment").split(separator: "\n").compactMap {
                $0.split(separator: "=").first.map(String.init)
            }
            // The shell adds its own.
            #expect(Set(variables).subtracting(["PWD", "OLDPWD", "SHLVL", "_"]) == ["PATH", "LANG"])
            let descriptors = text(cache, "descriptors").split(separator: "\n").filter { $0.contains("->") }
            // Its own script, and what the shell redirects.
            #expect(!descriptors.contains { $0.contains("socket:") || $0.contains("inotify") || $0.contains("ledger") })
            let ids = text(cache, "ids").split(separator: " ").map {
                $0.trimmingCharacters(in: .whitespacesAndNewlines)
            }
            #expect(ids.count == 3 && Set(ids).count == 1, "\(ids)")
            #expect(text(cache, "signals").hasSuffix("\t0000000000000000\n"))
            #expect(text(cache, "folder") == "/\n")
            // No shell had a look at the arguments.
            #expect(text(cache, "argument").hasPrefix("$(touch"))
            #expect(!cache.outer.exists("shell"))
            #expect(daemon.stop() == 0)
        }
    }

    @Test func whatMattersLessIsLeftOut() throws {
        try withFinding { cache in
            let out = cache.outer.path.text
            let program = try script(cache, "cat >> '\(out)/events'")
            let daemon = try start(cache, notify: "{command: [\(program)]}")
            try daemon.wait(for: "daemon-ready")
            #expect(daemon.wait { text(cache, "events").contains("\"finding\"") })
            #expect(daemon.stop() == 0)
            let events = text(cache, "events").split(separator: "\n").compactMap { LoggedEvent(line: String($0)) }
            #expect(events.allSatisfy { ["error", "critical"].contains($0.texts["level"]) })
            let errors = daemon.events.filter { ["error", "critical"].contains($0.texts["level"] ?? "") }
            #expect(events.map(\.thing).sorted() == errors.map(\.thing).sorted())
        }
    }

    @Test func aFailureIsAConditionAndNotNotified() throws {
        try withFinding { cache in
            let out = cache.outer.path.text
            let program = try script(cache, "cat >> '\(out)/events'; test -e '\(out)/works' || exit 7")
            let daemon = try start(cache, notify: "{command: [\(program)], min-severity: warning}")
            let failed = try daemon.wait(for: "watch-degraded") { $0.code == "notify-failed" }
            #expect(failed.message.contains("ended with status 7"))
            try cache.outer.write("works", "")
            let repo = cache.repo("org/second")
            let files = try repo.model()
            cache.outer.delete(repo.place("blobs").appending(files[1].etag))
            try daemon.wait(for: "watch-degraded") { $0.code == "notify-failed" && $0.texts["level"] == "notice" }
            #expect(daemon.stop() == 0)
            #expect(!text(cache, "events").contains("notify-failed"))
        }
    }

    /// It hangs, with a child: the daemon goes on, drops what is too much, ends in time, and leaves nothing behind.
    @Test func aProgramThatHangsDisturbsNothing() throws {
        try withTestCache { cache in
            let out = cache.outer.path.text
            let program = try script(
                cache, "echo $$ > '\(out)/pid.new'; mv '\(out)/pid.new' '\(out)/pid'; sleep 10000 & sleep 10000")
            for number in 0..<130 {
                let repo = cache.repo("org/r\(number)")
                try repo.link("model.safetensors", to: String(repeating: "a", count: 64), at: commit(1))
                try repo.ref("main", commit(1))
            }
            let daemon = try start(cache, notify: "{command: [\(program)]}")
            try daemon.wait(for: "daemon-ready")
            try daemon.wait(for: "watch-degraded") { $0.code == "notify-dropped" }
            #expect(daemon.events.count { $0.code == "notify-dropped" } == 1)
            try cache.repo("org/whole").model(commit(2))
            try daemon.wait(for: "arrived")
            let group = try #require(Int32(text(cache, "pid").trimmingCharacters(in: .newlines)))
            #expect(running(group) >= 2)
            #expect(daemon.stop() == 0)
            #expect(running(group) == 0)
        }
    }

    /// How many processes of a group run; those that ended and that nobody waited for do not.
    private func running(_ group: Int32) -> Int {
        let numbers = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return numbers.filter { Int32($0) != nil }.count { number in
            guard let text = try? String(contentsOfFile: "/proc/\(number)/stat", encoding: .utf8),
                let end = text.lastIndex(of: ")")
            else { return false }
            let fields = text[end...].split(separator: " ")
            return fields.count > 3 && fields[1] != "Z" && fields[3] == String(group)
        }
    }

    @Test func aProgramThatCannotBeStartedIsSaid() throws {
        try withFinding { cache in
            let daemon = try start(cache, notify: "{command: [/nonexistent/page-me]}")
            let failed = try daemon.wait(for: "watch-degraded") { $0.code == "notify-failed" }
            #expect(failed.message.contains("/nonexistent/page-me"))
            #expect(daemon.stop() == 0)
        }
    }

    @Test func anAddressGetsAPost() throws {
        try withFinding { cache in
            let out = cache.outer.path.text
            let server = Process()
            server.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            server.arguments = ["python3", "-c", Self.server, out]
            let output = Pipe()
            server.standardOutput = output
            try server.run()
            defer {
                // Threads of the test runner block the gentle signal, and a program inherits that.
                kill(server.processIdentifier, SIGKILL)
                server.waitUntilExit()
            }
            let port = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
                .trimmingCharacters(in: .newlines)
            let daemon = try start(
                cache, notify: "{url: \"http://127.0.0.1:\(port)/hook/s3cret\"}",
                environment: ["HF_TOKEN": "hf_secret"])
            let finding = try daemon.wait(for: "finding")
            #expect(daemon.wait { cache.outer.exists("post") }, "\(daemon.text)")
            let post = try #require(
                try JSONSerialization.jsonObject(with: Data(text(cache, "post").utf8)) as? [String: Any])
            #expect(post["path"] as? String == "/hook/s3cret")
            #expect(post["type"] as? String == "application/json")
            #expect(!(post["headers"] as? String ?? "").contains("hf_secret"))
            let event = try #require(LoggedEvent(line: post["body"] as? String ?? ""))
            #expect(event.thing == finding.thing)
            // A redirect is no answer, and is not followed; the address is nobody's business.
            try cache.outer.write("redirect", "")
            let repo = cache.repo("org/second")
            let files = try repo.model()
            cache.outer.delete(repo.place("blobs").appending(files[1].etag))
            let failed = try daemon.wait(for: "watch-degraded") { $0.code == "notify-failed" }
            #expect(failed.message.contains("answered 302"))
            #expect(!failed.message.contains("s3cret"))
            #expect(!cache.outer.exists("followed"))
            #expect(daemon.stop() == 0)
        }
    }

    private static let server = """
        import http.server, json, os, sys
        out = sys.argv[1]
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                open(out + "/followed", "w").close()
                self.send_response(200); self.end_headers()
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if os.path.exists(out + "/redirect"):
                    self.send_response(302); self.send_header("Location", "/other"); self.end_headers(); return
                with open(out + "/post.new", "w") as file:
                    json.dump({"path": self.path, "type": self.headers["Content-Type"], "body": body,
                               "headers": str(self.headers)}, file)
                os.rename(out + "/post.new", out + "/post")
                self.send_response(204); self.end_headers()
            def log_message(self, *words): pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        print(server.server_address[1], flush=True)
        server.serve_forever()
        """
}
