import ArgumentParser
import CacheScan
import HubCache
import HubClient
import LinuxIO
import PolicyFile
import Preview
import Retention

struct PreviewCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "preview",
        abstract: "Show what a repo of the Hub is before it is fetched, and whether it fits here.",
        discussion: """
            Reads the listing, the configuration and the headers of the weights, and nothing of the weights themselves. \
            Changes nothing.

            Patterns are those of huggingface_hub: * crosses folders, a pattern that ends in / means everything below.

            Exit status: 0 shown; 64 usage; 66 no such repo or revision; 69 the Hub cannot be reached; 77 gated or private; \
            78 policy file wrong.
            """)

    @OptionGroup var named: HubRepoOptions

    @OptionGroup var caches: CacheOptions

    func run() throws {
        try reportingFailures {
            let (id, revision) = try named.revisionOnHub()
            let opened = try OpenedCaches(caches, needing: .rules)
            Interruption.install()
            let previewer = Previewer(
                repo: id, filter: NameFilter(include: named.include, exclude: named.exclude),
                cancellation: Interruption.cancellation, makeClient: try HubSession.clients(opened.loaded.policy))
            let preview: RepoPreview
            do {
                preview = try previewer.preview(revision: revision)
            } catch let failure as HubFailure {
                if caches.json { try printJSON(PreviewDocument(id, revision, failure)) }
                throw Self.failure(failure, id, revision)
            }
            let room = try PreviewRoom(preview, opened)
            if caches.json {
                try printJSON(PreviewDocument(preview, revision, room))
            } else {
                PreviewText(preview, revision, room).lines.forEach(Terminal.print)
            }
            if let stop = preview.stop { throw Self.failure(stop, id, revision) }
            return .good
        }
    }

    private static func failure(_ failure: HubFailure, _ id: RepoID, _ revision: String) -> CommandFailure {
        // Asking again does not change a refusal.
        let detail = displayText(of: failure.attempt > 1 ? failure.description : failure.detail)
        let words = "\(failure.code.rawValue): \(id)@\(displayText(of: revision)): \(detail)"
        return switch failure.code {
        case .repoNotFound, .revisionNotFound, .entryNotFound:
            CommandFailure(status: .absent, message: words + "; check the name, --type and the token")
        case .gated:
            CommandFailure(
                status: .permission,
                message: words + "; accept its conditions on its page, and give a token of that account (HF_TOKEN)")
        case .invalidToken:
            CommandFailure(status: .permission, message: words + "; log in again ('hf auth login') or set HF_TOKEN")
        case .downloadCancelled: CommandFailure(status: .interrupted, message: "interrupted")
        case .offline:
            CommandFailure(status: .unavailable, message: words + "; unset HF_HUB_OFFLINE to ask the Hub")
        default: CommandFailure(status: .unavailable, message: words + "; try again later")
        }
    }
}

/// Where a repo would go, and what this machine has for it.
struct PreviewRoom {
    /// The cache it would be fetched into; it need not exist yet.
    let cache: BytePath
    let share: LocalShare
    let freeBytes: UInt64
    /// What must stay free.
    let floorBytes: UInt64
    /// The key of the policy that says so.
    let floorName: String
    let memory: MachineMemory?
    let graphics: [GraphicsProcessor]

    /// Whether what is missing leaves the floor free.
    var fitsOnDisk: Bool { freeBytes >= floorBytes && freeBytes - floorBytes >= share.missingBytes }

    init(_ preview: RepoPreview, _ opened: OpenedCaches) throws {
        let root = opened.roots.first { (try? $0.stat(at: preview.repo.folder)) != nil } ?? opened.roots.first
        let filesystem: Filesystem
        let policy: CachePolicy
        do throws(SystemCallFailure) {
            if let root {
                cache = root.path
                share = try LocalShare(of: preview.files, repo: preview.repo, in: root)
                filesystem = try root.currentFilesystem()
                policy = opened.policy(of: root)
            } else {
                cache = opened.absentDefault ?? "."
                share = LocalShare(nothingOf: preview.files)
                filesystem = try Self.futureFilesystem(of: cache)
                policy = opened.loaded.policy.caches.first { $0.path == nil } ?? CachePolicy()
            }
        } catch {
            throw CommandFailure(
                status: error.isPermission ? .permission : .cannotRead,
                message: "cannot read the cache: \(error.reason)")
        }
        freeBytes = filesystem.availableBytes
        let total = filesystem.totalBytes
        let critical = policy.criticalFreeBytes(of: total)
        let least = policy.minFree?.bytes(of: total) ?? 0
        (floorBytes, floorName) = least > critical ? (least, "min-free") : (critical, "critical-free")
        memory = MachineMemory.read()
        graphics = GraphicsProcessor.all()
    }

    /// The filesystem that a folder will be on once it is made.
    private static func futureFilesystem(of path: BytePath) throws(SystemCallFailure) -> Filesystem {
        var place = path
        while true {
            let isTop = place.isEmpty || place == "/"
            let name: BytePath = isTop ? (path.hasPrefix("/") ? "/" : ".") : place
            do throws(SystemCallFailure) {
                return try OwnedDescriptor.open(trustedPath: name, options: .directory).filesystem()
            } catch {
                guard error.isAbsent, !isTop else { throw error }
            }
            place = place.parent
        }
    }

    /// Whether so much fits into memory: ever, and now.
    func fitsInMemory(_ bytes: UInt64) -> (ever: Bool, now: Bool)? {
        memory.map { (bytes <= $0.usableBytes, bytes <= $0.availableBytes) }
    }

    /// Whether so much fits into one graphics processor's memory, and into that of all together; nil where that is not
    /// known.
    func fitsInGraphics(_ bytes: UInt64) -> (one: Bool, all: Bool)? {
        let sizes = graphics.compactMap(\.totalBytes)
        guard !sizes.isEmpty, sizes.count == graphics.count else { return nil }
        return (sizes.contains { bytes <= $0 }, bytes <= (graphicsBytes ?? 0))
    }

    /// The memory of all graphics processors together; nil where there are none, or one does not tell.
    var graphicsBytes: UInt64? {
        let sizes = graphics.compactMap(\.totalBytes)
        guard !sizes.isEmpty, sizes.count == graphics.count else { return nil }
        return sizes.reduce(0) { sum, size in
            let (total, isOverflow) = sum.addingReportingOverflow(size)
            return isOverflow ? .max : total
        }
    }
}
