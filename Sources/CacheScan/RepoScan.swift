public import HubCache
public import LinuxIO

/// Reads one repo's folder into values.
struct RepoScan {
    private let root: CacheRoot
    private let hasStore: Bool
    private var repo: RepoInventory
    /// The linked folder that is being read, if any.
    private var linked: LinkedFolder?

    /// Folders inside folders; a snapshot's paths are seldom deeper than five. Each level holds a descriptor.
    static let depthLimit = 64
    /// A ref holds 40 bytes; a file of more than this is none.
    private static let refSizeLimit = 256

    private init(root: CacheRoot, repo: RepoInventory, hasStore: Bool) {
        self.root = root
        self.repo = repo
        self.hasStore = hasStore
    }

    /// Scans a repo folder of a cache.
    ///
    /// - Parameter entry: the folder, or the link to one, as the root lists it.
    static func scan(root: CacheRoot, entry: DirectoryEntry, id: RepoID, hasStore: Bool) -> RepoInventory {
        var scan = RepoScan(
            root: root, repo: RepoInventory(folder: entry.name, id: id, stat: entry.stat, scannedAt: currentTime()),
            hasStore: hasStore)
        scan.count(entry.stat)
        scan.scanRepoFolder(entry)
        scan.repo.refs.sort { $0.name < $1.name }
        scan.repo.partials.sort { $0.name < $1.name }
        scan.repo.operations.sort()
        scan.repo.strays.sort { $0.path < $1.path }
        scan.repo.snapshots.sort { ($0.commit?.hex ?? "") < ($1.commit?.hex ?? "") }
        return scan.repo
    }

    private var folder: BytePath { repo.folder }

    private mutating func scanRepoFolder(_ entry: DirectoryEntry) {
        do throws(SystemCallFailure) {
            if entry.stat.kind == .symlink {
                guard let opened = try openLinkedFolder(entry.name, in: root.descriptor, at: folder) else { return }
                count(try opened.stat())
                scanRepoEntries(of: opened)
            } else {
                let opened = try root.descriptor.open(entry.name, options: [.directory, .keepAccessTime])
                root.noteFilesystem(of: opened, device: entry.stat.key.device)
                scanRepoEntries(of: opened)
            }
        } catch {
            note(error, at: folder)
        }
    }

    /// Opens what a link to a folder leads to when it belongs to the cache's owner.
    private mutating func openLinkedFolder(
        _ name: BytePath, in directory: borrowing OwnedDescriptor, at location: BytePath
    ) throws(SystemCallFailure) -> OwnedDescriptor? {
        let target = try directory.readLink(name)
        let opened: OwnedDescriptor
        do throws(SystemCallFailure) {
            opened = try directory.openFollowing(name)
        } catch {
            guard error.isAbsent || error.isLink else { throw error }
            stray(location, .danglingLink, "a link to '\(target.display)', which is not a folder")
            return nil
        }
        let stat = try opened.stat()
        guard stat.uid == root.stat.uid else {
            repo.unseen[location] = .outside(target: target)
            stray(
                location, .linkEscapesCache,
                "a link to '\(target.display)', which belongs to uid \(stat.uid) and not to the cache's owner: not read"
            )
            return nil
        }
        let physicalPath = try opened.currentPath()
        let link = LinkedFolder(path: location, key: stat.key, physicalPath: physicalPath)
        repo.linkedFolders.append(link)
        linked = link
        root.noteFilesystem(of: opened, device: stat.key.device)
        stray(location, .foreignEntry, "a link to a folder at '\(physicalPath.display)': read, and never removed from")
        return opened
    }

    private mutating func scanRepoEntries(of directory: borrowing OwnedDescriptor) {
        guard var entries = list(directory, at: folder) else { return }
        // A client makes the blob before the link to it: in this order a link that was seen has its blob.
        if let blobs = entries.firstIndex(where: { $0.name == "blobs" }) { entries.append(entries.remove(at: blobs)) }
        for entry in entries {
            count(entry.stat)
            let location = folder.appending(entry.name)
            switch (entry.name.text, entry.stat.kind) {
            case ("blobs", .directory): enter(entry, of: directory, at: location) { $0.scanBlobs($1, at: location) }
            case ("blobs", .symlink): scanLinkedBlobs(entry, of: directory, at: location)
            case ("snapshots", .directory):
                enter(entry, of: directory, at: location) { $0.scanSnapshots($1, at: location) }
            case ("refs", .directory):
                enter(entry, of: directory, at: location) { $0.scanRefs($1, at: location, name: .empty, depth: 0) }
            case ("trees", .directory): enter(entry, of: directory, at: location) { $0.scanManifests($1, at: location) }
            case (".no_exist", .directory):
                enter(entry, of: directory, at: location) { $0.countAbsentMarkers($1, at: location, depth: 0) }
            case (".hfjanitor", .directory):
                enter(entry, of: directory, at: location) { $0.scanOperations($1, at: location) }
            default: scanStray(entry, of: directory, at: location)
            }
        }
    }

