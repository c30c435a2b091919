internal import CacheScan
internal import HubCache
internal import LinuxIO

/// Proves what one request asks for, and takes it out of the way.
struct Beginning {
    let context: RemovalContext
    let touched: TouchedFiles
    let watch: SettleWatch
    let request: RemovalRequest
    let index: Int

    private(set) var settled: [(item: RemovalItem, result: RemovalResult)] = []
    /// What goes without an intent, since the disk is full.
    private var unrecorded: UnrecordedRemoval?

    init(context: RemovalContext, touched: TouchedFiles, watch: SettleWatch, request: RemovalRequest, index: Int) {
        self.context = context
        self.touched = touched
        self.watch = watch
        self.request = request
        self.index = index
    }

    /// - Returns: the operation that has to be decided, if anything was parked.
    mutating func run() -> Waiting? {
        guard let folder = request.folder, RepoID(folder: folder) != nil else {
            settle(
                request.items,
                .failed(
                    RemovalFailure(
                        what: "'\((request.folder ?? .empty).display)' is not a repo's folder",
                        errno: SystemCallFailure.invalidNumber, remedy: "name a repo of this cache")))
            return nil
        }
        let planned = request.items
        do throws(Obstacle) {
            guard let (folders, repo) = try open(folder) else {
                settle(request.items, .removed(bytes: 0))
                return nil
            }
            if request.isWholeRepo {
                let kept = Kept(by: .minAge, "it came after it was planned")
                settle(unplanned(in: repo, besides: planned), .kept([kept]))
            }
            let items = removePartials(planned, folders: folders, repo: repo)
            let waiting = try park(items, folders: folders)
            // The locks are given back by now: clients that waited for one of them have their say.
            if var unrecorded { settled += unrecorded.finish() }
            return waiting
        } catch {
            let done = Set(settled.map(\.item))
            settle(planned.filter { !done.contains($0) }, result(of: error))
            return nil
        }
    }

    private mutating func settle(_ items: [RemovalItem], _ result: RemovalResult) {
        settled += items.map { ($0, result) }
    }

    private func result(of obstacle: Obstacle) -> RemovalResult {
        switch obstacle {
        case .kept(let kept): .kept(kept)
        case .failed(let failure): .failed(failure)
        }
    }

    /// Opens the repo when it is ours to change, and deals with what a run before has left in it.
    private func open(_ folder: BytePath) throws(Obstacle) -> (RepoFolders, RepoInventory)? {
        guard var repo = try scan(folder) else { return nil }
        if let linked = repo.linkedFolders.first, !request.allowsLinkedFolder || linked.path != folder {
            throw .kept([
                Kept(by: .foreignEntry, "'\(linked.path.display)' is a link to '\(linked.physicalPath.display)'")
            ])
        }
        if repo.stat.kind == .symlink && repo.linkedFolders.isEmpty {
            throw .kept([Kept(by: .foreignEntry, "'\(folder.display)' is a link that is not followed")])
        }
        let folders: RepoFolders
        do throws(SystemCallFailure) {
            folders = try RepoFolders(root: context.root, inventory: repo)
        } catch {
            throw .failed(RemovalFailure(error, in: folder))
        }
        guard folders.stat.uid == effectiveUser() else {
            throw .failed(
                RemovalFailure(
                    what: "\(folder.display): it belongs to uid \(folders.stat.uid)",
                    errno: SystemCallFailure.notPermittedNumber, remedy: "run it as that user"))
        }
        if !repo.operations.isEmpty {
            let outcomes = Recovery(context: context, touched: touched).recover(folder)
            guard let again = try scan(folder) else { return nil }
            repo = again
            if !repo.operations.isEmpty, let reason = outcomes.lazy.compactMap(\.reasonLeft).first {
                throw .kept([Kept(by: .lock, "an earlier operation in the repo was left: \(reason)")])
            }
        }
        if !repo.operations.isEmpty {
            throw .kept([Kept(by: .lock, "an operation of hfjanitor is under way in the repo")])
        }
        return (folders, repo)
    }

