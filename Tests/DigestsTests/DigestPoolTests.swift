import HubCache
import LinuxIO
import Synchronization
import TestSupport
import Testing

@testable import Digests

/// What a run delivered, by job.
private final class Outcomes: Sendable {
    private let all = Mutex<[Int: [DigestOutcome]]>([:])

    func add(_ id: Int, _ outcome: DigestOutcome) { all.withLock { $0[id, default: []].append(outcome) } }

    var byJob: [Int: [DigestOutcome]] { all.withLock { $0 } }
}

/// Runs jobs and returns their outcomes; each job must have one.
private func run(
    _ jobs: [DigestJob], pool: DigestPool = DigestPool(threads: 2), cancellation: Cancellation = Cancellation(),
    progress: DigestProgress = DigestProgress(), onOutcome: @escaping @Sendable (Int) -> Void = { _ in }
) -> [Int: DigestOutcome] {
    let outcomes = Outcomes()
    pool.run(jobs, cancellation: cancellation, progress: progress) { id, outcome in
        outcomes.add(id, outcome)
        onOutcome(id)
    }
    #expect(outcomes.byJob.count == jobs.count)
    return outcomes.byJob.compactMapValues { delivered in
        #expect(delivered.count == 1)
        return delivered.first
    }
}

private func job(
    _ folder: DataFolder, _ name: String, id: Int = 0, algorithm: DigestAlgorithm = .sha256, device: UInt64? = nil,
    accept: (@Sendable (ContentDigest) -> Bool)? = nil
) throws -> DigestJob {
    let expected = try folder.stat(name)
    return DigestJob(id: id, algorithm: algorithm, expected: expected, device: device, accept: accept) {
        () throws(SystemCallFailure) in try folder.open(name)
    }
}

extension DigestOutcome {
    fileprivate var fileDigest: FileDigest? { if case .digest(let digest) = self { digest } else { nil } }
}

/// Random bytes, made fast enough for millions of them in a debug build.
private func content(_ count: Int, seed: Int) -> [UInt8] {
    var generator = SeededGenerator(state: UInt64(seed))
    let piece = randomBytes(min(count, 8191), &generator)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + piece.count)
    while bytes.count < count { bytes += piece }
    return Array(bytes.prefix(count))
}

