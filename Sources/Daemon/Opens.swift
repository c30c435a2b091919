internal import CacheScan
internal import CacheWatch
internal import HubCache
internal import Ledger
internal import LinuxIO
internal import Retention

/// Opens that were seen and are not in the ledger yet: one write for many.
struct OpenBook {
    struct Key: Hashable {
        var repo: String
        var thing: OpenedThing
    }

    /// By cache, as it is watched.
    var pending: [BytePath: [Key: Timestamp]] = [:]
    /// Blobs whose opener is looked for: relative to the root, by cache, with their repo and name.
    var unattributed: [BytePath: [BytePath: Key]] = [:]
    var lastLookDuration: UInt64 = 0
    var lastLook: UInt64 = 0

    /// As many are looked at together.
    static let mostUnattributed = 2000
}

// Last use: what was opened, and by whom.
extension DaemonLoop {
    func noteOpen(_ file: OpenedFile, of cache: WatchedCache, at time: Timestamp) {
        var keys: [(OpenBook.Key, BytePath?)] = []
        func addRevisions(_ folder: BytePath) {
            for commit in cache.repos[folder]?.states.keys ?? [:].keys {
                keys.append((.init(repo: folder.text, thing: .revision(commit)), nil))
            }
        }
        switch file {
        case .blob(let repo, let name):
            let location = repo.appending("blobs").appending(name)
            keys.append((.init(repo: repo.text, thing: .blob(name.text)), location))
        case .payload(let payload):
            for (repo, blob) in cache.payloadUsers[payload] ?? [:] {
                keys.append((.init(repo: repo.text, thing: .blob(blob.text)), StoreInventory.location(of: payload)))
            }
        case .snapshotFile(let repo, let commit):
            keys.append((.init(repo: repo.text, thing: .revision(commit)), nil))
        case .someOfRepo(let repo): addRevisions(repo)
        case .someOfStore:
            for repo in Set(cache.payloadUsers.values.flatMap(\.keys)) { addRevisions(repo) }
        }
        let now = monotonicNanoseconds()
        for (key, location) in keys {
            let known = opens.pending[cache.path]?[key] ?? time
            opens.pending[cache.path, default: [:]][key] = max(known, time)
            if let location, opens.unattributed[cache.path]?.count ?? 0 < OpenBook.mostUnattributed {
                opens.unattributed[cache.path, default: [:]][location] = key
            }
        }
        guard !keys.isEmpty else { return }
        timers.openFlush = min(timers.openFlush, now &+ 30 * Timers.second)
        // Soon, since who opened it may end; seldom, since looking at all processes costs.
        let earliest = opens.lastLook &+ max(2 * Timers.second, 20 * opens.lastLookDuration)
        timers.openerLook = min(timers.openerLook, max(now &+ Timers.second / 10, earliest))
    }

    /// Writes what was seen to the ledger.
    func flushOpens() {
        timers.openFlush = .max
        let pending = opens.pending
        opens.pending = [:]
        guard !pending.isEmpty, let recorder else { return }
        let roots = Dictionary(
            caches.compactMap { cache in cache.root.map { (cache.path, ($0, cache.repos.count)) } },
            uniquingKeysWith: { first, _ in first })
        let ledger = ledger
        hand(
            recorder,
            {
                for (cache, things) in pending {
                    guard let (root, repoCount) = roots[cache] else { continue }
                    ledger.note(
                        opens: things.map {
                            RecordedOpen(repo: $0.key.repo, thing: $0.key.thing, time: $0.value, source: .watch)
                        }, cache: root)
                    Self.noteSweeps(over: root, repoCount: repoCount, ledger)
                }
            }, then: { loop, _ in loop.sayLedgerProblems() })
    }

    /// Recognises sweeps while all their reads are still known.
    private static func noteSweeps(over root: BytePath, repoCount: Int, _ ledger: Ledger) {
        var sweeps: [Sweep] = []
        if repoCount >= UsageJudgement.sweepRepos {
            var numbers: [String: Int] = [:]
            var reads: [UsageJudgement.Read] = []
            func add(_ repo: String, _ times: some Sequence<Timestamp>) {
                let number = numbers[repo] ?? numbers.count
                numbers[repo] = number
                for time in times { reads.append(UsageJudgement.Read(time: time, repo: number)) }
            }
            for (repo, things) in ledger.lastOpens(cache: root) { add(repo, things.values.lazy.map(\.time)) }
            for (repo, things) in ledger.earlierOpens(cache: root) { add(repo, things.values.joined()) }
            sweeps = UsageJudgement.sweeps(in: reads, repoCount: repoCount)
        }
        ledger.note(
            sweeps: sweeps.map { RecordedSweep(first: $0.first, last: $0.last, repos: $0.repos) }, cache: root,
            now: currentTime())
    }

    /// Looks which processes have what was just opened.
    func lookForOpeners(_ now: UInt64) {
        timers.openerLook = .max
        let wanted = opens.unattributed
        opens.unattributed = [:]
        guard let recorder, !wanted.isEmpty else { return }
        opens.lastLook = now
        let (ledger, lookers) = (ledger, caches.compactMap { cache in looker(cache) })
        hand(
            recorder,
            { () -> UInt64 in
                let begun = monotonicNanoseconds()
                for looker in lookers {
                    if let things = wanted[looker.path] { Self.noteOpeners(of: things, by: looker, ledger) }
                }
                return monotonicNanoseconds() - begun
            }, then: { loop, duration in loop.opens.lastLookDuration = duration })
    }

    private static func noteOpeners(of things: [BytePath: OpenBook.Key], by looker: Looker, _ ledger: Ledger) {
        guard let root = try? looker.openRoot() else { return }
        var files: [FileKey: OpenBook.Key] = [:]
        for (location, key) in things {
            if let stat = try? root.stat(at: location) { files[stat.key] = key }
        }
        let boot = ProcessTable.currentBoot()
        guard !boot.isEmpty else { return }
        var openers: [RecordedOpener] = []
        let time = currentTime()
        for (file, processes) in OpenFileScan.users(of: Set(files.keys)) {
            guard let key = files[file], case .blob(let name) = key.thing else { continue }
            for id in processes {
                guard let process = ProcessTable.process(id) else { continue }
                openers.append(
                    RecordedOpener(
                        repo: key.repo, blob: name,
                        process: ProcessIdentity(id: id, startTicks: process.startTicks, boot: boot), seenAt: time))
            }
        }
        ledger.note(openers: openers, cache: root.path)
    }
}
