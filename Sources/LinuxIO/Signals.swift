internal import Glibc
internal import Synchronization

/// What a service is told by a signal.
public enum ServiceSignal: Sendable, Hashable {
    /// SIGTERM or SIGINT: end.
    case stop
    /// SIGHUP: read the configuration again.
    case reload
}

/// Has SIGTERM, SIGINT and SIGHUP taken by a thread of their own instead of interrupting whatever runs. A second wish to stop
/// ends the process at once.
///
/// To be called once, before other threads are started: they inherit that these signals are blocked.
///
/// - Parameter report: is told of each, on that thread.
public func listenForSignals(_ report: @escaping @Sendable (ServiceSignal) -> Void) {
    var signals = serviceSignals()
    unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
    _ = BackgroundThread(name: "signals") {
        var isStopping = false
        while true {
            var awaited = serviceSignals()
            var number: Int32 = 0
            guard unsafe sigwait(&awaited, &number) == 0 else { continue }
            if number == SIGHUP {
                report(.reload)
            } else if isStopping {
                _exit(128 + number)
            } else {
                isStopping = true
                report(.stop)
            }
        }
    }
}

private func serviceSignals() -> sigset_t {
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    for number in [SIGTERM, SIGINT, SIGHUP] { unsafe sigaddset(&signals, number) }
    return signals
}

/// Sends SIGHUP to a process.
///
/// - Returns: whether it was there and could be told.
public func sendReload(to process: Int32) -> Bool { process > 1 && kill(process, SIGHUP) == 0 }

/// The id of this process.
public func ownProcess() -> Int32 { getpid() }
