import Glibc
import HubCache
import Testing

@testable import Ledger

/// Another process that holds a lock on the database until it goes.
@safe private final class Holder {
    private let stream: UnsafeMutablePointer<FILE>?
    private var pid: Int32 = 0

    /// Returns when the lock is held, or nil without Python.
    init?(_ database: String, _ statement: String) {
        let script = """
            import os, sqlite3, sys, time
            connection = sqlite3.connect(sys.argv[1], isolation_level=None)
            connection.execute(sys.argv[2])
            print(os.getpid(), flush=True)
            time.sleep(600)
            """
        unsafe stream = popen("exec python3 -c '\(script)' '\(database)' '\(statement)'", "r")
        guard let stream = unsafe stream else { return nil }
        var line = [CChar](repeating: 0, count: 32)
        let said = unsafe line.withUnsafeMutableBufferPointer { unsafe fgets($0.baseAddress, 32, stream) != nil }
        guard said, let pid = Int32(String(decoding: line.prefix { $0 > 32 }.map { UInt8($0) }, as: UTF8.self)) else {
            return nil
        }
        self.pid = pid
    }

    func release() {
        if pid > 0 { kill(pid, SIGKILL) }
        if let stream = unsafe stream { unsafe pclose(stream) }
        pid = 0
    }
}

@Suite struct Sharing {
    let scratch = Scratch()

    @Test func aLockedWriterDoesNotStopReading() throws {
        var ledger = scratch.ledger()
        ledger.remember(digests: [content(version(7), digest(1))])
        let holder = try #require(Holder(scratch.database, "BEGIN IMMEDIATE"))
        ledger = scratch.ledger(budget: noWaiting())
        #expect(ledger.availability == .readWrite)
        #expect(ledger.digest(of: version(7), algorithm: .sha256) != nil)
        #expect(ledger.remember(digests: [content(version(8), digest(1))]) == 0)
        #expect(ledger.remember(digests: [content(version(8), digest(1))]) == 0)
        #expect(ledger.takeProblem()?.contains("is in use by another process") == true)
        #expect(ledger.takeProblem() == nil)
        holder.release()
        #expect(ledger.remember(digests: [content(version(8), digest(1))]) == 1)
    }

    @Test func aDatabaseLockedWhollyIsDoneWithout() throws {
        var ledger = scratch.ledger()
        ledger.remember(digests: [content(version(7), digest(1))])
        ledger.close()
        shell(
            "python3 -c 'import sqlite3,sys; sqlite3.connect(sys.argv[1]).execute(\"PRAGMA journal_mode=DELETE\")' '\(scratch.database)'"
        )
        let holder = try #require(Holder(scratch.database, "BEGIN EXCLUSIVE"))
        ledger = scratch.ledger(budget: noWaiting())
        #expect(ledger.availability == .unavailable(reason: "it is in use by another process"))
        #expect(ledger.digest(of: version(7), algorithm: .sha256) == nil)
        #expect(ledger.takeProblem() != nil)
        holder.release()
        #expect(scratch.ledger().digest(of: version(7), algorithm: .sha256) != nil)
        #expect(!scratch.names.contains { $0.contains("damaged") })
    }

    @Test func withoutSharedMemoryThereIsNoWriteAheadLog() {
        var ledger = scratch.ledger(sharesMemory: true)
        ledger.remember(digests: [content(version(7), digest(1))])
        #expect(scratch.names.contains("ledger.sqlite-wal"))
        ledger.close()
        ledger = scratch.ledger(sharesMemory: false)
        #expect(ledger.remember(digests: [content(version(8), digest(1))]) == 1)
        #expect(ledger.digests(onFilesystem: version(7).filesystem).count == 2)
        #expect(scratch.names == ["ledger.sqlite", "ledger.lock"])
        #expect(ledger.takeProblem() == nil)
    }

