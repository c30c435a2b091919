internal import HubCache
internal import LinuxIO

/// Works out where links end, without ever leaving the cache.
///
/// Nothing here opens a file's content; a target outside is not even looked at. What is opened later is opened by the path
/// that this gives, beneath the root and without following links, and is compared with what was looked at here.
struct LinkResolution {
    let root: CacheRoot
    /// The repo's folder, relative to the root.
    let repo: BytePath
    /// The linked folder that the link stands in, if any: its links are resolved from where it really is.
    let linked: LinkedFolder?
    /// Whether the root has a shared store.
    let hasStore: Bool

    /// Links in a row; the kernel follows as many.
    private static let hopLimit = 40

    /// Resolves a link of a snapshot or of `blobs`.
    ///
    /// - Parameters:
    ///   - text: the link's text.
    ///   - folder: the folder that the link stands in, relative to the cache root.
    func end(of text: BytePath, in folder: BytePath) -> LinkEnd {
        if let linked { return end(of: text, in: folder, linked: linked) }
        guard let location = location(of: text, in: folder, at: root.path) else { return .outside(target: text) }
        if let known = knownEnd(location) { return known }
        return walk(to: location, text: text)
    }

    /// A place inside the root that a link's text names from a folder; nil when that is outside.
    private func location(of text: BytePath, in folder: BytePath, at base: BytePath) -> BytePath? {
        if let location = folder.resolvingLexically(text) { return location }
        // Absolute, or it climbs out of the root and perhaps back in.
        let absolute = text.bytes.first == UInt8(ascii: "/") ? text : base.appending(folder).appending(text)
        return normalized(absolute).relative(to: base)
    }

    private func end(of text: BytePath, in folder: BytePath, linked: LinkedFolder) -> LinkEnd {
        guard let below = folder.relative(to: linked.path) else { return .outside(target: text) }
        let absolute =
            text.bytes.first == UInt8(ascii: "/") ? text : linked.physicalPath.appending(below).appending(text)
        let target = normalized(absolute)
        if let inside = target.relative(to: linked.physicalPath) {
            let location = linked.path.appending(inside)
            if let known = knownEnd(location) { return known }
            return look(at: location, linked: linked, text: text)
        }
        if let inStore = target.relative(to: root.path), let known = knownEnd(inStore), case .payload = known {
            return known
        }
        return .outside(target: text)
    }

    /// What a place is when its path alone tells: a blob of this repo or a payload of the store.
    private func knownEnd(_ location: BytePath) -> LinkEnd? {
        if let name = location.relative(to: repo.appending("blobs")), !name.isEmpty,
            !name.bytes.contains(UInt8(ascii: "/"))
        {
            return .blob(name)
        }
        if hasStore, let payload = payloadName(location) { return .payload(payload) }
        return nil
    }

    private func payloadName(_ location: BytePath) -> BytePath? {
        // blobs/<two digits>/<64 digits>
        guard location.bytes.count == 6 + 3 + 64, location.hasPrefix("blobs/") else { return nil }
        let payload = location.lastComponent
        return payload.isHex64 && StoreInventory.location(of: payload) == location ? payload : nil
    }

    private func look(at location: BytePath, linked: LinkedFolder, text: BytePath) -> LinkEnd {
        do throws(SystemCallFailure) {
            let file = try root.open(location, linked: [linked])
            return .elsewhere(path: location, stat: try file.stat())
        } catch {
            return error.isAbsent || error.isLink ? .nothing(target: text) : .unreadable(errno: error.errno)
        }
    }

    /// Follows a path component by component, and every link on it, inside the root.
    private func walk(to start: BytePath, text: BytePath) -> LinkEnd {
        var hops = 0
        var done: [BytePath] = []
        var rest = start.components
        var stat = root.stat
        while !rest.isEmpty {
            let component = rest.removeFirst()
            let folder = BytePath(bytes: done.map(\.bytes).joined(separator: [UInt8(ascii: "/")]))
            let here = folder.appending(component)
            do throws(SystemCallFailure) {
                stat = try root.stat(of: here)
                if stat.kind != .symlink {
                    done.append(component)
                    continue
                }
                hops += 1
                guard hops <= Self.hopLimit else { return .nothing(target: text) }
                let next = try root.descriptor.readLinkBelow(here)
                guard let location = location(of: next, in: folder, at: root.path) else {
                    return .outside(target: text)
                }
                if rest.isEmpty, let known = knownEnd(location) { return known }
                rest = location.components + rest
                done = []
                stat = root.stat
            } catch {
                return error.isAbsent ? .nothing(target: text) : .unreadable(errno: error.errno)
            }
        }
        return .elsewhere(path: BytePath(bytes: done.map(\.bytes).joined(separator: [UInt8(ascii: "/")])), stat: stat)
    }
}

/// An absolute path with `.`, `..` and empty components worked out.
func normalized(_ path: BytePath) -> BytePath {
    var parts: [ArraySlice<UInt8>] = []
    for part in path.bytes.split(separator: UInt8(ascii: "/")) {
        if part.elementsEqual(".".utf8) { continue }
        if part.elementsEqual("..".utf8) {
            _ = parts.popLast()
        } else {
            parts.append(part)
        }
    }
    return BytePath(bytes: [UInt8(ascii: "/")] + parts.joined(separator: [UInt8(ascii: "/")]))
}

extension OwnedDescriptor {
    /// A link's text, its folder opened without following links.
    borrowing func readLinkBelow(_ path: BytePath) throws(SystemCallFailure) -> BytePath {
        let parent = path.parent
        if parent.isEmpty { return try readLink(path) }
        return try open(parent, options: .directory).readLink(path.lastComponent)
    }
}
