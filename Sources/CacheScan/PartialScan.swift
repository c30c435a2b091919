public import HubCache
public import LinuxIO

// Looks at one repo, and at what of the shared store concerns it, without listing the rest of the cache.
extension CacheScan {
    /// A repo's folder as the root has it now.
    ///
    /// - Returns: nil when no such folder, or link to one, is there, or the name is not a repo's.
    /// - Throws: `SystemCallFailure` when it cannot be looked at.
    public func repoFolder(_ folder: BytePath) throws(SystemCallFailure) -> CacheListing.RepoFolder? {
        guard let id = RepoID(folder: folder) else { return nil }
        do throws(SystemCallFailure) {
            let stat = try root.stat(of: folder)
            guard stat.kind == .directory || stat.kind == .symlink else { return nil }
            return CacheListing.RepoFolder(id: id, entry: DirectoryEntry(name: folder, stat: stat))
        } catch {
            if error.isAbsent { return nil }
            throw error
        }
    }

    /// What a listing says of one repo and the shared store, without the rest of the root where there is no store.
    ///
    /// - Returns: nil when the repo is not there.
    /// - Throws: `SystemCallFailure` when the root cannot be looked at.
    public func list(only id: RepoID) throws(SystemCallFailure) -> CacheListing? {
        if hasStore() {
            let listing = try list()
            return listing.repos.contains { $0.id == id } ? listing : nil
        }
        guard let folder = try repoFolder(id.folder) else { return nil }
        var listing = CacheListing()
        listing.store.scannedAt = currentTime()
        listing.repos = [folder]
        return listing
    }

    /// Whether the cache has a shared store: a real folder with its marker.
    public func hasStore() -> Bool {
        guard let folder = try? root.open("blobs", options: [.directory, .keepAccessTime]) else { return false }
        return hasMarker(folder)
    }

    /// The shared store as far as some payloads go, for what needs no more of it.
    public func store(holding payloads: Set<BytePath>) -> StoreInventory {
        var store = StoreInventory()
        store.scannedAt = currentTime()
        store.isPresent = hasStore()
        guard store.isPresent else { return store }
        for payload in payloads {
            let location = StoreInventory.location(of: payload)
            do throws(SystemCallFailure) {
                let shelf = try root.open(location.parent, options: [.directory, .keepAccessTime])
                let stat = try shelf.stat(of: payload)
                let manifest = BytePath(bytes: payload.bytes + Array(".refs".utf8))
                let hasManifest = (try? shelf.stat(of: manifest))?.kind == .regular
                store.payloads[payload] = StorePayload(stat: stat, hasManifest: hasManifest)
            } catch {
                if !error.isAbsent { store.unseen[location] = error.errno }
            }
        }
        return store
    }
}
