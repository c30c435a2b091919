internal import CLinux
internal import Glibc
public import HubCache

/// An entry of a directory and what `stat` says of it, the link itself where it is one.
public struct DirectoryEntry: Sendable {
    /// The name: one component.
    public let name: BytePath
    /// What `stat` says.
    public let stat: FileStat

    /// Makes an entry.
    package init(name: BytePath, stat: FileStat) {
        self.name = name
        self.stat = stat
    }
}

/// What one reading of a directory gave.
public struct DirectoryListing: Sendable {
    /// The entries, in no particular order, without `.` and `..`.
    public internal(set) var entries: [DirectoryEntry] = []
    /// Entries that were there and could not be looked at. An entry that vanished meanwhile is in neither list.
    public internal(set) var failures: [SystemCallFailure] = []
}

extension OwnedDescriptor {
    /// Reads this directory and looks at every entry.
    ///
    /// - Throws: `SystemCallFailure` when the directory itself cannot be read to its end.
    public borrowing func listDirectory() throws(SystemCallFailure) -> DirectoryListing {
        let directory = raw
        var listing = DirectoryListing()
        var failure: SystemCallFailure?
        // 64 KiB holds about a thousand names of blobs: one call for nearly every folder of a cache.
        let capacity = 64 * 1024
        unsafe withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 8) { buffer in
            guard let base = buffer.baseAddress else { return }
            do throws(SystemCallFailure) {
                while true {
                    let count = try checked("getdents64", .empty) {
                        unsafe hfj_read_directory(directory, base, capacity)
                    }
                    if count == 0 { return }
                    let record = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<Int(count)])
                    unsafe look(at: record, in: directory, into: &listing)
                }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return listing
    }
}

// struct linux_dirent64 of getdents64(2): d_ino (8 bytes), d_off (8), d_reclen (2), d_type (1), the name and a NUL.
private let recordLengthOffset = 16
private let nameOffset = 19

private func look(at records: UnsafeRawBufferPointer, in directory: Int32, into listing: inout DirectoryListing) {
    var position = 0
    while position + nameOffset < records.count {
        let length = unsafe Int(
            records.loadUnaligned(fromByteOffset: position + recordLengthOffset, as: UInt16.self))
        // The kernel's records are never shorter; a length of zero would loop for ever.
        guard length > nameOffset, position + length <= records.count else { return }
        let nameBytes = unsafe UnsafeRawBufferPointer(rebasing: records[(position + nameOffset)..<(position + length)])
        position += length
        let end = unsafe nameBytes.firstIndex(of: 0) ?? nameBytes.count
        if unsafe end == 1 && nameBytes[0] == UInt8(ascii: ".") { continue }
        if unsafe end == 2 && nameBytes[0] == UInt8(ascii: ".") && nameBytes[1] == UInt8(ascii: ".") { continue }
        guard end < nameBytes.count, let base = nameBytes.baseAddress else { continue }

        let name = unsafe BytePath(bytes: [UInt8](UnsafeRawBufferPointer(rebasing: nameBytes[..<end])))
        var raw = hfj_stat()
        let pointer = unsafe base.assumingMemoryBound(to: CChar.self)
        let result = unsafe hfj_stat_at(directory, pointer, &raw)
        if result == 0 {
            listing.entries.append(DirectoryEntry(name: name, stat: FileStat(raw)))
        } else if result != -ENOENT {
            listing.failures.append(SystemCallFailure(call: "stat", errno: result, subject: name))
        }
    }
}
