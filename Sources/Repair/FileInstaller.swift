internal import CacheScan
internal import Digests
internal import HubCache
internal import HubClient
internal import Ledger
internal import LinuxIO
internal import Removal
internal import Synchronization

/// Brings files of one revision into one repo, each by the cheapest way that is right, under the locks of the clients.
///
/// A blob gets its name only when its content is proven. Killed at any point, there is either a partial download, which the next
/// run goes on with, or the right file. Several threads may bring in files at once.
final class FileInstaller: Sendable {
    let place: RepoPlace
    let commit: CommitHash
    let settings: RepairSettings
    let twins: LocalTwins
    let progress: TransferProgress
    /// Who asked for the files can stop it, and the first failure does.
    let cancellation: Cancellation
    /// Whether what is new gets no link.
    let keepsFiles: Bool
    let ledger: Ledger
    private let space: SpaceGuard
    let state = Mutex<State>(State())

    struct State {
        /// Held from the first transfer to the end of the job.
        var slot: DownloadSlots.Slot?
        var bytesFetched: UInt64 = 0
        /// What new blobs look like, once that was looked up.
        var model: (permissions: UInt16, gid: UInt32)?
        /// The blobs that had partial downloads when this was looked up, and how much of them.
        var partials: [BytePath: [UInt64]]?
        /// Those with nothing in them, which nobody goes on with.
        var emptyPartials: [BytePath: [DirectoryEntry]] = [:]
        /// The digests that an earlier check found wrong, once they were looked up.
        var wrongDigests: RememberedDigests?
        /// What has new names, and is not synced yet.
        var changedFolders: Set<BytePath> = []
    }

    /// Bytes that came over the network.
    var bytesFetched: UInt64 { state.withLock(\.bytesFetched) }

    /// - Parameters:
    ///   - files: the revision's files as far as they are known, which tell how it was written.
    ///   - ledger: remembers what an earlier check found wrong.
    init(
        place: RepoPlace, commit: CommitHash, files: [WantedFile] = [], settings: RepairSettings, twins: LocalTwins,
        ledger: Ledger = .disabled, progress: TransferProgress, cancellation: Cancellation
    ) {
        self.place = place
        self.commit = commit
        self.settings = settings
        self.ledger = ledger
        keepsFiles = !settings.makesLinks || place.keepsFiles(commit, of: files)
        self.twins = twins
        self.progress = progress
        self.cancellation = Cancellation(within: cancellation)
        space = SpaceGuard(place: place, settings: settings)
    }

    /// Ends what runs.
    func stop() { cancellation.cancel() }

    /// What is done for a file.
    enum Care {
        /// A file of the right length is taken for right, as the clients do: for fetching.
        case length
        /// A file is right when its digest is: for repair.
        case digest
        /// The same, and what is here is known to be damaged and nobody's work: it may be replaced whatever its length.
        case damage
    }

    /// Makes sure that a file is here and linked.
    ///
    /// When it returns, the content is on the disk and has its name. `synchronizeFolders` sees to it that the names stay.
    ///
    /// - Parameter hub: where to get what is not on this machine; nil for nowhere.
    /// - Returns: how; `present` when nothing was done.
    /// - Throws: `RepairFailure`.
    func install(_ wanted: WantedFile, _ care: Care, from hub: HubClient?) throws(RepairFailure) -> RepairMeans {
        progress.begin(file: wanted.path)
        // Whoever brought it, it needs no room any more.
        defer { space.release(wanted.etag) }
        do {
            let means = try brought(wanted, care, hub)
            settings.event(.installed(fileOfRepo(wanted), means))
            progress.finish(file: wanted.path, bytes: wanted.size, wasTransferred: means == .fetched)
            // What took long to fetch shall not be lost with the names of what comes after it.
            if wanted.size >= Self.longSize { try synchronizeFolders() }
            return means
        } catch {
            progress.giveUp(file: wanted.path)
            let failure = RepairFailure(error, at: place.repo.folder.appending("blobs").appending(wanted.etag).display)
            // What was wrong is gone, and still wanted.
            if care != .length, failure.code != .downloadCancelled {
                ledger.notePartials(
                    cache: place.root.path, repo: place.repo.folder.text, etags: [wanted.etag.text], at: currentTime())
            }
            throw failure
        }
    }

