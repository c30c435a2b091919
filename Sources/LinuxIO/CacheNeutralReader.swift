internal import CLinux
internal import Glibc
public import HubCache

/// Memory to read a file into, aligned as direct I/O wants it.
@safe public struct PageBuffer: ~Copyable {
    /// How many bytes it can hold.
    public let capacity: Int
    /// How many bytes the last read put into it, or were added since it was emptied.
    public internal(set) var count = 0

    /// Enough that a request to the disk is worth its while, and little enough that a thread notices within a few
    /// milliseconds that it should stop.
    public static let usualCapacity = 4 << 20

    // 64 KiB is the largest page of the supported processors: no file system asks for more.
    static let alignment = 64 << 10

    // Made in init, freed in deinit; only the first `count` bytes are ever shown.
    private let memory: UnsafeMutableBufferPointer<UInt8>

    /// Allocates one.
    ///
    /// - Parameter capacity: in bytes, rounded up to a multiple of 64 KiB.
    public init(capacity: Int = usualCapacity) {
        let rounded = max(1, (capacity + Self.alignment - 1) / Self.alignment) * Self.alignment
        let raw = UnsafeMutableRawBufferPointer.allocate(byteCount: rounded, alignment: Self.alignment)
        unsafe self.memory = raw.bindMemory(to: UInt8.self)
        self.capacity = rounded
    }

    deinit { unsafe memory.deallocate() }

    /// Calls with the bytes that the last read put into it.
    public borrowing func withBytes<Result, Failure: Error>(
        _ body: (Span<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let filled = unsafe UnsafeBufferPointer(rebasing: memory[..<count])
        return try unsafe body(filled.span)
    }

    /// Adds bytes behind those that are in it, until it holds `limit`.
    ///
    /// - Returns: how many there was room for.
    public mutating func append(_ bytes: Span<UInt8>, upTo limit: Int) -> Int {
        let taken = min(bytes.count, min(limit, capacity) - count)
        guard taken > 0 else { return 0 }
        unsafe bytes.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            unsafe address(at: count).copyMemory(from: base, byteCount: taken)
        }
        count += taken
        return taken
    }

    /// Forgets what is in it.
    public mutating func empty() { count = 0 }

    /// Where to put the byte with that index. Good while the buffer lives.
    @unsafe func address(at index: Int) -> UnsafeMutableRawPointer {
        guard let base = unsafe memory.baseAddress else { preconditionFailure("an allocation without an address") }
        return unsafe UnsafeMutableRawPointer(base + index)
    }
}

/// Reads a regular file once from its beginning, and leaves in the page cache what was there before.
///
/// A file of a model in use stays cached, and one that nobody uses does not push others out. How it goes about it depends on
/// the kernel and the filesystem; see `Method`. It blocks the calling thread and is used by one thread at a time.
public struct CacheNeutralReader: ~Copyable {
    /// A way to read.
    public enum Method: Sendable, Hashable {
        /// Through the page cache, leaving there what the read brought in: where the cache is the storage (tmpfs), or where
        /// nothing else was possible.
        case plain
        /// Through the page cache, which itself forgets what the read brought in (`RWF_DONTCACHE`; Linux 6.14).
        case uncached
        /// Through the page cache, throwing out behind the read: only for files nothing of which was cached.
        case droppingBehind
        /// Around the page cache (`O_DIRECT`).
        case direct
    }

    /// Where the next read begins; after a failure, where the read that failed began.
    public private(set) var offset: UInt64 = 0
    /// How it reads; nil before the first read.
    public private(set) var method: Method?

    private let descriptor: OwnedDescriptor
    private let size: UInt64
    private let insistsOnDirect: Bool
    private var offsetAlignment: UInt64 = 4096
    private var droppedUpTo: UInt64 = 0

    // Dropping from 0 each time: a range that cuts through a large folio leaves the whole folio behind.
    private static let dropInterval: UInt64 = 8 << 20

    /// Makes a reader of an opened file.
    ///
    /// - Parameters:
    ///   - descriptor: a regular file opened for reading.
    ///   - stat: what `stat` says of it; its size is how far is read, even if the file grows meanwhile.
    ///   - direct: whether to read what is on the disk rather than what is cached. Where direct I/O is not to be had, cached
    ///     pages are dropped first; only dirty pages, and those that somebody has mapped, are then still taken from the cache.
    public init(_ descriptor: consuming OwnedDescriptor, stat: FileStat, direct: Bool = false) {
        self.descriptor = descriptor
        self.size = stat.size
        self.insistsOnDirect = direct
    }

    deinit {
        // Read-ahead went further than the read did.
        if method == .droppingBehind { _ = hfj_advise(descriptor.raw, 0, 0, HFJ_ADVICE_DONTNEED) }
    }

    /// What `stat` says of the file now.
    ///
    /// - Throws: `SystemCallFailure` as statx(2).
    public borrowing func stat() throws(SystemCallFailure) -> FileStat { try descriptor.stat() }

