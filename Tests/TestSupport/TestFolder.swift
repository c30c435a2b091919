internal import Foundation
internal import Glibc
package import HubCache

/// A test that could not set up what it needs.
package struct SetupFailure: Error, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }

    package init(_ description: String) { self.init(description: description) }
}

/// A folder of the test's own under the system's temporary one. Names are bytes, so that names no String can hold work too.
package final class TestFolder: Sendable {
    /// Where it is, without links.
    package let path: BytePath

    /// - Parameter place: a folder that exists.
    package init(in place: String = "/tmp") throws {
        var template = Array("\(place)/hfjanitor-test-XXXXXX".utf8CString)
        let made = unsafe template.withUnsafeMutableBufferPointer { buffer -> BytePath? in
            guard let base = buffer.baseAddress, unsafe mkdtemp(base) != nil else { return nil }
            return unsafe BytePath(String(cString: base))
        }
        guard let made else { throw SetupFailure(description: "mkdtemp: errno \(errno)") }
        path = made
        try chmod(.empty, 0o755)
    }

    /// Takes the folder away with everything in it.
    package func remove() { removeTree(path) }

    /// The absolute path of something below.
    package func absolute(_ name: BytePath) -> BytePath { name.bytes.first == 0x2f ? name : path.appending(name) }

    package func makeFolder(_ name: BytePath) throws {
        var made: BytePath = absolute(name).hasPrefix("/") ? "/" : .empty
        for part in absolute(name).components {
            made = made == "/" ? BytePath(bytes: [0x2f] + part.bytes) : made.appending(part)
            let result = unsafe withPath(made) { unsafe mkdir($0, 0o755) }
            if result != 0, errno != EEXIST { throw SetupFailure(description: "mkdir \(made): errno \(errno)") }
        }
    }

    /// Writes a file, making its folders; an existing one is replaced by rename.
    package func write(_ name: BytePath, _ content: [UInt8], mode: UInt32 = 0o644) throws {
        try makeFolder(absolute(name).parent)
        let temporary = BytePath(
            bytes: absolute(name).parent.bytes + Array("/.test-\(UInt64.random(in: 0 ... .max))".utf8))
        let descriptor = unsafe withPath(temporary) { unsafe open($0, O_WRONLY | O_CREAT | O_EXCL, mode) }
        guard descriptor >= 0 else { throw SetupFailure(description: "open \(temporary): errno \(errno)") }
        defer { close(descriptor) }
        var rest = content[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { throw SetupFailure(description: "write \(name): errno \(errno)") }
            rest = rest.dropFirst(count)
        }
        try unsafe call("rename", name) { to in unsafe withPath(temporary) { unsafe rename($0, to) } }
    }

    package func write(_ name: BytePath, _ text: String, mode: UInt32 = 0o644) throws {
        try write(name, Array(text.utf8), mode: mode)
    }

    /// Changes a file in place: the inode stays.
    package func overwrite(_ name: BytePath, at offset: Int = 0, _ content: [UInt8]) throws {
        let descriptor = unsafe withPath(absolute(name)) { unsafe open($0, O_WRONLY) }
        guard descriptor >= 0 else { throw SetupFailure(description: "open \(name): errno \(errno)") }
        defer { close(descriptor) }
        _ = unsafe content.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, $0.count, offset) }
    }

    package func append(_ name: BytePath, _ content: [UInt8]) throws {
        let descriptor = unsafe withPath(absolute(name)) { unsafe open($0, O_WRONLY | O_APPEND | O_CREAT, 0o644) }
        guard descriptor >= 0 else { throw SetupFailure(description: "open \(name): errno \(errno)") }
        defer { close(descriptor) }
        _ = unsafe content.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
    }

    /// Cuts a file or makes it longer with a hole.
    package func resize(_ name: BytePath, to size: Int) throws {
        try unsafe call("truncate", name) { unsafe Glibc.truncate($0, size) }
    }

    /// Copies a file, or a folder with all links in it as they are.
    package func copy(_ name: BytePath, to target: BytePath) throws {
        try FileManager.default.copyItem(atPath: absolute(name).text, toPath: absolute(target).text)
    }

    package func link(_ name: BytePath, to target: BytePath) throws {
        try makeFolder(absolute(name).parent)
        try unsafe call("symlink", name) { from in unsafe withPath(target) { unsafe symlink($0, from) } }
    }

    package func hardLink(_ name: BytePath, to existing: BytePath) throws {
        try makeFolder(absolute(name).parent)
        try unsafe call("link", name) { new in unsafe withPath(absolute(existing)) { unsafe Glibc.link($0, new) } }
    }

    package func fifo(_ name: BytePath) throws {
        try makeFolder(absolute(name).parent)
        try unsafe call("mkfifo", name) { unsafe mkfifo($0, 0o644) }
    }

    /// Makes a socket's name, as bind(2) leaves it.
    package func socket(_ name: BytePath) throws {
        try makeFolder(absolute(name).parent)
        try unsafe call("mknod", name) { unsafe mknod($0, S_IFSOCK | 0o644, 0) }
    }

    /// Makes a character device like /dev/zero. Only root can.
    package func device(_ name: BytePath) throws {
        try makeFolder(absolute(name).parent)
        try unsafe call("mknod", name) { unsafe mknod($0, S_IFCHR | 0o644, 0x105) }
    }

    package func chmod(_ name: BytePath, _ mode: UInt32) throws {
        try unsafe call("chmod", name) { unsafe Glibc.chmod($0, mode) }
    }

    package func chown(_ name: BytePath, _ uid: UInt32) throws {
        try unsafe call("chown", name) { unsafe lchown($0, uid, uid) }
    }

    package func delete(_ name: BytePath) { removeTree(absolute(name)) }

    package func move(_ name: BytePath, to new: BytePath) throws {
        try unsafe call("rename", name) { from in unsafe withPath(absolute(new)) { unsafe rename(from, $0) } }
    }

    /// Sets the times of last access and last change, in seconds since 1970.
    package func setTimes(_ name: BytePath, accessed: Int, modified: Int) throws {
        let times = [timespec(tv_sec: accessed, tv_nsec: 0), timespec(tv_sec: modified, tv_nsec: 0)]
        try unsafe call("utimensat", name) { path in unsafe utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) }
    }

    package func exists(_ name: BytePath) -> Bool {
        var status = stat()
        return unsafe withPath(absolute(name)) { unsafe lstat($0, &status) } == 0
    }

    private func call(_ what: String, _ name: BytePath, _ body: (UnsafePointer<CChar>) -> Int32) throws {
        guard unsafe withPath(absolute(name), body) == 0 else {
            throw SetupFailure(description: "\(what) \(name): errno \(errno)")
        }
    }
}

