import CacheScan
import Daemon
import FoundationEssentials
import HubCache
import Ledger
import LinuxIO

/// A daemon that runs now, as it says in its status file.
struct RunningDaemon: Decodable {
    struct PolicyVerdict: Codable {
        var ok: Bool
        var error: String?
        var readings: Int
    }

    struct Cache: Codable {
        var path: String
        var watch: String
        var freeBytes: UInt64?
        var states: [String: Int]
        var findings: Int

        enum CodingKeys: String, CodingKey {
            case path, watch, states, findings
            case freeBytes = "free_bytes"
        }
    }

    struct Condition: Codable {
        var code: String
        var severity: String
        var since: String
        var message: String
    }

    struct Action: Codable {
        var action: String
        var time: String
    }

    struct Pass: Codable {
        var checked: Int
        var incomplete: Int
        var removed: Int
        var bytes: UInt64
        var errors: Int
    }

    struct Work: Codable {
        struct Download: Codable {
            var cache: String
            var repo: String
            var path: String
            var bytes: UInt64
            var totalBytes: UInt64?

            enum CodingKeys: String, CodingKey {
                case cache, repo, path, bytes
                case totalBytes = "total_bytes"
            }
        }

        struct Scrub: Codable {
            var path: String
            var state: String
            var reposDone: Int
            var reposTotal: Int
            var revisions: Int
            var bytes: UInt64
            var begun: String?
            var finished: String?
            var cancelled: String?
            var nextDue: String?

            enum CodingKeys: String, CodingKey {
                case path, state, revisions, bytes, begun, finished, cancelled
                case reposDone = "repos_done"
                case reposTotal = "repos_total"
                case nextDue = "next_due"
            }
        }

        var queued = 0
        var downloads: [Download] = []
        var scrub: [Scrub] = []
    }

    var pid: Int32
    var startTicks: UInt64
    var version: String
    var since: String
    var ready: Bool
    var mode: String
    var policy: PolicyVerdict
    var status: String
    var caches: [Cache]
    var work: Work?
    var conditions: [Condition]
    var next: [Action]
    var lastPass: Pass?

    enum CodingKeys: String, CodingKey {
        case pid, version, since, ready, mode, policy, status, caches, work, conditions, next
        case startTicks = "start_ticks"
        case lastPass = "last_pass"
    }

    /// The daemon that this user's commands talk to; nil when none runs.
    static func find() -> RunningDaemon? {
        let environment = Terminal.environment
        let state = LedgerLocation.directory(environment: environment)
        for folder in StatusFile.candidates(environment: environment, state: state) {
            guard let bytes = StatusFile.read(in: folder),
                let found = try? JSONDecoder().decode(RunningDaemon.self, from: Data(bytes)), found.isAlive
            else { continue }
            return found
        }
        return nil
    }

    /// Whether the process that wrote it still runs: an id alone may be another's by now.
    private var isAlive: Bool {
        guard startTicks > 0, let process = ProcessTable.process(pid) else { return false }
        return process.startTicks == startTicks
    }
}
