internal import HubCache
internal import LinuxIO
internal import WeightFormats

/// Turns what was seen of one repo into findings. Pure: it looks at values only.
struct RepoJudge {
    let repo: RepoInventory
    let store: StoreInventory
    /// The repo's revisions, in the inventory's order.
    let views: [RevisionView]
    let evidence: RepoEvidence
    let depth: VerificationDepth
    /// The revisions asked for; nil for all.
    let onlyCommits: Set<CommitHash>?

    /// Judges the repo.
    ///
    /// - Parameter displayID: how the repo is called.
    func report(displayID: String) -> RepoReport {
        var report = RepoReport(
            id: displayID, repo: repo.id, folder: repo.folder, bytes: 0, reclaimableBytes: 0, state: nil,
            lastUse: nil, revisions: [], findings: [], leftovers: [], filesChecked: 0, bytesChecked: 0,
            tally: repo.tally, payloads: [], elsewhere: [], hasUnseenLinks: repo.hasUnseenLinks)
        var contents: Set<FileKey> = []
        var users: [FileKey: Int] = [:]
        for view in views {
            for key in view.sizes.keys { users[key, default: 0] += 1 }
        }
        report.elsewhere = repo.placesElsewhere
        report.refsWithWhitespace = Set(repo.refs.filter { $0.commit != nil && $0.hasWhitespace }.map(\.name))
        for view in views {
            if let onlyCommits, let commit = view.snapshot.commit, !onlyCommits.contains(commit) { continue }
            var result = RevisionJudge(view: view, evidence: evidence, depth: depth).report()
            for (key, stat) in view.sizes where contents.insert(key).inserted {
                report.bytesChecked &+= stat.size
            }
            for (key, stat) in view.sizes where users[key] == 1 {
                result.uniqueBytes &+= stat.allocated
                if let payload = view.payloads[key] { result.uniquePayloads[payload] = stat.allocated }
            }
            report.filesChecked += view.snapshot.files.count
            if let used = result.lastUse { report.lastUse = LastUse.younger(report.lastUse, used) }
            report.revisions.append(result)
        }
        report.payloads = repo.usedPayloads
        let payloadBytes = report.payloads.reduce(UInt64(0)) { $0 &+ (store.payloads[$1]?.stat.allocated ?? 0) }
        report.bytes = repo.tally.total &+ repo.linkedTally.total &+ payloadBytes
        judgeFolder(into: &report)
        let named = report.revisions.filter { !$0.refs.isEmpty }
        report.state =
            (named.isEmpty ? report.revisions : named).map(\.state).min() ?? Self.stateWithoutRevisions(report.findings)
        return report
    }

    /// The state of a repo that has no revision: what its leftovers say.
    private static func stateWithoutRevisions(_ findings: [Finding]) -> RevisionState? {
        if findings.contains(where: { $0.code.state == .unknown }) { return .unknown }
        if findings.contains(where: { $0.code == .inFlight }) { return .downloading }
        return findings.contains { $0.code == .stalePartial } ? .partial : nil
    }

    /// What belongs to no revision.
    private func judgeFolder(into report: inout RepoReport) {
        var findings = repo.strays.map { Finding($0.code, path: $0.path, detail: $0.detail) }
        report.leftovers += repo.strays.filter { $0.code == .foreignEntry && $0.allocated > 0 }
            .map { Leftover(path: $0.path, kind: $0.code.rawValue, bytes: $0.allocated) }
        for partial in repo.partials {
            let live = evidence.livePartials[partial.name]
            findings.append(
                Finding(
                    live == nil ? .stalePartial : .inFlight, path: repo.location(of: partial),
                    blob: partial.etag.isEmpty ? nil : partial.etag,
                    detail: live ?? "a download that nobody works on any more"))
            if live == nil {
                report.reclaimableBytes &+= partial.stat.freed
                report.leftovers.append(
                    Leftover(
                        path: repo.location(of: partial), kind: FindingCode.stalePartial.rawValue,
                        bytes: partial.stat.freed))
            }
        }
        for operation in repo.operations {
            findings.append(
                Finding(
                    .removing, path: repo.folder.appending(".hfjanitor").appending(operation),
                    detail: "an operation of hfjanitor is under way, or was interrupted"))
        }
        if onlyCommits == nil {
            judgeRefs(of: report, into: &findings)
            judgeUnlinkedBlobs(into: &report, &findings)
        }
        report.findings = findings.sortedForReading()
    }

