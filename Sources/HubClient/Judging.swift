internal import CCurl

extension ExchangeFailure {
    /// Whether it speaks against the endpoint.
    var isTheServers: Bool {
        switch self {
        case .network, .timeout, .stalled, .malformed: true
        case .cancelled, .outOfTime, .sink, .enough: false
        }
    }
}

/// An answer that came whole and says what no Hub says: it is not asked for again.
func unusable(_ failure: ExchangeFailure) -> AskFailure {
    if case .malformed(let what) = failure { .unusable(what) } else { silence(failure) }
}

/// An exchange that failed, as a reason for no answer.
func silence(_ failure: ExchangeFailure) -> AskFailure {
    switch failure {
    case .cancelled: .silent(.cancelled)
    case .network(let words): .silent(.network(words))
    case .timeout, .outOfTime: .silent(.timeout)
    case .stalled: .silent(.stalled)
    case .malformed(let what): .silent(.malformed(what))
    case .sink(let error): .sink(error)
    case .enough: .silent(.malformed("an answer nobody asked for"))
    }
}

extension HubClient {
    /// Lets a good status pass and says what is behind a bad one, by the Hub's own headers where it sent them.
    ///
    /// What it says about the origin's health is remembered. What another host than the Hub says about permission is about a
    /// signed address, which ends some day, and not about the file.
    func judge(
        _ head: ResponseHead, from origin: WebOrigin, isHub: Bool, asked: ContinuousClock.Instant
    ) throws(AskFailure) {
        let now = clock.now()
        switch head.status {
        case 408, 429, 500...599:
            let wait = retryAfter(head)
            if let wait, head.status == 429 || head.status == 503 {
                health.asked(origin, toWait: min(wait, settings.longestRetryAfter), now: now)
            }
            if head.status == 429 {
                health.answered(origin)
                throw .silent(.rateLimited(retryAfter: wait))
            }
            health.failed(origin, since: asked, now: now, settings)
            throw .silent(.serverError(status: head.status, retryAfter: wait))
        default: health.answered(origin)
        }
        switch head.status {
        case 200, 206: return
        case 401, 403, 404, 410, 451:
            guard isHub else { throw .silent(.malformed("the content's host answered \(head.status)")) }
            throw .refused(refusal(head))
        // What a Hub does not understand it will not understand the next time; 416 is about a range, which need not be asked for.
        case 400..<500 where isHub && head.status != 416 && head.status != 425: throw .unusable("status \(head.status)")
        default: throw .silent(.malformed("status \(head.status)"))
        }
    }

    private func refusal(_ head: ResponseHead) -> HubRefusal {
        let message = head.all("x-error-message").first
        switch head.all("x-error-code").first {
        case "RepoNotFound": return .repoNotFound
        case "GatedRepo": return .gated
        case "RevisionNotFound": return .revisionNotFound
        case "EntryNotFound": return .entryNotFound
        case "DisabledRepo": return .disabled
        default: break
        }
        if message == "Access to this resource is disabled." { return .disabled }
        switch head.status {
        case 401:
            // A 401 without a code is how the Hub hides a repo, unless it says that the token itself is wrong.
            if message == "Invalid credentials in Authorization header" { return .invalidToken }
            return .repoNotFound
        case 403: return .forbidden
        default: return .notFound
        }
    }

    /// How long a server wants to be left alone: until its window ends when `RateLimit` says that nothing is left, else what
    /// `Retry-After` says, in seconds or as a date. A second is added, as huggingface_hub does, for the server's rounding.
    func retryAfter(_ head: ResponseHead) -> Duration? {
        if head.status == 429, let limit = head.all("ratelimit").first {
            var remaining: UInt64?
            var seconds: UInt64?
            for part in limit.split(separator: ";").dropFirst() {
                let pair = part.split(separator: "=", maxSplits: 1).map { $0.filter { $0 != " " } }
                guard pair.count == 2 else { continue }
                if pair[0] == "r" { remaining = decimal(pair[1]) }
                if pair[0] == "t" { seconds = decimal(pair[1]) }
            }
            if remaining == 0, let seconds { return .seconds(Int64(min(seconds, 1_000_000)) + 1) }
        }
        guard let stated = head.all("retry-after").first else { return nil }
        if let seconds = decimal(stated) { return .seconds(Int64(min(seconds, 1_000_000)) + 1) }
        let date = unsafe Int64(curl_getdate(stated, nil))
        guard date >= 0 else { return nil }
        return .seconds(min(max(date - clock.wallSeconds(), 0), 1_000_000) + 1)
    }
}
