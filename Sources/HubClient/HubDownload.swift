public import HubCache
public import LinuxIO

/// A file to fetch, and what is known of it.
public struct HubDownload: Sendable, Hashable {
    /// The repo.
    public var repo: RepoID
    /// The commit; a download is never of a branch, which may move meanwhile.
    public var commit: CommitHash
    /// The path in the repo.
    public var file: BytePath
    /// What a cache names the blob. The Hub must say the same, or nothing is taken.
    public var etag: BytePath
    /// The content's length in bytes.
    public var size: UInt64
    /// How many of the content's first bytes are here already.
    public var offset: UInt64

    /// Describes a download.
    public init(
        repo: RepoID, commit: CommitHash, file: BytePath, etag: BytePath, size: UInt64, offset: UInt64 = 0
    ) {
        self.repo = repo
        self.commit = commit
        self.file = file
        self.etag = etag
        self.size = size
        self.offset = offset
    }
}

/// Takes the next bytes of the content. What it throws ends the download.
public typealias HubSink = @Sendable (Span<UInt8>) throws -> Void

extension HubClient {
    /// Fetches a file's content, from its offset to its end, through every interruption.
    ///
    /// The sink gets each byte once and in order, never one more than `size`. What came is not proven: the caller hashes it. When a
    /// server does not give the range it was asked for, the content is read again from its start and what is here already is
    /// passed over. Each attempt asks the Hub anew, so that a signed address that has ended is replaced.
    ///
    /// - Parameters:
    ///   - speedLimit: may be shared with other downloads.
    ///   - progress: called often with how many of the content's bytes are here.
    ///   - cancellation: looked at once a second at least.
    /// - Throws: `HubFailure`, or what the sink threw.
    public func download(
        _ download: HubDownload, speedLimit: HubSpeedLimit? = nil, cancellation: Cancellation = Cancellation(),
        progress: @escaping @Sendable (UInt64) -> Void = { _ in }, into sink: @escaping HubSink
    ) throws {
        guard download.offset <= download.size else {
            throw HubFailure(
                code: .digestMismatch, detail: "more is here than the \(download.size) bytes of the content",
                attempt: 1, attempts: 1, retryAfter: nil)
        }
        let state = DownloadState(download, sink: sink, progress: progress)
        let deadline = clock.now() + settings.downloadTimeout
        var counted = state.received
        let rounds = Rounds(deadline: deadline) { [settings] in
            guard state.received >= counted + settings.progressBytes else { return false }
            counted = state.received
            return true
        }
        let subject = HubSubject(repo: download.repo, revision: download.commit.hex, file: download.file)
        try inRounds(rounds, about: subject, cancellation) { (endpoint) throws(AskFailure) in
            if state.isTooLong { throw .refused(.otherLength) }
            let attempt = Attempt(endpoint: endpoint, deadline: deadline, speedLimit: speedLimit, cancellation)
            if download.isSmall, state.received < download.size {
                return try fetchFromHub(state, attempt)
            }
            let found = try locate(
                download.file, repo: download.repo, commit: download.commit, at: endpoint, cancellation)
            if let refusal = download.refusal(found.metadata) { throw .refused(refusal) }
            if state.received == download.size { return }
            try fetch(found.content, state, attempt)
        }
    }

    /// Asks for the content at once: one request says what it is and gives it, where it does not lead elsewhere.
    private func fetchFromHub(_ state: DownloadState, _ attempt: Attempt) throws(AskFailure) {
        let download = state.download
        let start = try address(
            of: download.file, repo: download.repo, commit: download.commit, at: attempt.endpoint)
        var options = AskOptions()
        options.offset = state.avoidsRanges ? 0 : state.received
        options.deadline = attempt.deadline
        var refusal: AskFailure?
        let answer: (head: ResponseHead, address: WebAddress, target: WebAddress?)
        do throws(AskFailure) {
            answer = try ask(
                start, at: attempt.endpoint, options, attempt.cancellation,
                onHead: { (head) throws(ExchangeFailure) in
                    if head.status == 200 || head.status == 206 {
                        refusal = self.refusal(of: download, by: head, leads: false)
                        if refusal != nil { throw .enough }
                    }
                    try state.begin(head, offset: options.offset)
                },
                onBody: { [clock] (_, bytes) throws(ExchangeFailure) in
                    try state.take(bytes)
                    attempt.speedLimit?.wait(for: bytes.count, clock, attempt.cancellation)
                })
        } catch {
            throw state.isTooLong ? .refused(.otherLength) : error
        }
        if answer.target != nil { refusal = self.refusal(of: download, by: answer.head, leads: true) }
        if let refusal { throw refusal }
        if let target = answer.target { return try fetch(target, state, attempt) }
        try state.requireWhole()
    }

    /// Why what the Hub says of a file is no reason to take it.
    private func refusal(of download: HubDownload, by head: ResponseHead, leads: Bool) -> AskFailure? {
        do throws(ExchangeFailure) {
            return download.refusal(try metadata(head, leads: leads)).map { .refused($0) }
        } catch {
            return unusable(error)
        }
    }

