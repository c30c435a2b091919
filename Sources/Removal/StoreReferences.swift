package import CacheScan
package import HubCache
package import LinuxIO

/// Who links to the payloads of the shared store.
package struct StoreReferences: Sendable {
    let root: CacheRoot

    private static let manifestLimit = 16 << 20

    /// Looks in a cache.
    package init(root: CacheRoot) { self.root = root }

    /// The blobs of repos that the manifest of a payload names and that lead to it. To be asked under the payload's lock.
    ///
    /// - Parameter shelf: the folder that the payload is in.
    /// - Returns: nil when there is no manifest that can be read.
    package func valid(of payload: BytePath, in shelf: borrowing OwnedDescriptor) throws(SystemCallFailure)
        -> [BytePath]?
    {
        let location = StoreInventory.location(of: payload)
        return try listed(of: payload, in: shelf)?.filter { isValid($0, location) }
    }

    /// The lines of a payload's manifest.
    ///
    /// - Returns: nil when it cannot be read as a manifest.
    func listed(of payload: BytePath, in shelf: borrowing OwnedDescriptor) throws(SystemCallFailure) -> [BytePath]? {
        let name = payload.suffixed(".refs")
        guard try shelf.statIfPresent(name)?.kind == .regular else { return nil }
        let file: OwnedDescriptor
        do throws(SystemCallFailure) {
            file = try shelf.open(name, options: .keepAccessTime)
        } catch {
            return nil
        }
        guard let bytes = try file.readAll(limit: Self.manifestLimit) else { return nil }
        return bytes.split(separator: 0x0a).map { BytePath(bytes: $0) }
    }

    /// Whether a line of a manifest names a link of a repo that leads to the payload. What cannot be looked at does.
    func isValid(_ line: BytePath, _ location: BytePath) -> Bool {
        let parts = line.bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.count == 3, RepoID(folder: BytePath(bytes: parts[0])) != nil, parts[1].elementsEqual("blobs".utf8)
        else { return false }
        let name = BytePath(bytes: parts[2])
        guard !name.isEmpty, name != ".", name != ".." else { return false }
        do throws(SystemCallFailure) {
            guard let folder = try openIfPresent(line.parent) else { return false }
            guard try folder.statIfPresent(name)?.kind == .symlink else { return false }
            let text = try folder.readLink(name)
            if text.bytes.first == UInt8(ascii: "/") {
                return BytePath("/").resolvingLexically(BytePath(bytes: text.bytes.drop { $0 == 0x2f }))
                    == BytePath(bytes: root.path.appending(location).bytes.drop { $0 == 0x2f })
            }
            return line.parent.resolvingLexically(text) == location
        } catch {
            return !error.isAbsent
        }
    }

    /// Opens a folder below the root. A link on the way is an error: what is behind it was not looked at.
    func openIfPresent(_ path: BytePath) throws(SystemCallFailure) -> OwnedDescriptor? {
        do throws(SystemCallFailure) {
            return try root.open(path, options: [.directory, .keepAccessTime])
        } catch {
            if error.isAbsent { return nil }
            throw error
        }
    }
}
