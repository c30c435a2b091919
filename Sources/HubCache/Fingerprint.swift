/// A short mark of some values, the same in every run: FNV-1a, 64 bits. It tells what changed by accident, not by intent.
public struct Fingerprint: Sendable, Hashable {
    /// The mark of everything that was added.
    public private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    /// Makes the mark of nothing.
    public init() {}

    /// Adds a byte.
    public mutating func add(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }

    /// Adds a number.
    public mutating func add(_ number: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) { add(UInt8(truncatingIfNeeded: number >> UInt64(shift))) }
    }

    /// Adds bytes and their number, so that what follows cannot be taken for a part of them.
    public mutating func add(_ path: BytePath) {
        add(UInt64(path.bytes.count))
        for byte in path.bytes { add(byte) }
    }

    /// Adds what makes a file this version of this file: everything but its access time and its names.
    public mutating func add(_ stat: FileStat) {
        add(stat.key.device)
        add(stat.key.inode)
        add(stat.kind.rawValue)
        add(stat.size)
        add(UInt64(bitPattern: stat.modified.nanoseconds))
        add(UInt64(bitPattern: stat.changed.nanoseconds))
    }
}
