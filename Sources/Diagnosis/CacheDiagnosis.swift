public import CacheScan
internal import HubCache
internal import LinuxIO

/// Looks at one cache: who owns it, what it is mounted on, whether locks and leases work, what old clients left.
public struct CacheDiagnosis: Sendable {
    private let root: CacheRoot
    private let user: UInt32

    /// Makes a diagnosis of a cache, as the effective user.
    public init(root: CacheRoot) {
        self.root = root
        user = effectiveUser()
    }

    private var name: String { root.path.display }

    /// Looks at everything. Changes nothing.
    public func checks() -> [Check] {
        var checks =
            [ownerCheck(), parentCheck()].compactMap(\.self) + mountChecks() + [spaceCheck(), lockSupportCheck()]
        let scan = CacheScan(root: root)
        let listing: CacheListing
        do throws(SystemCallFailure) { listing = try scan.list() } catch {
            return checks + [
                Check(
                    "permissions", cache: name, .problem, "the root cannot be listed: \(error.reason)",
                    remedy: "run as the cache's owner")
            ]
        }
        var findings = Findings()
        for folder in listing.repos { findings.add(scan.scanRepo(folder, store: listing.store), root: root) }
        findings.addLocks(of: root)
        checks += [leaseCheck(findings), watchCheck(findings)]
        checks += ownershipChecks(findings) + leftoverChecks(findings, listing, scan.scanLocks())
        return checks
    }

    // MARK: owner and permissions

    private func ownerCheck() -> Check {
        guard root.stat.uid != user else {
            return Check("owner", cache: name, .good, "it belongs to uid \(user), as whom this runs")
        }
        return Check(
            "owner", cache: name, .note,
            "it belongs to uid \(root.stat.uid), you run as uid \(user): reading moves access times, and locks may be refused",
            remedy: user == 0
                ? "setpriv --reuid \(root.stat.uid) --regid \(root.stat.gid) --clear-groups hfjanitor …"
                : "run it as that user: sudo -u '#\(root.stat.uid)' hfjanitor …")
    }

    /// `hf auth login` of 1.16 and later makes the token's folder, usually the parent of the cache, private.
    private func parentCheck() -> Check? {
        guard !root.path.parent.isEmpty,
            let parent = try? OwnedDescriptor.open(
                trustedPath: root.path.parent, options: [.directory, .keepAccessTime]
            ).stat(),
            parent.permissions & 0o011 == 0, root.stat.permissions & 0o050 != 0
        else { return nil }
        let isHome = root.path.parent.lastComponent == "huggingface"
        return Check(
            "parent", cache: name, root.stat.permissions & 0o020 != 0 ? .problem : .note,
            "'\(root.path.parent.display)' lets nobody but its owner in (mode \(String(parent.permissions, radix: 8))), "
                + "whatever the cache itself allows" + (isHome ? "; 'hf auth login' does that" : ""),
            remedy: "for a shared cache: set HF_TOKEN_PATH outside, then chmod 755 '\(root.path.parent.display)'")
    }

    private func ownershipChecks(_ findings: Findings) -> [Check] {
        var checks: [Check] = []
        if findings.foreignOwned > 0 {
            checks.append(
                Check(
                    "ownership", cache: name, .problem,
                    "\(findings.foreignOwned) blobs, folders or locks belong to somebody else than the cache's owner, "
                        + "such as '\(findings.foreignSample)': clients of the owner cannot write or lock them",
                    remedy: "chown -R --no-dereference \(root.stat.uid):\(root.stat.gid) '\(root.path.display)'"))
        }
        if root.stat.permissions & 0o020 != 0, findings.unsharedLocks > 0 {
            checks.append(
                Check(
                    "locks", cache: name, .problem,
                    "\(findings.unsharedLocks) lock files are not writable by the group: others of the group cannot wait for them",
                    remedy: "chmod -R g+w '\(root.path.display)/.locks'"))
        }
        if findings.unreadable > 0 {
            checks.append(
                Check(
                    "permissions", cache: name, .problem,
                    "\(findings.unreadable) entr\(findings.unreadable == 1 ? "y" : "ies") cannot be read as uid \(user)",
                    remedy: "run as the cache's owner; 'hfjanitor verify' names them"))
        }
        if findings.unreadableManifests > 0 {
            checks.append(
                Check(
                    "manifests", cache: name, .note,
                    findings.unreadableManifests == 1
                        ? "1 offline manifest can be read by its owner only: what it lists cannot be held against the snapshot"
                        : "\(findings.unreadableManifests) offline manifests can be read by their owner only: "
                            + "what they list cannot be held against the snapshots",
                    remedy: "run as the cache's owner"))
        }
        return checks
    }

    // MARK: the filesystem

