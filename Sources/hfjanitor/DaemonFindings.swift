import ControlClient
import FoundationEssentials
import HubCache

/// What a daemon that runs knows of a revision.
enum DaemonFindings {
    /// What only reading all of a content tells: a daemon may have done so, and have a memory of its own.
    private static let codes: Set<FindingCode> = [.digestMismatch, .badUpstream]
    private static let patience = 1000

    private struct Document: Decodable {
        struct Cache: Decodable {
            var path: String
            var findings: [Entry]
        }

        struct Entry: Decodable {
            var commit: String?
            var code: String
            var path: String
            var file: String?
            var blob: String?
            var detail: String?
        }

        var caches: [Cache]
    }

    /// The errors in a revision's contents; none where no daemon answers in a second.
    static func ofContent(_ repo: RepoID, _ commit: CommitHash, in cache: BytePath, socket: String?) -> [Finding] {
        guard let client = SocketOption.client(named: socket) else { return [] }
        let target = "/api/findings?hf_repo=\(repo.name)&type=\(repo.type.rawValue)"
        guard let answer = try? client.ask("GET", target, milliseconds: patience), answer.status == 200,
            let document = try? JSONDecoder().decode(Document.self, from: Data(answer.body)),
            let entries = document.caches.first(where: { $0.path == cache.text })?.findings
        else { return [] }
        return entries.compactMap { entry in
            guard entry.commit == commit.hex, let code = FindingCode(rawValue: entry.code), codes.contains(code) else {
                return nil
            }
            var finding = Finding(code, path: BytePath(entry.path))
            finding.file = entry.file.map { BytePath($0) }
            finding.blob = entry.blob.map { BytePath($0) }
            finding.detail = entry.detail
            return finding
        }
    }
}
