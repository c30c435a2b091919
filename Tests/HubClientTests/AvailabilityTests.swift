import HubCache
import HubClient
import LinuxIO
import TestSupport
import Testing

@Suite struct AvailabilityTests {
    private func repo(_ name: String, _ type: RepoType = .model) throws -> RepoID {
        try #require(RepoID(type: type, name: name))
    }

    private func confirmed(_ answer: HubAnswer) -> HubFileMetadata? {
        if case .confirmed(let metadata) = answer { metadata } else { nil }
    }

    /// The seconds for which an endpoint is left alone.
    private func restOf(_ answer: HubAnswer) -> Int64? {
        guard case .noAnswer(.resting(let rest)) = answer else { return nil }
        return Int64((rest / .seconds(1)).rounded(.up))
    }

    @Test func confirmsALargeFileWithoutTheContent() throws {
        try withHub { hub, _ in
            let metadata = try #require(confirmed(hub.askForLarge()))
            #expect(metadata.etag == HubStandIn.largeEtag)
            #expect(metadata.size == 300_000 && metadata.commit == hub.commit)
            // The redirect to the content's host says everything; it is not followed.
            let log = try hub.log()
            #expect(log.count == 1 && log.first?["method"] as? String == "HEAD")
            let headers = log.first?["headers"] as? [String: String] ?? [:]
            #expect(headers["authorization"] == "Bearer \(secret)")
            #expect(headers["accept-encoding"] == "identity" && headers["user-agent"] == "hfjanitor/test")
        }
    }

