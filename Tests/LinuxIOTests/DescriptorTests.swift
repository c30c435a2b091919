import Glibc
import HubCache
import LinuxIO
import Synchronization
import TestSupport
import Testing

@Suite struct DescriptorTests {
    private func root(_ folder: TestFolder) throws -> OwnedDescriptor {
        try OwnedDescriptor.open(trustedPath: folder.path, options: [.directory, .keepAccessTime])
    }

    @Test func opensOnlyBeneath() throws {
        try withTestFolder { folder in
            try folder.write("in/a/file", "x")
            try folder.link("in/link", to: "a/file")
            try folder.link("in/folder", to: "a")
            try folder.link("in/out", to: "/etc/hostname")
            try folder.link("in/dangling", to: "nothing")
            let inside = try OwnedDescriptor.open(trustedPath: folder.absolute("in"), options: .directory)
            func errno(_ path: BytePath) -> Int32? {
                do throws(SystemCallFailure) {
                    _ = try inside.open(path)
                    return nil
                } catch {
                    return error.errno
                }
            }
            #expect(errno("a/file") == nil)
            #expect(errno("a//file") == nil && errno("./a/./file") == nil)
            for path in ["link", "folder/file", "out", "dangling"] {
                #expect(errno(BytePath(path)) == ELOOP, "\(path)")
            }
            for path in ["..", "../in/a/file", "a/../../in", "/etc/hostname", "/"] {
                #expect(errno(BytePath(path)) == EXDEV, "\(path)")
            }
            #expect(errno("nothing") == ENOENT && errno("a/file/x") == ENOTDIR && errno("") == ENOENT)
            #expect(errno(BytePath(bytes: [0x61, 0])) == ENOENT)
            #expect(errno(BytePath(String(repeating: "x", count: 300))) == ENAMETOOLONG)
        }
    }

    @Test func opensAFifoWithoutWaiting() throws {
        try withTestFolder { folder in
            try folder.fifo("pipe")
            let pipe = try root(folder).open("pipe")
            #expect(try pipe.stat().kind == .fifo)
            #expect(throws: SystemCallFailure.self) { try pipe.read(at: 0, count: 1) }
        }
    }

    @Test func keepsAccessTimes() throws {
        try withTestFolder { folder in
            try folder.write("sub/file", "content")
            try folder.setTimes("sub/file", accessed: 1_000_000, modified: 2_000_000)
            let before = TreeFingerprint(folder.path)
            let directory = try root(folder).open("sub", options: [.directory, .keepAccessTime])
            #expect(try directory.listDirectory().entries.map(\.name) == ["file"])
            let file = try directory.open("file", options: .keepAccessTime)
            #expect(try file.read(at: 0, count: 100) == Array("content".utf8))
            #expect(try file.readUncached(at: 3, count: 100) == Array("tent".utf8))
            #expect(TreeFingerprint(folder.path).differences(from: before) == [])
        }
    }

    @Test func statTellsEveryKind() throws {
        try withTestFolder { folder in
            try folder.write("file", "abc", mode: 0o640)
            try folder.hardLink("second", to: "file")
            try folder.makeFolder("folder")
            try folder.link("link", to: "file")
            try folder.fifo("fifo")
            try folder.socket("socket")
            let directory = try root(folder)
            func stat(_ name: BytePath) throws -> FileStat {
                try OwnedDescriptor.open(trustedPath: folder.path).stat(of: name)
            }
            let file = try stat("file")
            #expect(file.kind == .regular && file.size == 3 && file.linkCount == 2 && file.permissions == 0o640)
            #expect(try file.key == stat("second").key)
            #expect(try stat("folder").kind == .directory && stat("link").kind == .symlink)
            #expect(try stat("fifo").kind == .fifo && stat("socket").kind == .socket)
            #expect(try directory.readLink("link") == "file")
            #expect(try directory.currentPath() == folder.path)
            let kinds = try directory.listDirectory().entries.reduce(into: [:]) { $0[$1.name] = $1.stat.kind }
            #expect(kinds.count == 6 && kinds["link"] == .symlink && kinds["fifo"] == .fifo)
        }
    }

    @Test func readsPiecesAndWholes() throws {
        try withTestFolder { folder in
            let content = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            try folder.write("file", content)
            let file = try root(folder).open("file")
            #expect(try file.read(at: 0, count: 200_000) == content)
            #expect(try file.read(at: 99_990, count: 100) == Array(content[99_990...]))
            #expect(try file.read(at: 100_000, count: 10).isEmpty && file.read(at: 1 << 40, count: 10).isEmpty)
            #expect(try file.read(at: 5, count: 0).isEmpty)
            #expect(try file.readUncached(at: 4097, count: 4096) == Array(content[4097..<8193]))
            #expect(try file.readUncached(at: 0, count: 200_000) == content)
            #expect(try file.readAll(limit: 100_000) == content && file.readAll(limit: 99_999) == nil)
        }
    }

