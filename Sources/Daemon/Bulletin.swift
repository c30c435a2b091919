public import HubCache
internal import LinuxIO
internal import Synchronization
public import SystemdSupport

/// What is said to the journal, and how far transfers are, for everybody else who listens. Who does not keep up misses the
/// oldest.
public final class Bulletin: Sendable {
    /// Something that was said.
    public enum News: Sendable {
        /// To the journal.
        case event(JournalEvent)
        /// Of a transfer that runs.
        case progress(TransferReport)
    }

    /// Something that was said, and when.
    public struct Said: Sendable {
        /// What.
        public var news: News
        /// When.
        public var time: Timestamp
    }

    /// Somebody who listens.
    public struct Listening: Sendable {
        /// What is said, from its beginning on.
        public let events: AsyncStream<Said>
        /// Ends it.
        public let end: @Sendable () -> Void
    }

    private struct State {
        var listeners: [Int: AsyncStream<Said>.Continuation] = [:]
        var count = 0
        var isOver = false
    }

    /// As many may listen at once.
    public static let mostListeners = 64
    private static let mostWaiting = 1000

    private let state = Mutex(State())

    init() {}

    /// Hears everything from now on, until the caller ends listening.
    ///
    /// - Returns: nil where too many listen already, or nothing more will be said.
    public func listen() -> Listening? {
        let (stream, continuation) = AsyncStream.makeStream(
            of: Said.self, bufferingPolicy: .bufferingNewest(Self.mostWaiting))
        let number = state.withLock { state -> Int? in
            guard !state.isOver, state.listeners.count < Self.mostListeners else { return nil }
            state.count += 1
            state.listeners[state.count] = continuation
            return state.count
        }
        guard let number else { return nil }
        continuation.onTermination = { _ in self.state.withLock { $0.listeners[number] = nil } }
        return Listening(events: stream, end: { continuation.finish() })
    }

    func publish(_ news: News) {
        let listeners = state.withLock { Array($0.listeners.values) }
        if listeners.isEmpty { return }
        let said = Said(news: news, time: currentTime())
        for listener in listeners { listener.yield(said) }
    }

    /// Whether the daemon stops, and nothing more will be said.
    var isOver: Bool { state.withLock(\.isOver) }

    func end() {
        let listeners = state.withLock { state in
            state.isOver = true
            return Array(state.listeners.values)
        }
        for listener in listeners { listener.finish() }
    }
}
