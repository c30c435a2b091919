internal import CLinux
internal import Glibc
internal import HubCache

extension [UInt8] {
    /// Adds bytes that somebody lends.
    public mutating func append(_ bytes: Span<UInt8>) {
        unsafe bytes.withUnsafeBytes { unsafe append(contentsOf: $0) }
    }
}

extension OwnedDescriptor {
    /// Reads up to a number of bytes at an offset.
    ///
    /// - Returns: fewer than asked for only at the end of the file.
    /// - Throws: `SystemCallFailure` as pread(2).
    public borrowing func read(at offset: UInt64, count: Int) throws(SystemCallFailure) -> [UInt8] {
        let descriptor = raw
        var failure: SystemCallFailure?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            guard let base = buffer.baseAddress else { return }
            do throws(SystemCallFailure) {
                while filled < count {
                    let position = offset &+ UInt64(filled)
                    let done = try checked("read", .empty) {
                        unsafe hfj_read_at(descriptor, base + filled, count - filled, position)
                    }
                    if done == 0 { break }
                    filled += done
                }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Reads a whole small file.
    ///
    /// - Parameters:
    ///   - limit: the most bytes to take.
    ///   - size: the size it is known to have: when that much came at once, the end is not looked for.
    /// - Returns: the content, or nil when it is longer than the limit.
    /// - Throws: `SystemCallFailure` as pread(2).
    public borrowing func readAll(limit: Int, size: UInt64? = nil) throws(SystemCallFailure) -> [UInt8]? {
        if let size, size > 0, size <= UInt64(limit) {
            let bytes = try read(at: 0, count: Int(size))
            if bytes.count == Int(size) { return bytes }
        }
        let bytes = try read(at: 0, count: limit + 1)
        return bytes.count > limit ? nil : bytes
    }
}

extension OwnedDescriptor {
    /// Reads as `read(at:count:)` does, without leaving in the page cache what was not there.
    ///
    /// Where the kernel or the filesystem cannot (before 6.14, or btrfs and tmpfs), it is a plain read.
    ///
    /// - Throws: `SystemCallFailure` as preadv2(2).
    public borrowing func readUncached(at offset: UInt64, count: Int) throws(SystemCallFailure) -> [UInt8] {
        let descriptor = raw
        var isRefused = false
        var failure: SystemCallFailure?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            guard let base = buffer.baseAddress else { return }
            do throws(SystemCallFailure) {
                while filled < count {
                    let position = offset &+ UInt64(filled)
                    let done = try checked("read", .empty) {
                        let done = unsafe hfj_read_uncached(descriptor, base + filled, count - filled, position)
                        // A filter of system calls answers EPERM.
                        isRefused = [EOPNOTSUPP, EINVAL, ENOSYS, EPERM].contains { done == -Int($0) }
                        return isRefused ? 0 : done
                    }
                    if done == 0 { break }
                    filled += done
                }
            } catch {
                failure = error
            }
        }
        if isRefused { return try read(at: offset, count: count) }
        if let failure { throw failure }
        return bytes
    }
}
