internal import CacheScan
internal import HubCache
internal import LinuxIO

/// What became of something that was to go back to its place.
enum Restored: Sendable, Hashable {
    /// It is back.
    case done
    /// It was not parked (any more).
    case absent
    /// Its place is taken by as good a one.
    case replaced
    /// Its place is taken by something else, or it is not what it was: it stays parked.
    case left
}

// Everything that puts something back. Nothing here ever replaces a name that exists.
extension Operation {
    /// Puts a blob back, and the blob that it leads to.
    ///
    /// Safe on any thread and without locks: one rename that fails when the name is taken.
    ///
    /// - Throws: `SystemCallFailure`; the blob is where it was then.
    @discardableResult
    func restore(blob name: BytePath) throws(SystemCallFailure) -> Restored {
        guard let blob = blobs[name] else { return .absent }
        let parkedName = intent.parkedName(blob: name)
        guard let stat = try parked(parkedName, blob.identity) else {
            if try parking.statIfPresent(parkedName) != nil {
                left(parkedName, "it is not what it was")
                return .left
            }
            return .absent
        }
        try folders.makeFolders("blobs", permissions: folders.stat.permissions & 0o777)
        let blobsFolder = try folders.open("blobs")
        // The payload may have been collected meanwhile: its other name is as good a blob.
        if let payload = blob.payload, try !isInStore(payload) {
            let spare = intent.parkedName(payload: payload.hash)
            if try parked(spare, payload.identity) != nil {
                do throws(SystemCallFailure) {
                    // Another blob may need it too: a name more, not the name itself.
                    try parking.hardLink(spare, to: blobsFolder, name)
                } catch {
                    guard error.isTaken else { throw error }
                    guard try isAsGood(try blobsFolder.statIfPresent(name), as: stat, blob) else {
                        left(parkedName, "its place is taken by something else")
                        return .left
                    }
                }
                try parking.unlinkIfPresent(parkedName)
                context.steps(.blobRestored)
                return .done
            }
        }
        do throws(SystemCallFailure) {
            try parking.move(parkedName, to: blobsFolder, name)
        } catch {
            guard error.isTaken else {
                // The one who watches may have been quicker.
                if error.isAbsent { return .absent }
                throw error
            }
            guard try isAsGood(try blobsFolder.statIfPresent(name), as: stat, blob) else {
                left(parkedName, "its place is taken by something else")
                return .left
            }
            let (answer, lease) = context.inUse.hold(
                FileInQuestion(location: parkingPath.appending(parkedName), linked: linkedFolders, stat: stat))
            defer { withExtendedLifetime(lease) {} }
            if answer == .taken {
                left(parkedName, "a process has it open, though its place is taken by as good a one")
                return .left
            }
            try parking.unlinkIfPresent(parkedName)
            context.steps(.blobUnlinked)
            return .replaced
        }
        if let after = try? blobsFolder.stat(of: name) { touched.note(before: stat, after: after) }
        context.steps(.blobRestored)
        if let next = blob.leadsTo, next != name { try restore(blob: next) }
        return .done
    }

    private func isInStore(_ payload: Intent.Payload) throws(SystemCallFailure) -> Bool {
        let location = StoreInventory.location(of: payload.hash)
        do throws(SystemCallFailure) {
            let shelf = try context.root.open(location.parent, options: [.directory, .keepAccessTime])
            return try shelf.statIfPresent(payload.hash)?.kind == .regular
        } catch {
            if error.isAbsent { return false }
            throw error
        }
    }

    /// Whether what has the name now makes the parked blob superfluous: a client fetched it anew.
    private func isAsGood(_ stat: FileStat?, as parked: FileStat, _ blob: Intent.Blob) throws(SystemCallFailure) -> Bool
    {
        guard let stat else { return false }
        // An etag names its content: one file of this name and size is as good as another.
        let size = blob.identity.kind == .symlink ? blob.payload?.identity.size : parked.size
        if stat.kind == .regular { return size == nil || stat.size == size }
        guard stat.kind == .symlink, let repo = try context.scan(folders),
            case .file(let end, _, _) = repo.content(ofBlob: blob.name, store: context.store(of: repo))
        else { return false }
        return size == nil || end.size == size
    }

