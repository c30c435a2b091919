internal import HubCache
internal import Synchronization

/// Files that several names lead to and that this process itself renamed or linked since they were planned: their change
/// time is ours and no sign of anybody else.
///
/// Without it the removal of one repo's revision would make every plan void that shares a payload or an inode with it.
final class TouchedFiles: Sendable {
    private struct Touched: Sendable {
        var planned: FileStat
        var left: FileStat
    }

    private let files = Mutex<[FileKey: Touched]>([:])

    /// Notes that a change of ours made `before` into `after`.
    func note(before: FileStat, after: FileStat) {
        guard before.key == after.key, before.size == after.size, before.modified == after.modified else { return }
        files.withLock { files in
            let known = files[before.key]
            // Somebody else changed it in between: that change counts.
            let planned = known.map { $0.left.isSameVersion(as: before) ? $0.planned : before } ?? before
            files[before.key] = Touched(planned: planned, left: after)
        }
    }

    /// What `stat` would say had we done nothing.
    func asPlanned(_ stat: FileStat) -> FileStat {
        files.withLock { files in
            guard let touched = files[stat.key], touched.left.isSameVersion(as: stat) else { return stat }
            return touched.planned
        }
    }

    /// An inventory as it would be had we done nothing.
    func asPlanned(_ repo: RepoInventory) -> RepoInventory {
        if files.withLock({ $0.isEmpty }) { return repo }
        var repo = repo
        for (name, blob) in repo.blobs { repo.blobs[name]?.stat = asPlanned(blob.stat) }
        for index in repo.snapshots.indices {
            for file in repo.snapshots[index].files.indices {
                repo.snapshots[index].files[file].stat = asPlanned(repo.snapshots[index].files[file].stat)
            }
        }
        return repo
    }

    /// A store as it would be had we done nothing.
    func asPlanned(_ store: StoreInventory) -> StoreInventory {
        if files.withLock({ $0.isEmpty }) { return store }
        var store = store
        for (name, payload) in store.payloads { store.payloads[name]?.stat = asPlanned(payload.stat) }
        return store
    }
}
