import Testing
import WeightFormats

/// Writes a zip archive as torch does: stored entries, each padded to 64 bytes by an `FB` field.
struct ZipBuilder {
    struct Entry {
        var name: String
        var data: [UInt8] = []
        var method: UInt16 = 0
        var usesZip64 = false
        var omitsZip64Field = false
    }

    var entries: [Entry]
    var comment: [UInt8] = []
    var usesZip64 = false

    /// Bytes, and where the central directory and the end records start.
    var parts: (bytes: [UInt8], directory: Int, end: Int) {
        var file: [UInt8] = []
        var directory: [UInt8] = []
        for entry in entries {
            let offset = file.count
            let unpadded = offset + 30 + entry.name.utf8.count + 4
            let padding = (64 - unpadded % 64) % 64
            file += [0x50, 0x4B, 3, 4, 0, 0, 0, 0]
            file.append(entry.method, bytes: 2)
            file.append(0, bytes: 8)
            file.append(entry.data.count, bytes: 4)
            file.append(entry.data.count, bytes: 4)
            file.append(entry.name.utf8.count, bytes: 2)
            file.append(padding + 4, bytes: 2)
            file += Array(entry.name.utf8) + Array("FB".utf8)
            file.append(padding, bytes: 2)
            file += Array(repeating: UInt8(ascii: "Z"), count: padding) + entry.data
            directory += record(entry, offset)
        }
        let start = file.count
        file += directory
        let end = file.count
        if usesZip64 {
            file += [0x50, 0x4B, 6, 6]
            file.append(44, bytes: 8)
            file.append(0, bytes: 12)
            for value in [entries.count, entries.count, directory.count, start] { file.append(value, bytes: 8) }
            file += [0x50, 0x4B, 6, 7]
            file.append(0, bytes: 4)
            file.append(end, bytes: 8)
            file.append(1, bytes: 4)
        }
        file += [0x50, 0x4B, 5, 6]
        file.append(0, bytes: 4)
        for _ in 0..<2 { file.append(usesZip64 ? 0xFFFF : entries.count, bytes: 2) }
        file.append(usesZip64 ? 0xFFFF_FFFF : directory.count, bytes: 4)
        file.append(usesZip64 ? 0xFFFF_FFFF : start, bytes: 4)
        file.append(comment.count, bytes: 2)
        return (file + comment, start, end)
    }

    private func record(_ entry: Entry, _ offset: Int) -> [UInt8] {
        var bytes: [UInt8] = [0x50, 0x4B, 1, 2, 0, 0, 0, 0, 0, 0]
        bytes.append(entry.method, bytes: 2)
        bytes.append(0, bytes: 8)
        let size = entry.usesZip64 ? 0xFFFF_FFFF : entry.data.count
        bytes.append(size, bytes: 4)
        bytes.append(size, bytes: 4)
        bytes.append(entry.name.utf8.count, bytes: 2)
        let hasField = entry.usesZip64 && !entry.omitsZip64Field
        bytes.append(hasField ? 4 + 3 + 4 + 24 : 0, bytes: 2)
        bytes.append(0, bytes: 10)
        bytes.append(entry.usesZip64 ? 0xFFFF_FFFF : offset, bytes: 4)
        bytes += Array(entry.name.utf8)
        if hasField {
            bytes.append(0x4246, bytes: 2)
            bytes.append(3, bytes: 2)
            bytes += [0, 0, 0]
            bytes.append(1, bytes: 2)
            bytes.append(24, bytes: 2)
            for value in [entry.data.count, entry.data.count, offset] { bytes.append(value, bytes: 8) }
        }
        return bytes
    }

    static let torch = ZipBuilder(entries: [
        Entry(name: "archive/data.pkl", data: [0x80, 2, 0x2E]),
        Entry(name: "archive/byteorder", data: Array("little".utf8)),
        Entry(name: "archive/data/0", data: Array(repeating: 1, count: 12)),
        Entry(name: "archive/data/1", data: Array(repeating: 2, count: 4)),
        Entry(name: "archive/version", data: Array("3\n".utf8)),
        Entry(name: "archive/.data/serialization_id", data: Array("1".utf8)),
    ])

    /// A zip64 archive whose plain end record says it all and whose zip64 end record has lost its signature.
    func patchedPlain() -> [UInt8] {
        var (bytes, directory, end) = parts
        bytes[end] = 0
        let plain = bytes.count - 22
        var fields: [UInt8] = []
        for _ in 0..<2 { fields.append(entries.count, bytes: 2) }
        fields.append(end - directory, bytes: 4)
        fields.append(directory, bytes: 4)
        bytes.replaceSubrange(plain + 8..<plain + 20, with: fields)
        return bytes
    }

