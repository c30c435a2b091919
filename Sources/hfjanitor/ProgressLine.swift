internal import Glibc
import HubCache
import LinuxIO
import Synchronization
import Verification

/// A line on the terminal that says how far a verification is: bytes, rate and time left. It goes away at the end.
final class ProgressLine: Sendable {
    private let progress: VerificationProgress
    private let isOver = Atomic<Bool>(false)
    private let isShown: Bool
    private let thread = Mutex<BackgroundThread?>(nil)

    /// Ten times a second is smooth enough, and costs nothing.
    private static let interval: UInt32 = 100_000

    init(_ progress: VerificationProgress, isShown: Bool) {
        self.progress = progress
        self.isShown = isShown
        guard isShown else { return }
        let loop = { @Sendable [self] in show() }
        thread.withLock { $0 = BackgroundThread(name: "hfj-progress", loop) }
    }

    /// Takes the line away.
    func end() {
        guard isShown else { return }
        isOver.store(true, ordering: .relaxed)
        thread.withLock { $0?.join() }
        Terminal.write("\r\u{1B}[K", to: 2)
    }

    private func show() {
        let started = monotonicNanoseconds()
        var hashingSince: (time: UInt64, bytes: UInt64)?
        while !isOver.load(ordering: .relaxed) {
            usleep(Self.interval)
            let now = monotonicNanoseconds()
            // Nothing is shown for what is over in the blink of an eye.
            guard now - started > 300_000_000 else { continue }
            let total = progress.bytesTotal
            let done = progress.bytesDone
            if total == 0 {
                ProgressText.show("", "looking at repos: \(progress.reposDone) of \(progress.reposTotal)")
                continue
            }
            if hashingSince == nil { hashingSince = (now, done) }
            guard let since = hashingSince else { continue }
            let seconds = Double(now - since.time) / 1e9
            let rate = seconds > 0.2 ? Double(done - since.bytes) / seconds : 0
            var line = "hashing: \(formatBytes(done)) of \(formatBytes(total))"
            if rate > 0 {
                line +=
                    ", \(formatBytes(UInt64(rate)))/s, \(formatSeconds(Double(total - min(done, total)) / rate)) left"
            }
            ProgressText.show("", line)
        }
    }
}
