internal import Daemon
internal import Documents
internal import HTTPTypes
internal import HubCache
internal import HummingbirdCore
internal import NIOCore
internal import Verification

/// Who asked.
struct Caller: Sendable {
    private let channel: any Channel

    init(_ channel: any Channel) { self.channel = channel }

    /// Calls when the connection is closed, whoever closed it.
    func whenGone(_ body: @escaping @Sendable () -> Void) { channel.closeFuture.whenComplete { _ in body() } }

    /// Waits for that.
    func waitUntilGone() async { _ = try? await channel.closeFuture.get() }
}

/// One thing that can be asked. What is answered and what `/openapi.json` says are made of the same list.
struct Endpoint: Sendable {
    /// The most that a request's body may have.
    static let mostBodyBytes = 64 * 1024

    /// A value that a request may have.
    struct Parameter: Sendable {
        var name: String
        var meaning: String
        /// The values it may have; empty: any.
        var values: [String] = []
        var isRequired = false
        var kind = Kind.text

        /// What its value is.
        enum Kind: Sendable { case text, texts, models, token, repo }
    }

    var method: HTTPRequest.Method
    var path: String
    var summary: String
    /// In the query.
    var query: [Parameter] = []
    /// In the body; empty: there is none.
    var body: [Parameter] = []
    var answerStatus = HTTPResponse.Status.ok
    /// The schema of the answer, by name.
    var answerSchema: String
    var answerType = "application/json"
    var problems: [Problem.Code] = []
    var answer: @Sendable (Request, Caller) async throws -> Response

    /// All of them.
    static func all(_ desk: DaemonDesk) -> [Endpoint] {
        let endpoints =
            daemonEndpoints(desk) + historyEndpoints(desk) + modelEndpoints(desk) + transferEndpoints(desk)
            + listeningEndpoints(desk) + pageEndpoints(desk)
        let own = Endpoint(
            method: .get, path: "/openapi.json", summary: "This document.", answerSchema: "Document"
        ) { _, _ in
            .text(ByteBuffer(string: OpenAPI.document(all(desk)).rendered), type: "application/json")
        }
        return endpoints + [own]
    }

    private static func daemonEndpoints(_ desk: DaemonDesk) -> [Endpoint] {
        let status = KnownAnswer()
        return [
            Endpoint(
                method: .get, path: "/healthz", summary: "Whether the daemon's loop turns.", answerSchema: "Health"
            ) { _, _ in
                .json(.map([("status", .text(try await desk.status().isReady ? "ok" : "starting"))]))
            },
            Endpoint(
                method: .get, path: "/api/status", summary: "What the daemon is doing: hfjanitor.status/1.",
                answerSchema: "Status"
            ) { _, _ in
                let known = try await desk.status()
                return status.response(number: known.number) { Response.bytes(of: StatusDocument(known)) }
            },
            Endpoint(
                method: .post, path: "/api/reload", summary: "Reads the policy again, and waits for the verdict.",
                answerSchema: "Reloaded", problems: [.policyInvalid]
            ) { _, _ in
                switch try await desk.reload() {
                case .applied: return .json(.map([("status", .text("applied"))]))
                case .rejected(let problem): throw Problem(.policyInvalid, problem)
                }
            },
            Endpoint(
                method: .get, path: "/api/scrub", summary: "How far the digest pass over each cache is.",
                answerSchema: "Scrubs"
            ) { _, _ in
                .json(ScrubsDocument(try await desk.status().scrubs))
            },
            Endpoint(
                method: .post, path: "/api/scrub", summary: "Begins digest passes, or ends them.",
                body: [
                    Parameter(
                        name: "action", meaning: "What to do.", values: ["start", "cancel"], isRequired: true),
                    cacheParameter,
                ], answerSchema: "Scrubs", problems: [.invalidRequest, .unknownCache, .tooLarge]
            ) { request, _ in
                let body = try await RequestBody(of: request, keys: ["action", "cache"])
                guard let action = try body.text("action"), ["start", "cancel"].contains(action) else {
                    throw Problem(.invalidRequest, "'action' is start or cancel")
                }
                let result = try await desk.scrub(isStart: action == "start", cache: try body.text("cache"))
                return .json(ScrubsDocument(try result.orProblem()))
            },
            Endpoint(
                method: .get, path: "/api/findings", summary: "What is wrong now, errors and warnings.",
                query: [
                    Parameter(name: "hf_repo", meaning: "Of this repo alone, org/name."),
                    Parameter(name: "type", meaning: "Its type.", values: RepoType.allCases.map(\.rawValue)),
                    cacheParameter,
                ], answerSchema: "Findings", problems: [.invalidRequest, .invalidRepoID, .unknownCache]
            ) { request, _ in
                let query = try Query(of: request, keys: ["hf_repo", "type", "cache"])
                let repo = try query.repo()
                let found = try await desk.findings(cache: query["cache"], repo: repo).orProblem()
                return .json(FindingsDocument(found, caches: try await desk.status().caches))
            },
            Endpoint(
                method: .get, path: "/api/plan", summary: "What the policy would do now: hfjanitor.plan/1.",
                answerSchema: "Plan", problems: [.busy, .unavailable]
            ) { _, _ in
                let asked = try await desk.plan().orProblem()
                return .json(
                    PlanDocument(mode: asked.mode, time: asked.time, caches: asked.caches, plan: asked.plan))
            },
        ]
    }

    static let cacheParameter = Parameter(
        name: "cache", meaning: "The id of a cache, as /api/models/space lists it.")
    static let depthParameter = Parameter(
        name: "depth", meaning: "How deep; headers, if absent.", values: VerificationDepth.allCases.map(\.rawValue))
    static let modelParameters = [
        Parameter(name: "hf_repo", meaning: "The repo, org/name.", isRequired: true, kind: .repo),
        Parameter(name: "hf_commit", meaning: "A commit, or the name of a ref."),
        Parameter(name: "type", meaning: "Its type.", values: RepoType.allCases.map(\.rawValue)),
        cacheParameter,
    ]
}

extension Result where Failure == NamingFailure {
    func orProblem() throws -> Success {
        switch self {
        case .success(let value): return value
        case .failure(let failure): throw Problem(failure)
        }
    }
}

extension Result where Failure == AskedWorkFailure {
    func orProblem() throws -> Success {
        switch self {
        case .success(let value): return value
        case .failure(let failure): throw Problem(failure)
        }
    }
}

/// The query of a request.
struct Query {
    private var values: [String: String] = [:]

    /// - Throws: `Problem` for a key that nothing is meant by.
    init(of request: Request, keys: Set<String>) throws {
        for (key, value) in request.uri.queryParameters {
            guard keys.contains(String(key)) else {
                throw Problem(.invalidRequest, "the query has a key that is not known here")
            }
            values[String(key)] = String(value)
        }
    }

    subscript(key: String) -> String? { values[key] }

    /// The repo that is named; nil: none is.
    func repo() throws -> RepoID? {
        guard let name = values["hf_repo"] else {
            if values["type"] != nil { throw Problem(.invalidRequest, "'hf_repo' is missing") }
            return nil
        }
        guard let type = RepoType(rawValue: values["type"] ?? RepoType.model.rawValue) else {
            throw Problem(.invalidRequest, "'type' is not the type of a repo")
        }
        guard let repo = RepoID(type: type, name: name) else {
            throw Problem(.invalidRepoID, "'hf_repo' is not the name of a repo: use org/name")
        }
        return repo
    }
}