    private func scan(_ folder: BytePath) throws(Obstacle) -> RepoInventory? {
        do throws(SystemCallFailure) {
            return try context.scan(folder)
        } catch {
            throw .failed(RemovalFailure(error, in: folder))
        }
    }

    /// What of a whole repo nobody was shown, and nobody agreed to lose.
    private func unplanned(in repo: RepoInventory, besides items: [RemovalItem]) -> [RemovalItem] {
        var named: Set<String> = []
        for item in items {
            switch item {
            case .revision(let commit, _): named.insert("r" + commit.hex)
            case .partial(let name, _), .orphanBlob(let name, _): named.insert("b" + name.display)
            case .rootTemporary, .payload: break
            }
        }
        var found: [RemovalItem] = []
        for snapshot in repo.snapshots {
            if let commit = snapshot.commit, !named.contains("r" + commit.hex) {
                found.append(.revision(commit, identity: nil))
            }
        }
        for partial in repo.partials where !named.contains("b" + partial.name.display) {
            found.append(.partial(name: partial.name, stat: partial.stat))
        }
        let linked = repo.linkedBlobs()
        for (name, blob) in repo.blobs.sorted(by: { $0.key < $1.key })
        where !linked.contains(name) && !named.contains("b" + name.display) {
            found.append(.orphanBlob(name: name, stat: touched.asPlanned(blob.stat)))
        }
        return found
    }

    // MARK: partial downloads

    /// Removes the partial downloads among the items, each under its lock.
    ///
    /// - Returns: the other items.
    private mutating func removePartials(_ items: [RemovalItem], folders: RepoFolders, repo: RepoInventory)
        -> [RemovalItem]
    {
        var others: [RemovalItem] = []
        for item in items {
            guard case .partial(let name, let stat) = item else {
                if case .rootTemporary = item {
                    settle([item], misplaced(item))
                } else if case .payload = item {
                    settle([item], misplaced(item))
                } else {
                    others.append(item)
                }
                continue
            }
            let result: RemovalResult
            do throws(Obstacle) {
                result = try removePartial(name, stat, folders: folders, repo: repo)
            } catch {
                result = self.result(of: error)
            }
            settle([item], result)
        }
        return others
    }

    private func misplaced(_ item: RemovalItem) -> RemovalResult {
        .failed(
            RemovalFailure(
                what: "an item that is in no repo was asked for as one of a repo",
                errno: SystemCallFailure.invalidNumber, remedy: "report this"))
    }

    private func removePartial(_ name: BytePath, _ stat: FileStat, folders: RepoFolders, repo: RepoInventory)
        throws(Obstacle) -> RemovalResult
    {
        guard case .partial(let etag, _) = BlobEntryName(name) else {
            return misplaced(.partial(name: name, stat: stat))
        }
        let locks = RepoLocks(folders: folders, steps: context.steps)
        let held = try locks.take(etag.isEmpty ? [] : [etag])
        defer { withExtendedLifetime(held) {} }
        let kept = context.reproof(repo, nil, repo.blobsFolder.appending(name))
        if !kept.isEmpty { return .kept(kept) }
        do throws(SystemCallFailure) {
            guard let blobs = try folders.openIfPresent("blobs"), let now = try blobs.statIfPresent(name) else {
                return .removed(bytes: 0)
            }
            if now.uid != folders.stat.uid {
                return .failed(
                    RemovalFailure(
                        what: "\(folders.folder.display): '\(name.display)' belongs to uid \(now.uid)",
                        errno: SystemCallFailure.notPermittedNumber, remedy: "let that user remove it"))
            }
            if let kept = unlike(now, stat) { return .kept([kept]) }
            let file = FileInQuestion(
                location: repo.blobsFolder.appending(name), linked: repo.linkedFolders, stat: now)
            let (answer, lease) = context.inUse.hold(file)
            defer { withExtendedLifetime(lease) {} }
            if let kept = keeper(answer, name, assumes: context.assumesUnused(repo, nil)) { return .kept([kept]) }
            try blobs.unlinkIfPresent(name)
            context.steps(.partialUnlinked)
            return .removed(bytes: now.freed)
        } catch {
            return .failed(RemovalFailure(error, in: folders.folder))
        }
    }