    private static let longSize: UInt64 = 16 << 20

    /// Waits until the names of what came are on the disk: those of blobs, then those that lead to them.
    ///
    /// Until then a crash of the machine may take a name away again, and leave a partial download or a link to nothing, but never
    /// a wrong file: content is synced before it has a name.
    func synchronizeFolders() throws {
        let changed = state.withLock { state in
            defer { state.changedFolders = [] }
            return state.changedFolders
        }
        for path in Set(changed.flatMap(\.withFoldersAbove)).sorted() {
            try place.folders.openIfPresent(path)?.synchronize()
            place.steps.reached(path == "blobs" ? .blobsSynced : .linkFolderSynced)
        }
    }

    private func note(changed folder: BytePath) { state.withLock { _ = $0.changedFolders.insert(folder) } }

    /// Sees to it, before the first file, that all of them together have room.
    ///
    /// - Throws: `RepairFailure`, when another job is at work already or there is not enough room.
    func reserveRoom(for files: [WantedFile]) throws {
        let partials = try partials()
        var (need, total): (UInt64, UInt64) = (0, 0)
        var parts: [BytePath: UInt64] = [:]
        for file in files {
            total = total.addingUpTo(file.size)
            // Files that are no links share nothing.
            guard try isLacking(file), keepsFiles || parts[file.etag] == nil,
                twins.candidates(for: file, in: place, besides: nil).isEmpty
            else { continue }
            let present = partials[file.etag]?.filter { $0 <= file.size }.max() ?? 0
            need = need.addingUpTo(file.size - present)
            parts[file.etag, default: 0] = (parts[file.etag] ?? 0).addingUpTo(file.size - present)
        }
        progress.begin(bytes: total)
        guard need > 0 else { return }
        try takeSlot()
        try space.reserve(parts, inAll: need)
    }

    private func takeSlot() throws {
        let isNew = try state.withLock { state in
            guard state.slot == nil else { return false }
            state.slot = try DownloadSlots(root: place.root, limit: settings.maximumDownloads)
                .take(for: "\(place.repo)@\(commit.hex)")
            return true
        }
        if isNew { place.steps.reached(.slotTaken) }
    }

    private func model() throws -> (permissions: UInt16, gid: UInt32) {
        if let model = state.withLock(\.model) { return model }
        let found = try place.modelForBlobs()
        state.withLock { $0.model = found }
        return found
    }

    func fileOfRepo(_ wanted: WantedFile) -> FileOfRepo {
        FileOfRepo(repo: place.repo, commit: commit, path: wanted.path, etag: wanted.etag)
    }

    private func brought(_ wanted: WantedFile, _ care: Care, _ hub: HubClient?) throws -> RepairMeans {
        switch try place.spot(of: wanted, at: commit) {
        case .file: try installedPlain(wanted, care, hub)
        case .free where keepsFiles: try installedPlain(wanted, care, hub)
        // A client that makes no links, too, leaves one that is there.
        case .free, .link: try installed(wanted, care, hub)
        }
    }

