internal import HubCache
internal import LinuxIO
internal import WeightFormats

/// Turns what was seen of one revision into its state and findings.
struct RevisionJudge {
    let view: RevisionView
    let evidence: RepoEvidence
    let depth: VerificationDepth
    /// The etags of the partials that somebody writes, and of those that nobody does.
    private let livePartials: Set<BytePath>
    private let stalePartials: Set<BytePath>

    init(view: RevisionView, evidence: RepoEvidence, depth: VerificationDepth) {
        self.view = view
        self.evidence = evidence
        self.depth = depth
        let isLive = { (partial: PartialDownload) in evidence.livePartials[partial.name] != nil }
        livePartials = Set(view.repo.partials.filter(isLive).map(\.etag))
        stalePartials = Set(view.repo.partials.filter { !isLive($0) }.map(\.etag))
    }

    var folder: BytePath { view.folder }
    var contents: [FileContent] { view.contents }
    var positions: [BytePath: Int] { view.positions }
    var manifest: [BytePath: ManifestFile]? { view.manifest }

    /// Judges the revision.
    func report() -> RevisionReport {
        var findings = judgeFiles() + judgeManifest() + judgeIndexes() + judgeShardSets()
        // Said once a file: the index that could not be read is the same file.
        let unread = Set(findings.filter { $0.code.state == .unknown }.map(\.file))
        findings += judgeHeaders(unread: unread)
        findings += judgeDigests(alreadyWrong: findings)
        let isSeen = !view.repo.unseen.keys.contains { $0.relative(to: folder) != nil }
        if view.snapshot.files.isEmpty && isSeen && !findings.contains(where: { $0.code == .inFlight }) {
            findings.append(
                isAnythingArriving
                    ? Finding(.inFlight, path: folder, detail: "its first files are being fetched")
                    : Finding(.emptySnapshot, path: folder, detail: "the revision has no file at all"))
        }
        judgeWeights(into: &findings)
        if let arriving = possibleArrival(), !findings.contains(where: { $0.code == .inFlight }) {
            findings.append(arriving)
        }
        let refs = view.repo.refs.filter { $0.commit != nil && $0.commit == view.snapshot.commit }.map(\.name)
        if refs.isEmpty, view.repo.id != nil {
            findings.append(Finding(.detached, path: folder, detail: "no ref names this revision"))
        }
        findings += manifestFailure() + strayFindings()

        var lastUse: LastUse?
        for stat in view.sizes.values { lastUse = LastUse.younger(lastUse, LastUse(stat: stat)) }
        return RevisionReport(
            commit: view.snapshot.commit, refs: refs, state: Self.state(of: findings),
            fileCount: view.snapshot.files.count,
            bytes: view.sizes.values.reduce(0) { $0 &+ $1.allocated }, uniqueBytes: 0,
            arrived: view.snapshot.files.map(\.stat.modified).max() ?? view.snapshot.folder.modified, lastUse: lastUse,
            possibleLeftovers: possibleLeftovers(), findings: findings.sortedForReading())
    }

    /// The first that applies, worst first.
    static func state(of findings: [Finding]) -> RevisionState {
        var state = RevisionState.complete
        for finding in findings {
            if finding.code == .inFlight { state = min(state, .downloading) }
            if let decided = finding.code.state { state = min(state, decided) }
        }
        return state
    }

    /// A manifest that is there and cannot be used. Only its owner may read what clients write, so that a lack of permission
    /// is no error; what the disk does not give is.
    private func manifestFailure() -> [Finding] {
        guard let commit = view.snapshot.commit else { return [] }
        let path = view.repo.location(ofManifest: commit)
        switch evidence.manifests[commit] {
        case .unusable(let detail):
            return [Finding(.unverifiable, path: path, detail: "its manifest cannot be used: \(detail)")]
        case .failed(let failure):
            let code: FindingCode = failure.isPermission ? .unverifiable : .readError
            return [Finding(code, path: path, detail: "its manifest cannot be read: \(failure.reason)")]
        case .read, nil: return []
        }
    }

    /// What could not be looked at inside this revision's folder: part of it is unknown.
    private func strayFindings() -> [Finding] {
        return view.repo.strays.filter { $0.code.state == .unknown && $0.path.relative(to: folder) != nil }
            .map { Finding($0.code, path: $0.path, detail: $0.detail) }
    }

    // MARK: links

