internal import Glibc
internal import LinuxIO
internal import Synchronization

/// Turns the first Ctrl-C, SIGTERM or SIGHUP into a wish to stop; a second one ends the process at once.
enum Interruption {
    /// The wish. Commands hand it to the work they start.
    static let cancellation = Cancellation()
    private static let signalNumber = Atomic<Int32>(0)

    /// The exit status that a shell gives a command that such a signal ended: 130, 143 or 129.
    static var exitCode: Int32 { 128 + signalNumber.load(ordering: .relaxed) }

    /// The exit status that a shell gives a command whose reader went away.
    static let readerLeft: Int32 = 128 + SIGPIPE

    /// Installs the handlers. To be called once before long work.
    static func install() {
        // Made now: the handler itself must not be the first to touch them.
        _ = (cancellation.isCancelled, exitCode)
        // A limit of a file's size is an error of the write, and ends nothing.
        signal(SIGXFSZ, SIG_IGN)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { number in
                Interruption.signalNumber.store(number, ordering: .relaxed)
                Interruption.cancellation.cancel()
                signal(number, SIG_DFL)
            }
        }
    }
}
