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
        try unsafe readDirectory(directory) { unsafe look(at: $0, in: directory, into: &listing) }
        return listing
    }

    /// The names of this directory's entries of some kinds, without looking at the entries where the filesystem tells the
    /// kind along with the name.
    ///
    /// - Throws: `SystemCallFailure` when the directory itself cannot be read to its end.
    public borrowing func names(ofKinds kinds: [FileKind]) throws(SystemCallFailure) -> [(
        name: BytePath, kind: FileKind
    )] {
        let directory = raw
        var found: [(name: BytePath, kind: FileKind)] = []
        try unsafe readDirectory(directory) { records in
            unsafe forEachRecord(records) { (type, name) in
                let told = kind(ofEntryType: type)
                guard told == .unknown || kinds.contains(told) else { return }
                let name = unsafe BytePath(bytes: [UInt8](name))
                let known = told == .unknown ? (try? statRaw(directory, name).kind) ?? .unknown : told
                if kinds.contains(known) { found.append((name, known)) }
            }
        }
        return found
    }
}

/// Calls with buffer after buffer of a directory's records, as getdents64(2) gives them.
private func readDirectory(_ directory: Int32, _ body: (UnsafeRawBufferPointer) -> Void) throws(SystemCallFailure) {
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
                unsafe body(UnsafeRawBufferPointer(rebasing: buffer[..<Int(count)]))
            }
        } catch {
            failure = error
        }
    }
    if let failure { throw failure }
}

// struct linux_dirent64 of getdents64(2): d_ino (8 bytes), d_off (8), d_reclen (2), d_type (1), the name and a NUL.
private let recordLengthOffset = 16
private let typeOffset = 18
private let nameOffset = 19

/// Calls with the type and the name of every record but `.` and `..`. Behind the name there is a NUL.
private func forEachRecord(_ records: UnsafeRawBufferPointer, _ body: (UInt8, UnsafeRawBufferPointer) -> Void) {
    var position = 0
    while position + nameOffset < records.count {
        let length = unsafe Int(
            records.loadUnaligned(fromByteOffset: position + recordLengthOffset, as: UInt16.self))
        // The kernel's records are never shorter; a length of zero would loop for ever.
        guard length > nameOffset && position + length <= records.count else { return }
        let type = unsafe records[position + typeOffset]
        let nameBytes = unsafe UnsafeRawBufferPointer(rebasing: records[(position + nameOffset)..<(position + length)])
        position += length
        let end = unsafe nameBytes.firstIndex(of: 0) ?? nameBytes.count
        if unsafe end == 1 && nameBytes[0] == UInt8(ascii: ".") { continue }
        if unsafe end == 2 && nameBytes[0] == UInt8(ascii: ".") && nameBytes[1] == UInt8(ascii: ".") { continue }
        guard end < nameBytes.count else { continue }
        unsafe body(type, UnsafeRawBufferPointer(rebasing: nameBytes[..<end]))
    }
}

// The DT_ constants of readdir(3).
private func kind(ofEntryType type: UInt8) -> FileKind {
    switch type {
    case 1: .fifo
    case 2: .characterDevice
    case 4: .directory
    case 6: .blockDevice
    case 8: .regular
    case 10: .symlink
    case 12: .socket
    default: .unknown
    }
}

private func look(at records: UnsafeRawBufferPointer, in directory: Int32, into listing: inout DirectoryListing) {
    unsafe forEachRecord(records) { (_, bytes) in
        guard let base = bytes.baseAddress else { return }
        let name = unsafe BytePath(bytes: [UInt8](bytes))
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
