internal import HubCache
internal import LinuxIO
internal import Synchronization

/// A thread that does one job after another, so that the loop never waits for a filesystem.
final class Worker: Sendable {
    private struct State {
        var jobs: [@Sendable () -> Void] = []
        var isBusy = false
        var isStopped = false
    }

    private final class Core: Sendable {
        let state = Mutex(State())
        let bell: WakeUp

        init() throws(SystemCallFailure) { bell = try WakeUp() }

        func run() {
            while true {
                let (job, isOver) = state.withLock { state -> ((@Sendable () -> Void)?, Bool) in
                    let next = state.jobs.isEmpty ? nil : state.jobs.removeFirst()
                    state.isBusy = next != nil
                    return (next, state.isStopped)
                }
                if let job {
                    job()
                } else if isOver {
                    return
                } else {
                    bell.wait(atMost: nil)
                }
            }
        }
    }

    private let core: Core
    private let thread: BackgroundThread

    /// - Throws: `SystemCallFailure` when the process may have no more descriptors, or threads.
    init(name: String) throws(SystemCallFailure) {
        let core = try Core()
        self.core = core
        thread = BackgroundThread(name: name) { core.run() }
        guard thread.isStarted else {
            throw SystemCallFailure(
                call: "pthread_create", errno: SystemCallFailure.tryAgainNumber, subject: BytePath(name))
        }
    }

    /// Adds a job behind those that wait.
    func add(_ job: @escaping @Sendable () -> Void) {
        core.state.withLock { if !$0.isStopped { $0.jobs.append(job) } }
        core.bell.ring()
    }

    /// Whether there is nothing to do.
    var isIdle: Bool { core.state.withLock { !$0.isBusy && $0.jobs.isEmpty } }

    /// How many jobs there are, with the one that is being done.
    var count: Int { core.state.withLock { $0.jobs.count + ($0.isBusy ? 1 : 0) } }

    /// Takes no further job; those that wait are still done, unless they are dropped.
    func stop(droppingJobs: Bool) {
        core.state.withLock { state in
            state.isStopped = true
            if droppingJobs { state.jobs = [] }
        }
        core.bell.ring()
    }
}

/// Where workers leave what they found out, for the loop to take. Leaving something wakes the loop.
final class Mailbox: Sendable {
    /// What is to be done with a result, on the loop's thread.
    typealias Letter = @Sendable (DaemonLoop) -> Void

    /// Nil: nobody takes them any more.
    private let letters = Mutex<[Letter]?>([])
    private let alarm = Mutex<(@Sendable () -> Void)?>(nil)

    /// Says how the loop is woken from now on.
    func setAlarm(_ wake: @escaping @Sendable () -> Void) { alarm.withLock { $0 = wake } }

    func post(_ letter: @escaping Letter) {
        letters.withLock { $0?.append(letter) }
        let wake = alarm.withLock { $0 }
        wake?()
    }

    func take() -> [Letter] {
        letters.withLock { letters in
            guard let taken = letters else { return [] }
            letters = []
            return taken
        }
    }

    /// Takes what is there, and drops what comes later.
    func close() -> [Letter] {
        letters.withLock { letters in
            defer { letters = nil }
            return letters ?? []
        }
    }
}
