internal import HubCache
internal import LinuxIO
internal import WeightFormats

/// What headers and digests say of a revision's files.
extension RevisionJudge {
    // MARK: headers

    func judgeHeaders(unread: Set<BytePath?>) -> [Finding] {
        var findings: [Finding] = []
        if evidence.headers.isEmpty { return findings }
        for position in view.snapshot.files.indices {
            let file = view.snapshot.files[position]
            guard case .file(let stat, let location, let blob) = contents[position] else { continue }
            guard let expectation = view.expectation(at: position),
                let found = evidence.headers[HeaderKey(file: stat.key, expectation: expectation)]
            else { continue }
            switch found {
            case .sound(_, let split):
                if let split, let finding = judge(split, at: position, location: location, blob: blob, stat: stat) {
                    findings.append(finding)
                }
            case .bad(let code, _, let detail, let offset):
                let isRight = isDigestRight(at: position)
                let isUpstream = isRight && (code == .headerInvalid || code == .truncated)
                findings.append(
                    Finding(
                        isUpstream ? .badUpstream : code, path: location, file: file.path, blob: blob, offset: offset,
                        detail: isUpstream ? "the published file itself is broken: \(detail)" : detail,
                        content: stat.key))
            case .unverifiable(let detail):
                findings.append(
                    Finding(
                        .unverifiable, path: location, file: file.path, blob: blob, detail: detail, content: stat.key))
            case .failed(let failure):
                if unread.contains(file.path) { continue }
                findings.append(
                    Finding(
                        failure.isPermission ? .unreadable : .readError, path: location, file: file.path, blob: blob,
                        detail: failure.reason, content: stat.key))
            }
        }
        return findings
    }

    private func judge(
        _ split: GGUFSummary, at position: Int, location: BytePath, blob: BytePath?, stat: FileStat
    ) -> Finding? {
        let path = view.snapshot.files[position].path
        guard let name = ShardFileName(path.lastComponent.bytes), let count = split.splitCount, count > 0 else {
            return nil
        }
        let number = (split.splitNumber ?? 0) &+ 1
        guard count != UInt64(name.total) || number != UInt64(name.number) else { return nil }
        return Finding(
            isDigestRight(at: position) ? .badUpstream : .headerInvalid, path: location, file: path, blob: blob,
            expected: "part \(name.number) of \(name.total)",
            actual: "part \(number) of \(count)", detail: "SplitMismatch: the header says that it is another part",
            content: stat.key)
    }

    // MARK: digests

    private func isDigestRight(at position: Int) -> Bool {
        guard case .file(let stat, _, _) = contents[position] else { return false }
        return view.expectedDigests(at: position).contains { digest in
            evidence.digests[DigestKey(file: stat.key, algorithm: digest.algorithm)] == .digest(digest)
        }
    }

    func judgeDigests(alreadyWrong: [Finding]) -> [Finding] {
        if evidence.digests.isEmpty && depth != .digests { return [] }
        let known = Set(
            alreadyWrong.filter { $0.code == .digestMismatch || $0.code == .readError || $0.code == .unreadable }
                .map(\.content))
        var findings: [Finding] = []
        var unnamed = 0
        var unhashed = 0
        for position in view.snapshot.files.indices {
            guard case .file(let stat, let location, let blob) = contents[position] else { continue }
            let expected = view.expectedDigests(at: position)
            if expected.isEmpty { unnamed += 1 }
            guard !known.contains(stat.key), let wanted = expected.first else { continue }
            let found = expected.compactMap { evidence.digests[DigestKey(file: stat.key, algorithm: $0.algorithm)] }
            if expected.contains(where: { found.contains(.digest($0)) }) { continue }
            guard let first = found.first else {
                // Never silently: at this depth everything that has a digest is held against it.
                if depth == .digests { unhashed += 1 }
                continue
            }
            var finding = Finding(
                .digestMismatch, path: location, file: view.snapshot.files[position].path, blob: blob,
                expected: wanted.hex,
                content: stat.key)
            switch first {
            case .digest(let actual):
                finding.actual = actual.hex
                finding.detail = "the content is not what its name says"
            case .changed:
                finding.code = .readError
                finding.expected = nil
                finding.detail = "it kept changing while it was read"
            case .inconsistent(let one, let other):
                finding.code = .readError
                finding.actual = one.hex
                finding.detail = "two reads of the unchanged file differ (\(other.hex)): suspect the memory or the disk"
            case .failed(let failure, let offset):
                finding.code = failure.isPermission ? .unreadable : .readError
                finding.expected = nil
                finding.offset = failure.isPermission ? nil : offset
                finding.detail = failure.reason
            }
            findings.append(finding)
        }
        if unhashed > 0 {
            findings.append(
                Finding(.readError, path: folder, detail: "\(unhashed) files were not hashed"))
        }
        if unnamed > 0, depth == .digests {
            findings.append(
                Finding(
                    .unverifiable, path: folder,
                    detail: "nothing here tells the digest of \(unnamed) of \(view.snapshot.files.count) files"))
        }
        return findings
    }
}

extension DigestEvidence {
    fileprivate static func == (left: DigestEvidence?, right: DigestEvidence) -> Bool {
        guard case .digest(let one) = left, case .digest(let other) = right else { return false }
        return one == other
    }
}

extension [DigestEvidence] {
    fileprivate func contains(_ wanted: DigestEvidence) -> Bool {
        contains { Optional($0) == wanted }
    }
}