@Suite(.timeLimit(.minutes(5))) struct DigestPoolTests {
    @Test func noJobs() { #expect(run([]).isEmpty) }

    @Test(arguments: [1, 2, 3, 8], DigestImplementation.allCases)
    func twoBigOnesAndManySmallOnes(_ threads: Int, _ implementation: DigestImplementation) throws {
        let folder = DataFolder()
        var lengths = [(9 << 20) + 13, (8 << 20) + 1]
        lengths += [0, 1, 55, 56, 63, 64, 65, 119, 4095, 4096, 4097, 70_000, 1 << 20]
        lengths += (0..<60).map { $0 * 37 }
        var jobs: [DigestJob] = []
        var expected: [ContentDigest] = []
        for (id, length) in lengths.enumerated() {
            let bytes = content(length, seed: id)
            folder.write("\(id)", bytes)
            let algorithm: DigestAlgorithm = id % 3 == 2 ? .gitSHA1 : .sha256
            jobs.append(try job(folder, "\(id)", id: id, algorithm: algorithm, device: UInt64(id % 4 / 3)))
            expected.append(try digest(algorithm, of: bytes))
        }
        let progress = DigestProgress()

        let outcomes = run(
            jobs, pool: DigestPool(threads: threads, implementation: implementation), progress: progress)

        for id in lengths.indices {
            let found = try #require(outcomes[id]?.fileDigest, "\(String(describing: outcomes[id]))")
            #expect(found.digest == expected[id], "\(lengths[id]) bytes")
            #expect(found.version.isSameVersion(as: jobs[id].expected))
            #expect(found.bytesRead == UInt64(lengths[id]))
            #expect(!found.isConfirmedTwice)
        }
        #expect(progress.bytesHashed == UInt64(lengths.reduce(0, +)))
    }

    @Test func manyTinyJobs() throws {
        let folder = DataFolder(below: "/dev/shm")
        folder.write("tiny", [1, 2, 3])
        let one = try job(folder, "tiny")
        let jobs = (0..<5000).map { id in
            var job = one
            job.id = id
            return job
        }
        let expected = try digest(.sha256, of: [1, 2, 3])
        #expect(run(jobs).values.allSatisfy { $0.fileDigest?.digest == expected })
    }

    @Test func anAcceptedDigestIsReadOnce() throws {
        let folder = DataFolder()
        let bytes = content(100_000, seed: 1)
        folder.write("file", bytes)
        let right = try digest(.sha256, of: bytes)
        let outcome = run([try job(folder, "file") { $0 == right }])[0]
        #expect(outcome?.fileDigest?.isConfirmedTwice == false)
        #expect(outcome?.fileDigest?.bytesRead == 100_000)
    }

    @Test(arguments: DigestAlgorithm.allCases, [nil, "/dev/shm"])
    func aRefusedDigestIsConfirmedByASecondLook(_ algorithm: DigestAlgorithm, _ parent: String?) throws {
        let folder = DataFolder(below: parent)
        let bytes = content(100_001, seed: 1)
        folder.write("file", bytes)
        let outcome = run([try job(folder, "file", algorithm: algorithm) { _ in false }])[0]
        let found = try #require(outcome?.fileDigest)
        #expect(found.digest == (try digest(algorithm, of: bytes)))
        #expect(found.isConfirmedTwice)
        #expect(found.bytesRead == 200_002)
    }

    @Test func twoLooksThatDisagree() throws {
        // Other content of the very same version, as from bad memory.
        let folder = DataFolder(below: "/dev/shm")
        let good = content(50_000, seed: 1)
        var bad = good
        bad[20_000] ^= 1
        folder.write("file", good)
        let flipped = bad[20_000]
        let mapped = MappedByte(of: folder, "file", at: 20_000)
        let disagreeing = try job(folder, "file") { _ in
            mapped.store(flipped)
            return false
        }
        #expect(
            run([disagreeing])[0]
                == .inconsistent(first: try digest(.sha256, of: good), second: try digest(.sha256, of: bad)))
    }

    @Test func aFileThatGrowsOnceIsReadAgain() throws {
        let folder = DataFolder()
        let bytes = content(70_000, seed: 1)
        folder.write("file", Array(bytes.prefix(60_000)))
        let looks = Atomic<Int>(0)
        let growing = try job(folder, "file") { _ in
            // Between the first and the second look.
            if looks.wrappingAdd(1, ordering: .relaxed).oldValue == 0 {
                folder.append("file", Array(bytes.dropFirst(60_000)))
            }
            return false
        }
        let found = try #require(run([growing])[0]?.fileDigest)
        #expect(found.digest == (try digest(.sha256, of: bytes)))
        #expect(found.version.size == 70_000)
        #expect(found.isConfirmedTwice)
        #expect(looks.load(ordering: .relaxed) == 2)
    }

    @Test(arguments: [0, 10, 90_000]) func aFileThatChangesAgain(_ size: Int) throws {
        let folder = DataFolder()
        folder.write("file", content(60_000, seed: 1))
        let looks = Atomic<Int>(0)
        let changing = try job(folder, "file") { _ in
            folder.resize("file", to: size + looks.wrappingAdd(1, ordering: .relaxed).oldValue)
            return false
        }
        #expect(run([changing])[0] == .changed)
        #expect(looks.load(ordering: .relaxed) == 2)
    }

    @Test func aFileThatChangesWhileItIsRead() throws {
        let folder = DataFolder()
        folder.write("file", content(60_000, seed: 1))
        var changing = try job(folder, "file")
        let looks = Atomic<Int>(0)
        // Opened for the look, changed before the first byte is read: the version is then no longer that of the job.
        changing.open = { () throws(SystemCallFailure) in
            let descriptor = try folder.open("file")
            folder.append("file", [UInt8(looks.wrappingAdd(1, ordering: .relaxed).oldValue)])
            return descriptor
        }
        let found = try #require(run([changing])[0]?.fileDigest)
        #expect(found.version.size == 60_001)
        #expect(!found.version.isSameVersion(as: changing.expected))
    }

    @Test func aFileThatIsAnotherByNow() throws {
        let folder = DataFolder()
        let bytes = content(5000, seed: 2)
        folder.write("file", content(60_000, seed: 1))
        let stale = try job(folder, "file")
        folder.write("file", bytes)
        let found = try #require(run([stale])[0]?.fileDigest)
        #expect(found.digest == (try digest(.sha256, of: bytes)))
        #expect(found.version.size == 5000)
    }

    @Test func aFolderInAFilesPlace() throws {
        let folder = DataFolder()
        folder.write("file", [1])
        var wrong = try job(folder, "file")
        wrong.open = { () throws(SystemCallFailure) in
            try OwnedDescriptor.open(trustedPath: BytePath(folder.path), options: .directory)
        }
        #expect(run([wrong])[0] == .changed)
    }

    @Test func aFileThatIsGone() throws {
        let folder = DataFolder()
        folder.write("file", [1])
        var gone = try job(folder, "file")
        gone.open = { () throws(SystemCallFailure) in try folder.open("elsewhere") }
        let fine = try job(folder, "file", id: 1)
        let outcomes = run([gone, fine])
        guard case .failed(let failure, offset: 0) = outcomes[0] else {
            Issue.record("\(String(describing: outcomes[0]))")
            return
        }
        #expect(failure.isAbsent)
        #expect(outcomes[1]?.fileDigest != nil)
    }

    // sysfs says 4096 bytes of every file. The loopback device has no speed to be read, and its number is short.
    @Test(arguments: [("/sys/class/net/lo/speed", 22, true), ("/sys/class/net/lo/ifindex", 61, false)])
    func aFileThatCannotBeRead(_ path: String, _ errno: Int32, _ failsAtOnce: Bool) throws {
        guard let stat = try? OwnedDescriptor.open(trustedPath: BytePath(path)).stat(), stat.size > 100 else {
            try Test.cancel("there is no \(path) here")
        }
        let unreadable = DigestJob(id: 0, algorithm: .sha256, expected: stat) { () throws(SystemCallFailure) in
            try OwnedDescriptor.open(trustedPath: BytePath(path))
        }
        let outcome = run([unreadable])[0]
        guard case .failed(let failure, let offset) = outcome else {
            Issue.record("\(String(describing: outcome))")
            return
        }
        #expect(failure.errno == errno)
        #expect((offset == 0) == failsAtOnce)
    }

    @Test func cancelledBeforeItBegins() throws {
        let folder = DataFolder()
        folder.write("file", content(1000, seed: 1))
        let jobs = try (0..<20).map { try job(folder, "file", id: $0) }
        let cancellation = Cancellation()
        cancellation.cancel()
        let progress = DigestProgress()
        #expect(run(jobs, cancellation: cancellation, progress: progress).values.allSatisfy { $0 == .cancelled })
        #expect(progress.bytesHashed == 0)
    }

    @Test(arguments: [nil, 1] as [UInt64?]) func cancelledOnTheWay(_ bytesPerSecond: UInt64?) throws {
        let folder = DataFolder()
        // Holes that take minutes to hash: only cancelling ends it.
        folder.resize("huge", to: 64 << 30)
        let cancellation = Cancellation()
        let opened = Atomic<Int>(0)
        // Unlimited, when all four lanes have a job; limited, when one thread has one and sleeps on it.
        let last = bytesPerSecond == nil ? 4 : 2
        let stat = try folder.stat("huge")
        let jobs = (0..<6).map { id in
            DigestJob(id: id, algorithm: .sha256, expected: stat) { () throws(SystemCallFailure) in
                if opened.wrappingAdd(1, ordering: .relaxed).newValue == last { cancellation.cancel() }
                return try folder.open("huge")
            }
        }
        let outcomes = run(
            jobs, pool: DigestPool(threads: 2, bytesPerSecond: bytesPerSecond), cancellation: cancellation)
        #expect(outcomes.values.allSatisfy { $0 == .cancelled })
    }

    @Test func aLimitedRunReadsTheSame() throws {
        let folder = DataFolder()
        let bytes = content(300_000, seed: 1)
        folder.write("file", bytes)
        let pool = DigestPool(threads: 2, bytesPerSecond: 10_000_000)
        let outcomes = run([try job(folder, "file"), try job(folder, "file", id: 1)], pool: pool)
        let expected = try digest(.sha256, of: bytes)
        #expect(outcomes.values.allSatisfy { $0.fileDigest?.digest == expected })
    }

    @Test func leavesThePageCacheAsItWas() throws {
        let folder = DataFolder()
        let length = (5 << 20) + 77
        let bytes = content(length, seed: 1)
        for name in ["cold", "warm"] {
            folder.write(name, bytes)
            folder.chill(name)
        }
        guard try folder.residentPages("cold") == 0 else {
            try Test.cancel("the filesystem of \(folder.path) does not let its pages be dropped")
        }
        // The kernel may reclaim pages meanwhile: a run that is to blame is to blame each time.
        var (warmPages, after, attempts) = (Int64(-1), Int64(-2), 0)
        while warmPages != after, attempts < 4 {
            attempts += 1
            folder.warm("warm", bytes: length)
            warmPages = try folder.residentPages("warm")
            let outcomes = run(try [job(folder, "cold") { _ in false }, job(folder, "warm", id: 1) { _ in false }])
            #expect(outcomes.values.allSatisfy { $0.fileDigest?.isConfirmedTwice == true })
            #expect(try folder.residentPages("cold") == 0)
            after = try folder.residentPages("warm")
        }
        #expect(after == warmPages)
    }
}