    /// Puts everything of some revisions back but their blobs.
    ///
    /// - Returns: whether nothing stayed parked.
    func restore(revision index: Int) throws(SystemCallFailure) -> Bool {
        var isWhole = try restoreSnapshot(index)
        let revision = intent.revisions[index]
        for (number, ref) in revision.refs.enumerated() {
            let parkedName = intent.parkedName(revision: index, ref: number)
            guard try parked(parkedName, ref.identity) != nil else {
                if try parking.statIfPresent(parkedName) != nil {
                    left(parkedName, "it is not what it was")
                    isWhole = false
                }
                continue
            }
            let place = BytePath("refs").appending(ref.name)
            do throws(SystemCallFailure) {
                try folders.makeFolders(place.parent, permissions: folders.stat.permissions & 0o777)
                try parking.move(parkedName, to: try folders.open(place.parent), place.lastComponent)
                context.steps(.refRestored)
            } catch {
                // A client has set the ref since (or one that is now a folder): its word counts, not the old one.
                guard error.isTaken || error.isAbsent else { throw error }
                try parking.unlinkIfPresent(parkedName)
            }
        }
        return isWhole
    }

    private func restoreSnapshot(_ index: Int) throws(SystemCallFailure) -> Bool {
        let revision = intent.revisions[index]
        let parkedName = intent.parkedName(revision: index)
        guard let parkedStat = try parking.statIfPresent(parkedName) else { return true }
        guard parkedStat.kind == .directory, isOnOurDevice(parkedStat) else {
            left(parkedName, "it is not what it was")
            return false
        }
        let name = BytePath(revision.commit.hex)
        if parkedStat.key.inode == revision.inode {
            try folders.makeFolders("snapshots", permissions: folders.stat.permissions & 0o777)
            let snapshots = try folders.open("snapshots")
            if try putBack(parkedName, as: name, in: snapshots) {
                context.steps(.snapshotRestored)
            }
        }
        // What is parked now is a skeleton, or was taken away file by file, or a client uses the one in its place.
        return try merge(parkedName, into: BytePath("snapshots").appending(name))
    }

    /// Puts the folder itself back in one call, when its place is free or has nothing but our empty folders.
    ///
    /// - Returns: whether that was possible.
    private func putBack(_ parkedName: BytePath, as name: BytePath, in snapshots: borrowing OwnedDescriptor)
        throws(SystemCallFailure) -> Bool
    {
        for _ in 0..<3 {
            guard let there = try snapshots.statIfPresent(name) else {
                do throws(SystemCallFailure) {
                    try parking.move(parkedName, to: snapshots, name)
                    return true
                } catch {
                    if error.isTaken { continue }
                    throw error
                }
            }
            guard there.kind == .directory else { return false }
            let walk = try SnapshotWalk(of: try snapshots.open(name, options: [.directory, .keepAccessTime]))
            guard walk.files.isEmpty else { return false }
            do throws(SystemCallFailure) {
                try parking.rename(parkedName, to: snapshots, name, .exchange)
                return true
            } catch {
                if error.errno == SystemCallFailure.absentNumber { continue }
                if error.isUnsupportedRename { return false }
                throw error
            }
        }
        return false
    }

    /// Moves every file of a parked folder to where it belongs, and takes the folders away.
    ///
    /// - Returns: whether nothing stayed.
    func merge(_ parkedName: BytePath, into place: BytePath) throws(SystemCallFailure) -> Bool {
        guard let from = try openParked(parkedName) else { return true }
        let walk = try SnapshotWalk(of: from)
        var isWhole = true
        for file in walk.files {
            let source = try from.open(
                file.path.parent.isEmpty ? "." : file.path.parent, options: [.directory, .keepAccessTime])
            let target = place.appending(file.path)
            do throws(SystemCallFailure) {
                try folders.makeFolders(target.parent, permissions: folders.stat.permissions & 0o777)
                let folder = try folders.open(target.parent)
                do throws(SystemCallFailure) {
                    try source.move(file.path.lastComponent, to: folder, target.lastComponent)
                    context.steps(.snapshotFileRestored)
                } catch {
                    if error.errno == SystemCallFailure.absentNumber { continue }
                    guard error.isTaken else { throw error }
                    guard isSame(file.path.lastComponent, in: source, as: target.lastComponent, in: folder) else {
                        left(parkedName.appending(file.path), "its place is taken by something else")
                        isWhole = false
                        continue
                    }
                    try source.unlinkIfPresent(file.path.lastComponent)
                }
            } catch {
                // A file where a folder of the path was.
                guard error.isAbsent || error.isTaken || error.isLink else { throw error }
                left(parkedName.appending(file.path), "its place is taken by something else")
                isWhole = false
            }
        }
        return try removeFolders(walk, parkedName) && isWhole
    }

