import HubCache
import LinuxIO
import Synchronization
import TestSupport
import Testing

@testable import Digests

@Suite struct HashedWriterTests {
    private static let mebibyte = 1 << 20

    private func opened(_ folder: DataFolder) throws -> OwnedDescriptor {
        try OwnedDescriptor.open(trustedPath: folder.path(of: "."), options: .directory)
    }

    private func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 13) }
    }

    /// Content in pieces of one size behind what is there already, whatever both are multiples of.
    @Test(
        arguments: [
            (0, 0, 1), (0, 1, 1), (0, 4096, 4096), (0, mebibyte, 16_384), (0, 3 * mebibyte + 17, 16_384),
            (0, 20 * mebibyte, 3 * mebibyte), (1, 2 * mebibyte, 4096), (4096, 12 * mebibyte + 1, 70_001),
            (65_535, mebibyte + 5, mebibyte), (mebibyte - 1, 10 * mebibyte, 16_000),
        ], [nil, "/dev/shm"])
    func everyByteIsWrittenAndHashed(_ sizes: (present: Int, new: Int, piece: Int), _ parent: String?) throws {
        let folder = DataFolder(below: parent)
        let content = bytes(sizes.present + sizes.new)
        folder.write("file", Array(content.prefix(sizes.present)))
        var digest = StreamingDigest(.sha256, length: UInt64(content.count))
        digest.update(content.span.extracting(first: sizes.present))
        let file = SharedDescriptor(try opened(folder).openForChange("file"))
        let pieces = Mutex<Int>(0)
        let writer = HashedWriter(
            file, at: UInt64(sizes.present), digest, written: { pieces.withLock { $0 += 1 } })
        var index = sizes.present
        while index < content.count {
            let next = min(index + sizes.piece, content.count)
            try writer.append(content.span.extracting(index..<next))
            index = next
        }
        guard let whole = writer.finish() else {
            Issue.record("there is no digest")
            return
        }
        let found = try whole.finish()
        #expect(writer.failure == nil)
        #expect(found.hex == ReferenceDigest.sha256(content))
        #expect(try file.descriptor.stat().size == UInt64(content.count))
        #expect(try folder.open("file").readAll(limit: content.count + 1) == content)
        #expect(pieces.withLock(\.self) >= (sizes.new + Self.mebibyte - 1) / Self.mebibyte)
        // What is written after that goes behind it.
        try file.descriptor.write([1, 2, 3])
        #expect(try folder.open("file").readAll(limit: content.count + 4) == content + [1, 2, 3])
    }

    @Test func whatCannotBeWrittenIsTold() throws {
        let folder = DataFolder()
        folder.write("file", [])
        let piece = bytes(3 * Self.mebibyte)
        let writer = HashedWriter(
            SharedDescriptor(try folder.open("file")), at: 0, StreamingDigest(.sha256, length: 1 << 40),
            written: { Issue.record("nothing can be written") })
        #expect(throws: SystemCallFailure.self) { for _ in 0..<100 { try writer.append(piece.span) } }
        _ = writer.finish()
        #expect(writer.failure?.call == "write")
    }

    @Test func whatIsLeftAloneEnds() throws {
        let folder = DataFolder()
        folder.write("file", [])
        let writer = HashedWriter(
            SharedDescriptor(try opened(folder).openForChange("file")), at: 0,
            StreamingDigest(.sha256, length: 1 << 40), written: {})
        try writer.append(bytes(100).span)
    }
}
