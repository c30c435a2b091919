internal import LinuxIO

/// Something that was to be fetched, and was not.
public struct HubFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// The stable code.
    public let code: HubErrorCode
    /// What happened, one clause without a full stop. It never holds a token or a signed address.
    public let detail: String
    /// Which attempt was the last, from 1.
    public let attempt: Int
    /// How many there were to be.
    public let attempts: Int
    /// When the server wants to be asked again, where it told.
    public let retryAfter: Duration?

    /// The detail, and the attempt where it was tried again.
    public var description: String { attempt > 1 ? "\(detail) (attempt \(attempt) of \(attempts))" : detail }
}

/// How often one thing is tried, and what waits are between.
struct Rounds {
    /// When all must be over.
    var deadline: ContinuousClock.Instant?
    /// Whether enough came in the last attempt to begin counting anew.
    var hasProgressed: () -> Bool = { false }
}

extension HubClient {
    /// Tries something at each endpoint in turn, and again after a while, until it is done, none of them has anything else to say,
    /// or the attempts are used up.
    ///
    /// - Throws: `HubFailure`, or what the body's sink threw.
    func inRounds<Result>(
        _ rounds: Rounds, about subject: HubSubject, _ cancellation: Cancellation,
        _ body: (HubEndpoint) throws(AskFailure) -> Result
    ) throws -> Result {
        if isOffline { throw failure(.offline, 1) }
        guard !endpoints.isEmpty else { throw failure(.noEndpoint, 1) }
        // What an endpoint says for good.
        var verdicts = [HubFailure?](repeating: nil, count: endpoints.count)
        var attempt = 0
        while true {
            attempt += 1
            var silence: (reason: HubSilence, endpoint: HubEndpoint)?
            // The wait that the most modest of the endpoints asks for.
            var asked: Duration?
            for (index, endpoint) in endpoints.enumerated() where verdicts[index] == nil {
                do throws(AskFailure) {
                    return try body(endpoint)
                } catch {
                    switch error {
                    case .sink(let own): throw own
                    case .refused(let refusal):
                        // Who asks for a file of a commit knows the repo: its listing was there.
                        let reason = refusal == .notFound && subject.file != nil ? HubRefusal.entryNotFound : refusal
                        verdicts[index] = verdict(reason.code, words(reason, subject, at: endpoint), attempt)
                    case .unusable(let what):
                        verdicts[index] = verdict(.digestMismatch, HubSilence.malformed(what).description, attempt)
                    case .silent(.cancelled): throw failure(.cancelled, attempt)
                    case .silent(let reason):
                        if silence == nil {
                            asked = reason.retryAfter
                        } else {
                            asked = min(asked ?? .zero, reason.retryAfter ?? .zero)
                        }
                        silence = silence ?? (reason, endpoint)
                    }
                }
            }
            guard let silence else {
                throw verdicts.lazy.compactMap(\.self).first ?? failure(.noEndpoint, attempt)
            }
            if rounds.hasProgressed() { attempt = 0 }
            let failed = failure(silence.reason, attempt, words(silence.reason, at: silence.endpoint))
            if attempt >= settings.attempts { throw failed }
            let wait = max(backoff(afterAttempt: attempt), asked ?? .zero)
            if let asked, asked > settings.longestRetryAfter { throw failed }
            if let deadline = rounds.deadline, clock.now() + wait >= deadline { throw failed }
            clock.sleep(wait, cancellation)
            if cancellation.isCancelled { throw failure(.cancelled, attempt) }
        }
    }

    /// 1, 2, 4 … seconds and up to a quarter more, so that many clients do not come back at once.
    private func backoff(afterAttempt attempt: Int) -> Duration {
        var wait = settings.firstBackoff
        for _ in 1..<max(attempt, 1) where wait < settings.longestBackoff { wait = wait * 2 }
        return min(wait * (1 + clock.jitter() / 4), settings.longestBackoff)
    }

    private func failure(_ silence: HubSilence, _ attempt: Int, _ words: String? = nil) -> HubFailure {
        HubFailure(
            code: silence.code, detail: words ?? silence.description, attempt: max(attempt, 1),
            attempts: settings.attempts, retryAfter: silence.retryAfter)
    }

    private func verdict(_ code: HubErrorCode, _ words: String, _ attempt: Int) -> HubFailure {
        HubFailure(code: code, detail: words, attempt: attempt, attempts: settings.attempts, retryAfter: nil)
    }
}
