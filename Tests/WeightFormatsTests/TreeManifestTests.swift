import Testing

@testable import WeightFormats

/// A manifest, and what must come of it.
private struct Case: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var text: String
    /// The expected digests by path, or the reason why there are none.
    var expected: Expected

    enum Expected: Sendable, Equatable {
        case files([String])
        case refused(FormatError.Kind, String)
    }

    init(_ name: String, _ text: String, _ expected: Expected) {
        testDescription = name
        self.text = text
        self.expected = expected
    }
}

private let git = String(repeating: "a", count: 40)
private let sha = String(repeating: "b", count: 64)
private let xet = String(repeating: "c", count: 64)

private func manifest(_ files: String, version: String = "1") -> String {
    "{\"format_version\": \(version), \"files\": {\(files)}}"
}

private let cases: [Case] = [
    Case("git file", manifest("\"a/b.json\": {\"size\": 3, \"blob_id\": \"\(git)\"}"), .files(["a/b.json 3 \(git)"])),
    Case(
        "LFS file",
        manifest(
            "\"w\": {\"size\": 130, \"blob_id\": \"\(git)\", \"lfs_sha256\": \"\(sha)\", \"lfs_size\": 9, \"xet_hash\": \"\(xet)\"}"
        ), .files(["w 9 \(sha)"])),
    Case(
        "nulls and unknown keys",
        manifest("\"w\": {\"size\": 1, \"blob_id\": \"\(git)\", \"lfs_sha256\": null, \"new\": {\"a\": [1, \"x\"]}}"),
        .files(["w 1 \(git)"])),
    Case("unknown keys at the top", "{\"x\": [[]], \"files\": {}, \"format_version\": 1, \"y\": \"z\"}", .files([])),
    Case("no file", manifest(""), .files([])),
    Case("path that climbs", manifest("\"../x\": {\"size\": 3, \"blob_id\": \"\(git)\"}"), .files(["../x 3 \(git)"])),
    Case("later version", manifest("", version: "2"), .refused(.unverifiable, "UnknownFormatVersion")),
    Case("version as text", manifest("", version: "\"1\""), .refused(.invalid, "UnexpectedValue")),
    Case("version as fraction", manifest("", version: "1.0"), .refused(.invalid, "BadFormatVersion")),
    Case("no version", "{\"files\": {}}", .refused(.invalid, "MissingFormatVersion")),
    Case("no files", "{\"format_version\": 1}", .refused(.invalid, "MissingFiles")),
    Case("no blob id", manifest("\"w\": {\"size\": 1}"), .refused(.invalid, "IncompleteEntry")),
    Case("no size", manifest("\"w\": {\"blob_id\": \"\(git)\"}"), .refused(.invalid, "IncompleteEntry")),
    Case("short digest", manifest("\"w\": {\"size\": 1, \"blob_id\": \"abc\"}"), .refused(.invalid, "BadValue")),
    Case(
        "redacted Xet hash", manifest("\"w\": {\"size\": 1, \"blob_id\": \"\(git)\", \"xet_hash\": \"***\"}"),
        .refused(.invalid, "BadValue")),
    Case("negative size", manifest("\"w\": {\"size\": -1, \"blob_id\": \"\(git)\"}"), .refused(.invalid, "BadValue")),
    Case(
        "size past 64 bits", manifest("\"w\": {\"size\": 18446744073709551616, \"blob_id\": \"\(git)\"}"),
        .refused(.invalid, "BadValue")),
    Case("a list of files", "{\"format_version\": 1, \"files\": []}", .refused(.invalid, "UnexpectedValue")),
    Case("a list", "[]", .refused(.invalid, "UnexpectedValue")),
    Case("cut off", "{\"format_version\": 1, \"files\": {\"w\"", .refused(.invalid, "InvalidJSON")),
    Case("empty", "", .refused(.invalid, "InvalidJSON")),
    Case("not UTF-8", manifest("\"\u{0}\": {}"), .refused(.invalid, "InvalidJSON")),
]

@Suite struct TreeManifestTests {
    @Test(arguments: cases) private func verdict(_ example: Case) {
        let bytes = Array(example.text.utf8)
        for chunk in [1, 3, 4096] {
            #expect(outcome(bytes, chunk) == example.expected)
        }
    }

    private func outcome(_ bytes: [UInt8], _ chunk: Int) -> Case.Expected {
        var parser = TreeManifestParser(fileSize: UInt64(bytes.count), chunkBytes: chunk)
        do throws(FormatError) {
            while let demand = parser.demand {
                let start = Int(demand.offset)
                try parser.consume(bytes.span.extracting(start..<(start + demand.count)))
            }
            let files = try parser.finish().files
            return .files(files.map { "\(String(decoding: $0.path, as: UTF8.self)) \($0.size) \($0.expectedDigest)" })
        } catch {
            return .refused(error.kind, error.reason)
        }
    }
}
