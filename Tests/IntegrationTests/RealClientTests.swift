import Foundation
import Testing

/// Caches written by the real client, judged by the built program.
@Suite(.serialized, .enabled(if: ClientEnvironment.areNeeded, ClientEnvironment.advice))
struct RealClientTests {
    @Test(arguments: try Caches.scenarios())
    func verdict(of scenario: Scenario) throws {
        for depth in ["structure", "headers", "digests"] {
            let user = try User("\(scenario.slug)-\(depth)")
            let outcome = try user.hfjanitor(["verify", "--json", "--depth", depth] + scenario.selection)
            let report: VerifyReport = try Caches.decoded(outcome.output)
            let found = differences(report, at: depth, from: scenario)
            #expect(found.isEmpty, "at \(depth): \(scenario.about)")
            if let status = scenario.exit[depth] ?? nil {
                #expect(outcome.status == status, "at \(depth): \(outcome.errors)")
            }
        }
    }

    /// Reading is all it does: no file, time, mode or size in the cache differs afterwards, and nobody's last use moves.
    @Test(arguments: try Caches.scenarios())
    func leavesNoTrace(in scenario: Scenario) throws {
        let user = try User("\(scenario.slug)-trace")
        // So old that any read would move it.
        _ = try shell("find \(quoted(scenario.place)) -type f -exec touch -a -d 2001-01-01T00:00:00Z {} +")
        let before = try fingerprint(of: scenario.place)
        for arguments in [["verify", "--json", "--depth", "digests"], ["ls", "--json"]] {
            _ = try user.hfjanitor(arguments + scenario.selection)
        }
        if let repo = scenario.repos.first, scenario.target == nil {
            _ = try user.hfjanitor(["ready", repo.id, "--cache", scenario.cache])
        }
        let after = try fingerprint(of: scenario.place)
        #expect(Set(before).symmetricDifference(after).sorted() == [])
    }

    /// The second look says the same as the first, whatever was remembered; and a proven digest is not forgotten.
    @Test(arguments: try Caches.scenarios())
    func secondLookAgrees(on scenario: Scenario) throws {
        let user = try User("\(scenario.slug)-twice")
        let command = ["verify", "--json", "--depth", "digests"] + scenario.selection
        let first = try user.hfjanitor(command)
        let second = try user.hfjanitor(command)
        let firstReport: VerifyReport = try Caches.decoded(first.output)
        let secondReport: VerifyReport = try Caches.decoded(second.output)
        #expect(first.status == second.status)
        #expect(firstReport.lasting == secondReport.lasting)

        let shallow = try user.hfjanitor(["verify", "--json", "--depth", "structure"] + scenario.selection)
        let shallowReport: VerifyReport = try Caches.decoded(shallow.output)
        let proven = firstReport.everything.filter { $0.code == "digest-mismatch" }.compactMap(\.file)
        let remembered = shallowReport.everything.filter { $0.code == "digest-mismatch" }.compactMap(\.file)
        #expect(proven.sorted() == remembered.sorted())
    }

    @Test(arguments: try Caches.scenarios())
    func inventory(of scenario: Scenario) throws {
        let user = try User("\(scenario.slug)-ls")
        let outcome = try user.hfjanitor(["ls", "--json"] + scenario.selection)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let report: ListReport = try Caches.decoded(outcome.output)
        #expect(report.schema == "hfjanitor.ls/1")
        let repos = report.caches.flatMap(\.repos)
        #expect(repos.map(\.id).sorted() == scenario.repos.map(\.id).sorted())
        let used = try shell("du -s --block-size=1 \(quoted(scenario.place)) | cut -f1")
        #expect(report.caches.first?.bytes == Int(used.trimmingCharacters(in: .whitespacesAndNewlines)))
        for expected in scenario.repos {
            guard let repo = repos.first(where: { $0.id == expected.id }) else { continue }
            let commits = repo.revisions.compactMap(\.commit).sorted()
            #expect(commits == expected.revisions.compactMap(\.commit).sorted())
            #expect((repo.state == nil) == repo.revisions.isEmpty, "\(repo.id): \(repo.state ?? "")")
            for revision in expected.revisions {
                guard let state = revision.outcomes["structure"]?.state else { continue }
                let listed = repo.revisions.first { $0.commit == revision.commit }
                #expect(listed?.state == state, "\(repo.id)")
                #expect(listed?.refs.sorted() == revision.refs.sorted(), "\(repo.id)")
            }
        }
    }

