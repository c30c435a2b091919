internal import Glibc

/// Stops the calling thread for a while; a signal may end that sooner.
func sleepThread(for duration: Duration) {
    let (seconds, attoseconds) = duration.components
    var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    unsafe nanosleep(&time, nil)
}