@Suite struct JobQueueTests {
    private func job(_ id: Int, size: UInt64, device: UInt64) -> DigestJob {
        let stat = FileStat(
            key: FileKey(device: device, inode: 1), kind: .regular, permissions: 0, linkCount: 1, uid: 0, gid: 0,
            size: size, allocated: 0, accessed: Timestamp(nanoseconds: 0), modified: Timestamp(nanoseconds: 0),
            changed: Timestamp(nanoseconds: 0))
        return DigestJob(id: id, algorithm: .sha256, expected: stat) { () throws(SystemCallFailure) in
            throw SystemCallFailure(call: "open", errno: 2, subject: .empty)
        }
    }

    @Test func longestFirstAndOneOfThemForEachThread() {
        var queue = JobQueue([10, 40, 30, 20, 30].enumerated().map { job($0, size: $1, device: 1) }, workers: 2)
        // The first thread's second job is the third longest: the second longest waits for the second thread.
        #expect(queue.take(worker: 0)?.id == 1)
        #expect(queue.take(worker: 0)?.id == 4)
        #expect(queue.take(worker: 1)?.id == 2)
        #expect(queue.take(worker: 1)?.id == 3)
        #expect(queue.take(worker: 1)?.id == 0)
        #expect(queue.take(worker: 1) == nil)
    }

    @Test func aThreadThatNeverComesLosesItsJob() {
        var queue = JobQueue([1, 2, 3].enumerated().map { job($0, size: $1, device: 1) }, workers: 3)
        #expect((0..<4).map { _ in queue.take(worker: 0)?.id } == [2, 0, 1, nil])
    }

    @Test func spreadsOverDevices() {
        var queue = JobQueue(
            [
                job(0, size: 9, device: 1), job(1, size: 8, device: 1), job(2, size: 1, device: 2),
                job(3, size: 7, device: 1),
            ],
            workers: 1)
        let big = queue.take(worker: 0)
        #expect(big?.id == 0)
        #expect(queue.take(worker: 0)?.id == 2)
        if let big { queue.end(big) }
        #expect(queue.take(worker: 0)?.id == 1)
    }
}