    /// A mapping of a file that the disk has no blocks for would end the process.
    @Test func onAFullDiskNothingIsMappedAndProcessesTakeTurns() throws {
        let room = Counter()
        room.value = 1 << 40
        let free: @Sendable () -> UInt64 = { UInt64(room.value) }
        func isMapped() -> Bool { output(of: "cat /proc/\(getpid())/maps").contains(scratch.path) }
        let ledger = scratch.ledger(freeBytes: free)
        ledger.remember(digests: [content(version(1), digest(1))])
        #expect(isMapped())
        room.value = 1 << 20
        #expect(ledger.digest(of: version(1), algorithm: .sha256) != nil)
        #expect(!isMapped())
        #expect(ledger.remember(digests: [content(version(2), digest(2))]) == 1)
        let other = scratch.ledger(freeBytes: free)
        #expect(other.availability == .readWrite)
        #expect(other.remember(digests: [content(version(3), digest(3))]) == 1)
        #expect(ledger.digest(of: version(3), algorithm: .sha256) != nil)
        #expect(!isMapped())

        // Another process that has it open in the usual way, and stays.
        let holder = try #require(Holder(scratch.database, "SELECT 1 FROM content"))
        let shutOut = scratch.ledger(budget: noWaiting(), freeBytes: free)
        #expect(shutOut.takeProblem()?.contains("cannot be shared while the disk it is on is full") == true)
        #expect(shutOut.digest(of: version(1), algorithm: .sha256) == nil)
        #expect(!isMapped())
        holder.release()
        let losses = ledger.losses
        room.value = 1 << 40
        #expect(ledger.remember(digests: [content(version(4), digest(4))]) == 1)
        #expect(isMapped())
        #expect(ledger.losses == losses)
        #expect(ledger.takeProblem() == nil)
        #expect(scratch.ledger().digests(onFilesystem: version(0).filesystem).count == 4)
    }

    /// What an open ledger forgot on its way is told like any other loss: nothing judged before is acted on.
    @Test func beingShutOutOnAFullDiskIsALoss() throws {
        let room = Counter()
        room.value = 1 << 40
        let ledger = scratch.ledger(budget: noWaiting(), freeBytes: { UInt64(room.value) })
        ledger.remember(digests: [content(version(1), digest(1))])
        let holder = try #require(Holder(scratch.database, "SELECT 1 FROM content"))
        room.value = 0
        #expect(ledger.digest(of: version(1), algorithm: .sha256) == nil)
        #expect(ledger.losses == 1)
        #expect(ledger.takeProblem()?.contains("in use by another process") == true)
        holder.release()
    }

    @Test func whatCannotBeLockedForOpeningIsDoneWithout() throws {
        scratch.ledger().close()
        let number = unsafe open(scratch.path + "/state/ledger.lock", O_RDWR)
        #expect(flock(number, LOCK_EX) == 0)
        let ledger = scratch.ledger(budget: noWaiting())
        #expect(ledger.availability == .unavailable(reason: "another process is busy opening it"))
        close(number)
    }

    @Test func manyThreadsShareOneLedger() async {
        let ledger = scratch.ledger()
        await withTaskGroup(of: Void.self) { group in
            for task in UInt64(0)..<8 {
                group.addTask {
                    for round in UInt64(0)..<20 {
                        let file = version(task * 1000 + round)
                        ledger.remember(digests: [content(file, digest(file.inode))])
                        #expect(ledger.digest(of: file, algorithm: .sha256)?.digest == digest(file.inode))
                    }
                }
            }
        }
        #expect(ledger.digests(onFilesystem: version(0).filesystem).count == 160)
        #expect(ledger.takeProblem() == nil)
    }

    @Test(arguments: [true, false])
    func manyLedgersShareOneFile(sharesMemory: Bool) async {
        let scratch = scratch
        await withTaskGroup(of: Void.self) { group in
            for task in UInt64(0)..<6 {
                group.addTask {
                    for round in UInt64(0)..<10 {
                        let ledger = scratch.ledger(sharesMemory: sharesMemory)
                        let file = version(task * 1000 + round)
                        #expect(ledger.remember(digests: [content(file, digest(file.inode))]) == 1)
                        if let problem = ledger.takeProblem() { Issue.record("\(problem)") }
                        if round % 2 == 0 { ledger.close() }
                    }
                }
            }
        }
        #expect(scratch.ledger().digests(onFilesystem: version(0).filesystem).count == 60)
    }

