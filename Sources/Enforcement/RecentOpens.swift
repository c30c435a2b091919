internal import CacheScan
internal import HubCache
internal import Ledger
internal import Retention
internal import Synchronization

/// What the ledger knows of opens right before something is removed: a loader may have come since it was planned.
final class RecentOpens: Sendable {
    /// By cache and repo folder.
    private let opens = Mutex<[BytePath: [String: [OpenedThing: RecordedOpen]]]>([:])

    /// Reads them anew.
    func read(_ ledger: Ledger, cache: BytePath) {
        let found = ledger.lastOpens(cache: cache)
        opens.withLock { $0[cache] = found }
    }

    /// Why a revision stays that was opened since a time.
    func keepers(_ repo: RepoInventory, _ commit: CommitHash?, since time: Timestamp, in cache: BytePath) -> [Kept] {
        guard let commit, let known = opens.withLock({ $0[cache]?[repo.folder.text] }) else { return [] }
        var things: [OpenedThing] = [.revision(commit)]
        for snapshot in repo.snapshots where snapshot.commit == commit {
            for file in snapshot.files {
                if case .blob(let name) = file.link { things.append(.blob(name.text)) }
            }
        }
        let isOpened = things.contains { known[$0].map { $0.time > time } ?? false }
        return isOpened ? [Kept(by: .recentUse, "it was opened after it was planned")] : []
    }
}
