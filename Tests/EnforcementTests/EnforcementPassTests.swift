import Enforcement
import HubCache
import Retention
import Testing

/// The order of a pass: ask, act, learn, plan anew; and never more than the prediction needs.
@Suite struct EnforcementPassTests {
    private static let gigabyte: UInt64 = 1_000_000_000
    private static let now = Timestamp(seconds: 1_790_000_000)

    /// A cache of so many old revisions of 10 GB each, the first the least recently used.
    private func facts(revisions: Int, free: UInt64, floor: UInt64, irreplaceable: CachePolicy.Irreplaceable = .keep)
        throws
        -> CacheFacts
    {
        var policy = CachePolicy(path: "/cache")
        policy.minFree = .bytes(floor)
        policy.targetFree = .bytes(floor + 1)
        policy.irreplaceable = irreplaceable
        var facts = CacheFacts(
            path: "/cache", policy: policy,
            filesystem: FilesystemFacts(
                id: 1, name: "test", totalBytes: 1000 * Self.gigabyte, freeBytes: free, keepsAccessTimes: true),
            bytes: UInt64(revisions) * 10 * Self.gigabyte)
        for number in 0..<revisions {
            let id = try #require(RepoID(type: .model, name: "org/m\(number)"))
            facts.repos.append(RepoFacts(id: id, folder: id.folder))
            let commit = try #require(CommitHash(BytePath(String(repeating: "a", count: 40))))
            let arrived = Timestamp(seconds: Self.now.seconds - 90 * 86_400 + Int64(number) * 3600)
            var revision = RevisionFacts(repo: number, commit: commit, state: .complete, arrived: arrived)
            revision.bytes = 10 * Self.gigabyte
            revision.wasComplete = true
            revision.lastUse = LastUse(time: arrived, source: .mtime)
            let node = facts.storage.add(bytes: 10 * Self.gigabyte)
            facts.storage.addHolder(of: node)
            revision.nodes = [node]
            facts.revisions.append(revision)
        }
        return facts
    }

    /// What happened in a pass, in order.
    private final class Log {
        var lines: [String] = []
        var batches: [[Int]] = []
    }

    private func run(
        _ facts: CacheFacts, ask: @escaping (Int) -> HubReply = { _ in .confirmed },
        outcome: @escaping (Int) -> ActionOutcome = { _ in .removed(bytes: 10 * gigabyte) }, stopAfter: Int = .max
    ) -> (outcome: PassOutcome, log: Log) {
        let log = Log()
        func number(_ item: Item) -> Int { if case .revision(_, let index) = item { index } else { -1 } }
        let pass = EnforcementPass(
            facts: [facts],
            planner: { facts, learned in
                Planner(policy: Policy(), caches: facts, now: Self.now, extraKeepers: learned)
            },
            evidence: { _ in ItemEvidence() },
            ask: {
                log.lines.append("ask \(number($0))")
                return ask(number($0))
            },
            carryOut: { actions in
                log.batches.append(actions.map { number($0.item) })
                return actions.map { outcome(number($0.item)) }
            },
            isCancelled: { log.batches.count >= stopAfter },
            report: { event in
                switch event {
                case .removed(let action, _): log.lines.append("removed \(number(action.item))")
                case .kept(let action, let reasons):
                    log.lines.append("kept \(number(action.item)) \(reasons.map(\.by.rawValue))")
                case .failed(let action, _): log.lines.append("failed \(number(action.item))")
                }
            })
        return (pass.run(), log)
    }

    @Test func removesWhatIsNeededAndNoMore() throws {
        let facts = try facts(revisions: 6, free: 75 * Self.gigabyte, floor: 100 * Self.gigabyte)
        let (outcome, log) = run(facts)
        #expect(log.batches == [[0, 1, 2]])
        #expect(log.lines == ["ask 0", "ask 1", "ask 2", "removed 0", "removed 1", "removed 2"])
        #expect(outcome.plan.caches[0].isReached)
        #expect(outcome.removedBytes() == 30 * Self.gigabyte)
    }

