internal import CacheScan
internal import HubCache
internal import LinuxIO

/// A revision that goes, as it was found.
struct SelectedRevision: Sendable {
    var item: RemovalItem
    var commit: CommitHash
    var walk: SnapshotWalk
}

/// What of a repo goes, worked out from one look at it: the revisions that may go, and the blobs that nobody else has.
struct Selection: Sendable {
    var revisions: [SelectedRevision] = []
    /// Orphans among the items that may go.
    var orphans: [RemovalItem] = []
    /// Every blob that goes, in order of the names.
    var blobs: [BytePath] = []
    /// Items that are settled already.
    var settled: [(item: RemovalItem, result: RemovalResult)] = []

    var isEmpty: Bool { revisions.isEmpty && blobs.isEmpty }
    var commits: Set<CommitHash> { Set(revisions.map(\.commit)) }
}

/// Works a selection out.
struct Selector {
    let context: RemovalContext
    let request: RemovalRequest
    let folders: RepoFolders
    let touched: TouchedFiles
    let repo: RepoInventory

    /// Proves what can be proven from the inventory alone.
    ///
    /// - Parameter items: revisions and orphans.
    func select(_ items: [RemovalItem]) -> Selection {
        var selection = Selection()
        if let blind = repo.blindSpot {
            let kept = Kept(by: .cannotTell, "'\(blind.display)' cannot be looked at, and may lead to its blobs")
            selection.settled = items.map { ($0, .kept([kept])) }
            return selection
        }
        let planned = touched.asPlanned(repo)
        let store = touched.asPlanned(context.store(of: repo))
        for item in items {
            switch item {
            case .revision(let commit, let identity):
                select(commit, identity, item, planned, store, into: &selection)
            case .orphanBlob: selection.orphans.append(item)
            case .partial, .rootTemporary, .payload: break
            }
        }
        dropWhatOthersNeed(&selection)
        selectBlobs(&selection)
        return selection
    }

    private func select(
        _ commit: CommitHash, _ identity: SnapshotIdentity?, _ item: RemovalItem, _ planned: RepoInventory,
        _ store: StoreInventory, into selection: inout Selection
    ) {
        guard let snapshot = planned.snapshot(of: commit) else {
            selection.settled.append((item, .removed(bytes: 0)))
            return
        }
        if let identity, SnapshotIdentity(of: snapshot, in: planned, store: store) != identity {
            let kept = Kept(by: .minAge, "it changed since it was planned")
            selection.settled.append((item, .kept([kept])))
            return
        }
        do throws(SystemCallFailure) {
            let folder = try folders.open(BytePath("snapshots").appending(commit.hex))
            let walk = try SnapshotWalk(of: folder)
            if let result = fault(in: walk, of: snapshot) {
                selection.settled.append((item, result))
            } else {
                selection.revisions.append(SelectedRevision(item: item, commit: commit, walk: walk))
            }
        } catch {
            let result: RemovalResult =
                error.isAbsent
                ? .removed(bytes: 0) : .failed(RemovalFailure(error, in: folders.folder))
            selection.settled.append((item, result))
        }
    }

    /// What forbids to remove a snapshot whatever anybody says.
    private func fault(in walk: SnapshotWalk, of snapshot: Snapshot) -> RemovalResult? {
        for entry in walk.folders + walk.files {
            if entry.stat.uid != folders.stat.uid {
                return .failed(foreignOwner(entry.path, uid: entry.stat.uid))
            }
            if entry.stat.key.device != folders.stat.key.device {
                return .kept([Kept(by: .foreignEntry, "'\(entry.path.display)' is on another filesystem")])
            }
        }
        // A folder that its owner may not change could be taken away but never emptied.
        if effectiveUser() != 0, let closed = walk.folders.first(where: { $0.stat.permissions & 0o300 != 0o300 }) {
            return .failed(
                RemovalFailure(
                    what:
                        "\(folders.folder.display): the folder '\(closed.path.display)' of a revision is write-protected",
                    errno: SystemCallFailure.notPermittedNumber, remedy: "chmod u+wx it if it is to go"))
        }
        for file in snapshot.files {
            guard case .blob(let name) = file.link, let blob = repo.blobs[name], blob.stat.uid != folders.stat.uid
            else { continue }
            return .failed(foreignOwner(BytePath("blobs").appending(name), uid: blob.stat.uid))
        }
        let others = walk.files.filter { $0.stat.kind != .symlink }
        guard let first = others.first else { return nil }
        if let odd = others.first(where: { $0.stat.kind != .regular }) {
            return .kept([Kept(by: .foreignFiles, "'\(odd.path.display)' is a \(odd.stat.kind.word)")])
        }
        if others.count == walk.files.count { return nil }
        guard let named = snapshot.commit.flatMap({ manifestNames(of: $0, in: folders) }) else {
            return .kept([
                Kept(by: .foreignFiles, "'\(first.path.display)' is a file among links, and no manifest names it")
            ])
        }
        guard let foreign = others.first(where: { !named.contains($0.path) }) else { return nil }
        return .kept([Kept(by: .foreignFiles, "its manifest does not name the file '\(foreign.path.display)'")])
    }

