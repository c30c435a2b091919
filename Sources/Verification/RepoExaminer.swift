internal import CacheScan
internal import HubCache
internal import LinuxIO
internal import WeightFormats

/// A repo as it was found and looked at, ready to be hashed and judged.
struct ExaminedRepo: Sendable {
    let repo: RepoInventory
    let views: [RevisionView]
    var evidence: RepoEvidence
    let onlyCommits: Set<CommitHash>?
    /// The judgement by structure alone, while no held lock was found that could change it.
    var structureReport: RepoReport?

    /// Judges it. `store` is the one it was examined with.
    func report(store: StoreInventory, depth: VerificationDepth, displayID: String) -> RepoReport {
        if depth == .structure, var report = structureReport {
            report.id = displayID
            return report
        }
        return RepoJudge(
            repo: repo, store: store, views: views, evidence: evidence, depth: depth, onlyCommits: onlyCommits
        ).report(displayID: displayID)
    }

    /// Takes from the digests of all repos those of its own files.
    mutating func takeOwn(_ digests: [DigestKey: DigestEvidence]) {
        for file in judgedViews.flatMap(\.sizes.keys) {
            for algorithm in DigestAlgorithm.allCases {
                let key = DigestKey(file: file, algorithm: algorithm)
                if let found = digests[key] { evidence.digests[key] = found }
            }
        }
    }

    /// The revisions that are judged.
    var judgedViews: [RevisionView] {
        guard let onlyCommits else { return views }
        return views.filter { view in view.snapshot.commit.map { onlyCommits.contains($0) } ?? true }
    }
}

/// Looks up everything about one repo that judging it needs beyond its inventory.
struct RepoExaminer {
    let root: CacheRoot
    let store: StoreInventory
    let depth: VerificationDepth
    let facts: KnownFacts
    let liveness: LivenessProbe
    let headerCheck: HeaderCheck
    let cancellation: Cancellation

    /// Examines a repo.
    ///
    /// - Parameter onlyCommits: the revisions asked for; nil for all.
    func examine(_ repo: RepoInventory, onlyCommits: Set<CommitHash>?) -> ExaminedRepo {
        var evidence = RepoEvidence()
        var manifests: [FileKey: ManifestEvidence] = [:]
        for snapshot in repo.snapshots {
            guard let commit = snapshot.commit, let stat = repo.manifests[commit],
                onlyCommits.map({ $0.contains(commit) }) ?? true
            else { continue }
            // Manifests of one inode are read once: a thousand names of a huge one must not cost a thousand times.
            let manifest = manifests[stat.key] ?? readManifest(of: commit, stat: stat, in: repo)
            manifests[stat.key] = manifest
            evidence.manifests[commit] = manifest
        }
        for partial in repo.partials {
            if case .live(let how) = liveness.liveness(of: partial, in: repo) {
                evidence.livePartials[partial.name] = how
            }
        }
        readExpectedSizes(of: repo, into: &evidence)
        let views = repo.snapshots.map { snapshot in
            RevisionView(
                repo: repo, store: store, snapshot: snapshot,
                manifest: snapshot.commit.flatMap { evidence.manifests[$0] })
        }
        var examined = ExaminedRepo(
            repo: repo, views: views, evidence: evidence, onlyCommits: onlyCommits, structureReport: nil)
        examined.evidence.asked = facts.asked(of: repo.folder)
        if views.contains(where: { view in view.manifest?.keys.contains { view.positions[$0] == nil } ?? false }) {
            examined.evidence.rememberedPartials = facts.partials(of: repo.folder)
        }
        for view in examined.judgedViews {
            if cancellation.isCancelled { break }
            readIndexes(of: view, into: &examined.evidence)
            if depth >= .headers {
                readHeaders(of: view, into: &examined.evidence)
                checkPlacement(of: view, into: &examined.evidence)
            } else {
                recallHeaders(of: view, into: &examined.evidence)
            }
            recallDigests(of: view, into: &examined.evidence)
        }
        lookAtLocks(of: &examined)
        return examined
    }

