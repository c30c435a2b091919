internal import Synchronization
public import SystemdSupport

/// What is said to the journal, for everybody else who listens. Who does not keep up misses the oldest.
public final class Bulletin: Sendable {
    private struct State {
        var listeners: [Int: AsyncStream<JournalEvent>.Continuation] = [:]
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
    public func listen() -> AsyncStream<JournalEvent>? {
        let (stream, continuation) = AsyncStream.makeStream(
            of: JournalEvent.self, bufferingPolicy: .bufferingNewest(Self.mostWaiting))
        let number = state.withLock { state -> Int? in
            guard !state.isOver, state.listeners.count < Self.mostListeners else { return nil }
            state.count += 1
            state.listeners[state.count] = continuation
            return state.count
        }
        guard let number else { return nil }
        continuation.onTermination = { _ in self.state.withLock { $0.listeners[number] = nil } }
        return stream
    }

    func publish(_ event: JournalEvent) {
        for listener in state.withLock({ Array($0.listeners.values) }) { listener.yield(event) }
    }

    func end() {
        let listeners = state.withLock { state in
            state.isOver = true
            return Array(state.listeners.values)
        }
        for listener in listeners { listener.finish() }
    }
}