    func foreignOwner(_ path: BytePath, uid: UInt32) -> RemovalFailure {
        RemovalFailure(
            what: "\(folders.folder.display): '\(path.display)' belongs to uid \(uid) and not to the repo's owner",
            errno: SystemCallFailure.notPermittedNumber,
            remedy: "give all of the repo to one user (chown -R), or let that user remove it")
    }

    /// Revisions that a link of another revision leads through stay: that link would lead nowhere.
    private func dropWhatOthersNeed(_ selection: inout Selection) {
        while let (index, path) = firstNeeded(selection) {
            let revision = selection.revisions.remove(at: index)
            let kept = Kept(by: .foreignEntry, "the link '\(path.display)' of another revision leads through it")
            selection.settled.append((revision.item, .kept([kept])))
        }
    }

    private func firstNeeded(_ selection: Selection) -> (Int, BytePath)? {
        let commits = selection.commits
        let snapshots = folders.folder.appending("snapshots")
        for snapshot in repo.snapshots {
            guard let commit = snapshot.commit, !commits.contains(commit) else { continue }
            for file in snapshot.files where file.stat.kind == .symlink {
                let place = snapshots.appending(commit.hex).appending(file.path)
                // The usual link has exactly this length, and then its text is no other.
                if case .blob(let name) = file.link,
                    file.stat.size == UInt64(3 * (file.path.components.count + 1) + 6 + name.bytes.count)
                {
                    continue
                }
                guard
                    let text = try? folders.open(place.parent.relative(to: folders.folder) ?? .empty)
                        .readLink(place.lastComponent)
                else { continue }
                let absolute = text.bytes.first == UInt8(ascii: "/")
                let target =
                    absolute
                    ? normalizedRelative(text) : place.parent.resolvingLexically(text)
                guard let below = target?.relative(to: snapshots), let first = below.components.first,
                    let needed = CommitHash(first),
                    let index = selection.revisions.firstIndex(where: { $0.commit == needed })
                else { continue }
                return (index, place)
            }
        }
        return nil
    }

    private func normalizedRelative(_ text: BytePath) -> BytePath? {
        BytePath("/").resolvingLexically(BytePath(bytes: text.bytes.drop { $0 == UInt8(ascii: "/") }))
            .map { BytePath(bytes: [UInt8(ascii: "/")] + $0.bytes) }?.relative(to: context.root.path)
    }

    private func selectBlobs(_ selection: inout Selection) {
        let commits = selection.commits
        let linkedAfter = repo.linkedBlobs(except: commits).union(request.blobsLinkedFromElsewhere)
        let stays = commits.isEmpty ? linkedAfter : linkedAfter.union(chain(from: linkedAfter))
        var going = commits.isEmpty ? [] : repo.linkedBlobs().subtracting(stays)
        for item in selection.orphans {
            guard case .orphanBlob(let name, let stat) = item else { continue }
            guard let blob = repo.blobs[name] else {
                selection.settled.append((item, .removed(bytes: 0)))
                continue
            }
            if stays.contains(name) {
                selection.settled.append((item, .kept([Kept(by: .minAge, "a link leads to it now")])))
            } else if !touched.asPlanned(blob.stat).isSameVersion(as: stat) {
                selection.settled.append((item, .kept([Kept(by: .minAge, "it changed since it was planned")])))
            } else if blob.stat.uid != folders.stat.uid {
                selection.settled.append((item, .failed(foreignOwner(name, uid: blob.stat.uid))))
            } else if isParkable(name) {
                going.insert(name)
            } else {
                let kept = Kept(by: .foreignEntry, "it is no file that a client puts there")
                selection.settled.append((item, .kept([kept])))
            }
        }
        let settled = Set(selection.settled.map(\.item))
        selection.orphans.removeAll { settled.contains($0) }
        selection.blobs = going.filter(isParkable).sorted()
    }

    /// The blobs that these are links to.
    private func chain(from names: Set<BytePath>) -> Set<BytePath> {
        var found: Set<BytePath> = []
        for name in names {
            var next = name
            while case .blob(let target) = repo.blobs[next]?.link, found.insert(target).inserted { next = target }
        }
        return found
    }

    /// Whether a blob is one that may be taken away: ours, a file or a link, on the repo's filesystem, with a name that
    /// leaves room for the operation's.
    private func isParkable(_ name: BytePath) -> Bool {
        guard let stat = repo.blobs[name]?.stat else { return false }
        return (stat.kind == .regular || stat.kind == .symlink) && stat.uid == folders.stat.uid
            && stat.key.device == folders.stat.key.device && name.bytes.count <= 255 - 17
    }
}
