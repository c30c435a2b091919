import Foundation
import Glibc
import HubCache
import TestSupport
import Testing

/// Clients that mean no good, or do not belong here.
@Suite(.serialized) struct HostileTests {
    @Test func otherSitesAreNotAnswered() throws {
        try withTestCache { cache in
            let daemon = try ControlledDaemon(cache)
            for header in [
                "Host: evil.example", "Host: localhost.evil.example", "Host: 127.0.0.1.nip.io",
                "Origin: https://evil.example", "Origin: null", "Origin: http://localhost.evil.example",
                "Sec-Fetch-Site: cross-site",
            ] {
                let answer = try daemon.ask("GET", "/api/status", headers: [header])
                #expect(answer.status == 403 && answer.code == "cross_site", "\(header)")
            }
            for header in ["Host: localhost:8080", "Host: 127.0.0.1", "Origin: http://localhost:9750"] {
                #expect(try daemon.ask("GET", "/api/status", headers: [header]).status == 200, "\(header)")
            }
        }
    }

    @Test func nonsenseIsRefusedAndHarmless() throws {
        try withTestCache { cache in
            let daemon = try ControlledDaemon(cache)
            let large = String(repeating: "x", count: 100_000)
            for text in [
                "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: \(large)\r\n\r\n",
                "GET /\(large) HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
                    + (0..<2000).map { "X\($0): y\r\n" }.joined() + "\r\n",
                "\u{0}\u{1}\u{2}nonsense\r\n\r\n", "GET\r\n\r\n", "GET /healthz HTTP/9.9\r\n\r\n",
                "POST /api/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                "POST /api/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "POST /api/scrub HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            ] {
                let connection = try #require(SocketConnection(daemon.path))
                connection.send(text)
                let status = SocketAnswer(connection.receiveAll())?.status
                #expect(status == nil || (400..<500).contains(status ?? 0), "\(text.prefix(80)): \(status ?? 0)")
            }
            let chunks = try #require(SocketConnection(daemon.path))
            chunks.send("POST /api/models/status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<100 where chunks.send("400\r\n" + String(repeating: " ", count: 1024) + "\r\n") {}
            #expect(chunks.receive(until: "too_large").contains("413"))
            let both = try #require(SocketConnection(daemon.path))
            both.send(
                "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n"
                    + "Connection: close\r\n\r\n")
            #expect(String(decoding: both.receiveAll(), as: UTF8.self).components(separatedBy: "200 OK").count == 3)
            #expect(try daemon.ask("GET", "/healthz").status == 200)
        }
    }

    /// A request that never ends, and an answer that nobody reads: both are ended, while others are served.
    @Test func slowClientsAreCutOff() throws {
        try withTestCache { cache in
            let daemon = try ControlledDaemon(cache)
            let slow = try #require(SocketConnection(daemon.path))
            slow.send("GET /healthz HTTP/1.1\r\nHost: loc")
            let half = try #require(SocketConnection(daemon.path))
            half.send("POST /api/scrub HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            #expect(try daemon.ask("GET", "/healthz").status == 200)
            // The test's own reads wait for a minute; both ends come before.
            #expect(!String(decoding: half.receiveAll(), as: UTF8.self).contains("200"))
            #expect(slow.receiveAll().isEmpty)
            #expect(try daemon.ask("GET", "/healthz").status == 200)
        }
    }

    @Test func aThousandReadersAreServed() throws {
        try withTestCache { cache in
            for number in 0..<20 { try cache.repo("org/model\(number)").model() }
            let daemon = try ControlledDaemon(cache)
            let connections = try (0..<1000).map { _ in
                try #require(SocketConnection(daemon.path), "cannot connect")
            }
            for connection in connections {
                connection.send("GET /api/models/list HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            }
            var served = 0
            for connection in connections where SocketAnswer(connection.receiveAll())?.status == 200 { served += 1 }
            #expect(served == 1000)
            #expect(daemon.stop() == 0)
        }
    }

    /// A socket that the service manager made: its mode says who may talk to it, and the daemon leaves it where it is.
    @Test func theServiceManagersSocketIsServed() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            try cache.outer.makeFolder("run")
            try cache.outer.makeFolder("run/hfjanitor")
            let script =
                "import os,socket,sys; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(64); "
                + "os.dup2(s.fileno(),3); os.set_inheritable(3,True); os.environ['LISTEN_FDS']='1'; "
                + "os.environ['LISTEN_FDNAMES']='control'; "
                + "os.environ['LISTEN_PID']=str(os.getpid()); os.execv(sys.argv[2],sys.argv[2:])"
            let path = cache.outer.path.appending("run/hfjanitor/control.sock")
            let daemon = try ControlledDaemon(
                cache, wrapper: ["/usr/bin/python3", "-c", script, path.text])
            #expect(try daemon.ask("GET", "/api/models/list").text.contains("org/whole"))
            #expect(daemon.stop() == 0)
            #expect(cache.outer.exists("run/hfjanitor/control.sock"))
        }
    }

    /// Idle connections shut nobody out: for one more than are served at once, the oldest of them is closed.
    @Test func connectionsAreBounded() throws {
        var limit = rlimit()
        unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = min(limit.rlim_max, 8192)
        unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        try withTestCache { cache in
            let daemon = try ControlledDaemon(cache)
            let listener = try #require(SocketConnection(daemon.path))
            listener.send("GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(listener.receive(until: ": listening").contains("200"))
            let connections = try (0..<1500).map { _ in
                try #require(SocketConnection(daemon.path), "cannot connect")
            }
            connections[1499].send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(connections[1499].receive(until: "}").contains("200"))
            #expect(connections[0].receiveAll().isEmpty, "the oldest idle one is closed")
            connections[1].send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(connections[1].receive(until: "}").contains("200"), "no other is")
            #expect(try daemon.ask("GET", "/healthz").status == 200)
            let told = try daemon.ask("POST", "/api/scrub", #"{"action": "start"}"#)
            #expect(told.status == 200)
            #expect(listener.receive(until: "scrub").contains("scrub"), "who is being answered keeps the connection")
            #expect(daemon.stop() == 0)
        }
    }

    /// Whatever a request says, nothing but a cache that is watched is ever named by it.
    @Test func noRequestNamesAPath() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            try cache.outer.write("secret/models--org--x/refs/main", "0")
            let daemon = try ControlledDaemon(cache, policy: "mode: observe\ncontrol: {allow-fetch: true}\n")
            let outside = cache.outer.path.appending("secret").text
            let requests = [
                ("POST", "/api/models/status"), ("POST", "/api/models/download"), ("POST", "/api/models/preview"),
                ("DELETE", "/api/models"), ("POST", "/api/verify"), ("POST", "/api/repair"),
            ]
            for (method, path) in requests {
                for body in [
                    "{\"hf_repo\":\"\(outside)\"}", "{\"hf_repo\":\"..\"}", "{\"hf_repo\":\"a/../b\"}",
                    "{\"hf_repo\":\"org/whole\",\"cache\":\"\(outside)\"}",
                    "{\"hf_repo\":\"org/whole\",\"cache\":\"../secret\"}",
                    "{\"hf_repo\":\"org/whole\",\"local_dir\":\"\(outside)\"}",
                    "{\"hf_repo\":\"local:\(outside)\"}",
                ] {
                    let answer = try daemon.ask(method, path, body)
                    #expect(answer.status == 400, "\(method) \(path) \(body): \(answer.text)")
                }
                for revision in ["../../../secret", "/etc/passwd", "a/../../b", "."] {
                    let answer = try daemon.ask(
                        method, path, "{\"hf_repo\":\"org/whole\",\"hf_commit\":\"\(revision)\"}")
                    #expect(
                        (400...404).contains(answer.status) || answer.json["status"] as? String == "NOT_FOUND"
                            || answer.code == "offline", "\(method) \(path) \(revision): \(answer.text)")
                }
            }
            #expect(cache.outer.exists("secret/models--org--x/refs/main"))
            #expect(cache.outer.exists(cache.repo("org/whole").snapshot(commit(1), "config.json")))
            #expect(daemon.stop() == 0)
        }
    }

    @Test func aSocketThatSomebodyListensAtIsNotTaken() throws {
        try withTestCache { cache in
            let first = try ControlledDaemon(cache)
            let second = try Program.run(
                ["daemon", "--cache", cache.path.text, "--socket", first.path.text],
                environment: ["XDG_STATE_HOME": cache.outer.path.appending("other").text])
            #expect(second.status == 73 && second.errors.contains("control.sock"), "\(second.errors)")
            #expect(try first.ask("GET", "/healthz").status == 200)
            kill(first.processID, SIGKILL)
            #expect(first.wait { !first.isRunning })
            // What it left behind is replaced.
            #expect(cache.outer.exists("run/hfjanitor/control.sock"))
            let third = try ControlledDaemon(cache)
            #expect(third.stop() == 0)
        }
    }

    @Test func othersAreRefusedAtTheSocket() throws {
        guard geteuid() == 0 else {
            try #require(
                ProcessInfo.processInfo.environment["HFJANITOR_TESTS_REQUIRE_ALL"] != "1", "this test needs root")
            FileHandle.standardError.write(Data("SKIPPED: othersAreRefusedAtTheSocket: needs root\n".utf8))
            return
        }
        try withTestCache { cache in
            let daemon = try ControlledDaemon(cache)
            try cache.outer.chmod("run/hfjanitor", 0o755)
            try cache.outer.chmod("run", 0o755)
            try cache.outer.chmod(".", 0o755)
            let script =
                "import socket,sys; s=socket.socket(socket.AF_UNIX); s.settimeout(30); s.connect(sys.argv[1]); "
                + "s.send(b'GET /healthz HTTP/1.0\\r\\n\\r\\n'); sys.exit(0 if s.recv(1) else 3)"
            func connect(as user: UInt32) throws -> Int32 {
                let process = Process()
                process.executableURL = URL(fileURLWithPath: "/usr/bin/setpriv")
                process.arguments = [
                    "--reuid=\(user)", "--regid=\(user)", "--clear-groups", "/usr/bin/python3", "-c", script,
                    daemon.path.text,
                ]
                process.standardError = FileHandle.nullDevice
                try process.run()
                process.waitUntilExit()
                return process.terminationStatus
            }
            #expect(try connect(as: 0) == 0)
            #expect(try connect(as: 65534) == 1)
            // Whatever becomes of its mode, nobody else is served.
            try cache.outer.chmod("run/hfjanitor/control.sock", 0o666)
            #expect(try connect(as: 65534) != 0)
            #expect(try connect(as: 0) == 0)
        }
    }
}