    private func installed(_ wanted: WantedFile, _ care: Care, _ hub: HubClient?) throws -> RepairMeans {
        let link = SnapshotLink(place: place, commit: commit)
        if care == .length, try isPresent(wanted) { return .present }
        let (locks, hasWaited) = try lock(wanted)
        defer { withExtendedLifetime(locks) {} }
        place.steps.reached(.locked)
        let found = try place.blob(wanted.etag)
        if case .other(let stat) = found, stat.kind == .directory {
            throw RepairFailure(
                occupied:
                    "'\(wanted.path.display)' has no place: 'blobs/\(wanted.etag.display)' is a directory; move it away "
                    + "first")
        }
        if try isRight(
            found.content, wanted, care,
            open: { () throws(SystemCallFailure) in
                try place.open(wanted.etag, found)
            })
        {
            if try !link.make(wanted) { return hasWaited ? .joined : .present }
            note(changed: link.folder(of: wanted))
            return hasWaited ? .joined : .relinked
        }
        let source = Source(hub: hub, mayBeBegun: try hasWaited || partials()[wanted.etag] != nil)
        let means = try bringContent(wanted, source, besides: found.content?.key) { partial in
            try publish(partial, wanted, to: found)
        }
        if try link.make(wanted) { note(changed: link.folder(of: wanted)) }
        return means
    }

    /// A file that is no link to a blob. What somebody may have written is never replaced: only what has the right length and
    /// other content, where a revision has such files, and what is damaged.
    private func installedPlain(_ wanted: WantedFile, _ care: Care, _ hub: HubClient?) throws -> RepairMeans {
        let path = SnapshotSpot.path(of: wanted, at: commit)
        if care == .length, try isPresent(wanted) { return .present }
        let (locks, _) = try lock(wanted)
        defer { withExtendedLifetime(locks) {} }
        place.steps.reached(.locked)
        var here: FileStat?
        if case .file(let stat) = try place.spot(of: wanted, at: commit) { here = stat }
        if try isRight(here, wanted, care, open: { () throws(SystemCallFailure) in try place.open(path) }) {
            return .present
        }
        if let here, !mayReplace(here, wanted, care) {
            let difference =
                here.size == wanted.size
                ? "other content than the Hub's" : "\(here.size) bytes in place of the Hub's \(wanted.size)"
            throw RepairFailure(
                occupied:
                    "'\(wanted.path.display)' is a file of its own with \(difference): it stays as it is; move it "
                    + "away to get the Hub's")
        }
        let put = { (partial: PartialFile) throws in
            let folder = try self.place.makeFolders(path.parent)
            // Whoever wrote to it meanwhile keeps what was written.
            let now = try folder.statIfPresent(wanted.path.lastComponent)
            guard here.map({ now?.isSameVersion(as: $0) ?? true }) ?? (now == nil) else {
                throw RepairFailure(occupied: "'\(wanted.path.display)' was changed at this moment: it stays as it is")
            }
            let model = try here.map { ($0.permissions, $0.gid) } ?? self.model()
            try partial.publish(as: wanted.path.lastComponent, in: folder, permissions: model.0, gid: model.1)
            self.place.steps.reached(.blobPublished)
            self.note(changed: path.parent)
            self.note(changed: "blobs")
        }
        // The repo may have it for other revisions, which have links.
        let blob = try place.blob(wanted.etag)
        if let stat = blob.content, stat.size == wanted.size,
            try copy(stat, wanted, put, open: { () throws(SystemCallFailure) in try place.open(wanted.etag, blob) })
        {
            return .copied
        }
        return try bringContent(wanted, Source(hub: hub, mayBeBegun: true), besides: here?.key, publish: put)
    }

    private func mayReplace(_ here: FileStat, _ wanted: WantedFile, _ care: Care) -> Bool {
        keepsFiles && (here.size == wanted.size || here.size == 0 && care != .length || care == .damage)
    }

