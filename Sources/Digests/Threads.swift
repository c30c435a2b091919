internal import CLinux
internal import Glibc

/// What a thread is given to do.
private final class ThreadBody: Sendable {
    let name: String
    let index: Int
    let body: @Sendable (Int) -> Void

    init(name: String, index: Int, body: @escaping @Sendable (Int) -> Void) {
        self.name = name
        self.index = index
        self.body = body
    }
}

/// Calls `body` with 0 to `count` - 1, each on an operating system thread, and returns when all have returned.
///
/// The calling thread is the first of them. When the system grants no more threads, the others do the work: `body` must share
/// it out by itself.
func onThreads(_ count: Int, name: String, _ body: @escaping @Sendable (Int) -> Void) {
    var others: [pthread_t] = []
    for index in 1..<max(1, count) {
        // Retained here, released by the thread, or below where there is none.
        let box = unsafe Unmanaged.passRetained(ThreadBody(name: "\(name)-\(index)", index: index, body: body))
        var thread = pthread_t()
        let failed = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let box = unsafe Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue()
                unsafe hfj_name_thread(box.name)
                box.body(box.index)
                return nil
            }, box.toOpaque())
        guard failed == 0 else {
            unsafe box.release()
            break
        }
        others.append(thread)
    }
    body(0)
    for thread in others { pthread_join(thread, nil) }
}

/// Stops the calling thread for a while; a signal may end that sooner.
func sleepThread(for duration: Duration) {
    let (seconds, attoseconds) = duration.components
    var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    unsafe nanosleep(&time, nil)
}