    private func judgeRefs(of report: RepoReport, into findings: inout [Finding]) {
        let commits = Set(repo.snapshots.compactMap(\.commit))
        for ref in repo.refs {
            let path = repo.folder.appending("refs").appending(ref.name)
            if let commit = ref.commit {
                if !commits.contains(commit) {
                    findings.append(
                        Finding(
                            .refWithoutSnapshot, path: path, actual: commit.hex,
                            detail: "nothing of this commit was fetched into the cache"))
                }
                if report.refsWithWhitespace.contains(ref.name) {
                    findings.append(
                        Finding(
                            .foreignEntry, path: path,
                            detail: "white space around the commit keeps the Python client from using this ref offline")
                    )
                }
            } else {
                findings.append(
                    Finding(.refWithoutSnapshot, path: path, detail: "its content is not a commit of 40 digits"))
            }
        }
    }

    private func judgeUnlinkedBlobs(into report: inout RepoReport, _ findings: inout [Finding]) {
        // Where a snapshot could not be read, a blob may well be linked from there.
        let unread = repo.unseen.keys.contains { $0.relative(to: repo.folder.appending("snapshots")) != nil }
        guard !unread, !repo.strays.contains(where: { $0.path == repo.folder && $0.code.severity == .error }) else {
            return
        }
        var linked: Set<BytePath> = []
        for snapshot in repo.snapshots {
            for file in snapshot.files {
                guard case .blob(let name) = file.link else { continue }
                linked.insert(name)
                if case .blob = repo.blobs[name]?.link { linked.formUnion(repo.steps(fromBlob: name)) }
            }
        }
        for name in repo.blobs.keys.filter({ !linked.contains($0) }).sorted() {
            guard let blob = repo.blobs[name] else { continue }
            let path = repo.location(ofBlob: name)
            switch repo.content(ofBlob: name, store: store) {
            case .notAFile(let kind, _, _):
                findings.append(
                    Finding(.notAFile, path: path, blob: name, detail: "a \(kind.word) where a blob should be"))
                continue
            case .outside(_, let target):
                findings.append(
                    Finding(
                        .linkEscapesCache, path: path, blob: name, actual: target.text,
                        detail: "points outside the cache"))
                continue
            case .unreadable(let errno, _):
                findings.append(Finding(.unreadable, path: path, blob: name, detail: describeErrno(errno)))
                continue
            case .absent(_, let target):
                findings.append(
                    Finding(
                        .danglingLink, path: path, blob: name, actual: target.text, detail: "a link to nothing"))
                continue
            case .file: break
            }
            guard ContentDigest(hex: name.text) != nil else {
                // No client of today names a blob otherwise: it may be somebody's own file.
                findings.append(
                    Finding(.foreignEntry, path: path, detail: "not named like a blob, and nothing links to it"))
                report.leftovers.append(
                    Leftover(path: path, kind: FindingCode.foreignEntry.rawValue, bytes: blob.stat.freed))
                continue
            }
            // Between the rename of a blob and the link to it the client still holds the lock.
            if evidence.heldLocks.contains(name) || evidence.hasUnseenLocks { continue }
            // What arrived while the scan went on may have got its link since.
            if blob.stat.changed >= repo.scannedAt { continue }
            findings.append(Finding(.orphanBlob, path: path, blob: name, detail: "no snapshot links to it"))
            report.reclaimableBytes &+= blob.stat.freed
            report.leftovers.append(
                Leftover(path: path, kind: FindingCode.orphanBlob.rawValue, bytes: blob.stat.freed))
        }
    }
}

extension RepoInventory {
    /// Whether there may be links that could not be looked at.
    var hasUnseenLinks: Bool {
        unseen.keys.contains { place in
            place == folder || ["blobs", "snapshots"].contains { place.relative(to: folder.appending($0)) != nil }
        }
    }

    /// Places in other repos that links of this one end at, of snapshots and of blobs.
    var placesElsewhere: Set<BytePath> {
        var places: Set<BytePath> = []
        for link in allLinks { if case .elsewhere(let path, _) = link { places.insert(path) } }
        return places
    }

    /// The payloads of the shared store that links of this repo lead to.
    var usedPayloads: Set<BytePath> {
        var payloads = publishingPayloads
        for link in allLinks { if case .payload(let name) = link { payloads.insert(name) } }
        return payloads
    }

    private var allLinks: [LinkEnd] {
        blobs.values.compactMap(\.link) + snapshots.flatMap { $0.files.compactMap(\.link) }
    }

    /// The blobs on the way from one that is a link to another.
    fileprivate func steps(fromBlob name: BytePath) -> Set<BytePath> {
        var steps: Set<BytePath> = []
        var next = name
        while case .blob(let other) = blobs[next]?.link, steps.insert(other).inserted { next = other }
        return steps
    }
}

extension [Finding] {
    /// Worst first, then by place.
    func sortedForReading() -> [Finding] {
        sorted { left, right in
            if left.severity != right.severity { return left.severity > right.severity }
            let leftPlace = left.file ?? left.path
            let rightPlace = right.file ?? right.path
            if leftPlace != rightPlace { return leftPlace < rightPlace }
            return left.code.rawValue < right.code.rawValue
        }
    }
}
