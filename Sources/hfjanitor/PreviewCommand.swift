import ArgumentParser
import CacheScan
import Documents
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

            Exit status: 0 shown; 64 usage; 66 no such repo, revision or file; 69 the Hub cannot be reached; 77 gated or private; \
            78 policy file wrong.
            """)

    @OptionGroup var named: HubRepoOptions

    @OptionGroup var caches: CacheOptions

    func run() throws {
        try reportingFailures {
            let (id, revision) = try named.revisionOnHub()
            let opened = try OpenedCaches(caches.choice, needing: .rules)
            Interruption.install()
            let filter = NameFilter(include: named.include, exclude: named.exclude)
            let previewer = Previewer(
                repo: id, filter: filter,
                cancellation: Interruption.cancellation, makeClient: try HubSession.clients(opened.loaded.policy))
            let preview: RepoPreview
            do {
                preview = try previewer.preview(revision: revision)
            } catch let failure as HubFailure {
                if caches.json {
                    try printJSON(PreviewDocument(id, revision, code: failure.code, message: failure.description))
                }
                throw Self.failure(failure, id, revision)
            }
            if !filter.isEmpty, preview.files.isEmpty {
                let code = HubErrorCode.entryNotFound
                let message = filter.wordsOfNoFile(in: "\(id)@\(displayText(of: revision))")
                if caches.json { try printJSON(PreviewDocument(id, revision, code: code, message: message)) }
                throw CommandFailure(status: .absent, message: "\(code.rawValue): \(message)")
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
        // What a refusal says tells what helps.
        return switch failure.code {
        case .repoNotFound, .revisionNotFound, .entryNotFound: CommandFailure(status: .absent, message: words)
        case .gated, .invalidToken: CommandFailure(status: .permission, message: words)
        case .downloadCancelled: CommandFailure(status: .interrupted, message: "interrupted")
        case .offline: CommandFailure(status: .unavailable, message: words)
        default: CommandFailure(status: .unavailable, message: words + "; try again later")
        }
    }
}

extension PreviewRoom {
    /// Where a command would put it.
    init(_ preview: RepoPreview, _ opened: OpenedCaches) throws {
        let root = opened.roots.first { (try? $0.stat(at: preview.repo.folder)) != nil } ?? opened.roots.first
        do throws(SystemCallFailure) {
            if let root {
                let filesystem = try root.currentFilesystem()
                self.init(
                    cache: root.path, share: try LocalShare(of: preview.files, repo: preview.repo, in: root),
                    freeBytes: filesystem.availableBytes,
                    floor: opened.policy(of: root).floor(of: filesystem.totalBytes))
            } else {
                let cache = opened.absentDefault ?? "."
                let filesystem = try Self.futureFilesystem(of: cache)
                let policy = opened.loaded.policy.caches.first { $0.path == nil } ?? CachePolicy()
                self.init(
                    cache: cache, share: LocalShare(nothingOf: preview.files), freeBytes: filesystem.availableBytes,
                    floor: policy.floor(of: filesystem.totalBytes))
            }
        } catch {
            throw CommandFailure(
                status: error.isPermission ? .permission : .cannotRead,
                message: "cannot read the cache: \(error.reason)")
        }
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
}
