import CacheScan
import Enforcement
import HubCache
import InUse
import Ledger
import LinuxIO
import Verification

/// One run of the pipeline for a command: the ledger, the progress line, the way to stop.
struct VerificationRun {
    let progress = VerificationProgress()
    private let options: VerificationOptions
    private var memory = Memory.none
    private var ledger = Ledger.disabled
    /// Whether recorded opens and sweeps are to be looked at.
    private let judgesUse: Bool
    private var resolver: TargetResolver
    private let socket: String?

    /// - Parameters:
    ///   - socket: the daemon's control socket, where the command line names it.
    ///   - judgesUse: whether recorded opens and sweeps are to be looked at.
    init(_ opened: OpenedCaches, options: VerificationOptions, socket: String?, judgesUse: Bool = false) throws {
        self.options = options
        self.socket = socket
        self.judgesUse = judgesUse
        resolver = TargetResolver(opened)
        Interruption.install()
        raiseDescriptorLimit()
    }

    /// Verifies what is named, or everything.
    ///
    /// - Throws: `CommandFailure` when a target is not there, a cache cannot be read, or the run was interrupted.
    mutating func reports(of targets: [String]) throws -> [CacheReport] {
        let selected = Self.withoutRepetition(try targets.map { try resolver.resolve($0) })
        ledger = openLedger(besides: resolver.roots)
        memory = Memory(ledger)
        warnOfAccessTimes()
        let announcement = announce(selected)
        defer { announcement?.cancel() }
        if targets.isEmpty { warnOfFoldersThatAreNoCaches() }
        let line = ProgressLine(progress, isShown: Terminal.hasProgress)
        defer {
            line.end()
            while let problem = memory.takeProblem() { Terminal.complainOnce(displayText(of: problem)) }
        }
        var reports: [CacheReport] = []
        if targets.isEmpty {
            for root in resolver.roots { reports += try verify(root, .everything).map { [$0] } ?? [] }
        }
        for item in selected {
            switch item {
            case .cache(let index): reports += try verify(resolver.roots[index], .everything).map { [$0] } ?? []
            case .repo(let index, let id, let commit):
                let root = resolver.roots[index]
                guard let report = try verify(root, .repo(id, commit)) else {
                    throw CommandFailure(status: .absent, message: "no repo '\(id)' in '\(root.path.display)' any more")
                }
                if let known = reports.firstIndex(where: { $0.path == report.path }) {
                    if let same = reports[known].repos.firstIndex(where: { $0.repo == id }) {
                        // Another revision of the same repo.
                        reports[known].repos[same].add(report.repos.first?.revisions ?? [])
                        continue
                    }
                    reports[known].bytes &+= report.bytes
                    reports[known].reclaimableBytes &+= report.reclaimableBytes
                    reports[known].repos += report.repos
                } else {
                    reports.append(report)
                }
            case .folder(let folder, let id): reports.append(verifier(folder.root).verify(folder, id: id))
            }
        }
        if Interruption.cancellation.isCancelled {
            throw CommandFailure(
                status: .interrupted,
                message: "interrupted" + (options.depth == .digests ? "; digests computed so far are remembered" : ""))
        }
        return reports
    }

    /// The repos of each cache, by folder name, that somebody holds.
    func heldRepos(of reports: [CacheReport]) -> [BytePath: Set<BytePath>] {
        var held: [BytePath: Set<BytePath>] = [:]
        for report in reports {
            guard let root = resolver.roots.first(where: { $0.path == report.path }) else { continue }
            let reader = HoldReader(root: root, now: currentTime())
            if let files = report.holdFiles {
                held[report.path] = reader.heldRepos(among: files)
            } else {
                held[report.path] = Set(report.repos.map(\.folder).filter { !reader.holds(of: $0).isEmpty })
            }
        }
        return held
    }

    /// What is about to be read here is no use of it. Of plain folders no daemon counts any.
    private func announce(_ selected: [Selected]) -> Cancellation? {
        var repos: [RepoID] = []
        for item in selected {
            switch item {
            case .repo(_, let id, _): repos.append(id)
            case .cache: return AnnouncedReads.begin([], depth: options.depth, socket: socket)
            case .folder: break
            }
        }
        guard selected.isEmpty || !repos.isEmpty else { return nil }
        return AnnouncedReads.begin(repos, depth: options.depth, socket: socket)
    }

    /// Each thing once: what is named twice, or is part of something else that is named, is left out.
    private static func withoutRepetition(_ selected: [Selected]) -> [Selected] {
        var kept: [Selected] = []
        for item in selected where !kept.contains(where: { $0.covers(item) }) {
            kept.removeAll { item.covers($0) }
            kept.append(item)
        }
        return kept
    }

    /// What the environment or the policy names may be anything as well as what the command line does.
    private func warnOfFoldersThatAreNoCaches() {
        for root in resolver.roots {
            guard let hint = root.likelyCache else { continue }
            Terminal.complain("'\(root.path.display)' is no cache: \(hint)")
        }
    }

    /// Only a file's owner may read it without moving its access time.
    private func warnOfAccessTimes() {
        let user = effectiveUser()
        let moved = resolver.roots.filter { root in
            root.stat.uid != user && user != 0 && !root.filesystem.isReadOnly && !root.filesystem.isNoAccessTime
        }
        guard let root = moved.first else { return }
        Terminal.complainOnce(
            "'\(root.path.display)' belongs to uid \(root.stat.uid): reading it as uid \(user) may move access times")
    }

    private func verifier(_ root: CacheRoot) -> Verifier {
        Verifier(
            root: root, options: options, memory: memory, progress: progress, cancellation: Interruption.cancellation)
    }

    private func verify(_ root: CacheRoot, _ selection: CacheSelection) throws -> CacheReport? {
        do throws(SystemCallFailure) {
            guard judgesUse else { return try verifier(root).verify(selection) }
            let use = UseObserver()
            let report = try verifier(root).verify(selection, observe: use.note)
            guard var found = report else { return nil }
            use.judge(&found, by: ledger, now: currentTime())
            return found
        } catch {
            throw CommandFailure(
                status: error.isPermission ? .permission : .cannotRead,
                message: "cannot read the cache '\(root.path.display)': \(error.reason)")
        }
    }
}
