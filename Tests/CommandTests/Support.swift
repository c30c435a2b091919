import Foundation
import HubCache
import TestSupport
import Testing

extension TestCache {
    /// Runs the built program on this cache.
    func run(_ arguments: [String], user: UInt32? = nil) throws -> ProgramRun {
        try Program.run(arguments + ["--cache", path.text], folder: outer.path.text, user: user)
    }
}

extension ProgramRun {
    /// The findings of a `verify` document with their codes.
    var codes: Set<String> {
        get throws { Set(try findings.compactMap { $0["code"] as? String }) }
    }

    /// All findings of a `verify` document.
    var findings: [[String: Any]] {
        get throws {
            let caches = try #require(try json["caches"] as? [[String: Any]])
            var found: [[String: Any]] = []
            for cache in caches {
                found += try #require(cache["findings"] as? [[String: Any]])
                for repo in try #require(cache["repos"] as? [[String: Any]]) {
                    found += try #require(repo["findings"] as? [[String: Any]])
                    for revision in try #require(repo["revisions"] as? [[String: Any]]) {
                        found += try #require(revision["findings"] as? [[String: Any]])
                    }
                }
            }
            return found
        }
    }

    /// The ids of the repos that a document names, over all its caches.
    var repoIDs: [String] {
        get throws {
            let caches = try #require(try json["caches"] as? [[String: Any]])
            return caches.flatMap { cache in
                (cache["repos"] as? [[String: Any]] ?? []).compactMap { $0["id"] as? String }
            }
        }
    }
}