    /// Looks for held locks where one could change the judgement: of most repos manifests tell that nothing is
    /// absent, and their many lock files need no look.
    private func lookAtLocks(of examined: inout ExaminedRepo) {
        guard examined.repo.id != nil else { return }
        let report = examined.report(store: store, depth: .structure, displayID: "")
        let isSensitive = { (findings: [Finding]) in findings.contains { Self.codesThatLocksExplain.contains($0.code) }
        }
        // Without a manifest nothing else tells of a file that is about to come.
        if isSensitive(report.findings) || report.revisions.contains(where: { isSensitive($0.findings) })
            || examined.views.contains(where: { $0.manifest == nil })
        {
            let locks = liveness.heldLocks(of: examined.repo)
            (examined.evidence.heldLocks, examined.evidence.hasUnseenLocks) = (locks.held, locks.hasUnseen)
            noteBegun(locks.ofAbsent, in: &examined)
        }
        let evidence = examined.evidence
        if evidence.heldLocks.isEmpty && !evidence.hasUnseenLocks && evidence.begun.isEmpty {
            examined.structureReport = report
        }
    }

    /// A client writes the manifest before it takes a lock.
    private func noteBegun(_ locks: [BytePath: Timestamp], in examined: inout ExaminedRepo) {
        guard !locks.isEmpty else { return }
        for (commit, stat) in examined.repo.manifests.sorted(by: { $0.value.modified < $1.value.modified }) {
            guard case .read(let files) = examined.evidence.manifests[commit] else { continue }
            for name in files.values.flatMap(\.blobNames) {
                guard let time = locks[name], time > stat.modified else { continue }
                examined.evidence.begun[name] = BegunDownload(commit: commit, time: time)
            }
        }
        if !examined.evidence.begun.isEmpty {
            examined.evidence.lastComplete = facts.lastComplete(in: examined.repo.folder)
        }
    }

    private static let codesThatLocksExplain: Set<FindingCode> = [
        .missingShard, .missingFile, .missingUpstream, .danglingLink, .emptySnapshot, .weightsAbsent, .subset,
        .orphanBlob,
        .inFlight,
    ]

    private func open(_ location: BytePath, in repo: RepoInventory) throws(SystemCallFailure) -> OwnedDescriptor {
        try root.open(location, linked: repo.linkedFolders)
    }

    /// Opens the very file that was listed.
    private func open(
        _ location: BytePath, stat: FileStat, in repo: RepoInventory
    ) throws(SystemCallFailure) -> OwnedDescriptor {
        let file = try open(location, in: repo)
        guard try file.stat().isSameVersion(as: stat) else {
            throw SystemCallFailure(call: "open", errno: SystemCallFailure.staleNumber, subject: location)
        }
        return file
    }

    /// How long the downloads under way will be: their revision may have a manifest and no snapshot yet.
    private func readExpectedSizes(of repo: RepoInventory, into evidence: inout RepoEvidence) {
        let etags = Set(repo.partials.filter { evidence.livePartials[$0.name] != nil }.map(\.etag))
        guard !etags.isEmpty else { return }
        let early = repo.manifests.filter { evidence.manifests[$0.key] == nil }
        let newest = early.sorted { $0.value.changed > $1.value.changed }.prefix(Self.earlyManifests)
        let read = newest.map { readManifest(of: $0.key, stat: $0.value, in: repo) }
        for manifest in Array(evidence.manifests.values) + read {
            guard case .read(let files) = manifest else { continue }
            for file in files.values {
                let etag = BytePath(file.expectedDigest)
                if etags.contains(etag) { evidence.expectedSizes[etag] = file.size }
            }
        }
    }

    private static let earlyManifests = 4

