import ArgumentParser
import CacheScan
import Daemon
import HubCache
import LinuxIO
import PolicyFile
import Retention
import Synchronization

/// Which caches a command works on, for every command that prints data.
struct CacheOptions: ParsableArguments {
    @OptionGroup var choice: CacheChoice

    @Flag(name: .long, help: "Print one JSON document.")
    var json = false

    var cache: [String] { choice.cache }
    var policyOptions: PolicyOptions { choice.policyOptions }
}

/// Which caches a command works on, for every command.
struct CacheChoice: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "A cache root; repeatable. Default: the policy's, else the one huggingface_hub uses.", valueName: "dir"),
        completion: .directory)
    var cache: [String] = []

    @OptionGroup var policyOptions: PolicyOptions
}

/// The caches that a command was given, opened, and the policy that says more of them.
struct OpenedCaches {
    /// What a command needs the policy for.
    enum PolicyNeed {
        /// To know the caches, when none is named.
        case caches
        /// The same, for a target that is named: a server that starts does not wait for somebody to correct the policy.
        case cachesOfTarget
        /// For what it says of them.
        case rules
        /// For nothing: the caches are those that are named, or the default.
        case nothing
    }

    /// Whether the policy's problem was told: who waits looks again and again.
    private static let hasTold = Atomic<Bool>(false)

    /// The roots, each once, in the order they were named.
    private(set) var roots: [CacheRoot] = []
    /// The default cache's path when nothing was named and it does not exist yet.
    private(set) var absentDefault: BytePath?
    /// The policy; without a file, or where none was needed, the one that only observes.
    private(set) var loaded = LoadedPolicy(policy: Policy(), files: [], warnings: [], isEmpty: true)
    /// Under what name the ledger remembers it.
    private(set) var policyScope = ""
    private var policies: [CachePolicy] = []

    /// Opens the caches, and when root runs on another user's, becomes that user for good: see `Owner`.
    ///
    /// What root alone may read, such as the policy, is read before.
    ///
    /// - Throws: `CommandFailure` when the policy is wrong, or a named cache is not there, is none or cannot be read.
    init(_ options: CacheChoice, needing need: PolicyNeed = .caches) throws {
        try self.init(opening: options, needing: need)
        try Owner.become(ofAll: roots)
        for root in roots where !options.cache.isEmpty && root.isSomethingElse {
            let hint = root.likelyCache ?? "nothing in it belongs to one; check --cache"
            throw CommandFailure(status: .absent, message: "'\(root.path.display)' is no cache: \(hint)")
        }
    }

    /// Opens the caches, and leaves this process whose it is.
    private init(opening options: CacheChoice, needing need: PolicyNeed = .caches) throws {
        let locator = CacheLocator(environment: Terminal.environment)
        if need == .rules || need != .nothing && (options.cache.isEmpty || options.policyOptions.policy != nil) {
            do {
                loaded = try options.policyOptions.load()
            } catch let failure as CommandFailure where failure.status == .policy && need == .cachesOfTarget {
                if !Self.hasTold.exchange(true, ordering: .relaxed) {
                    Terminal.complain(
                        "\(failure.message)\nlooking in \(locator.hubCache.display); name another one with --cache")
                }
            }
            policyScope = FormerPolicies.scope(of: options.policyOptions.location())
        }
        let listed = loaded.policy.caches.map { ($0, $0.path ?? locator.hubCache) }
        if !options.cache.isEmpty {
            for text in options.cache { try open(BytePath(locator.expand(text)), listed: listed) }
            return
        }
        guard listed.isEmpty else {
            for (policy, path) in listed {
                if policy.path == nil {
                    try openDefault(path, policy)
                    continue
                }
                do {
                    try open(path, listed: [(policy, path)])
                } catch let failure as CommandFailure where failure.status == .absent && listed.count > 1 {
                    // A disk that is not mounted must not take the floor from under the others.
                    Terminal.complain(failure.message)
                }
            }
            return
        }
        try openDefault(locator.hubCache, CachePolicy())
    }

    /// What the policy says of a cache.
    func policy(of root: CacheRoot) -> CachePolicy {
        roots.firstIndex { $0.stat.key == root.stat.key }.map { policies[$0] } ?? CachePolicy(path: root.path)
    }

