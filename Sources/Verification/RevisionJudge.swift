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

    private var folder: BytePath { view.folder }
    private var contents: [FileContent] { view.contents }
    private var positions: [BytePath: Int] { view.positions }
    private var manifest: [BytePath: ManifestFile]? { view.manifest }

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
            findings: findings.sortedForReading())
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
        for (path, expected) in manifest {
            guard let position = positions[path] else {
                guard let finding = judgeAbsent(path, expected) else {
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
                        actual: String(stat.size),
                        detail: stat.size < expected.size
                            ? "\(expected.size - stat.size) bytes are missing"
                            : "\(stat.size - expected.size) bytes too many",
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

    private func judgeAbsent(_ path: BytePath, _ expected: ManifestFile) -> Finding? {
        let names = blobNames(expected)
        let place = folder.appending(path)
        if let name = names.first(where: { isArriving($0) }) {
            return Finding(.inFlight, path: place, file: path, blob: name, detail: "it is being fetched")
        }
        let stale = names.first { stalePartials.contains($0) }
        let remembered = names.first { evidence.rememberedPartials.contains($0) }
        guard let name = stale ?? remembered else { return nil }
        return Finding(
            .missingFile, path: place, file: path, blob: name,
            detail: stale != nil ? "its download was interrupted" : "its download began once and did not end")
    }

    /// The names that clients give the blob of a manifest's file: the digest, for some the Xet hash.
    private func blobNames(_ file: ManifestFile) -> [BytePath] {
        [BytePath(file.expectedDigest)] + (file.xetHash.map { [BytePath($0)] } ?? [])
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

    private func isArriving(_ etag: BytePath) -> Bool {
        evidence.heldLocks.contains(etag) || livePartials.contains(etag)
    }

    /// Whether anything at all is being fetched into this repo that could be this revision's.
    private var isAnythingArriving: Bool {
        if let manifest {
            return manifest.contains { path, file in
                positions[path] == nil && blobNames(file).contains { isArriving($0) }
            }
        }
        // Without a manifest nobody can tell whose it is. A lock of a blob that is already here downloads nothing.
        return !evidence.livePartials.isEmpty || evidence.heldLocks.contains { view.repo.blobs[$0] == nil }
    }

    // MARK: indexes

    /// The names that some index of a folder covers, so that the folder's shard sets are not judged by name as well.
    private func coveredNames() -> Set<BytePath> {
        var covered: Set<BytePath> = []
        for (position, index) in readIndexes() {
            let home = view.snapshot.files[position].path.parent
            for shard in index.shards { covered.insert(home.appending(BytePath(bytes: shard.nameBytes))) }
        }
        return covered
    }

    private func readIndexes() -> [(position: Int, index: ShardIndex)] {
        view.snapshot.files.indices.compactMap { position in
            guard IndexFileName(view.snapshot.files[position].path.lastComponent.bytes) != nil,
                case .file(let stat, _, _) = contents[position], case .read(let index) = evidence.indexes[stat.key]
            else { return nil }
            return (position, index)
        }
    }

    private func judgeIndexes() -> [Finding] {
        var findings: [Finding] = []
        var room = Self.namedIndexShardLimit
        for position in view.snapshot.files.indices {
            let file = view.snapshot.files[position]
            guard IndexFileName(file.path.lastComponent.bytes) != nil,
                case .file(let stat, let location, let blob) = contents[position],
                let found = evidence.indexes[stat.key]
            else { continue }
            switch found {
            case .read(let index):
                findings += judge(index, of: file, stat: stat, location: location, blob: blob, room: &room)
            case .bad(let error):
                // A web page or a pointer in its place is called what it is at the headers depth.
                findings.append(
                    Finding(
                        .indexInvalid, path: location, file: file.path, blob: blob, offset: error.offset,
                        detail: HeaderCheck.sentence(error), content: stat.key))
            case .failed(let failure):
                findings.append(
                    Finding(
                        failure.isPermission ? .unreadable : .readError, path: location, file: file.path, blob: blob,
                        detail: failure.reason, content: stat.key))
            }
        }
        return findings
    }

    private func judge(
        _ index: ShardIndex, of file: SnapshotFile, stat: FileStat, location: BytePath, blob: BytePath?,
        room: inout Int
    ) -> [Finding] {
        var findings: [Finding] = []
        var absent: [BytePath] = []
        var hasAny = false
        for shard in index.shards {
            guard ShardIndex.isSafeShardName(shard.nameBytes) else {
                findings.append(
                    Finding(
                        .indexUnsafePath, path: location, file: file.path, blob: blob,
                        actual: displayText(of: shard.nameBytes.prefix(200)),
                        detail: "a shard name that leaves the folder of its index", content: stat.key))
                continue
            }
            let path = file.path.parent.appending(BytePath(bytes: shard.nameBytes))
            if let position = positions[path] {
                hasAny = true
                findings += misplaced(in: stat.key, shard: position, name: shard.nameBytes)
            } else {
                absent.append(path)
            }
        }
        let manifest = self.manifest
        hasAny = hasAny || absent.contains { hasOrHadPartial($0) }
        guard hasAny || (manifest == nil && !absent.isEmpty && isAnythingArriving) else {
            if !absent.isEmpty {
                findings.append(
                    Finding(
                        .subset, path: location, file: file.path,
                        detail: "none of the \(index.shards.count) shards that it names were fetched"))
            }
            return findings
        }
        var named = absent.prefix(max(1, room)).compactMap { judgeAbsentShard($0, index: file.path) }
        if absent.count > max(1, room), !named.isEmpty {
            named[named.count - 1].detail = "and \(absent.count - max(1, room)) more that '\(file.path.display)' names"
        }
        room -= named.count
        return findings + named
    }

    private func judgeAbsentShard(_ path: BytePath, index: BytePath) -> Finding? {
        let place = folder.appending(path)
        guard let manifest else {
            if isAnythingArriving {
                return Finding(.inFlight, path: place, file: path, detail: "it may be among what is being fetched")
            }
            return Finding(.missingShard, path: place, file: path, detail: "'\(index.display)' names it")
        }
        guard let expected = manifest[path] else {
            return Finding(
                .missingUpstream, path: place, file: path,
                detail: "'\(index.display)' names it and the repo does not have it")
        }
        // A partial of it is reported with the manifest.
        if judgeAbsent(path, expected)?.code == .inFlight { return nil }
        return Finding(
            .missingShard, path: place, file: path, blob: BytePath(expected.expectedDigest),
            expected: String(expected.size), detail: "'\(index.display)' names it")
    }

    private func hasOrHadPartial(_ path: BytePath) -> Bool {
        guard let expected = manifest?[path] else { return false }
        return judgeAbsent(path, expected) != nil
    }

    private func misplaced(in index: FileKey, shard position: Int, name: [UInt8]) -> [Finding] {
        guard case .file(let stat, let location, let blob) = contents[position],
            let detail = evidence.placements[PlacementKey(index: index, shard: stat.key, name: name)] ?? nil
        else { return [] }
        return [
            Finding(
                .tensorMissing, path: location, file: view.snapshot.files[position].path, blob: blob, detail: detail,
                content: stat.key)
        ]
    }

    // MARK: shard sets without an index

    private struct ShardSet: Hashable {
        var folder: BytePath
        var key: ShardFileName.SetKey
    }

    /// Absent shards that name sets claim are named one by one up to this many a revision; what hostile totals claim beyond
    /// is summed up, once a set.
    private static let namedShardLimit = 1000
    /// The same for indexes, the largest of which has so many shards.
    private static let namedIndexShardLimit = 10_000

    private func judgeShardSets() -> [Finding] {
        // Of one file that was named alone, nobody asked for the others.
        if view.repo.isSingleFile { return [] }
        var sets: [ShardSet: [Int: Int]] = [:]
        var samples: [ShardSet: ShardFileName] = [:]
        for position in view.snapshot.files.indices {
            let path = view.snapshot.files[position].path
            guard let name = ShardFileName(path.lastComponent.bytes) else { continue }
            let set = ShardSet(folder: path.parent, key: name.key)
            sets[set, default: [:]][name.number] = position
            if samples[set] == nil { samples[set] = name }
        }
        guard !sets.isEmpty else { return [] }
        let covered = coveredNames()
        var findings: [Finding] = []
        var room = Self.namedShardLimit
        var families: [ShardSet: [ShardSet]] = [:]
        for set in sets.keys {
            // Sets that differ in nothing but their total belong to one family.
            families[ShardSet(folder: set.folder, key: set.key.family), default: []].append(set)
        }
        for members in families.values {
            let isSettled = members.contains { set in
                let numbers = sets[set] ?? [:]
                return numbers.count == samples[set]?.total
                    || numbers.values.contains { covered.contains(view.snapshot.files[$0].path) }
            }
            if members.count > 1,
                let first = members.min(by: { $0.key.totalText.lexicographicallyPrecedes($1.key.totalText) })
            {
                let totals = members.compactMap { samples[$0]?.total }.sorted().map(String.init).joined(
                    separator: " and ")
                findings.append(
                    Finding(
                        .shardSetMixed, path: folder.appending(first.folder),
                        detail: "'\(displayText(of: first.key.prefix))' is declared to have \(totals) parts"))
            }
            for set in members {
                guard let numbers = sets[set], let sample = samples[set] else { continue }
                if members.count > 1 && isSettled { continue }
                if numbers.values.contains(where: { covered.contains(view.snapshot.files[$0].path) }) { continue }
                findings += judge(numbers, of: set, sample: sample, room: &room)
            }
        }
        return findings
    }

    /// - Parameter room: how many more absent shards may be named one by one.
    private func judge(
        _ numbers: [Int: Int], of set: ShardSet, sample: ShardFileName, room: inout Int
    ) -> [Finding] {
        var findings: [Finding] = []
        // Datasets and some models number from 0.
        let all = numbers[0] == nil ? 1...sample.total : 0...(sample.total - 1)
        let missing = sample.total - numbers.keys.count { all.contains($0) }
        guard missing > 0 else { return [] }
        let limit = max(1, room)
        defer { room -= findings.count }
        for number in all where numbers[number] == nil {
            guard let name = sample.sibling(number) else { continue }
            let path = set.folder.appending(BytePath(bytes: name))
            let expected = manifest?[path]
            if let expected, judgeAbsent(path, expected)?.code == .inFlight { continue }
            if manifest == nil && isAnythingArriving {
                findings.append(
                    Finding(
                        .inFlight, path: folder.appending(path), file: path,
                        detail: "it may be among what is being fetched"))
            } else if manifest != nil && expected == nil {
                // A name is a guess, the manifest is not: the repo never had that part.
                continue
            } else {
                findings.append(
                    Finding(
                        .missingShard, path: folder.appending(path), file: path,
                        blob: expected.map { BytePath($0.expectedDigest) },
                        detail: "\(numbers.count) of \(sample.total) parts of its set are here"))
            }
            if findings.count == limit, missing > limit {
                findings[findings.count - 1].detail =
                    "and \(missing - limit) more of the \(sample.total) parts of its set"
                break
            }
        }
        return findings
    }

    // MARK: headers

    private func judgeHeaders(unread: Set<BytePath?>) -> [Finding] {
        var findings: [Finding] = []
        if evidence.headers.isEmpty { return findings }
        for position in view.snapshot.files.indices {
            let file = view.snapshot.files[position]
            guard case .file(let stat, let location, let blob) = contents[position] else { continue }
            guard let expectation = view.expectation(at: position),
                let found = evidence.headers[HeaderKey(file: stat.key, expectation: expectation)]
            else { continue }
            switch found {
            case .sound(_, let split):
                if let split, let finding = judge(split, at: position, location: location, blob: blob, stat: stat) {
                    findings.append(finding)
                }
            case .bad(let code, _, let detail, let offset):
                let isRight = isDigestRight(at: position)
                let isUpstream = isRight && (code == .headerInvalid || code == .truncated)
                findings.append(
                    Finding(
                        isUpstream ? .badUpstream : code, path: location, file: file.path, blob: blob, offset: offset,
                        detail: isUpstream ? "the published file itself is broken: \(detail)" : detail,
                        content: stat.key))
            case .unverifiable(let detail):
                findings.append(
                    Finding(
                        .unverifiable, path: location, file: file.path, blob: blob, detail: detail, content: stat.key))
            case .failed(let failure):
                if unread.contains(file.path) { continue }
                findings.append(
                    Finding(
                        failure.isPermission ? .unreadable : .readError, path: location, file: file.path, blob: blob,
                        detail: failure.reason, content: stat.key))
            }
        }
        return findings
    }

    private func judge(
        _ split: GGUFSummary, at position: Int, location: BytePath, blob: BytePath?, stat: FileStat
    ) -> Finding? {
        let path = view.snapshot.files[position].path
        guard let name = ShardFileName(path.lastComponent.bytes), let count = split.splitCount, count > 0 else {
            return nil
        }
        let number = (split.splitNumber ?? 0) &+ 1
        guard count != UInt64(name.total) || number != UInt64(name.number) else { return nil }
        return Finding(
            isDigestRight(at: position) ? .badUpstream : .headerInvalid, path: location, file: path, blob: blob,
            expected: "part \(name.number) of \(name.total)",
            actual: "part \(number) of \(count)", detail: "SplitMismatch: the header says that it is another part",
            content: stat.key)
    }

    // MARK: digests

    private func isDigestRight(at position: Int) -> Bool {
        guard case .file(let stat, _, _) = contents[position] else { return false }
        return view.expectedDigests(at: position).contains { digest in
            evidence.digests[DigestKey(file: stat.key, algorithm: digest.algorithm)] == .digest(digest)
        }
    }

    private func judgeDigests(alreadyWrong: [Finding]) -> [Finding] {
        if evidence.digests.isEmpty && depth != .digests { return [] }
        let known = Set(
            alreadyWrong.filter { $0.code == .digestMismatch || $0.code == .readError || $0.code == .unreadable }
                .map(\.content))
        var findings: [Finding] = []
        var unnamed = 0
        var unhashed = 0
        for position in view.snapshot.files.indices {
            guard case .file(let stat, let location, let blob) = contents[position] else { continue }
            let expected = view.expectedDigests(at: position)
            if expected.isEmpty { unnamed += 1 }
            guard !known.contains(stat.key), let wanted = expected.first else { continue }
            let found = expected.compactMap { evidence.digests[DigestKey(file: stat.key, algorithm: $0.algorithm)] }
            if expected.contains(where: { found.contains(.digest($0)) }) { continue }
            guard let first = found.first else {
                // Never silently: at this depth everything that has a digest is held against it.
                if depth == .digests { unhashed += 1 }
                continue
            }
            var finding = Finding(
                .digestMismatch, path: location, file: view.snapshot.files[position].path, blob: blob,
                expected: wanted.hex,
                content: stat.key)
            switch first {
            case .digest(let actual):
                finding.actual = actual.hex
                finding.detail = "the content is not what its name says"
            case .changed:
                finding.code = .readError
                finding.expected = nil
                finding.detail = "it kept changing while it was read"
            case .inconsistent(let one, let other):
                finding.code = .readError
                finding.actual = one.hex
                finding.detail = "two reads of the unchanged file differ (\(other.hex)): suspect the memory or the disk"
            case .failed(let failure, let offset):
                finding.code = failure.isPermission ? .unreadable : .readError
                finding.expected = nil
                finding.offset = failure.isPermission ? nil : offset
                finding.detail = failure.reason
            }
            findings.append(finding)
        }
        if unhashed > 0 {
            findings.append(
                Finding(.readError, path: folder, detail: "\(unhashed) files were not hashed"))
        }
        if unnamed > 0, depth == .digests {
            findings.append(
                Finding(
                    .unverifiable, path: folder,
                    detail: "nothing here tells the digest of \(unnamed) of \(view.snapshot.files.count) files"))
        }
        return findings
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

extension DigestEvidence {
    fileprivate static func == (left: DigestEvidence?, right: DigestEvidence) -> Bool {
        guard case .digest(let one) = left, case .digest(let other) = right else { return false }
        return one == other
    }
}

extension [DigestEvidence] {
    fileprivate func contains(_ wanted: DigestEvidence) -> Bool {
        contains { Optional($0) == wanted }
    }
}
