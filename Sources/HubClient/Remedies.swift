internal import HubCache

/// What the Hub is asked about, for what is said when it does not give it.
struct HubSubject {
    var repo: RepoID
    /// A branch, a tag or a commit.
    var revision: String
    var file: BytePath?

    /// The repo's page.
    fileprivate func page(at endpoint: HubEndpoint) -> String {
        "\(endpoint)/\(repo.type == .model ? "" : repo.type.plural + "/")\(repo.name)"
    }
}

extension HubClient {
    /// Why the Hub refuses, and what helps.
    func words(_ refusal: HubRefusal, _ subject: HubSubject, at endpoint: HubEndpoint) -> String {
        let repo = subject.repo
        let source = tokenWords(for: endpoint)
        let login = "set HF_TOKEN or log in with 'hf auth login'"
        switch refusal {
        case .gated:
            let page = subject.page(at: endpoint)
            return "\(repo) is gated, and access was not granted: accept its conditions at \(page)"
                + (source.map { " with the account of \($0)" } ?? ", and then \(login)")
        case .forbidden:
            return "access to \(repo) was refused: " + (source.map { "\($0) does not allow it" } ?? login)
        case .invalidToken:
            guard let source else { return refusal.description }
            return
                "\(source) is not valid: make another one at \(endpoint)/settings/tokens, or unset it for what is public"
        case .repoNotFound, .notFound:
            return "the Hub has no \(repo), or none that "
                + (source.map { "\($0) may see: check the name and the type" }
                    ?? "may be seen without a token: check the name and the type, or \(login)")
        case .disabled: return "the Hub has disabled \(repo): see \(subject.page(at: endpoint))"
        case .revisionNotFound:
            return "\(repo) has no revision '\(displayText(of: subject.revision))': see \(subject.page(at: endpoint))"
        case .entryNotFound:
            guard let file = subject.file else { return refusal.description }
            return "\(repo) has no '\(file.display)' at \(displayText(of: subject.revision))"
        case .otherEtag, .otherLength, .otherCommit, .unaskableName: return refusal.description
        }
    }

    /// Why there was no answer, and what helps.
    func words(_ silence: HubSilence, at endpoint: HubEndpoint) -> String {
        switch silence {
        case .network(let words):
            "\(endpoint) cannot be reached: \(words); check the network, the proxy (HTTPS_PROXY) and HF_ENDPOINT"
        case .timeout: "\(endpoint) did not answer in time"
        case .rateLimited where tokenWords(for: endpoint) == nil: "\(silence); with a token the limit is higher"
        default: silence.description
        }
    }

    /// The token that an endpoint gets, by where it comes from; nil when it gets none.
    private func tokenWords(for endpoint: HubEndpoint) -> String? {
        guard endpoint.token(token, for: endpoint.origin) != nil else { return nil }
        return switch access.tokenSource {
        case .credential: "the token in the credential hf-token"
        case .variable(let name): "the token in \(name)"
        case .file(let path): "the token in '\(path.display)'"
        case nil: "the token that was given"
        }
    }
}