    private mutating func openDefault(_ path: BytePath, _ policy: CachePolicy) throws {
        do throws(SystemCallFailure) {
            add(try CacheRoot(opening: path), policy)
        } catch {
            guard error.isAbsent else { throw Self.failure(error, path) }
            absentDefault = path
        }
    }

    private mutating func open(_ path: BytePath, listed: [(policy: CachePolicy, path: BytePath)]) throws {
        do throws(SystemCallFailure) {
            let root = try CacheRoot(opening: path)
            // By what is there and not by its name: the policy may name it otherwise.
            let entry = listed.first { entry in
                entry.path == path || entry.path == root.path
                    || (try? CacheRoot(opening: entry.path))?.stat.key == root.stat.key
            }
            add(root, entry?.policy ?? CachePolicy())
        } catch {
            throw Self.failure(error, path)
        }
    }

    private mutating func add(_ root: CacheRoot, _ policy: CachePolicy) {
        if roots.contains(where: { $0.stat.key == root.stat.key }) { return }
        roots.append(root)
        policies.append(policy)
    }

    private static func failure(_ error: SystemCallFailure, _ path: BytePath) -> CommandFailure {
        if error.isAbsent {
            return CommandFailure(
                status: .absent,
                message: "no cache at '\(path.display)': \(error.reason); check --cache and HF_HUB_CACHE")
        }
        if error.isPermission {
            return CommandFailure(
                status: .permission,
                message:
                    "cannot read the cache '\(path.display)': \(error.reason); run as its owner, or see 'hfjanitor doctor'"
            )
        }
        return CommandFailure(status: .cannotRead, message: "cannot read the cache '\(path.display)': \(error.reason)")
    }
}

extension CacheRoot {
    /// What was meant where the home of the cache, or a repo's folder, was named in place of the cache; nil: neither was.
    var likelyCache: String? {
        if (try? open("hub", options: .directory)) != nil {
            return "did you mean '\(path.appending("hub").display)'?"
        }
        if (try? open("snapshots", options: .directory)) != nil {
            return "it is a repo's folder; did you mean '\(path.parent.display)'?"
        }
        return nil
    }
}

/// What one TARGET means.
enum Selected {
    /// A repo of a cache, or one revision of it.
    case repo(cache: Int, RepoID, CommitHash?)
    /// A whole cache, by its path.
    case cache(Int)
    /// A plain folder or weight file, and how it was named.
    case folder(PlainFolderScan, id: BytePath)
}

extension Selected {
    /// Whether another selection is the same or a part of this one.
    func covers(_ other: Selected) -> Bool {
        switch (self, other) {
        case (.cache(let one), .cache(let other)): one == other
        case (.cache(let one), .repo(let other, _, _)): one == other
        case (.repo(let cache, let id, let commit), .repo(let otherCache, let otherID, let otherCommit)):
            cache == otherCache && id == otherID && (commit == nil || commit == otherCommit)
        case (.folder(let one, _), .folder(let other, _)): one.isSame(as: other)
        default: false
        }
    }
}

/// Finds out what TARGETs mean.
struct TargetResolver {
    private(set) var roots: [CacheRoot]

    init(_ caches: OpenedCaches) { roots = caches.roots }

    /// Finds what a text names.
    ///
    /// - Throws: `CommandFailure`: 64 when it cannot be a target or means several things, 66 when it is not here.
    mutating func resolve(_ text: String) throws -> Selected {
        if Self.isPath(text) {
            return try resolvePath(text)
        }
        guard let name = TargetName(text) else {
            throw CommandFailure(
                status: .usage,
                message:
                    "'\(displayText(of: text))' is not a repo: use org/name, dataset/org/name, or ./PATH for a folder")
        }
        var found: [(cache: Int, id: RepoID)] = []
        for (index, root) in roots.enumerated() {
            for id in Set(name.candidates)
            where (try? root.open(id.folder, options: .directory)) != nil || isLink(id, root) {
                found.append((index, id))
            }
        }
        guard let only = found.first else {
            let places = roots.map { "'\($0.path.display)'" }.joined(separator: ", ")
            throw CommandFailure(
                status: .absent,
                message:
                    "no repo '\(displayText(of: text))' in \(places.isEmpty ? "any cache" : places); see 'hfjanitor ls'"
            )
        }
        guard found.count == 1 else {
            let list = found.map { "  \($0.id)  in \(roots[$0.cache].path.display)" }.sorted().joined(separator: "\n")
            throw CommandFailure(
                status: .usage,
                message: "'\(displayText(of: text))' may mean any of these; name its type or its cache:\n\(list)")
        }
        guard let revision = name.revision else { return .repo(cache: only.cache, only.id, nil) }
        return .repo(cache: only.cache, only.id, try commit(named: revision, of: only.id, in: roots[only.cache]))
    }