    @Test func nothingToDoAsksNobody() throws {
        let facts = try facts(revisions: 6, free: 200 * Self.gigabyte, floor: 100 * Self.gigabyte)
        let (outcome, log) = run(facts)
        #expect(log.lines.isEmpty && log.batches.isEmpty)
        #expect(outcome.plan.caches[0].isReached)
    }

    @Test func whatTheHubRefusesIsReplacedByTheNext() throws {
        let facts = try facts(revisions: 6, free: 85 * Self.gigabyte, floor: 100 * Self.gigabyte)
        let (outcome, log) = run(facts, ask: { $0 == 0 ? .refused(reason: "gone") : .confirmed })
        #expect(log.batches == [[1, 2]])
        #expect(outcome.plan.caches[0].isReached)
        let kept = try #require(outcome.plan.caches[0].kept.first { $0.item == .revision(cache: 0, index: 0) })
        #expect(kept.reasons.contains { $0.by == .irreplaceable })
    }

    @Test func aBusyOneIsReplacedByTheNext() throws {
        let facts = try facts(revisions: 6, free: 85 * Self.gigabyte, floor: 100 * Self.gigabyte)
        let (outcome, log) = run(
            facts, outcome: { $0 == 1 ? .kept([Kept(by: .open, "process 7")]) : .removed(bytes: 10 * Self.gigabyte) })
        #expect(log.batches == [[0, 1], [2]])
        #expect(outcome.kept.count == 1 && outcome.removed.count == 2)
        #expect(outcome.plan.caches[0].isReached)
    }

    @Test func aFailureIsNotTriedAgain() throws {
        let facts = try facts(revisions: 4, free: 85 * Self.gigabyte, floor: 100 * Self.gigabyte)
        let (outcome, log) = run(facts, outcome: { _ in .failed("EIO", isPermission: false) })
        #expect(Set(log.batches.flatMap(\.self)).count == log.batches.flatMap(\.self).count)
        #expect(outcome.removed.isEmpty && !outcome.failed.isEmpty)
        #expect(!outcome.plan.caches[0].isReached)
    }

    @Test func offlineRemovesNothing() throws {
        let facts = try facts(revisions: 4, free: 85 * Self.gigabyte, floor: 100 * Self.gigabyte)
        let (outcome, log) = run(facts, ask: { _ in .none(reason: "offline") })
        #expect(log.batches.isEmpty && !log.lines.contains { $0.hasPrefix("kept") })
        #expect(outcome.hubSilence == "offline")
        #expect(!outcome.plan.caches[0].isReached)
        #expect(outcome.plan.caches[0].notes.contains { $0.contains("irreplaceable") })
    }

    @Test func whoDoesNotAnswerThreeTimesIsNotAskedAgain() throws {
        let facts = try facts(revisions: 200, free: 85 * Self.gigabyte, floor: 1000 * Self.gigabyte)
        let (outcome, log) = run(facts, ask: { _ in .none(reason: "timeout") })
        #expect(log.lines == ["ask 0", "ask 1", "ask 2"])
        #expect(outcome.removed.isEmpty && outcome.hubSilence == "timeout")
    }

    @Test func oneSilenceIsNoRefusalOfTheRest() throws {
        let facts = try facts(revisions: 6, free: 85 * Self.gigabyte, floor: 100 * Self.gigabyte)
        let (outcome, _) = run(facts, ask: { $0 == 0 ? .none(reason: "timeout") : .confirmed })
        #expect(outcome.removed.count == 2)
        #expect(outcome.plan.caches[0].isReached)
    }

    @Test func evictAsksNobody() throws {
        let facts = try facts(
            revisions: 4, free: 85 * Self.gigabyte, floor: 100 * Self.gigabyte, irreplaceable: .evict)
        let (_, log) = run(facts, ask: { _ in .refused(reason: "offline") })
        #expect(log.lines == ["removed 0", "removed 1"])
    }

    @Test func itStopsWhenTold() throws {
        let facts = try facts(revisions: 300, free: 0, floor: 2000 * Self.gigabyte)
        let (outcome, log) = run(facts, stopAfter: 1)
        #expect(log.batches.count == 1)
        #expect(outcome.isCancelled)
    }
}
