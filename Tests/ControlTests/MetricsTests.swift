import Foundation
import Glibc
import HubCache
import TestSupport
import Testing

/// What Prometheus is told, over the socket, over TCP and in a file.
@Suite(.serialized) struct MetricsTests {
    private static let policy = """
        mode: observe
        caches:
          - {path: CACHE, min-free: 1MB, target-free: 2MB}
        rules:
          - {name: "old \\"things\\"", match: {state: superseded}, older-than: 900d}

        """

    /// A cache with something of everything, under a name that is hard to write down.
    private func withRichCache(_ body: (TestCache, String) throws -> Void) throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            try cache.repo("org/data", .dataset).model()
            try cache.repo("org/broken").model()
            cache.outer.delete(cache.repo("org/broken").snapshot(commit(1), BytePath(shardName(2, of: 2))))
            try body(cache, Self.policy.replacingOccurrences(of: "CACHE", with: cache.path.text))
        }
    }

    @Test func prometheusTakesThem() throws {
        try withRichCache { cache, policy in
            let daemon = try ControlledDaemon(cache, policy: policy)
            #expect(daemon.wait { (try? daemon.ask("GET", "/metrics").text.contains("hfjanitor_free_bytes")) ?? false })
            let answer = try daemon.ask("GET", "/metrics")
            #expect(answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
            let samples = Samples(answer.text)
            for (name, labels, value) in [
                ("hfjanitor_ready", [:], "1"), ("hfjanitor_policy_ok", [:], "1"), ("hfjanitor_enforcing", [:], "0"),
                ("hfjanitor_ledger_available", [:], "1"),
                ("hfjanitor_cache_up", ["cache": cache.path.text], "1"),
                ("hfjanitor_watch_degraded", ["cache": cache.path.text], "0"),
                ("hfjanitor_floor_bytes", ["cache": cache.path.text], "1000000"),
                ("hfjanitor_target_bytes", ["cache": cache.path.text], "2000000"),
                ("hfjanitor_floor_missing_bytes", ["cache": cache.path.text], "0"),
                ("hfjanitor_repos", ["type": "dataset", "state": "complete"], "1"),
                ("hfjanitor_repos", ["type": "space", "state": "corrupt"], "0"),
                ("hfjanitor_findings", ["code": "missing-shard", "severity": "error"], "1"),
                ("hfjanitor_findings", ["code": "orphan-blob", "severity": "warning"], "1"),
                ("hfjanitor_findings", ["code": "digest-mismatch"], "0"),
                ("hfjanitor_condition", ["code": "floor-unreachable"], "0"),
                ("hfjanitor_removed_items_total", ["rule": #"old \"things\""#], "0"),
                ("hfjanitor_repaired_files_total", ["outcome": "fetched"], "0"),
                ("hfjanitor_downloads_running", [:], "0"), ("hfjanitor_scrub_repos", [:], "3"),
            ] as [(String, [String: String], String)] {
                #expect(samples.value(name, labels) == value, "\(name) \(labels)")
            }
            #expect(samples.names.contains("hfjanitor_cache_bytes"))
            #expect(samples.labels.isDisjoint(with: ["repo", "revision", "path", "blob"]), "labels are bounded")
            // promtool: names, units, one HELP and one TYPE each, before the samples.
            guard let promtool = try Promtool.find() else { return }
            let checked = try promtool.run(["check", "metrics"], input: answer.body)
            #expect(checked.status == 0 && checked.output.isEmpty, "\(checked.output)")
        }
    }

    @Test func aRepoOfWhichNoRevisionIsHereHasNoState() throws {
        try withTestCache { cache in
            try cache.repo("org/gone").ref("main", commit(7))
            try cache.repo("org/gone").blob(Array(repeating: 1, count: 5000))
            let daemon = try ControlledDaemon(cache, policy: "mode: observe\ncaches:\n  - path: \(cache.path.text)\n")
            #expect(daemon.wait { (try? daemon.ask("GET", "/metrics").text.contains("hfjanitor_repos")) ?? false })
            let samples = Samples(try daemon.ask("GET", "/metrics").text)
            for state in ["complete", "partial", "downloading", "corrupt", "unknown"] {
                #expect(samples.value("hfjanitor_repos", ["type": "model", "state": state]) == "0", "\(state)")
                #expect(samples.value("hfjanitor_cache_bytes", ["type": "model", "state": state]) == "0", "\(state)")
            }
            let bytes = try #require(samples.value("hfjanitor_cache_bytes", ["type": "model", "state": "none"]))
            #expect(try #require(Int(bytes)) >= 5000)
        }
    }

    @Test func aCacheThatIsListedTwiceIsToldOnce() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            try cache.outer.link("alias", to: cache.path)
            let alias = cache.outer.path.appending("alias")
            // Without --cache, which would name one of them.
            let daemon = try ControlledDaemon(
                cache, policy: "mode: observe\ncaches: [{path: \(alias.text)}, {path: \(cache.path.text)}]\n",
                namesCache: false)
            let isKnown = daemon.wait {
                (try? daemon.ask("GET", "/api/status").text.contains("listed-twice")) ?? false
            }
            #expect(isKnown)
            let text = try daemon.ask("GET", "/metrics").text
            let samples = text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { $0.prefix { $0 != " " } }
            #expect(Set(samples).count == samples.count)
            #expect(Samples(text).value("hfjanitor_condition", ["code": "listed-twice"]) == "1")
        }
    }

    @Test func rulesAndDashboardNameWhatThereIs() throws {
        try withRichCache { cache, policy in
            let daemon = try ControlledDaemon(cache, policy: policy)
            #expect(try daemon.ask("POST", "/api/scrub", #"{"action":"start"}"#).status == 200)
            let isAllThere = daemon.wait {
                let names = (try? Samples(daemon.ask("GET", "/metrics").text).names) ?? []
                return names.contains("hfjanitor_scrub_finished_timestamp_seconds")
                    && names.contains("hfjanitor_free_bytes")
            }
            #expect(isAllThere)
            // A change is judged: only then is there something to say of how long that took.
            try cache.repo("org/later").model()
            #expect(
                daemon.wait {
                    (try? daemon.ask("GET", "/metrics").text.contains("hfjanitor_last_event_lag_seconds")) ?? false
                })
            let names = Samples(try daemon.ask("GET", "/metrics").text).names
            let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
                "../../systemd/monitoring")
            for file in ["hfjanitor.rules.yaml", "hfjanitor.dashboard.json"] {
                let data = try Data(contentsOf: folder.appendingPathComponent(file))
                let text = String(decoding: data, as: UTF8.self)
                let used = Set(text.matches(of: #/hfjanitor_[a-z_]+/#).map { String($0.output) })
                #expect(used.count > 5 && used.isSubset(of: names), "\(file): \(used.subtracting(names))")
                if file.hasSuffix(".json") {
                    let dashboard = try JSONSerialization.jsonObject(with: data) as? [String: Any]
                    #expect((dashboard?["panels"] as? [Any])?.isEmpty == false)
                }
            }
            guard let promtool = try Promtool.find() else { return }
            let rules = try promtool.run(["check", "rules", folder.path + "/hfjanitor.rules.yaml"])
            #expect(rules.status == 0, "\(rules.output)")
            let tests = folder.appendingPathComponent("../../Tests/Monitoring/rules-test.yaml").standardized
            let tested = try promtool.run(["test", "rules", tests.path])
            #expect(tested.status == 0, "\(tested.output)")
        }
    }

    @Test func theCommandReplacesAFile() throws {
        try withRichCache { cache, policy in
            let daemon = try ControlledDaemon(cache, policy: policy)
            let printed = try Program.run(["metrics"], environment: daemon.environment)
            #expect(printed.status == 0 && Samples(printed.output).names.contains("hfjanitor_ready"))
            try cache.outer.makeFolder("collector")
            let file = cache.outer.path.appending("collector/hfjanitor.prom")
            for _ in 0..<2 {
                let written = try Program.run(["metrics", "--textfile", file.text], environment: daemon.environment)
                #expect(written.status == 0 && written.output.isEmpty, "\(written.errors)")
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: file.parent.text) == ["hfjanitor.prom"])
            let facts = try FileManager.default.attributesOfItem(atPath: file.text)
            #expect(facts[.posixPermissions] as? Int == 0o644)
            let text = try String(contentsOfFile: file.text, encoding: .utf8)
            #expect(Samples(text).names == Samples(printed.output).names && text.hasSuffix("\n"))

            let other = try Program.run(
                ["metrics", "--textfile", file.parent.appending("x.txt").text], environment: daemon.environment)
            #expect(other.status == 64)
            let nowhere = try Program.run(
                ["metrics", "--textfile", "/dev/null/x.prom"], environment: daemon.environment)
            #expect(nowhere.status == 73, "\(nowhere.errors)")
            #expect(daemon.stop() == 0)
            let alone = try Program.run(["metrics", "--textfile", file.text], environment: daemon.environment)
            #expect(alone.status == 69)
            #expect(try String(contentsOfFile: file.text, encoding: .utf8) == text, "the file stays as it was")
        }
    }

    // MARK: TCP

    private func listening(_ address: String) -> String { "mode: observe\nmetrics: {listen: \"\(address)\"}\n" }

    private func isServed(_ port: UInt16, _ daemon: ControlledDaemon) -> Bool {
        daemon.wait { TCPConnection(port)?.ask("GET", "/healthz")?.status == 200 }
    }

    @Test func theListenerServesNothingElse() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            let port = try freePort()
            let daemon = try ControlledDaemon(cache, policy: listening("127.0.0.1:\(port)"))
            #expect(isServed(port, daemon))
            func ask(_ method: String, _ target: String, _ headers: [String] = []) throws -> SocketAnswer {
                try #require(TCPConnection(port)?.ask(method, target, headers), "\(method) \(target)")
            }
            let metrics = try ask("GET", "/metrics", ["Host: gpu7.example:9750"])
            #expect(metrics.status == 200 && Samples(metrics.text).names.contains("hfjanitor_ready"))
            #expect(metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
            let head = try ask("HEAD", "/metrics")
            #expect(head.status == 200 && head.body.isEmpty)
            #expect(try ask("GET", "/healthz").text == "ok\n")
            for target in [
                "/", "/api/status", "/api/models/list", "/api/events", "/openapi.json", "/metrics/", "//metrics",
                "/metrics/../api/status", "/%6detrics", "/report",
            ] {
                #expect(try ask("GET", target).status == 404, "\(target)")
            }
            for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
                let answer = try ask(method, "/metrics")
                #expect(answer.status == 405 && answer.headers["allow"] == "GET, HEAD", "\(method)")
                #expect(try ask(method, "/api/models").status == 404, "\(method)")
            }
            #expect(try daemon.ask("GET", "/healthz").status == 200)
            #expect(daemon.stop() == 0)
        }
    }

    @Test func theListenerFollowsThePolicy() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            let daemon = try ControlledDaemon(cache)
            func apply(_ policy: String) throws {
                try cache.outer.write("policy.yaml", policy)
                #expect(try daemon.ask("POST", "/api/reload").status == 200)
            }
            let (first, second) = (try freePort(), try freePort())
            try apply(listening("127.0.0.1:\(first)"))
            #expect(isServed(first, daemon))
            let kept = try #require(TCPConnection(first))
            try apply(listening("127.0.0.1:\(second)"))
            #expect(isServed(second, daemon))
            #expect(daemon.wait { TCPConnection(first) == nil })
            #expect(kept.receive().isEmpty, "a connection to the former address is closed")
            try apply("mode: observe\n")
            #expect(daemon.wait { TCPConnection(second) == nil })
            try apply(listening("[::1]:\(first)"))
            #expect(daemon.wait { TCPConnection(first, isSix: true)?.ask("GET", "/healthz")?.status == 200 })
            let bad = Data("mode: observe\nmetrics: {listen: \"nobody:1\"}\n".utf8)
            try bad.write(to: URL(fileURLWithPath: cache.outer.path.appending("policy.yaml").text))
            #expect(try daemon.ask("POST", "/api/reload").code == "policy_invalid")
            #expect(
                TCPConnection(first, isSix: true)?.ask("GET", "/healthz")?.status == 200, "the last good one counts")
        }
    }

    @Test func aTakenPortIsToldAndHeals() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            let port = try freePort()
            let taken = try #require(Listener(port))
            let daemon = try ControlledDaemon(cache, policy: listening("127.0.0.1:\(port)"))
            func condition() throws -> String? {
                let conditions = try daemon.ask("GET", "/api/status").json["conditions"] as? [[String: Any]] ?? []
                return conditions.first { $0["code"] as? String == "metrics-listen" }?["message"] as? String
            }
            #expect(daemon.wait { (try? condition()) != nil })
            let message = try #require(try condition())
            #expect(message.contains("127.0.0.1:\(port)") && message.contains("ss -ltnp"), "\(message)")
            #expect(
                try Samples(daemon.ask("GET", "/metrics").text).value("hfjanitor_condition", ["code": "metrics-listen"])
                    == "1")
            taken.end()
            #expect(isServed(port, daemon))
            #expect(daemon.wait { (try? condition() == nil) ?? false })
        }
    }

    @Test func connectionsAreBounded() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            let port = try freePort()
            let daemon = try ControlledDaemon(cache, policy: listening("127.0.0.1:\(port)"))
            #expect(isServed(port, daemon))
            var open = try (0..<70).map { _ in try #require(TCPConnection(port)) }
            // Those before it must have been taken.
            #expect(open.last?.ask("GET", "/healthz")?.status == 200, "idle ones shut nobody out")
            #expect(open.prefix(6).allSatisfy { $0.receive().isEmpty }, "the oldest are closed")
            #expect(open[6].ask("GET", "/healthz")?.status == 200)
            #expect(try daemon.ask("GET", "/healthz").status == 200, "the control socket has room of its own")
            open.removeAll()
            #expect(isServed(port, daemon))
        }
    }
}

