internal import CacheScan
internal import HubCache
internal import LinuxIO

/// What finishing gave.
struct Finished: Sendable {
    /// Bytes of each revision's own files, by its place in the intent.
    var revisionBytes: [Int: UInt64] = [:]
    /// Bytes of each blob, with the payload that went with it.
    var blobBytes: [BytePath: UInt64] = [:]
    /// Blobs that went back because somebody links to them, or may be about to.
    var restored: Set<BytePath> = []
    var folderBytes: UInt64 = 0
    /// Whether something stays out of the way that could neither go nor go back.
    var hasLeft = false
    /// The blobs among that.
    private(set) var leftBlobs: Set<BytePath> = []

    mutating func leave(_ blob: BytePath) {
        hasLeft = true
        leftBlobs.insert(blob)
    }

    var total: UInt64 {
        revisionBytes.values.reduce(0, &+) &+ blobBytes.values.reduce(0, &+) &+ folderBytes
    }
}

// Everything that unlinks. Nothing here is reached before the decision is on the disk, and every name is looked at once more
// before it goes: it has to be what the intent says.
extension Operation {
    /// How many blobs are locked and leased at once: three descriptors each, within the 4096 that old systems allow.
    static let batch = 1024

    /// Finishes the operation for some of its revisions and for all blobs that are still parked.
    func finish(_ revisions: [Int]) throws(Abandoned) -> Finished {
        var finished = Finished()
        do throws(SystemCallFailure) {
            // Links first: a link of a client that landed among the parked ones goes back before blobs are counted.
            for index in revisions { finished.revisionBytes[index] = try unlinkSnapshot(index, &finished) }
            for index in revisions { finished.revisionBytes[index, default: 0] &+= try unlinkRefs(index) }
        } catch {
            throw .failed(error)
        }
        try unlinkBlobs(into: &finished)
        do throws(SystemCallFailure) {
            for index in revisions {
                do throws(SystemCallFailure) {
                    let bytes = try folders.unlinkWhatBelongs(
                        to: intent.revisions[index].commit, manifest: intent.revisions[index].manifest,
                        steps: context.steps)
                    finished.revisionBytes[index, default: 0] &+= bytes
                } catch {
                    // A manifest or an empty folder that stays harms nobody; what is decided is done but for that.
                    guard error.isPermission else { throw error }
                    left(error.subject, "what belongs to a removed revision may not be removed: \(error.reason)")
                }
            }
            try collectPayloads(into: &finished)
        } catch {
            throw .failed(error)
        }
        return finished
    }

    private func unlinkSnapshot(_ index: Int, _ finished: inout Finished) throws(SystemCallFailure) -> UInt64 {
        let revision = intent.revisions[index]
        let parkedName = intent.parkedName(revision: index)
        guard let folder = try openParked(parkedName) else { return 0 }
        var bytes: UInt64 = 0
        let listed = Dictionary(revision.files.map { ($0.path, $0.identity) }) { first, _ in first }
        let walk = try SnapshotWalk(of: folder)
        var hasForeign = false
        var open: (path: BytePath, box: FolderBox)?
        for file in walk.files {
            guard listed[file.path] == ParkedIdentity(file.stat), isOnOurDevice(file.stat) else {
                hasForeign = true
                continue
            }
            let parent = file.path.parent
            if open?.path != parent {
                let opened = try folder.open(
                    parent.isEmpty ? "." : parent, options: [.directory, .keepAccessTime])
                open = (parent, FolderBox(opened))
            }
            if try open?.box.descriptor.unlinkIfPresent(file.path.lastComponent) == true {
                bytes &+= file.stat.freed
                context.steps(.snapshotFileUnlinked)
            }
        }
        if hasForeign {
            let place = BytePath("snapshots").appending(revision.commit.hex)
            if try !merge(parkedName, into: place) { finished.hasLeft = true }
        } else {
            _ = try removeFolders(walk, parkedName)
        }
        // The skeleton in the snapshot's place stays, so what is given back is one set of folders.
        return walk.folders.reduce(bytes) { $0 &+ $1.stat.allocated }
    }

    private func unlinkRefs(_ index: Int) throws(SystemCallFailure) -> UInt64 {
        var bytes: UInt64 = 0
        for (number, ref) in intent.revisions[index].refs.enumerated() {
            let name = intent.parkedName(revision: index, ref: number)
            if let stat = try parked(name, ref.identity) {
                try parking.unlinkIfPresent(name)
                bytes &+= stat.freed
                context.steps(.refUnlinked)
            }
            // `refs/refs/pr` of the last `refs/pr/3` says nothing any more.
            var folder = BytePath("refs").appending(ref.name).parent
            while folder != "refs", !folder.isEmpty {
                guard let parent = try folders.openIfPresent(folder.parent) else { break }
                guard try parent.removeFolderIfEmpty(folder.lastComponent) else { break }
                context.steps(.folderRemoved)
                folder = folder.parent
            }
        }
        return bytes
    }

