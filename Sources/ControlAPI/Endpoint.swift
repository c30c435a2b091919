internal import Daemon
internal import Documents
internal import HTTPTypes
internal import HummingbirdCore

/// One thing that can be asked. The router and `/openapi.json` are made of the same list.
struct Endpoint: Sendable {
    /// The most that a request's body may have.
    static let mostBodyBytes = 64 * 1024

    var method: HTTPRequest.Method
    var path: String
    var summary: String
    var answer: @Sendable (Request) async throws -> Response

    /// All of them.
    static func all(_ desk: DaemonDesk) -> [Endpoint] {
        [
            Endpoint(method: .get, path: "/healthz", summary: "Whether the daemon's loop turns.") { _ in
                let status = try await desk.status()
                return .json(Health(status: status.isReady ? "ok" : "starting"))
            },
            Endpoint(method: .get, path: "/api/status", summary: "What the daemon is doing: hfjanitor.status/1.") { _ in
                .json(StatusDocument(try await desk.status()))
            },
            Endpoint(
                method: .post, path: "/api/reload", summary: "Reads the policy again and waits for the verdict."
            ) { _ in
                switch try await desk.reload() {
                case .applied: return .json(Reload(status: "applied"))
                case .rejected(let problem): throw Problem(.policyInvalid, problem)
                }
            },
        ]
    }

    private struct Health: Encodable { var status: String }
    private struct Reload: Encodable { var status: String }
}
