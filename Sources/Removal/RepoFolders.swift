package import CacheScan
package import HubCache
package import LinuxIO

/// A repo's folder, opened to change something in it. Every path is opened beneath it, without following links.
package final class RepoFolders: Sendable {
    package let root: CacheRoot
    /// The folder's name in the cache root.
    package let folder: BytePath
    package let repo: OwnedDescriptor
    package let stat: FileStat

    /// - Throws: `SystemCallFailure`.
    package init(root: CacheRoot, inventory: RepoInventory) throws(SystemCallFailure) {
        self.root = root
        folder = inventory.folder
        repo = try root.open(
            inventory.folder, linked: inventory.linkedFolders, options: [.directory, .keepAccessTime])
        stat = try repo.stat()
    }

    /// Opens a folder in the repo's.
    package func open(_ path: BytePath) throws(SystemCallFailure) -> OwnedDescriptor {
        try repo.open(path.isEmpty ? "." : path, options: [.directory, .keepAccessTime])
    }

    /// Opens a folder that may not be there.
    package func openIfPresent(_ path: BytePath) throws(SystemCallFailure) -> OwnedDescriptor? {
        do throws(SystemCallFailure) {
            return try open(path)
        } catch {
            if error.isAbsent { return nil }
            throw error
        }
    }

    /// What `stat` says of an entry, nil when it is not there.
    package func statIfPresent(_ path: BytePath) throws(SystemCallFailure) -> FileStat? {
        guard let folder = try openIfPresent(path.parent) else { return nil }
        return try folder.statIfPresent(path.lastComponent)
    }

    /// Makes a folder below the repo's and those above it, as a client would; what is there already is good.
    ///
    /// - Throws: `SystemCallFailure` when something else has one of the names.
    func makeFolders(_ path: BytePath, permissions: UInt16 = 0o777) throws(SystemCallFailure) {
        var parent = BytePath.empty
        for component in path.components {
            let folder = try open(parent)
            do throws(SystemCallFailure) {
                try folder.makeFolder(component, permissions: permissions)
            } catch {
                guard error.isTaken else { throw error }
            }
            parent = parent.appending(component)
        }
    }
}

extension OwnedDescriptor {
    /// What `stat` says of an entry of this directory, nil when it is not there.
    package borrowing func statIfPresent(_ name: BytePath) throws(SystemCallFailure) -> FileStat? {
        do throws(SystemCallFailure) {
            return try stat(of: name)
        } catch {
            if error.isAbsent { return nil }
            throw error
        }
    }

    /// Opens a folder directly in this one, making it where it is absent, with the mode and group of another one.
    ///
    /// - Throws: `SystemCallFailure` when something else has the name.
    package borrowing func folderMade(_ name: BytePath, like model: FileStat) throws(SystemCallFailure)
        -> OwnedDescriptor
    {
        do throws(SystemCallFailure) {
            try makeFolder(name, permissions: model.permissions)
        } catch {
            guard error.isTaken else { throw error }
            return try open(name, options: [.directory, .keepAccessTime])
        }
        let made = try open(name, options: [.directory, .keepAccessTime])
        // Who is not in the group cannot give it away; the folder is the owner's then, as a client would make it.
        if try made.stat().gid != model.gid { try? made.setGroup(model.gid) }
        try made.setPermissions(model.permissions)
        return made
    }

    /// Takes a name away; one that is gone already is good.
    ///
    /// - Returns: whether it was there.
    @discardableResult
    package borrowing func unlinkIfPresent(_ name: BytePath) throws(SystemCallFailure) -> Bool {
        do throws(SystemCallFailure) {
            try unlink(name)
            return true
        } catch {
            if error.isAbsent { return false }
            throw error
        }
    }

    /// Takes a directory away if it is empty.
    ///
    /// - Returns: whether it is gone.
    @discardableResult
    borrowing func removeFolderIfEmpty(_ name: BytePath) throws(SystemCallFailure) -> Bool {
        do throws(SystemCallFailure) {
            try removeFolder(name)
            return true
        } catch {
            if error.isAbsent { return true }
            if error.isNotEmpty { return false }
            throw error
        }
    }
}

/// Eight hexadecimal digits, for a temporary name as the clients make them.
package func randomDigits() -> String { String(randomOperationName().text.prefix(8)) }

/// Sixteen digits that no other operation has.
func randomOperationName() -> BytePath {
    let text = String(UInt64.random(in: 0 ... .max), radix: 16)
    return BytePath(String(repeating: "0", count: 16 - text.utf8.count) + text)
}