/// Whether the tests run as root, which permissions do not stop.
package var isRoot: Bool { geteuid() == 0 }

/// Calls with a path as a C string.
func withPath<Result>(_ path: BytePath, _ body: (UnsafePointer<CChar>) -> Result) -> Result {
    let characters = path.bytes.map { CChar(bitPattern: $0) } + [0]
    return unsafe characters.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { preconditionFailure("no address") }
        return unsafe body(base)
    }
}

/// The names in a folder, read without moving its access time.
func namesInFolder(_ path: BytePath) -> [BytePath] {
    // O_NOATIME, which only the owner may ask for.
    var descriptor = unsafe withPath(path) { unsafe open($0, O_RDONLY | O_DIRECTORY | 0o1000000) }
    if descriptor < 0 { descriptor = unsafe withPath(path) { unsafe open($0, O_RDONLY | O_DIRECTORY) } }
    guard descriptor >= 0, let folder = unsafe fdopendir(descriptor) else { return [] }
    defer { unsafe closedir(folder) }
    var names: [BytePath] = []
    while let entry = unsafe readdir(folder) {
        let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            unsafe BytePath(bytes: Array(bytes.prefix { $0 != 0 }))
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names
}

private func removeTree(_ path: BytePath) {
    var status = stat()
    guard unsafe withPath(path, { unsafe lstat($0, &status) }) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFDIR else {
        _ = unsafe withPath(path) { unsafe unlink($0) }
        return
    }
    _ = unsafe withPath(path) { unsafe Glibc.chmod($0, 0o700) }
    for name in namesInFolder(path) { removeTree(path.appending(name)) }
    _ = unsafe withPath(path) { unsafe rmdir($0) }
}

/// Gives a test a folder of its own and takes it away afterwards.
package func withTestFolder<Result>(_ body: (TestFolder) throws -> Result) throws -> Result {
    let folder = try TestFolder()
    defer { folder.remove() }
    return try body(folder)
}
