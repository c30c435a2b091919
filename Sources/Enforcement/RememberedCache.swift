internal import HubCache
internal import Ledger
internal import Retention

/// What the ledger remembers of one cache that a plan needs, read at once.
struct RememberedCache: Sendable {
    /// Recorded opens by repo folder and blob.
    var opens: [BytePath: [BytePath: [Timestamp]]] = [:]
    /// Recorded opens by repo folder and revision, of files that are no blobs.
    var openedRevisions: [BytePath: [CommitHash: [Timestamp]]] = [:]
    /// Sweeps that were recognised while they went on.
    var sweeps: [Sweep] = []
    /// Commits by repo folder that a ref named once, and when it moved on.
    var superseded: [BytePath: [CommitHash: Timestamp]] = [:]
    /// Commits by repo folder that were complete once.
    var complete: [BytePath: Set<CommitHash>] = [:]
    /// Commits by repo folder whose repair was tried as often as it may be.
    var exhaustedRepairs: [BytePath: Set<CommitHash>] = [:]
    /// What the Hub said lately.
    var answers: [HubQuestion: HubStanding] = [:]
    /// Since when the cache's refs are noted.
    var knownSince: Timestamp?
    /// Whether a repo had partial downloads once.
    var brokenDownloads: @Sendable (BytePath) -> Bool
    /// Since when opens were recorded without a gap.
    var watchedSince: Timestamp?

    /// An answer of the Hub decides for this long.
    static let answerLifetime: Int64 = 7 * 86_400 * 1_000_000_000

    /// Reads what the ledger has of a cache.
    ///
    /// - Parameters:
    ///   - attempts: so many failed repairs of one file exhaust a revision's.
    init(ledger: Ledger, cache: BytePath, attempts: Int, now: Timestamp) {
        brokenDownloads = { !ledger.seenPartials(cache: cache, repo: $0.text).isEmpty }
        for (repo, recorded) in ledger.lastOpens(cache: cache) {
            for (thing, open) in recorded { note([open.time], of: thing, in: BytePath(repo)) }
        }
        for (repo, recorded) in ledger.earlierOpens(cache: cache) {
            for (thing, times) in recorded { note(times, of: thing, in: BytePath(repo)) }
        }
        sweeps = ledger.sweeps(cache: cache).map { Sweep(first: $0.first, last: $0.last, repos: $0.repos) }
        for (repo, commits) in ledger.supersededCommits(cache: cache) { superseded[BytePath(repo)] = commits }
        for (repo, commits) in ledger.completeOnce(cache: cache) { complete[BytePath(repo)] = commits }
        for (repo, files) in ledger.repairAttempts(cache: cache) {
            exhaustedRepairs[BytePath(repo)] = Set(files.filter { $0.count >= attempts }.map(\.commit))
        }
        answers = Self.answers(in: ledger, since: Timestamp(nanoseconds: now.nanoseconds &- Self.answerLifetime))
        watchedSince = ledger.watchedSince(cache: cache)
        knownSince = ledger.knownSince(cache: cache)
    }

    /// What the Hub said since a time.
    static func answers(in ledger: Ledger, since: Timestamp) -> [HubQuestion: HubStanding] {
        var answers: [HubQuestion: HubStanding] = [:]
        for (_, repoAnswers) in ledger.hubAnswers(askedSince: since) {
            for answer in repoAnswers {
                guard let id = RepoID(folder: BytePath(answer.repo)) else { continue }
                let question = HubQuestion(
                    repo: id, commit: answer.commit, path: BytePath(answer.file), etag: BytePath(answer.etag))
                switch answer.verdict {
                case .confirmed: answers[question] = .confirmed
                case .refused: answers[question] = .refused(reason: answer.reason)
                case .none: break
                }
            }
        }
        return answers
    }

    private mutating func note(_ times: [Timestamp], of thing: OpenedThing, in folder: BytePath) {
        switch thing {
        case .blob(let name): opens[folder, default: [:]][BytePath(name), default: []] += times
        case .revision(let commit): openedRevisions[folder, default: [:]][commit, default: []] += times
        }
    }

    /// The recorded opens of a revision: of any blob that it links to, and of itself.
    func opens(of commit: CommitHash, blobs: [BytePath], in folder: BytePath) -> [Timestamp] {
        var times: [Timestamp] = []
        if let recorded = opens[folder] { times = blobs.flatMap { recorded[$0] ?? [] } }
        return times + (openedRevisions[folder]?[commit] ?? [])
    }

    /// What the Hub said to a question.
    func standing(of question: HubQuestion) -> HubStanding { answers[question] ?? .unasked }
}
