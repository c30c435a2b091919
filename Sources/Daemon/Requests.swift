internal import Synchronization

/// Where other threads ask the daemon's loop. Every question is a letter to it, answered with plain values; nothing here
/// waits for a filesystem, and nobody but the loop's thread decides.
public final class DaemonDesk: Sendable {
    private let mailbox: Mailbox
    /// What is said to the journal, as it is said.
    public let bulletin: Bulletin

    init(_ mailbox: Mailbox, _ bulletin: Bulletin) {
        self.mailbox = mailbox
        self.bulletin = bulletin
    }

    /// What the daemon is doing.
    ///
    /// - Throws: `DaemonIsStopping`, as all of these.
    public func status() async throws -> DaemonStatus {
        try await ask { loop, reply in reply.give(loop.currentStatus) }
    }

    /// Has the policy read again, and waits for the verdict.
    public func reload() async throws -> ReloadVerdict {
        try await ask { loop, reply in loop.reload(reply) }
    }

    /// Has the journal say that something about the control socket is not as it should be.
    public func complain(_ problem: String) { mailbox.post { loop in loop.complain(problem) } }

    func ask<Answer: Sendable>(_ letter: @escaping @Sendable (DaemonLoop, Reply<Answer>) -> Void) async throws -> Answer
    {
        try await withCheckedThrowingContinuation { continuation in
            let reply = Reply(continuation)
            mailbox.post { loop in letter(loop, reply) }
        }
    }
}

/// The daemon ends, and answers no more.
public struct DaemonIsStopping: Error {
    init() {}
}

/// Somebody who waits for an answer. Whoever drops it without one, as the end of the daemon does with all that is still
/// waiting, has answered that the daemon is stopping.
final class Reply<Answer: Sendable>: Sendable {
    private let continuation: Mutex<CheckedContinuation<Answer, any Error>?>

    init(_ continuation: CheckedContinuation<Answer, any Error>) { self.continuation = Mutex(continuation) }

    deinit { take()?.resume(throwing: DaemonIsStopping()) }

    /// Answers; only the first answer counts.
    func give(_ answer: Answer) { take()?.resume(returning: answer) }

    private func take() -> CheckedContinuation<Answer, any Error>? {
        continuation.withLock { continuation in
            defer { continuation = nil }
            return continuation
        }
    }
}
