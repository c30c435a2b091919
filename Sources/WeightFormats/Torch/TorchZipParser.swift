/// Judges a zip archive as torch writes it, from its end records and its central directory.
///
/// Reads the tail and the directory, never an entry; nothing is unpickled. Checksums are not judged, since torch may
/// leave them out. An archive that is no torch file is not an error: see ``TorchZipSummary/isTorchArchive``.
///
/// Memory is the tail of 64 kB and one chunk of the directory with one record.
public struct TorchZipParser: WeightFileParser {
    private enum Phase {
        case start
        case tail
        case zip64End
        case directory
        case done
    }

    private static let localSignature: UInt64 = 0x0403_4B50

    private let fileSize: UInt64
    private let chunkBytes: Int
    private var phase = Phase.start
    private var buffer: [UInt8] = []
    /// The range of the file that is being gathered or walked.
    private var position: UInt64 = 0
    private var end: UInt64
    /// Nothing of the directory may reach past this.
    private var directoryLimit: UInt64 = 0
    private var directory: ZipDirectory?
    private var plainDirectory: ZipDirectory?
    private var plainDirectoryLimit: UInt64 = 0
    private var contents = TorchZipContents()

    /// Starts the parse of a file of `fileSize` bytes.
    public init(fileSize: UInt64, chunkBytes: Int = FormatLimits.chunkBytes) {
        self.fileSize = fileSize
        self.chunkBytes = boundedChunk(chunkBytes)
        end = min(4, fileSize)
    }

    /// The bytes needed next.
    public var demand: ByteDemand? {
        guard phase != .done, position < end else { return nil }
        return ByteDemand(offset: position, count: Int(min(UInt64(chunkBytes), end - position)))
    }

    /// Takes the demanded bytes.
    public mutating func consume(_ bytes: Span<UInt8>) throws(FormatError) {
        _ = try accept(bytes)
        for index in bytes.indices { buffer.append(bytes[index]) }
        position += UInt64(bytes.count)
        if phase == .directory {
            try walkDirectory()
        } else if position == end {
            try advance()
        }
    }

    /// The verdict.
    public consuming func finish() throws(FormatError) -> TorchZipSummary {
        precondition(demand == nil, "finish before every demand was met")
        guard phase == .done else { throw Self.noEnd(fileSize) }
        return contents.summary
    }

    private static func noEnd(_ fileSize: UInt64) -> FormatError {
        FormatError(
            .truncated, "MissingEndOfCentralDirectory", at: fileSize,
            "a zip archive without its end record in the last \(FormatLimits.zipEndSearchBytes) bytes")
    }

    private mutating func gather(_ next: Phase, _ range: Range<UInt64>) {
        phase = next
        buffer.removeAll(keepingCapacity: true)
        position = range.lowerBound
        end = range.upperBound
    }

    private mutating func advance() throws(FormatError) {
        switch phase {
        case .start:
            guard buffer.count == 4 else { return }
            let signature = littleEndian(buffer, 0, 4)
            guard signature == Self.localSignature || signature == ZipDirectory.endSignature else {
                throw FormatError(.invalid, "NotAZipArchive", at: 0, "the file does not start as a zip archive")
            }
            // The zip64 locator stands right before the end record.
            let tail = UInt64(FormatLimits.zipEndSearchBytes + ZipDirectory.locatorBytes)
            gather(.tail, (fileSize > tail ? fileSize - tail : 0)..<fileSize)
        case .tail: try readTail()
        case .zip64End: try readZip64End()
        default: return
        }
    }

