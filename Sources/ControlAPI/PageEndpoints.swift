internal import Daemon
internal import Documents
internal import HTTPTypes
internal import HubCache
internal import HummingbirdCore
internal import NIOCore
internal import Page

// The page, and what it asks that nothing else tells.
extension Endpoint {
    static func pageEndpoints(_ desk: DaemonDesk) -> [Endpoint] {
        [
            Endpoint(
                method: .get, path: "/", summary: "The page: all of this to look at.", answerSchema: "Text",
                answerType: "text/html; charset=utf-8"
            ) { _, _ in
                var response = Response.text(ByteBuffer(bytes: Page.live), type: "text/html; charset=utf-8")
                response.headers[.contentSecurityPolicy] = Page.securityPolicy
                response.headers[.referrerPolicy] = "no-referrer"
                response.headers[.frameOptions] = "DENY"
                return response
            },
            Endpoint(
                method: .get, path: "/api/ls",
                summary: "Every repo and revision, and every leftover, as 'ls --all --json' tells: hfjanitor.ls/1.",
                answerSchema: "List", problems: [.busy, .unavailable]
            ) { _, _ in
                let asked = try await desk.plan().orProblem()
                return .json(ListDocument(gathered: asked.caches, pins: asked.pins))
            },
            Endpoint(
                method: .post, path: "/api/models/removal",
                summary: "What removing a repo or revision would free, who shares content with it, and what keeps it; "
                    + "changes nothing.",
                body: modelParameters, answerSchema: "Removal",
                problems: [
                    .invalidRequest, .invalidRepoID, .unknownCache, .tooLarge, .modelNotFound, .busy, .unavailable,
                ]
            ) { request, _ in
                let name = try await RequestBody(of: request, keys: RequestBody.modelKeys).requiredModel()
                return .json(document(try await desk.removalOutlook(name).orProblem()))
            },
        ]
    }

    private static func document(_ outlook: RemovalOutlook) -> JSONValue {
        .map([
            ("bytes", .count(outlook.bytes)), ("bytes_at_most", .flag(outlook.isAtMost)),
            ("refusal", outlook.refusal.map { .text($0) } ?? .null),
            (
                "kept",
                .list(outlook.kept.map { .map([("by", .text($0.by.rawValue)), ("detail", .text($0.detail))]) })
            ),
            (
                "shared_with",
                .list(
                    outlook.sharers.map {
                        .map([
                            ("repo", .text($0.repo)), ("commit", .text($0.commit.hex)), ("bytes", .count($0.bytes)),
                        ])
                    })
            ),
        ])
    }
}

extension HTTPField.Name {
    fileprivate static let contentSecurityPolicy = known("Content-Security-Policy")
    fileprivate static let referrerPolicy = known("Referrer-Policy")
    fileprivate static let frameOptions = known("X-Frame-Options")

    private static func known(_ name: String) -> HTTPField.Name {
        guard let known = HTTPField.Name(name) else { preconditionFailure("'\(name)' is the name of a header") }
        return known
    }
}