    @Test(arguments: try Caches.scenarios())
    func readiness(of scenario: Scenario) throws {
        for repo in scenario.repos {
            guard let revision = repo.revisions.first(where: { $0.refs.contains("main") }) ?? onlyRevision(of: repo),
                let headers = revision.outcomes["headers"], let state = headers.state
            else { continue }
            let user = try User("\(scenario.slug)-ready")
            let target = scenario.target.map { [$0] } ?? [repo.id, "--cache", scenario.cache]
            let isSubset = headers.must.contains { $0.code == "weights-absent" }
            let expected: Int32 = state == "complete" && !isSubset ? 0 : 1
            let outcome = try user.hfjanitor(["ready"] + target)
            #expect(outcome.status == expected, "\(repo.id): \(outcome.errors)")
            if isSubset, state == "complete" {
                #expect(try user.hfjanitor(["ready", "--allow-subset"] + target).status == 0)
            }
        }
    }

    /// Where the client has an opinion on content, it is the same.
    @Test(arguments: try Caches.scenarios())
    func agreesWithClient(on scenario: Scenario) throws {
        let user = try User("\(scenario.slug)-client")
        let outcome = try user.hfjanitor(["verify", "--json", "--depth", "digests"] + scenario.selection)
        let report: VerifyReport = try Caches.decoded(outcome.output)
        let repos = report.caches.flatMap(\.repos)
        for verdict in scenario.client.verify ?? [] where verdict.error == nil {
            let revision = repos.first { $0.id == verdict.repo }?.revisions.first { $0.commit == verdict.commit }
            let errors = (revision?.findings ?? []).filter { $0.severity == "error" }
            for file in verdict.mismatches ?? [] {
                #expect(errors.contains { $0.file == file }, "\(verdict.repo): the client finds \(file) wrong")
            }
            if revision?.state == "complete" {
                #expect(verdict.ok, "\(verdict.repo): complete, but the client disagrees")
            }
            if verdict.ok {
                #expect(!errors.contains { $0.code == "digest-mismatch" }, "\(verdict.repo): the client finds it sound")
            }
        }
        for repo in scenario.client.scan?.repos ?? [] where scenario.target == nil {
            #expect(repos.contains { $0.id == repo }, "\(repo) is in the client's list")
        }
    }

    /// A download that is under way is neither an error nor ready, and whole once it ends.
    @Test(arguments: ClientEnvironment.allCases)
    func downloadUnderWay(with environment: ClientEnvironment) throws {
        let held = try HeldDownload(with: environment)
        let repo = "model/acme/live"
        try check(held.scenario, repo: repo, named: 75, ready: 75)
        try held.finish()
        try check(held.scenario, repo: repo, named: 0, ready: 0)
    }

    private func check(_ scenario: Scenario, repo: String, named: Int32, ready: Int32) throws {
        for depth in ["structure", "headers", "digests"] {
            let user = try User("held-\(scenario.environment)-\(depth)")
            let outcome = try user.hfjanitor(["verify", "--json", "--depth", depth, "--cache", scenario.cache])
            let report: VerifyReport = try Caches.decoded(outcome.output)
            let found = differences(report, at: depth, from: scenario)
            #expect(found.isEmpty, "at \(depth)")
            #expect(outcome.status == 0)
            #expect(try user.hfjanitor(["verify", repo, "--depth", depth, "--cache", scenario.cache]).status == named)
        }
        let user = try User("held-\(scenario.environment)-ready")
        #expect(try user.hfjanitor(["ready", repo, "--cache", scenario.cache]).status == ready)
    }

    private func onlyRevision(of repo: ExpectedRepo) -> ExpectedRevision? {
        repo.revisions.count == 1 ? repo.revisions[0] : nil
    }

    /// Every entry with all that a stat tells. Access times only of regular files: listing folders and reading links, as
    /// this does too, moves theirs.
    private func fingerprint(of path: String) throws -> [String] {
        let format = #"%P %y %i %n %m %u %g %s %b %T@ %C@ %l"#
        let tests = "! -type f -printf '\(format)\\n' -o -printf '\(format) %A@\\n'"
        let entries = try shell("find \(quoted(path)) \(tests) | sort")
        return entries.split(separator: "\n").map(String.init)
    }

    private func quoted(_ path: String) -> String {
        "'" + path.replacingOccurrences(of: "'", with: #"'\''"#) + "'"
    }
}