    /// Waits for the locks of a blob, and so for whoever is fetching it.
    private func lock(_ wanted: WantedFile) throws -> (HeldLocks, hasWaited: Bool) {
        let deadline = ContinuousClock.now + settings.longestWait
        var hasWaited = false
        while true {
            do throws(SystemCallFailure) {
                let locks = try RepoLocks(folders: place.folders).take([wanted.etag], until: 0)
                return (locks, hasWaited)
            } catch {
                guard error.errno == SystemCallFailure.tryAgainNumber else { throw error }
            }
            if cancellation.isCancelled { throw RepairFailure(.downloadCancelled, "cancelled") }
            guard ContinuousClock.now < deadline else {
                throw RepairFailure(
                    .alreadyDownloading, "'\(wanted.path.display)' is being fetched by another process; try again later"
                )
            }
            if !hasWaited {
                hasWaited = true
                progress.wait(file: wanted.path)
                settings.event(.downloadJoined(fileOfRepo(wanted)))
            }
            sleepMilliseconds(50)
        }
    }

    private func isRight(
        _ stat: FileStat?, _ wanted: WantedFile, _ care: Care,
        open: () throws(SystemCallFailure) -> OwnedDescriptor
    ) throws -> Bool {
        guard let stat, stat.size == wanted.size else { return false }
        if care == .length, !isKnownWrong(stat, wanted) { return true }
        var digest = StreamingDigest(wanted.digest.algorithm, length: wanted.size)
        do {
            try PartialFile.read(try open(), stat, wanted.size, cancellation) { digest.update($0) }
        } catch let failure as SystemCallFailure where failure.errno == SystemCallFailure.inputOutputNumber {
            // What the disk does not give back is lost.
            return false
        }
        return (try? digest.finish()) == wanted.digest
    }

    /// Where content may come from.
    private struct Source {
        let hub: HubClient?
        let mayBeBegun: Bool
    }

    /// A file on this machine, else the Hub's.
    private func bringContent(
        _ wanted: WantedFile, _ source: Source, besides: FileKey?, publish: (PartialFile) throws -> Void
    ) throws -> RepairMeans {
        for twin in twins.candidates(for: wanted, in: place, besides: besides) {
            let isCopied = try copy(
                twin.stat, wanted, publish, open: { () throws(SystemCallFailure) in try twin.open() })
            if isCopied { return .copied }
        }
        guard let hub = source.hub else {
            throw RepairFailure(.entryNotFound, "'\(wanted.path.display)' is nowhere else on this machine")
        }
        try fetch(wanted, hub, mayBeBegun: source.mayBeBegun, publish)
        return .fetched
    }

    /// - Returns: false when it is not what its name says, or cannot be read.
    private func copy(
        _ stat: FileStat, _ wanted: WantedFile, _ publish: (PartialFile) throws -> Void,
        open: () throws(SystemCallFailure) -> OwnedDescriptor
    ) throws -> Bool {
        guard let source = try? open() else { return false }
        let partial = try PartialFile.make(for: wanted, in: place)
        do {
            let isRead = try partial.fill(
                from: source, stat, wanted, cancellation,
                requireRoom: { try space.requireRoom(for: wanted.size) },
                progress: { progress.advance(file: wanted.path, to: $0) })
            guard isRead, try partial.isRight(wanted) else {
                partial.remove()
                return false
            }
            try publish(partial)
            return true
        } catch {
            partial.remove()
            throw error
        }
    }