    private func unlinkBlobs(into finished: inout Finished) throws(Abandoned) {
        var rest = intent.blobs[...]
        while !rest.isEmpty {
            let batch = rest.prefix(Self.batch)
            rest = rest.dropFirst(Self.batch)
            try unlinkBlobs(batch, into: &finished)
        }
    }

    private func unlinkBlobs(_ batch: ArraySlice<Intent.Blob>, into finished: inout Finished) throws(Abandoned) {
        do throws(SystemCallFailure) {
            // What is left of a run before, or of the one who watches.
            var present: [(Intent.Blob, FileStat)] = []
            for blob in batch {
                if let stat = try parked(intent.parkedName(blob: blob.name), blob.identity) {
                    present.append((blob, stat))
                }
            }
            if present.isEmpty { return }
            let held: HeldLocks?
            do throws(Obstacle) { held = try locks.take(Set(present.map(\.0.name))) } catch { held = nil }
            guard let held, let repo = try context.scan(folders), repo.blindSpot == nil else {
                // Somebody is at one of them, or it cannot be seen who links to them: back with all, which harms nobody.
                for (blob, _) in present {
                    if try restore(blob: blob.name) == .left {
                        finished.leave(blob.name)
                    } else {
                        finished.restored.insert(blob.name)
                    }
                }
                return
            }
            defer { withExtendedLifetime(held) {} }
            let linked = repo.linkedBlobs(hops: hops)
            for (blob, stat) in present {
                let name = intent.parkedName(blob: blob.name)
                if linked.contains(blob.name) {
                    switch try restore(blob: blob.name) {
                    case .done:
                        finished.restored.insert(blob.name)
                        context.event(.restored(folder: folders.folder, blob: blob.name))
                    // A client has fetched it anew.
                    case .replaced: finished.blobBytes[blob.name] = stat.freed
                    case .left: finished.leave(blob.name)
                    case .absent: break
                    }
                    continue
                }
                if try parking.unlinkIfPresent(name) {
                    finished.blobBytes[blob.name] = stat.freed
                    context.steps(.blobUnlinked)
                }
            }
        } catch {
            throw .failed(error)
        }
    }

    /// Lets the store have payloads that were kept for the case of undoing.
    private func collectPayloads(into finished: inout Finished) throws(SystemCallFailure) {
        try restoreReferencesOfWhatStayed()
        for payload in intent.payloads {
            let name = intent.parkedName(payload: payload.hash)
            guard let stat = try parked(name, payload.identity) else { continue }
            // In this order: until its second name goes, whoever comes after a crash still knows of the payload.
            let collected = try store.collect(payload.hash, expected: payload.identity) { true }
            if finished.hasLeft, try isNeeded(payload) { continue }
            // Other operations may have names of it, too: its bytes go with the last one.
            let freed = try parking.statIfPresent(name)?.freed ?? 0
            try parking.unlinkIfPresent(name)
            noteLinkChange(of: payload, before: stat)
            context.steps(.payloadLinkUnlinked)
            guard case .removed(let bytes) = collected else { continue }
            let first = intent.blobs.first { $0.payload?.hash == payload.hash }?.name ?? payload.hash
            finished.blobBytes[first, default: 0] &+= bytes &+ freed
        }
    }

    private func restoreReferencesOfWhatStayed() throws(SystemCallFailure) {
        guard let blobsFolder = try folders.openIfPresent("blobs") else { return }
        for blob in intent.blobs {
            guard let payload = blob.payload, try blobsFolder.statIfPresent(blob.name)?.kind == .symlink else {
                continue
            }
            _ = store.ensureReference(from: blob.name, to: payload.hash)
        }
    }

    /// Takes the repo's own folders away as far as they are empty, when nothing is left in it.
    func tidyRepo(into finished: inout Finished) throws(SystemCallFailure) {
        guard let repo = try context.scan(folders), repo.snapshots.isEmpty, repo.refs.isEmpty,
            repo.partials.isEmpty, repo.blobs.isEmpty, repo.manifests.isEmpty, repo.linkedFolders.isEmpty,
            repo.blindSpot == nil
        else { return }
        for name in ["refs", "trees", ".no_exist"] as [BytePath] {
            if try folders.repo.removeFolderIfEmpty(name) { context.steps(.folderRemoved) }
        }
        // A client makes `blobs` and then its snapshot's folder before it takes its first lock: where there is one of
        // these, `blobs` is about to be used.
        if try folders.repo.removeFolderIfEmpty("snapshots") {
            context.steps(.folderRemoved)
            if try folders.repo.removeFolderIfEmpty("blobs") { context.steps(.folderRemoved) }
        }
    }
}

/// An open folder that can be kept in a variable.
final class FolderBox: Sendable {
    let descriptor: OwnedDescriptor

    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}
