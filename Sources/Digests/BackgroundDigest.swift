internal import Glibc
internal import LinuxIO
internal import Synchronization

/// A digest that a thread of its own computes while the caller receives more, through a few buffers that go round.
public final class BackgroundDigest: Sendable {
    private let queue: BufferQueue
    private let thread: BackgroundThread

    /// How many buffers may wait: with those of usual size some megabytes.
    private static let bufferCount = 8

    /// Starts the thread.
    ///
    /// - Parameter digest: of what came before.
    public init(_ digest: consuming StreamingDigest) {
        let queue = BufferQueue(digest, buffers: Self.bufferCount)
        self.queue = queue
        thread = BackgroundThread(name: "hfj-digest") { queue.work() }
        // Where there is no room for a thread, `update` does the work.
        if !thread.isStarted { queue.isInline.store(true, ordering: .relaxed) }
    }

    deinit { end() }

    /// Adds the next piece, waiting while too many are waiting already. Called by one thread at a time.
    ///
    /// - Returns: an empty buffer for the next one.
    public func update(_ bytes: [UInt8]) -> [UInt8] { queue.put(bytes) }

    /// The digest, once all that was added is in it. To be asked once.
    public func finish() -> StreamingDigest? {
        end()
        return queue.takeDigest()
    }

    private func end() {
        queue.close()
        thread.join()
    }
}

/// The buffers, and the digest while nobody works on it.
private final class BufferQueue: Sendable {
    private struct State: ~Copyable {
        var digest: StreamingDigest?
        var filled: [[UInt8]] = []
        var empty: [[UInt8]] = []
    }

    let isInline = Atomic<Bool>(false)
    private let state: Mutex<State>
    private let room: CountingSemaphore
    private let filledCount: CountingSemaphore

    init(_ digest: consuming StreamingDigest, buffers: Int) {
        state = Mutex(State(digest: digest))
        room = CountingSemaphore(buffers)
        filledCount = CountingSemaphore(0)
    }

    func put(_ bytes: [UInt8]) -> [UInt8] {
        if isInline.load(ordering: .relaxed) {
            state.withLock { $0.digest?.update(bytes.span) }
            return []
        }
        room.wait()
        let empty = state.withLock { state in
            state.filled.append(bytes)
            return state.empty.popLast() ?? []
        }
        filledCount.signal()
        return empty
    }

    /// What comes without a buffer is the end.
    func close() { filledCount.signal() }

    func takeDigest() -> StreamingDigest? { state.withLock { $0.digest.take() } }

    /// Until it is closed and all is done.
    func work() {
        var digest = takeDigest()
        while true {
            filledCount.wait()
            let next = state.withLock { $0.filled.isEmpty ? nil : $0.filled.removeFirst() }
            guard var bytes = next else { break }
            digest?.update(bytes.span)
            bytes.removeAll(keepingCapacity: true)
            state.withLock { $0.empty.append(bytes) }
            room.signal()
        }
        state.withLock { $0.digest = digest.take() }
    }
}

/// sem_overview(7).
@safe private final class CountingSemaphore: @unchecked Sendable {
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
