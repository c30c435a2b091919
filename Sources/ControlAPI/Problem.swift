internal import Daemon
internal import FoundationEssentials
internal import HTTPTypes
internal import HummingbirdCore
internal import NIOCore

/// Why a request was not done: `application/problem+json`, with a code that stays the same.
struct Problem: Error {
    /// The codes.
    enum Code: String, CaseIterable {
        case invalidRequest = "invalid_request"
        case invalidRepoID = "invalid_repo_id"
        case unknownCache = "unknown_cache"
        case notAllowed = "not_allowed"
        case crossSite = "cross_site"
        case notFound = "not_found"
        case modelNotFound = "model_not_found"
        case methodNotAllowed = "method_not_allowed"
        case tooLarge = "too_large"
        case policyInvalid = "policy_invalid"
        case pinned
        case held
        case inUse = "in_use"
        case kept
        case busy
        case failed
        case stopping
        case unavailable
        case repoNotFound = "repo_not_found"
        case revisionNotFound = "revision_not_found"
        case entryNotFound = "entry_not_found"
        case gated
        case invalidToken = "invalid_token"
        case alreadyDownloading = "already_downloading"
        case downloadCancelled = "download_cancelled"
        case downloadLimitReached = "download_limit_reached"
        case rateLimited = "rate_limited"
        case insufficientDisk = "insufficient_disk"
        case network
        case digestMismatch = "digest_mismatch"
        case incompleteDownload = "incomplete_download"
        case offline

        var status: HTTPResponse.Status {
            switch self {
            case .invalidRequest, .invalidRepoID, .unknownCache: .badRequest
            case .notAllowed, .crossSite, .gated, .invalidToken: .forbidden
            case .notFound, .modelNotFound, .repoNotFound, .revisionNotFound, .entryNotFound: .notFound
            case .methodNotAllowed: .methodNotAllowed
            case .tooLarge: .contentTooLarge
            case .policyInvalid: .unprocessableContent
            case .pinned, .held, .inUse, .kept, .alreadyDownloading, .downloadCancelled: .conflict
            case .busy, .downloadLimitReached, .rateLimited: .tooManyRequests
            case .insufficientDisk: .init(code: 507, reasonPhrase: "Insufficient Storage")
            case .network, .digestMismatch, .incompleteDownload: .badGateway
            case .failed: .internalServerError
            case .stopping, .unavailable, .offline: .serviceUnavailable
            }
        }
    }

    var code: Code
    /// One sentence.
    var detail: String
    /// When it may be asked again, in seconds.
    var retryAfter: Int?

    init(_ code: Code, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    private struct Document: Encodable {
        var type = "about:blank"
        var title: String
        var status: Int
        var code: String
        var detail: String
    }

    var response: Response {
        let document = Document(
            title: code.status.reasonPhrase, status: code.status.code, code: code.rawValue, detail: detail)
        var response = Response.json(document, status: code.status, type: "application/problem+json")
        // Who is told to come again later is told when.
        let seconds = retryAfter ?? (code.status == .tooManyRequests ? 10 : nil)
        if let seconds { response.headers[.retryAfter] = String(seconds) }
        return response
    }
}

extension Response {
    /// An answer of one JSON document.
    static func json(
        _ document: some Encodable, status: HTTPResponse.Status = .ok, type: String = "application/json"
    ) -> Response {
        .text(bytes(of: document), status: status, type: type)
    }

    /// The same without a head.
    static func bytes(of document: some Encodable) -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Documents are made of texts, integers, lists and maps: there is nothing that JSON cannot say.
        return ByteBuffer(bytes: (try? encoder.encode(document)) ?? Data())
    }

    /// The same of values that are made by hand.
    static func json(_ value: JSONValue, status: HTTPResponse.Status = .ok) -> Response {
        .text(ByteBuffer(string: value.rendered), status: status, type: "application/json")
    }

    static func text(_ buffer: ByteBuffer, status: HTTPResponse.Status = .ok, type: String) -> Response {
        Response(
            status: status,
            headers: [.contentType: type, .cacheControl: "no-store", .xContentTypeOptions: "nosniff"],
            body: ResponseBody(byteBuffer: buffer))
    }
}