    private func unlike(_ now: FileStat, _ planned: FileStat) -> Kept? {
        if now.kind != .regular { return Kept(by: .foreignEntry, "it is a \(now.kind.word)") }
        return now.isSameVersion(as: planned) ? nil : Kept(by: .minAge, "it changed since it was planned")
    }

    // MARK: revisions and orphans

    private mutating func park(_ items: [RemovalItem], folders: RepoFolders) throws(Obstacle) -> Waiting? {
        var items = items
        let locks = RepoLocks(folders: folders, steps: context.steps)
        for _ in 0..<4 {
            if items.isEmpty { return nil }
            let before = try select(items, folders).selection
            let names = Set(before.blobs.prefix(Operation.batch))
            let held = try locks.take(names)
            defer { withExtendedLifetime(held) {} }
            // Everything again, under the locks; this is what counts.
            var (selection, repo) = try select(items, folders)
            if let kept = try atWork(repo, locks, held) { throw .kept([kept]) }
            let keepers = prove(selection, repo)
            if !keepers.isEmpty {
                for (item, kept) in keepers { settle([item], .kept(kept)) }
                let gone = Set(keepers.map(\.0))
                items.removeAll { gone.contains($0) }
                (selection, repo) = try select(items, folders)
            }
            for (item, result) in selection.settled { settle([item], result) }
            let done = Set(selection.settled.map(\.item))
            items.removeAll { done.contains($0) }
            if selection.isEmpty { return nil }
            let first = Array(selection.blobs.prefix(Operation.batch))
            guard Set(first).isSubset(of: held.etags) else { continue }
            return try park(selection, first, repo: repo, folders: folders, held: held)
        }
        throw .kept([Kept(by: .lock, "the repo keeps changing")])
    }

    private func select(_ items: [RemovalItem], _ folders: RepoFolders) throws(Obstacle) -> (
        selection: Selection, repo: RepoInventory
    ) {
        let found: RepoInventory?
        do throws(SystemCallFailure) {
            found = try context.scan(folders)
        } catch {
            throw .failed(RemovalFailure(error, in: folders.folder))
        }
        guard let repo = found else {
            guard context.isGone(folders) else {
                throw .kept([Kept(by: .lock, "somebody else renamed or replaced the repo's folder")])
            }
            var selection = Selection()
            selection.settled = items.map { ($0, .removed(bytes: 0)) }
            return (selection, RepoInventory(folder: folders.folder, id: nil, stat: folders.stat))
        }
        let selector = Selector(context: context, request: request, folders: folders, touched: touched, repo: repo)
        return (selector.select(items), repo)
    }

    private func atWork(_ repo: RepoInventory, _ locks: RepoLocks, _ held: HeldLocks) throws(Obstacle) -> Kept? {
        if !repo.operations.isEmpty { return Kept(by: .lock, "an operation of hfjanitor is under way in the repo") }
        if let kept = try locks.othersAtWork(besides: held, oldLocks: repo.blobLocks) { return kept }
        return context.liveDownload(in: repo)
    }

    /// Asks everybody who may know a reason to keep something.
    private func prove(_ selection: Selection, _ repo: RepoInventory) -> [(RemovalItem, [Kept])] {
        let store = context.store(of: repo)
        var keepers: [(RemovalItem, [Kept])] = []
        for revision in selection.revisions {
            var kept = context.reproof(repo, revision.commit, nil)
            if kept.isEmpty, let snapshot = repo.snapshot(of: revision.commit) {
                let files = questions(snapshot, repo, store)
                kept = context.inUse.keepers(files) { context.assumesUnused(repo, revision.commit) }
            }
            if !kept.isEmpty { keepers.append((revision.item, kept)) }
        }
        for item in selection.orphans {
            guard case .orphanBlob(let name, _) = item else { continue }
            var kept = context.reproof(repo, nil, repo.location(ofBlob: name))
            if kept.isEmpty {
                let files = [question(blob: name, repo, store)].compactMap(\.self)
                kept = context.inUse.keepers(files) { context.assumesUnused(repo, nil) }
            }
            if !kept.isEmpty { keepers.append((item, kept)) }
        }
        return keepers
    }

