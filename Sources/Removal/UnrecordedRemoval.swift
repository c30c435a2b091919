internal import CacheScan
internal import HubCache
internal import LinuxIO

/// Removes what was proven without writing anything, for a disk so full that there is no room for an intent.
///
/// Refs go first and links to blobs after them, for good: that is what cannot be undone here. Then the settle time, blobs in
/// their places, and then each blob that nobody links to by then, under its lock and lease. A crash leaves a revision without
/// refs and with some of its links, or none, and all blobs that were not proven yet: detached, and orphans.
struct UnrecordedRemoval: Sendable {
    let context: RemovalContext
    let folders: RepoFolders
    let selection: Selection
    /// The repo as it was proven under the locks.
    let repo: RepoInventory
    /// The revision that a blob's bytes are counted for, by its place in the selection.
    let owners: [BytePath: Int]

    /// What became of the revisions, as far as that is known.
    private var results: [Int: RemovalResult] = [:]
    private var bytes: [Int: UInt64] = [:]
    private var orphanBytes: [BytePath: UInt64] = [:]
    private var deadline: UInt64 = 0
    /// Why blobs stay.
    private var staying: String?

    init(
        context: RemovalContext, folders: RepoFolders, selection: Selection, repo: RepoInventory,
        owners: [BytePath: Int]
    ) {
        self.context = context
        self.folders = folders
        self.selection = selection
        self.repo = repo
        self.owners = owners
    }

    /// Takes away what names the revisions and what of them leads to blobs, under the caller's locks.
    mutating func detach() {
        for (index, revision) in selection.revisions.enumerated() {
            do throws(Abandoned) {
                var freed: UInt64 = 0
                for ref in repo.refs where ref.commit == revision.commit { freed &+= try unlink(ref) }
                // On the disk before the first link goes: nobody's ref ever names a revision that is half gone.
                try failing { () throws(SystemCallFailure) in
                    try folders.openIfPresent("refs")?.synchronize()
                    bytes[index] = freed &+ (try unlink(.symlink, of: revision))
                }
            } catch {
                results[index] = error.result(folders.folder)
            }
        }
        if let snapshots = try? folders.open("snapshots") { try? snapshots.synchronize() }
        deadline = monotonicNanoseconds() &+ nanoseconds(context.settle)
    }

    /// Waits as long as something stays out of the way elsewhere, and removes what nobody wants by then.
    mutating func finish() -> [(item: RemovalItem, result: RemovalResult)] {
        while monotonicNanoseconds() < deadline, !context.cancellation.isCancelled { sleepMilliseconds(10) }
        if context.cancellation.isCancelled {
            staying = "stopped before it was decided"
        } else {
            do throws(Abandoned) {
                try finishRevisions()
                // Links before what they lead to.
                let links = selection.blobs.filter { repo.blobs[$0]?.stat.kind == .symlink }
                let files = selection.blobs.filter { repo.blobs[$0]?.stat.kind != .symlink }
                var rest = (links + files)[...]
                while !rest.isEmpty {
                    let batch = rest.prefix(Operation.batch)
                    rest = rest.dropFirst(Operation.batch)
                    try unlink(blobs: batch)
                }
            } catch {
                staying = staying ?? told(error)
            }
        }
        return outcomes()
    }

    private func told(_ reason: Abandoned) -> String {
        switch reason {
        case .kept(let kept): kept.first.map { displayText(of: $0.detail) } ?? "it is in use"
        case .changed(let reason): reason
        case .failed(let failure): failure.description
        }
    }

    private func outcomes() -> [(item: RemovalItem, result: RemovalResult)] {
        var outcomes: [(item: RemovalItem, result: RemovalResult)] = []
        for (index, revision) in selection.revisions.enumerated() {
            let result =
                results[index]
                ?? staying.map {
                    .undone(reason: "\($0); the disk is full, so that its links are gone for good and its blobs stay")
                }
                ?? .removed(bytes: bytes[index] ?? 0)
            outcomes.append((revision.item, result))
        }
        for item in selection.orphans {
            guard case .orphanBlob(let name, _) = item else { continue }
            let result: RemovalResult =
                orphanBytes[name].map { .removed(bytes: $0) }
                ?? .undone(reason: staying ?? "a client linked to it again")
            outcomes.append((item, result))
        }
        return outcomes
    }

    private func unlink(_ ref: Ref) throws(Abandoned) -> UInt64 {
        let place = BytePath("refs").appending(ref.name)
        var freed: UInt64 = 0
        let isSame = try failing { () throws(SystemCallFailure) in
            guard let folder = try folders.openIfPresent(place.parent),
                let now = try folder.statIfPresent(place.lastComponent)
            else { return true }
            guard ParkedIdentity(now) == ParkedIdentity(ref.stat) else { return false }
            if try folder.unlinkIfPresent(place.lastComponent) {
                freed = now.freed
                context.steps(.refUnlinked)
            }
            return true
        }
        if !isSame { throw .changed("the ref '\(ref.name.display)' was set anew") }
        return freed
    }

