internal import CacheScan
internal import HubCache
internal import LinuxIO

/// An operation on a repo that has begun: its intent is on the disk.
///
/// Nothing but the intent and the disk tells how far it got: each part looks at what is where by what the intent says it is,
/// does what is left to do, and can be done again.
final class Operation: Sendable {
    let context: RemovalContext
    let folders: RepoFolders
    let touched: TouchedFiles
    let intent: Intent
    /// `.hfjanitor` of the repo.
    let parking: OwnedDescriptor
    /// The intent's file; its lock says that we live.
    let file: OwnedDescriptor
    /// Links that no longer resolve when the blob is out of the way.
    let hops: [BytePath: BytePath]
    let blobs: [BytePath: Intent.Blob]

    init(
        context: RemovalContext, folders: RepoFolders, touched: TouchedFiles, intent: Intent,
        parking: consuming OwnedDescriptor, file: consuming OwnedDescriptor
    ) {
        self.context = context
        self.folders = folders
        self.touched = touched
        self.intent = intent
        self.parking = parking
        self.file = file
        blobs = Dictionary(intent.blobs.map { ($0.name, $0) }) { first, _ in first }
        hops = blobs.compactMapValues(\.leadsTo)
    }

    var locks: RepoLocks { RepoLocks(folders: folders, steps: context.steps) }
    var store: SharedStore { SharedStore(context: context, folders: folders) }

    /// Writes a decision so that it is there after a crash.
    func write(_ decision: Decision) throws(SystemCallFailure) {
        try file.write(intent.encoded(decision))
        try file.synchronize()
    }

    /// Whether the intent is still the file that we hold.
    var isOurs: Bool { parking.isStill(intent.fileName, file) }

    /// What is parked under a name, when it is what the intent says.
    func parked(_ name: BytePath, _ identity: ParkedIdentity) throws(SystemCallFailure) -> FileStat? {
        guard let stat = try parking.statIfPresent(name), isOnOurDevice(stat) else { return nil }
        return ParkedIdentity(stat) == identity ? stat : nil
    }

    func isOnOurDevice(_ stat: FileStat) -> Bool { stat.key.device == folders.stat.key.device }

    /// The repo's folder, when it is a link elsewhere: it is not opened by way of the root then.
    var linkedFolders: [LinkedFolder] {
        guard context.isLink(folders.folder), let path = try? folders.repo.currentPath() else { return [] }
        return [LinkedFolder(path: folders.folder, key: folders.stat.key, physicalPath: path)]
    }

    var parkingPath: BytePath { folders.folder.appending(Intent.parkingFolder) }

    func left(_ name: BytePath, _ reason: String) {
        context.event(.left(path: parkingPath.appending(name), reason: reason))
    }

    /// Takes the intent away, and the private folder if nothing else is in it.
    func close() throws(SystemCallFailure) {
        try parking.unlinkIfPresent(intent.fileName)
        context.steps(.intentRemoved)
        // It costs nothing to leave it, and another operation may be about to use it.
        if (try? folders.repo.removeFolderIfEmpty(Intent.parkingFolder)) == true { context.steps(.folderRemoved) }
    }
}

extension RemovalContext {
    /// Opens a repo's `.hfjanitor`, made where it is absent.
    ///
    /// It is a real directory of the repo's owner, with the repo folder's mode less what lets others write.
    ///
    /// - Throws: `SystemCallFailure`; `EPERM` when something else has the name.
    func openParkingFolder(of folders: RepoFolders) throws(SystemCallFailure) -> OwnedDescriptor {
        let name = Intent.parkingFolder
        let permissions = folders.stat.permissions & ~0o022 | 0o700
        var isNew = false
        do throws(SystemCallFailure) {
            try folders.repo.makeFolder(name, permissions: permissions)
            isNew = true
        } catch {
            guard error.isTaken else { throw error }
        }
        let folder = try folders.repo.open(name, options: [.directory, .keepAccessTime])
        let stat = try folder.stat()
        guard stat.uid == folders.stat.uid, stat.key.device == folders.stat.key.device else {
            throw SystemCallFailure(call: "open", errno: SystemCallFailure.notPermittedNumber, subject: name)
        }
        if isNew && stat.gid != folders.stat.gid { try? folder.setGroup(folders.stat.gid) }
        if stat.permissions & 0o022 != 0 || (isNew && stat.permissions != permissions) {
            try folder.setPermissions(permissions)
        }
        if isNew {
            try folders.repo.synchronize()
            steps(.folderMade)
        }
        return folder
    }
}
