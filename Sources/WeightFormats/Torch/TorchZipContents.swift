/// What the entries of an archive add up to.
struct TorchZipContents {
    private static let slash = UInt8(ascii: "/")
    private static let pickle = Array("data.pkl".utf8)
    private static let constants = Array("constants.pkl".utf8)
    private static let codeFolder = Array("code/".utf8)
    private static let dataFolder = Array("data/".utf8)

    var entriesLeft: UInt64 = 0
    private var entryCount: UInt64 = 0
    private var topFolder: [UInt8]?
    private var hasOneFolder = true
    private var hasPickle = false
    private var hasCode = false
    private var storageCount: UInt64 = 0
    private var isStored = true
    private var dataBytes: UInt64 = 0

    /// Adds an entry after checking that it ends before the central directory starts.
    ///
    /// The length of the extra field in the local header is not known without reading it, so an entry may reach up to
    /// 64 kB further than is checked here.
    mutating func add(_ entry: ZipEntry, directoryStart: UInt64, at offset: UInt64) throws(FormatError) {
        let header = ZipEntry.localHeaderBytes + UInt64(entry.name.count)
        let (dataStart, o1) = entry.localOffset.addingReportingOverflow(header)
        let (dataEnd, o2) = dataStart.addingReportingOverflow(entry.compressedBytes)
        guard !o1, !o2, dataEnd <= directoryStart else {
            throw FormatError(
                .invalid, "EntryOutOfBounds", at: offset,
                "the entry '\(Excerpt.escaped(entry.name))' does not end before the central directory")
        }
        guard !entry.isInconsistent else {
            throw FormatError(
                .invalid, "EntrySizeMismatch", at: offset,
                "the entry '\(Excerpt.escaped(entry.name))' is stored and has two different sizes")
        }
        entriesLeft -= 1
        entryCount += 1
        // At most a million entries, each smaller than a file; wrapping is possible only for overlapping nonsense.
        dataBytes &+= entry.compressedBytes
        if entry.method != 0 { isStored = false }
        classify(entry.name)
    }

    private mutating func classify(_ name: ArraySlice<UInt8>) {
        guard let slash = name.firstIndex(of: Self.slash) else {
            hasOneFolder = false
            return
        }
        let folder = name[..<slash]
        if let topFolder {
            if !folder.elementsEqual(topFolder) { hasOneFolder = false }
        } else {
            topFolder = Array(folder)
        }
        let rest = name[(slash + 1)...]
        if rest.elementsEqual(Self.pickle) { hasPickle = true }
        if rest.elementsEqual(Self.constants) || rest.starts(with: Self.codeFolder) { hasCode = true }
        if rest.starts(with: Self.dataFolder), rest.count > Self.dataFolder.count { storageCount += 1 }
    }

    var summary: TorchZipSummary {
        TorchZipSummary(
            entryCount: entryCount, topFolder: hasOneFolder ? topFolder : nil,
            isTorchArchive: hasOneFolder && hasPickle, isTorchScript: hasOneFolder && hasPickle && hasCode,
            storageCount: storageCount, isStored: isStored, dataBytes: dataBytes)
    }
}
