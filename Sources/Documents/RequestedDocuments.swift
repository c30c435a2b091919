public import Daemon
internal import HubCache
public import Verification

/// `hfjanitor.scrub/1`: how far the background digest passes are.
public struct ScrubsDocument: Codable, Sendable {
    /// The schema.
    public var schema = "hfjanitor.scrub/1"
    /// One a cache.
    public var caches: [StatusDocument.Scrub]

    /// What a daemon says.
    public init(_ scrubs: [DaemonStatus.Scrub]) { caches = scrubs.map(StatusDocument.Scrub.init) }
}

/// `hfjanitor.findings/1`: what is wrong now.
public struct FindingsDocument: Encodable, Sendable {
    /// A cache.
    public struct Cache: Encodable, Sendable {
        var id: String?
        var path: String
        var findings: [Entry]
    }

    /// A finding, with the repo and the revision it belongs to.
    public struct Entry: Encodable, Sendable {
        private enum CodingKeys: CodingKey { case repo, commit }

        var repo: String?
        var commit: String?
        var finding: FindingDocument

        /// Writes a finding with two more keys.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encodeIfPresent(repo, forKey: .repo)
            try container.encodeIfPresent(commit, forKey: .commit)
            try finding.encode(to: encoder)
        }
    }

    var schema = "hfjanitor.findings/1"
    var caches: [Cache]

    /// What a daemon knows.
    ///
    /// - Parameter caches: all there are; those without findings are listed too.
    public init(_ findings: [KnownFinding], caches: [DaemonStatus.Cache]) {
        self.caches = caches.map { cache in
            Cache(
                id: cache.id, path: cache.path.text,
                findings: findings.filter { $0.cache == cache.id }.map {
                    Entry(repo: $0.repo, commit: $0.revision?.hex, finding: FindingDocument($0.finding))
                })
        }
    }

    /// What was found without a daemon: errors and warnings.
    public init(_ reports: [CacheReport]) {
        caches = reports.map { cache in
            var entries = Self.entries(of: cache.findings)
            for repo in cache.repos {
                entries += Self.entries(of: repo.findings, repo: repo.id)
                for revision in repo.revisions {
                    entries += Self.entries(of: revision.findings, repo: repo.id, commit: revision.commit?.hex)
                }
            }
            return Cache(path: cache.path.text, findings: entries)
        }
    }

    private static func entries(of findings: [Finding], repo: String? = nil, commit: String? = nil) -> [Entry] {
        findings.filter { $0.severity >= .warning }.map {
            Entry(repo: repo, commit: commit, finding: FindingDocument($0))
        }
    }
}