    @Test(arguments: [false, true]) func confirmsASmallFile(resolveCache: Bool) throws {
        try withHub(resolveCache: resolveCache) { hub, _ in
            let answer = hub.client().availability(
                of: HubStandIn.small, repo: try repo("acme/x"), commit: hub.commit,
                expectedEtag: HubStandIn.smallEtag)
            #expect(confirmed(answer)?.size == UInt64(HubStandIn.smallBytes.count))
            let log = try hub.log()
            #expect(log.count == (resolveCache ? 2 : 1))
            // A redirect within the Hub keeps the token.
            #expect(log.allSatisfy { $0["authorized"] as? Bool == true })
            #expect(
                log.first?["path"] as? String
                    == "/acme/x/resolve/\(hub.commit)/sub/a%20b%2B%C3%BC.json")
        }
    }

    @Test func followsARenamedRepo() throws {
        try withHub { hub, _ in
            let answer = hub.client().availability(
                of: HubStandIn.large, repo: try repo("acme/old"), commit: hub.commit,
                expectedEtag: HubStandIn.largeEtag)
            #expect(confirmed(answer) != nil)
        }
    }

    @Test func refusesWhatTheHubDoesNotHave() throws {
        try withHub { hub, _ in
            let client = hub.client()
            func ask(_ file: BytePath, _ name: String, _ commit: CommitHash, _ type: RepoType = .model) throws
                -> HubAnswer
            {
                client.availability(
                    of: file, repo: try repo(name, type), commit: commit, expectedEtag: HubStandIn.largeEtag)
            }
            let unknown = try #require(CommitHash(String(repeating: "0", count: 40)))
            #expect(try ask("none", "acme/x", hub.commit) == .refused(.entryNotFound))
            #expect(try ask("none", "acme/none", hub.commit) == .refused(.repoNotFound))
            #expect(try ask(HubStandIn.large, "acme/x", unknown) == .refused(.revisionNotFound))
            #expect(try ask("a.json", "acme/d", hub.commit, .dataset) == .refused(.revisionNotFound))
            #expect(try hub.log().last?["path"] as? String == "/datasets/acme/d/resolve/\(hub.commit)/a.json")
            #expect(hub.askForLarge(etag: "other") == .refused(.otherEtag(HubStandIn.largeEtag)))
            try hub.clear()
            for name: BytePath in ["../../x", "a//b", "./a", "", "a/..", BytePath(bytes: [0x61, 0])] {
                #expect(try ask(name, "acme/x", hub.commit) == .refused(.unaskableName))
            }
            #expect(try hub.log().isEmpty)
        }
    }

    @Test(arguments: [
        (401, "GatedRepo", "", HubRefusal.gated), (403, "GatedRepo", "", .gated),
        (401, "RepoNotFound", "", .repoNotFound),
        (401, "", "Invalid credentials in Authorization header", .invalidToken), (401, "", "", .repoNotFound),
        (403, "", "Access to this resource is disabled.", .disabled), (403, "", "", .forbidden),
        (404, "", "", .notFound), (410, "", "", .notFound), (451, "", "", .notFound),
    ])
    func refusals(status: Int, code: String, message: String, expected: HubRefusal) throws {
        try withHub { hub, _ in
            let headers = ["X-Error-Code": code, "X-Error-Message": message].filter { !$0.value.isEmpty }
            try hub.fault("status", ["status": status, "headers": headers])
            #expect(hub.askForLarge() == .refused(expected))
        }
    }

    @Test func anotherCommitIsRefused() throws {
        try withHub { hub, _ in
            let other = String(repeating: "a", count: 40)
            try hub.fault("headers", ["headers": ["X-Repo-Commit": other]])
            #expect(hub.askForLarge() == .refused(.otherCommit(try #require(CommitHash(other)))))
        }
    }

    @Test func etagsAreNormalisedAndThenDistrusted() throws {
        try withHub { hub, _ in
            let good = HubStandIn.largeEtag.text
            for etag in ["W/\"\(good)\"", "\"\(good)\"", good, "WW//\"\(good)\""] {
                try hub.fault("headers", ["headers": ["X-Linked-Etag": etag]])
                #expect(confirmed(hub.askForLarge())?.etag == HubStandIn.largeEtag, "\(etag)")
                try hub.clear()
            }
            let long = String(repeating: "a", count: 256)
            for etag in [
                "\"../../etc/passwd\"", "\"a/b\"", "\"..\"", "\"\"", "a..b", "\"a\u{1}b\"", "\"é\"", long, ".hidden",
                "x.lock", "x.incomplete",
            ] {
                try hub.fault("headers", ["headers": ["X-Linked-Etag": etag]])
                guard case .noAnswer(.malformed) = hub.askForLarge() else {
                    Issue.record("\(etag) was believed")
                    continue
                }
                try hub.clear()
            }
            // Two of them: nobody knows which another client would take.
            try hub.fault("headers", ["headers": ["X-Linked-Etag": ["\"\(good)\"", "\"other\""]]])
            #expect(hub.askForLarge() == .noAnswer(.malformed("an ambiguous x-linked-etag header")))
        }
    }

    @Test func aPortalIsNoAnswer() throws {
        try withHub { hub, _ in
            try hub.fault("status", ["status": 200, "headers": ["Content-Type": "text/html"]], body: "<html>")
            #expect(hub.askForLarge() == .noAnswer(.malformed("no X-Repo-Commit")))
            try hub.clear()
            try hub.fault("headers", ["headers": ["X-Linked-Etag": "", "ETag": ""]])
            #expect(hub.askForLarge() == .noAnswer(.malformed("no ETag")))
            try hub.clear()
            try hub.fault("headers", ["headers": ["X-Repo-Commit": "main"]])
            #expect(hub.askForLarge() == .noAnswer(.malformed("an X-Repo-Commit that is no commit")))
            try hub.clear()
            try hub.fault("headers", ["headers": ["X-Linked-Size": "-1"]])
            #expect(hub.askForLarge() == .noAnswer(.malformed("a x-linked-size header that is no number")))
            try hub.clear()
            try hub.fault("raw", body: "SSH-2.0-OpenSSH\r\n")
            guard case .noAnswer(.network) = hub.askForLarge() else {
                Issue.record("a server of another kind was believed")
                return
            }
        }
    }

    @Test func headersAreBounded() throws {
        try withHub { hub, _ in
            let many = [String](repeating: "x", count: 500)
            for headers: [String: Any] in [
                ["X-Long": String(repeating: "x", count: 60_000), "X-Longer": String(repeating: "y", count: 60_000)],
                ["X-Many": many],
            ] {
                try hub.fault("headers", ["headers": headers])
                #expect(hub.askForLarge() == .noAnswer(.malformed("more headers than are accepted")))
                try hub.clear()
            }
        }
    }

    @Test func theTokenStaysAtItsOrigin() throws {
        try withHub { hub, _ in
            // To another port, and to another host: neither is asked, whatever it would say.
            for target in [hub.cdn, hub.other] {
                let headers: [String: Any] = [
                    "Location": "\(target)/acme/x/resolve/\(hub.commit)/model.safetensors",
                    "X-Repo-Commit": hub.commit.hex, "X-Linked-Etag": "\"\(HubStandIn.largeEtag)\"",
                ]
                try hub.fault("status", ["status": 302, "headers": headers, "origin": "hub"])
                #expect(confirmed(hub.askForLarge()) != nil)
                #expect(try hub.originsWithToken() == ["hub"])
                #expect(try hub.log().count == 1)
                try hub.clear()
            }
            // An endpoint that may not see the token.
            let mirror = try HubEndpoint(url: hub.other, sendsToken: false)
            #expect(confirmed(hub.askForLarge(hub.client(endpoints: [mirror]))) != nil)
            #expect(try hub.originsWithToken() == [] && hub.log().count == 1)
            // One that may.
            let trusted = try HubEndpoint(url: hub.other + "/", sendsToken: true)
            #expect(confirmed(hub.askForLarge(hub.client(endpoints: [trusted]))) != nil)
            #expect(try hub.originsWithToken() == ["other"])
        }
    }

    @Test func redirectsThatAreNotFollowed() throws {
        try withHub { hub, _ in
            for location in [
                "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x", "http://user:pass@127.0.0.1/", "http://",
                "http://a b/", "javascript:alert(1)", "",
            ] {
                try hub.fault("status", ["status": 302, "headers": ["Location": location]])
                guard case .noAnswer(.unsafeRedirect) = hub.askForLarge() else {
                    Issue.record("\(location) was followed")
                    continue
                }
                try hub.clear()
            }
            try hub.fault("status", ["status": 307, "headers": ["Location": "/again"]])
            #expect(hub.askForLarge() == .noAnswer(.unsafeRedirect("more than 20 of them")))
            #expect(try hub.log().count == 21)
        }
    }

    @Test func silences() throws {
        try withHub { hub, _ in
            for status in [500, 502, 503, 504] {
                try hub.fault("status", ["status": status])
                #expect(hub.askForLarge() == .noAnswer(.serverError(status: status, retryAfter: nil)))
                try hub.clear()
            }
            try hub.fault("status", ["status": 418])
            #expect(hub.askForLarge() == .noAnswer(.malformed("status 418")))
            try hub.clear()
            var impatient = usualSettings
            (impatient.connectTimeout, impatient.answerTimeout) = (.milliseconds(300), .milliseconds(200))
            for kind in ["mute", "drip"] {
                try hub.fault(kind, ["rate": 5])
                #expect(hub.askForLarge(hub.client(impatient)) == .noAnswer(.timeout))
                try hub.clear()
            }
        }
    }

    @Test func rateLimits() throws {
        try withHub { hub, _ in
            // The clock of the test is at 2027-01-15T08:00:00Z.
            for (headers, wait) in [
                (["RateLimit": "\"api\";r=0;t=55", "Retry-After": "3"], 56),
                (["RateLimit": "\"api\";r=7;t=55", "Retry-After": "3"], 4), (["Retry-After": "120"], 121),
                (["Retry-After": "Fri, 15 Jan 2027 08:01:00 GMT"], 61),
                (["Retry-After": "Fri, 15 Jan 2027 07:00:00 GMT"], 1),
            ] {
                try hub.fault("status", ["status": 429, "headers": headers])
                let clock = TestClock()
                let client = hub.client(clock: clock)
                #expect(hub.askForLarge(client) == .noAnswer(.rateLimited(retryAfter: .seconds(wait))))
                try hub.clear()
                // Until then it is not asked again, even where it would answer.
                #expect(restOf(hub.askForLarge(client)) == Int64(wait))
                #expect(try hub.log().isEmpty)
                clock.advance(.seconds(wait))
                #expect(confirmed(hub.askForLarge(client)) != nil)
            }
            for value in ["soon", "-5", "999999999999999999999"] {
                try hub.fault("status", ["status": 429, "headers": ["Retry-After": value]])
                #expect(hub.askForLarge() == .noAnswer(.rateLimited(retryAfter: nil)))
                try hub.clear()
            }
        }
    }

    @Test func theBreakerIsShared() throws {
        try withHub { hub, _ in
            var settings = usualSettings
            settings.breakerFailures = 3
            let clock = TestClock()
            let health = HubHealth()
            let clients = (0..<2).map { _ in hub.client(settings, clock: clock, health: health) }
            try hub.fault("status", ["status": 500])
            for index in 0..<3 {
                #expect(
                    hub.askForLarge(clients[index % 2]) == .noAnswer(.serverError(status: 500, retryAfter: nil)))
            }
            #expect(restOf(hub.askForLarge(clients[1])) == 60)
            #expect(try hub.log().count == 3)
            clock.advance(.seconds(60))
            // One attempt; it fails, and the rest begins anew.
            #expect(hub.askForLarge(clients[0]) == .noAnswer(.serverError(status: 500, retryAfter: nil)))
            #expect(restOf(hub.askForLarge(clients[0])) == 60)
            clock.advance(.seconds(60))
            try hub.clear()
            #expect(confirmed(hub.askForLarge(clients[0])) != nil)
            // Refusals say nothing against the endpoint.
            try hub.fault("status", ["status": 404])
            for _ in 0..<5 { #expect(hub.askForLarge(clients[0]) == .refused(.notFound)) }
        }
    }

    @Test func severalEndpoints() throws {
        try withHub { hub, _ in
            let main = try HubEndpoint(url: hub.hub, sendsToken: true)
            let mirror = try HubEndpoint(url: hub.other, sendsToken: false)
            let client = hub.client(endpoints: [main, mirror])
            try hub.fault("status", ["status": 404, "origin": "hub", "path": "/acme/*"])
            #expect(confirmed(hub.askForLarge(client)) != nil)
            try hub.fault("status", ["status": 500, "origin": "other"])
            // The mirror may have it.
            #expect(hub.askForLarge(client) == .noAnswer(.serverError(status: 500, retryAfter: nil)))
            try hub.clear()
            try hub.fault("status", ["status": 404, "path": "/acme/*"])
            #expect(hub.askForLarge(client) == .refused(.notFound))
        }
    }

    @Test func offlineAsksNobody() throws {
        try withHub { hub, _ in
            for variable in ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"] {
                #expect(hub.askForLarge(hub.client(environment: [variable: "on"])) == .noAnswer(.offline))
            }
            let log = try hub.log()
            #expect(log.isEmpty)
            #expect(hub.askForLarge(hub.client(environment: ["HF_ENDPOINT": "ftp://x"])) == .noAnswer(.noEndpoint))
        }
    }

    @Test func nobodyListens() throws {
        try withHub { hub, _ in
            // Port 1 of the loopback interface: the connection is refused at once.
            let client = hub.client(environment: ["HF_ENDPOINT": "http://127.0.0.1:1"])
            let answer = hub.askForLarge(client)
            guard case .noAnswer(.network(let words)) = answer else {
                Issue.record("\(answer)")
                return
            }
            #expect(!words.contains(secret))
        }
    }

    @Test func aCancelledClientGivesUp() throws {
        try withHub { hub, _ in
            try hub.fault("mute")
            var settings = usualSettings
            settings.answerTimeout = .seconds(600)
            let cancellation = Cancellation()
            let isOver = Cancellation()
            let repo = try repo("acme/x")
            let client = hub.client(settings)
            let canceller = BackgroundThread(name: "canceller") {
                while !isOver.isCancelled, (try? hub.log().isEmpty) == true {}
                cancellation.cancel()
            }
            let answer = client.availability(
                of: HubStandIn.large, repo: repo, commit: hub.commit, expectedEtag: HubStandIn.largeEtag,
                cancellation: cancellation)
            isOver.cancel()
            canceller.join()
            #expect(answer == .noAnswer(.cancelled))
        }
    }
}