    private func mountChecks() -> [Check] {
        let filesystem = root.filesystem
        var checks: [Check] = []
        switch filesystem.kind {
        case .leasable(let kind): checks.append(Check("filesystem", cache: name, .good, "\(kind), local"))
        case .overlay:
            checks.append(
                Check(
                    "filesystem", cache: name, .note,
                    "overlay: whether a file is mapped cannot be told by a lease", remedy: "keep the cache on a volume")
            )
        case .network(let kind):
            checks.append(
                Check(
                    "filesystem", cache: name, .note,
                    "\(kind), shared with other hosts: locks, open files and changes of other hosts cannot be relied on",
                    remedy: "let one host look after it"))
        case .fuse, .other:
            checks.append(
                Check(
                    "filesystem", cache: name, .note,
                    "\(filesystem.kind.name): whether a file is in use can be told from /proc only",
                    remedy: "keep the cache on ext4, xfs, btrfs or tmpfs, or state 'assume-unused-after' for it"))
        }
        if filesystem.isReadOnly {
            checks.append(
                Check(
                    "mount", cache: name, .note, "mounted read-only: nothing is removed or repaired here",
                    remedy: "mount it for writing where that is not meant"))
        }
        if filesystem.isNoAccessTime {
            checks.append(
                Check(
                    "mount", cache: name, .note,
                    "mounted noatime: when a model was last used cannot be told from access times",
                    remedy: "mount it relatime"))
        } else if filesystem.isRelativeAccessTime {
            checks.append(Check("mount", cache: name, .good, "relatime: last use is known to the day"))
        }
        return checks
    }

    private func spaceCheck() -> Check {
        let filesystem = root.filesystem
        let percent = filesystem.totalBytes == 0 ? 100 : filesystem.availableBytes / max(1, filesystem.totalBytes / 100)
        if filesystem.freeInodes == 0 {
            return Check("space", cache: name, .problem, "the filesystem has no free inode", remedy: "remove files")
        }
        let detail = "\(percent) % free: \(filesystem.availableBytes) of \(filesystem.totalBytes) bytes"
        guard percent < 5 else { return Check("space", cache: name, .good, detail) }
        return Check(
            "space", cache: name, .problem, detail,
            remedy: "'hfjanitor ls --sort size' shows what takes it, 'hfjanitor ls --all' what is reclaimable")
    }

    private func lockSupportCheck() -> Check {
        guard let folder = try? root.open(".", options: [.directory, .keepAccessTime]) else {
            return Check("flock", cache: name, .note, "could not be tried", remedy: "run as the cache's owner")
        }
        switch folder.probeLocked() {
        case .free, .taken: return Check("flock", cache: name, .good, "flock works here")
        case .unknown(let reason):
            return Check(
                "flock", cache: name, .problem, "flock does not work here (\(reason)): clients fall back to soft locks",
                remedy: "mount the filesystem with lock support")
        }
    }

    /// What the in-use test can see: the best answer that is to be had for this cache.
    private func leaseCheck(_ findings: Findings) -> Check {
        guard root.filesystem.kind.hasTrustworthyLeases, let sample = findings.leaseSample else {
            let told = "whether a file is in use is told from /proc"
            guard let blind = OpenFileScan.blindSpot() else { return Check("in-use", cache: name, .good, told) }
            return Check(
                "in-use", cache: name, .note, "\(told), in part only: \(blind)",
                remedy: "keep the cache on a local filesystem, such as a hostPath volume, where leases tell; or "
                    + MachineDiagnosis.visibilityRemedy)
        }
        switch sample {
        case .free, .taken: return Check("in-use", cache: name, .good, "whether a file is in use is told by a lease")
        case .unknown(let reason):
            let told = "no lease can be taken (\(reason)): told from /proc"
            guard let blind = OpenFileScan.blindSpot() else { return Check("in-use", cache: name, .good, told) }
            return Check(
                "in-use", cache: name, .note, "\(told), in part only: \(blind)",
                remedy: "run as the cache's owner, or with CAP_LEASE")
        }
    }

    private func watchCheck(_ findings: Findings) -> Check {
        let limit = watchLimit()
        guard let limit, findings.folders * 10 > limit * 9 else {
            return Check("watches", cache: name, .good, "\(findings.folders) folders to watch")
        }
        return Check(
            "watches", cache: name, .problem, "\(findings.folders) folders to watch, \(limit) are allowed a user",
            remedy: "sysctl fs.inotify.max_user_watches=\(findings.folders * 4)")
    }

    private func watchLimit() -> Int? {
        guard let file = try? OwnedDescriptor.open(trustedPath: "/proc/sys/fs/inotify/max_user_watches"),
            let bytes = try? file.readAll(limit: 64)
        else { return nil }
        return Int(String(decoding: bytes.filter { $0 > 0x20 }, as: UTF8.self))
    }

    // MARK: leftovers

