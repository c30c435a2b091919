/// The little-endian integer of `count` bytes (at most 8) at `index`; they must exist.
func littleEndian(_ bytes: [UInt8], _ index: Int, _ count: Int) -> UInt64 {
    var value: UInt64 = 0
    for byte in 0..<count { value |= UInt64(bytes[index + byte]) << UInt64(byte * 8) }
    return value
}

/// Where the central directory of a zip file is, as its end records say.
struct ZipDirectory: Equatable {
    static let endSignature: UInt64 = 0x0605_4B50
    static let endBytes = 22
    static let locatorSignature: UInt64 = 0x0706_4B50
    static let locatorBytes = 20
    static let zip64EndSignature: UInt64 = 0x0606_4B50
    static let zip64EndBytes = 56

    private static let placeholder16: UInt64 = 0xFFFF
    private static let placeholder32: UInt64 = 0xFFFF_FFFF

    let entries: UInt64
    let bytes: UInt64
    let offset: UInt64
    /// Whether the archive says that it is in several parts.
    let isMultiDisk: Bool
    /// Whether a value of a plain end record stands in the zip64 one instead.
    let needsZip64: Bool

    /// Reads an end record.
    init(endRecord bytes: [UInt8], at index: Int) {
        let disk = littleEndian(bytes, index + 4, 2)
        let directoryDisk = littleEndian(bytes, index + 6, 2)
        isMultiDisk = !Self.isOneDisk(disk, directoryDisk)
        entries = littleEndian(bytes, index + 10, 2)
        self.bytes = littleEndian(bytes, index + 12, 4)
        offset = littleEndian(bytes, index + 16, 4)
        needsZip64 =
            disk == Self.placeholder16 || entries == Self.placeholder16 || self.bytes == Self.placeholder32
            || offset == Self.placeholder32
    }

    /// Reads a zip64 end record.
    init(zip64EndRecord bytes: [UInt8]) {
        entries = littleEndian(bytes, 32, 8)
        self.bytes = littleEndian(bytes, 40, 8)
        offset = littleEndian(bytes, 48, 8)
        isMultiDisk = !Self.isOneDisk(littleEndian(bytes, 16, 4), littleEndian(bytes, 20, 4))
        needsZip64 = false
    }

    /// Some writers count disks from 1.
    private static func isOneDisk(_ disk: UInt64, _ directoryDisk: UInt64) -> Bool {
        disk | directoryDisk == 0 || (disk == 1 && directoryDisk == 1)
    }

    /// The position in `tail` of the last end record whose comment fits, or of the last one at all, since readers do not
    /// look at the comment; nil if there is none.
    static func lastEndRecord(in tail: [UInt8]) -> Int? {
        var unfitting: Int?
        var index = tail.count - endBytes
        while index >= 0 {
            if tail[index] == 0x50, littleEndian(tail, index, 4) == endSignature {
                let comment = Int(littleEndian(tail, index + 20, 2))
                if index + endBytes + comment <= tail.count { return index }
                unfitting = unfitting ?? index
            }
            index -= 1
        }
        return unfitting
    }
}

/// One entry of a central directory.
struct ZipEntry {
    static let signature: UInt64 = 0x0201_4B50
    static let fixedBytes = 46
    static let localHeaderBytes: UInt64 = 30
    private static let zip64ExtraTag: UInt64 = 1
    private static let placeholder: UInt64 = 0xFFFF_FFFF

    let method: UInt64
    /// Whether the entry is stored and yet has two sizes.
    private(set) var isInconsistent = false
    let name: ArraySlice<UInt8>
    private(set) var compressedBytes: UInt64
    private(set) var localOffset: UInt64

    /// Bytes of the whole record whose fixed part starts at `index`.
    static func recordBytes(_ bytes: [UInt8], _ index: Int) -> Int {
        fixedBytes + Int(littleEndian(bytes, index + 28, 2)) + Int(littleEndian(bytes, index + 30, 2))
            + Int(littleEndian(bytes, index + 32, 2))
    }

    /// Reads a record that is there completely; nil if its sizes are said to be in a zip64 field that is not there.
    init?(_ bytes: [UInt8], _ index: Int) {
        method = littleEndian(bytes, index + 10, 2)
        compressedBytes = littleEndian(bytes, index + 20, 4)
        var plainBytes = littleEndian(bytes, index + 24, 4)
        localOffset = littleEndian(bytes, index + 42, 4)
        let nameStart = index + Self.fixedBytes
        let extraStart = nameStart + Int(littleEndian(bytes, index + 28, 2))
        let extraEnd = extraStart + Int(littleEndian(bytes, index + 30, 2))
        name = bytes[nameStart..<extraStart]
        // The zip64 field holds, in this order, only the values whose places are filled with ones.
        let wanted = [plainBytes, compressedBytes, localOffset].count { $0 == Self.placeholder }
        guard wanted > 0 else {
            isInconsistent = method == 0 && plainBytes != compressedBytes
            return
        }
        guard var field = Self.zip64Field(bytes, extraStart, extraEnd), field.count >= wanted * 8 else { return nil }
        func next() -> UInt64 {
            let value = littleEndian(Array(field.prefix(8)), 0, 8)
            field = field.dropFirst(8)
            return value
        }
        if plainBytes == Self.placeholder { plainBytes = next() }
        if compressedBytes == Self.placeholder { compressedBytes = next() }
        if localOffset == Self.placeholder { localOffset = next() }
        isInconsistent = method == 0 && plainBytes != compressedBytes
    }

    private static func zip64Field(_ bytes: [UInt8], _ start: Int, _ end: Int) -> ArraySlice<UInt8>? {
        var index = start
        while end - index >= 4 {
            let tag = littleEndian(bytes, index, 2)
            let count = Int(littleEndian(bytes, index + 2, 2))
            guard end - index - 4 >= count else { return nil }
            if tag == zip64ExtraTag { return bytes[index + 4..<index + 4 + count] }
            index += 4 + count
        }
        return nil
    }
}
