internal import CacheScan
internal import HubCache
internal import LinuxIO

/// Why an operation went no further. Everything of it has to go back.
enum Abandoned: Error, Sendable {
    /// Somebody is in the way.
    case kept([Kept])
    /// Something changed under our hands.
    case changed(String)
    /// A system call failed.
    case failed(SystemCallFailure)

    init(_ obstacle: Obstacle) {
        switch obstacle {
        case .kept(let kept): self = .kept(kept)
        case .failed(let failure): self = .changed(failure.what)
        }
    }

    /// What to say of the items once everything is back.
    func result(_ folder: BytePath) -> RemovalResult {
        switch self {
        case .kept(let kept): .kept(kept)
        case .changed(let reason): .undone(reason: reason)
        case .failed(let failure): .failed(RemovalFailure(failure, in: folder))
        }
    }
}

/// Runs what calls the system as part of what is abandoned when it fails.
func failing<Result>(_ body: () throws(SystemCallFailure) -> Result) throws(Abandoned) -> Result {
    do throws(SystemCallFailure) { return try body() } catch { throw .failed(error) }
}

extension RemovalContext {
    /// Announces an operation: from here on a crash is finished or undone by whoever comes next.
    func begin(
        _ selection: Selection, request: RemovalRequest, folders: RepoFolders, touched: TouchedFiles,
        repo: RepoInventory
    )
        throws(SystemCallFailure) -> Operation?
    {
        // Another one of us may take the empty folder away before our file is in it, or our draft for one that nobody writes.
        var attempts = 0
        while true {
            attempts += 1
            do throws(SystemCallFailure) {
                return try announce(selection, request: request, folders: folders, touched: touched, repo: repo)
            } catch {
                let isPassing =
                    error.errno == SystemCallFailure.absentNumber || error.errno == SystemCallFailure.tryAgainNumber
                guard isPassing, attempts < 16, !isGone(folders) else {
                    _ = try? folders.repo.removeFolderIfEmpty(Intent.parkingFolder)
                    throw error
                }
            }
        }
    }

    private func announce(
        _ selection: Selection, request: RemovalRequest, folders: RepoFolders, touched: TouchedFiles,
        repo: RepoInventory
    )
        throws(SystemCallFailure) -> Operation?
    {
        let parking = try openParkingFolder(of: folders)
        steps(.folderOpened)
        let intent = intent(of: selection, request: request, folders: folders, repo: repo)
        let bytes = intent.encodedWithRoom()
        guard bytes.count < Intent.sizeLimit else {
            throw SystemCallFailure(call: "write", errno: SystemCallFailure.tooBigNumber, subject: folders.folder)
        }
        // Written and locked under another name first: nobody can ever see one that is empty or free while we live.
        let file = try parking.createFile(intent.draftName, permissions: 0o644)
        var isPublished = false
        do throws(SystemCallFailure) {
            guard try file.tryLock() == .locked else {
                throw SystemCallFailure(
                    call: "flock", errno: SystemCallFailure.tryAgainNumber, subject: intent.draftName)
            }
            try file.setPermissions(0o644)
            try file.write(bytes)
            steps(.intentWritten)
            try file.synchronize()
            try parking.move(intent.draftName, to: parking, intent.fileName)
            isPublished = true
            steps(.intentPublished)
            try parking.synchronize()
        } catch {
            _ = try? parking.unlinkIfPresent(isPublished ? intent.fileName : intent.draftName)
            _ = try? folders.repo.removeFolderIfEmpty(Intent.parkingFolder)
            throw error
        }
        let operation = Operation(
            context: self, folders: folders, touched: touched, intent: intent, parking: parking, file: file)
        // Two of us see each other here, and at least one gives way.
        let others = try operation.folders.open(Intent.parkingFolder).listDirectory().entries.contains { entry in
            entry.name.hasSuffix(".intent") && entry.name != intent.fileName
        }
        if others || !operation.isOurs {
            try operation.close()
            return nil
        }
        return operation
    }