    @Test func listsManyAndOddNames() throws {
        try withTestFolder { folder in
            var names: Set<BytePath> = [
                BytePath(bytes: [0xff, 0xfe]), "new\nline", BytePath(String(repeating: "y", count: 255)),
            ]
            // More than one buffer of the kernel's.
            for number in 0..<3000 { names.insert(BytePath("\(number)-" + String(repeating: "x", count: 60))) }
            for name in names { try folder.link(name, to: "x") }
            let listing = try root(folder).listDirectory()
            #expect(Set(listing.entries.map(\.name)) == names && listing.entries.count == names.count)
            #expect(listing.failures.isEmpty)
        }
    }

    @Test func listingWhatIsNoDirectory() throws {
        try withTestFolder { folder in
            try folder.write("file", "x")
            let file = try root(folder).open("file")
            #expect(throws: SystemCallFailure.self) { try file.listDirectory() }
        }
    }

    @Test func longestLinks() throws {
        try withTestFolder { folder in
            let text = BytePath(String(repeating: "x", count: 4095))
            try folder.link("long", to: text)
            #expect(try root(folder).readLink("long") == text)
            #expect(throws: SystemCallFailure.self) { try root(folder).readLink("nothing") }
        }
    }

    // MARK: probes

    @Test func locksAreSeen() throws {
        try withTestFolder { folder in
            try folder.write("lock", "")
            func probe() throws -> ProbeAnswer { try root(folder).open("lock").probeLocked() }
            #expect(try probe() == .free)
            let lock = try HeldLock(folder, "lock")
            #expect(try probe() == .taken)
            lock.release()
            #expect(try probe() == .free)
        }
    }

    @Test func openFilesAreSeen() throws {
        ignoreLeaseBreakSignal()
        try withTestFolder { folder in
            guard try root(folder).filesystem().kind.hasTrustworthyLeases else { return }
            try folder.write("file", "x")
            func probe() throws -> ProbeAnswer { try root(folder).open("file").probeOpenElsewhere() }
            #expect(try probe() == .free)
            let file = try HeldFile(folder, "file")
            #expect(try probe() == .taken)
            let key = try root(folder).stat(of: "file").key
            // This process's own files do not count for the scan of /proc.
            #expect(OpenFileScan.shared.answer(for: key) != .taken)
            file.release()
            #expect(try probe() == .free)
        }
    }

    @Test func processesAndHost() {
        #expect(processExists(getpid()) && processExists(1))
        #expect(!processExists(0) && !processExists(-1) && !processExists(2_147_483_646))
        #expect(!hostName().isEmpty && availableProcessors() >= 1)
        #expect(effectiveUser() == geteuid())
        #expect(monotonicNanoseconds() <= monotonicNanoseconds())
        #expect(currentTime().seconds > 1_600_000_000)
    }

    // MARK: filesystems

    @Test func filesystemOfATemporaryFolder() throws {
        try withTestFolder { folder in
            let found = try root(folder).filesystem()
            #expect(found.totalBytes >= found.availableBytes && found.totalBytes > 0 && !found.isReadOnly)
            #expect(try found.id == root(folder).filesystem().id)
        }
        let proc = try OwnedDescriptor.open(trustedPath: "/proc", options: .directory).filesystem()
        #expect(!proc.kind.hasTrustworthyLeases && !proc.kind.isNetwork)
    }

    // MARK: threads

    @Test(arguments: [1, 2, 7]) func everyItemOnceInOrder(threads: Int) {
        let calls = Atomic<Int>(0)
        let results = mapOnThreads(threads, name: "test", Array(0..<1000)) { number in
            calls.wrappingAdd(1, ordering: .relaxed)
            return number * 2
        }
        #expect(results == (0..<1000).map { $0 * 2 })
        let total = calls.load(ordering: .relaxed)
        #expect(total == 1000)
        #expect(mapOnThreads(threads, name: "test", [Int]()) { $0 }.isEmpty)
    }

    @Test func everyThreadRunsOnce() {
        let numbers = Mutex<[Int]>([])
        runOnThreads(5, name: "a name that is much too long") { number in numbers.withLock { $0.append(number) } }
        #expect(numbers.withLock { $0.sorted() } == [0, 1, 2, 3, 4])
    }

    @Test func backgroundThreadIsJoined() {
        let isDone = Atomic<Bool>(false)
        let thread = BackgroundThread(name: "test") { isDone.store(true, ordering: .relaxed) }
        thread.join()
        thread.join()
        let done = isDone.load(ordering: .relaxed)
        #expect(done)
    }

    // MARK: failures

    @Test func failuresSayWhatHappened() {
        let failure = SystemCallFailure(call: "open", errno: -EACCES, subject: "a\nb")
        #expect(failure.errno == EACCES && failure.isPermission && !failure.isAbsent)
        #expect(failure.description == "open of 'a\\x0Ab': Permission denied")
        #expect(SystemCallFailure(call: "x", errno: ENOTDIR, subject: .empty).isAbsent)
        #expect(!describeErrno(12345).isEmpty)
    }
}