    private mutating func scanStray(
        _ entry: DirectoryEntry, of directory: borrowing OwnedDescriptor, at location: BytePath
    ) {
        var tally = AllocationTally()
        tally.add(entry.stat)
        if entry.stat.kind == .directory {
            let inside = tallyTree(entry.name, in: directory, depth: 0)
            tally.add(inside)
            count(inside)
        }
        let expected = ["blobs", "snapshots", "refs", "trees", ".no_exist", ".hfjanitor"].contains(entry.name.text)
        if expected {
            repo.unseen[location] = .failed(errno: SystemCallFailure.notAFolderNumber)
            stray(location, .notAFile, "a \(entry.stat.kind.word) where a folder should be", tally.total)
        } else if !isPythonTemporaryName(entry.name) && !entry.name.hasPrefix("tmp_") {
            stray(location, .foreignEntry, "a \(entry.stat.kind.word) that no client puts here", tally.total)
        }
    }

    // MARK: blobs

    private mutating func scanLinkedBlobs(
        _ entry: DirectoryEntry, of directory: borrowing OwnedDescriptor, at location: BytePath
    ) {
        let outer = linked
        defer { linked = outer }
        do throws(SystemCallFailure) {
            guard let opened = try openLinkedFolder(entry.name, in: directory, at: location) else { return }
            count(try opened.stat())
            scanBlobs(opened, at: location)
        } catch {
            note(error, at: location)
        }
    }

    private mutating func scanBlobs(_ directory: borrowing OwnedDescriptor, at location: BytePath) {
        guard let entries = list(directory, at: location) else { return }
        repo.blobs.reserveCapacity(entries.count)
        for entry in entries {
            count(entry.stat)
            let here = location.appending(entry.name)
            if entry.stat.kind == .directory { count(tallyTree(entry.name, in: directory, depth: 0)) }
            switch BlobEntryName(entry.name) {
            case .blob:
                var blob = Blob(stat: entry.stat, link: nil)
                if entry.stat.kind == .symlink {
                    guard let link = linkEnd(entry.name, in: directory, at: location) else { continue }
                    blob.link = link
                }
                repo.blobs[entry.name] = blob
            case .partial(let etag, let writer):
                guard entry.stat.kind == .regular else {
                    stray(here, .notAFile, "a \(entry.stat.kind.word) where a partial download should be")
                    continue
                }
                repo.partials.append(
                    PartialDownload(name: entry.name, etag: etag, writer: writer, stat: entry.stat))
            case .temporary:
                guard entry.stat.kind == .symlink else { continue }
                if case .payload(let payload) = linkEnd(entry.name, in: directory, at: location) {
                    repo.publishingPayloads.insert(payload)
                }
            case .lock(let etag): repo.blobLocks.append(etag)
            case .etagNote, .desktopHelper: break
            }
        }
    }

    // MARK: snapshots

    private mutating func scanSnapshots(_ directory: borrowing OwnedDescriptor, at location: BytePath) {
        guard let entries = list(directory, at: location) else { return }
        for entry in entries {
            count(entry.stat)
            let here = location.appending(entry.name)
            if entry.stat.kind == .directory, let commit = CommitHash(entry.name) {
                var snapshot = Snapshot(commit: commit, folder: entry.stat, files: [])
                enter(entry, of: directory, at: here) {
                    $0.scanSnapshotFolder($1, at: here, path: .empty, depth: 0, into: &snapshot)
                }
                snapshot.files.sort { $0.path < $1.path }
                repo.snapshots.append(snapshot)
                continue
            }
            var tally = AllocationTally()
            if entry.stat.kind == .directory {
                tally = tallyTree(entry.name, in: directory, depth: 0)
                count(tally)
            }
            tally.add(entry.stat)
            if case .desktopHelper = RootEntryName(entry.name) { continue }
            // What is in it, or behind it, may link to blobs.
            if entry.stat.kind == .directory || entry.stat.kind == .symlink {
                repo.unseen[here] = .failed(errno: SystemCallFailure.notAFolderNumber)
            }
            stray(here, .foreignEntry, "a \(entry.stat.kind.word) that is not a commit's folder", tally.total)
        }
    }

