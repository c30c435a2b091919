import Testing
import WeightFormats

@Suite struct ContentSniffTests {
    static let heads: [(String, [UInt8], ContentSniff)] = [
        ("empty", [], .other),
        ("safetensors", safetensors("{}"), .safetensors),
        ("safetensors with leading space", safetensors(" {}"), .safetensors),
        ("length without a brace", safetensors("[]"), .other),
        ("length too large", safetensors("{}", claim: 100_000_001), .other),
        ("length only", Array(safetensors("{}").prefix(8)), .other),
        ("GGUF", GGUFBuilder().bytes, .gguf),
        ("big-endian GGUF", GGUFBuilder(version: 0x0300_0000).bytes, .gguf),
        ("zip", ZipBuilder.torch.parts.bytes, .zip),
        ("empty zip", ZipBuilder(entries: []).parts.bytes, .zip),
        (
            "torch legacy",
            [0x80, 2, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E, 0x80, 2, 0x4D],
            .torchLegacy
        ),
        ("real torch zip", TorchFixtures.zip, .zip),
        ("real torch legacy", TorchFixtures.legacy, .torchLegacy),
        ("another pickle", [0x80, 2, 0x7D, 0x71, 0], .other),
        ("tar", Array(repeating: 0, count: 257) + Array("ustar\u{0}00".utf8), .tar),
        ("LFS pointer", Array("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n".utf8), .lfsPointer),
        ("almost an LFS pointer", Array("version https://git-lfs.github.com/spec".utf8), .other),
        ("page", Array("<!DOCTYPE html><html>".utf8), .htmlPage),
        ("page without doctype", Array("<HTML lang=en>".utf8), .htmlPage),
        ("page after space", Array("\n\n \t<!doctype HTML>".utf8), .htmlPage),
        ("page after a byte order mark", Array("\u{feff}<html>".utf8), .htmlPage),
        ("page after comments", Array("<!-- a --> <!-- - -- --><html>".utf8), .htmlPage),
        ("page after a declaration", Array("<?xml version=\"1.0\"?>\n<!DOCTYPE html>".utf8), .htmlPage),
        ("open comment", Array("<!-- <html>".utf8), .other),
        ("other XML", Array("<?xml version=\"1.0\"?><svg>".utf8), .other),
        ("text", Array("{\"a\":1}".utf8), .other),
    ]

    @Test(arguments: heads) func head(_ name: String, _ bytes: [UInt8], _ expected: ContentSniff) {
        #expect(ContentSniff(bytes.span) == expected, "\(name)")
    }

    @Test func looksNoFurther() {
        let bytes = Array(repeating: UInt8(ascii: " "), count: FormatLimits.sniffBytes) + Array("<html>".utf8)
        #expect(ContentSniff(bytes.span) == .other)
    }
}