    private func intent(of selection: Selection, request: RemovalRequest, folders: RepoFolders, repo: RepoInventory)
        -> Intent
    {
        var intent = Intent(
            operation: randomOperationName(), folder: folders.folder,
            removesEmptyFolders: request.isWholeRepo || request.removesEmptyFolders, revisions: [],
            blobs: [])
        let store = store(of: repo)
        for selected in selection.revisions {
            intent.revisions.append(
                Intent.Revision(
                    commit: selected.commit, inode: selected.walk.folders[0].stat.key.inode,
                    folders: selected.walk.folders.map {
                        Intent.Folder(path: $0.path, permissions: $0.stat.permissions, gid: $0.stat.gid)
                    },
                    files: selected.walk.files.map {
                        Intent.File(path: $0.path, identity: ParkedIdentity($0.stat))
                    },
                    refs: repo.refs.filter { $0.commit == selected.commit }.map {
                        Intent.Ref(name: $0.name, identity: ParkedIdentity($0.stat))
                    },
                    manifest: repo.manifests[selected.commit].map(ParkedIdentity.init)))
        }
        for name in selection.blobs {
            guard let blob = repo.blobs[name] else { continue }
            var parked = Intent.Blob(name: name, identity: ParkedIdentity(blob.stat), leadsTo: nil, payload: nil)
            switch blob.link {
            case .blob(let other) where blob.stat.kind == .symlink: parked.leadsTo = other
            case .payload(let hash):
                if let payload = store.payloads[hash], payload.stat.kind == .regular {
                    parked.payload = Intent.Payload(hash: hash, identity: ParkedIdentity(payload.stat))
                }
            default: break
            }
            intent.blobs.append(parked)
        }
        return intent
    }
}

extension Operation {
    /// Makes the empty folders that take the snapshots' places.
    func makeSkeletons() throws(SystemCallFailure) {
        for (index, revision) in intent.revisions.enumerated() {
            let top = intent.parkedName(revision: index)
            for folder in revision.folders {
                let place = top.appending(folder.path)
                let parent: OwnedDescriptor =
                    place.parent.isEmpty
                    ? try folders.open(Intent.parkingFolder)
                    : try parking.open(place.parent, options: [.directory, .keepAccessTime])
                try parent.makeFolder(place.lastComponent, permissions: folder.permissions & 0o777 | 0o700)
                let made = try parent.open(place.lastComponent, options: [.directory, .keepAccessTime])
                // A member of the group may not belong to it; the folder is good without.
                let stat = try made.stat()
                if stat.gid != folder.gid { try? made.setGroup(folder.gid) }
                if stat.permissions != folder.permissions { try made.setPermissions(folder.permissions | 0o700) }
                context.steps(.skeletonFolderMade)
            }
            // Last, since one may not be made in a folder that its owner may not write to.
            for folder in revision.folders where folder.permissions & 0o700 != 0o700 {
                try parking.open(top.appending(folder.path), options: [.directory, .keepAccessTime])
                    .setPermissions(folder.permissions)
            }
        }
    }

    /// Takes away the refs that name the revisions: from then on these are only detached, whatever happens.
    func parkRefs() throws(Abandoned) {
        for (index, revision) in intent.revisions.enumerated() {
            for (number, ref) in revision.refs.enumerated() {
                let parkedName = intent.parkedName(revision: index, ref: number)
                do throws(SystemCallFailure) {
                    let place = BytePath("refs").appending(ref.name)
                    guard let folder = try folders.openIfPresent(place.parent) else { continue }
                    try folder.move(place.lastComponent, to: parking, parkedName)
                    context.steps(.refParked)
                    if try parked(parkedName, ref.identity) == nil {
                        // Written anew since it was read: it goes back as it is, unless there is a newer one still.
                        do throws(SystemCallFailure) {
                            try parking.move(parkedName, to: folder, place.lastComponent)
                        } catch {
                            guard error.isTaken else { throw error }
                            try parking.unlinkIfPresent(parkedName)
                        }
                        throw SystemCallFailure(
                            call: "rename", errno: SystemCallFailure.staleNumber, subject: place)
                    }
                } catch {
                    if error.isAbsent { continue }
                    if error.errno == SystemCallFailure.staleNumber {
                        throw .changed("the ref '\(ref.name.display)' was set anew")
                    }
                    throw .failed(error)
                }
            }
        }
    }

