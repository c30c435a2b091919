import CacheScan
import ControlClient
import FoundationEssentials
import HubCache
import LinuxIO

/// What a daemon that runs knows of a revision.
enum DaemonFindings {
    /// What only reading all of a content tells: a daemon may have done so, and have a memory of its own.
    private static let codesOfContent: Set<FindingCode> = [.digestMismatch, .badUpstream]
    /// What only a memory of what was being fetched tells from a subset that was fetched on purpose.
    private static let codesOfAbsence: Set<FindingCode> = [.missingFile, .missingShard]
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

    /// The errors in a revision's contents, and the files that it still lacks; none where no daemon answers in a second.
    static func of(_ repo: RepoID, _ commit: CommitHash, in root: CacheRoot, socket: String?) -> [Finding] {
        guard let client = SocketOption.client(named: socket) else { return [] }
        let target = "/api/findings?hf_repo=\(repo.name)&type=\(repo.type.rawValue)"
        guard let answer = try? client.ask("GET", target, milliseconds: patience), answer.status == 200,
            let document = try? JSONDecoder().decode(Document.self, from: Data(answer.body)),
            let entries = document.caches.first(where: { $0.path == root.path.text })?.findings
        else { return [] }
        return entries.compactMap { entry in
            guard entry.commit == commit.hex, let code = FindingCode(rawValue: entry.code) else { return nil }
            if codesOfAbsence.contains(code) {
                let snapshot = repo.folder.appending("snapshots").appending(BytePath(commit.hex))
                guard let file = entry.file, isAbsent(file, below: snapshot, in: root) else { return nil }
            } else if !codesOfContent.contains(code) {
                return nil
            }
            var finding = Finding(code, path: BytePath(entry.path))
            finding.file = entry.file.map { BytePath($0) }
            finding.blob = entry.blob.map { BytePath($0) }
            finding.detail = entry.detail
            return finding
        }
    }

    /// Whether there is nothing under that name now: it may have come since the daemon looked.
    private static func isAbsent(_ file: String, below snapshot: BytePath, in root: CacheRoot) -> Bool {
        // In place of bytes that are no text: which name it is cannot be told.
        if file.contains("\u{FFFD}") { return false }
        do throws(SystemCallFailure) {
            _ = try root.stat(at: snapshot.appending(BytePath(file)))
            return false
        } catch {
            return error.isAbsent
        }
    }
}