    private func readManifest(of commit: CommitHash, stat: FileStat, in repo: RepoInventory) -> ManifestEvidence {
        do throws(SystemCallFailure) {
            let file = try open(repo.location(ofManifest: commit), stat: stat, in: repo)
            switch read(file, with: TreeManifestParser(fileSize: stat.size), keepsOutOfCache: false) {
            case .sound(let manifest):
                let entries = manifest.files.map { (BytePath(bytes: $0.path), $0) }
                return .read(Dictionary(entries) { _, last in last })
            case .bad(let error): return .unusable(detail: HeaderCheck.sentence(error))
            case .failed(let failure): return .failed(failure)
            }
        } catch {
            return .failed(error)
        }
    }

    // MARK: indexes and headers

    private func readIndexes(of view: RevisionView, into evidence: inout RepoEvidence) {
        for (file, content) in zip(view.snapshot.files, view.contents) {
            guard case .file(let stat, let location, _) = content, evidence.indexes[stat.key] == nil,
                IndexFileName(file.path.lastComponent.bytes) != nil
            else { continue }
            evidence.indexes[stat.key] = readIndex(location, stat: stat, in: view.repo)
        }
    }

    private func readIndex(_ location: BytePath, stat: FileStat, in repo: RepoInventory) -> IndexEvidence {
        do throws(SystemCallFailure) {
            let file = try open(location, stat: stat, in: repo)
            let parser = ShardIndexParser(fileSize: stat.size, hashSeed: headerCheck.hashSeed)
            switch read(file, with: parser, keepsOutOfCache: false) {
            case .sound(let index): return .read(index)
            case .bad(let error): return .bad(error)
            case .failed(let failure): return .failed(failure)
            }
        } catch {
            return .failed(error)
        }
    }

    private func readHeaders(of view: RevisionView, into evidence: inout RepoEvidence) {
        for position in view.contents.indices {
            guard case .file(let stat, let location, _) = view.contents[position],
                let expectation = view.expectation(at: position)
            else { continue }
            if cancellation.isCancelled { return }
            let key = HeaderKey(file: stat.key, expectation: expectation)
            guard evidence.headers[key] == nil else { continue }
            let found: HeaderEvidence
            do throws(SystemCallFailure) {
                let file = try open(location, stat: stat, in: view.repo)
                let seen = headerCheck.check(file, size: stat.size, expectation: expectation)
                // What was written to while it was read says nothing.
                guard try file.stat().isSameVersion(as: stat) else {
                    throw SystemCallFailure(call: "read", errno: SystemCallFailure.staleNumber, subject: location)
                }
                found = seen
            } catch {
                found = .failed(error)
            }
            evidence.headers[key] = found
            if case .bad = found { recallRightDigest(at: position, of: view, stat: stat, into: &evidence) }
        }
    }

    /// A broken header of a file whose digest is known to be right is the publisher's fault.
    private func recallRightDigest(
        at position: Int, of view: RevisionView, stat: FileStat, into evidence: inout RepoEvidence
    ) {
        for expected in view.expectedDigests(at: position) {
            guard let known = facts.digest(of: root.version(of: stat), expected.algorithm) else { continue }
            evidence.digests[DigestKey(file: stat.key, algorithm: expected.algorithm)] = .digest(known)
        }
    }

    private func recallHeaders(of view: RevisionView, into evidence: inout RepoEvidence) {
        for position in view.contents.indices {
            guard case .file(let stat, _, _) = view.contents[position],
                let bad = facts.badHeader(of: root.version(of: stat)),
                let expectation = view.expectation(at: position), expectation == bad.expectation
            else { continue }
            evidence.headers[HeaderKey(file: stat.key, expectation: expectation)] = .bad(
                code: bad.code, reason: "", detail: bad.detail, offset: bad.offset)
            recallRightDigest(at: position, of: view, stat: stat, into: &evidence)
        }
    }

