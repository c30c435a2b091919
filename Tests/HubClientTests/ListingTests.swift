import HubCache
import HubClient
import LinuxIO
import TestSupport
import Testing

@Suite struct ListingTests {
    private let repo = HubStandIn.repo

    /// What a failing call threw.
    private func failure<Result>(_ body: () throws -> Result) -> HubFailure? {
        do {
            _ = try body()
            return nil
        } catch {
            return error as? HubFailure
        }
    }

    @Test func repoInfo() throws {
        try withHub { (hub, _) throws in
            let client = hub.client()
            for revision in ["main", "v1", hub.commit.hex] {
                let info = try client.repoInfo(repo, revision: revision)
                #expect(info.commit == hub.commit && !info.isPrivate && info.gating == .open && !info.isDisabled)
            }
            #expect(failure { try client.repoInfo(repo, revision: "a/../b?c") }?.code == .revisionNotFound)
            let log = try hub.log()
            #expect(log.last?["path"] as? String == "/api/models/acme/x/revision/a%2F..%2Fb%3Fc")
            let none = try #require(RepoID(type: .model, name: "acme/none"))
            #expect(failure { try client.repoInfo(none, revision: "main") }?.code == .repoNotFound)
            let old = try #require(RepoID(type: .model, name: "acme/old"))
            #expect(try client.repoInfo(old, revision: "main").commit == hub.commit)
        }
    }

    @Test(arguments: [
        ("false", HubGating.open), ("\"auto\"", .automatic), ("\"manual\"", .manual), ("true", .manual),
        ("\"other\"", .manual), ("null", .open),
    ])
    func gating(value: String, expected: HubGating) throws {
        try withHub { (hub, _) throws in
            try hub.fault(
                "status", ["status": 200],
                body: "{\"sha\": \"\(hub.commit)\", \"gated\": \(value), \"private\": true, \"disabled\": true}")
            let info = try hub.client().repoInfo(repo, revision: "main")
            #expect(info.gating == expected && info.isPrivate && info.isDisabled)
        }
    }

    @Test(arguments: [1, 2, 1000]) func treeInPages(pageSize: Int) throws {
        try withHub(pageSize: pageSize) { (hub, _) throws in
            let files = try hub.client().tree(of: repo, commit: hub.commit)
            #expect(files.map(\.path) == ["README.md", "empty.txt", HubStandIn.large, HubStandIn.small])
            let large = try #require(files.first { $0.path == HubStandIn.large })
            #expect(large.size == 300_000 && large.etag == HubStandIn.largeEtag && large.gitID != large.sha256)
            let small = try #require(files.first { $0.path == HubStandIn.small })
            #expect(small.size == UInt64(HubStandIn.smallBytes.count) && small.etag == HubStandIn.smallEtag)
            // Five entries, with the folder.
            let log = try hub.log()
            #expect(log.count == (5 + pageSize - 1) / pageSize)
            #expect(log.allSatisfy { $0["authorized"] as? Bool == true })
        }
    }

    @Test func theNextPageMustBeHere() throws {
        try withHub { (hub, _) throws in
            var settings = usualSettings
            settings.attempts = 1
            let path = "/api/models/acme/x/tree/\(hub.commit)"
            for (link, detail) in [
                ("<\(hub.other)\(path)>; rel=\"next\"", "the next page is elsewhere"),
                ("<\(hub.cdn)\(path)>; rel=next", "the next page is elsewhere"),
                ("<file:///etc/passwd>; rel=\"next\"", "the next page is elsewhere"),
                ("<\(path)?recursive=true&expand=false>; rel=\"next\"", "pages in a circle"),
                (
                    "<x>; rel=\"prev\", <\(path)?recursive=true&expand=false>; a=\"b,c\"; rel=\"last next\"",
                    "pages in a circle"
                ),
            ] {
                try hub.fault("headers", ["headers": ["Link": link]])
                let failed = failure { try hub.client(settings).tree(of: repo, commit: hub.commit) }
                #expect(failed?.detail.hasSuffix(detail) == true, "\(link): \(String(describing: failed))")
                #expect(try hub.originsWithToken() == ["hub"])
                try hub.clear()
            }
            try hub.fault("headers", ["headers": ["Link": "<\(hub.other)/>; rel=\"prev\", <x>; rel=nextish"]])
            #expect(try hub.client(settings).tree(of: repo, commit: hub.commit).count == 4)
        }
    }

    @Test func listingsAreBounded() throws {
        try withHub(pageSize: 1) { (hub, _) throws in
            func detail(_ change: (inout HubSettings) -> Void) -> String? {
                var settings = usualSettings
                settings.attempts = 1
                change(&settings)
                return failure { try hub.client(settings).tree(of: repo, commit: hub.commit) }?.detail
            }
            #expect(detail { $0.pages = 4 }?.hasSuffix("more pages than are accepted") == true)
            #expect(detail { $0.entries = 4 }?.hasSuffix("a listing longer than is accepted") == true)
            #expect(detail { $0.pageBytes = 50 }?.hasSuffix("a page larger than is accepted") == true)
            #expect(detail { $0.pages = 5 } == nil)
            try hub.fault("endless")
            #expect(detail { $0.pageBytes = 500_000 }?.hasSuffix("a page larger than is accepted") == true)
            try hub.clear()
            try hub.fault("gzip")
            #expect(detail { _ in }?.hasSuffix("a compressed body that nobody asked for") == true)
            try hub.clear()
            try hub.fault("slow", ["rate": 1])
            #expect(detail { $0.pageTimeout = .milliseconds(300) } != nil)
        }
    }

