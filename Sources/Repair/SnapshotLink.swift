internal import HubCache
internal import HubClient
internal import LinuxIO
internal import Removal

/// The link by which a revision has a file, with the text that the clients give it.
struct SnapshotLink {
    let place: RepoPlace
    let commit: CommitHash

    /// Where the link is, in the repo.
    func folder(of wanted: WantedFile) -> BytePath {
        BytePath("snapshots").appending(commit.hex).appending(wanted.path.parent)
    }

    /// `../../blobs/<etag>`, and one more `../` for every folder that the file is in.
    private func text(for wanted: WantedFile) -> BytePath {
        let depth = 2 + wanted.path.parent.components.count
        return BytePath(String(repeating: "../", count: depth) + "blobs").appending(wanted.etag)
    }

    /// Whether a link can be put there: nothing is, or a link.
    ///
    /// - Throws: `RepairFailure` for somebody's own file.
    func requireFreePlace(_ wanted: WantedFile) throws {
        let path = folder(of: wanted).appending(wanted.path.lastComponent)
        guard let stat = try place.folders.statIfPresent(path), stat.kind != .symlink else { return }
        throw RepairFailure(
            occupied: "'\(wanted.path.display)' is a \(stat.kind.word) of its own and no link: move it away first")
    }

    /// Whether the file is linked to its blob.
    func isRight(_ wanted: WantedFile) throws(SystemCallFailure) -> Bool {
        guard let folder = try place.folders.openIfPresent(folder(of: wanted)),
            try folder.statIfPresent(wanted.path.lastComponent)?.kind == .symlink
        else { return false }
        return try folder.readLink(wanted.path.lastComponent) == text(for: wanted)
    }

    /// Links the file to its blob, in one step where something else was linked.
    ///
    /// A file of somebody's own in the link's place is left alone. The folder is to be synced then.
    ///
    /// - Returns: whether there was something to do.
    /// - Throws: `RepairFailure`, `SystemCallFailure`.
    func make(_ wanted: WantedFile) throws -> Bool {
        let folder = try place.makeFolders(folder(of: wanted))
        let name = wanted.path.lastComponent
        let text = text(for: wanted)
        do throws(SystemCallFailure) {
            try folder.makeLink(name, to: text)
        } catch {
            guard error.isTaken else { throw error }
            try requireFreePlace(wanted)
            if try folder.readLink(name) == text { return false }
            try replace(name, in: folder, with: text, etag: wanted.etag)
        }
        place.steps.reached(.linked)
        return true
    }

    /// Prepares the new link in `blobs`, under a name that every client takes for a temporary one, so that nobody ever sees the file
    /// without a link.
    private func replace(
        _ name: BytePath, in folder: borrowing OwnedDescriptor, with text: BytePath, etag: BytePath
    ) throws {
        let blobs = try place.folders.open("blobs")
        // What a run that was killed here has left: under the blob's lock nobody else is about to use it.
        for entry in try blobs.listDirectory().entries
        where entry.stat.kind == .symlink && entry.name.hasPrefix(".\(etag.text).") && entry.name.hasSuffix(".new")
            && BlobEntryName(entry.name) == .temporary
        {
            try blobs.unlinkIfPresent(entry.name)
        }
        let temporary = BytePath(".\(etag.text).\(randomDigits()).new")
        try blobs.makeLink(temporary, to: text)
        place.steps.reached(.linkPrepared)
        do throws(SystemCallFailure) {
            try blobs.rename(temporary, to: folder, name, .replace)
        } catch {
            _ = try? blobs.unlinkIfPresent(temporary)
            throw error
        }
    }
}