    private func recallDigests(of view: RevisionView, into evidence: inout RepoEvidence) {
        for stat in view.sizes.values {
            for digest in facts.mismatchedDigests(of: root.version(of: stat)) {
                evidence.digests[DigestKey(file: stat.key, algorithm: digest.algorithm)] = .digest(digest)
            }
        }
    }

    // MARK: placement

    /// Holds every index against the headers of its shards.
    ///
    /// The fingerprints prove in constant memory that a shard has just what the index places in it; only where they differ
    /// is the index read a second time.
    private func checkPlacement(of view: RevisionView, into evidence: inout RepoEvidence) {
        for (file, content) in zip(view.snapshot.files, view.contents) {
            guard case .file(let stat, let location, _) = content, case .read(let index) = evidence.indexes[stat.key],
                IndexFileName(file.path.lastComponent.bytes) != nil
            else { continue }
            var suspects: [Suspect] = []
            for shard in index.shards where ShardIndex.isSafeShardName(shard.nameBytes) {
                let path = file.path.parent.appending(BytePath(bytes: shard.nameBytes))
                guard let position = view.positions[path], case .file(let shardStat, _, _) = view.contents[position],
                    case .sound(let tensors?, _) = evidence.headers[
                        HeaderKey(file: shardStat.key, expectation: .safetensors)]
                else { continue }
                let key = PlacementKey(index: stat.key, shard: shardStat.key, name: shard.nameBytes)
                guard evidence.placements[key] == nil else { continue }
                if tensors.fingerprint == shard.fingerprint {
                    evidence.placements[key] = .some(nil)
                } else {
                    let header = ShardPlacementParser.Header(
                        nameBytes: shard.nameBytes, nameHashes: tensors.nameHashes)
                    suspects.append(Suspect(key: key, header: header))
                }
            }
            guard !suspects.isEmpty else { continue }
            if let failed = name(suspects, of: file, stat: stat, location: location, in: view.repo, into: &evidence) {
                // What is known to disagree must not pass for sound because the second look failed.
                evidence.indexes[stat.key] = failed
            }
        }
    }

    private struct Suspect {
        var key: PlacementKey
        var header: ShardPlacementParser.Header
    }

    /// Names the tensors that are missing from suspicious shards.
    ///
    /// - Returns: why that could not be done, if so.
    private func name(
        _ suspects: [Suspect], of file: SnapshotFile, stat: FileStat, location: BytePath, in repo: RepoInventory,
        into evidence: inout RepoEvidence
    ) -> IndexEvidence? {
        let misplaced: MisplacedTensors
        do throws(SystemCallFailure) {
            let opened = try open(location, stat: stat, in: repo)
            let parser = ShardPlacementParser(
                fileSize: stat.size, hashSeed: headerCheck.hashSeed, headers: suspects.map(\.header))
            switch read(opened, with: parser, keepsOutOfCache: false) {
            case .sound(let found): misplaced = found
            case .bad(let error): return .bad(error)
            case .failed(let failure): return .failed(failure)
            }
        } catch {
            return .failed(error)
        }
        // Only so many are named over all shards; beyond that each shard is asked about alone, so that none is left out.
        if misplaced.total > misplaced.tensors.count, suspects.count > 1 {
            for suspect in suspects {
                if cancellation.isCancelled { return nil }
                let failed = name(
                    [suspect], of: file, stat: stat, location: location, in: repo, into: &evidence)
                if let failed { return failed }
            }
            return nil
        }
        for (number, suspect) in suspects.enumerated() {
            let names = misplaced.tensors.filter { $0.header == number }.map(\.name)
            guard !names.isEmpty else {
                evidence.placements[suspect.key] = .some(nil)
                continue
            }
            let shown = names.prefix(3).map { "'\($0)'" }.joined(separator: ", ")
            let more = names.count > 3 ? " and more" : ""
            let pronoun = names.count == 1 ? "it" : "them"
            evidence.placements[suspect.key] =
                "'\(file.path.display)' places \(shown)\(more) here; the header does not have \(pronoun)"
        }
        return nil
    }
}