    private mutating func scanSnapshotFolder(
        _ directory: borrowing OwnedDescriptor, at location: BytePath, path: BytePath, depth: Int,
        into snapshot: inout Snapshot
    ) {
        guard let entries = list(directory, at: location) else { return }
        snapshot.files.reserveCapacity(snapshot.files.count + entries.count)
        for entry in entries {
            count(entry.stat)
            let filePath = path.appending(entry.name)
            switch entry.stat.kind {
            case .directory:
                let here = location.appending(entry.name)
                snapshot.folders.append(filePath)
                guard depth < Self.depthLimit else {
                    tooDeep(here)
                    continue
                }
                enter(entry, of: directory, at: here) {
                    $0.scanSnapshotFolder($1, at: here, path: filePath, depth: depth + 1, into: &snapshot)
                }
            case .symlink:
                guard let link = linkEnd(entry.name, in: directory, at: location) else { continue }
                snapshot.files.append(SnapshotFile(path: filePath, stat: entry.stat, link: link))
            default: snapshot.files.append(SnapshotFile(path: filePath, stat: entry.stat, link: nil))
            }
        }
    }

    /// Where a link ends; nil when the link itself vanished since it was listed.
    private func linkEnd(_ name: BytePath, in directory: borrowing OwnedDescriptor, at location: BytePath) -> LinkEnd? {
        do throws(SystemCallFailure) {
            let text = try directory.readLink(name)
            if let blob = usualBlobName(text, location: location) { return .blob(blob) }
            // A link in a linked `blobs` starts there; one in a snapshot of the same repo does not.
            let applies = linked.flatMap { location.relative(to: $0.path) } != nil
            let resolution = LinkResolution(
                root: root, repo: folder, linked: applies ? linked : nil, hasStore: hasStore)
            return resolution.end(of: text, in: location)
        } catch {
            return error.isAbsent ? nil : .unreadable(errno: error.errno)
        }
    }

    /// The blob that the usual link of a snapshot names, told by its text alone: as many `../` as it takes to reach the
    /// repo's folder, then `blobs/<etag>`.
    private func usualBlobName(_ text: BytePath, location: BytePath) -> BytePath? {
        let bytes = text.bytes
        var position = 0
        var climbs = 0
        while bytes.count - position >= 3, bytes[position] == UInt8(ascii: "."),
            bytes[position + 1] == UInt8(ascii: "."),
            bytes[position + 2] == UInt8(ascii: "/")
        {
            position += 3
            climbs += 1
        }
        let slash = UInt8(ascii: "/")
        let depth = location.bytes.dropFirst(folder.bytes.count).count { $0 == slash }
        guard climbs == depth, climbs > 0, bytes[position...].starts(with: "blobs/".utf8) else { return nil }
        let name = bytes[(position + 6)...]
        guard !name.isEmpty, !name.contains(slash), !name.elementsEqual("..".utf8), !name.elementsEqual(".".utf8) else {
            return nil
        }
        return BytePath(bytes: name)
    }

    // MARK: refs, manifests and the rest

    private mutating func scanRefs(
        _ directory: borrowing OwnedDescriptor, at location: BytePath, name: BytePath, depth: Int
    ) {
        guard let entries = list(directory, at: location) else { return }
        for entry in entries {
            count(entry.stat)
            let here = location.appending(entry.name)
            let refName = name.appending(entry.name)
            switch entry.stat.kind {
            case .directory:
                guard depth < Self.depthLimit else {
                    tooDeep(here)
                    continue
                }
                enter(entry, of: directory, at: here) {
                    $0.scanRefs($1, at: here, name: refName, depth: depth + 1)
                }
            case .regular:
                if entry.name.isTemporaryWriteName { continue }
                if case .desktopHelper = RootEntryName(entry.name) { continue }
                readRef(entry, of: directory, at: here, name: refName)
            default: stray(here, .notAFile, "a \(entry.stat.kind.word) where a ref should be")
            }
        }
    }

    private mutating func readRef(
        _ entry: DirectoryEntry, of directory: borrowing OwnedDescriptor, at location: BytePath, name: BytePath
    ) {
        do throws(SystemCallFailure) {
            let file = try directory.open(entry.name, options: .keepAccessTime)
            let content = try file.readAll(limit: Self.refSizeLimit, size: entry.stat.size) ?? []
            let space: [UInt8] = [0x20, 0x0a, 0x0d, 0x09]
            let trimmed = content.drop { space.contains($0) }.reversed().drop { space.contains($0) }.reversed()
            let commit = CommitHash(BytePath(bytes: trimmed))
            repo.refs.append(
                Ref(name: name, commit: commit, hasWhitespace: trimmed.count != content.count, stat: entry.stat))
        } catch {
            note(error, at: location)
        }
    }