    private func questions(_ snapshot: Snapshot, _ repo: RepoInventory, _ store: StoreInventory) -> [FileInQuestion] {
        var seen: Set<FileKey> = []
        return snapshot.files.compactMap { file in
            question(repo.content(of: file, in: snapshot, store: store), repo)
        }.filter { seen.insert($0.stat.key).inserted }
    }

    private func question(blob: BytePath, _ repo: RepoInventory, _ store: StoreInventory) -> FileInQuestion? {
        question(repo.content(ofBlob: blob, store: store), repo)
    }

    private func question(_ content: FileContent, _ repo: RepoInventory) -> FileInQuestion? {
        guard case .file(let stat, let location, _) = content else { return nil }
        return FileInQuestion(location: location, linked: repo.linkedFolders, stat: stat)
    }

    private mutating func park(
        _ selection: Selection, _ first: [BytePath], repo: RepoInventory, folders: RepoFolders, held: HeldLocks
    ) throws(Obstacle) -> Waiting? {
        let begun: Operation?
        do throws(SystemCallFailure) {
            begun = try context.begin(selection, request: request, folders: folders, touched: touched, repo: repo)
        } catch {
            if error.isFull {
                detach(selection, repo: repo, folders: folders)
                return nil
            }
            throw .failed(RemovalFailure(error, in: folders.folder))
        }
        guard let operation = begun else {
            throw .kept([Kept(by: .lock, "an operation of hfjanitor is under way in the repo")])
        }
        let commit = selection.revisions.first?.commit
        do throws(Abandoned) {
            do throws(SystemCallFailure) { try operation.makeSkeletons() } catch { throw Abandoned.failed(error) }
            watch.add(operation)
            let plain = operation.intent.revisions.flatMap { revision in
                revision.files.filter { $0.identity.kind == .regular }.prefix(Operation.batch).map {
                    BytePath("snapshots").appending(revision.commit.hex).appending($0.path)
                }
            }
            let leases = try hold(blobs: first, plain: plain, repo, commit)
            try operation.parkRefs()
            try operation.parkSnapshots()
            watch.activate(operation)
            try operation.park(blobs: first)
            guard leases.allSatisfy(\.isUndisturbed) else {
                throw .kept([Kept(by: .open, "a process opened one of its files at that moment")])
            }
        } catch {
            watch.remove(operation)
            let result = Ending(context: context).undo(operation, because: error)
            // Closed: everything is back.
            if case .failed(let failure) = error, failure.isFull, !operation.isOurs, !context.isGone(folders) {
                detach(selection, repo: repo, folders: folders)
                return nil
            }
            settle(selection.revisions.map(\.item) + selection.orphans, result)
            return nil
        }
        return rest(selection, operation, repo, commit)
    }

    private mutating func detach(_ selection: Selection, repo: RepoInventory, folders: RepoFolders) {
        var removal = UnrecordedRemoval(
            context: context, folders: folders, selection: selection, repo: repo, owners: owners(selection, repo))
        removal.detach()
        unrecorded = removal
    }

    /// Proves files unused and keeps them so.
    private func hold(blobs: [BytePath], plain: [BytePath], _ repo: RepoInventory, _ commit: CommitHash?)
        throws(Abandoned) -> [HeldLease]
    {
        let store = context.store(of: repo)
        var files = blobs.compactMap { question(blob: $0, repo, store) }
        for path in plain {
            guard let parent = path.parent.components.last.map({ _ in path.parent }),
                let folder = try? context.root.open(
                    repo.folder.appending(parent), linked: repo.linkedFolders,
                    options: [.directory, .keepAccessTime]), let stat = try? folder.stat(of: path.lastComponent)
            else { continue }
            files.append(
                FileInQuestion(location: repo.folder.appending(path), linked: repo.linkedFolders, stat: stat))
        }
        var seen: Set<FileKey> = []
        var leases: [HeldLease] = []
        for file in files where seen.insert(file.stat.key).inserted {
            let (answer, lease) = context.inUse.hold(file)
            if let kept = keeper(answer, file.location, assumes: context.assumesUnused(repo, commit)) {
                throw .kept([kept])
            }
            if let lease { leases.append(lease) }
        }
        return leases
    }

