internal import CacheScan
internal import HubCache
internal import LinuxIO

/// Removes single files that are in no repo.
struct Leftovers {
    let context: RemovalContext

    func remove(_ item: RemovalItem) -> RemovalResult {
        let nowhere = RepoInventory(folder: .empty, id: nil, stat: context.root.stat)
        guard context.root.stat.uid == effectiveUser() else {
            return .failed(
                RemovalFailure(
                    what: "the cache belongs to uid \(context.root.stat.uid)",
                    errno: SystemCallFailure.notPermittedNumber, remedy: "run it as that user"))
        }
        let kept = context.reproof(nowhere, nil, location(of: item))
        if !kept.isEmpty { return .kept(kept) }
        do throws(SystemCallFailure) {
            switch item {
            case .rootTemporary(let name, let stat): return try removeTemporary(name, stat, nowhere)
            case .payload(let name, let stat): return try removePayload(name, stat, nowhere)
            case .revision, .partial, .orphanBlob:
                return .failed(
                    RemovalFailure(
                        what: "an item of a repo was asked for without its repo",
                        errno: SystemCallFailure.invalidNumber, remedy: "report this"))
            }
        } catch {
            return .failed(RemovalFailure(error, in: "."))
        }
    }

    private func location(of item: RemovalItem) -> BytePath? {
        switch item {
        case .rootTemporary(let name, _): name
        case .payload(let name, _): StoreInventory.location(of: name)
        case .revision, .partial, .orphanBlob: nil
        }
    }

    private func removeTemporary(_ name: BytePath, _ planned: FileStat, _ nowhere: RepoInventory)
        throws(SystemCallFailure) -> RemovalResult
    {
        guard RootEntryName(name) == .oldTemporary else {
            return .kept([Kept(by: .foreignEntry, "it is not named as a temporary download")])
        }
        let root = try context.root.open(.empty, options: [.directory, .keepAccessTime])
        guard let now = try root.statIfPresent(name) else { return .removed(bytes: 0) }
        guard now.kind == .regular, now.uid == context.root.stat.uid else {
            return .kept([Kept(by: .foreignEntry, "it is not a file of the cache's owner")])
        }
        guard now.isSameVersion(as: planned) else {
            return .kept([Kept(by: .minAge, "it changed since it was planned")])
        }
        let (answer, lease) = context.inUse.hold(FileInQuestion(location: name, linked: [], stat: now))
        defer { withExtendedLifetime(lease) {} }
        switch answer {
        case .free: break
        case .taken: return .kept([Kept(by: .open, "a process has it open")])
        case .unknown(let reason):
            if !context.assumesUnused(nowhere, nil) {
                return .kept([Kept(by: .cannotTell, "it may be in use: \(displayText(of: reason))")])
            }
        }
        try root.unlinkIfPresent(name)
        context.steps(.partialUnlinked)
        return .removed(bytes: now.freed)
    }

    private func removePayload(_ name: BytePath, _ planned: FileStat, _ nowhere: RepoInventory)
        throws(SystemCallFailure) -> RemovalResult
    {
        guard name.isHex64 else { return .kept([Kept(by: .foreignEntry, "it is not named as a payload")]) }
        let collected = try SharedStore(context: context, folders: nil)
            .collect(name, expected: ParkedIdentity(planned)) { context.assumesUnused(nowhere, nil) }
        switch collected {
        case .removed(let bytes): return .removed(bytes: bytes)
        case .stays(let kept): return .kept([kept])
        }
    }
}
