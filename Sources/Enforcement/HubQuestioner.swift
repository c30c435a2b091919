public import HubClient
public import LinuxIO

/// Asks the Hub about revisions that are to go.
public struct HubQuestioner {
    private let client: HubClient
    private let cancellation: Cancellation

    /// Makes a questioner. Its client belongs to the thread that asks.
    public init(client: HubClient, cancellation: Cancellation) {
        self.client = client
        self.cancellation = cancellation
    }

    /// Whether the Hub would give a file back.
    public func ask(_ question: HubQuestion) -> HubReply {
        switch client.availability(
            of: question.path, repo: question.repo, commit: question.commit, expectedEtag: question.etag,
            cancellation: cancellation)
        {
        case .confirmed: .confirmed
        case .refused(let refusal): .refused(reason: refusal.description)
        case .noAnswer(let silence): .none(reason: silence.description)
        }
    }
}
