internal import HubCache
internal import LinuxIO
internal import WeightFormats

/// Looks at the headers of files.
struct HeaderCheck: Sendable {
    /// The secret that tensor names are hashed with, the same for all files of one run.
    let hashSeed: UInt64

    /// Files of up to this size are read through the page cache: they take little of it, and a read around it goes to the
    /// disk every time.
    private static let smallFileBytes: UInt64 = 64 << 10

    /// Looks at one opened file.
    ///
    /// - Parameters:
    ///   - file: opened at its start.
    ///   - size: its size when it was listed.
    func check(
        _ file: borrowing OwnedDescriptor, size: UInt64, expectation: HeaderExpectation
    ) -> HeaderEvidence {
        let isLarge = size > Self.smallFileBytes
        let head: [UInt8]
        do throws(SystemCallFailure) {
            head =
                isLarge
                ? try file.readUncached(at: 0, count: FormatLimits.sniffBytes)
                : try file.read(at: 0, count: FormatLimits.sniffBytes)
        } catch {
            return .failed(error)
        }
        let sniff = ContentSniff(head.span)
        if sniff == .lfsPointer {
            return .bad(
                code: .lfsPointer, reason: "LFSPointer",
                detail: "a Git LFS pointer of \(size) bytes stands in place of the content", offset: nil)
        }
        if sniff == .htmlPage, expectation != .notAPointer {
            return .bad(
                code: .htmlContent, reason: "HTMLPage", detail: "a web page stands in place of the content", offset: nil
            )
        }
        switch expectation {
        case .neitherPageNorPointer, .notAPointer: return .sound(tensors: nil, split: nil)
        case .safetensors:
            return evidence(
                read(file, with: SafetensorsParser(fileSize: size, hashSeed: hashSeed), keepsOutOfCache: isLarge)
            ) { summary in
                if let fault = summary.unverifiable { return .unverifiable(detail: Self.sentence(fault)) }
                return .sound(tensors: summary, split: nil)
            }
        case .gguf:
            return evidence(read(file, with: GGUFParser(fileSize: size), keepsOutOfCache: isLarge)) { summary in
                if let fault = summary.unverifiable { return .unverifiable(detail: Self.sentence(fault)) }
                return .sound(tensors: nil, split: summary)
            }
        case .torch, .pickledTorch:
            if sniff == .torchLegacy { return checkLegacyTorch(head) }
            // Of anything else only what torch certainly did not write can be judged.
            if sniff == .other, expectation == .pickledTorch, let fault = Self.notTorch(head) { return fault }
            guard sniff == .zip else { return .sound(tensors: nil, split: nil) }
            return evidence(read(file, with: TorchZipParser(fileSize: size), keepsOutOfCache: isLarge)) { _ in
                .sound(tensors: nil, split: nil)
            }
        }
    }

    /// The legacy form: behind the pickled magic number comes the pickled protocol version 1001 (`torch.serialization`).
    private func checkLegacyTorch(_ head: [UInt8]) -> HeaderEvidence {
        let version: [UInt8] = [0x80, 0x02, 0x4d, 0xe9, 0x03, 0x2e]
        let start = 15
        if head.count < start + version.count {
            return .bad(
                code: .truncated, reason: "UnexpectedEndOfFile",
                detail: "UnexpectedEndOfFile: \(head.count) bytes hold only the magic number",
                offset: UInt64(head.count))
        }
        guard head[start..<(start + version.count)].elementsEqual(version) else {
            return .bad(
                code: .headerInvalid, reason: "InvalidProtocolVersion",
                detail: "InvalidProtocolVersion: no protocol version 1001 behind the magic number",
                offset: UInt64(start))
        }
        return .sound(tensors: nil, split: nil)
    }

    /// Zeros, as a power cut leaves them, or the text of some error, under a name that torch writes.
    private static func notTorch(_ head: [UInt8]) -> HeaderEvidence? {
        let what: String
        if !head.isEmpty, head.allSatisfy({ $0 == 0 }) {
            what = "nothing but zeros"
        } else if let first = head.first(where: { $0 > 0x20 }), [0x7b, 0x3c].contains(first),
            head.allSatisfy({ $0 < 0x80 && $0 != 0 })
        {
            what = "text"
        } else if head.isEmpty {
            what = "nothing"
        } else {
            return nil
        }
        return .bad(
            code: .headerInvalid, reason: "NotATorchFile", detail: "NotATorchFile: the file starts with \(what)",
            offset: 0)
    }

    private func evidence<Summary>(
        _ outcome: ReadOutcome<Summary>, sound: (Summary) -> HeaderEvidence
    ) -> HeaderEvidence {
        switch outcome {
        case .sound(let summary): return sound(summary)
        case .failed(let failure): return .failed(failure)
        case .bad(let error):
            switch error.kind {
            case .truncated:
                return .bad(code: .truncated, reason: error.reason, detail: Self.sentence(error), offset: error.offset)
            case .invalid:
                return .bad(
                    code: .headerInvalid, reason: error.reason, detail: Self.sentence(error), offset: error.offset)
            case .unverifiable: return .unverifiable(detail: Self.sentence(error))
            }
        }
    }

    /// The reader's own name of the error, which people search for, and what it means.
    static func sentence(_ error: FormatError) -> String { "\(error.reason): \(error.detail)" }
}