    /// Opens a parked folder; nil when it is not there.
    func openParked(_ name: BytePath) throws(SystemCallFailure) -> OwnedDescriptor? {
        do throws(SystemCallFailure) {
            return try parking.open(name, options: [.directory, .keepAccessTime])
        } catch {
            if error.isAbsent { return nil }
            throw error
        }
    }

    /// Takes a parked folder's folders away as far as they are empty.
    func removeFolders(_ walk: SnapshotWalk, _ parkedName: BytePath) throws(SystemCallFailure) -> Bool {
        var isWhole = true
        for folder in walk.folders.reversed() {
            let place = parkedName.appending(folder.path)
            let isGone: Bool
            if place.parent.isEmpty {
                isGone = try parking.removeFolderIfEmpty(place)
            } else {
                guard let parent = try openParked(place.parent) else { continue }
                isGone = try parent.removeFolderIfEmpty(place.lastComponent)
            }
            if isGone { context.steps(.snapshotFolderRemoved) }
            isWhole = isWhole && isGone
        }
        return isWhole
    }

    /// Whether two names are links with one text, or one file: then one of them is enough.
    private func isSame(
        _ name: BytePath, in folder: borrowing OwnedDescriptor, as other: BytePath,
        in otherFolder: borrowing OwnedDescriptor
    ) -> Bool {
        guard let stat = try? folder.stat(of: name), let there = try? otherFolder.stat(of: other) else { return false }
        if stat.key == there.key { return true }
        guard stat.kind == .symlink, there.kind == .symlink, let text = try? folder.readLink(name) else { return false }
        return text == (try? otherFolder.readLink(other))
    }

    /// Puts everything back.
    ///
    /// - Returns: whether nothing stayed parked.
    func undo() throws(SystemCallFailure) -> Bool {
        var isWhole = true
        for blob in intent.blobs {
            let result = try restore(blob: blob.name)
            isWhole = isWhole && result != .left
        }
        for index in intent.revisions.indices {
            let isBack = try restore(revision: index)
            isWhole = isWhole && isBack
        }
        restoreReferences()
        try dropPayloadNames()
        return isWhole
    }

    /// Makes links into the store count again that were out of the way.
    func restoreReferences() {
        for blob in intent.blobs {
            guard let payload = blob.payload, let folder = try? folders.open("blobs"),
                (try? folder.stat(of: blob.name))?.kind == .symlink
            else { continue }
            if !store.ensureReference(from: blob.name, to: payload.hash) {
                context.event(
                    .left(
                        path: folders.folder.appending("blobs").appending(blob.name),
                        reason: "the shared store's manifest could not be brought up to date"))
            }
        }
    }

    /// Whether a payload's second name is the last one, and a link stays parked that leads to it.
    func isNeeded(_ payload: Intent.Payload) throws(SystemCallFailure) -> Bool {
        if try isInStore(payload) { return false }
        for blob in intent.blobs where blob.payload?.hash == payload.hash {
            if try parked(intent.parkedName(blob: blob.name), blob.identity) != nil { return true }
        }
        return false
    }

    /// Takes the second names of payloads away that nothing needs.
    func dropPayloadNames() throws(SystemCallFailure) {
        for payload in intent.payloads {
            let name = intent.parkedName(payload: payload.hash)
            guard let stat = try parked(name, payload.identity), try !isNeeded(payload) else { continue }
            try parking.unlinkIfPresent(name)
            noteLinkChange(of: payload, before: stat)
            context.steps(.payloadLinkUnlinked)
        }
    }

    func noteLinkChange(of payload: Intent.Payload, before: FileStat) {
        let location = StoreInventory.location(of: payload.hash)
        guard let shelf = try? context.root.open(location.parent, options: [.directory, .keepAccessTime]),
            let after = try? shelf.stat(of: payload.hash)
        else { return }
        touched.note(before: before, after: after)
    }
}
