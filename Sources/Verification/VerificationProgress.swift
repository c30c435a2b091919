internal import Digests
internal import Synchronization

/// How far a verification is. Written by its threads, read by whoever shows it.
public final class VerificationProgress: Sendable {
    private let reposTotalValue = Atomic<Int>(0)
    private let reposDoneValue = Atomic<Int>(0)
    private let bytesTotalValue = Atomic<UInt64>(0)
    let hashing = DigestProgress()

    /// Makes a progress at its start.
    public init() {}

    /// Repos to look at.
    public var reposTotal: Int { reposTotalValue.load(ordering: .relaxed) }
    /// Repos looked at.
    public var reposDone: Int { reposDoneValue.load(ordering: .relaxed) }
    /// Bytes to hash; 0 until that is known.
    public var bytesTotal: UInt64 { bytesTotalValue.load(ordering: .relaxed) }
    /// Bytes hashed.
    public var bytesDone: UInt64 { hashing.bytesHashed }

    func begin(repos: Int) { reposTotalValue.wrappingAdd(repos, ordering: .relaxed) }
    func finishRepo() { reposDoneValue.wrappingAdd(1, ordering: .relaxed) }
    func begin(bytes: UInt64) { bytesTotalValue.wrappingAdd(bytes, ordering: .relaxed) }
}