    /// Fetches from where the Hub said that the content is.
    private func fetch(_ address: WebAddress, _ state: DownloadState, _ attempt: Attempt) throws(AskFailure) {
        var options = AskOptions(followsAnywhere: true)
        options.offset = state.avoidsRanges ? 0 : state.received
        options.deadline = attempt.deadline
        do throws(AskFailure) {
            _ = try ask(
                address, at: attempt.endpoint, options, attempt.cancellation,
                onHead: { (head) throws(ExchangeFailure) in try state.begin(head, offset: options.offset) },
                onBody: { [clock] (_, bytes) throws(ExchangeFailure) in
                    try state.take(bytes)
                    attempt.speedLimit?.wait(for: bytes.count, clock, attempt.cancellation)
                })
        } catch {
            throw state.isTooLong ? .refused(.otherLength) : error
        }
        try state.requireWhole()
    }
}

/// One attempt at a download: of whom, and how.
private struct Attempt {
    let endpoint: HubEndpoint
    let deadline: ContinuousClock.Instant
    let speedLimit: HubSpeedLimit?
    let cancellation: Cancellation

    init(
        endpoint: HubEndpoint, deadline: ContinuousClock.Instant, speedLimit: HubSpeedLimit?,
        _ cancellation: Cancellation
    ) {
        self.endpoint = endpoint
        self.deadline = deadline
        self.speedLimit = speedLimit
        self.cancellation = cancellation
    }
}

extension HubDownload {
    /// Whether the Hub sends it itself: what git keeps, and no large file's storage.
    fileprivate var isSmall: Bool { etag.bytes.count == 40 }

    /// Why what the Hub has is not this.
    fileprivate func refusal(_ found: HubFileMetadata) -> HubRefusal? {
        if found.commit != commit { return .otherCommit(found.commit) }
        if found.etag != etag { return .otherEtag(found.etag) }
        if let stated = found.size, stated != size { return .otherLength }
        return nil
    }
}

/// How far a download is.
private final class DownloadState {
    let download: HubDownload
    /// How many of the content's bytes were given to the sink or were here before.
    private(set) var received: UInt64
    /// Whether a server has answered a range wrongly, so that the whole is asked for.
    private(set) var avoidsRanges = false
    /// Whether a server had more than the content's length, so that what came is of something else.
    private(set) var isTooLong = false
    /// How many bytes of the body at hand are here already.
    private var excess: UInt64 = 0
    private let sink: HubSink
    private let progress: @Sendable (UInt64) -> Void

    init(_ download: HubDownload, sink: @escaping HubSink, progress: @escaping @Sendable (UInt64) -> Void) {
        self.download = download
        self.received = download.offset
        self.sink = sink
        self.progress = progress
    }

    /// Judges an answer before its first byte.
    func begin(_ head: ResponseHead, offset: UInt64) throws(ExchangeFailure) {
        if head.status == 416 { avoidsRanges = true }
        guard head.status == 200 || head.status == 206 else { return }
        try requireIdentity(head)
        let type = try head.value("content-type")?.lowercased() ?? ""
        let name = download.file.text.lowercased()
        if type.hasPrefix("text/html"), !name.hasSuffix(".html"), !name.hasSuffix(".htm") {
            throw .malformed("a web page in place of the content")
        }
        let isPart = head.status == 206
        if isPart {
            guard offset > 0, isRange(try head.value("content-range"), from: offset) else {
                avoidsRanges = true
                throw .malformed("another range than was asked for")
            }
        }
        let start = isPart ? offset : 0
        if let length = try head.number("content-length"), length != download.size - start {
            throw .malformed("a content of \(length) bytes in place of \(download.size - start)")
        }
        excess = received - start
    }

    /// Whether it is a right answer to a range to the end; a server need not know the whole length (RFC 9110, 14.4).
    private func isRange(_ stated: String?, from offset: UInt64) -> Bool {
        let range = "bytes \(offset)-\(download.size - 1)/"
        return stated == range + "\(download.size)" || stated == range + "*"
    }

    /// - Throws: when the content ended too early.
    func requireWhole() throws(AskFailure) {
        guard received == download.size else {
            throw .silent(.incomplete(received: received, expected: download.size))
        }
    }

    func take(_ bytes: Span<UInt8>) throws(ExchangeFailure) {
        let skipped = min(excess, UInt64(bytes.count))
        excess -= skipped
        let news = bytes.extracting(droppingFirst: Int(skipped))
        let room = download.size - received
        let taken = news.extracting(first: Int(min(room, UInt64(news.count))))
        if taken.count > 0 {
            do { try sink(taken) } catch { throw .sink(error) }
            received += UInt64(taken.count)
            progress(received)
        }
        guard UInt64(news.count) <= room else {
            isTooLong = true
            throw .malformed("more content than \(download.size) bytes")
        }
    }
}