    private func judgeFiles() -> [Finding] {
        var findings: [Finding] = []
        for (file, content) in zip(view.snapshot.files, contents) {
            let path = view.repo.location(of: file, in: view.snapshot)
            switch content {
            case .file(let stat, let location, let blob):
                guard stat.size == 0, let name = blob ?? file.recordedEtag, let named = ContentDigest(hex: name.text)
                else {
                    continue
                }
                // What nothing hashes to is known: no need to read it.
                let actual = named.algorithm == .sha256 ? ContentDigest.emptySHA256 : ContentDigest.emptyGitSHA1
                guard named.hex != actual else { continue }
                findings.append(
                    Finding(
                        .digestMismatch, path: location, file: file.path, blob: name, expected: named.hex,
                        actual: actual,
                        detail: "the file is empty", content: stat.key))
            case .absent(let blob, let target):
                if let blob, isArriving(blob) {
                    findings.append(
                        Finding(.inFlight, path: path, file: file.path, blob: blob, detail: "it is being fetched"))
                } else {
                    findings.append(
                        Finding(
                            .danglingLink, path: path, file: file.path, blob: blob, actual: target.text,
                            detail: "a link to nothing"))
                }
            case .outside(let blob, let target):
                findings.append(
                    Finding(
                        .linkEscapesCache, path: path, file: file.path, blob: blob, actual: target.text,
                        detail: "points outside the cache and is not followed"))
            case .notAFile(let kind, let location, let blob):
                findings.append(
                    Finding(
                        .notAFile, path: location, file: file.path, blob: blob,
                        detail: "a \(kind.word) where a file should be"))
            case .unreadable(let errno, let blob):
                let failure = SystemCallFailure(call: "stat", errno: errno, subject: path)
                findings.append(
                    Finding(
                        failure.isPermission ? .unreadable : .readError, path: path, file: file.path, blob: blob,
                        detail: failure.reason))
            }
        }
        return findings
    }

    // MARK: manifest

    private func judgeManifest() -> [Finding] {
        guard let manifest else { return [] }
        var findings: [Finding] = []
        var isSubset = false
        let loneSets = setsWithoutIndex()
        let folders = Set(view.snapshot.folders)
        for (path, expected) in manifest {
            if folders.contains(path) {
                findings.append(
                    Finding(
                        .notAFile, path: folder.appending(path), file: path, blob: expected.blobNames.first,
                        detail: "a directory where a file should be"))
                continue
            }
            guard let position = positions[path] else {
                guard let finding = judgeAbsent(path, expected) ?? judgeAbsentIndex(path, expected, of: loneSets) else {
                    isSubset = true
                    continue
                }
                findings.append(finding)
                continue
            }
            guard case .file(let stat, let location, let blob) = contents[position] else { continue }
            if let blob, isWrongBlob(blob, expected, stat) {
                findings.append(
                    Finding(
                        .wrongBlob, path: view.repo.location(of: view.snapshot.files[position], in: view.snapshot),
                        file: path,
                        blob: blob,
                        expected: expected.expectedDigest, actual: blob.text,
                        detail: "the manifest of this revision names another blob for this path", content: stat.key))
            } else if stat.size != expected.size {
                findings.append(
                    Finding(
                        .sizeMismatch, path: location, file: path, blob: blob, expected: String(expected.size),
                        actual: String(stat.size), detail: Self.difference(stat.size, from: expected.size),
                        content: stat.key))
            }
        }
        if isSubset && !findings.contains(where: { $0.code == .inFlight || $0.code == .missingFile }) {
            let absent = manifest.keys.count { positions[$0] == nil }
            findings.append(
                Finding(
                    .subset, path: folder,
                    detail: "\(absent) of the repo's \(manifest.count) files were not fetched"))
        }
        return findings
    }

    private static func difference(_ size: UInt64, from expected: UInt64) -> String {
        if size > expected { return "\(size - expected) byte\(size - expected == 1 ? "" : "s") too many" }
        return expected - size == 1 ? "1 byte is missing" : "\(expected - size) bytes are missing"
    }

    func judgeAbsent(_ path: BytePath, _ expected: ManifestFile) -> Finding? {
        let names = expected.blobNames
        let place = folder.appending(path)
        if let name = names.first(where: { isArriving($0) }) {
            return Finding(.inFlight, path: place, file: path, blob: name, detail: "it is being fetched")
        }
        let stale = names.first { stalePartials.contains($0) }
        let remembered = names.first { evidence.rememberedPartials.contains($0) }
        if let name = stale ?? remembered {
            return Finding(
                .missingFile, path: place, file: path, blob: name,
                detail: stale != nil ? "its download was interrupted" : "its download began once and did not end")
        }
        if let name = names.first(where: wasBegun) {
            return Finding(
                .missingFile, path: place, file: path, blob: name, detail: "its download began and did not end")
        }
        let asked = view.snapshot.commit.flatMap { evidence.asked[$0] }
        guard let asked, asked.filter.includes(path) else { return nil }
        return Finding(
            .missingFile, path: place, file: path, blob: names.first, detail: "it was asked for and did not come")
    }