    /// Takes the files of one kind away, and the folders that are empty then.
    private mutating func unlink(_ kind: FileKind, of revision: SelectedRevision) throws(SystemCallFailure) -> UInt64 {
        var bytes: UInt64 = 0
        let top = BytePath("snapshots").appending(revision.commit.hex)
        for file in revision.walk.files where file.stat.kind == kind {
            let place = top.appending(file.path)
            guard let folder = try folders.openIfPresent(place.parent),
                let now = try folder.statIfPresent(place.lastComponent),
                ParkedIdentity(now) == ParkedIdentity(file.stat)
            else { continue }
            let (answer, lease) = context.inUse.hold(
                FileInQuestion(
                    location: folders.folder.appending(place), linked: repo.linkedFolders, stat: now))
            defer { withExtendedLifetime(lease) {} }
            guard isFree(answer, revision.commit) else {
                staying = staying ?? "a process has '\(file.path.display)' open"
                continue
            }
            if try folder.unlinkIfPresent(place.lastComponent) {
                bytes &+= now.freed
                context.steps(.snapshotFileUnlinked)
            }
        }
        for folder in revision.walk.folders.reversed() {
            let place = top.appending(folder.path)
            guard let parent = try folders.openIfPresent(place.parent),
                try parent.statIfPresent(place.lastComponent)?.kind == .directory
            else { continue }
            if try parent.removeFolderIfEmpty(place.lastComponent) {
                bytes &+= folder.stat.allocated
                context.steps(.snapshotFolderRemoved)
            }
        }
        return bytes
    }

    private func isFree(_ answer: ProbeAnswer, _ commit: CommitHash?) -> Bool {
        switch answer {
        case .free: true
        case .taken: false
        case .unknown: context.assumesUnused(repo, commit)
        }
    }

    /// Files that are no links, and what belongs to the revisions.
    private mutating func finishRevisions() throws(Abandoned) {
        let now = try proven(besides: .none)
        for (index, revision) in selection.revisions.enumerated() where results[index] == nil {
            let kept = context.reproof(now, revision.commit, nil)
            if !kept.isEmpty { throw .kept(kept) }
            if let ref = now.refs.first(where: { $0.commit == revision.commit }) {
                throw .changed("a client set the ref '\(ref.name.display)' to it again")
            }
            bytes[index, default: 0] &+= try failing { () throws(SystemCallFailure) in
                try unlink(.regular, of: revision)
                    &+ folders.unlinkWhatBelongs(
                        to: revision.commit, manifest: repo.manifests[revision.commit].map(ParkedIdentity.init),
                        steps: context.steps)
            }
        }
    }

    /// The repo as it is now, when nobody is at work in it.
    private func proven(besides held: HeldLocks) throws(Abandoned) -> RepoInventory {
        guard let now = try failing({ () throws(SystemCallFailure) in try context.scan(folders) }), now.blindSpot == nil
        else { throw .changed("the repo changed meanwhile") }
        let locks = RepoLocks(folders: folders, steps: context.steps)
        let atWork: Kept?
        do throws(Obstacle) {
            atWork = try locks.othersAtWork(besides: held, oldLocks: now.blobLocks)
        } catch {
            throw Abandoned(error)
        }
        if !now.operations.isEmpty { throw .changed("an operation of hfjanitor began in the repo") }
        if let kept = atWork ?? context.liveDownload(in: now) { throw .kept([kept]) }
        return now
    }

    private mutating func unlink(blobs batch: ArraySlice<BytePath>) throws(Abandoned) {
        let held: HeldLocks
        do throws(Obstacle) {
            held = try RepoLocks(folders: folders, steps: context.steps).take(Set(batch))
        } catch {
            throw Abandoned(error)
        }
        defer { withExtendedLifetime(held) {} }
        let now = try proven(besides: held)
        let linked = now.linkedBlobs()
        let store = SharedStore(context: context, folders: folders)
        for name in batch where !linked.contains(name) {
            guard let planned = repo.blobs[name], let blob = now.blobs[name],
                ParkedIdentity(blob.stat) == ParkedIdentity(planned.stat)
            else { continue }
            if owners[name] == nil {
                let kept = context.reproof(now, nil, now.location(ofBlob: name))
                if !kept.isEmpty {
                    staying = staying ?? told(.kept(kept))
                    continue
                }
            }
            let commit = owners[name].map { selection.revisions[$0].commit }
            let (answer, lease) = context.inUse.hold(
                FileInQuestion(location: now.location(ofBlob: name), linked: now.linkedFolders, stat: blob.stat))
            defer { withExtendedLifetime(lease) {} }
            guard isFree(answer, commit) else {
                staying = staying ?? "a process has '\(name.display)' open"
                continue
            }
            var freed = try failing { () throws(SystemCallFailure) in
                guard let folder = try folders.openIfPresent("blobs"), try folder.unlinkIfPresent(name) else {
                    return 0 as UInt64
                }
                context.steps(.blobUnlinked)
                return blob.stat.freed
            }
            // A payload that stays for want of room for its manifest is found by the next run: nobody links to it.
            if case .payload(let payload) = blob.link,
                case .removed(let bytes)? = try? store.collect(
                    payload, expected: nil, assumesUnused: { context.assumesUnused(now, commit) })
            {
                freed &+= bytes
            }
            if let owner = owners[name] { bytes[owner, default: 0] &+= freed } else { orphanBytes[name] = freed }
        }
    }
}