    /// Reads the next bytes, as many as the buffer holds unless the file ends before or a byte cannot be read.
    ///
    /// - Returns: how many, and 0 at the end: after `stat.size` bytes, or sooner where the file has become shorter.
    /// - Throws: `SystemCallFailure` as read(2); `offset` tells where. Bytes before a failure are returned first.
    public mutating func read(into buffer: inout PageBuffer) throws(SystemCallFailure) -> Int {
        buffer.count = 0
        let wanted = Int(min(UInt64(buffer.capacity), size - offset))
        if wanted > 0, method == nil { begin() }
        while buffer.count < wanted {
            let done: Int
            do throws(SystemCallFailure) {
                done = try readOnce(into: buffer, at: buffer.count, wanted - buffer.count)
            } catch {
                if buffer.count > 0 { break }
                throw error
            }
            if done == 0 { break }
            buffer.count += done
            offset += UInt64(done)
        }
        if method == .droppingBehind, offset - droppedUpTo >= Self.dropInterval {
            _ = hfj_advise(descriptor.raw, 0, offset, HFJ_ADVICE_DONTNEED)
            droppedUpTo = offset
        }
        return buffer.count
    }

    private mutating func begin() {
        var filesystem = hfj_filesystem()
        let known = unsafe hfj_filesystem_of(descriptor.raw, &filesystem) == 0
        if known, Self.memoryFilesystems.contains(filesystem.type) {
            method = .plain
        } else if insistsOnDirect {
            if !enterDirect() { dropInsteadOfDirect() }
        } else {
            _ = hfj_advise(descriptor.raw, 0, 0, HFJ_ADVICE_SEQUENTIAL)
            method = .uncached
        }
    }

    // tmpfs, ramfs and hugetlbfs of linux/magic.h: their pages are the file.
    private static let memoryFilesystems: [Int64] = [Int64(HFJ_FS_TMPFS), 0x8584_58F6, 0x9584_58F6]

    /// The next best where the kernel or the filesystem has no `RWF_DONTCACHE`. Nothing has been read yet.
    private mutating func chooseWithoutUncached() {
        // An error, and a kernel that does not tell a stranger, count as cached: others' pages are never thrown out.
        if hfj_resident_pages(descriptor.raw, size) == 0 {
            method = .droppingBehind
        } else if !enterDirect() {
            method = .plain
        }
    }

    private mutating func enterDirect() -> Bool {
        var raw = hfj_stat()
        if unsafe hfj_stat_at(descriptor.raw, nil, &raw) == 0 {
            // 4096 divides every buffer and holds for all but filesystems with larger blocks, which say so.
            offsetAlignment = UInt64(max(4096, raw.direct_offset_alignment))
            let largest = UInt64(PageBuffer.alignment)
            if offsetAlignment > largest || UInt64(raw.direct_memory_alignment) > largest { return false }
        }
        guard hfj_set_direct(descriptor.raw, 1) == 0 else { return false }
        method = .direct
        return true
    }

    /// Makes the cache forget the file, so that what is read next comes from the disk as far as that can be had.
    private mutating func dropInsteadOfDirect() {
        let resident = hfj_resident_pages(descriptor.raw, size)
        _ = hfj_advise(descriptor.raw, 0, 0, HFJ_ADVICE_DONTNEED)
        // What was cached is cached again by reading it.
        method = resident == 0 ? .droppingBehind : .plain
    }

    private mutating func leaveDirect() {
        _ = hfj_set_direct(descriptor.raw, 0)
        if insistsOnDirect { dropInsteadOfDirect() } else { method = .plain }
    }

    /// One system call: bytes read, 0 at the end of the file.
    private mutating func readOnce(
        into buffer: borrowing PageBuffer, at index: Int, _ count: Int
    ) throws(SystemCallFailure) -> Int {
        let position = offset
        let number = descriptor.raw
        let address = unsafe buffer.address(at: index)
        if method == .uncached {
            let done = retrying { unsafe hfj_read_uncached(number, address, count, position) }
            if done >= 0 { return done }
            // ENOSYS and EPERM are a system call filter's ways to say no. If one of these meant something else, the
            // ordinary read below says so.
            guard [EOPNOTSUPP, ENOSYS, EPERM, EINVAL].contains(Int32(-done)) else {
                throw SystemCallFailure(call: "preadv2", errno: Int32(-done), subject: .empty)
            }
            if position == 0 { chooseWithoutUncached() } else { method = .plain }
        }
        if method == .direct {
            let alignment = Int(offsetAlignment)
            let rounded = (count + alignment - 1) / alignment * alignment
            let done = retrying { unsafe hfj_read_at(number, address, rounded, position) }
            // The file may have grown since it was looked at.
            if done >= count { return count }
            let whole = done - done % alignment
            if done >= 0, whole == done { return done }
            // A short read: go on from where direct I/O may go on.
            if whole > 0 { return whole }
            guard done > 0 || done == -Int(EINVAL) || done == -Int(EOPNOTSUPP) else {
                throw SystemCallFailure(call: "pread", errno: Int32(-done), subject: .empty)
            }
            // Less than a block before the end of a file that has become shorter, or direct I/O refused, be it for the tail
            // alone, as network and user space filesystems do.
            leaveDirect()
        }
        let done = retrying { unsafe hfj_read_at(number, address, count, position) }
        if done < 0 { throw SystemCallFailure(call: "pread", errno: Int32(-done), subject: .empty) }
        return done
    }
}

/// Calls again while a signal interrupts.
func retrying(_ body: () -> Int) -> Int {
    while true {
        let result = body()
        if result != -Int(EINTR) { return result }
    }
}
