internal import Synchronization

/// What is known of the health of endpoints and of the hosts they send us to, shared by all clients of a process: a circuit
/// breaker for each, and the time before which a server does not want to be asked.
public final class HubHealth: Sendable {
    private struct State {
        var failures = 0
        var lastFailure: ContinuousClock.Instant?
        var restsUntil: ContinuousClock.Instant?
    }

    private let states = Mutex<[WebOrigin: State]>([:])

    /// Knows nothing yet.
    public init() {}

    /// Redirects can name any number of hosts; what is known of them may be forgotten.
    private static func makeRoom(in states: inout [WebOrigin: State]) {
        if states.count >= 1000 { states = [:] }
    }

    /// How much longer an origin is to be left alone; nil when it may be asked.
    func rest(of origin: WebOrigin, now: ContinuousClock.Instant) -> Duration? {
        states.withLock { states in
            guard let until = states[origin]?.restsUntil, until > now else { return nil }
            return now.duration(to: until)
        }
    }

    /// It answered, whatever the answer was.
    func answered(_ origin: WebOrigin) {
        states.withLock { $0[origin]?.failures = 0 }
    }

    /// It failed. After so many failures in a row it rests; then one more failure is enough to rest again.
    ///
    /// - Parameter start: when it was asked. What broke several exchanges at once was one failure.
    func failed(
        _ origin: WebOrigin, since start: ContinuousClock.Instant, now: ContinuousClock.Instant, _ settings: HubSettings
    ) {
        states.withLock { states in
            Self.makeRoom(in: &states)
            var state = states[origin] ?? State()
            if let last = state.lastFailure, start < last { return }
            state.lastFailure = now
            state.failures = min(state.failures + 1, settings.breakerFailures)
            if state.failures >= settings.breakerFailures {
                state.restsUntil = max(state.restsUntil ?? now, now + settings.breakerRest)
            }
            states[origin] = state
        }
    }

    /// It named a time before which it does not want to be asked.
    func asked(_ origin: WebOrigin, toWait wait: Duration, now: ContinuousClock.Instant) {
        states.withLock { states in
            Self.makeRoom(in: &states)
            var state = states[origin] ?? State()
            state.restsUntil = max(state.restsUntil ?? now, now + wait)
            states[origin] = state
        }
    }
}
