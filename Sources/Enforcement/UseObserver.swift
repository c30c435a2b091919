public import HubCache
public import Ledger
internal import Retention
internal import Synchronization
public import Verification

/// Collects while a cache is verified what its use is judged by, and puts into the report when everything was last used: by
/// recorded opens too, and without sweeps.
public final class UseObserver: Sendable {
    private struct Seen: Sendable {
        var folder: BytePath
        var revisions: [(commit: CommitHash, blobs: [BytePath], times: [UsageRecord.FileTimes])]
    }

    private let seen = Mutex<[Seen]>([])

    /// Makes one that saw nothing.
    public init() {}

    /// Takes a repo; from any thread.
    @Sendable public func note(_ observed: ObservedRepo) {
        guard let repo = RepoHoldings(observed) else { return }
        let found = Seen(
            folder: repo.folder,
            revisions: repo.revisions.map { revision in
                (revision.commit, revision.blobs.map { repo.blobs[$0].name }, revision.times)
            })
        seen.withLock { $0.append(found) }
    }

    /// Judges what was seen, and forgets it.
    public func judge(_ report: inout CacheReport, by ledger: Ledger, now: Timestamp) {
        let repos = seen.withLock { seen in
            defer { seen = [] }
            return seen
        }
        let remembered = RememberedCache(ledger: ledger, cache: report.path, attempts: .max, now: now)
        var records: [UsageRecord] = []
        var places: [BytePath: [CommitHash: Int]] = [:]
        for (number, repo) in repos.enumerated() {
            for revision in repo.revisions {
                places[repo.folder, default: [:]][revision.commit] = records.count
                records.append(
                    UsageRecord(
                        repo: number,
                        opens: remembered.opens(of: revision.commit, blobs: revision.blobs, in: repo.folder),
                        files: revision.times))
            }
        }
        let judgement = UsageJudgement(
            records, repoCount: report.repos.count, watchedSince: remembered.watchedSince, known: remembered.sweeps)
        for index in report.repos.indices {
            guard let known = places[report.repos[index].folder] else { continue }
            var youngest: LastUse?
            for place in report.repos[index].revisions.indices {
                let revision = report.repos[index].revisions[place]
                if let commit = revision.commit, let number = known[commit],
                    let use = judgement.revisions[number].lastUse
                {
                    report.repos[index].revisions[place].lastUse = use
                }
                guard let use = report.repos[index].revisions[place].lastUse else { continue }
                youngest = youngest.map { .younger($0, use) } ?? use
            }
            report.repos[index].lastUse = youngest ?? report.repos[index].lastUse
        }
    }
}
