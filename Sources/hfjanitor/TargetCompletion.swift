import ArgumentParser
import CacheScan
import HubCache
import LinuxIO

extension CompletionKind {
    /// The repos of the cache, by the names that a TARGET has: of the caches that `--cache` names, else of the one that
    /// huggingface_hub uses. The policy is not read: completion must not wait for what it names.
    static var targets: CompletionKind {
        .custom { words, _, _ in
            var roots = zip(words, words.dropFirst()).filter { $0.0 == "--cache" }.map { BytePath($0.1) }
            if roots.isEmpty { roots = [CacheLocator(environment: Terminal.environment).hubCache] }
            return repos(in: roots)
        }
    }

    private static func repos(in roots: [BytePath]) -> [String] {
        var names: Set<String> = []
        for root in roots {
            guard let folder = try? OwnedDescriptor.open(trustedPath: root, options: .directory),
                let listing = try? folder.listDirectory()
            else { continue }
            for repo in listing.entries.compactMap({ RepoID(folder: $0.name) }) {
                names.insert(repo.type == .model ? repo.name : repo.description)
            }
        }
        return names.sorted()
    }
}
