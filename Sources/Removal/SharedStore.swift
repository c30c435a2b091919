internal import CacheScan
package import HubCache
package import LinuxIO

/// The store that all repos of a cache share, by its own rules (`_shared_blobs.py` of huggingface_hub): a payload goes only
/// when its manifest is readable and none of its lines names a link that leads to it, all of it under the payload's lock.
///
/// Nothing here waits for a repo's lock.
struct SharedStore: Sendable {
    let context: RemovalContext
    /// The repo on whose behalf; nil for payloads that nobody links to.
    let folders: RepoFolders?

    private var references: StoreReferences { StoreReferences(root: context.root) }

    /// What a collection gave.
    enum Collected: Sendable, Hashable {
        /// It is gone, or was.
        case removed(bytes: UInt64)
        /// It stays: somebody links to it, or that cannot be told.
        case stays(Kept)
    }

    /// Collects a payload if nobody links to it any more.
    ///
    /// - Parameter expected: what it has to be, if that is known.
    func collect(_ payload: BytePath, expected: ParkedIdentity?, assumesUnused: () -> Bool)
        throws(SystemCallFailure) -> Collected
    {
        let location = StoreInventory.location(of: payload)
        guard CacheScan(root: context.root).hasStore(), let shelf = try references.openIfPresent(location.parent) else {
            return .removed(bytes: 0)
        }
        // No manifest: nothing to collect by, and no lock is made for it.
        guard try shelf.statIfPresent(suffixed(payload, ".refs"))?.kind == .regular else {
            guard try shelf.statIfPresent(payload) != nil else { return .removed(bytes: 0) }
            return .stays(Kept(by: .cannotTell, "the payload has no manifest of who links to it"))
        }
        guard let lock = try lockPayload(payload, in: shelf) else {
            return .stays(Kept(by: .lock, "the lock of payload '\(payload.display)' is held"))
        }
        defer { withExtendedLifetime(lock) {} }
        guard let lines = try references.listed(of: payload, in: shelf) else {
            return .stays(Kept(by: .cannotTell, "the manifest of payload '\(payload.display)' cannot be read"))
        }
        var valid = lines.filter { references.isValid($0, location) }
        if valid.isEmpty { valid = try unlistedReferences(besides: lines, location) }
        if !valid.isEmpty {
            if valid != lines { try writeManifest(valid, of: payload, in: shelf) }
            return .stays(Kept(by: .foreignEntry, "'\(valid[0].display)' links to the payload"))
        }
        return try unlink(payload, in: shelf, at: location, expected: expected, assumesUnused: assumesUnused)
    }

    /// Blobs that link to a payload and that its manifest does not name: of a repo folder that was copied or renamed.
    ///
    /// By the store's own rule they do not count; but its content is theirs too, and under the same name, since both are named
    /// by it.
    private func unlistedReferences(besides lines: [BytePath], _ location: BytePath) throws(SystemCallFailure)
        -> [BytePath]
    {
        let names = Set(lines.map(\.lastComponent))
        let root = try context.root.open(.empty, options: [.directory, .keepAccessTime])
        var found: [BytePath] = []
        for entry in try root.listDirectory().entries where RepoID(folder: entry.name) != nil {
            found += names.map { entry.name.appending("blobs").appending($0) }
                .filter { references.isValid($0, location) }
        }
        return found.sorted()
    }

