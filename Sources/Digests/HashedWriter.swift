internal import Glibc
public import LinuxIO
internal import Synchronization

/// Writes a file and computes its digest, each on a thread of its own, while the caller receives more: through a few buffers that
/// go round.
public final class HashedWriter: Sendable {
    private let slots: [Slot]
    private let hashing = Station(name: "hfj-digest")
    private let writing = Station(name: "hfj-write")
    private let work: Work
    private let filling: Mutex<Filling>

    private struct Filling {
        /// Which buffer is being filled, counted from the first; the next one where none is.
        var number = 0
        var isHeld = false
        /// How much goes into it.
        var limit: Int
        var isEnded = false
    }

    /// With these the disk and the digest each have something to do while the other one waits.
    private static let bufferCount = 8
    private static let bufferSize = 1 << 20

    /// Starts the threads.
    ///
    /// - Parameters:
    ///   - file: where to write, at its place, which is `offset`.
    ///   - digest: of what came before.
    ///   - written: called after each piece, on another thread.
    public init(
        _ file: SharedDescriptor, at offset: UInt64, _ digest: consuming StreamingDigest,
        written: @escaping @Sendable () -> Void
    ) {
        // Only the first one is shorter, so that all others begin where direct I/O may.
        let limit = Self.bufferSize - Int(offset % UInt64(CacheNeutralWriter.alignment))
        filling = Mutex(Filling(limit: limit))
        slots = (0..<Self.bufferCount).map { _ in Slot(capacity: Self.bufferSize) }
        work = Work(digest, CacheNeutralWriter(file, at: offset), written)
        let (slots, work) = (slots, work)
        hashing.start(slots) { slot in work.hash(slot) }
        writing.start(slots) { slot in work.write(slot) }
    }

    deinit { end() }

    /// Takes the next bytes, waiting while too many are on their way already. Called by one thread at a time.
    ///
    /// - Throws: `SystemCallFailure` as write(2), of these or earlier bytes.
    public func append(_ bytes: Span<UInt8>) throws(SystemCallFailure) {
        try filling.withLock { (filling) throws(SystemCallFailure) in
            var index = 0
            while index < bytes.count {
                let slot = slots[filling.number % slots.count]
                if !filling.isHeld { take(slot) }
                filling.isHeld = true
                index += slot.buffer.append(bytes.extracting(droppingFirst: index), upTo: filling.limit)
                if slot.buffer.count < filling.limit { break }
                handOver(&filling)
                if let failure { throw failure }
            }
        }
    }

    /// Waits until all is written and hashed, and ends the threads.
    ///
    /// - Returns: the digest; nil when asked a second time.
    public func finish() -> StreamingDigest? {
        end()
        return work.takeDigest()
    }

    /// Why something could not be written.
    public var failure: SystemCallFailure? { work.failure }

    private func take(_ slot: Slot) {
        hashing.waitUntilFree()
        writing.waitUntilFree()
        slot.buffer.empty()
    }

    private func handOver(_ filling: inout Filling) {
        let slot = slots[filling.number % slots.count]
        filling.number += 1
        filling.isHeld = false
        filling.limit = Self.bufferSize
        hashing.fill(slot)
        writing.fill(slot)
    }

    private func end() {
        filling.withLock { filling in
            if filling.isEnded { return }
            filling.isEnded = true
            if filling.isHeld { handOver(&filling) }
            // An empty buffer is the end.
            take(slots[filling.number % slots.count])
            handOver(&filling)
        }
        hashing.join()
        writing.join()
        work.endWriting()
    }
}

/// One of the buffers.
///
/// Whoever has it is settled by the stations' semaphores: the caller alone changes it, and only when both have done with it.
private final class Slot: @unchecked Sendable {
    var buffer: PageBuffer

    init(capacity: Int) { buffer = PageBuffer(capacity: capacity) }
}

/// What is done to every buffer.
private final class Work: Sendable {
    private let digest: Mutex<StreamingDigest?>
    private let writer: Mutex<CacheNeutralWriter>
    private let firstFailure = Mutex<SystemCallFailure?>(nil)
    private let written: @Sendable () -> Void

    init(
        _ digest: consuming StreamingDigest, _ writer: consuming CacheNeutralWriter,
        _ written: @escaping @Sendable () -> Void
    ) {
        self.digest = Mutex(digest)
        self.writer = Mutex(writer)
        self.written = written
    }

    var failure: SystemCallFailure? { firstFailure.withLock(\.self) }

    func takeDigest() -> StreamingDigest? { digest.withLock { $0.take() } }

    func hash(_ slot: Slot) {
        digest.withLock { digest in slot.buffer.withBytes { bytes in digest?.update(bytes) } }
    }

    func endWriting() { writer.withLock { $0.end() } }

    func write(_ slot: Slot) {
        // What comes after a hole would be worth nothing.
        if failure != nil { return }
        do throws(SystemCallFailure) {
            try writer.withLock { (writer) throws(SystemCallFailure) in try writer.write(slot.buffer) }
            written()
        } catch {
            firstFailure.withLock { [error] in $0 = error }
        }
    }
}

/// A thread that every buffer goes through, in their order.
private final class Station: Sendable {
    private let name: String
    private let filled = Semaphore(0)
    private let free = Semaphore(0)
    private let state = Mutex<State>(State())

    private struct State {
        var thread: BackgroundThread?
        /// Does the work where there was no room for a thread.
        var inline: (@Sendable (Slot) -> Void)?
    }

    init(name: String) { self.name = name }

    func start(_ slots: [Slot], _ work: @escaping @Sendable (Slot) -> Void) {
        for _ in slots { free.signal() }
        let (filled, free) = (filled, free)
        let thread = BackgroundThread(name: name) {
            var number = 0
            while true {
                filled.wait()
                let slot = slots[number % slots.count]
                if slot.buffer.count == 0 { return }
                work(slot)
                free.signal()
                number += 1
            }
        }
        state.withLock { state in
            state.thread = thread
            if !thread.isStarted { state.inline = work }
        }
    }

    func waitUntilFree() { free.wait() }

    func fill(_ slot: Slot) {
        if let work = state.withLock(\.inline) {
            if slot.buffer.count > 0 { work(slot) }
            free.signal()
        } else {
            filled.signal()
        }
    }

    func join() { state.withLock(\.thread)?.join() }
}

/// sem_overview(7).
@safe private final class Semaphore: @unchecked Sendable {
    // Made in init, freed in deinit, never handed out; semaphores are for many threads.
    private let semaphore: UnsafeMutablePointer<sem_t>

    init(_ value: Int) {
        unsafe semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
        unsafe semaphore.initialize(to: sem_t())
        unsafe sem_init(semaphore, 0, UInt32(value))
    }

    deinit {
        unsafe sem_destroy(semaphore)
        unsafe semaphore.deallocate()
    }

    func wait() { while unsafe sem_wait(semaphore) != 0 && errno == EINTR {} }

    func signal() { unsafe sem_post(semaphore) }
}
