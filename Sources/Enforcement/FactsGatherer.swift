public import CacheScan
public import HubCache
internal import InUse
public import Ledger
public import LinuxIO
public import Retention
internal import Synchronization
public import Verification

/// Looks at caches for a plan: the pipeline from the disk to findings, and what the ledger remembers.
///
/// It creates and changes nothing in a cache. Its calls block the caller's thread.
public struct FactsGatherer: Sendable {
    private let ledger: Ledger
    private let memory: Memory
    private let options: VerificationOptions
    private let progress: VerificationProgress
    private let cancellation: Cancellation

    /// Makes a gatherer.
    ///
    /// - Parameters:
    ///   - ledger: what is remembered of use, refs and the Hub's answers.
    ///   - memory: the same ledger as verification uses it.
    ///   - jobs: how many threads look at once.
    public init(
        ledger: Ledger, memory: Memory, jobs: Int = availableProcessors(),
        progress: VerificationProgress = VerificationProgress(), cancellation: Cancellation = Cancellation()
    ) {
        self.ledger = ledger
        self.memory = memory
        options = VerificationOptions(depth: .structure, jobs: jobs)
        self.progress = progress
        self.cancellation = cancellation
    }

    /// Looks at one cache, at the depth structure and with what is remembered of the others.
    ///
    /// - Parameters:
    ///   - policy: what the policy says of it.
    ///   - whole: the whole policy.
    ///   - now: the time to judge by.
    /// - Throws: `SystemCallFailure` when the root cannot be read.
    public func gather(
        _ root: CacheRoot, policy: CachePolicy, of whole: Policy, now: Timestamp
    ) throws(SystemCallFailure) -> GatheredCache {
        let found = Mutex<(holdings: [RepoHoldings], store: StoreInventory?)>(([], nil))
        let report = try Verifier(
            root: root, options: options, memory: memory, progress: progress, cancellation: cancellation
        ).verify(
            .everything,
            observe: { observed in
                guard let holdings = RepoHoldings(observed) else { return }
                found.withLock {
                    $0.holdings.append(holdings)
                    $0.store = observed.store
                }
            })
        guard let report else { preconditionFailure("the whole of a cache is always in it") }
        let (holdings, store) = found.withLock { $0 }
        let remembered = RememberedCache(ledger: ledger, cache: root.path, attempts: whole.repair.attempts, now: now)
        let holds = HoldReader(root: root, now: now)
        return FactsBuilder(
            root: root, policy: policy, report: report, holdings: holdings, store: store ?? StoreInventory(),
            remembered: remembered, refusal: Enforcer.refusal(of: root, enforcer: whole.enforcer),
            holds: { holds.holds(of: $0) }
        ).build()
    }
}
