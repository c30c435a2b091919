internal import CacheScan
internal import HubCache
internal import InUse
internal import LinuxIO
internal import Retention
internal import Verification

/// Turns what was found in a cache, and what is remembered of it, into the facts that a plan is made of.
struct FactsBuilder {
    let root: CacheRoot
    let policy: CachePolicy
    let report: CacheReport
    let holdings: [RepoHoldings]
    let store: StoreInventory
    let remembered: RememberedCache
    /// Why nothing may be removed at all.
    let refusal: String?
    /// The holds of a repo, by its folder.
    let holds: (BytePath) -> [Hold]

    /// Makes the facts.
    func build() -> GatheredCache {
        // Looking may have taken minutes: what was free when the root was opened is out of date.
        let filesystem = (try? root.currentFilesystem()) ?? root.filesystem
        var facts = CacheFacts(
            path: root.path, policy: policy,
            filesystem: FilesystemFacts(
                id: filesystem.id, name: "\(filesystem.kind.name)-\(String(filesystem.id, radix: 16))",
                totalBytes: filesystem.totalBytes, freeBytes: filesystem.availableBytes,
                keepsAccessTimes: !filesystem.isNoAccessTime && !filesystem.kind.isNetwork && !filesystem.isReadOnly),
            bytes: report.bytes)
        facts.watchedSince = remembered.watchedSince
        facts.refusal = refusal
        var gathered = GatheredCache(
            root: root, facts: facts, report: report, questions: [], store: store,
            linkedFromElsewhere: holdings.reduce(into: []) { $0.formUnion($1.elsewhere) })
        var account = StorageAccount(store: store)
        var records: [UsageRecord] = []
        let reports = Dictionary(report.repos.map { ($0.folder, $0) }, uniquingKeysWith: { first, _ in first })
        for repo in holdings.sorted(by: { $0.id < $1.id }) {
            guard let report = reports[repo.folder] else { continue }
            add(repo, report, account: &account, records: &records, to: &gathered)
        }
        judgeUse(records, of: &gathered.facts)
        keepWhatOthersLinkTo(&gathered.facts)
        for repo in holdings {
            for path in repo.elsewhere { account.holdFromElsewhere(path) }
            for payload in repo.publishing { account.holdForPublication(payload) }
        }
        addRootFiles(account: &account, to: &gathered)
        gathered.facts.storage = account.finish()
        return gathered
    }

    private func add(
        _ repo: RepoHoldings, _ report: RepoReport, account: inout StorageAccount, records: inout [UsageRecord],
        to gathered: inout GatheredCache
    ) {
        let place = gathered.facts.repos.count
        gathered.facts.repos.append(RepoFacts(id: repo.id, folder: repo.folder))
        if !repo.linkedFolders.isEmpty, repo.linkedFolders.allSatisfy(policy.lists) {
            gathered.listedLinks.insert(place)
        }
        let blobNodes = account.addBlobs(of: repo)
        let reports = Dictionary(
            report.revisions.compactMap { revision in revision.commit.map { ($0, revision) } },
            uniquingKeysWith: { first, _ in first })
        let keepers = repoKeepers(repo)
        let holds = holds(repo.folder)
        for revision in repo.revisions {
            guard let judged = reports[revision.commit] else { continue }
            var facts = RevisionFacts(
                repo: place, commit: revision.commit, state: judged.state,
                arrived: judged.arrived ?? revision.youngestChange)
            facts.refs = judged.refs
            facts.bytes = judged.bytes
            facts.ownBytes = revision.ownBytes
            for blob in revision.blobs {
                account.hold(blobNodes[blob])
                facts.nodes.append(blobNodes[blob])
            }
            for payload in revision.payloads.sorted() {
                guard let node = account.payload(payload) else { continue }
                account.hold(node)
                facts.nodes.append(node)
            }
            for file in revision.sharedFiles.values.sorted(by: { $0.stat.key.inode < $1.stat.key.inode }) {
                for node in account.nodes(ofNames: file.names, of: file.stat) {
                    account.hold(node)
                    facts.nodes.append(node)
                }
            }
            facts.youngestChange = revision.youngestChange
            records.append(
                UsageRecord(
                    repo: place,
                    opens: remembered.opens(
                        of: revision.commit, blobs: revision.blobs.map { repo.blobs[$0].name }, in: repo.folder),
                    files: revision.times))
            if judged.refs.isEmpty { facts.supersededAt = remembered.superseded[repo.folder]?[revision.commit] }
            facts.isHistoryKnown = remembered.knownSince.map { facts.arrived > $0 } ?? false
            facts.hasBrokenDownload = !repo.partials.isEmpty || remembered.brokenDownloads(repo.folder)
            facts.wasComplete =
                judged.state == .complete || remembered.complete[repo.folder]?.contains(revision.commit) ?? false
            let errors = judged.findings.filter { $0.severity == .error }
            facts.isProvenCorrupt = errors.contains { $0.code == .sizeMismatch || $0.code == .digestMismatch }
            facts.isOnlyWrongUpstream =
                !errors.isEmpty && errors.allSatisfy { $0.code == .badUpstream || $0.code == .missingUpstream }
            facts.isRepairExhausted =
                remembered.exhaustedRepairs[repo.folder]?.contains(revision.commit) ?? false
            facts.refetchBytes = revision.contentBytes
            facts.keepers = keepers + holds.filter { $0.covers(revision.commit) }.map { Kept(by: .hold, $0.words) }
            if let foreign = revision.foreignFiles.first {
                let others = revision.foreignFiles.count > 1 ? " and \(revision.foreignFiles.count - 1) more" : ""
                facts.keepers.append(Kept(by: .foreignFiles, "'\(foreign.display)'\(others): no client put it there"))
            }
            facts.identity = revision.identity
            if let question = revision.question { facts.hub = remembered.standing(of: question) }
            gathered.facts.revisions.append(facts)
            gathered.questions.append(revision.question)
        }
        addFiles(
            of: repo, report, place: place, keepers: keepers, blobNodes: blobNodes, account: &account,
            to: &gathered.facts)
    }