    /// Whether a TARGET names a place and not a repo.
    static func isPath(_ text: String) -> Bool {
        ["/", "./", "../", "~/"].contains { text.hasPrefix($0) } || [".", "..", "~"].contains(text)
    }

    private func isLink(_ id: RepoID, _ root: CacheRoot) -> Bool {
        ((try? CacheScan(root: root).list())?.repos.contains { $0.id == id }) ?? false
    }

    private func commit(named revision: String, of id: RepoID, in root: CacheRoot) throws -> CommitHash {
        let scan = CacheScan(root: root)
        let listing: CacheListing
        do throws(SystemCallFailure) { listing = try scan.list() } catch {
            throw CommandFailure(status: .cannotRead, message: "cannot read '\(root.path.display)': \(error.reason)")
        }
        guard let folder = listing.repos.first(where: { $0.id == id }) else {
            throw CommandFailure(status: .absent, message: "no repo '\(id)' any more")
        }
        let repo = scan.scanRepo(folder, store: listing.store)
        let commits = repo.commits(named: revision)
        let known = repo.snapshots.compactMap(\.commit)
        switch commits.count {
        case 1:
            guard let commit = commits.first, known.contains(commit) else {
                throw CommandFailure(
                    status: .absent,
                    message:
                        "'\(displayText(of: revision))' of \(id) is commit \(commits[0].hex), of which nothing is here")
            }
            return commit
        case 0:
            throw CommandFailure(
                status: .absent,
                message:
                    "\(id) has no revision '\(displayText(of: revision))' here; see 'hfjanitor ls --revisions \(id)'")
        default:
            let list = commits.map { "  \($0.hex)" }.joined(separator: "\n")
            throw CommandFailure(
                status: .usage, message: "'\(displayText(of: revision))' is the start of several commits:\n\(list)")
        }
    }

    /// A path that is a cache, or a repo's or revision's folder in one, means that; any other is a plain folder.
    private mutating func resolvePath(_ text: String) throws -> Selected {
        let path = BytePath(CacheLocator(environment: Terminal.environment).expand(text))
        let folder: PlainFolderScan
        do throws(SystemCallFailure) { folder = try PlainFolderScan(opening: path) } catch {
            throw CommandFailure(
                status: error.isAbsent ? .absent : error.isPermission ? .permission : .cannotRead,
                message: "cannot read '\(path.display)': \(error.reason)")
        }
        guard !folder.isSingleFile else { return .folder(folder, id: path) }
        let place = folder.root.path
        if looksLikeCache(folder.root) { return .cache(try index(ofCacheAt: place)) }
        if let id = RepoID(folder: place.lastComponent), looksLikeRepo(folder.root) {
            return .repo(cache: try index(ofCacheAt: place.parent), id, nil)
        }
        let repo = place.parent.parent
        if let commit = CommitHash(place.lastComponent), place.parent.lastComponent == "snapshots",
            let id = RepoID(folder: repo.lastComponent)
        {
            return .repo(cache: try index(ofCacheAt: repo.parent), id, commit)
        }
        return .folder(folder, id: path)
    }

    private func looksLikeCache(_ root: CacheRoot) -> Bool {
        if roots.contains(where: { $0.stat.key == root.stat.key }) { return true }
        return !((try? CacheScan(root: root).list())?.repos.isEmpty ?? true)
    }

    private func looksLikeRepo(_ root: CacheRoot) -> Bool {
        ["snapshots", "blobs", "refs"].contains { (try? root.open(BytePath($0), options: .directory)) != nil }
    }

    private mutating func index(ofCacheAt path: BytePath) throws -> Int {
        let root: CacheRoot
        do throws(SystemCallFailure) { root = try CacheRoot(opening: path.isEmpty ? "/" : path) } catch {
            throw CommandFailure(status: .cannotRead, message: "cannot read '\(path.display)': \(error.reason)")
        }
        if let known = roots.firstIndex(where: { $0.stat.key == root.stat.key }) { return known }
        try Owner.become(ofAll: [root])
        roots.append(root)
        return roots.count - 1
    }
}
