internal import CLinux
internal import Glibc
public import HubCache

/// What an inotify watch tells of, and what an event was: the bits of inotify(7).
public struct InotifyMask: OptionSet, Hashable, Sendable {
    /// The bits.
    public let rawValue: UInt32
    /// Makes a set of bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// A file's content changed.
    public static let modify = InotifyMask(rawValue: UInt32(HFJ_IN_MODIFY))
    /// Permissions, owner, times or the number of links changed.
    public static let attributes = InotifyMask(rawValue: UInt32(HFJ_IN_ATTRIB))
    /// A file that was open for writing was closed.
    public static let closeWrite = InotifyMask(rawValue: UInt32(HFJ_IN_CLOSE_WRITE))
    /// A file or folder was opened.
    public static let open = InotifyMask(rawValue: UInt32(HFJ_IN_OPEN))
    /// An entry was renamed away.
    public static let movedFrom = InotifyMask(rawValue: UInt32(HFJ_IN_MOVED_FROM))
    /// An entry got its name by a rename.
    public static let movedTo = InotifyMask(rawValue: UInt32(HFJ_IN_MOVED_TO))
    /// An entry was made.
    public static let create = InotifyMask(rawValue: UInt32(HFJ_IN_CREATE))
    /// An entry was removed.
    public static let delete = InotifyMask(rawValue: UInt32(HFJ_IN_DELETE))
    /// The watched folder itself was removed.
    public static let deleteSelf = InotifyMask(rawValue: UInt32(HFJ_IN_DELETE_SELF))
    /// The watched folder itself was renamed.
    public static let moveSelf = InotifyMask(rawValue: UInt32(HFJ_IN_MOVE_SELF))
    /// No events of files that are open but have no name any more.
    public static let onlyLinked = InotifyMask(rawValue: UInt32(HFJ_IN_EXCL_UNLINK))
    /// Event only: the filesystem was unmounted.
    public static let unmounted = InotifyMask(rawValue: UInt32(HFJ_IN_UNMOUNT))
    /// Event only: the queue was full and events are lost.
    public static let overflow = InotifyMask(rawValue: UInt32(HFJ_IN_Q_OVERFLOW))
    /// Event only: the watch is gone.
    public static let ignored = InotifyMask(rawValue: UInt32(HFJ_IN_IGNORED))
    /// Event only: it is about a folder.
    public static let isDirectory = InotifyMask(rawValue: UInt32(HFJ_IN_ISDIR))

    /// Everything that changes what is in a folder.
    public static let changes: InotifyMask = [
        .modify, .attributes, .closeWrite, .movedFrom, .movedTo, .create, .delete, .deleteSelf, .moveSelf, .onlyLinked,
    ]
}

/// One event as the kernel tells it.
public struct InotifyEvent: Sendable {
    /// Which watch; -1 for an overflow.
    public let watch: Int32
    /// What happened.
    public let mask: InotifyMask
    /// The entry's name in the watched folder, at most 255 bytes; empty when it is about the folder itself.
    public let name: BytePath

    /// Makes an event of its parts.
    public init(watch: Int32, mask: InotifyMask, name: BytePath) {
        self.watch = watch
        self.mask = mask
        self.name = name
    }
}

/// An inotify instance: a queue of events of the folders that are watched with it.
///
/// It holds no watched folder open, so that a filesystem can be unmounted under it.
public final class Inotify: Sendable {
    private let descriptor: OwnedDescriptor

    /// Makes an instance that watches nothing.
    ///
    /// - Throws: `SystemCallFailure`; `EMFILE` when the user has as many instances as are allowed.
    public init() throws(SystemCallFailure) {
        let number = try checked("inotify_init1", .empty) { hfj_inotify_open() }
        descriptor = OwnedDescriptor(adopting: number)
    }

    /// The descriptor that becomes readable when there are events.
    package var raw: Int32 { descriptor.raw }

    /// Watches an open folder. Of a folder that is watched already the events are replaced, and the number is the same.
    ///
    /// - Returns: the watch's number.
    /// - Throws: `SystemCallFailure`; `ENOSPC` when the user has as many watches as are allowed.
    public func watch(_ folder: borrowing OwnedDescriptor, for events: InotifyMask) throws(SystemCallFailure) -> Int32 {
        let folder = folder.raw
        return try checked("inotify_add_watch", .empty) {
            hfj_inotify_add(descriptor.raw, folder, events.rawValue | UInt32(HFJ_IN_ONLYDIR))
        }
    }

    /// Ends a watch. Events that are queued already still come, and then `.ignored`.
    public func unwatch(_ watch: Int32) { _ = hfj_inotify_remove(descriptor.raw, watch) }

    /// Takes events off the queue, as many as 64 KiB hold (between 230 and 4096); never waits.
    ///
    /// - Returns: the events in order; none when the queue is empty.
    public func read() -> [InotifyEvent] {
        let capacity = 64 * 1024
        return unsafe withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 8) { buffer in
            guard let base = buffer.baseAddress else { return [] }
            var count = unsafe hfj_read(descriptor.raw, base, capacity)
            while count == -Int(EINTR) { count = unsafe hfj_read(descriptor.raw, base, capacity) }
            guard count > 0 else { return [] }
            return unsafe parse(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    // struct inotify_event of inotify(7): wd, mask, cookie, len (4 bytes each), then the name, padded with NUL.
    private func parse(_ bytes: UnsafeRawBufferPointer) -> [InotifyEvent] {
        var events: [InotifyEvent] = []
        events.reserveCapacity(bytes.count / 32)
        var position = 0
        while position + 16 <= bytes.count {
            let watch = unsafe bytes.loadUnaligned(fromByteOffset: position, as: Int32.self)
            let mask = unsafe bytes.loadUnaligned(fromByteOffset: position + 4, as: UInt32.self)
            let length = unsafe Int(bytes.loadUnaligned(fromByteOffset: position + 12, as: UInt32.self))
            position += 16
            guard position + length <= bytes.count else { break }
            let padded = unsafe bytes[position..<(position + length)]
            let name = unsafe BytePath(bytes: Array(padded.prefix { $0 != 0 }))
            events.append(InotifyEvent(watch: watch, mask: InotifyMask(rawValue: mask), name: name))
            position += length
        }
        return events
    }
}
