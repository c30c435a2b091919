import HubCache
import LinuxIO
import TestSupport
import Testing

private let pageBytes = 4096

/// The same bytes in every run; each page tells its number.
private func pattern(_ count: Int) -> [UInt8] {
    let page = (0..<pageBytes).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + pageBytes)
    for number in 0..<(count + pageBytes - 1) / pageBytes {
        bytes += page
        bytes[number * pageBytes] = UInt8(truncatingIfNeeded: number)
        bytes[number * pageBytes + 1] = UInt8(truncatingIfNeeded: number >> 8)
    }
    return Array(bytes.prefix(count))
}

private struct ReadBack {
    var bytes: [UInt8] = []
    var method: CacheNeutralReader.Method?
}

private func readAll(
    _ folder: DataFolder, _ name: String, direct: Bool = false, capacity: Int = PageBuffer.usualCapacity
) throws -> ReadBack {
    let descriptor = try folder.open(name)
    let stat = try descriptor.stat()
    var reader = CacheNeutralReader(descriptor, stat: stat, direct: direct)
    var buffer = PageBuffer(capacity: capacity)
    var result = ReadBack()
    while try reader.read(into: &buffer) > 0 {
        buffer.withBytes { span in unsafe span.withUnsafeBufferPointer { unsafe result.bytes.append(contentsOf: $0) } }
    }
    #expect(reader.offset == UInt64(result.bytes.count))
    result.method = reader.method
    return result
}

@Suite struct CacheNeutralReaderTests {
    static let lengths = [
        0, 1, 511, 512, 4095, 4096, 4097, 65_535, 65_536, 65_537, 3 * 65_536 + 17, (4 << 20) + 4097,
    ]

    @Test(arguments: lengths, [false, true]) func readsEveryByte(_ length: Int, _ direct: Bool) throws {
        let folder = DataFolder()
        let content = pattern(length)
        folder.write("file", content)
        #expect(try readAll(folder, "file", direct: direct, capacity: 1).bytes == content)
        #expect(try readAll(folder, "file", direct: direct).bytes == content)
        folder.chill("file")
        #expect(try readAll(folder, "file", direct: direct).bytes == content)
    }

    @Test(arguments: lengths, [false, true]) func readsEveryByteOfMemoryFiles(_ length: Int, _ direct: Bool) throws {
        let folder = DataFolder(below: "/dev/shm")
        let content = pattern(length)
        folder.write("file", content)
        let read = try readAll(folder, "file", direct: direct)
        #expect(read.bytes == content)
        #expect(read.method == (length == 0 ? nil : .plain))
    }

    @Test(arguments: [0, 1, 2, 3], [false, true])
    func leavesThePageCacheAsItWas(_ warmQuarters: Int, _ direct: Bool) throws {
        let folder = DataFolder()
        let length = (12 << 20) + 100
        folder.write("file", pattern(length))
        folder.chill("file")
        guard try folder.residentPages("file") == 0 else {
            try Test.cancel("the filesystem of \(folder.path) does not let its pages be dropped")
        }
        // The kernel may reclaim pages, or another process drop all caches, meanwhile: a reader that is to blame is to blame
        // each time.
        var (before, after, attempts) = (Int64(-1), Int64(-2), 0)
        while before != after, attempts < 4 {
            attempts += 1
            folder.chill("file")
            // The last one is the whole file.
            folder.warm("file", bytes: warmQuarters == 3 ? length : warmQuarters * (4 << 20))
            before = try folder.residentPages("file")
            let read = try readAll(folder, "file", direct: direct)
            guard read.method != .plain else {
                try Test.cancel("the filesystem of \(folder.path) has no way to read around the page cache")
            }
            #expect(read.bytes.count == length)
            after = try folder.residentPages("file")
        }
        #expect((before == 0) == (warmQuarters == 0))
        #expect(after == before)
    }

