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
    /// The user it runs as.
    var uid: UInt32?
    /// The folder of its ledger.
    var state: String?
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
        case pid, uid, state, version, since, ready, mode, policy, status, caches, work, conditions, next
        case startTicks = "start_ticks"
        case lastPass = "last_pass"
    }

    /// The daemon that this user's commands talk to; nil when none runs.
    static func find() -> RunningDaemon? { all().first }

    /// The daemons that run and that this user may believe, the likeliest first.
    static func all() -> [RunningDaemon] {
        let environment = Terminal.environment
        let state = LedgerLocation.directory(environment: environment)
        let user = UserRecord.find(effectiveUser())?.name
        return StatusFile.candidates(environment: environment, state: state, user: user).compactMap { folder in
            guard let file = StatusFile.read(in: folder),
                let found = try? JSONDecoder().decode(RunningDaemon.self, from: Data(file.bytes)),
                found.isAlive(as: file.owner)
            else { return nil }
            return found
        }
    }

    /// Whether it runs as this user.
    var isOwn: Bool { uid == effectiveUser() }

    /// Whether the process that wrote it still runs: an id alone may be another's by now, and whoever wrote the file may name any
    /// process, which root would then signal.
    private func isAlive(as owner: UInt32) -> Bool {
        guard startTicks > 0, let process = ProcessTable.process(pid), ProcessTable.owner(of: pid) == owner else {
            return false
        }
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
            // What hangs the daemon would hang this command.
            let root = cache.watch == "unresponsive" ? nil : try? CacheRoot(opening: BytePath(cache.path))
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
