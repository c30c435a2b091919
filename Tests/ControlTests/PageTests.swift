import Foundation
import Glibc
import HubCache
import TestSupport
import Testing

/// The page, what it asks, and the page as a file.
@Suite(.serialized) struct PageTests {
    /// A whole model with two revisions that share, a broken one, and names that want to be more than text.
    private func makeCache(_ cache: TestCache) throws {
        try cache.repo("org/whole").model()
        try cache.repo("org/broken").model()
        cache.outer.delete(cache.repo("org/broken").snapshot(commit(1), BytePath(shardName(2, of: 2))))
        for ref in Self.hostileRefs {
            try cache.outer.write(cache.place(BytePath("models--org--whole/refs/" + ref)), commit(1))
        }
    }

    private static let hostileRefs = ["</script><script>alert(1)", "line\u{2028}separator\u{2029}"]

    /// The JSON that a page brings along.
    private func data(of page: String) throws -> [String: Any] {
        let start = try #require(page.range(of: "<script type=\"application/json\" id=\"data\">"))
        let end = try #require(page.range(of: "</script>", range: start.upperBound..<page.endIndex))
        let text = String(page[start.upperBound..<end.lowerBound])
        #expect(!text.contains("<") && !text.contains("\u{2028}"))
        return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    private func keys(_ value: Any?) -> Set<String> { Set((value as? [String: Any] ?? [:]).keys) }

    @Test func isOneDocumentThatAsksNobodyElse() throws {
        try withTestCache { cache in
            let daemon = try ControlledDaemon(cache)
            let answer = try daemon.ask("GET", "/")
            let page = answer.text
            #expect(answer.headers["content-type"] == "text/html; charset=utf-8")
            let policy = try #require(answer.headers["content-security-policy"])
            #expect(policy.hasPrefix("default-src 'none'; ") && policy.hasSuffix("; frame-ancestors 'none'"))
            #expect(!policy.contains("unsafe"))
            let meta = try #require(page.range(of: "http-equiv=\"Content-Security-Policy\" content=\""))
            #expect(policy.hasPrefix(String(page[meta.upperBound...].prefix { $0 != "\"" })))
            // Nothing is left to be filled in, and nothing is fetched or run from an attribute.
            for mark in ["/*STYLE*/", "/*SCRIPT*/", "<!--DATA-->", "<!--POLICY-->"] { #expect(!page.contains(mark)) }
            let markup = try page.replacing(Regex("(?s)<(script|style)[ >].*?</\\1>"), with: "")
            #expect(try !markup.contains(Regex("(?i)\\son[a-z]+\\s*=")))
            #expect(try !markup.contains(Regex("(?i)\\sstyle\\s*=")))
            #expect(try !markup.contains(Regex("(?i)(src|href)\\s*=\\s*[\"']?(https?:)?//")))
            #expect(try !page.contains(Regex("\\.(innerHTML|outerHTML)|insertAdjacentHTML|document\\.write|eval\\(")))
            #expect(daemon.stop() == 0)
        }
    }

    @Test func tellsWhatTheListingTells() throws {
        try withTestCache { cache in
            try makeCache(cache)
            let daemon = try ControlledDaemon(
                cache, policy: "mode: observe\npins: [{repo: org/whole}]\ncaches: [{path: \(cache.path.text)}]\n")
            let told = try daemon.ask("GET", "/api/ls").json
            let listed = try Program.run(
                [
                    "ls", "--all", "--json", "--policy", cache.outer.path.appending("policy.yaml").text, "--cache",
                    cache.path.text,
                ], environment: daemon.environment
            ).json
            func comparable(_ document: [String: Any]) throws -> NSDictionary {
                var document = document
                var caches = document["caches"] as? [[String: Any]] ?? []
                // What is free changes by itself.
                for index in caches.indices { caches[index]["free_bytes"] = nil }
                document["caches"] = caches
                return document as NSDictionary
            }
            #expect(try comparable(told) == comparable(listed))
            let repos = (told["caches"] as? [[String: Any]])?.first?["repos"] as? [[String: Any]] ?? []
            #expect(repos.map { $0["pinned"] as? Bool } == [false, true])
            #expect(daemon.stop() == 0)
        }
    }

    @Test func tellsWhatRemovingWouldDo() throws {
        try withTestCache { cache in
            let repo = cache.repo("org/whole")
            try repo.model()
            // A second revision has one of the first one's shards, and a file of its own.
            let shared = try #require(
                try FileManager.default.destinationOfSymbolicLink(
                    atPath: cache.outer.absolute(repo.snapshot(commit(1), BytePath(shardName(1, of: 2)))).text
                ).split(separator: "/").last)
            try repo.link(BytePath(shardName(1, of: 2)), to: String(shared), at: commit(2))
            let daemon = try ControlledDaemon(cache)
            func removal(_ more: String = "") throws -> [String: Any] {
                let answer = try daemon.ask("POST", "/api/models/removal", "{\"hf_repo\":\"org/whole\"\(more)}")
                #expect(answer.status == 200, "\(answer.text)")
                return answer.json
            }
            let whole = try removal()
            #expect((whole["shared_with"] as? [Any])?.isEmpty ?? false)
            let one = try removal(",\"hf_commit\":\"\(commit(1))\"")
            let sharers = try #require(one["shared_with"] as? [[String: Any]])
            #expect(sharers.map { $0["commit"] as? String } == [commit(2)])
            #expect(sharers.first?["repo"] as? String == "model/org/whole")
            let (all, part, stays) = (
                whole["bytes"] as? Int ?? 0, one["bytes"] as? Int ?? 0, sharers.first?["bytes"] as? Int ?? 0
            )
            #expect(part > 0 && stays > 0 && part + stays <= all)
            #expect((one["kept"] as? [Any])?.isEmpty ?? false)
            #expect(one["refusal"] is NSNull)
            // Whoever has it open keeps it, and it is said before anybody tries.
            let open = try FileHandle(
                forReadingFrom: URL(
                    filePath: cache.outer.absolute(repo.snapshot(commit(1), BytePath(shardName(2, of: 2)))).text))
            let kept = try #require(try removal()["kept"] as? [[String: Any]])
            #expect(kept.contains { ["open", "cannot-tell"].contains($0["by"] as? String) }, "\(kept)")
            try open.close()
            let absent = try daemon.ask("POST", "/api/models/removal", #"{"hf_repo":"org/none"}"#)
            #expect(absent.status == 404 && absent.code == "model_not_found")
            #expect(try removal()["bytes"] as? Int == all, "it was only looked at")
            #expect(daemon.stop() == 0)
        }
    }

    @Test func isWrittenAsAFile() throws {
        try withTestCache { cache in
            try makeCache(cache)
            let file = cache.outer.path.appending("report.html").text
            let arguments = ["report", "--html", file]
            // From the disk.
            let fromDisk = try Program.run(arguments + ["--cache", cache.path.text])
            #expect(fromDisk.status == 0, "\(fromDisk.errors)")
            var data = try data(of: try String(contentsOfFile: file, encoding: .utf8))
            #expect(data["source"] as? String == "from the disk at the depth structure")
            #expect(keys(data["documents"]) == ["ls", "findings", "plan"])
            let findings = (data["documents"] as? [String: [String: Any]])?["findings"]?["caches"] as? [[String: Any]]
            let codes = (findings?.first?["findings"] as? [[String: Any]])?.compactMap { $0["code"] as? String }
            #expect(codes?.contains("missing-shard") ?? false)
            #expect(try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int == 0o600)

            // From the daemon, in its place.
            let daemon = try ControlledDaemon(cache)
            let fromDaemon = try Program.run(arguments, environment: daemon.environment)
            #expect(fromDaemon.status == 0, "\(fromDaemon.errors)")
            data = try self.data(of: try String(contentsOfFile: file, encoding: .utf8))
            #expect(data["source"] as? String == "as the daemon saw it")
            #expect(keys(data["documents"]).isSuperset(of: ["status", "ls", "findings", "plan", "space"]))
            #expect(daemon.stop() == 0)
            #expect(!FileManager.default.fileExists(atPath: file + ".\(daemon.processID).new"))

            // To standard output, for whoever may not write there.
            let printed = try Program.run(["report", "--html", "-", "--cache", cache.path.text])
            #expect(printed.output.hasPrefix("<!DOCTYPE html>") && printed.status == 0)
        }
    }

    @Test func replacesOnlyAFile() throws {
        try withTestCache { cache in
            try cache.outer.write("precious", "precious")
            try cache.outer.link("link.html", to: "precious")
            try cache.outer.makeFolder("folder.html")
            let pipe = cache.outer.path.appending("pipe.html").text
            #expect(unsafe mkfifo(pipe, 0o600) == 0)
            for name in ["link.html", "folder.html", "pipe.html", "nowhere/x.html"] {
                let run = try Program.run(
                    ["report", "--html", cache.outer.path.appending(BytePath(name)).text, "--cache", cache.path.text])
                #expect(run.status == 73, "\(name): \(run.errors)")
            }
            #expect(
                try String(contentsOfFile: cache.outer.path.appending("precious").text, encoding: .utf8) == "precious")
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: cache.outer.path.text).allSatisfy {
                    !$0.hasSuffix(".new")
                })
        }
    }
}