    /// Whether a client began to fetch a blob for this revision: its lock is younger than the manifest and the refs, which come
    /// first; an older one may be of a revision that was removed. Not where the revision was complete since then: somebody took
    /// the file out of it.
    private func wasBegun(_ etag: BytePath) -> Bool {
        guard let begun = evidence.begun[etag], begun.commit == view.snapshot.commit,
            !view.repo.refs.contains(where: { $0.commit == begun.commit && $0.stat.modified > begun.time })
        else { return false }
        return evidence.lastComplete[begun.commit].map { $0 < begun.time } ?? true
    }

    /// Whether a blob's name says that it is another file than the manifest's.
    private func isWrongBlob(_ blob: BytePath, _ expected: ManifestFile, _ stat: FileStat) -> Bool {
        if blob.bytes.elementsEqual(expected.expectedDigest.utf8) { return false }
        guard let named = ContentDigest(hex: blob.text), named.hex != expected.xetHash else { return false }
        // Some mirrors name blobs by digests of their own: content that is the expected one is right under any name.
        guard let wanted = ContentDigest(hex: expected.expectedDigest),
            case .digest(let digest) = evidence.digests[DigestKey(file: stat.key, algorithm: wanted.algorithm)]
        else { return true }
        return digest != wanted
    }

    // MARK: arriving

    func isArriving(_ etag: BytePath) -> Bool {
        evidence.heldLocks.contains(etag) || livePartials.contains(etag)
    }

    /// Whether anything at all is being fetched into this repo that could be this revision's.
    var isAnythingArriving: Bool {
        if let manifest {
            return manifest.contains { path, file in
                positions[path] == nil && file.blobNames.contains { isArriving($0) }
            }
        }
        // Without a manifest nobody can tell whose it is. A lock of a blob that is already here downloads nothing.
        return !evidence.livePartials.isEmpty || evidence.heldLocks.contains { view.repo.blobs[$0] == nil }
    }

    /// What is being fetched and may be a file of this revision that nothing here names: clients before 1.0 write no manifest,
    /// and a weight file that no index has leaves no other trace until it is whole.
    private func possibleArrival() -> Finding? {
        guard mayLackUnnamedFiles else { return nil }
        let live = view.repo.partials.filter { evidence.livePartials[$0.name] != nil }.map(\.etag)
        let linked = Set(view.repo.snapshots.flatMap { $0.files.compactMap(\.etagOfLink) })
        let held = evidence.heldLocks.filter { view.repo.blobs[$0] == nil || !linked.contains($0) }
        guard let etag = (live + held.sorted()).first(where: mayBeUnnamed) else { return nil }
        return Finding(
            .inFlight, path: folder, blob: etag.isEmpty ? nil : etag,
            detail: "a file that may be of this revision is being fetched")
    }

    /// The same of downloads that nobody works on any more.
    private func possibleLeftovers() -> [BytePath] {
        guard mayLackUnnamedFiles else { return [] }
        return view.repo.partials.filter { evidence.livePartials[$0.name] == nil && mayBeUnnamed($0.etag) }
            .map(view.repo.location)
    }

    /// Whether what arrives in the repo without a name may be this revision's: a client names the revision by a ref before it
    /// fetches, unless it was asked for a commit.
    private var mayLackUnnamedFiles: Bool {
        guard manifest == nil, !view.repo.isSingleFile else { return false }
        return view.repo.snapshots.count == 1
            || view.repo.refs.contains { $0.commit != nil && $0.commit == view.snapshot.commit }
    }

    /// Whether a blob may be one that this revision lacks: it has it not, and no manifest of another revision claims it.
    private func mayBeUnnamed(_ etag: BytePath) -> Bool {
        if view.snapshot.files.contains(where: { $0.etagOfLink == etag }) { return false }
        return !evidence.manifests.values.contains { manifest in
            guard case .read(let files) = manifest else { return false }
            return files.values.contains { $0.blobNames.contains(etag) }
        }
    }

    // MARK: weights

    private func judgeWeights(into findings: inout [Finding]) {
        guard view.repo.id == nil || view.repo.id?.type == .model, !view.snapshot.files.isEmpty else { return }
        let isWeight = { (path: BytePath) in WeightFormat(fileName: path.lastComponent.bytes) != nil }
        let hasWeights = view.snapshot.files.indices.contains { position in
            guard case .file = contents[position] else { return false }
            return isWeight(view.snapshot.files[position].path)
        }
        if hasWeights { return }
        if let manifest, !manifest.keys.contains(where: isWeight) { return }
        if findings.contains(where: { $0.code == .inFlight }) { return }
        if manifest == nil, isAnythingArriving {
            findings.append(Finding(.inFlight, path: folder, detail: "weights may be among what is being fetched"))
            return
        }
        findings.append(Finding(.weightsAbsent, path: folder, detail: "no weight file of this revision is here"))
    }
}

extension SnapshotFile {
    /// The etag of what a file is, as its link or a client's record says.
    fileprivate var etagOfLink: BytePath? {
        if case .blob(let name) = link { return name }
        return recordedEtag
    }
}
