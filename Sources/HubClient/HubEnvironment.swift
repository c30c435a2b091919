public import HubCache
internal import LinuxIO

/// What the environment says about the Hub, by the rules of huggingface_hub's `constants.py` and `utils/_auth.py`.
///
/// OpenID Connect exchange (`HF_OIDC_RESOURCE`) and Colab's vault are left out. Proxies are libcurl's business.
public struct HubEnvironment: Sendable {
    /// `HF_ENDPOINT`, else the public Hub; empty counts as unset. A plain http one is used, without the token.
    public let endpoint: Result<HubEndpoint, HubEndpointProblem>
    /// The token, if there is one.
    public private(set) var token: HubToken?
    /// Where the token, or the one that could not be taken, comes from.
    public let tokenSource: HubTokenSource?
    /// Why a token that is there was not taken. There is no token then: another one, further down, may be someone else's.
    public let tokenProblem: HubTokenProblem?
    /// Whether `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE` forbids every request.
    public let isOffline: Bool
    /// Whether `HF_HUB_DISABLE_SYMLINKS` wants revisions without links; clients before 1.9 do not know it.
    public let disablesLinks: Bool
    /// Certificates to trust in place of the system's: `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` or `SSL_CERT_FILE`; a file, or a
    /// folder of hashed names.
    public let certificates: BytePath?

    /// The same without a token: for whom the owner's account is none of their business.
    public var anonymous: HubEnvironment {
        var same = self
        same.token = nil
        return same
    }

    /// Reads the environment.
    ///
    /// - Parameters:
    ///   - environment: the process's environment.
    ///   - tokenFile: where the token file is, as the cache's locator found it; nil for none.
    public init(environment: [String: String], tokenFile: BytePath? = nil) {
        let url = environment["HF_ENDPOINT"].flatMap { $0.isEmpty ? nil : $0 } ?? HubEndpoint.publicAddress
        do throws(HubEndpointProblem) {
            endpoint = .success(try HubEndpoint(url: url, sendsToken: true, allowsHTTP: true))
        } catch {
            endpoint = .failure(error)
        }
        isOffline = isTrue(environment["HF_HUB_OFFLINE"]) || isTrue(environment["TRANSFORMERS_OFFLINE"])
        disablesLinks = isTrue(environment["HF_HUB_DISABLE_SYMLINKS"])
        certificates = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
            .lazy.compactMap { environment[$0] }.first { !$0.isEmpty }.map { BytePath($0) }

        var found: HubToken?
        var source: HubTokenSource?
        do throws(HubTokenProblem) {
            for candidate in tokenCandidates(environment, tokenFile) {
                source = candidate.source
                found = try candidate.read()
                if found != nil { break }
                source = nil
            }
            tokenProblem = nil
        } catch {
            tokenProblem = error
        }
        token = found
        tokenSource = source
    }
}

/// Where a token was found.
public enum HubTokenSource: Sendable, Hashable {
    /// systemd's `LoadCredential=hf-token`.
    case credential
    /// The environment variable of that name.
    case variable(String)
    /// The token file.
    case file(BytePath)
}

private struct TokenCandidate {
    var source: HubTokenSource
    var text: String?

    func read() throws(HubTokenProblem) -> HubToken? {
        switch source {
        case .credential:
            guard let text else { return nil }
            return try readToken(from: BytePath(text).appending("hf-token"))
        case .variable: return try HubToken(cleaning: text ?? "")
        case .file(let path): return try readToken(from: path)
        }
    }
}

/// In the order in which they are looked at. What a service's own unit gives is no implicit token.
private func tokenCandidates(_ environment: [String: String], _ tokenFile: BytePath?) -> [TokenCandidate] {
    var candidates: [TokenCandidate] = []
    if let folder = environment["CREDENTIALS_DIRECTORY"], folder.hasPrefix("/") {
        candidates.append(TokenCandidate(source: .credential, text: folder))
    }
    if isTrue(environment["HF_HUB_DISABLE_IMPLICIT_TOKEN"]) { return candidates }
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
        candidates.append(TokenCandidate(source: .variable(name), text: environment[name]))
    }
    if let tokenFile, !tokenFile.isEmpty { candidates.append(TokenCandidate(source: .file(tokenFile), text: nil)) }
    return candidates
}

/// A small regular file, read once and not through a link: its folder is the environment's word, its name is not.
private func readToken(from path: BytePath) throws(HubTokenProblem) -> HubToken? {
    let parent = path.parent
    let isAtTop = parent.isEmpty && path.bytes.first == UInt8(ascii: "/")
    var bytes: [UInt8]?
    do throws(SystemCallFailure) {
        let folder = try OwnedDescriptor.open(
            trustedPath: isAtTop ? "/" : parent.isEmpty ? "." : parent, options: .directory)
        let name = path.lastComponent
        if try folder.stat(of: name).kind == .regular {
            let file = try folder.open(name)
            if try file.stat().kind == .regular {
                // One byte more than a token may have, so that it is then too long.
                bytes = try file.read(at: 0, count: HubToken.maximumBytes + 1)
            }
        }
    } catch {
        if error.isAbsent { return nil }
        throw error.isLink ? .notAFile : .unreadable(error.reason)
    }
    guard let bytes else { throw .notAFile }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .unusable }
    return try HubToken(cleaning: text)
}

/// huggingface_hub's truth: one of `1`, `ON`, `YES` and `TRUE` in any case.
func isTrue(_ value: String?) -> Bool {
    ["1", "ON", "YES", "TRUE"].contains(value?.uppercased())
}
