import ArgumentParser
import CacheScan
import Diagnosis
import HubCache
import LinuxIO
import Verification

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look at the machine and the setup: permissions, mounts, locks, limits, each with a remedy.",
        discussion: """
            Changes nothing.

            Exit status: 0 nothing wrong; 1 a problem was found; 64 usage; 66 no such cache.
            """)

    @OptionGroup var caches: CacheOptions

    private struct Document: Encodable {
        struct Item: Encodable {
            var name: String
            var cache: String?
            var status: String
            var detail: String
            var remedy: String?
        }

        var schema = "hfjanitor.doctor/1"
        var checks: [Item]
    }

    func run() throws {
        try reportingFailures {
            var checks = MachineDiagnosis(environment: Terminal.environment).checks()
            let opened: OpenedCaches
            do {
                opened = try OpenedCaches(caches.choice, needing: .rules)
                checks += PolicyDiagnosis(opened, environment: Terminal.environment).checks()
            } catch let failure as CommandFailure where failure.status == .policy {
                // A wrong policy is one thing more to tell, not the end of the look at the rest.
                checks.append(
                    Check(
                        "policy", .problem, failure.message.replacing("\n", with: "; "),
                        remedy: "correct it; 'hfjanitor policy check' says all that is wrong"))
                opened = try OpenedCaches(caches.choice, needing: .nothing)
            }
            checks.append(memoryCheck())
            if let path = opened.absentDefault {
                checks.append(
                    Check(
                        "cache", .note, "there is no cache yet at '\(path.display)'",
                        remedy: "a client's first download makes it; HF_HOME or --cache names another"))
            }
            let daemon = RunningDaemon.find()
            for root in opened.roots {
                checks += CacheDiagnosis(root: root).checks()
                if let check = Self.sandboxCheck(root, daemon) { checks.append(check) }
            }
            if caches.json {
                let items = checks.map {
                    Document.Item(
                        name: $0.name, cache: $0.cache, status: $0.status.rawValue, detail: $0.detail, remedy: $0.remedy
                    )
                }
                try printJSON(Document(checks: items))
            } else {
                show(checks)
            }
            return checks.contains { $0.status == .problem } ? .found : .good
        }
    }

    /// What the daemon may not write to although its filesystem is writable: its unit keeps it from there.
    private static func sandboxCheck(_ root: CacheRoot, _ daemon: RunningDaemon?) -> Check? {
        guard !root.filesystem.isReadOnly,
            daemon?.caches.contains(where: { $0.path == root.path.text && $0.watch == "read-only" }) == true
        else { return nil }
        return Check(
            "service", cache: root.path.display, .problem, "the daemon's unit lets it only read here",
            remedy: "add 'ReadWritePaths=\(root.path.display)' with 'systemctl edit hfjanitor', and restart it")
    }

    private func memoryCheck() -> Check {
        let memory = Memory.open(environment: Terminal.environment, programVersion: Version.text)
        guard let problem = memory.takeProblem() else { return Check("ledger", .good, "digests are remembered") }
        return Check(
            "ledger", .note, displayText(of: problem),
            remedy: "verification works without it, and hashes everything anew")
    }

    private func show(_ checks: [Check]) {
        var cache: String?
        for check in checks {
            if check.cache != cache, let name = check.cache {
                cache = name
                Terminal.print(Terminal.styled(name, .bold))
            }
            let mark: String =
                switch check.status {
                case .good: Terminal.styled("good   ", .green)
                case .note: Terminal.styled("note   ", .yellow)
                case .problem: Terminal.styled("PROBLEM", .red)
                }
            Terminal.print("\(mark)  \(check.name): \(check.detail)")
            if let remedy = check.remedy, check.status != .good { Terminal.print("         → \(remedy)") }
        }
        let problems = checks.count { $0.status == .problem }
        Terminal.print(problems == 0 ? "Nothing wrong." : "\(counted(problems, "problem")) to solve.")
    }
}
