internal import CacheScan
internal import HubCache
internal import HubClient
internal import LinuxIO
internal import Repair
internal import SystemdSupport
internal import Verification

/// What a download that somebody asked for needs, as plain values for its thread.
struct DownloadOrder: Sendable {
    var ground: TransferGround
    var request: FetchRequest
    /// Whether it may fetch what is not for everybody.
    var mayBeGated: Bool
    /// Whether this process is at work in the repo itself, so that held locks say nothing of others.
    var isBusyByUs: Bool

    private var looker: Looker { ground.looker }

    /// Somebody waits for the answer meanwhile: the Hub is not asked as often as for the content.
    private static let attempts = 2

    /// Finds out whether there is such a revision, and whether it may be fetched.
    func prepare() -> Result<CommitHash, TransferRefusal> {
        do {
            let root = try looker.openRoot()
            guard looker.mayChange(root) else {
                return .failure(
                    TransferRefusal("not_allowed", "nothing may be written to this cache by the daemon's user"))
            }
            let info = try ground.client(attempts: Self.attempts).repoInfo(
                request.repo, revision: request.revision, cancellation: ground.cancellation)
            if !mayBeGated, info.gating != .open || info.isPrivate {
                return .failure(
                    TransferRefusal(
                        "not_allowed",
                        "\(request.repo) is \(info.isPrivate ? "private" : "gated"): give a token of your own in 'hf_token', or "
                            + "set 'control: allow-fetch' in the policy"))
            }
            if !isBusyByUs, try looker.repo(request.repo.folder, depth: .structure).isLive {
                return .failure(
                    TransferRefusal(
                        "already_downloading",
                        "another process is at work in \(request.repo): ask again when it is done", retryAfter: 10))
            }
            return .success(info.commit)
        } catch {
            return .failure(Self.refusal(error, looker))
        }
    }

    private static func refusal(_ error: any Error, _ looker: Looker) -> TransferRefusal {
        switch error {
        case let failure as HubFailure: TransferRefusal(failure)
        case let failure as RepairFailure: TransferRefusal(failure)
        case let failure as SystemCallFailure:
            TransferRefusal("unavailable", "\(looker.path.display) cannot be read: \(failure.reason)")
        default: TransferRefusal("unavailable", "\(error)")
        }
    }

    /// Fetches it.
    ///
    /// - Parameters:
    ///   - accepted: is told once nothing speaks against it any more.
    ///   - say: is told of what others do.
    func run(
        accepted: (AcceptedFetch) -> Void, say: @escaping @Sendable (JournalEvent) -> Void
    ) -> DownloadFindings {
        let root: CacheRoot
        do {
            root = try looker.openRoot()
        } catch {
            return DownloadFindings(result: .failure(Self.refusal(error, looker)))
        }
        var settings = ground.settings(on: root, say)
        let traces = FetchTraces(of: request.repo, in: root, settings: settings, ledger: looker.ledger)
        var findings = DownloadFindings(result: .failure(.cancelled), traces: traces)
        do {
            settings.event = { event in
                traces.note(event)
                guard case .downloadJoined(let file) = event else { return }
                say(
                    JournalEvent(
                        .downloadJoined, "\(file.repo): \(file.path.display) is being fetched by another process",
                        EventFields(
                            cache: root.path, repo: file.repo.description, revision: file.commit, path: file.path,
                            blob: file.etag)))
            }
            let fetcher = Fetcher(
                root: root, others: ground.otherRoots, settings: settings, ledger: looker.ledger,
                progress: ground.progress, cancellation: ground.cancellation)
            let client = try ground.client()
            var wasAccepted = false
            defer { findings.wasAccepted = wasAccepted }
            let outcome = try fetcher.fetch(request, from: client) { fetch in
                traces.begin(fetch.commit)
                wasAccepted = true
                accepted(fetch)
            }
            for warning in outcome.warnings {
                say(
                    JournalEvent(
                        .downloadFailed, priority: .warning, "\(request.repo): \(displayText(of: warning))",
                        EventFields(
                            cache: root.path, repo: request.repo.description, revision: outcome.commit,
                            code: "ref-not-set")))
            }
            // The rest is here; what stands in a file's place stays, and the revision is not what was asked for.
            let left = outcome.left.min { $0.key < $1.key }
            findings.result = left.map { .failure(TransferRefusal($0.value)) } ?? .success(outcome.bytesFetched)
        } catch {
            findings.result = .failure(Self.refusal(error, looker))
        }
        // What was refused has made a folder at most.
        if !findings.wasAccepted { traces.removeRest() }
        findings.look = try? looker.repo(request.repo.folder, depth: .structure)
        return findings
    }

    /// Takes away what a cancelled download has left, and what came with it of a revision that was not here before.
    ///
    /// - Returns: why something stays; nil when nothing does.
    func cleanUp(_ traces: FetchTraces, _ removal: PassOrder, say: (JournalEvent) -> Void) -> (String?, RepoLook?) {
        traces.removePartials()
        var left: String?
        if traces.hasNewRevision, traces.hasFilesOfOthers {
            left = "files of the revision that others brought: remove it by name once nobody wants them"
        } else if traces.hasNewRevision, let commit = traces.newCommit {
            // By name, never all of the repo: others may have brought another revision meanwhile.
            switch removal.remove(request.repo, commit, say: say) {
            case .removed, .absent, .cancelled: break
            case .kept(let reasons): left = reasons.map { "\($0.by.rawValue) (\($0.detail))" }.joined(separator: ", ")
            case .refused(let reason), .failed(let reason): left = reason
            case nil: left = "the daemon is stopping"
            }
        }
        traces.removeRest()
        return (left, try? looker.repo(request.repo.folder, depth: .structure))
    }
}

/// What a download came to.
struct DownloadFindings: Sendable {
    /// Bytes that came over the network.
    var result: Result<UInt64, TransferRefusal>
    var traces: FetchTraces?
    var wasAccepted = false
    /// What is there now.
    var look: RepoLook?
}
