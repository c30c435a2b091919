internal import CacheScan
internal import HubCache
internal import HubClient
internal import LinuxIO
internal import Removal

/// A payload of the shared store whose content is wrong.
struct StorePayload {
    let place: RepoPlace
    let payload: BytePath
    /// What was found wrong.
    let expected: FileStat

    /// Puts proven content in its place, by the store's own rules: under the payload's lock, by rename, with the modes that the
    /// client gives a payload. All repos that link to it have the right content then; who has it open keeps the old one.
    ///
    /// - Returns: false when it is, or may be, the content of another file, which only a link leads to the wrong way.
    /// - Throws: `RepairFailure`, `SystemCallFailure`.
    func replace(by partial: PartialFile, _ wanted: WantedFile) throws -> Bool {
        if let xetHash = wanted.xetHash, xetHash != payload { return false }
        let location = StoreInventory.location(of: payload)
        let shelf = try place.root.open(location.parent, options: [.directory, .keepAccessTime])
        guard let lock = try lockPayload(payload, in: shelf) else {
            throw RepairFailure(.inUse, "the lock of payload '\(payload.display)' is held; try again later")
        }
        defer { withExtendedLifetime(lock) {} }
        let references = try StoreReferences(root: place.root).valid(of: payload, in: shelf)
        let own = place.repo.folder.appending("blobs").appending(wanted.etag)
        guard let references, references.contains(own), references.allSatisfy({ $0.lastComponent == wanted.etag })
        else { return false }
        guard try shelf.statIfPresent(payload)?.isSameVersion(as: expected) ?? true else {
            throw RepairFailure(.inUse, "payload '\(payload.display)' is another one now; verify again")
        }
        // Who may enter the cache may read it (`_shared_blobs.py` of huggingface_hub).
        let entry = place.root.stat.permissions
        let permissions = 0o400 | (entry & 0o010 != 0 ? 0o040 : 0) | (entry & 0o001 != 0 ? 0o004 : 0) as UInt16
        try partial.publish(as: payload, in: shelf, permissions: permissions, gid: expected.gid)
        place.steps.reached(.payloadReplaced)
        try shelf.synchronize()
        try partial.synchronizeFolder()
        return true
    }
}
