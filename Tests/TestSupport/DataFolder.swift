internal import CLinux
internal import Glibc
public import HubCache
public import LinuxIO

/// A folder of its own for files whose content, and whose place in the page cache, a test decides.
///
/// It goes with everything in it when the value goes. Any failure traps: a test cannot go on without its files.
public final class DataFolder: Sendable {
    /// Where it is.
    public let path: String

    /// Makes one below `TMPDIR`, or below a folder of the test's choice.
    public init(below parent: String? = nil) {
        let usual = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/var/tmp"
        var name = Array("\(parent ?? usual)/hfjanitor-data-XXXXXX".utf8CString)
        let made = unsafe name.withUnsafeMutableBufferPointer { buffer in
            unsafe buffer.baseAddress.flatMap { unsafe mkdtemp($0) } != nil
        }
        precondition(made, "no temporary folder")
        self.path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        if let folder = unsafe opendir(path) {
            while let entry = unsafe readdir(folder) {
                let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
                }
                _ = unsafe unlink("\(path)/\(name)")
            }
            unsafe closedir(folder)
        }
        unsafe rmdir(path)
    }

    /// The path of a name in the folder.
    public func path(of name: String) -> BytePath { BytePath("\(path)/\(name)") }

    /// Makes a file with that content, written through to the disk.
    @discardableResult
    public func write(_ name: String, _ bytes: [UInt8]) -> BytePath {
        withDescriptor(name, O_RDWR | O_CREAT | O_TRUNC) { Self.append(bytes, to: $0) }
        return path(of: name)
    }

    /// Appends to a file.
    public func append(_ name: String, _ bytes: [UInt8]) {
        withDescriptor(name, O_RDWR | O_APPEND) { Self.append(bytes, to: $0) }
    }

    /// Overwrites a file's bytes from an offset, keeping its length where that is enough.
    public func overwrite(_ name: String, at offset: Int, _ bytes: [UInt8]) {
        withDescriptor(name, O_RDWR) { number in
            lseek(number, offset, SEEK_SET)
            Self.append(bytes, to: number)
        }
    }

    /// Makes a file longer by a hole, or cuts it off.
    @discardableResult
    public func resize(_ name: String, to size: Int) -> BytePath {
        withDescriptor(name, O_RDWR | O_CREAT) { precondition(ftruncate($0, size) == 0, "ftruncate") }
        return path(of: name)
    }

    /// Opens a file of the folder.
    public func open(_ name: String) throws(SystemCallFailure) -> OwnedDescriptor {
        try OwnedDescriptor.open(trustedPath: path(of: name), options: .keepAccessTime)
    }

    /// What `stat` says of a file of the folder.
    public func stat(_ name: String) throws(SystemCallFailure) -> FileStat { try open(name).stat() }

    /// How many pages of a file are in the page cache.
    public func residentPages(_ name: String) throws(SystemCallFailure) -> Int64 {
        let descriptor = try open(name)
        return hfj_resident_pages(descriptor.raw, try descriptor.stat().size)
    }

    /// Has the page cache forget a file, as far as the filesystem lets it.
    public func chill(_ name: String) {
        withDescriptor(name, O_RDWR) { number in
            fsync(number)
            _ = hfj_advise(number, 0, 0, HFJ_ADVICE_DONTNEED)
        }
    }

    /// Reads a file's first bytes into the page cache.
    public func warm(_ name: String, bytes: Int) {
        withDescriptor(name, O_RDONLY) { number in
            var buffer = [UInt8](repeating: 0, count: 1 << 20)
            var left = bytes
            while left > 0 {
                let wanted = min(left, buffer.count)
                let done = unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(number, $0.baseAddress, wanted) }
                guard done > 0 else { return }
                left -= done
            }
        }
    }

    private func withDescriptor(_ name: String, _ flags: Int32, _ body: (Int32) -> Void) {
        let number = unsafe Glibc.open("\(path)/\(name)", flags | O_CLOEXEC, 0o644)
        precondition(number >= 0, "open of \(name): \(describeErrno(errno))")
        body(number)
        close(number)
    }

    private static func append(_ bytes: [UInt8], to number: Int32) {
        var written = 0
        while written < bytes.count {
            let done = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(number, buffer.baseAddress.map { unsafe $0 + written }, buffer.count - written)
            }
            precondition(done > 0, "write: \(describeErrno(errno))")
            written += done
        }
        precondition(fsync(number) == 0, "fsync")
    }
}

/// A byte of a file in memory, through which its content changes and its timestamps do not: the kernel moves them when a mapped
/// page is first written to, which making the value does. On tmpfs that holds for good, elsewhere until the page is written
/// back.
@safe public final class MappedByte: @unchecked Sendable {
    // Mapped in init, unmapped in deinit; written to by whoever calls `store`, one thread at a time.
    private let mapped: UnsafeMutableRawPointer
    private let offset: Int

    /// Maps the byte with that offset, and stores what it is.
    public init(of folder: DataFolder, _ name: String, at offset: Int) {
        let number = unsafe Glibc.open("\(folder.path)/\(name)", O_RDWR | O_CLOEXEC)
        precondition(number >= 0, "open of \(name): \(describeErrno(errno))")
        defer { close(number) }
        guard let mapped = unsafe mmap(nil, offset + 1, PROT_READ | PROT_WRITE, MAP_SHARED, number, 0),
            unsafe mapped != MAP_FAILED
        else { preconditionFailure("mmap: \(describeErrno(errno))") }
        unsafe self.mapped = mapped
        self.offset = offset
        let pointer = unsafe UnsafeMutablePointer<UInt8>(OpaquePointer(mapped + offset))
        unsafe pointer.pointee &+= 1
        unsafe pointer.pointee &-= 1
    }

    deinit { unsafe munmap(mapped, offset + 1) }

    /// Changes the byte.
    public func store(_ byte: UInt8) { unsafe mapped.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self) }
}
