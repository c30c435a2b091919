internal import CacheScan
internal import HubCache
internal import LinuxIO

/// Decides an operation, and carries the decision out.
struct Ending {
    let context: RemovalContext

    /// Puts everything back.
    ///
    /// - Returns: what to say of the items.
    func undo(_ operation: Operation, because reason: Abandoned) -> RemovalResult {
        let folder = operation.folders.folder
        do throws(SystemCallFailure) {
            let isWhole = try operation.undo()
            if isWhole { try operation.close() }
            let result = reason.result(folder)
            return isWhole ? result : result.withStranded(operation)
        } catch {
            if context.isGone(operation.folders) { return .removed(bytes: 0) }
            return .failed(unfinished(error, folder, "what is out of the way is put back by the next run"))
        }
    }

    private func unfinished(_ failure: SystemCallFailure, _ folder: BytePath, _ what: String) -> RemovalFailure {
        var told = RemovalFailure(failure, in: folder)
        told.remedy += "; \(what)"
        return told
    }

    /// Decides an operation that has waited long enough.
    func decide(_ waiting: Waiting) -> [(RemovalItem, RemovalResult)] {
        let operation = waiting.operation
        context.steps(.settled)
        let items = waiting.revisions + waiting.orphans
        if context.isGone(operation.folders) {
            // Somebody removed the repo with all that we had in it.
            return items.map { ($0, .removed(bytes: 0)) }
        }
        do throws(Abandoned) {
            if context.cancellation.isCancelled { throw .changed("stopped before it was decided") }
            guard operation.isOurs else { throw .changed("somebody else removed the operation's intent") }
            let repo = try failing { () throws(SystemCallFailure) in try context.scan(operation.folders) }
            guard let repo else { throw .changed("somebody else renamed or replaced the repo's folder") }
            try proveAgain(operation, waiting.orphans, repo)
        } catch {
            let result = undo(operation, because: error)
            return items.map { ($0, result) }
        }
        return finish(waiting)
    }

    /// Everything that could have happened while the items were out of the way.
    private func proveAgain(_ operation: Operation, _ orphans: [RemovalItem], _ repo: RepoInventory) throws(Abandoned) {
        if let blind = repo.blindSpot {
            throw .kept([Kept(by: .cannotTell, "'\(blind.display)' cannot be looked at")])
        }
        let atWork: Kept?
        do throws(Obstacle) {
            atWork = try operation.locks.othersAtWork(besides: .none, oldLocks: repo.blobLocks)
        } catch {
            throw Abandoned(error)
        }
        if let kept = atWork ?? context.liveDownload(in: repo) { throw .kept([kept]) }
        for (index, revision) in operation.intent.revisions.enumerated() {
            let kept = context.reproof(repo, revision.commit, nil)
            if !kept.isEmpty { throw .kept(kept) }
            let sign = try failing { () throws(SystemCallFailure) in
                try signOfUse(index, revision, operation, repo)
            }
            if let sign { throw .changed(sign) }
        }
        for case .orphanBlob(let name, _) in orphans {
            let kept = context.reproof(repo, nil, repo.location(ofBlob: name))
            if !kept.isEmpty { throw .kept(kept) }
        }
        let files = try failing { () throws(SystemCallFailure) in try parkedFiles(of: operation) }
        let commit = operation.intent.revisions.first?.commit
        let kept = context.inUse.keepers(files) { context.assumesUnused(repo, commit) }
        if !kept.isEmpty { throw .kept(kept) }
    }

    /// What a client left that wants the revision again.
    private func signOfUse(_ index: Int, _ revision: Intent.Revision, _ operation: Operation, _ repo: RepoInventory)
        throws(SystemCallFailure) -> String?
    {
        if let ref = repo.refs.first(where: { $0.commit == revision.commit }) {
            return "a client set the ref '\(ref.name.display)' to it again"
        }
        if let file = repo.snapshot(of: revision.commit)?.files.first {
            return "a client began to use it again: '\(file.path.display)'"
        }
        if repo.manifests[revision.commit].map(ParkedIdentity.init) != revision.manifest {
            return "a client wrote its manifest anew"
        }
        let listed = Dictionary(revision.files.map { ($0.path, $0.identity) }) { first, _ in first }
        guard let parked = try operation.openParked(operation.intent.parkedName(revision: index)) else { return nil }
        for file in try SnapshotWalk(of: parked).files where listed[file.path] != ParkedIdentity(file.stat) {
            return "somebody put '\(file.path.display)' into it"
        }
        return nil
    }

