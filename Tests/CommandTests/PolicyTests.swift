import Foundation
import HubCache
import TestSupport
import Testing

/// `policy check`, `policy show` and `policy init` as they are run.
@Suite struct PolicyTests {
    private func run(_ arguments: String..., in folder: TestFolder, environment: [String: String] = [:]) throws
        -> ProgramRun
    {
        try Program.run(["policy"] + arguments, environment: environment, folder: folder.path.text)
    }

    @Test func checkOfAGoodFile() throws {
        try withTestFolder { folder in
            try folder.write("p.yaml", "mode: enforce\nrules:\n  - {name: a, unused-for: 45d}\npins:\n  - {repo: x}\n")
            let good = try run("check", "p.yaml", in: folder)
            #expect(good.status == 0)
            #expect(good.output == "p.yaml: good: enforces, the default cache, 1 pin, 1 rule\n")
            #expect(good.errors == "")
            #expect(try run("check", "--policy", "p.yaml", in: folder).output == good.output)
            let json = try run("check", "p.yaml", "--json", in: folder).json
            #expect(json["schema"] as? String == "hfjanitor.policy-check/1")
            #expect(json["ok"] as? Bool == true)
            #expect(json["files"] as? [String] == ["p.yaml"])
            #expect(try run("check", "p.yaml", "--policy", "p.yaml", in: folder).status == 64)
        }
    }

