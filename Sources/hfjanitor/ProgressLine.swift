internal import Glibc
import HubCache
import LinuxIO
import Repair
import Synchronization
import Verification

/// A line on the terminal that says how far something is: bytes, rate and time left. It goes away at the end.
final class ProgressLine: Sendable {
    /// What the line says: a name, which is shortened where the terminal is narrow, and the rest.
    typealias Text = (name: String, rest: String)

    private let isOver = Atomic<Bool>(false)
    private let isShown: Bool
    private let thread = Mutex<BackgroundThread?>(nil)

    /// Ten times a second is smooth enough, and costs nothing.
    private static let interval: UInt32 = 100_000

    /// - Parameter text: what there is to say, if anything; asked by one thread with the time since the start.
    private init(isShown: Bool, _ text: @escaping @Sendable (_ seconds: Double) -> Text?) {
        self.isShown = isShown
        guard isShown else { return }
        let loop = { @Sendable [self] in show(text) }
        thread.withLock { $0 = BackgroundThread(name: "hfj-progress", loop) }
    }

    /// The progress of a verification.
    convenience init(_ progress: VerificationProgress, isShown: Bool) {
        let hashingSince = Mutex<(seconds: Double, bytes: UInt64)?>(nil)
        self.init(isShown: isShown) { seconds in
            // Nothing is shown for what is over in the blink of an eye.
            guard seconds > 0.3 else { return nil }
            let (total, done) = (progress.bytesTotal, progress.bytesDone)
            if total == 0 { return ("", "looking at repos: \(progress.reposDone) of \(progress.reposTotal)") }
            let since = hashingSince.withLock { since in
                let first = since ?? (seconds, done)
                since = first
                return first
            }
            let passed = seconds - since.seconds
            let rate = passed > 0.2 ? Double(done - since.bytes) / passed : 0
            return ("", "hashing" + Self.far(done, of: total, rate: rate))
        }
    }

    /// The progress of a fetch or a repair.
    convenience init(_ progress: TransferProgress) {
        self.init(isShown: Terminal.hasProgress) { seconds in
            let (total, done) = (progress.bytesTotal, progress.bytesDone)
            guard total > 0 else { return nil }
            let isWaiting = progress.isWaiting
            let rate = Double(done - min(done, progress.bytesNotTransferred)) / max(seconds, 0.001)
            let waiting = isWaiting ? ", waiting for another process that fetches it" : ""
            return (progress.file.display, Self.far(done, of: total, rate: isWaiting ? 0 : rate) + waiting)
        }
    }

    private static func far(_ done: UInt64, of total: UInt64, rate: Double) -> String {
        let far = ": \(formatBytes(done)) of \(formatBytes(total))"
        guard rate >= 1 else { return far }
        let left = Double(total - min(done, total)) / rate
        return far + ", \(formatBytes(UInt64(min(rate, 1e18))))/s, \(formatSeconds(left)) left"
    }

    /// Prints something in the line's place.
    func over(_ print: () -> Void) {
        if isShown { Terminal.write("\r\u{1B}[K", to: 2) }
        print()
    }

    /// Takes the line away.
    func end() {
        guard let shown = thread.withLock({ $0.take() }) else { return }
        isOver.store(true, ordering: .relaxed)
        shown.join()
        Terminal.write("\r\u{1B}[K", to: 2)
    }

    private func show(_ text: (Double) -> Text?) {
        let started = monotonicNanoseconds()
        while !isOver.load(ordering: .relaxed) {
            usleep(Self.interval)
            if let (name, rest) = text(Double(monotonicNanoseconds() - started) / 1e9) { ProgressText.show(name, rest) }
        }
    }
}