    private func leftoverChecks(_ findings: Findings, _ listing: CacheListing, _ locks: LockListing) -> [Check] {
        var checks: [Check] = []
        if findings.oldBlobLocks > 0 || !listing.oldPartials.isEmpty {
            checks.append(
                Check(
                    "old-clients", cache: name, .note,
                    "\(findings.oldBlobLocks) lock files beside blobs and \(listing.oldPartials.count) temporary downloads in "
                        + "the root were left by clients before 0.23",
                    remedy: "'hfjanitor ls --all' shows what they take"))
        }
        let stale = locks.softLocks.filter(\.isStale)
        if let first = stale.first {
            checks.append(
                Check(
                    "soft-locks", cache: name, .problem,
                    "\(stale.count) soft locks of processes that are gone make clients wait, such as '\(first.path.display)'",
                    remedy: "remove the file: its process \(first.processID) does not exist any more"))
        }
        if let first = findings.repoWithOperation {
            checks.append(
                Check(
                    "operations", cache: name, .note,
                    "a removal is under way, or was interrupted, in '\(first.display)'",
                    remedy: "'hfjanitor enforce' or 'rm' finishes or undoes it, and says what it must leave to you"))
        }
        for link in findings.linkedFolders {
            checks.append(
                Check(
                    "linked-folder", cache: name, .note,
                    "'\(link.path.display)' is a link to '\(link.physicalPath.display)': verified, and removed from only if the policy's 'also' lists it",
                    remedy: "add '\(link.physicalPath.display)' to 'also' of the cache, if that is meant"))
        }
        if findings.otherDevices > 0 {
            checks.append(
                Check(
                    "devices", cache: name, .note,
                    "\(findings.otherDevices) repos are on another filesystem than the root: its free space is not theirs",
                    remedy: "removing them does not help this floor: keep each filesystem in a cache of its own"))
        }
        return checks
    }

    /// What a walk over all repos adds up to.
    private struct Findings {
        var folders = 3
        var foreignOwned = 0
        var foreignSample = ""
        var unsharedLocks = 0
        var unreadable = 0
        var unreadableManifests = 0
        var oldBlobLocks = 0
        var otherDevices = 0
        var linkedFolders: [LinkedFolder] = []
        var leaseSample: ProbeAnswer?
        var repoWithOperation: BytePath?

        mutating func add(_ repo: RepoInventory, root: CacheRoot) {
            folders += 6 + repo.snapshots.count
            for snapshot in repo.snapshots { folders += Set(snapshot.files.map(\.path.parent)).count }
            linkedFolders += repo.linkedFolders
            if repo.stat.key.device != root.stat.key.device && repo.linkedFolders.isEmpty { otherDevices += 1 }
            unreadable += repo.strays.count { $0.code == .unreadable }
            if repoWithOperation == nil, !repo.operations.isEmpty { repoWithOperation = repo.folder }
            note(repo.stat, repo.folder, root)
            for (blobName, blob) in repo.blobs {
                note(blob.stat, repo.location(ofBlob: blobName), root)
                if leaseSample == nil, blob.stat.kind == .regular,
                    let file = try? root.open(repo.location(ofBlob: blobName), linked: repo.linkedFolders)
                {
                    ignoreLeaseBreakSignal()
                    leaseSample = file.probeOpenElsewhere()
                }
            }
            for commit in repo.manifests.keys {
                let path = repo.location(ofManifest: commit)
                if (try? root.open(path, linked: repo.linkedFolders)) == nil { unreadableManifests += 1 }
            }
            if let blobs = try? root.open(
                repo.folder.appending("blobs"), linked: repo.linkedFolders, options: [.directory, .keepAccessTime]),
                let listing = try? blobs.listDirectory()
            {
                oldBlobLocks += listing.entries.count { entry in
                    if case .lock = BlobEntryName(entry.name) { true } else { false }
                }
            }
        }

        mutating func addLocks(of root: CacheRoot) {
            guard let locks = try? root.open(".locks", options: [.directory, .keepAccessTime]),
                let repos = try? locks.listDirectory()
            else {
                return
            }
            for repo in repos.entries where repo.stat.kind == .directory {
                folders += 1
                guard let folder = try? locks.open(repo.name, options: [.directory, .keepAccessTime]),
                    let entries = try? folder.listDirectory()
                else { continue }
                for entry in entries.entries where entry.stat.kind == .regular {
                    note(entry.stat, BytePath(".locks").appending(repo.name).appending(entry.name), root)
                    if entry.stat.permissions & 0o020 == 0 { unsharedLocks += 1 }
                }
            }
        }

        private mutating func note(_ stat: FileStat, _ path: BytePath, _ root: CacheRoot) {
            guard stat.uid != root.stat.uid else { return }
            foreignOwned += 1
            if foreignSample.isEmpty { foreignSample = path.display }
        }
    }
}
