internal import HubCache
internal import LinuxIO

/// A folder with everything below it, as it is now; links are not followed.
struct SnapshotWalk {
    struct Entry: Sendable {
        /// Below the folder; empty for itself.
        var path: BytePath
        var stat: FileStat
    }

    /// Folders, parents first, the folder itself the first.
    private(set) var folders: [Entry] = []
    /// Everything else.
    private(set) var files: [Entry] = []

    /// Folders inside folders: what is deeper is not walked.
    static let depthLimit = 64

    /// - Throws: `SystemCallFailure` when any of it cannot be looked at; `ELOOP` when it is nested too deep.
    init(of folder: borrowing OwnedDescriptor) throws(SystemCallFailure) {
        folders.append(Entry(path: .empty, stat: try folder.stat()))
        try walk(folder, path: .empty, depth: 0)
    }

    private mutating func walk(_ folder: borrowing OwnedDescriptor, path: BytePath, depth: Int)
        throws(SystemCallFailure)
    {
        let listing = try folder.listDirectory()
        if let failure = listing.failures.first { throw failure }
        for entry in listing.entries {
            let here = path.appending(entry.name)
            guard entry.stat.kind == .directory else {
                files.append(Entry(path: here, stat: entry.stat))
                continue
            }
            guard depth < Self.depthLimit else {
                throw SystemCallFailure(call: "open", errno: SystemCallFailure.tooDeepNumber, subject: here)
            }
            do throws(SystemCallFailure) {
                let child = try folder.open(entry.name, options: [.directory, .keepAccessTime])
                folders.append(Entry(path: here, stat: entry.stat))
                try walk(child, path: here, depth: depth + 1)
            } catch {
                if !error.isAbsent { throw error }
            }
        }
    }
}

extension RepoInventory {
    /// The blobs that snapshots link to, over links from blob to blob too.
    ///
    /// - Parameters:
    ///   - removed: revisions that do not count.
    ///   - hops: where blobs lead that are out of the way.
    func linkedBlobs(except removed: Set<CommitHash> = [], hops: [BytePath: BytePath] = [:]) -> Set<BytePath> {
        var linked: Set<BytePath> = []
        for snapshot in snapshots {
            if let commit = snapshot.commit, removed.contains(commit) { continue }
            for file in snapshot.files {
                guard case .blob(var name) = file.link else { continue }
                while linked.insert(name).inserted {
                    if case .blob(let next) = blobs[name]?.link {
                        name = next
                    } else if let next = hops[name] {
                        name = next
                    } else {
                        break
                    }
                }
            }
        }
        return linked
    }

    /// Whether something that could link to a blob, or name a revision, could not be looked at.
    var blindSpot: BytePath? {
        let places = ["snapshots", "blobs", "refs"].map { folder.appending($0) }
        return unseen.keys.sorted().first { path in
            path == folder || places.contains { path.relative(to: $0) != nil }
        }
    }

    /// The snapshots with such a commit; there is one at most.
    func snapshot(of commit: CommitHash) -> Snapshot? { snapshots.first { $0.commit == commit } }

    /// Payloads of the shared store that this repo leads to.
    var payloads: Set<BytePath> {
        var found: Set<BytePath> = []
        for blob in blobs.values { if case .payload(let name) = blob.link { found.insert(name) } }
        for snapshot in snapshots {
            for file in snapshot.files { if case .payload(let name) = file.link { found.insert(name) } }
        }
        return found
    }
}
