internal import CLinux
internal import Glibc
internal import HubCache

/// A descriptor that several threads use; it is closed when the last of them lets go of it.
public final class SharedDescriptor: Sendable {
    /// What is shared.
    public let descriptor: OwnedDescriptor

    /// Shares a descriptor.
    public init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}

/// Writes a file from some place on, one piece after the other, around the page cache where the filesystem can.
///
/// What is fetched then pushes nothing out that a model in use needs, and it takes a fraction of the processor time. Elsewhere
/// it goes through the page cache, and the disk begins to write early. It is used by one thread at a time.
public struct CacheNeutralWriter: ~Copyable, Sendable {
    /// A multiple of what every filesystem asks of places and lengths; a piece that begins at one, and is as long, never has to go
    /// through the page cache.
    public static let alignment = PageBuffer.alignment

    private let file: SharedDescriptor
    private var offset: UInt64
    /// What direct I/O asks for; nil where it is not to be had.
    private var directAlignment: Int?
    private var isDirect = false
    /// Up to where the system was told to bring it to the disk.
    private var sent: UInt64

    /// Waiting for the disk in the end takes no longer than it does for so much.
    private static let writebackSize: UInt64 = 8 << 20

    /// Makes a writer.
    ///
    /// - Parameters:
    ///   - file: opened for writing, and its place is `offset`.
    ///   - offset: where the next byte goes.
    public init(_ file: SharedDescriptor, at offset: UInt64) {
        self.file = file
        self.offset = offset
        sent = offset
        var raw = hfj_stat()
        // A filesystem that does not say what it asks for may take direct I/O and do something else.
        if unsafe hfj_stat_at(file.descriptor.raw, nil, &raw) == 0, raw.direct_offset_alignment > 0 {
            let needed = max(raw.direct_offset_alignment, raw.direct_memory_alignment, 4096)
            if needed <= PageBuffer.alignment { directAlignment = Int(needed) }
        }
    }

    /// Whether the filesystem has said what direct I/O asks for, and has not refused it since.
    package var isAroundPageCache: Bool { directAlignment != nil }

    /// Writes all that a buffer holds.
    ///
    /// - Throws: `SystemCallFailure` as write(2); some of the bytes may have been written then.
    public mutating func write(_ buffer: borrowing PageBuffer) throws(SystemCallFailure) {
        var done = 0
        while done < buffer.count {
            var count = buffer.count - done
            enter(direct: mayBeDirect(done, count))
            if isDirect, let directAlignment { count -= count % directAlignment }
            let number = file.descriptor.raw
            let result = retrying { unsafe hfj_write(number, buffer.address(at: done), count) }
            if isDirect, directAlignment != nil, result == -Int(EINVAL) || result == -Int(EOPNOTSUPP) {
                directAlignment = nil
                continue
            }
            guard result > 0 else {
                throw SystemCallFailure(call: "write", errno: result == 0 ? EIO : Int32(-result), subject: .empty)
            }
            done += result
            offset += UInt64(result)
        }
        guard directAlignment == nil, offset - sent >= Self.writebackSize else { return }
        file.descriptor.startWriteback(from: sent, count: offset - sent)
        sent = offset
    }

    /// Lets the descriptor take writes of any place and length again.
    public mutating func end() { enter(direct: false) }

    private func mayBeDirect(_ index: Int, _ count: Int) -> Bool {
        guard let directAlignment else { return false }
        return offset % UInt64(directAlignment) == 0 && index % directAlignment == 0 && count >= directAlignment
    }

    private mutating func enter(direct: Bool) {
        guard direct != isDirect else { return }
        guard hfj_set_direct(file.descriptor.raw, direct ? 1 : 0) == 0 else {
            directAlignment = nil
            return
        }
        isDirect = direct
    }
}
