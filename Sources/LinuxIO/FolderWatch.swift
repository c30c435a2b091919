internal import CLinux
internal import Glibc
public import HubCache

/// Tells of new entries in directories, by inotify(7).
public final class FolderWatch: Sendable {
    /// A watched directory.
    public struct Number: Sendable, Hashable {
        fileprivate let raw: Int32
    }

    /// Something that happened.
    public enum Event: Sendable, Hashable {
        /// A name came into a directory: made, linked or renamed to.
        case arrived(name: BytePath, isFolder: Bool, in: Number)
        /// More happened than the kernel kept: everything has to be looked at.
        case overflow
    }

    private let descriptor: OwnedDescriptor

    /// Opens a watch on nothing.
    ///
    /// - Throws: `SystemCallFailure` as inotify_init1(2); `EMFILE` when the user has too many.
    public init() throws(SystemCallFailure) {
        descriptor = OwnedDescriptor(adopting: try checked("inotify_init1", .empty) { hfj_watch_open() })
    }

    /// Watches a directory too. One that is watched already keeps its number.
    ///
    /// - Throws: `SystemCallFailure` as inotify_add_watch(2); `ENOSPC` when the user has too many.
    public func add(_ folder: borrowing OwnedDescriptor) throws(SystemCallFailure) -> Number {
        let (watch, directory) = (descriptor.raw, folder.raw)
        return Number(raw: try checked("inotify_add_watch", .empty) { hfj_watch_folder(watch, directory) })
    }

    /// Watches a directory no longer. What it has told already may still come.
    public func forget(_ number: Number) { _ = hfj_watch_forget(descriptor.raw, number.raw) }

    /// Waits for something to happen.
    ///
    /// - Returns: what happened; nothing when the time ran out.
    public func wait(milliseconds: Int32) -> [Event] {
        guard hfj_wait_readable(descriptor.raw, milliseconds) == 1 else { return [] }
        let watch = descriptor.raw
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 64 * 1024) { buffer, filled in
            guard let base = buffer.baseAddress else { return }
            filled = unsafe max(0, hfj_read(watch, base, buffer.count))
        }
        return events(in: bytes)
    }

    // struct inotify_event of inotify(7): wd (4 bytes), mask (4), cookie (4), len (4), then a name padded with NUL.
    private func events(in bytes: [UInt8]) -> [Event] {
        func word(_ position: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[position + $1]) << (8 * UInt32($1)) }
        }
        var events: [Event] = []
        var position = 0
        while position + 16 <= bytes.count {
            let length = Int(word(position + 12))
            guard position + 16 + length <= bytes.count else { break }
            let mask = word(position + 4)
            let name = bytes[(position + 16)..<(position + 16 + length)].prefix { $0 != 0 }
            if mask & UInt32(HFJ_WATCH_OVERFLOW) != 0 {
                events.append(.overflow)
            } else if !name.isEmpty {
                events.append(
                    .arrived(
                        name: BytePath(bytes: name), isFolder: mask & UInt32(HFJ_WATCH_IS_FOLDER) != 0,
                        in: Number(raw: Int32(bitPattern: word(position)))))
            }
            position += 16 + length
        }
        return events
    }
}
