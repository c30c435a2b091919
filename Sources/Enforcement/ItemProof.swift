internal import CacheScan
internal import HubCache
internal import InUse
internal import LinuxIO
internal import Retention

extension Enforcer {
    /// Who uses an item, and whether its bytes are exact. It creates and changes nothing.
    func evidence(of item: Item) -> ItemEvidence {
        switch item {
        case .revision(let cache, let index): evidence(ofRevision: index, cache: cache)
        case .file(let cache, let index): evidence(ofFile: index, cache: cache)
        }
    }

    private func evidence(ofRevision index: Int, cache: Int) -> ItemEvidence {
        let gathered = caches[cache]
        let facts = gathered.facts.revisions[index]
        guard let repo = inventory(of: facts.repo, cache: cache),
            let snapshot = repo.snapshots.first(where: { $0.commit == facts.commit })
        else { return ItemEvidence(keepers: [Kept(by: .cannotTell, "it is not there any more")]) }
        guard SnapshotIdentity(of: snapshot, in: repo, store: gathered.store) == facts.identity else {
            return ItemEvidence(keepers: [Kept(by: .cannotTell, "it changed since it was looked at")])
        }
        let contents = snapshot.files.map { repo.content(of: $0, in: snapshot, store: gathered.store) }
        return ItemEvidence(
            keepers: probe(cache).keepers(
                of: facts.commit, files: contents.compactMap(UsedFile.init), in: repo, lastUse: facts.lastUse?.time),
            mayShareExtents: mayShareExtents(
                contents.compactMap { content in
                    guard case .file(let stat, let location, _) = content else { return nil }
                    return (location, stat)
                }, in: repo, cache: cache))
    }

    private func evidence(ofFile index: Int, cache: Int) -> ItemEvidence {
        let gathered = caches[cache]
        let file = gathered.facts.files[index]
        guard let place = file.repo else {
            // In the root or the store: no repo's locks; what removes it takes the store's own.
            let used = UsedFile(location: file.path, stat: file.stat, blob: nil)
            let none = RepoInventory(folder: .empty, id: nil, stat: gathered.root.stat)
            return ItemEvidence(
                keepers: probe(cache).keepers(of: nil, files: [used], in: none, lastUse: file.stat.modified))
        }
        guard let repo = inventory(of: place, cache: cache) else {
            return ItemEvidence(keepers: [Kept(by: .cannotTell, "its repo is not there any more")])
        }
        let name = file.path.lastComponent
        var used = UsedFile(location: file.path, stat: file.stat, blob: name)
        if case .file(let stat, let location, _) = repo.content(ofBlob: name, store: gathered.store) {
            used = UsedFile(location: location, stat: stat, blob: name)
        } else if let partial = repo.partials.first(where: { $0.name == name }) {
            used.blob = partial.etag.isEmpty ? nil : partial.etag
        }
        return ItemEvidence(
            keepers: probe(cache).keepers(of: nil, files: [used], in: repo, lastUse: file.stat.modified),
            mayShareExtents: mayShareExtents([(used.location, used.stat)], in: repo, cache: cache))
    }

    /// A repo as it is now.
    private func inventory(of place: Int, cache: Int) -> RepoInventory? {
        let scan = CacheScan(root: caches[cache].root)
        guard let folder = try? scan.repoFolder(caches[cache].facts.repos[place].folder) else { return nil }
        return scan.scanRepo(folder, store: caches[cache].store)
    }

    /// In nanoseconds.
    func assumeUnusedAfter(of facts: CacheFacts) -> Int64? {
        facts.assumeUnusedAfter(under: settings.policy, former: settings.formerPolicies, now: settings.now)
            .map { $0.components.seconds &* 1_000_000_000 }
    }

    /// The look at processes that all questions of one run share.
    private func probe(_ cache: Int) -> UseProbe {
        UseProbe(
            root: caches[cache].root, ledger: ledger, assumeUnusedAfter: assumeUnusedAfter(of: caches[cache].facts),
            now: settings.now, pass: usePass)
    }

    private func mayShareExtents(
        _ files: [(location: BytePath, stat: FileStat)], in repo: RepoInventory, cache: Int
    ) -> Bool {
        let root = caches[cache].root
        return files.contains { file in
            // These two have neither reflinks nor snapshots nor compression.
            if case .leasable(let name) = root.filesystem(ofDevice: file.stat.key.device).kind,
                ["ext4", "tmpfs"].contains(name)
            {
                return false
            }
            guard let opened = try? root.open(file.location, linked: repo.linkedFolders) else { return true }
            return opened.mayShareExtents()
        }
    }
}
