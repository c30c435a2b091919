public import HubCache
public import LinuxIO
internal import Synchronization

extension HubClient {
    /// Reads a whole small file into memory, through interruptions. What came is not proven: the caller hashes it.
    ///
    /// - Parameter file: of a size that the caller has found small enough. The Hub must name it the same, or nothing is
    ///   read.
    /// - Throws: `HubFailure`.
    public func content(
        of file: HubTreeFile, repo: RepoID, commit: CommitHash, cancellation: Cancellation = Cancellation()
    ) throws -> [UInt8] {
        let content = GatheredBytes()
        let wanted = HubDownload(repo: repo, commit: commit, file: file.path, etag: file.etag, size: file.size)
        try download(wanted, cancellation: cancellation) { content.append($0) }
        return content.bytes
    }

    /// Reads some bytes of a file and no more: a part of it cannot be proven.
    ///
    /// Where a server gives the whole file in place of the range, what stands before it is passed over, and the
    /// connection ends after it.
    ///
    /// - Parameters:
    ///   - file: the Hub must give it the same name and length, or nothing is read.
    ///   - range: not empty, and within the file.
    ///   - deadline: when all must be over, waiting included.
    /// - Returns: exactly the bytes of the range.
    /// - Throws: `HubFailure`.
    public func read(
        _ range: Range<UInt64>, of file: HubTreeFile, repo: RepoID, commit: CommitHash,
        deadline: ContinuousClock.Instant, cancellation: Cancellation = Cancellation()
    ) throws -> [UInt8] {
        precondition(!range.isEmpty && range.upperBound <= file.size, "a range outside of its file")
        let subject = HubSubject(repo: repo, revision: commit.hex, file: file.path)
        return try inRounds(Rounds(deadline: deadline), about: subject, cancellation) { (endpoint) throws(AskFailure) in
            let found = try locate(file.path, repo: repo, commit: commit, at: endpoint, cancellation)
            guard found.metadata.etag == file.etag else { throw .refused(.otherEtag(found.metadata.etag)) }
            if let size = found.metadata.size, size != file.size { throw .refused(.otherLength) }
            let state = RangeState(range, size: file.size)
            let options = AskOptions(
                followsAnywhere: true, offset: range.lowerBound, count: UInt64(range.count),
                deadline: min(deadline, clock.now() + settings.pageTimeout))
            _ = try ask(
                found.content, at: endpoint, options, cancellation,
                onHead: { (head) throws(ExchangeFailure) in try state.begin(head) },
                onBody: { (_, bytes) throws(ExchangeFailure) in try state.take(bytes) })
            guard state.bytes.count == range.count else {
                throw .silent(.incomplete(received: UInt64(state.bytes.count), expected: UInt64(range.count)))
            }
            return state.bytes
        }
    }
}

/// Bytes as they come, on whatever thread.
private final class GatheredBytes: Sendable {
    private let gathered = Mutex<[UInt8]>([])

    var bytes: [UInt8] { gathered.withLock(\.self) }

    func append(_ bytes: Span<UInt8>) {
        gathered.withLock { gathered in
            for index in bytes.indices { gathered.append(bytes[index]) }
        }
    }
}

/// The answer to one request for a range.
private final class RangeState {
    private let range: Range<UInt64>
    private let size: UInt64
    private(set) var bytes: [UInt8] = []
    /// Bytes before the range that are still to come.
    private var excess: UInt64 = 0
    private var isPart = false

    init(_ range: Range<UInt64>, size: UInt64) {
        self.range = range
        self.size = size
    }

    func begin(_ head: ResponseHead) throws(ExchangeFailure) {
        try requireIdentity(head)
        isPart = head.status == 206
        guard isPart || head.status == 200 else { return }
        if isPart {
            let stated = try head.value("content-range")
            let wanted = "bytes \(range.lowerBound)-\(range.upperBound - 1)/"
            // A server need not know the whole length (RFC 9110, 14.4).
            guard stated == wanted + "\(size)" || stated == wanted + "*" else {
                throw .malformed("another range than was asked for")
            }
        }
        let length = isPart ? UInt64(range.count) : size
        if let stated = try head.number("content-length"), stated != length {
            throw .malformed("a content of \(stated) bytes in place of \(length)")
        }
        excess = isPart ? 0 : range.lowerBound
    }

    func take(_ piece: Span<UInt8>) throws(ExchangeFailure) {
        let skipped = min(excess, UInt64(piece.count))
        excess -= skipped
        let news = piece.extracting(droppingFirst: Int(skipped))
        let taken = news.extracting(first: min(range.count - bytes.count, news.count))
        for index in taken.indices { bytes.append(taken[index]) }
        guard news.count > taken.count else { return }
        if isPart { throw .malformed("more content than was asked for") }
        throw .enough
    }
}
