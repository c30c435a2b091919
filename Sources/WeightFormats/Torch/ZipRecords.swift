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

    var entries: UInt64
    var bytes: UInt64
    var offset: UInt64

    /// Reads an end record.
    init(endRecord bytes: [UInt8], at index: Int) {
        entries = littleEndian(bytes, index + 10, 2)
        self.bytes = littleEndian(bytes, index + 12, 4)
        offset = littleEndian(bytes, index + 16, 4)
    }

    /// Reads a zip64 end record.
    init(zip64EndRecord bytes: [UInt8]) {
        entries = littleEndian(bytes, 32, 8)
        self.bytes = littleEndian(bytes, 40, 8)
        offset = littleEndian(bytes, 48, 8)
    }

    /// The position in `tail` of the last end record whose comment fits; nil if there is none.
    static func lastEndRecord(in tail: [UInt8]) -> Int? {
        var index = tail.count - endBytes
        while index >= 0 {
            if tail[index] == 0x50, littleEndian(tail, index, 4) == endSignature {
                let comment = Int(littleEndian(tail, index + 20, 2))
                if index + endBytes + comment <= tail.count { return index }
            }
            index -= 1
        }
        return nil
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
        let plainBytes = littleEndian(bytes, index + 24, 4)
        localOffset = littleEndian(bytes, index + 42, 4)
        let nameStart = index + Self.fixedBytes
        let extraStart = nameStart + Int(littleEndian(bytes, index + 28, 2))
        let extraEnd = extraStart + Int(littleEndian(bytes, index + 30, 2))
        name = bytes[nameStart..<extraStart]
        // The zip64 field holds, in this order, only the values whose places are filled with ones.
        let wanted = [plainBytes, compressedBytes, localOffset].count { $0 == Self.placeholder }
        guard wanted > 0 else { return }
        guard var field = Self.zip64Field(bytes, extraStart, extraEnd), field.count >= wanted * 8 else { return nil }
        func next() -> UInt64 {
            let value = littleEndian(Array(field.prefix(8)), 0, 8)
            field = field.dropFirst(8)
            return value
        }
        if plainBytes == Self.placeholder { _ = next() }
        if compressedBytes == Self.placeholder { compressedBytes = next() }
        if localOffset == Self.placeholder { localOffset = next() }
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