    @Test func entriesAreDistrusted() throws {
        try withHub { (hub, _) throws in
            var settings = usualSettings
            settings.attempts = 1
            let id = String(repeating: "a", count: 40)
            let rest = "\"type\": \"file\", \"size\": 1, \"oid\": \"\(id)\""
            func count(_ body: String) throws -> Int? {
                try hub.clear()
                try hub.fault("status", ["status": 200], body: body)
                return try? hub.client(settings).tree(of: repo, commit: hub.commit).count
            }
            let one = try count("[{\"path\": \"a/b\", \(rest)}]")
            #expect(one == 1)
            #expect(try count("[]") == 0)
            for path in ["../a", "/a", "a//b", "a/./b", "", "a/..", "a\\u0000", "\\ud800", "a/"] {
                #expect(try count("[{\"path\": \"\(path)\", \(rest)}]") == nil, "\(path)")
            }
            for body in [
                "{}", "", "[", "[1]", "null", "[{\"path\": \"a\", \(rest)}, {\"path\": \"a\", \(rest)}]",
                "[{\"path\": \"a\", \"type\": \"file\", \"size\": -1, \"oid\": \"\(id)\"}]",
                "[{\"path\": \"a\", \"type\": \"file\", \"size\": 1e3, \"oid\": \"\(id)\"}]",
                "[{\"path\": \"a\", \"type\": \"file\", \"size\": 99999999999999999999, \"oid\": \"\(id)\"}]",
                "[{\"path\": \"a\", \"type\": \"file\", \"size\": 1, \"oid\": \"../../x\"}]",
                "[{\"path\": \"a\", \"type\": \"commit\", \"size\": 1, \"oid\": \"\(id)\"}]",
                "[{\"path\": \"a\", \(rest), \"lfs\": {\"oid\": \"x\", \"size\": 1}}]",
                "[{\"path\": \"a\", \(rest)}] x", "[{\"path\": \"a\", \"path\": \"b\", \(rest)}]",
                String(repeating: "[", count: 100_000),
            ] {
                #expect(try count(body) == nil, "\(body.prefix(80))")
            }
        }
    }

    @Test func attemptsAndBackoff() throws {
        try withHub { (hub, _) throws in
            let clock = TestClock()
            let client = hub.client(clock: clock)
            try hub.fault("status", ["status": 500, "times": 3])
            #expect(try client.repoInfo(repo, revision: "main").commit == hub.commit)
            #expect(clock.slept == [.seconds(1), .seconds(2), .seconds(4)])
            try hub.clear()
            try hub.fault("status", ["status": 502])
            let failed = try #require(failure { try client.repoInfo(repo, revision: "main") })
            #expect(failed.code == .network && failed.attempt == 5 && failed.attempts == 5)
            #expect(failed.description == "the Hub failed with status 502 (attempt 5 of 5)")
            #expect(try hub.log().count == 5)
        }
    }

    /// What was sent whole and is no listing will not be one the next time.
    @Test(arguments: [
        "[{\"path\": \"../a\"}]", "{\"error\": 1}", "[1]", "<html>", "[] x",
        "[{\"path\": \"a\", \"type\": \"file\", \"size\": 99999999999999999999, \"oid\": \"x\"}]",
    ]) func whatCannotChangeIsNotAskedForAgain(body: String) throws {
        try withHub { (hub, _) throws in
            let clock = TestClock()
            try hub.fault("status", ["status": 200], body: body)
            let failed = try #require(failure { try hub.client(clock: clock).tree(of: repo, commit: hub.commit) })
            #expect(failed.code == .digestMismatch && failed.attempt == 1 && clock.slept.isEmpty, "\(failed)")
            #expect(failed.description.hasPrefix("the answer is not a Hub's: "))
            _ = failure { try hub.client(clock: clock).repoInfo(repo, revision: "main") }
            #expect(try hub.log().count == 2)
        }
    }

    /// What ends in the middle may have been cut off on the way.
    @Test func whatIsCutOffIsAskedForAgain() throws {
        try withHub { (hub, _) throws in
            try hub.fault("status", ["status": 200, "times": 1], body: "[{\"path\": \"a")
            #expect(try hub.client(clock: TestClock()).tree(of: repo, commit: hub.commit).count == 4)
        }
    }

