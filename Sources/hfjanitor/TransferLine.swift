internal import Glibc
import HubCache
import LinuxIO
import Repair
import Synchronization

/// A line on the terminal that says how far a transfer is: bytes, rate and time left. It goes away at the end.
final class TransferLine: Sendable {
    private let progress: TransferProgress
    private let isOver = Atomic<Bool>(false)
    private let thread = Mutex<BackgroundThread?>(nil)

    init(_ progress: TransferProgress) {
        self.progress = progress
        guard Terminal.hasProgress else { return }
        let loop = { @Sendable [self] in show() }
        thread.withLock { $0 = BackgroundThread(name: "hfj-progress", loop) }
    }

    /// Prints something in the line's place.
    func over(_ print: () -> Void) {
        if Terminal.hasProgress { Terminal.write("\r\u{1B}[K", to: 2) }
        print()
    }

    /// Takes the line away.
    func end() {
        guard let shown = thread.withLock({ $0.take() }) else { return }
        isOver.store(true, ordering: .relaxed)
        shown.join()
        Terminal.write("\r\u{1B}[K", to: 2)
    }

    private func show() {
        let started = monotonicNanoseconds()
        while !isOver.load(ordering: .relaxed) {
            usleep(200_000)
            let (total, done) = (progress.bytesTotal, progress.bytesDone)
            guard total > 0 else { continue }
            let seconds = Double(monotonicNanoseconds() - started) / 1e9
            let rate = Double(done - min(done, progress.bytesNotTransferred)) / max(seconds, 0.001)
            var line = ": \(formatBytes(done)) of \(formatBytes(total))"
            if progress.isWaiting {
                line += ", waiting for another process that fetches it"
            } else if rate >= 1 {
                line +=
                    ", \(formatBytes(UInt64(min(rate, 1e18))))/s, \(formatSeconds(Double(total - min(done, total)) / rate)) left"
            }
            ProgressText.show(progress.file.display, line)
        }
    }
}