    /// Takes the snapshots away, each in one system call where the filesystem can, else file by file.
    func parkSnapshots() throws(Abandoned) {
        for (index, revision) in intent.revisions.enumerated() {
            let parkedName = intent.parkedName(revision: index)
            let name = BytePath(revision.commit.hex)
            do throws(SystemCallFailure) {
                let snapshots = try folders.open("snapshots")
                do throws(SystemCallFailure) {
                    try snapshots.rename(name, to: parking, parkedName, .exchange)
                    context.steps(.snapshotParked)
                } catch {
                    guard error.isUnsupportedRename else { throw error }
                    try parkFiles(of: revision, as: parkedName)
                    continue
                }
                guard try parking.stat(of: parkedName).key.inode == revision.inode else {
                    try parking.rename(parkedName, to: snapshots, name, .exchange)
                    throw SystemCallFailure(call: "rename", errno: SystemCallFailure.staleNumber, subject: name)
                }
            } catch {
                if error.isAbsent || error.errno == SystemCallFailure.staleNumber {
                    throw .changed("the revision \(revision.commit.short) was removed or replaced by somebody else")
                }
                throw .failed(error)
            }
        }
    }

    private func parkFiles(of revision: Intent.Revision, as parkedName: BytePath) throws(SystemCallFailure) {
        let snapshot = BytePath("snapshots").appending(revision.commit.hex)
        for file in revision.files {
            let from = try folders.open(snapshot.appending(file.path.parent))
            let to = try parking.open(
                parkedName.appending(file.path.parent), options: [.directory, .keepAccessTime])
            let name = file.path.lastComponent
            try from.move(name, to: to, name)
            context.steps(.snapshotFileParked)
            guard try ParkedIdentity(to.stat(of: name)) == file.identity else {
                try to.move(name, to: from, name)
                throw SystemCallFailure(call: "rename", errno: SystemCallFailure.staleNumber, subject: file.path)
            }
        }
    }

    /// Takes blobs away. A blob that is a link into the shared store leaves its payload a second name, so that nobody's
    /// collection can take it meanwhile.
    func park(blobs names: some Sequence<BytePath>) throws(Abandoned) {
        do throws(SystemCallFailure) {
            guard let blobsFolder = try folders.openIfPresent("blobs") else { return }
            for name in names {
                guard let blob = blobs[name] else { continue }
                if let payload = blob.payload { try link(payload) }
                let parkedName = intent.parkedName(blob: name)
                do throws(SystemCallFailure) {
                    let before = try blobsFolder.stat(of: name)
                    try blobsFolder.move(name, to: parking, parkedName)
                    context.steps(.blobParked)
                    let after = try parking.stat(of: parkedName)
                    guard ParkedIdentity(after) == blob.identity else {
                        try parking.move(parkedName, to: blobsFolder, name)
                        throw SystemCallFailure(call: "rename", errno: SystemCallFailure.staleNumber, subject: name)
                    }
                    if after.linkCount > 1 { touched.note(before: before, after: after) }
                } catch {
                    // `hf cache rm` takes no lock: what it has removed is gone.
                    if !error.isAbsent { throw error }
                }
            }
        } catch {
            if error.errno == SystemCallFailure.staleNumber {
                throw .changed("the blob '\(error.subject.display)' was replaced by somebody else")
            }
            throw .failed(error)
        }
    }

    private func link(_ payload: Intent.Payload) throws(SystemCallFailure) {
        let name = intent.parkedName(payload: payload.hash)
        if try parked(name, payload.identity) != nil { return }
        let location = StoreInventory.location(of: payload.hash)
        let shelf = try context.root.open(location.parent, options: [.directory, .keepAccessTime])
        let before = try shelf.stat(of: payload.hash)
        do throws(SystemCallFailure) {
            try shelf.hardLink(payload.hash, to: parking, name)
        } catch {
            guard error.isTaken else { throw error }
        }
        context.steps(.payloadLinked)
        guard let after = try parked(name, payload.identity) else {
            _ = try? parking.unlinkIfPresent(name)
            throw SystemCallFailure(call: "link", errno: SystemCallFailure.staleNumber, subject: payload.hash)
        }
        touched.note(before: before, after: after)
    }
}
