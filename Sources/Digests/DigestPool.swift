internal import Glibc
internal import HubCache
public import LinuxIO
internal import Synchronization

/// Computes the digests of many files on threads of its own, as fast as the machine can.
///
/// Each thread works on up to two files at a time, whose SHA-256 it computes side by side where the processor has SHA
/// instructions. The longest files come first, so that no thread is left with a long one in the end. Files are read so that
/// the page cache stays as it was: see `CacheNeutralReader`. Memory is two buffers of 4 MiB for each thread, whatever the
/// files.
public struct DigestPool: Sendable {
    /// How many files are worked on at a time, at most, is twice this.
    public var threads: Int
    /// Which code computes the digests.
    public var implementation: DigestImplementation
    /// The most bytes read per second by all threads together; nil for no limit.
    public var bytesPerSecond: UInt64?
    /// Asked between two reads, from several threads, whether to stand back; nothing is read while it says so.
    public var mustPause: (@Sendable () -> Bool)?

    /// Makes a pool. Nothing runs before `run`.
    ///
    /// - Parameter threads: by default one for each processor; at least one.
    public init(
        threads: Int = availableProcessors(), implementation: DigestImplementation = .automatic,
        bytesPerSecond: UInt64? = nil
    ) {
        self.threads = max(1, threads)
        self.implementation = implementation
        self.bytesPerSecond = bytesPerSecond
    }

    /// Does the jobs, and returns when each has its outcome.
    ///
    /// It blocks the calling thread, which is one of those that work: call it on a thread of your own. Cancelled, it ends
    /// when each thread has hashed what it has read, at most 8 MiB, unless the disk takes longer to answer.
    ///
    /// - Parameters:
    ///   - cancellation: ends the run early; jobs not done by then are `.cancelled`.
    ///   - progress: counts the bytes hashed.
    ///   - deliver: called once for each job with its `id`, as soon as it has ended, on the thread that did it; calls come
    ///     from several threads at a time.
    public func run(
        _ jobs: [DigestJob], cancellation: Cancellation = Cancellation(), progress: DigestProgress = DigestProgress(),
        deliver: @escaping @Sendable (Int, DigestOutcome) -> Void
    ) {
        let threads = min(self.threads, max(1, jobs.count))
        let limit =
            bytesPerSecond == nil && mustPause == nil
            ? nil : RateLimit(bytesPerSecond: bytesPerSecond ?? .max, mustPause: mustPause)
        let run = DigestRun(
            queue: JobQueue(jobs, workers: threads), implementation: implementation, cancellation: cancellation,
            progress: progress, limit: limit, deliver: deliver)
        runOnThreads(threads, name: "hfj-digest") { index in DigestWorker(run: run, index: index).work() }
    }
}

/// What the threads of one run share.
private final class DigestRun: Sendable {
    let queue: Mutex<JobQueue>
    let implementation: DigestImplementation
    let cancellation: Cancellation
    let progress: DigestProgress
    let limit: RateLimit?
    let deliver: @Sendable (Int, DigestOutcome) -> Void

    init(
        queue: JobQueue, implementation: DigestImplementation, cancellation: Cancellation, progress: DigestProgress,
        limit: RateLimit?, deliver: @escaping @Sendable (Int, DigestOutcome) -> Void
    ) {
        self.queue = Mutex(queue)
        self.implementation = implementation
        self.cancellation = cancellation
        self.progress = progress
        self.limit = limit
        self.deliver = deliver
    }
}

/// One look at a job's file, on its way.
private struct Look: ~Copyable {
    let job: DigestJob
    /// The version that it must be before and after.
    let version: FileStat
    /// Whether the file has already changed once under a look: the next time is the last.
    let hasChanged: Bool
    /// What the first look found, when this is the second.
    let firstDigest: ContentDigest?
    /// Bytes read by looks before this one.
    let bytesBefore: UInt64
    var reader: CacheNeutralReader
    var digest: StreamingDigest

    var bytesRead: UInt64 { bytesBefore + reader.offset }
}

/// Where one of a thread's two files is worked on.
private final class Lane {
    var look: Look?
    var buffer = PageBuffer()
    /// How many of the buffer's bytes have been hashed.
    var hashed = 0

    var rest: Int { buffer.count - hashed }
}

/// One thread's part of a run.
private final class DigestWorker {
    private let run: DigestRun
    private let index: Int
    private let first = Lane()
    private let second = Lane()

    init(run: DigestRun, index: Int) {
        self.run = run
        self.index = index
    }

    func work() {
        while true {
            fill(first)
            fill(second)
            if first.look == nil && second.look == nil { return }
            hash()
        }
    }