    /// The bytes with one field of the file overwritten.
    func patched(_ place: (_ directory: Int, _ end: Int) -> Int, _ value: UInt64, _ count: Int) -> [UInt8] {
        var (bytes, directory, end) = parts
        var field: [UInt8] = []
        field.append(value, bytes: count)
        let start = place(directory, end)
        bytes.replaceSubrange(start..<start + count, with: field)
        return bytes
    }
}

private func changed(_ change: (inout ZipBuilder) -> Void) -> ZipBuilder {
    var builder = ZipBuilder.torch
    change(&builder)
    return builder
}

@Suite struct TorchZipTests {
    private static let torch = ZipBuilder.torch
    private static let zip64 = changed { builder in
        builder.usesZip64 = true
        for index in builder.entries.indices { builder.entries[index].usesZip64 = true }
    }
    private static let noEnd = "truncated MissingEndOfCentralDirectory"

    static let files: [Row<[UInt8]>] = [
        Row("torch", torch.parts.bytes, "ok"),
        Row("zip64", zip64.parts.bytes, "ok"),
        Row("empty archive", ZipBuilder(entries: []).parts.bytes, "ok"),
        Row("no entries, nothing at all", [], noEnd),
        Row("three bytes", [0x50, 0x4B, 3], noEnd),
        Row("start only", [0x50, 0x4B, 3, 4], noEnd),
        Row("not a zip", Array("hello, world; this is no archive".utf8), "invalid NotAZipArchive"),
        Row("half", Array(torch.parts.bytes.prefix(torch.parts.bytes.count / 2)), noEnd),
        Row("last byte gone", Array(torch.parts.bytes.dropLast()), noEnd),
        Row("only the end record gone", Array(torch.parts.bytes.prefix(torch.parts.end)), noEnd),
        Row("comment", changed { $0.comment = Array("hello".utf8) }.parts.bytes, "ok"),
        Row("comment with a signature", changed { $0.comment = [0x50, 0x4B, 5, 6] }.parts.bytes, "ok"),
        Row("real file", TorchFixtures.zip, "ok"),
        Row("real file, last byte gone", Array(TorchFixtures.zip.dropLast()), noEnd),
        Row("second disk", torch.patched({ $1 + 4 }, 2, 2), "invalid MultiDiskArchive"),
        Row("disks counted from 1", torch.patched({ $1 + 4 }, 0x0001_0001, 4), "ok"),
        Row("second disk in zip64", zip64.patched({ $1 + 16 }, 2, 4), "invalid MultiDiskArchive"),
        Row(
            "stored with two sizes", torch.patched({ directory, _ in directory + 24 }, 1, 4),
            "invalid EntrySizeMismatch"),
        Row(
            "compressed with two sizes",
            changed { $0.entries[0].method = 8 }.patched({ directory, _ in directory + 24 }, 1, 4), "ok"),
        Row(
            "zip64 end record broken but not needed", changed { $0.usesZip64 = true }.patchedPlain(), "ok"),
        Row("comment cut", Array(changed { $0.comment = Array("hello".utf8) }.parts.bytes.dropLast()), "ok"),
        Row("bytes after the archive", torch.parts.bytes + [0, 0, 0], "ok"),
        Row("directory past the end", torch.patched({ $1 + 16 }, 1 << 31, 4), "invalid CentralDirectoryOutOfBounds"),
        Row(
            "directory one byte too long",
            torch.patched({ $1 + 12 }, UInt64(torch.parts.end - torch.parts.directory + 1), 4),
            "invalid CentralDirectoryOutOfBounds"),
        Row("one entry too many", torch.patched({ $1 + 10 }, 7, 2), "invalid EntryCountMismatch"),
        Row("far too many entries", torch.patched({ $1 + 10 }, 60_000, 2), "invalid EntryCountMismatch"),
        Row("entry without signature", torch.patched({ directory, _ in directory }, 0, 4), "invalid InvalidEntry"),
        Row(
            "entry name past the directory", torch.patched({ directory, _ in directory + 28 }, 60_000, 2),
            "invalid EntryCountMismatch"),
        Row(
            "entry size past the directory", torch.patched({ directory, _ in directory + 20 }, 1 << 20, 4),
            "invalid EntryOutOfBounds"),
        Row(
            "entry offset past the directory", torch.patched({ directory, _ in directory + 42 }, 1 << 20, 4),
            "invalid EntryOutOfBounds"),
        Row(
            "zip64 size missing",
            changed {
                $0.entries[0].usesZip64 = true; $0.entries[0].omitsZip64Field = true
            }.parts.bytes, "invalid InvalidZip64Field"),
        Row("zip64 end record elsewhere", zip64.patched({ $1 + 56 + 8 }, 0, 8), "invalid InvalidZip64EndRecord"),
        Row(
            "zip64 end record past its locator", zip64.patched({ $1 + 56 + 8 }, UInt64(zip64.parts.end) + 1, 8),
            "invalid InvalidZip64Locator"),
        Row("zip64 end record at 2^64 - 1", zip64.patched({ $1 + 56 + 8 }, .max, 8), "invalid InvalidZip64Locator"),
        Row("zip64 directory at 2^64 - 1", zip64.patched({ $1 + 48 }, .max, 8), "invalid CentralDirectoryOutOfBounds"),
        Row("zip64 directory of 2^64 - 1", zip64.patched({ $1 + 40 }, .max, 8), "invalid CentralDirectoryOutOfBounds"),
        Row("zip64 with 2^64 - 1 entries", zip64.patched({ $1 + 32 }, .max, 8), "invalid EntryCountMismatch"),
        Row("checksum differs", torch.patched({ directory, _ in directory + 16 }, 0xDEAD_BEEF, 4), "ok"),
    ]

