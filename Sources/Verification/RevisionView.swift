internal import HubCache
internal import WeightFormats

/// One revision with every file followed to the end of its links, next to its manifest: what all judging starts from.
///
/// A class, so that handing it on copies nothing.
final class RevisionView: Sendable {
    let repo: RepoInventory
    let snapshot: Snapshot
    /// The snapshot's folder relative to the cache root; empty for a plain folder.
    let folder: BytePath
    /// The files at the end of their links, in the snapshot's order.
    let contents: [FileContent]
    /// The positions of files by their path.
    let positions: [BytePath: Int]
    /// The files that the manifest names, by path; nil without a usable manifest.
    let manifest: [BytePath: ManifestFile]?
    /// The distinct contents.
    let sizes: [FileKey: FileStat]
    /// The payload of the shared store that a content is.
    let payloads: [FileKey: BytePath]

    init(repo: RepoInventory, store: StoreInventory, snapshot: Snapshot, manifest: ManifestEvidence?) {
        self.repo = repo
        self.snapshot = snapshot
        if let commit = snapshot.commit, repo.id != nil {
            folder = repo.folder.appending("snapshots").appending(commit.hex)
        } else {
            folder = .empty
        }
        contents = snapshot.files.map { repo.content(of: $0, in: snapshot, store: store) }
        positions = Dictionary(snapshot.files.indices.map { (snapshot.files[$0].path, $0) }) { first, _ in first }
        if case .read(let files) = manifest { self.manifest = files } else { self.manifest = nil }
        var sizes: [FileKey: FileStat] = [:]
        var payloads: [FileKey: BytePath] = [:]
        sizes.reserveCapacity(contents.count)
        for content in contents {
            guard case .file(let stat, let location, _) = content else { continue }
            sizes[stat.key] = stat
            if repo.id != nil, location.hasPrefix("blobs/") { payloads[stat.key] = location.lastComponent }
        }
        self.sizes = sizes
        self.payloads = payloads
    }

    /// The names that the blobs of the manifest's files have that are not here.
    var absentBlobs: [BytePath] {
        (manifest ?? [:]).flatMap { path, file in positions[path] == nil ? file.blobNames : [] }
    }

    /// What a look at a file's header expects; nil when there is nothing to look for.
    func expectation(at position: Int) -> HeaderExpectation? {
        guard case .file(let stat, _, let blob) = contents[position] else { return nil }
        let file = snapshot.files[position]
        let isLFS =
            if let expected = manifest?[file.path] {
                expected.lfsSHA256 != nil
            } else {
                (blob ?? file.recordedEtag)?.isHex64 ?? false
            }
        return RepoInventory.headerExpectation(path: file.path, size: stat.size, isLFS: isLFS)
    }

    /// The digests that a file's content may have, the one that its name or record says first.
    func expectedDigests(at position: Int) -> [ContentDigest] {
        guard case .file(_, _, let blob) = contents[position] else { return [] }
        let file = snapshot.files[position]
        let expected = manifest?[file.path]
        var digests: [ContentDigest] = []
        if let name = blob ?? file.recordedEtag, name.text != expected?.xetHash,
            let digest = ContentDigest(hex: name.text)
        {
            digests.append(digest)
        }
        if let expected, let digest = ContentDigest(hex: expected.expectedDigest), !digests.contains(digest) {
            digests.append(digest)
        }
        return digests
    }
}

extension ManifestFile {
    /// The names that clients give its blob: the digest, for some the Xet hash.
    var blobNames: [BytePath] { [BytePath(expectedDigest)] + (xetHash.map { [BytePath($0)] } ?? []) }
}
