/// Hashes names into 64 bits, fed in pieces of any size.
///
/// The hash decides only whether two name sets are equal, so it must spread well and must not be predictable to whoever
/// wrote the file: the seed is the caller's secret and the same for every file that is compared.
struct NameHasher {
    private var state: UInt64
    private var pending: UInt64 = 0
    private var pendingBits: UInt64 = 0
    private var length: UInt64 = 0

    // Odd constants with about half of the bits set, from the golden ratio and from Weyl sequences.
    private static let multiplier: UInt64 = 0x9E37_79B9_7F4A_7C15
    private static let finisher: UInt64 = 0xD1B5_4A32_D192_ED03

    init(seed: UInt64) {
        state = seed ^ Self.finisher
    }

    @inline(__always)
    static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }

    @inline(__always)
    private mutating func mix(_ word: UInt64) {
        // The addition keeps a state of zero from swallowing what follows.
        state = Self.fold(state ^ word, Self.multiplier) &+ word &+ Self.finisher
    }

    @inline(__always)
    mutating func append(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) {
        length &+= UInt64(truncatingIfNeeded: range.count)
        var index = range.lowerBound
        let end = range.upperBound
        while pendingBits != 0, index < end {
            appendByte(bytes[index])
            index += 1
        }
        while end - index >= 8 {
            mix(littleEndianWord(bytes, index))
            index += 8
        }
        while index < end {
            appendByte(bytes[index])
            index += 1
        }
    }

    @inline(__always)
    private mutating func appendByte(_ byte: UInt8) {
        pending |= UInt64(byte) &<< pendingBits
        pendingBits &+= 8
        if pendingBits == 64 {
            mix(pending)
            pending = 0
            pendingBits = 0
        }
    }

    func finish() -> UInt64 {
        var last = self
        last.mix(pending)
        last.mix(length)
        return Self.fold(last.state ^ Self.finisher, Self.multiplier)
    }
}

/// The eight bytes from `index` as a little-endian integer; they must exist.
@inline(__always)
func littleEndianWord(_ bytes: borrowing Span<UInt8>, _ index: Int) -> UInt64 {
    // One check for all eight lets the compiler turn the rest into a single load.
    precondition(index >= 0 && index &+ 8 <= bytes.count)
    var word = UInt64(bytes[index])
    word |= UInt64(bytes[index &+ 1]) &<< 8
    word |= UInt64(bytes[index &+ 2]) &<< 16
    word |= UInt64(bytes[index &+ 3]) &<< 24
    word |= UInt64(bytes[index &+ 4]) &<< 32
    word |= UInt64(bytes[index &+ 5]) &<< 40
    word |= UInt64(bytes[index &+ 6]) &<< 48
    word |= UInt64(bytes[index &+ 7]) &<< 56
    return word
}

/// An order-independent digest of a set of tensor names.
///
/// Two sets hashed with the same seed are equal if, but for a chance near 2⁻¹²⁸, their fingerprints are. A name that was
/// inserted twice counts twice.
public struct NameSetFingerprint: Sendable, Hashable {
    /// Names inserted.
    public private(set) var count = 0
    private var sum: UInt64 = 0
    private var mixedSum: UInt64 = 0

    /// The fingerprint of the empty set.
    public init() {}

    /// Adds one name by its 64-bit hash.
    public mutating func insert(_ hash: UInt64) {
        count += 1
        sum &+= hash
        // Independent of the first sum: the second is linear in nothing that the first is.
        mixedSum &+= NameHasher.fold(hash ^ 0xA076_1D64_78BD_642F, hash ^ 0xE703_7ED1_A0B4_28DB)
    }
}