    @Test func checkOfABadFile() throws {
        try withTestFolder { folder in
            try folder.write("p.yaml", "mode: enfroce\nruels: []\n")
            let bad = try run("check", "p.yaml", in: folder)
            #expect(bad.status == 78)
            #expect(bad.output == "")
            #expect(
                bad.errors == """
                    p.yaml:1:7: 'mode': 'enfroce' is none of observe, enforce; did you mean 'enforce'?
                    p.yaml:2:1: unknown key 'ruels' in a policy; did you mean 'rules'?

                    """)
            let json = try run("check", "p.yaml", "--json", in: folder)
            #expect(json.status == 78)
            let items = try #require(try json.json["diagnostics"] as? [[String: Any]])
            #expect(items.count == 2)
            #expect(items[1]["line"] as? Int == 2 && items[1]["column"] as? Int == 1)
            #expect(items[1]["suggestion"] as? String == "rules")
            let show = try run("show", "p.yaml", in: folder)
            #expect(show.status == 78 && show.errors == bad.errors && show.output == "")
            #expect(try run("check", "absent.yaml", in: folder).status == 78)
        }
    }

    @Test func checkWarns() throws {
        try withTestFolder { folder in
            try folder.write("p.yaml", "mode: observe\ncaches:\n  - {path: /nowhere/at/all, min-free: 5%}\n")
            let run = try run("check", "p.yaml", in: folder, environment: ["HF_HUB_OFFLINE": "1"])
            #expect(run.status == 0)
            #expect(run.errors.contains("p.yaml:3:12: warning: there is no folder '/nowhere/at/all' (yet)\n"))
            #expect(run.errors.contains("p.yaml:3:29: warning: HF_HUB_OFFLINE is set"))
            #expect(run.output == "p.yaml: good: observes, 1 cache, 0 pins, 0 rules, 2 warnings\n")
        }
    }

    @Test func checkOfAFileThatOthersMayWriteTo() throws {
        try withTestFolder { folder in
            try folder.write("p.yaml", "mode: observe\n")
            try folder.chmod("p.yaml", 0o666)
            let run = try run("check", "p.yaml", in: folder)
            #expect(run.status == 78)
            #expect(run.errors.contains("-w p.yaml"))
        }
    }

    @Test func showIsAPolicyFile() throws {
        try withTestFolder { folder in
            try folder.write("p.yaml", "mode: enforce\ncaches:\n  - {path: /srv/hf, min-free: 10%}\n")
            try folder.makeFolder("policy.d")
            try folder.chmod("policy.d", 0o755)
            try folder.write("policy.d/1.yaml", "verify: {scrub-every: 30d}\n")
            let shown = try run("show", "p.yaml", in: folder)
            #expect(shown.status == 0)
            for line in [
                "# The effective policy, from p.yaml, policy.d/1.yaml", "mode: enforce", "  - path: /srv/hf",
                "    min-free: 10%", "    # target-free: 12%", "    recent-use: 2d", "  scrub-every: 30d",
                "  rate: 200MB/s",
            ] { #expect(shown.output.contains(line + "\n"), "\(line)") }
            let json = try run("show", "--json", "p.yaml", in: folder)
            folder.delete("policy.d")
            try folder.write("again.yaml", shown.output)
            let again = try run("show", "--json", "again.yaml", in: folder)
            var (one, other) = (try json.json, try again.json)
            #expect(one["files"] as? [String] == ["p.yaml", "policy.d/1.yaml"])
            one["files"] = nil
            other["files"] = nil
            #expect(NSDictionary(dictionary: one) == NSDictionary(dictionary: other))
            let cache = try #require((one["caches"] as? [[String: Any]])?.first)
            #expect((cache["min_free"] as? [String: Any])?["parts_per_million"] as? Int == 100_000)
            #expect(cache["min_age_seconds"] as? Int == 7200)
        }
    }

    @Test func initListsAndPrints() throws {
        try withTestFolder { folder in
            let list = try run("init", in: folder)
            #expect(list.status == 0)
            for name in ["observe", "workstation", "gpu-server", "shared-cache", "ci-runner", "archive"] {
                #expect(list.output.contains("\n\(name) ") || list.output.hasPrefix("\(name) "))
                let text = try run("init", name, "--print", in: folder)
                #expect(text.status == 0 && text.output.hasPrefix("# \(name): "))
            }
            let unknown = try run("init", "gpu-sever", in: folder)
            #expect(unknown.status == 64)
            #expect(unknown.errors == "hfjanitor: there is no profile 'gpu-sever'; did you mean 'gpu-server'?\n")
        }
    }

    @Test func initWritesOnce() throws {
        try withTestFolder { folder in
            let first = try run("init", "workstation", "--output", "p.yaml", in: folder)
            #expect(first.status == 0, "\(first)")
            let file = folder.absolute("p.yaml").text
            let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
            #expect(mode == (isRoot ? 0o644 : 0o600))
            #expect(try run("check", "p.yaml", in: folder).status == 0)
            let text = try String(contentsOfFile: file, encoding: .utf8)
            let second = try run("init", "archive", "--output", "p.yaml", in: folder)
            #expect(second.status == 73)
            #expect(second.errors.contains("exists; --force replaces it"))
            #expect(try String(contentsOfFile: file, encoding: .utf8) == text)
            #expect(try run("init", "archive", "--output", "p.yaml", "--force", in: folder).status == 0)
            #expect(try String(contentsOfFile: file, encoding: .utf8).hasPrefix("# archive"))
            #expect(try run("init", "archive", "--output", "no/p.yaml", in: folder).status == 73)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path.text) == ["p.yaml"])
        }
    }

    /// Never through a link, and never over one without being told.
    @Test func initOverALink() throws {
        try withTestFolder { folder in
            try folder.write("precious", "mine\n")
            try folder.link("p.yaml", to: "precious")
            #expect(try run("init", "archive", "--output", "p.yaml", in: folder).status == 73)
            #expect(try run("init", "archive", "--output", "p.yaml", "--force", in: folder).status == 0)
            #expect(try String(contentsOfFile: folder.absolute("precious").text, encoding: .utf8) == "mine\n")
        }
    }

    @Test func initInTheUsersPlace() throws {
        guard isRoot else {
            try withTestFolder { folder in
                let home = ["HOME": folder.path.text]
                #expect(try run("init", "observe", in: folder, environment: home).status == 0)
                let check = try run("check", in: folder, environment: home)
                #expect(check.status == 0)
                #expect(check.output.contains("/.config/hfjanitor/policy.yaml: good: observes"))
            }
            return
        }
        // As root the place is in /etc, which a test does not touch: as another user instead.
        try withTestFolder { folder in
            try folder.chmod(folder.path, 0o777)
            let home = ["HOME": folder.path.text]
            let made = try Program.run(["policy", "init", "observe"], environment: home, user: 4242)
            #expect(made.status == 0, "\(made)")
            let check = try Program.run(["policy", "check"], environment: home, user: 4242)
            #expect(check.status == 0)
            #expect(check.output.contains("/.config/hfjanitor/policy.yaml: good: observes"))
        }
    }
}
