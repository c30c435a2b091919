internal import CacheScan
internal import HubCache
internal import HubClient
internal import LinuxIO
internal import Removal

/// The small files that a client writes beside blobs and links, each in one step.
struct CommitTexts {
    let place: RepoPlace

    /// `trees/<commit>.json`, readable by its owner alone, as the client's is.
    func writeManifest(_ files: [HubTreeFile], of commit: CommitHash) throws(SystemCallFailure) {
        let folder = try place.makeFolders("trees")
        let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789_")
        let name = "tmp" + String((0..<8).map { _ in letters[Int.random(in: letters.indices)] }) + ".tmp"
        try write(
            manifestText(of: files), to: BytePath(commit.hex + ".json"), through: BytePath(name), in: folder,
            permissions: 0o600)
        place.steps.reached(.manifestWritten)
    }

    /// Has the manifest be younger than the locks that were taken so far: older ones tell of downloads that began and did not end.
    func disownLocks(of commit: CommitHash) {
        guard let folder = try? place.folders.openIfPresent("trees"),
            let manifest = try? folder.open(BytePath(commit.hex + ".json"), options: .keepAccessTime)
        else { return }
        try? manifest.touch()
    }

    /// Writes `refs/<revision>`. What is in its way is in no file's way.
    ///
    /// - Returns: what is in the way, and what helps.
    /// - Throws: `SystemCallFailure` for a disk that is full or fails.
    func refProblem(_ revision: BytePath, _ commit: CommitHash) throws(SystemCallFailure) -> String? {
        let name = "refs/\(revision.display)"
        do throws(SystemCallFailure) {
            try writeRef(revision, to: commit)
            return nil
        } catch {
            let remedy: String
            if error.isPermission || error.isReadOnly {
                remedy = "a fetch by the cache's owner sets it"
            } else if error.isTaken || error.errno == SystemCallFailure.notAFolderNumber
                || error.errno == SystemCallFailure.isAFolderNumber || error.isNotEmpty
            {
                remedy =
                    "another ref has a part of its name, which a folder and a file cannot both have: remove the one that is not "
                    + "needed from 'refs', or name the commit"
            } else if error.isLink {
                remedy = "a symbolic link stands where none may be: see what it is for, and remove it"
            } else {
                throw error
            }
            return "the files are here, but '\(name)' could not be set to \(commit.short) (\(error.reason)): \(remedy)"
        }
    }

    /// `refs/<revision>`: the commit's 40 digits and nothing else.
    private func writeRef(_ revision: BytePath, to commit: CommitHash) throws(SystemCallFailure) {
        let parent = BytePath("refs").appending(revision.parent)
        let name = revision.lastComponent
        let content = Array(commit.hex.utf8)
        if let folder = try place.folders.openIfPresent(parent),
            try folder.statIfPresent(name)?.kind == .regular,
            let file = try? folder.open(name, options: .keepAccessTime), try file.readAll(limit: 64) == content
        {
            return
        }
        guard place.isOwn else {
            throw SystemCallFailure(call: "open", errno: SystemCallFailure.deniedNumber, subject: parent)
        }
        let folder = try place.makeFolders(parent)
        // The names of folders made for it, too, are on the disk before it is.
        try place.folders.repo.synchronize()
        var above = BytePath.empty
        for component in parent.components.dropLast() {
            above = above.appending(component)
            try place.folders.open(above).synchronize()
        }
        let temporary = BytePath("\(name.text).\(randomDigits()).tmp")
        try write(
            content, to: name, through: temporary, in: folder, permissions: place.folders.stat.permissions & 0o666)
        place.steps.reached(.refWritten)
    }

    /// `CACHEDIR.TAG`, which keeps backups away.
    func writeTag() throws(SystemCallFailure) {
        let top = try place.root.open(.empty, options: [.directory, .keepAccessTime])
        // A crash may leave an empty one.
        if let stat = try top.statIfPresent("CACHEDIR.TAG"), stat.kind != .regular || stat.size > 0 { return }
        let text = """
            Signature: 8a477f597d28d172789f06886806bc55
            # This file is a cache directory tag created by huggingface_hub.
            # For information about cache directory tags, see:
            #\thttps://bford.info/cachedir/

            """
        // What a crash leaves here disturbs no client's scan of the root.
        let locks = try top.folderMade(".locks", like: place.root.stat)
        try write(
            Array(text.utf8), to: "CACHEDIR.TAG", through: BytePath("hfjanitor-tag.\(randomDigits()).tmp"), in: locks,
            endingIn: top, permissions: place.root.stat.permissions & 0o666)
        place.steps.reached(.tagWritten)
    }

    private func write(
        _ content: [UInt8], to name: BytePath, through temporary: BytePath, in folder: borrowing OwnedDescriptor,
        permissions: UInt16
    ) throws(SystemCallFailure) {
        try write(content, to: name, through: temporary, in: folder, endingIn: folder, permissions: permissions)
    }

    private func write(
        _ content: [UInt8], to name: BytePath, through temporary: BytePath, in folder: borrowing OwnedDescriptor,
        endingIn end: borrowing OwnedDescriptor, permissions: UInt16
    ) throws(SystemCallFailure) {
        do throws(SystemCallFailure) {
            let file = try folder.createFile(temporary, permissions: 0o600)
            try file.write(content)
            try file.setPermissions(permissions)
            try file.synchronize()
            try folder.rename(temporary, to: end, name, .replace)
        } catch {
            _ = try? folder.unlinkIfPresent(temporary)
            throw error
        }
        try end.synchronize()
    }
}