    private mutating func readTail() throws(FormatError) {
        let tailStart = end - UInt64(buffer.count)
        guard let index = ZipDirectory.lastEndRecord(in: buffer) else { throw Self.noEnd(fileSize) }
        directoryLimit = tailStart + UInt64(index)
        let found = ZipDirectory(endRecord: buffer, at: index)
        let locator = index - ZipDirectory.locatorBytes
        guard locator >= 0, littleEndian(buffer, locator, 4) == ZipDirectory.locatorSignature else {
            return try beginDirectory(found)
        }
        let locatorOffset = tailStart + UInt64(locator)
        let recordOffset = littleEndian(buffer, locator + 8, 8)
        let (recordEnd, overflow) = recordOffset.addingReportingOverflow(UInt64(ZipDirectory.zip64EndBytes))
        guard !overflow, recordEnd <= locatorOffset else {
            throw FormatError(
                .invalid, "InvalidZip64Locator", at: locatorOffset,
                "the zip64 end record at \(recordOffset) does not precede its locator")
        }
        plainDirectory = found
        plainDirectoryLimit = directoryLimit
        directoryLimit = recordOffset
        gather(.zip64End, recordOffset..<recordEnd)
    }

    private mutating func readZip64End() throws(FormatError) {
        guard littleEndian(buffer, 0, 4) == ZipDirectory.zip64EndSignature else {
            // torch writes the zip64 records even where the plain one says it all, and reads without them.
            if let plainDirectory, !plainDirectory.needsZip64 {
                directoryLimit = plainDirectoryLimit
                return try beginDirectory(plainDirectory)
            }
            throw FormatError(
                .invalid, "InvalidZip64EndRecord", at: directoryLimit, "there is no zip64 end record where one must be")
        }
        try beginDirectory(ZipDirectory(zip64EndRecord: buffer))
    }

    private mutating func beginDirectory(_ found: ZipDirectory) throws(FormatError) {
        guard !found.isMultiDisk else {
            throw FormatError(
                .invalid, "MultiDiskArchive", at: directoryLimit, "the archive says that it is one part of several")
        }
        let (directoryEnd, overflow) = found.offset.addingReportingOverflow(found.bytes)
        guard !overflow, directoryEnd <= directoryLimit else {
            throw FormatError(
                .invalid, "CentralDirectoryOutOfBounds", at: directoryLimit,
                "the central directory at \(found.offset) has \(found.bytes) bytes and must end at \(directoryLimit)")
        }
        let (least, tooMany) = found.entries.multipliedReportingOverflow(by: UInt64(ZipEntry.fixedBytes))
        guard !tooMany, least <= found.bytes else { throw entryMismatch(found, at: found.offset) }
        guard found.entries <= FormatLimits.maxZipEntries else {
            throw FormatError(
                .unverifiable, "TooManyEntries", at: found.offset,
                "\(found.entries) entries are more than the \(FormatLimits.maxZipEntries) that are checked")
        }
        directory = found
        contents.entriesLeft = found.entries
        gather(.directory, found.offset..<directoryEnd)
        if found.entries == 0 { phase = .done }
    }

    private func entryMismatch(_ found: ZipDirectory, at offset: UInt64) -> FormatError {
        FormatError(
            .invalid, "EntryCountMismatch", at: offset,
            "the central directory of \(found.bytes) bytes does not hold its \(found.entries) entries")
    }

    /// Takes the complete records at the start of the buffer.
    private mutating func walkDirectory() throws(FormatError) {
        guard let directory else { return }
        var index = 0
        let bufferStart = position - UInt64(buffer.count)
        while contents.entriesLeft > 0, buffer.count - index >= ZipEntry.fixedBytes {
            let offset = bufferStart + UInt64(index)
            guard littleEndian(buffer, index, 4) == ZipEntry.signature else {
                throw FormatError(.invalid, "InvalidEntry", at: offset, "no central directory entry where one must be")
            }
            let count = ZipEntry.recordBytes(buffer, index)
            if buffer.count - index < count { break }
            guard let entry = ZipEntry(buffer, index) else {
                throw FormatError(.invalid, "InvalidZip64Field", at: offset, "an entry lacks its zip64 sizes")
            }
            try contents.add(entry, directoryStart: directory.offset, at: offset)
            index += count
        }
        buffer.removeFirst(index)
        if contents.entriesLeft == 0 {
            phase = .done
        } else if position == end {
            throw entryMismatch(directory, at: end)
        }
    }
}
