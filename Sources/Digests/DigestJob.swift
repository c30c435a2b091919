public import HubCache
public import LinuxIO
internal import Synchronization

/// A file whose digest is wanted.
public struct DigestJob: Sendable {
    /// The caller's own number for it; the pool only hands it back.
    public var id: Int
    /// Which digest.
    public var algorithm: DigestAlgorithm
    /// What `stat` said of the file when the job was made.
    public var expected: FileStat
    /// What the file lies on: the pool spreads its reads over devices.
    public var device: UInt64
    /// Opens the file for reading; called again for each further look, on the pool's threads.
    public var open: @Sendable () throws(SystemCallFailure) -> OwnedDescriptor
    /// Whether a digest is what the caller hopes for. Where not, the pool looks a second time before it says so. Called on
    /// the pool's threads.
    public var accept: (@Sendable (ContentDigest) -> Bool)?

    /// Makes a job.
    ///
    /// - Parameter device: by default the file's device number.
    public init(
        id: Int, algorithm: DigestAlgorithm, expected: FileStat, device: UInt64? = nil,
        accept: (@Sendable (ContentDigest) -> Bool)? = nil,
        open: @escaping @Sendable () throws(SystemCallFailure) -> OwnedDescriptor
    ) {
        self.id = id
        self.algorithm = algorithm
        self.expected = expected
        self.device = device ?? expected.key.device
        self.accept = accept
        self.open = open
    }
}

/// A file's digest, and what it is the digest of.
public struct FileDigest: Sendable, Hashable {
    /// The digest.
    public var digest: ContentDigest
    /// The version of the file that has it: the same before and after the read. It differs from the job's `expected` where
    /// the file changed since, but not while it was read again.
    public var version: FileStat
    /// Bytes read for it, further looks included.
    public var bytesRead: UInt64
    /// Whether a second, direct read of the same version had the same digest. Only a digest that `accept` refused is read
    /// twice.
    public var isConfirmedTwice: Bool
}

/// What became of a job.
public enum DigestOutcome: Sendable, Hashable {
    /// The digest; where the job's `accept` refused it, then on two reads.
    case digest(FileDigest)
    /// The job's `accept` refused the first look's digest, and a second, direct look at the same version had another one: the
    /// memory, the page cache or the disk is not to be trusted.
    case inconsistent(first: ContentDigest, second: ContentDigest)
    /// The file changed while it was read, and again when that was tried once more, or is no regular file any more.
    case changed
    /// It could not be opened or read from that offset on.
    case failed(SystemCallFailure, offset: UInt64)
    /// It was not finished when the run was cancelled.
    case cancelled
}

/// How far a run is, for other threads to look at.
public final class DigestProgress: Sendable {
    private let bytes = Atomic<UInt64>(0)

    /// Makes a counter at 0.
    public init() {}

    /// Bytes hashed so far, further looks at the same file included.
    public var bytesHashed: UInt64 { bytes.load(ordering: .relaxed) }

    func add(_ count: Int) { bytes.wrappingAdd(UInt64(count), ordering: .relaxed) }
}