    /// Sees to it that a lane has bytes to hash, unless no job is left.
    private func fill(_ lane: Lane) {
        while lane.rest == 0 {
            if lane.look == nil {
                guard let job = run.queue.withLock({ $0.take(worker: index) }) else { return }
                lane.look = begin(job)
            }
            guard var look = lane.look.take() else { continue }
            if run.cancellation.isCancelled {
                end(look.job, .cancelled)
                continue
            }
            lane.hashed = 0
            let count: Int
            do throws(SystemCallFailure) {
                count = try look.reader.read(into: &lane.buffer)
            } catch {
                end(look.job, .failed(error, offset: look.reader.offset))
                continue
            }
            if count > 0 {
                run.limit?.wait(for: count, cancellation: run.cancellation)
                lane.look = consume look
            } else {
                lane.look = finish(look)
            }
        }
    }

    private func end(_ job: DigestJob, _ outcome: DigestOutcome) {
        run.queue.withLock { $0.end(job) }
        run.deliver(job.id, outcome)
    }

    /// The first look at a job's file; nil where the job has ended with it.
    private func begin(_ job: DigestJob) -> Look? {
        if run.cancellation.isCancelled {
            end(job, .cancelled)
            return nil
        }
        return look(at: job, version: job.expected)
    }

    /// Opens a job's file.
    ///
    /// - Parameter version: what it must be; nil to take it as it is, for the last time.
    private func look(
        at job: DigestJob, version: FileStat?, after firstDigest: ContentDigest? = nil, hasChanged: Bool = false,
        bytesBefore: UInt64 = 0
    ) -> Look? {
        do throws(SystemCallFailure) {
            let descriptor = try job.open()
            let stat = try descriptor.stat()
            let isOther = version.map { !stat.isSameVersion(as: $0) } ?? false
            guard stat.kind == .regular, !(isOther && hasChanged) else {
                end(job, .changed)
                return nil
            }
            var (firstDigest, hasChanged) = (firstDigest, hasChanged)
            if isOther {
                // What was found of the other version says nothing about this one.
                firstDigest = nil
                hasChanged = true
            }
            return Look(
                job: job, version: stat, hasChanged: hasChanged, firstDigest: firstDigest, bytesBefore: bytesBefore,
                reader: CacheNeutralReader(descriptor, stat: stat, direct: firstDigest != nil),
                digest: StreamingDigest(job.algorithm, length: stat.size, implementation: run.implementation))
        } catch {
            end(job, .failed(error, offset: 0))
            return nil
        }
    }

    /// Ends a look that has come to the end of its file: with the job's outcome, or with another look.
    private func finish(_ look: consuming Look) -> Look? {
        let (job, version, firstDigest, hasChanged) = (look.job, look.version, look.firstDigest, look.hasChanged)
        let (offset, bytesRead) = (look.reader.offset, look.bytesRead)
        let after: FileStat
        do throws(SystemCallFailure) { after = try look.reader.stat() } catch {
            end(job, .failed(error, offset: offset))
            return nil
        }
        guard after.isSameVersion(as: version) else {
            if !hasChanged { return self.look(at: job, version: nil, hasChanged: true, bytesBefore: bytesRead) }
            end(job, .changed)
            return nil
        }
        let digest: ContentDigest
        do throws(DigestLengthMismatch) { digest = try look.digest.finish() } catch {
            // A filesystem that gives less than it says, and does not call that an error.
            end(job, .failed(SystemCallFailure(call: "read", errno: ENODATA, subject: .empty), offset: offset))
            return nil
        }
        if let firstDigest, firstDigest != digest {
            end(job, .inconsistent(first: firstDigest, second: digest))
            return nil
        }
        if firstDigest == nil, let accept = job.accept, !accept(digest) {
            return self.look(
                at: job, version: version, after: digest, hasChanged: hasChanged, bytesBefore: bytesRead)
        }
        let result = FileDigest(
            digest: digest, version: version, bytesRead: bytesRead, isConfirmedTwice: firstDigest != nil)
        end(job, .digest(result))
        return nil
    }

    /// Hashes what the lanes hold: side by side as far as both have bytes, or all of what each has.
    private func hash() {
        var one = first.look.take()
        var two = second.look.take()
        if one?.digest.isInterleavable == true, two?.digest.isInterleavable == true {
            let count = min(first.rest, second.rest)
            if var left = one.take(), var right = two.take() {
                first.buffer.withBytes { leftBytes in
                    second.buffer.withBytes { rightBytes in
                        StreamingDigest.update(
                            &left.digest, leftBytes.extracting(first.hashed..<first.hashed + count),
                            &right.digest, rightBytes.extracting(second.hashed..<second.hashed + count))
                    }
                }
                one = consume left
                two = consume right
            }
            first.hashed += count
            second.hashed += count
            run.progress.add(2 * count)
        } else {
            one = hash(one, first)
            two = hash(two, second)
        }
        first.look = consume one
        second.look = consume two
    }

    private func hash(_ look: consuming Look?, _ lane: Lane) -> Look? {
        guard var look = consume look else { return nil }
        let count = lane.rest
        lane.buffer.withBytes { look.digest.update($0.extracting(lane.hashed..<lane.hashed + count)) }
        lane.hashed += count
        run.progress.add(count)
        return look
    }
}
