import CacheScan
import Enforcement
import HubCache
import HubClient
import LinuxIO

/// Asks the Hub that the environment names, with the user's token.
struct HubQuestioner {
    private let client: HubClient

    init(environment: [String: String]) {
        client = HubClient(
            environment: HubEnvironment(
                environment: environment, tokenFile: CacheLocator(environment: environment).tokenFile),
            health: HubHealth())
    }

    /// Whether the Hub would give a file back.
    func ask(_ question: HubQuestion) -> HubReply {
        switch client.availability(
            of: question.path, repo: question.repo, commit: question.commit, expectedEtag: question.etag,
            cancellation: Interruption.cancellation)
        {
        case .confirmed: .confirmed
        case .refused(let refusal): .refused(reason: refusal.description)
        case .noAnswer(let silence): .none(reason: silence.description)
        }
    }
}
