import CacheScan
import Daemon
import Documents
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

    var pid: Int32
    var startTicks: UInt64
    var version: String
    var since: String
    var ready: Bool
    var mode: String
    var policy: PolicyVerdict
    var status: String
    var caches: [Cache]
    var work: StatusDocument.Work
    var conditions: [StatusDocument.Condition]
    var next: [StatusDocument.Action]
    var lastPass: StatusDocument.Pass?

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

extension StatusDocument {
    /// What a daemon says in its file: where it has no socket.
    init(_ running: RunningDaemon) {
        self.init()
        daemon = Daemon(
            pid: running.pid, version: running.version, since: running.since, mode: running.mode,
            policyError: running.policy.error)
        caches = running.caches.map { cache in
            let root = try? CacheRoot(opening: BytePath(cache.path))
            return Cache(
                path: cache.path, watch: cache.watch,
                freeBytes: root?.filesystem.availableBytes ?? cache.freeBytes, states: cache.states,
                findings: cache.findings, inUseMethod: root?.inUseMethod ?? "none")
        }
        work = running.work
        next = running.next
        conditions = running.conditions
        lastPass = running.lastPass
    }
}