    @Test func leavesTheCacheAloneWhenGivenUpHalfway() throws {
        let folder = DataFolder()
        folder.write("file", pattern(12 << 20))
        folder.chill("file")
        guard try folder.residentPages("file") == 0 else {
            try Test.cancel("the filesystem of \(folder.path) does not let its pages be dropped")
        }
        do {
            let descriptor = try folder.open("file")
            let stat = try descriptor.stat()
            var reader = CacheNeutralReader(descriptor, stat: stat)
            var buffer = PageBuffer()
            _ = try reader.read(into: &buffer)
            if reader.method == .plain { try Test.cancel("nothing but plain reads here") }
        }
        // Read-ahead of pages that nobody came for may stay behind, not more than one window of it.
        #expect(try folder.residentPages("file") <= Int64((4 << 20) / pageBytes))
    }

    @Test func keepsTheAccessTime() throws {
        let folder = DataFolder()
        folder.write("file", pattern(100_000))
        let before = try folder.stat("file")
        for direct in [false, true] { _ = try readAll(folder, "file", direct: direct) }
        #expect(try folder.stat("file").accessed == before.accessed)
    }

    @Test(arguments: [false, true]) func readsNoFurtherThanTheSizeItWasGiven(_ direct: Bool) throws {
        let folder = DataFolder()
        let content = pattern(200_000)
        folder.write("file", Array(content.prefix(70_001)))
        let descriptor = try folder.open("file")
        let stat = try descriptor.stat()
        folder.append("file", Array(content.dropFirst(70_001)))
        var reader = CacheNeutralReader(descriptor, stat: stat, direct: direct)
        var buffer = PageBuffer()
        #expect(try reader.read(into: &buffer) == 70_001)
        buffer.withBytes { span in
            #expect(span.count == 70_001)
            #expect(span[70_000] == content[70_000])
        }
        #expect(try reader.read(into: &buffer) == 0)
        #expect(try !reader.stat().isSameVersion(as: stat))
    }

    @Test(arguments: [false, true], [0, 100, 65_536, 70_001])
    func endsWhereAFileWasCutOff(_ direct: Bool, _ remaining: Int) throws {
        let folder = DataFolder()
        folder.write("file", pattern(1 << 20))
        let descriptor = try folder.open("file")
        let stat = try descriptor.stat()
        folder.resize("file", to: remaining)
        var reader = CacheNeutralReader(descriptor, stat: stat, direct: direct)
        var buffer = PageBuffer(capacity: 1 << 16)
        var total = 0
        while true {
            let count = try reader.read(into: &buffer)
            if count == 0 { break }
            total += count
        }
        #expect(total == remaining)
    }

    @Test func aReadThatFailsTellsWhere() throws {
        // Nothing is mapped at address 0: reading there is EIO, whatever the privileges.
        let descriptor = try OwnedDescriptor.open(trustedPath: "/proc/self/mem")
        var stat = try descriptor.stat()
        stat.size = 100
        var reader = CacheNeutralReader(descriptor, stat: stat)
        var buffer = PageBuffer()
        let failure = #expect(throws: SystemCallFailure.self) { _ = try reader.read(into: &buffer) }
        #expect(failure?.errno == 5)
        #expect(reader.offset == 0)
    }
}

@Suite struct CacheNeutralWriterTests {
    /// What is written directly is not in the page cache, and what does not fill a block is written all the same.
    @Test func leavesThePageCacheAlone() throws {
        let folder = DataFolder()
        folder.write("file", [])
        let content = pattern((4 << 20) + 5)
        var buffer = PageBuffer()
        let opened = try OwnedDescriptor.open(trustedPath: folder.path(of: "."), options: .directory)
        let file = SharedDescriptor(try opened.openForChange("file"))
        var writer = CacheNeutralWriter(file, at: 0)
        #expect(buffer.append(content.span, upTo: .max) == 4 << 20)
        try writer.write(buffer)
        buffer.empty()
        #expect(buffer.append(content.span.extracting(droppingFirst: 4 << 20), upTo: .max) == 5)
        try writer.write(buffer)
        if writer.isAroundPageCache { #expect(try folder.residentPages("file") <= 1) }
        #expect(try folder.open("file").readAll(limit: content.count + 1) == content)
    }
}
