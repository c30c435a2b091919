/// Takes little-endian integers, short texts and gaps from a stream of pieces.
///
/// A gap is not read: the position jumps over it.
struct GGUFFieldReader {
    /// Bytes from the start of the file up to which everything was taken or skipped.
    private(set) var position: UInt64 = 0
    /// The value of the last integer.
    private(set) var integer: UInt64 = 0
    /// The bytes of the last text.
    private(set) var text: [UInt8] = []

    private var isText = false
    private var missing = 0
    private var filled: UInt64 = 0

    /// Whether the field that was asked for is complete.
    var isComplete: Bool { missing == 0 }

    /// Asks for an integer of 1 to 8 bytes.
    mutating func wantInteger(_ bytes: Int) {
        isText = false
        integer = 0
        filled = 0
        missing = bytes
    }

    /// Asks for a text.
    mutating func wantText(_ bytes: Int) {
        isText = true
        text.removeAll(keepingCapacity: true)
        missing = bytes
    }

    /// Jumps over `bytes` bytes; the caller has checked that the file has them.
    mutating func skip(_ bytes: UInt64) {
        position += bytes
    }

    /// Takes what it can from `bytes`, whose first byte is at `start` in the file.
    mutating func take(_ bytes: borrowing Span<UInt8>, startingAt start: UInt64) {
        var index = Int(position - start)
        if !isText, missing == 8, filled == 0, bytes.count - index >= 8 {
            integer = littleEndianWord(bytes, index)
            missing = 0
            position += 8
            return
        }
        while missing > 0, index < bytes.count {
            if isText {
                text.append(bytes[index])
            } else {
                integer |= UInt64(bytes[index]) << filled
                filled += 8
            }
            missing -= 1
            index += 1
            position += 1
        }
    }
}