    private mutating func scanManifests(_ directory: borrowing OwnedDescriptor, at location: BytePath) {
        guard let entries = list(directory, at: location) else { return }
        for entry in entries {
            count(entry.stat)
            let here = location.appending(entry.name)
            if entry.stat.kind == .directory {
                count(tallyTree(entry.name, in: directory, depth: 0))
            }
            if entry.stat.kind == .regular, entry.name.hasSuffix(".json"),
                let commit = CommitHash(BytePath(bytes: entry.name.bytes.dropLast(5)))
            {
                repo.manifests[commit] = entry.stat
            } else if !entry.name.isTemporaryWriteName {
                stray(here, .foreignEntry, "a \(entry.stat.kind.word) that is not a commit's manifest")
            }
        }
    }

    private mutating func countAbsentMarkers(_ directory: borrowing OwnedDescriptor, at location: BytePath, depth: Int)
    {
        guard let entries = list(directory, at: location) else { return }
        for entry in entries {
            count(entry.stat)
            guard entry.stat.kind == .directory else {
                repo.absentMarkerCount += 1
                continue
            }
            let here = location.appending(entry.name)
            guard depth < Self.depthLimit else {
                tooDeep(here)
                continue
            }
            enter(entry, of: directory, at: here) { $0.countAbsentMarkers($1, at: here, depth: depth + 1) }
        }
    }

    private mutating func scanOperations(_ directory: borrowing OwnedDescriptor, at location: BytePath) {
        guard let entries = list(directory, at: location) else { return }
        for entry in entries {
            count(entry.stat)
            if entry.stat.kind == .directory { count(tallyTree(entry.name, in: directory, depth: 0)) }
            if entry.stat.kind == .regular, entry.name.hasSuffix(".intent") {
                repo.operations.append(BytePath(bytes: entry.name.bytes.dropLast(7)))
            }
        }
    }

    // MARK: helpers

    /// Counts an entry, where it really is.
    private mutating func count(_ stat: FileStat) {
        if linked == nil { repo.tally.add(stat) } else { repo.linkedTally.add(stat) }
    }

    private mutating func count(_ tally: AllocationTally) {
        if linked == nil { repo.tally.add(tally) } else { repo.linkedTally.add(tally) }
    }

    private mutating func enter(
        _ entry: DirectoryEntry, of directory: borrowing OwnedDescriptor, at location: BytePath,
        _ body: (inout RepoScan, borrowing OwnedDescriptor) -> Void
    ) {
        do throws(SystemCallFailure) {
            let opened = try directory.open(entry.name, options: [.directory, .keepAccessTime])
            root.noteFilesystem(of: opened, device: entry.stat.key.device)
            body(&self, opened)
        } catch {
            note(error, at: location)
        }
    }

    private mutating func list(_ directory: borrowing OwnedDescriptor, at location: BytePath) -> [DirectoryEntry]? {
        do throws(SystemCallFailure) {
            let listing = try directory.listDirectory()
            for failure in listing.failures { note(failure, at: location.appending(failure.subject)) }
            return listing.entries
        } catch {
            note(error, at: location)
            return nil
        }
    }

    private mutating func note(_ failure: SystemCallFailure, at location: BytePath) {
        // What vanished since it was listed is simply not there any more.
        if failure.isAbsent { return }
        repo.unseen[location] = .failed(errno: failure.errno)
        stray(location, failure.findingCode, failure.reason)
    }

    private mutating func tooDeep(_ location: BytePath) {
        repo.unseen[location] = .tooDeep
        stray(location, .readError, "nested deeper than \(Self.depthLimit) folders: not entered")
    }

    private mutating func stray(_ location: BytePath, _ code: FindingCode, _ detail: String, _ allocated: UInt64 = 0) {
        repo.strays.append(Stray(path: location, code: code, detail: detail, allocated: allocated))
    }
}

extension SystemCallFailure {
    /// What a failed look at an entry is called.
    public var findingCode: FindingCode { isPermission ? .unreadable : .readError }
}

/// Adds up everything below a folder, without following links.
///
/// - Parameter name: a folder directly in `directory`; itself not counted.
func tallyTree(_ name: BytePath, in directory: borrowing OwnedDescriptor, depth: Int) -> AllocationTally {
    var tally = AllocationTally()
    guard depth < RepoScan.depthLimit,
        let opened = try? directory.open(name, options: [.directory, .keepAccessTime]),
        let listing = try? opened.listDirectory()
    else { return tally }
    for entry in listing.entries {
        tally.add(entry.stat)
        if entry.stat.kind == .directory { tally.add(tallyTree(entry.name, in: opened, depth: depth + 1)) }
    }
    return tally
}
