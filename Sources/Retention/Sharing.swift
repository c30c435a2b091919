internal import HubCache

extension CacheFacts {
    /// Another revision that holds something of what is asked about.
    public struct Sharer: Sendable, Hashable {
        /// Its place in `revisions`.
        public var revision: Int
        /// The bytes on the disk that both hold.
        public var bytes: UInt64
    }

    /// What the disk has more when all of some items are gone.
    public func freed(by items: [Item]) -> UInt64 {
        var release = storage.release()
        return items.reduce(0) { sum, item in
            switch item {
            case .revision(_, let index):
                sum.addingUpTo(revisions[index].ownBytes).addingUpTo(release.release(revisions[index].nodes))
            case .file(_, let index): sum.addingUpTo(release.release(files[index].nodes))
            }
        }
    }

    /// Which other revisions hold something of what some revisions hold: those bytes stay when these go.
    ///
    /// - Parameter revisions: places in `revisions`.
    /// - Returns: those that share the most first.
    public func sharers(of revisions: Set<Int>) -> [Sharer] {
        var held: Set<StorageGraph.NodeID> = []
        for index in revisions { storage.forEachHeld(by: self.revisions[index].nodes) { held.insert($0) } }
        return self.revisions.indices.compactMap { index -> Sharer? in
            guard !revisions.contains(index) else { return nil }
            var shared: Set<StorageGraph.NodeID> = []
            storage.forEachHeld(by: self.revisions[index].nodes) { if held.contains($0) { shared.insert($0) } }
            let bytes = shared.reduce(UInt64(0)) { $0.addingUpTo(storage.bytes(of: $1)) }
            return bytes > 0 ? Sharer(revision: index, bytes: bytes) : nil
        }.sorted { ($1.bytes, $0.revision) < ($0.bytes, $1.revision) }
    }
}
