/// What a revision was when it was judged, so that it can be proven to be the same right before it is removed.
///
/// It covers the snapshot folder, every entry in it and what each leads to: name, link text by where it ends, device, inode,
/// size, mtime and ctime. Access times are no part of it.
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
        fingerprint = hash.value
    }
}

private struct Fingerprint {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }

    mutating func add(_ number: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) { add(UInt8(truncatingIfNeeded: number >> UInt64(shift))) }
    }

    mutating func add(_ path: BytePath) {
        add(UInt64(path.bytes.count))
        for byte in path.bytes { add(byte) }
    }

    mutating func add(_ stat: FileStat) {
        add(stat.key.device)
        add(stat.key.inode)
        add(stat.kind.rawValue)
        add(stat.size)
        add(UInt64(bitPattern: stat.modified.nanoseconds))
        add(UInt64(bitPattern: stat.changed.nanoseconds))
    }
}
