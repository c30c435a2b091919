internal import CacheScan
internal import HubCache
internal import LinuxIO

/// A repo's folder, opened to change something in it. Every path is opened beneath it, without following links.
final class RepoFolders: Sendable {
    let root: CacheRoot
    /// The folder's name in the cache root.
    let folder: BytePath
    let repo: OwnedDescriptor
    let stat: FileStat

    /// - Throws: `SystemCallFailure`.
    init(root: CacheRoot, inventory: RepoInventory) throws(SystemCallFailure) {
        self.root = root
        folder = inventory.folder
        repo = try root.open(
            inventory.folder, linked: inventory.linkedFolders, options: [.directory, .keepAccessTime])
        stat = try repo.stat()
    }

    /// Opens a folder in the repo's.
    func open(_ path: BytePath) throws(SystemCallFailure) -> OwnedDescriptor {
        try repo.open(path.isEmpty ? "." : path, options: [.directory, .keepAccessTime])
    }

    /// Opens a folder that may not be there.
    func openIfPresent(_ path: BytePath) throws(SystemCallFailure) -> OwnedDescriptor? {
        do throws(SystemCallFailure) {
            return try open(path)
        } catch {
            if error.isAbsent { return nil }
            throw error
        }
    }

    /// What `stat` says of an entry, nil when it is not there.
    func statIfPresent(_ path: BytePath) throws(SystemCallFailure) -> FileStat? {
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
    borrowing func statIfPresent(_ name: BytePath) throws(SystemCallFailure) -> FileStat? {
        do throws(SystemCallFailure) {
            return try stat(of: name)
        } catch {
            if error.isAbsent { return nil }
            throw error
        }
    }

    /// Takes a name away; one that is gone already is good.
    ///
    /// - Returns: whether it was there.
    @discardableResult
    borrowing func unlinkIfPresent(_ name: BytePath) throws(SystemCallFailure) -> Bool {
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

/// Sixteen digits that no other operation has.
func randomOperationName() -> BytePath {
    let text = String(UInt64.random(in: 0 ... .max), radix: 16)
    return BytePath(String(repeating: "0", count: 16 - text.utf8.count) + text)
}
