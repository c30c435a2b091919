internal import Daemon
internal import HTTPTypes
internal import HummingbirdCore
internal import NIOCore

/// What a request is answered with.
struct Answering: Sendable {
    private var endpoints: [String: [HTTPRequest.Method: Endpoint]] = [:]

    init(_ desk: DaemonDesk) {
        for endpoint in Endpoint.all(desk) { endpoints[endpoint.path, default: [:]][endpoint.method] = endpoint }
    }

    /// The answer, which may be a problem.
    func response(to request: Request, of caller: Caller) async -> Response {
        do {
            try Self.checkOrigin(of: request)
            guard let methods = endpoints[request.uri.path] else {
                throw Problem(.notFound, "there is nothing at this path; see /openapi.json")
            }
            guard let endpoint = methods[request.method == .head ? .get : request.method] else {
                var response = Problem(.methodNotAllowed, "this path does not take that method").response
                response.headers[.allow] = methods.keys.map(\.rawValue).sorted().joined(separator: ", ")
                return response
            }
            let response = try await endpoint.answer(request, caller)
            return request.method == .head ? response.createHeadResponse() : response
        } catch let problem as Problem {
            return problem.response
        } catch is DaemonIsStopping {
            return Problem(.stopping, "the daemon is stopping").response
        } catch is NIOTooManyBytesError {
            return Problem(.tooLarge, "a request's body has at most \(Endpoint.mostBodyBytes) bytes").response
        } catch {
            return Problem(.failed, "this should not have happened: \(error)").response
        }
    }

    /// A page of another site, or a name that leads here by a trick of its name server, has no business here.
    private static func checkOrigin(of request: Request) throws {
        let authority = request.head.authority ?? ""
        guard authority.isEmpty || isLocal(authority) else {
            throw Problem(.crossSite, "the Host header names another host than this one")
        }
        if let origin = request.headers[.origin] {
            let scheme = "http://"
            guard origin.hasPrefix(scheme), isLocal(String(origin.dropFirst(scheme.count))) else {
                throw Problem(.crossSite, "requests of another site are not answered")
            }
        }
        let site = request.headers[HTTPField.Name("Sec-Fetch-Site") ?? .origin]
        if let site, site == "cross-site" || site == "same-site" {
            throw Problem(.crossSite, "requests of another site are not answered")
        }
    }

    private static func isLocal(_ authority: String) -> Bool {
        var host = Substring(authority)
        if let colon = host.lastIndex(of: ":"), host[host.index(after: colon)...].allSatisfy(\.isNumber) {
            host = host[..<colon]
        }
        return ["localhost", "127.0.0.1", "[::1]"].contains(host.lowercased())
    }
}