    @Test func failuresTellWhatHelps() throws {
        try withHub { (hub, _) throws in
            func told(
                _ status: Int, _ headers: [String: String], token: String? = "hf_secret", revision: String = "main"
            ) throws -> String {
                try hub.clear()
                try hub.fault("status", ["status": status, "headers": headers])
                let client = hub.client(environment: ["HF_TOKEN": token ?? ""])
                let words = failure { try client.repoInfo(repo, revision: revision) }?.description ?? ""
                #expect(!words.contains("secret"))
                return words
            }
            let gated = ["X-Error-Code": "GatedRepo"]
            #expect(
                try told(403, gated).hasSuffix(
                    "accept its conditions at \(hub.hub)/acme/x with the account of the token in HF_TOKEN"))
            #expect(try told(401, gated, token: nil).contains("hf auth login"))
            let invalid = ["X-Error-Message": "Invalid credentials in Authorization header"]
            #expect(try told(401, invalid).hasPrefix("the token in HF_TOKEN is not valid: make another one at "))
            #expect(
                try told(401, [:]).hasPrefix("the Hub has no model/acme/x, or none that the token in HF_TOKEN may see"))
            #expect(try told(401, [:], token: nil).contains("without a token"))
            #expect(try told(404, ["X-Error-Code": "RevisionNotFound"], revision: "v9").contains("no revision 'v9'"))
            #expect(try told(403, [:]).contains("does not allow it"))
        }
        let nobody = HubClient(
            environment: HubEnvironment(environment: ["HF_ENDPOINT": "http://127.0.0.1:1"]), health: HubHealth(),
            clock: TestClock().clock)
        let words = failure { try nobody.repoInfo(repo, revision: "main") }?.description
        #expect(words?.hasPrefix("http://127.0.0.1:1 cannot be reached: ") == true)
        #expect(words?.contains("HF_ENDPOINT (attempt 5 of 5)") == true)
    }

    @Test func backoffHasALimit() throws {
        try withHub { (hub, _) throws in
            let clock = TestClock()
            var settings = usualSettings
            settings.attempts = 9
            try hub.fault("status", ["status": 500])
            _ = failure { try hub.client(settings, clock: clock).repoInfo(repo, revision: "main") }
            #expect(clock.slept == [1, 2, 4, 8, 16, 32, 60, 60].map { .seconds($0) })
        }
    }

    @Test func theServersWishIsKept() throws {
        try withHub { (hub, _) throws in
            let clock = TestClock()
            try hub.fault("status", ["status": 429, "headers": ["RateLimit": "\"api\";r=0;t=40"], "times": 1])
            _ = try hub.client(clock: clock).repoInfo(repo, revision: "main")
            #expect(clock.slept == [.seconds(41)])
            try hub.clear()
            // More than it is waited for: the caller is told when.
            try hub.fault("status", ["status": 429, "headers": ["Retry-After": "4000"]])
            let failed = try #require(failure { try hub.client().repoInfo(repo, revision: "main") })
            #expect(failed.code == .rateLimited && failed.attempt == 1 && failed.retryAfter == .seconds(4001))
            #expect(try hub.log().count == 1)
        }
    }

    @Test func failuresHaveStableCodes() throws {
        try withHub { (hub, _) throws in
            #expect(
                failure { try hub.client(environment: ["HF_HUB_OFFLINE": "1"]).repoInfo(repo, revision: "main") }?.code
                    == .offline)
            for (headers, status, code) in [
                (["X-Error-Code": "GatedRepo"], 403, HubErrorCode.gated),
                (["X-Error-Message": "Invalid credentials in Authorization header"], 401, .invalidToken),
                (["X-Error-Code": "RevisionNotFound"], 404, .revisionNotFound),
            ] {
                try hub.fault("status", ["status": status, "headers": headers])
                let failed = try #require(failure { try hub.client().repoInfo(repo, revision: "main") })
                #expect(failed.code == code && failed.attempt == 1)
                #expect(!"\(failed)".contains("secret"))
                try hub.clear()
            }
            let nobody = hub.client(environment: ["HF_ENDPOINT": "http://127.0.0.1:1"])
            #expect(failure { try nobody.repoInfo(repo, revision: "main") }?.code == .network)
        }
        #expect(
            HubErrorCode.allCases.map(\.rawValue) == [
                "incomplete_download", "download_cancelled", "insufficient_disk", "repo_not_found",
                "revision_not_found",
                "entry_not_found", "gated", "invalid_token", "digest_mismatch", "rate_limited", "network", "offline",
                "download_limit_reached", "already_downloading", "in_use",
            ])
    }

    @Test func theNextEndpointIsAsked() throws {
        try withHub { (hub, _) throws in
            let mirror = try HubEndpoint(url: hub.other, sendsToken: false)
            let clock = TestClock()
            let client = hub.client(clock: clock, endpoints: [try HubEndpoint(url: hub.hub, sendsToken: true), mirror])
            try hub.fault("status", ["status": 500, "origin": "hub", "path": "/api/*"])
            #expect(try client.repoInfo(repo, revision: "main").commit == hub.commit)
            #expect(clock.slept.isEmpty)
            #expect(try hub.originsWithToken() == ["hub"])
        }
    }
}