    private func fetch(
        _ wanted: WantedFile, _ hub: HubClient, mayBeBegun: Bool, _ publish: (PartialFile) throws -> Void
    ) throws {
        // Nothing is transferred for an empty file, and the Hub is not asked either.
        if wanted.size > 0 { try takeSlot() }
        try removeEmptyPartials(of: wanted)
        var partial = mayBeBegun ? try PartialFile.resume(for: wanted, in: place, cancellation) : nil
        try space.requireRoom(for: wanted.size - (partial?.present ?? 0))
        let start = ContinuousClock.now
        settings.event(.downloadStarted(fileOfRepo(wanted), bytes: wanted.size, present: partial?.present ?? 0))
        do {
            // What was here may be wrong, a transfer may have gone wrong unnoticed, and others may clean up: each is tried once
            // more.
            for attempt in 1...2 {
                let current = try partial ?? PartialFile.make(for: wanted, in: place)
                partial = nil
                let isWhole = try transfer(wanted, hub, into: current)
                if try isWhole && current.isRight(wanted) {
                    do {
                        try publish(current)
                    } catch let failure as SystemCallFailure where failure.isFull {
                        // Some filesystems find out when it is synced.
                        current.remove()
                        throw failure
                    }
                    settings.event(
                        .downloadFinished(fileOfRepo(wanted), bytes: wanted.size, duration: .now - start))
                    return
                }
                current.remove()
                guard attempt == 2 else { continue }
                throw isWhole
                    ? RepairFailure(
                        .digestMismatch,
                        "what the Hub gives for '\(wanted.path.display)' is not \(wanted.digest.hex) "
                            + "(attempt \(attempt) of 2)")
                    : RepairFailure(
                        .incompleteDownload,
                        "another program takes the partial download of '\(wanted.path.display)' away: let no "
                            + "'hf cache prune' run beside it (attempt \(attempt) of 2)")
            }
        } catch {
            let failure = RepairFailure(error, at: place.repo.folder.display)
            settings.event(.downloadFailed(fileOfRepo(wanted), failure))
            throw failure
        }
    }

    /// - Returns: false when somebody took the partial download away.
    private func transfer(_ wanted: WantedFile, _ hub: HubClient, into partial: PartialFile) throws -> Bool {
        progress.resume(file: wanted.path, at: partial.present)
        if partial.length == wanted.size { return !partial.isGone }
        let looked = Mutex(monotonicNanoseconds())
        let download = HubDownload(
            repo: place.repo, commit: commit, file: wanted.path, etag: wanted.etag, size: wanted.size,
            offset: partial.present)
        do {
            try hub.download(
                download, speedLimit: settings.speedLimit, cancellation: cancellation,
                progress: { [progress] in progress.advance(file: wanted.path, to: $0) },
                into: { [space] bytes in
                    try space.watch(bytes.count, of: wanted.etag)
                    if Self.isDue(looked), partial.isGone { throw TakenAway() }
                    try partial.append(bytes)
                })
            try partial.flush()
            count(partial)
            return !partial.isGone
        } catch is TakenAway {
            count(partial)
            return false
        } catch {
            count(partial)
            let failure = RepairFailure(error, at: place.repo.folder.display)
            // A full disk is everybody's trouble: what this run wrote does not stay on it.
            var isInTheWay = (error as? SystemCallFailure)?.isFull ?? false
            do throws(SystemCallFailure) {
                if !isInTheWay { try partial.flush() }
            } catch {
                isInTheWay = error.isFull
            }
            if isInTheWay || partial.length == 0 { partial.remove() }
            throw failure
        }
    }

    private struct TakenAway: Error {}

    /// Whether it is time to look whether the partial download is still there: four times a second.
    private static func isDue(_ looked: borrowing Mutex<UInt64>) -> Bool {
        let now = monotonicNanoseconds()
        return looked.withLock { last in
            guard now - last >= 250_000_000 else { return false }
            last = now
            return true
        }
    }

    private func count(_ partial: PartialFile) {
        state.withLock { $0.bytesFetched += partial.length - partial.present }
    }

    /// Puts a proven file in its place.
    private func publish(_ partial: PartialFile, _ wanted: WantedFile, to found: BlobAtHand) throws {
        if case .payload(let payload, let stat) = found,
            try StorePayload(place: place, payload: payload, expected: stat).replace(by: partial, wanted)
        {
            return
        }
        let model = try model()
        try partial.publish(as: wanted.etag, permissions: model.permissions, gid: model.gid)
        twins.note(wanted.etag, in: place.repo.folder)
        note(changed: "blobs")
    }
}

extension BytePath {
    /// The folder itself and those that it is in, the repo's included.
    fileprivate var withFoldersAbove: [BytePath] {
        var found: [BytePath] = [.empty]
        for component in components { found.append(found[found.count - 1].appending(component)) }
        return found
    }
}
