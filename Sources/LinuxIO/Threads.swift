internal import CLinux
internal import Glibc
internal import Synchronization

/// Runs a body on several threads of the operating system's and waits until all of them have returned.
///
/// Blocking work (walking, hashing) runs here and never on Swift's cooperative pool, whose few threads everybody shares.
///
/// - Parameters:
///   - count: how many threads; with one, the body runs on the caller's.
///   - name: their name in ps and top, at most 15 bytes.
///   - body: called once a thread with its number, 0 and up.
public func runOnThreads(_ count: Int, name: String, _ body: @escaping @Sendable (Int) -> Void) {
    guard count > 1 else {
        body(0)
        return
    }
    var threads: [pthread_t] = []
    for number in 1..<count {
        // Where there is no room for another thread, the ones there are do the work.
        if let thread = startThread(name: name, { body(number) }) { threads.append(thread) }
    }
    body(0)
    for thread in threads { pthread_join(thread, nil) }
}

/// Lets this process open as many files as it may: every thread holds one descriptor for each folder it is in, and the usual
/// soft limit of 1024 is soon reached on a machine with many processors.
public func raiseDescriptorLimit() {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}

private final class ThreadStart: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}

/// Works through items on several threads, each item once, in order of their start, and returns the results in the
/// items' order.
///
/// - Parameters:
///   - threads: how many threads at most.
///   - items: the work.
///   - work: called for every item, on any thread.
public func mapOnThreads<Item: Sendable, Result: Sendable>(
    _ threads: Int, name: String, _ items: [Item], _ work: @escaping @Sendable (Item) -> Result
) -> [Result] {
    let next = Counter()
    let results = ResultSlots<Result>(count: items.count)
    runOnThreads(min(threads, items.count), name: name) { _ in
        while true {
            let index = next.take()
            guard index < items.count else { return }
            results.put(work(items[index]), at: index)
        }
    }
    return results.all()
}

private final class Counter: Sendable {
    private let value = Atomic<Int>(0)

    func take() -> Int { value.wrappingAdd(1, ordering: .relaxed).oldValue }
}

private final class ResultSlots<Result: Sendable>: Sendable {
    private let slots: Mutex<[Result?]>

    init(count: Int) { slots = Mutex(Array(repeating: nil, count: count)) }

    func put(_ result: Result, at index: Int) { slots.withLock { $0[index] = result } }

    func all() -> [Result] { slots.withLock { $0.compactMap(\.self) } }
}

/// A thread of the operating system's that runs a body once.
public final class BackgroundThread: Sendable {
    private let thread: Mutex<pthread_t?>

    /// Starts the thread. Where the system has no room for it, the body is not run.
    public init(name: String, _ body: @escaping @Sendable () -> Void) {
        thread = Mutex(startThread(name: name, body))
    }

    /// Whether it was started and not waited for yet.
    public var isStarted: Bool { thread.withLock { $0 != nil } }

    deinit {
        // Nobody can wait for it any more: its stack is given back when it ends.
        if let started = thread.withLock({ $0.take() }) { pthread_detach(started) }
    }

    /// Waits until the body has returned.
    public func join() {
        let started = thread.withLock { $0.take() }
        if let started { pthread_join(started, nil) }
    }
}

private func startThread(name: String, _ body: @escaping @Sendable () -> Void) -> pthread_t? {
    let start = unsafe Unmanaged.passRetained(ThreadStart(name: name, body: body))
    var thread = pthread_t()
    let result = unsafe pthread_create(
        &thread, nil,
        { argument in
            guard let argument = unsafe argument else { return nil }
            // Balances the passRetained above.
            let start = unsafe Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
            unsafe start.name.withCString { unsafe hfj_name_thread($0) }
            start.body()
            return nil
        }, unsafe start.toOpaque())
    if result == 0 { return thread }
    // No room for another thread.
    unsafe start.release()
    return nil
}