    /// Says when each revision was last used: sweeps by backups and the like are no use.
    private func judgeUse(_ records: [UsageRecord], of facts: inout CacheFacts) {
        let judgement = UsageJudgement(
            records, repoCount: facts.repos.count, watchedSince: facts.watchedSince, known: remembered.sweeps)
        for (index, use) in judgement.revisions.enumerated() {
            facts.revisions[index].lastUse = use.lastUse
            facts.revisions[index].lastOpen = use.lastOpen
            facts.revisions[index].sweptRead = use.sweptRead
            if let moved = facts.revisions[index].supersededAt, let open = use.lastOpen, open.time > moved {
                facts.revisions[index].supersededAt = nil
            }
        }
    }

    /// Keeps what links from other repos of the cache lead to: whoever made them reads it by another name, under other locks.
    private func keepWhatOthersLinkTo(_ facts: inout CacheFacts) {
        let aliased = Set(holdings.flatMap { $0.linkedFolders.map(\.key) })
        let elsewhere = holdings.flatMap { repo in repo.elsewhere.map { (from: repo.folder, to: $0) } }
        guard !aliased.isEmpty || !elsewhere.isEmpty else { return }
        let places = Dictionary(uniqueKeysWithValues: facts.repos.indices.map { (facts.repos[$0].folder, $0) })
        for repo in holdings {
            guard let place = places[repo.folder] else { continue }
            let isAliased = aliased.contains(repo.key)
            var users: [CommitHash: BytePath] = [:]
            for link in elsewhere where link.to == repo.folder || link.to.relative(to: repo.folder) != nil {
                for revision in repo.revisions where repo.leads(link.to, to: revision) {
                    users[revision.commit] = link.from
                }
            }
            guard isAliased || !users.isEmpty else { continue }
            for index in facts.revisions.indices where facts.revisions[index].repo == place {
                if isAliased {
                    facts.revisions[index].keepers.append(
                        Kept(by: .foreignEntry, "another name of the cache is a link to this folder"))
                } else if let user = users[facts.revisions[index].commit] {
                    facts.revisions[index].keepers.append(
                        Kept(by: .foreignEntry, "a link in '\(user.display)' leads to it"))
                }
            }
        }
    }

    /// What keeps everything of a repo.
    private func repoKeepers(_ repo: RepoHoldings) -> [Kept] {
        var keepers: [Kept] = []
        for link in repo.linkedFolders where !policy.lists(link) {
            keepers.append(
                Kept(
                    by: .foreignEntry,
                    "'\(link.path.display)' is a link to '\(link.physicalPath.display)'; list that in the policy's 'also'"
                ))
        }
        if repo.hasUnseen { keepers.append(Kept(by: .cannotTell, "a part of the repo could not be looked at")) }
        return keepers
    }

    private func addFiles(
        of repo: RepoHoldings, _ report: RepoReport, place: Int, keepers: [Kept], blobNodes: [StorageGraph.NodeID],
        account: inout StorageAccount, to facts: inout CacheFacts
    ) {
        let blobs = Dictionary(
            uniqueKeysWithValues: repo.blobs.indices.map {
                (repo.folder.appending("blobs").appending(repo.blobs[$0].name), $0)
            })
        for finding in report.findings {
            switch finding.code {
            case .stalePartial:
                guard let stat = repo.partials[finding.path] else { continue }
                var file = FileFacts(kind: .stalePartial, repo: place, path: finding.path, stat: stat)
                file.nodes = account.nodes(ofNames: 1, of: stat)
                file.nodes.forEach { account.hold($0) }
                file.keepers = keepers
                facts.files.append(file)
            case .orphanBlob:
                guard let index = blobs[finding.path] else { continue }
                var file = FileFacts(kind: .orphanBlob, repo: place, path: finding.path, stat: repo.blobs[index].stat)
                file.nodes = [blobNodes[index]]
                account.hold(blobNodes[index])
                file.keepers = keepers
                facts.files.append(file)
            default: break
            }
        }
    }

    private func addRootFiles(account: inout StorageAccount, to gathered: inout GatheredCache) {
        for finding in report.findings {
            switch finding.code {
            case .stalePartial:
                guard let stat = try? root.stat(at: finding.path) else { continue }
                var file = FileFacts(kind: .stalePartial, repo: nil, path: finding.path, stat: stat)
                file.nodes = account.nodes(ofNames: 1, of: stat)
                file.nodes.forEach { account.hold($0) }
                gathered.facts.files.append(file)
            case .orphanPayload:
                guard let name = finding.blob, let payload = store.payloads[name], payload.hasManifest,
                    let node = account.payload(name)
                else { continue }
                var file = FileFacts(kind: .orphanPayload, repo: nil, path: finding.path, stat: payload.stat)
                account.hold(node)
                file.nodes = [node]
                gathered.facts.files.append(file)
            default: break
            }
        }
    }
}
