public import HubCache

/// Whether the Hub would give a file back.
public enum HubAnswer: Sendable, Hashable {
    /// It would: the file is there at that commit, with the content that is here.
    case confirmed(HubFileMetadata)
    /// It said that it would not, or has something else.
    case refused(HubRefusal)
    /// It said nothing that counts. Ask again later.
    case noAnswer(HubSilence)
}

/// What the Hub says of a file without sending it.
public struct HubFileMetadata: Sendable, Hashable {
    /// What a cache names the blob. It has been checked to be a plain file name.
    public let etag: BytePath
    /// The content's length in bytes, where the Hub told.
    public let size: UInt64?
    /// The commit the answer is about.
    public let commit: CommitHash
}

/// Why the Hub would not give a file back.
public enum HubRefusal: Sendable, Hashable, CustomStringConvertible {
    /// There is no such repo, or none that this token may see.
    case repoNotFound
    /// The repo has no such commit (any more).
    case revisionNotFound
    /// The commit has no such file.
    case entryNotFound
    /// The conditions of the repo were not accepted with this token, or there is no token.
    case gated
    /// The Hub has disabled the repo.
    case disabled
    /// The token is not valid.
    case invalidToken
    /// 401 or 403 without a reason.
    case forbidden
    /// 404, 410 or 451 without a reason.
    case notFound
    /// The file is there with other content; its etag.
    case otherEtag(BytePath)
    /// The file is there with another length.
    case otherLength
    /// The answer is about another commit.
    case otherCommit(CommitHash)
    /// The file's name cannot be asked for: it has empty components, `.` or `..`.
    case unaskableName

    /// One clause without a full stop.
    public var description: String {
        switch self {
        case .repoNotFound: "the Hub has no such repo, or none this token may see"
        case .revisionNotFound: "the repo has no such revision"
        case .entryNotFound: "the revision has no such file"
        case .gated: "the repo is gated, and access was not granted"
        case .disabled: "the repo is disabled"
        case .invalidToken: "the token is not valid"
        case .forbidden: "access was refused"
        case .notFound: "not found"
        case .otherEtag(let etag): "the Hub has other content, \(etag)"
        case .otherLength: "the Hub has content of another length"
        case .otherCommit(let commit): "the Hub answered for another commit, \(commit)"
        case .unaskableName: "no file on the Hub can have this name"
        }
    }

    /// The stable code.
    public var code: HubErrorCode {
        switch self {
        case .repoNotFound, .disabled, .notFound: .repoNotFound
        case .revisionNotFound, .otherCommit: .revisionNotFound
        case .entryNotFound, .unaskableName: .entryNotFound
        case .gated, .forbidden: .gated
        case .invalidToken: .invalidToken
        case .otherEtag, .otherLength: .digestMismatch
        }
    }
}

/// Why there was no answer that counts.
public enum HubSilence: Sendable, Hashable, CustomStringConvertible {
    /// `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE` is set. Nothing was asked.
    case offline
    /// The endpoint in the environment is none. Nothing was asked.
    case noEndpoint
    /// No connection, or a broken one; libcurl's words.
    case network(String)
    /// No connection or no answer in time.
    case timeout
    /// Data came too slowly for too long.
    case stalled
    /// The server failed, with that status; when it wants to be asked again, if it told.
    case serverError(status: Int, retryAfter: Duration?)
    /// Too many requests; when the server wants to be asked again, if it told.
    case rateLimited(retryAfter: Duration?)
    /// The endpoint failed too often, or said when to come back, and is left alone for so long. Nothing was asked.
    case resting(Duration)
    /// The answer is not one of a Hub: what was wrong.
    case malformed(String)
    /// The answer leads somewhere it must not: from https to http, to another scheme, or in circles.
    case unsafeRedirect(String)
    /// The content ended before its length.
    case incomplete(received: UInt64, expected: UInt64)
    /// It was asked to stop.
    case cancelled

    /// One clause without a full stop.
    public var description: String {
        switch self {
        case .offline: "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set: unset it to ask the Hub"
        case .noEndpoint: "HF_ENDPOINT is not the URL of a Hub"
        case .network(let words): "the Hub cannot be reached: \(words)"
        case .timeout: "the Hub did not answer in time"
        case .stalled: "the transfer stalled"
        case .serverError(let status, _): "the Hub failed with status \(status)"
        case .rateLimited(let wait): "too many requests" + (wait.map { ", again in \($0.wholeSeconds) s" } ?? "")
        case .resting(let wait): "the Hub failed too often, again in \(wait.wholeSeconds) s"
        case .malformed(let what): "the answer is not a Hub's: \(what)"
        case .unsafeRedirect(let what): "a redirect that is not followed: \(what)"
        case .incomplete(let received, let expected): "the content ended after \(received) of \(expected) bytes"
        case .cancelled: "cancelled"
        }
    }

    /// The stable code.
    public var code: HubErrorCode {
        switch self {
        case .offline: .offline
        case .rateLimited: .rateLimited
        case .incomplete: .incompleteDownload
        case .cancelled: .downloadCancelled
        default: .network
        }
    }

    /// How long to wait before asking again, where that is known.
    public var retryAfter: Duration? {
        switch self {
        case .serverError(_, let wait), .rateLimited(let wait): wait
        case .resting(let wait): wait
        default: nil
        }
    }
}

/// The codes of failed downloads: stable, for scripts.
public enum HubErrorCode: String, Sendable, Hashable, CaseIterable, Error {
    /// The content ended before its length.
    case incompleteDownload = "incomplete_download"
    /// It was asked to stop.
    case downloadCancelled = "download_cancelled"
    /// There is no room.
    case insufficientDisk = "insufficient_disk"
    /// No such repo, or none that may be seen.
    case repoNotFound = "repo_not_found"
    /// No such revision.
    case revisionNotFound = "revision_not_found"
    /// No such file.
    case entryNotFound = "entry_not_found"
    /// Access was not granted.
    case gated
    /// The token is not valid.
    case invalidToken = "invalid_token"
    /// The content, or a listing, is not what was asked for, and will not be.
    case digestMismatch = "digest_mismatch"
    /// Too many requests.
    case rateLimited = "rate_limited"
    /// The network, or a server that fails.
    case network
    /// Offline mode is set.
    case offline
    /// Too many downloads at once.
    case downloadLimitReached = "download_limit_reached"
    /// Another process is downloading it.
    case alreadyDownloading = "already_downloading"
    /// It is in use.
    case inUse = "in_use"
}

extension Duration {
    /// Seconds, rounded up.
    var wholeSeconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds + (attoseconds > 0 ? 1 : 0)
    }
}