    @Test(arguments: files) func file(_ row: Row<[UInt8]>) {
        for chunk in [1, 13, FormatLimits.chunkBytes] {
            let parser = TorchZipParser(fileSize: UInt64(row.input.count), chunkBytes: chunk)
            #expect(verdict(parser, row.input) == row.expected)
        }
    }

    @Test func endRecordSearch() {
        let longest = changed { $0.comment = Array(repeating: 0x2E, count: 65_535) }.parts.bytes
        #expect(verdict(TorchZipParser(fileSize: UInt64(longest.count)), longest) == "ok")
        let far = ZipBuilder.torch.parts.bytes + Array(repeating: 0, count: 65_557)
        #expect(verdict(TorchZipParser(fileSize: UInt64(far.count)), far) == Self.noEnd)
    }

    @Test func tooManyEntries() throws {
        // A sparse file: only the end of a directory of a million and one entries is ever read.
        let size: UInt64 = 1 << 32
        var tail: [UInt8] = [0x50, 0x4B, 6, 6]
        tail.append(44, bytes: 8)
        tail.append(0, bytes: 12)
        for value in [1_000_001, 1_000_001, 46 * 1_000_001, 4] { tail.append(UInt64(value), bytes: 8) }
        tail += [0x50, 0x4B, 6, 7]
        tail.append(0, bytes: 4)
        tail.append(size - 98, bytes: 8)
        tail.append(1, bytes: 4)
        tail += [0x50, 0x4B, 5, 6] + Array(repeating: 0xFF, count: 16) + [0, 0]
        var parser = TorchZipParser(fileSize: size)
        #expect {
            while let demand = parser.demand {
                var bytes = [UInt8](repeating: 0, count: demand.count)
                if demand.offset == 0 { bytes = [0x50, 0x4B, 3, 4] }
                for index in bytes.indices where demand.offset + UInt64(index) >= size - 98 {
                    bytes[index] = tail[Int(demand.offset + UInt64(index) - (size - 98))]
                }
                try parser.consume(bytes.span)
            }
        } throws: {
            ($0 as? FormatError)?.reason == "TooManyEntries" && ($0 as? FormatError)?.kind == .unverifiable
        }
    }

    private func summary(_ builder: ZipBuilder) throws -> TorchZipSummary {
        let bytes = builder.parts.bytes
        return try parse(TorchZipParser(fileSize: UInt64(bytes.count), chunkBytes: 50), bytes)
    }

    @Test func torchArchive() throws {
        for builder in [Self.torch, Self.zip64] {
            let summary = try summary(builder)
            #expect(summary.isTorchArchive)
            #expect(!summary.isTorchScript)
            #expect(summary.isStored)
            #expect(summary.topFolder == Array("archive".utf8))
            #expect(summary.entryCount == 6)
            #expect(summary.storageCount == 2)
            #expect(summary.dataBytes == 28)
        }
    }

    @Test func realFile() throws {
        let summary = try parse(TorchZipParser(fileSize: UInt64(TorchFixtures.zip.count)), TorchFixtures.zip)
        #expect(summary.isTorchArchive)
        #expect(summary.isStored)
        #expect(summary.topFolder == Array("tiny".utf8))
        #expect(summary.entryCount == 7)
        #expect(summary.storageCount == 1)
    }

    @Test func torchScript() throws {
        let code = changed { $0.entries.append(.init(name: "archive/code/__torch__.py")) }
        let constants = changed { $0.entries.append(.init(name: "archive/constants.pkl")) }
        #expect(try summary(code).isTorchScript)
        #expect(try summary(constants).isTorchScript)
    }

    @Test func otherZipFilesAreSound() throws {
        let loose = changed { $0.entries.append(.init(name: "loose")) }
        let folders = changed { $0.entries.append(.init(name: "other/data.pkl")) }
        let unpickled = ZipBuilder(entries: [.init(name: "a/b", data: [1])])
        for builder in [loose, folders, unpickled] { #expect(try !summary(builder).isTorchArchive) }
        #expect(try summary(changed { $0.entries[0].method = 8 }).isStored == false)
    }
}
