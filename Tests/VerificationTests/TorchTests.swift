import HubCache
import TestSupport
import Testing
import Verification

/// Torch files that are no zip archives: what can be said of them by their first bytes and their name.
@Suite struct TorchTests {
    private static let magic: [UInt8] = [
        0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e,
    ]
    private static let version: [UInt8] = [0x80, 0x02, 0x4d, 0xe9, 0x03, 0x2e]

    private struct Case: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var name: BytePath
        var content: [UInt8]
        var code: FindingCode?
    }

    private static let cases: [Case] = [
        Case(testDescription: "legacy", name: "pytorch_model.bin", content: magic + version + [0x80], code: nil),
        Case(testDescription: "legacy cut", name: "any.bin", content: magic, code: .truncated),
        Case(
            testDescription: "legacy of another version", name: "any.bin", content: magic + [1, 2, 3, 4, 5, 6],
            code: .headerInvalid),
        Case(
            testDescription: "zeros", name: "pytorch_model-00001-of-00001.bin",
            content: Array(repeating: 0, count: 5000),
            code: .headerInvalid),
        Case(
            testDescription: "zeros of who knows", name: "weights.bin", content: Array(repeating: 0, count: 5000),
            code: nil),
        Case(testDescription: "error text", name: "a.pth", content: Array("{\"error\": 1}".utf8), code: .headerInvalid),
        Case(
            testDescription: "error in XML", name: "a.pt", content: Array("<Error>x</Error>".utf8), code: .headerInvalid
        ),
        Case(testDescription: "empty", name: "a.ckpt", content: [], code: .headerInvalid),
        Case(testDescription: "old pickle", name: "a.pt", content: [0x28, 0x64, 0x70, 0x30], code: nil),
        Case(testDescription: "newer pickle", name: "a.pt", content: [0x80, 0x04, 0x95], code: nil),
    ]

    @Test(arguments: cases) private func verdict(_ example: Case) throws {
        try withTestCache { cache in
            try cache.repo().file(example.name, example.content, at: commit(1))
            let found = try verify(cache, depth: .headers).revision.findings.codes(.error)
            #expect(found == (example.code.map { [$0] } ?? []))
        }
    }
}