    /// Where the files are now that would be lost.
    private func parkedFiles(of operation: Operation) throws(SystemCallFailure) -> [FileInQuestion] {
        let base = operation.parkingPath
        let linked = operation.linkedFolders
        var files: [FileInQuestion] = []
        for blob in operation.intent.blobs {
            let name = operation.intent.parkedName(blob: blob.name)
            if let stat = try operation.parked(name, blob.identity), stat.kind == .regular {
                files.append(FileInQuestion(location: base.appending(name), linked: linked, stat: stat))
            }
        }
        for payload in operation.intent.payloads {
            let name = operation.intent.parkedName(payload: payload.hash)
            if let stat = try operation.parked(name, payload.identity) {
                files.append(FileInQuestion(location: base.appending(name), linked: linked, stat: stat))
            }
        }
        for (index, revision) in operation.intent.revisions.enumerated()
        where revision.files.contains(where: { $0.identity.kind == .regular }) {
            let name = operation.intent.parkedName(revision: index)
            guard let folder = try operation.openParked(name) else { continue }
            for file in try SnapshotWalk(of: folder).files where file.stat.kind == .regular {
                files.append(
                    FileInQuestion(
                        location: base.appending(name).appending(file.path), linked: linked, stat: file.stat))
            }
        }
        return files
    }

    private func finish(_ waiting: Waiting) -> [(RemovalItem, RemovalResult)] {
        let operation = waiting.operation
        let items = waiting.revisions + waiting.orphans
        let all = Array(operation.intent.revisions.indices)
        do throws(SystemCallFailure) {
            // What was renamed has to be on the disk before the word that it may go.
            try operation.parking.synchronize()
            for name in ["snapshots", "blobs", "refs"] as [BytePath] {
                if let folder = try operation.folders.openIfPresent(name) { try folder.synchronize() }
            }
            try operation.write(.finish(revisions: all))
        } catch {
            // The word may be on the disk all the same; that everything is back then makes it mean nothing.
            _ = try? operation.write(.undo)
            let result = undo(operation, because: .failed(error))
            return items.map { ($0, result) }
        }
        context.steps(.decided)
        // Before anything of ours changes them again.
        let isQuiet = operation.folders.changeTimes == waiting.folderTimes
        do throws(Abandoned) {
            var finished = try operation.finish(all)
            do throws(SystemCallFailure) {
                try conclude(operation, isQuiet: isQuiet, &finished)
            } catch {
                throw .failed(error)
            }
            return results(waiting, finished)
        } catch {
            let folder = operation.folders.folder
            guard case .failed(let failure) = error else { return items.map { ($0, error.result(folder)) } }
            let told = unfinished(failure, folder, "what is decided and not yet removed goes with the next run")
            return items.map { ($0, .failed(told)) }
        }
    }

    /// The repo's own folders, and the intent last.
    func conclude(_ operation: Operation, isQuiet: Bool, _ finished: inout Finished) throws(SystemCallFailure) {
        let mayTidy = operation.intent.removesEmptyFolders && isQuiet && !context.isLink(operation.folders.folder)
        if mayTidy { try operation.tidyRepo(into: &finished) }
        // Without it nobody would ever know what that is: the next run tries again.
        if finished.hasLeft { return }
        try operation.close()
        guard mayTidy else { return }
        let root = try context.root.open(.empty, options: [.directory, .keepAccessTime])
        if try root.removeFolderIfEmpty(operation.folders.folder) { context.steps(.folderRemoved) }
    }

    private func results(_ waiting: Waiting, _ finished: Finished) -> [(RemovalItem, RemovalResult)] {
        var bytes = finished.revisionBytes
        var orphanBytes: [BytePath: UInt64] = [:]
        for (name, freed) in finished.blobBytes {
            if let owner = waiting.owners[name] {
                bytes[owner, default: 0] &+= freed
            } else {
                orphanBytes[name] = freed
            }
        }
        var results: [(RemovalItem, RemovalResult)] = []
        for (index, item) in waiting.revisions.enumerated() {
            results.append((item, .removed(bytes: bytes[index] ?? 0)))
        }
        for item in waiting.orphans {
            guard case .orphanBlob(let name, _) = item else { continue }
            if finished.leftBlobs.contains(name) {
                let place = waiting.operation.parkingPath.display
                let text = "it stays in '\(place)', since its place is taken; the next run tries again"
                results.append((item, .kept([Kept(by: .foreignEntry, text)])))
                continue
            }
            let isBack = finished.restored.contains(name)
            results.append(
                (
                    item,
                    isBack ? .undone(reason: "a client linked to it again") : .removed(bytes: orphanBytes[name] ?? 0)
                ))
        }
        return results
    }
}

extension RemovalResult {
    /// The same, told that not all could go back: the intent stays, and the next run tries again.
    fileprivate func withStranded(_ operation: Operation) -> RemovalResult {
        let text =
            "something of it stays in '\(operation.parkingPath.display)', since its place is taken; the next run tries again"
        switch self {
        case .kept(let kept): return .kept(kept + [Kept(by: .foreignEntry, text)])
        case .undone(let reason): return .undone(reason: "\(reason); \(text)")
        case .failed(var failure):
            failure.remedy += "; \(text)"
            return .failed(failure)
        case .removed: return self
        }
    }
}

extension RemovalContext {
    /// Whether a repo's folder was removed. One that was only renamed is still ours to make whole.
    func isGone(_ folders: RepoFolders) -> Bool { (try? folders.repo.stat())?.linkCount == 0 }

    /// Whether a repo's folder is a link.
    func isLink(_ folder: BytePath) -> Bool {
        guard let top = try? root.open(.empty, options: [.directory, .keepAccessTime]) else { return true }
        return (try? top.stat(of: folder))?.kind == .symlink
    }
}
