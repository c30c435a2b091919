internal import Glibc
internal import LinuxIO

/// Turns the first Ctrl-C or SIGTERM into a wish to stop; a second one ends the process at once.
enum Interruption {
    /// The wish. Commands hand it to the work they start.
    static let cancellation = Cancellation()

    /// Installs the handlers. To be called once before long work.
    static func install() {
        // Made now: the handler itself must not be the first to touch it.
        _ = cancellation.isCancelled
        for number in [SIGINT, SIGTERM] {
            signal(number) { number in
                Interruption.cancellation.cancel()
                signal(number, SIG_DFL)
            }
        }
    }
}
