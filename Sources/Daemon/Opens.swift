internal import CacheScan
internal import CacheWatch
internal import HubCache
internal import Ledger
internal import LinuxIO
internal import Retention
internal import Synchronization

/// Opens that were seen and are not in the ledger yet: one write for many.
struct OpenBook {
    struct Key: Hashable {
        var repo: String
        var thing: OpenedThing
    }

    let pending = PendingOpens()
    /// Blobs whose opener is looked for: relative to the root, by cache, with their repo and name.
    var unattributed: [BytePath: [BytePath: Key]] = [:]
    var lastLookDuration: UInt64 = 0
    var lastLook: UInt64 = 0

    /// As many are looked at together.
    static let mostUnattributed = 2000
}

/// Opens that were seen and are not in the ledger yet. Whoever is about to judge by the ledger writes them first.
final class PendingOpens: Sendable {
    /// By cache, as it is watched.
    private let opens = Mutex<[BytePath: [OpenBook.Key: Timestamp]]>([:])
    private let isWriting = Mutex(())

    /// A cache's root, and how many repos it has.
    typealias Place = (root: BytePath, repoCount: Int)

    func note(_ key: OpenBook.Key, in cache: BytePath, at time: Timestamp) {
        opens.withLock { opens in
            let known = opens[cache]?[key] ?? time
            opens[cache, default: [:]][key] = max(known, time)
        }
    }

    var isEmpty: Bool { opens.withLock(\.isEmpty) }

    /// Writes them to the ledger. When it returns, all that was noted before the call is there, whoever wrote it.
    func write(to ledger: Ledger, places: [BytePath: Place]) {
        isWriting.withLock { _ in
            let taken = opens.withLock { opens in
                defer { opens = [:] }
                return opens
            }
            for (cache, things) in taken {
                guard let place = places[cache] else { continue }
                ledger.note(
                    opens: things.map {
                        RecordedOpen(repo: $0.key.repo, thing: $0.key.thing, time: $0.value, source: .watch)
                    }, cache: place.root)
                DaemonLoop.noteSweeps(over: place.root, repoCount: place.repoCount, ledger)
            }
        }
    }
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
            opens.pending.note(key, in: cache.path, at: time)
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
        guard !opens.pending.isEmpty, let recorder else { return }
        hand(recorder, opensWriter, then: { loop, _ in loop.sayLedgerProblems() })
    }

    /// Writes what was seen until it is called, on any thread.
    var opensWriter: @Sendable () -> Void {
        let places = Dictionary(
            caches.compactMap { cache in cache.root.map { (cache.path, (root: $0, repoCount: cache.repos.count)) } },
            uniquingKeysWith: { first, _ in first })
        return { [pending = opens.pending, ledger] in pending.write(to: ledger, places: places) }
    }

    /// Recognises sweeps while all their reads are still known.
    fileprivate static func noteSweeps(over root: BytePath, repoCount: Int, _ ledger: Ledger) {
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
