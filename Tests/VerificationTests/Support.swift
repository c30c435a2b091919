import CacheScan
import HubCache
import LinuxIO
import TestSupport
import Testing
import Verification

/// Verifies a test's cache through the public API.
func verify(
    _ cache: TestCache, depth: VerificationDepth = .headers, _ selection: CacheSelection = .everything
) throws -> CacheReport {
    let root = try CacheRoot(opening: cache.path)
    return try #require(try Verifier(root: root, options: VerificationOptions(depth: depth)).verify(selection))
}

/// Verifies a plain folder below a test's folder.
func verify(plain path: BytePath, depth: VerificationDepth = .headers) throws -> RepoReport {
    let folder = try PlainFolderScan(opening: path)
    let report = Verifier(root: folder.root, options: VerificationOptions(depth: depth)).verify(folder, id: path)
    return try #require(report.repos.first)
}

extension CacheReport {
    /// The only repo, or the one with that id.
    func repo(_ id: String? = nil) throws -> RepoReport {
        try #require(id == nil ? repos.first : repos.first { $0.id == id })
    }

    /// The only revision of the only repo.
    var revision: RevisionReport {
        get throws { try repo().revision }
    }

    /// Everything that was found, wherever.
    var all: [Finding] {
        findings + repos.flatMap { $0.findings + $0.revisions.flatMap(\.findings) }
    }

    func codes(_ severity: Severity) -> [FindingCode] { all.filter { $0.severity == severity }.map(\.code) }
}

extension RepoReport {
    var revision: RevisionReport {
        get throws {
            try #require(revisions.count == 1)
            return try #require(revisions.first)
        }
    }

    func revision(_ commit: String) throws -> RevisionReport {
        try #require(revisions.first { $0.commit?.hex == commit })
    }
}

extension [Finding] {
    func only(_ code: FindingCode) throws -> Finding {
        let found = filter { $0.code == code }
        try #require(found.count == 1, "\(code.rawValue) among \(map { "\($0.code.rawValue) \($0.path)" })")
        return try #require(found.first)
    }

    func has(_ code: FindingCode) -> Bool { contains { $0.code == code } }

    var codes: Set<FindingCode> { Set(map(\.code)) }

    func codes(_ severity: Severity) -> [FindingCode] { filter { $0.severity == severity }.map(\.code) }
}

func hostNameOfThisMachine() -> String { hostName() }
