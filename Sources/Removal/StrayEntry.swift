internal import CacheScan
internal import HubCache
internal import LinuxIO

/// Something in a repo's `.hfjanitor` whose operation has no intent (any more): versions before this one removed the intent
/// of what could not go back.
struct StrayEntry {
    let context: RemovalContext
    let folders: RepoFolders
    let entry: DirectoryEntry

    private var operation: BytePath { BytePath(bytes: entry.name.bytes.prefix(16)) }
    private var mark: UInt8? { entry.name.bytes.dropFirst(16).first }
    /// What the operation had called it: an etag or a Xet hash.
    private var name: BytePath { BytePath(bytes: entry.name.bytes.dropFirst(17)) }

    /// Whether its name is one that an operation gives.
    var isOurs: Bool {
        guard Intent.isOperationName(operation) else { return false }
        return mark == nil || (mark.map { Array(".-@+".utf8).contains($0) } == true && !name.isEmpty)
    }

    /// Whether its operation began after the folder was listed: an intent is there before anything else is.
    func isUnderWay(in parking: borrowing OwnedDescriptor) -> Bool {
        for suffix in [".draft", ".intent"] {
            do throws(SystemCallFailure) {
                let name = BytePath(bytes: operation.bytes + Array(suffix.utf8))
                if try parking.statIfPresent(name) != nil { return true }
            } catch {
                return true
            }
        }
        return false
    }

    /// Takes it away if it is proven that nothing is lost with it.
    ///
    /// - Returns: whether it is gone.
    func collect(from parking: borrowing OwnedDescriptor) -> Bool {
        guard isOurs, let stat = try? parking.statIfPresent(entry.name) else { return false }
        guard stat.uid == effectiveUser(), stat.key.device == folders.stat.key.device, isSuperfluous(stat) else {
            return false
        }
        let location = folders.folder.appending(Intent.parkingFolder).appending(entry.name)
        let (answer, lease) = context.inUse.hold(
            FileInQuestion(location: location, linked: (try? context.scan(folders))?.linkedFolders ?? [], stat: stat))
        defer { withExtendedLifetime(lease) {} }
        if answer == .taken { return false }
        return (try? parking.unlinkIfPresent(entry.name)) == true
    }

    private func isSuperfluous(_ stat: FileStat) -> Bool {
        switch mark {
        // A second name: the content has another one.
        case UInt8(ascii: "+"): return stat.kind == .regular && name.isHex64 && stat.linkCount > 1
        // A blob that is back, be it as a link.
        case UInt8(ascii: "."):
            guard stat.kind == .regular || stat.kind == .symlink, let repo = try? context.scan(folders),
                case .file(let end, _, _) = repo.content(ofBlob: name, store: context.store(of: repo))
            else { return false }
            return stat.kind == .symlink || end.size == stat.size
        default: return false
        }
    }
}