// MARK: support

/// The samples of Prometheus's text.
private struct Samples {
    private var all: [(name: String, labels: [String: String], value: String)] = []

    init(_ text: String) {
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            guard let space = line.lastIndex(of: " ") else { continue }
            let front = line[..<space]
            let name = front.prefix { $0 != "{" }
            var labels: [String: String] = [:]
            for match in front.matches(of: #/([a-z_]+)="((?:[^"\\]|\\.)*)"/#) {
                labels[String(match.output.1)] = String(match.output.2)
            }
            all.append((String(name), labels, String(line[line.index(after: space)...])))
        }
    }

    var names: Set<String> { Set(all.map(\.name)) }
    var labels: Set<String> { Set(all.flatMap(\.labels.keys)) }

    /// Of the first sample with these labels.
    func value(_ name: String, _ labels: [String: String]) -> String? {
        all.first { sample in sample.name == name && labels.allSatisfy { sample.labels[$0.key] == $0.value } }?.value
    }
}

/// Prometheus's own judge.
private struct Promtool {
    /// - Returns: nil, said loudly, where it is not here and need not be.
    static func find() throws -> Promtool? {
        let promtool = Promtool()
        if try promtool.run(["--version"]).status == 0 { return promtool }
        let mustBeThere = ProcessInfo.processInfo.environment["HFJANITOR_TESTS_REQUIRE_ALL"] == "1"
        try #require(!mustBeThere, "promtool is missing: Tests/Monitoring/promtool prepare")
        print("SKIPPED: what promtool says of the metrics; Tests/Monitoring/promtool prepare gets it")
        return nil
    }

    func run(_ arguments: [String], input: Data? = nil) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL =
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
                "../Monitoring/promtool"
            ).standardized
        process.arguments = arguments
        let (stdin, stdout) = (Pipe(), Pipe())
        process.standardInput = stdin
        process.standardOutput = stdout
        process.standardError = stdout
        try process.run()
        if let input { try stdin.fileHandleForWriting.write(contentsOf: input) }
        try stdin.fileHandleForWriting.close()
        let output = stdout.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }
}
