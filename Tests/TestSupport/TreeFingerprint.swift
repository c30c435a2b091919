internal import Glibc
package import HubCache

/// Everything that stat(2) and readlink(2) tell of a tree, and a checksum of its contents, taken without changing any of it.
///
/// The access time of a symbolic link is left out: readlink(2) itself moves it and no flag keeps it.
package struct TreeFingerprint: Equatable {
    private var entries: [BytePath: String] = [:]

    package init(_ path: BytePath) { add(path) }

    /// The places that differ, for a message.
    package func differences(from other: TreeFingerprint) -> [String] {
        Set(entries.keys).union(other.entries.keys).sorted().compactMap { path in
            let one = entries[path] ?? "absent"
            let two = other.entries[path] ?? "absent"
            return one == two ? nil : "\(path.display): \(two) -> \(one)"
        }
    }

    private mutating func add(_ path: BytePath) {
        var status = stat()
        guard unsafe withPath(path, { unsafe lstat($0, &status) }) == 0 else { return }
        let kind = status.st_mode & S_IFMT
        var text = "mode \(String(status.st_mode, radix: 8)) uid \(status.st_uid) gid \(status.st_gid) "
        text += "size \(status.st_size) ino \(status.st_ino) nlink \(status.st_nlink) "
        text += "mtime \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec) "
        text += "ctime \(status.st_ctim.tv_sec).\(status.st_ctim.tv_nsec) "
        if kind != S_IFLNK { text += "atime \(status.st_atim.tv_sec).\(status.st_atim.tv_nsec) " }
        if kind == S_IFLNK { text += "to \(linkText(path))" }
        if kind == S_IFREG { text += "sum \(checksum(path))" }
        entries[path] = text
        if kind == S_IFDIR { for name in namesInFolder(path) { add(path.appending(name)) } }
    }

    private func linkText(_ path: BytePath) -> BytePath {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe buffer.withUnsafeMutableBytes { bytes -> Int in
            guard let base = unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self) else { return 0 }
            return unsafe withPath(path) { unsafe readlink($0, base, 4096) }
        }
        return BytePath(bytes: buffer.prefix(max(0, count)))
    }

    /// FNV-1a of the first kilobytes; what comes later cannot change without the times changing.
    private func checksum(_ path: BytePath) -> UInt64 {
        let descriptor = unsafe withPath(path) { unsafe open($0, O_RDONLY | 0o1000000) }
        guard descriptor >= 0 else { return 0 }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 1 << 12)
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in buffer.prefix(max(0, count)) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return hash
    }
}

/// Tells whether files were opened, by inotify(7).
package final class OpenWatch: Sendable {
    private let descriptor: Int32

    package init(_ paths: [BytePath]) throws {
        descriptor = inotify_init1(Int32(O_NONBLOCK | O_CLOEXEC))
        for path in paths {
            let result = unsafe withPath(path) {
                unsafe inotify_add_watch(descriptor, $0, UInt32(IN_OPEN) | UInt32(IN_ACCESS))
            }
            guard result >= 0 else { throw SetupFailure(description: "cannot watch \(path): errno \(errno)") }
        }
    }

    /// Whether any of them has been opened or read since.
    package var sawOpen: Bool {
        var buffer = [UInt8](repeating: 0, count: 4096)
        return unsafe buffer.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) } > 0
    }

    package func close() { _ = Glibc.close(descriptor) }
}