    @Test func manyLedgersTakeTurnsOnAFullDisk() async {
        let scratch = scratch
        await withTaskGroup(of: Void.self) { group in
            for task in UInt64(0)..<3 {
                group.addTask {
                    let ledger = scratch.ledger(freeBytes: { 0 })
                    for round in UInt64(0)..<10 {
                        let file = version(task * 1000 + round)
                        #expect(ledger.remember(digests: [content(file, digest(file.inode))]) == 1)
                        if let problem = ledger.takeProblem() { Issue.record("\(problem)") }
                    }
                    #expect(ledger.losses == 0)
                }
            }
        }
        #expect(scratch.ledger().digests(onFilesystem: version(0).filesystem).count == 30)
    }

    @Test func manyProcessesShareOneFile() async {
        let path = scratch.path
        await withTaskGroup(of: Void.self) { group in
            for first in [UInt64(0), 1000, 2000] {
                group.addTask {
                    await #expect(processExitsWith: .success) { [path = path as String, first = first as UInt64] in
                        for inode in first..<first + 20 {
                            let ledger = Ledger.open(directory: BytePath(path + "/state"), programVersion: "1")
                            #expect(ledger.remember(digests: [content(version(inode), digest(inode))]) == 1)
                            if let problem = ledger.takeProblem() { Issue.record("\(problem)") }
                            ledger.close()
                        }
                    }
                }
            }
        }
        let all = scratch.ledger().digests(onFilesystem: version(0).filesystem)
        #expect(all.count == 60)
        #expect(all.digest(of: version(2019), algorithm: .sha256)?.digest == digest(2019))
    }

    @Test(arguments: 1...5)
    func damageMetByManyAtOnceIsPutAsideOnce(round: Int) async {
        shell(
            "mkdir -p '\(scratch.path)/state'; printf 'garbage' > '\(scratch.database)'; chmod 600 '\(scratch.database)'"
        )
        let scratch = scratch
        await withTaskGroup(of: Void.self) { group in
            for task in UInt64(0)..<8 {
                group.addTask {
                    let ledger = scratch.ledger()
                    #expect(ledger.remember(digests: [content(version(task), digest(task))]) == 1)
                }
            }
        }
        #expect(scratch.names.filter { $0.contains("damaged") } == ["ledger.sqlite.damaged-1"])
        #expect(scratch.ledger().digests(onFilesystem: version(0).filesystem).count == 8)
    }

    @Test func damageMetInUseByManyIsPutAsideOnce() async {
        let first = scratch.ledger()
        first.remember(digests: (0..<2000).map { content(version($0), digest($0)) })
        first.close()
        shell("dd if=/dev/urandom of='\(scratch.database)' bs=4096 seek=8 count=30 conv=notrunc status=none")
        let ledgers = (0..<6).map { _ in scratch.ledger() }
        await withTaskGroup(of: Void.self) { group in
            for (index, ledger) in ledgers.enumerated() {
                group.addTask {
                    #expect(ledger.digests(onFilesystem: version(0).filesystem).count < 2000)
                    let file = version(10_000 + UInt64(index))
                    #expect(ledger.remember(digests: [content(file, digest(file.inode))]) == 1)
                }
            }
        }
        #expect(
            scratch.names.filter { $0.contains("damaged") && !$0.contains("-wal") && !$0.contains("-shm") } == [
                "ledger.sqlite.damaged-1"
            ])
        for (index, ledger) in ledgers.enumerated() {
            let file = version(10_000 + UInt64(index))
            #expect(ledger.digest(of: file, algorithm: .sha256)?.digest == digest(file.inode))
        }
    }
}
