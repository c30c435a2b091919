public import HubCache
internal import LinuxIO

/// A lock file whose existence is the lock, as filelock makes it where flock(2) is missing: the process id, the host's name
/// and, since filelock 3.25, the process's start token, a line each.
public struct SoftLock: Sendable, Hashable {
    /// Where it is, relative to the cache root.
    public let path: BytePath
    /// The process that made it.
    public let processID: Int32
    /// The machine that process ran on.
    public let host: String

    /// The most bytes that a lock file can have and be one.
    public static let sizeLimit = 1024

    /// Reads a lock file's content; nil when it names no process.
    public init?(path: BytePath, content: [UInt8]) {
        let lines = content.split(separator: 0x0a, omittingEmptySubsequences: false)
        guard lines.count >= 2, let id = Int32(String(decoding: lines[0], as: UTF8.self)), id > 0,
            let host = String(validating: lines[1], as: UTF8.self), !host.isEmpty
        else { return nil }
        self.path = path
        self.processID = id
        self.host = host
    }

    /// Whether its process is certainly gone: it ran on this machine and no process has its id.
    public var isStale: Bool { host == hostName() && !processExists(processID) }
}

/// What can be known of whether somebody is writing a partial download.
public enum Liveness: Sendable, Hashable {
    /// Somebody is; how it shows.
    case live(evidence: String)
    /// Nobody is.
    case stale
}

/// Finds out who holds what in a cache, without creating or changing anything.
public struct LivenessProbe: Sendable {
    private let root: CacheRoot
    private let now: Timestamp

    /// A partial that can be judged by nothing else counts as live for so long after the last write.
    public static let recentWrite: Int64 = 10 * 60 * 1_000_000_000

    /// Makes a probe.
    ///
    /// - Parameter now: the time to judge ages by.
    public init(root: CacheRoot, now: Timestamp) {
        self.root = root
        self.now = now
        ignoreLeaseBreakSignal()
    }

    /// Whether a partial download of a repo is being written.
    ///
    /// It is when its lock is held or anybody has it open; where neither can be told, when it was written to in the last ten
    /// minutes.
    public func liveness(of partial: PartialDownload, in repo: RepoInventory) -> Liveness {
        let locks = lockPaths(etag: partial.etag, repo: repo.folder).map {
            probeLock(at: $0, linked: repo.linkedFolders)
        }
        if locks.contains(.taken) { return .live(evidence: "its lock is held") }
        let location = repo.location(of: partial)
        return judge(partial, at: location, linked: repo.linkedFolders, isLockFree: locks.contains(.free))
    }

    /// Whether a temporary download in the cache root is being written.
    public func liveness(ofRootPartial partial: PartialDownload) -> Liveness {
        judge(partial, at: partial.name, linked: [], isLockFree: false)
    }

    private func judge(
        _ partial: PartialDownload, at location: BytePath, linked: [LinkedFolder], isLockFree: Bool
    ) -> Liveness {
        switch probeOpen(location, linked: linked, stat: partial.stat) {
        case .taken: return .live(evidence: "a process has it open")
        case .free: return .stale
        case .unknown:
            if isLockFree { return .stale }
            // A time in the future is no sign of life either, but for clocks that differ a little.
            let age = now.nanoseconds &- partial.stat.modified.nanoseconds
            return age.magnitude < Self.recentWrite.magnitude
                ? .live(evidence: "written to in the last 10 minutes") : .stale
        }
    }

    /// The blobs of a repo whose lock somebody holds, and whether there may be more that could not be looked at; and when the
    /// locks were made of the blobs that are not here: nobody takes one but to fetch that blob, and it stays.
    public func heldLocks(
        of repo: RepoInventory
    ) -> (held: Set<BytePath>, hasUnseen: Bool, ofAbsent: [BytePath: Timestamp]) {
        var held: Set<BytePath> = []
        var hasUnseen = false
        var ofAbsent: [BytePath: Timestamp] = [:]
        for folder in lockFolders(of: repo.folder) {
            let listing: DirectoryListing
            do throws(SystemCallFailure) {
                listing = try root.open(folder, options: [.directory, .keepAccessTime]).listDirectory()
            } catch {
                hasUnseen = hasUnseen || !error.isAbsent
                continue
            }
            hasUnseen = hasUnseen || !listing.failures.isEmpty
            for entry in listing.entries where entry.stat.kind == .regular && entry.name.hasSuffix(".lock") {
                let etag = BytePath(bytes: entry.name.bytes.dropLast(5))
                if repo.blobs[etag] == nil { ofAbsent[etag] = entry.stat.modified }
                if probeLock(at: folder.appending(entry.name), linked: repo.linkedFolders) == .taken {
                    held.insert(etag)
                }
            }
        }
        for etag in repo.blobLocks where !held.contains(etag) && isLocked(etag: etag, in: repo) { held.insert(etag) }
        return (held, hasUnseen, ofAbsent)
    }

    /// Whether the lock of one blob is held.
    public func isLocked(etag: BytePath, in repo: RepoInventory) -> Bool {
        lockPaths(etag: etag, repo: repo.folder).contains {
            probeLock(at: $0, linked: repo.linkedFolders) == .taken
        }
    }

    /// `.locks/<repo>` of the Python and Rust clients, and its sub-folder `blobs` of the Swift one.
    private func lockFolders(of repo: BytePath) -> [BytePath] {
        let locks = BytePath(".locks").appending(repo)
        return [locks, locks.appending("blobs")]
    }

    private func lockPaths(etag: BytePath, repo: BytePath) -> [BytePath] {
        guard !etag.isEmpty else { return [] }
        let name = BytePath(bytes: etag.bytes + Array(".lock".utf8))
        // The last is where clients before 0.19 and old Rust ones keep theirs.
        return lockFolders(of: repo).map { $0.appending(name) } + [repo.appending("blobs").appending(name)]
    }

    private func probeLock(at location: BytePath, linked: [LinkedFolder]) -> ProbeAnswer {
        guard let file = try? root.open(location, linked: linked), let stat = try? file.stat(), stat.kind == .regular
        else {
            return .unknown(reason: "no lock file")
        }
        // Some network filesystems grant every caller the lock: what they call free means nothing.
        let answer = file.probeLocked()
        if answer == .free {
            if root.filesystem(ofDevice: stat.key.device).kind.isNetwork {
                return .unknown(reason: "network filesystem")
            }
            if stat.size > 0, let content = try? file.readAll(limit: SoftLock.sizeLimit),
                let soft = SoftLock(path: location, content: content), !soft.isStale
            {
                return soft.host == hostName() ? .taken : .unknown(reason: "a soft lock of \(soft.host)")
            }
        }
        return answer
    }

    private func probeOpen(_ location: BytePath, linked: [LinkedFolder], stat: FileStat) -> ProbeAnswer {
        guard root.filesystem(ofDevice: stat.key.device).kind.hasTrustworthyLeases,
            let file = try? root.open(location, linked: linked), let opened = try? file.stat()
        else { return OpenFileScan.shared.answer(for: stat.key) }
        guard opened.key == stat.key else { return .unknown(reason: "it was replaced meanwhile") }
        let answer = file.probeOpenElsewhere()
        if case .unknown = answer { return OpenFileScan.shared.answer(for: stat.key) }
        return answer
    }
}