    private func unlink(
        _ payload: BytePath, in shelf: borrowing OwnedDescriptor, at location: BytePath, expected: ParkedIdentity?,
        assumesUnused: () -> Bool
    ) throws(SystemCallFailure) -> Collected {
        var bytes: UInt64 = 0
        if let stat = try shelf.statIfPresent(payload) {
            guard stat.kind == .regular, stat.uid == context.root.stat.uid else {
                return .stays(Kept(by: .foreignEntry, "the payload is not a file of the cache's owner"))
            }
            if let expected, ParkedIdentity(stat) != expected {
                return .stays(Kept(by: .minAge, "the payload is another one now"))
            }
            let (answer, lease) = context.inUse.hold(FileInQuestion(location: location, linked: [], stat: stat))
            defer { withExtendedLifetime(lease) {} }
            switch answer {
            case .free: break
            case .taken: return .stays(Kept(by: .open, "a process has the payload open"))
            case .unknown(let reason):
                if !assumesUnused() {
                    return .stays(Kept(by: .cannotTell, "the payload may be in use: \(displayText(of: reason))"))
                }
            }
            try shelf.unlinkIfPresent(payload)
            bytes = stat.freed
            context.steps(.payloadUnlinked)
        }
        try shelf.unlinkIfPresent(suffixed(payload, ".refs"))
        context.steps(.storeManifestUnlinked)
        return .removed(bytes: bytes)
    }

    /// Makes sure that the manifest names a blob whose link is back in its place: a collection in between has dropped it.
    ///
    /// - Returns: false when that could not be done, so that the payload may be collected by others.
    func ensureReference(from blob: BytePath, to payload: BytePath) -> Bool {
        guard let folders else { return false }
        let line = folders.folder.appending("blobs").appending(blob)
        do throws(SystemCallFailure) {
            let location = StoreInventory.location(of: payload)
            guard let shelf = try references.openIfPresent(location.parent),
                let lock = try lockPayload(payload, in: shelf)
            else { return false }
            defer { withExtendedLifetime(lock) {} }
            // It was gone before the link was: nothing here can bring it back.
            guard try shelf.statIfPresent(payload) != nil else { return false }
            guard try shelf.statIfPresent(suffixed(payload, ".refs")) != nil else { return true }
            guard let lines = try references.listed(of: payload, in: shelf) else { return false }
            if lines.contains(line) { return true }
            try writeManifest(lines + [line], of: payload, in: shelf)
            return true
        } catch {
            return false
        }
    }

    private func writeManifest(_ lines: [BytePath], of payload: BytePath, in shelf: borrowing OwnedDescriptor)
        throws(SystemCallFailure)
    {
        let name = suffixed(payload, ".refs")
        let temporary = suffixed(name, "." + randomDigits() + ".tmp")
        do throws(SystemCallFailure) {
            let file = try shelf.createFile(temporary, permissions: 0o666)
            try file.setPermissions(0o666)
            try file.write(lines.flatMap { $0.bytes + [0x0a] })
            try file.synchronize()
            try shelf.rename(temporary, to: shelf, name, .replace)
        } catch {
            _ = try? shelf.unlinkIfPresent(temporary)
            throw error
        }
        context.steps(.storeManifestWritten)
    }

    private func suffixed(_ name: BytePath, _ suffix: some StringProtocol) -> BytePath { name.suffixed(suffix) }
}

extension BytePath {
    func suffixed(_ suffix: some StringProtocol) -> BytePath {
        BytePath(bytes: bytes + Array(suffix.utf8))
    }
}

/// Takes the lock of a payload of the shared store. Waits a second at most.
///
/// - Parameter shelf: the folder that the payload is in.
/// - Returns: nil while somebody else holds it.
package func lockPayload(_ payload: BytePath, in shelf: borrowing OwnedDescriptor) throws(SystemCallFailure)
    -> HeldLockFile?
{
    // Where flock is missing the clients use the existence of this file.
    if try shelf.statIfPresent(payload.suffixed(".lock.soft")) != nil { return nil }
    let name = payload.suffixed(".lock")
    let deadline = monotonicNanoseconds() + 1_000_000_000
    while true {
        let isNew = try shelf.statIfPresent(name) == nil
        let file = try shelf.openLockFile(name)
        if isNew { try file.setPermissions(0o666) }
        let stat = try file.stat()
        if try file.tryLock() == .locked, shelf.isStill(name, file) { return HeldLockFile(file, key: stat.key) }
        if monotonicNanoseconds() >= deadline { return nil }
        sleepMilliseconds(10)
    }
}
