/// What a revision was when it was judged, so that it can be proven to be the same right before it is removed.
///
/// It covers the snapshot folder, every entry in it and what each leads to: name, link text by where it ends, device, inode,
/// size, mtime and ctime, and the names of the refs that name the commit. Access times are no part of it.
public struct SnapshotIdentity: Sendable, Hashable {
    /// FNV-1a, 64 bits, over all of it.
    public let fingerprint: UInt64

    /// Takes the identity of a snapshot as an inventory has it.
    public init(of snapshot: Snapshot, in repo: RepoInventory, store: StoreInventory) {
        var hash = Fingerprint()
        hash.add(snapshot.folder)
        for file in snapshot.files {
            hash.add(file.path)
            hash.add(file.stat)
            if case .file(let stat, let location, _) = repo.content(of: file, in: snapshot, store: store) {
                hash.add(location)
                hash.add(stat)
            }
        }
        // A ref that came or went since makes it another decision: what nobody named may be somebody's main by now.
        for name in repo.refs.filter({ $0.commit == snapshot.commit }).map(\.name).sorted() {
            hash.add("ref")
            hash.add(name)
        }
        fingerprint = hash.value
    }
}
