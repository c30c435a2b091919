internal import CacheScan
internal import HubCache
internal import HubClient
internal import Ledger
internal import LinuxIO
internal import Removal
internal import Synchronization

// What is here already, of files and of downloads.
extension FileInstaller {
    /// The partial downloads that can be gone on with: looked up once, since a folder with many files takes its time.
    func partials() throws -> [BytePath: [UInt64]] {
        if let partials = state.withLock(\.partials) { return partials }
        var partials: [BytePath: [UInt64]] = [:]
        var empty: [BytePath: [DirectoryEntry]] = [:]
        for entry in try place.folders.openIfPresent("blobs")?.listDirectory().entries ?? [] {
            if let etag = PartialFile.etag(ofResumable: entry) {
                partials[etag, default: []].append(entry.stat.size)
            } else if case .partial(let etag, .pythonUnique) = BlobEntryName(entry.name), entry.stat.kind == .regular,
                entry.stat.size == 0, entry.stat.uid == effectiveUser(), entry.stat.linkCount == 1
            {
                empty[etag, default: []].append(entry)
            }
        }
        state.withLock { [partials, empty] in
            $0.partials = partials
            $0.emptyPartials = empty
        }
        return partials
    }

    /// Takes away what runs that were killed at their start have left. Under the blob's lock nobody is about to fill it.
    func removeEmptyPartials(of wanted: WantedFile) throws {
        _ = try partials()
        guard let entries = state.withLock({ $0.emptyPartials.removeValue(forKey: wanted.etag) }),
            let blobs = try place.folders.openIfPresent("blobs")
        else { return }
        for entry in entries {
            guard let file = try? blobs.open(entry.name, options: .keepAccessTime), let stat = try? file.stat(),
                stat.key == entry.stat.key, stat.size == 0, PartialFile.isClosed(file, entry)
            else { continue }
            try blobs.unlinkIfPresent(entry.name)
        }
    }

    /// Whether there is nothing to do for a file, as far as can be told without reading it.
    func isPresent(_ wanted: WantedFile) throws -> Bool {
        switch try place.spot(of: wanted, at: commit) {
        case .free: false
        case .file(let stat): stat.size == wanted.size && !isKnownWrong(stat, wanted)
        case .link: try SnapshotLink(place: place, commit: commit).isRight(wanted) && hasBlob(wanted)
        }
    }

    /// The same where something else may stand in the file's place.
    func isCertainlyPresent(_ wanted: WantedFile) throws -> Bool {
        do { return try isPresent(wanted) } catch let failure as RepairFailure where failure.isOccupied { return false }
    }

    /// Whether a file's content is neither in its place nor in the repo, and would be put there.
    func isLacking(_ wanted: WantedFile) throws -> Bool {
        do {
            if case .file(let stat) = try place.spot(of: wanted, at: commit) {
                // Of another length it stays as it is.
                return stat.size == wanted.size && isKnownWrong(stat, wanted)
            }
            return try !hasBlob(wanted)
        } catch let failure as RepairFailure where failure.isOccupied {
            return false
        }
    }

    private func hasBlob(_ wanted: WantedFile) throws -> Bool {
        guard let stat = try place.blob(wanted.etag).content else { return false }
        return stat.size == wanted.size && !isKnownWrong(stat, wanted)
    }

    /// Whether an earlier check found other content in this very version of a file.
    func isKnownWrong(_ stat: FileStat, _ wanted: WantedFile) -> Bool {
        let version = place.root.version(of: stat)
        let known = state.withLock(\.wrongDigests) ?? ledger.mismatchedDigests(onFilesystem: version.filesystem)
        state.withLock { $0.wrongDigests = known }
        guard let found = known.digest(of: version, algorithm: wanted.digest.algorithm) else { return false }
        return found.digest != wanted.digest
    }
}