    private func keeper(_ answer: ProbeAnswer, _ location: BytePath, assumes: @autoclosure () -> Bool) -> Kept? {
        switch answer {
        case .free: nil
        case .taken: Kept(by: .open, "a process has '\(location.display)' open")
        case .unknown(let reason):
            assumes()
                ? nil
                : Kept(by: .cannotTell, "'\(location.display)' may be in use: \(displayText(of: reason))")
        }
    }

    /// Parks the blobs that the first locks did not cover.
    private mutating func rest(
        _ selection: Selection, _ operation: Operation, _ repo: RepoInventory, _ commit: CommitHash?
    ) -> Waiting? {
        var names = selection.blobs.dropFirst(Operation.batch)
        do throws(Abandoned) {
            while !names.isEmpty {
                let batch = Array(names.prefix(Operation.batch))
                names = names.dropFirst(Operation.batch)
                let held: HeldLocks
                do throws(Obstacle) {
                    held = try operation.locks.take(Set(batch))
                } catch {
                    throw Abandoned(error)
                }
                defer { withExtendedLifetime(held) {} }
                let now: RepoInventory?
                do throws(SystemCallFailure) { now = try context.scan(operation.folders) } catch {
                    throw .failed(error)
                }
                guard let now, now.blindSpot == nil else { throw .changed("the repo changed meanwhile") }
                let linked = now.linkedBlobs()
                let going = batch.filter { !linked.contains($0) }
                let leases = try hold(blobs: going, plain: [], now, commit)
                try operation.park(blobs: going)
                guard leases.allSatisfy(\.isUndisturbed) else {
                    throw .kept([Kept(by: .open, "a process opened one of its files at that moment")])
                }
            }
        } catch {
            watch.remove(operation)
            let result = Ending(context: context).undo(operation, because: error)
            settle(selection.revisions.map(\.item) + selection.orphans, result)
            return nil
        }
        watch.look(at: operation)
        context.steps(.parked)
        context.event(.parked(folder: repo.folder, operation: operation.intent.operation))
        return Waiting(
            request: index, operation: operation, revisions: selection.revisions.map(\.item),
            orphans: selection.orphans, owners: owners(selection, repo),
            deadline: monotonicNanoseconds() &+ nanoseconds(context.settle),
            folderTimes: operation.folders.changeTimes)
    }

    private func owners(_ selection: Selection, _ repo: RepoInventory) -> [BytePath: Int] {
        var owners: [BytePath: Int] = [:]
        for (index, revision) in selection.revisions.enumerated() {
            guard let snapshot = repo.snapshot(of: revision.commit) else { continue }
            for file in snapshot.files {
                guard case .blob(let name) = file.link, owners[name] == nil else { continue }
                owners[name] = index
                if owners[repo.end(ofBlob: name)] == nil { owners[repo.end(ofBlob: name)] = index }
            }
        }
        return owners
    }
}

extension RemovalContext {
    /// A download that somebody works on in a repo.
    func liveDownload(in repo: RepoInventory) -> Kept? {
        let probe = LivenessProbe(root: root, now: currentTime())
        for var partial in repo.partials {
            // Locks are looked at elsewhere, and some of them are ours now.
            partial.etag = .empty
            if case .live(let evidence) = probe.liveness(of: partial, in: repo) {
                return Kept(by: .lock, "'\(partial.name.display)' is being downloaded: \(evidence)")
            }
        }
        return nil
    }
}
