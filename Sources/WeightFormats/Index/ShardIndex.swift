/// What a shard index says: which shards there are, and a fingerprint of the tensors it places in each.
public struct ShardIndex: Sendable {
    /// One shard that the index names.
    public struct Shard: Sendable, Equatable {
        /// The name as decoded from the JSON, valid UTF-8. Kept as bytes because file names are equal byte by byte,
        /// while `String` also equates different spellings of one character.
        public let nameBytes: [UInt8]
        /// The tensors placed in it; equal to the fingerprint of the shard's own header when the placement is right.
        ///
        /// A tensor key that occurs twice counts twice, so such an index never matches here and needs a
        /// ``ShardPlacementParser``.
        public internal(set) var fingerprint: NameSetFingerprint

        /// The name as text.
        public var name: String { String(decoding: nameBytes, as: UTF8.self) }
        /// Tensors placed in it.
        public var tensorCount: Int { fingerprint.count }
    }

    /// The distinct shards, in the order in which the index first names them.
    public let shards: [Shard]

    /// Entries of the weight map.
    public var tensorCount: Int {
        shards.reduce(0) { $0 + $1.tensorCount }
    }

    /// Whether a shard name stays inside the folder of its index, on every system.
    ///
    /// The name is a relative path whose components are neither empty nor `.` nor `..`, without NUL, backslash, or a
    /// drive letter. Sub-folders are allowed.
    public static func isSafeShardName(_ name: some Collection<UInt8>) -> Bool {
        guard !name.isEmpty, name.count <= FormatLimits.maxShardNameBytes else { return false }
        let slash = UInt8(ascii: "/")
        let dot = UInt8(ascii: ".")
        var length = 0
        var dots = 0
        var first: UInt8 = 0
        for (index, byte) in name.enumerated() {
            if byte == 0 || byte == UInt8(ascii: "\\") { return false }
            if index == 0 { first = byte }
            if index == 1, byte == UInt8(ascii: ":"), isASCIILetter(first) { return false }
            if byte == slash {
                // Empty, `.` or `..`.
                if length == 0 || (dots == length && length <= 2) { return false }
                length = 0
                dots = 0
            } else {
                length += 1
                if byte == dot { dots += 1 }
            }
        }
        return length > 0 && !(dots == length && length <= 2)
    }

    private static func isASCIILetter(_ byte: UInt8) -> Bool {
        byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")
    }
}
