import CacheScan
import Enforcement
import Foundation
import HubCache
import Ledger
import LinuxIO
import Retention
import TestSupport
import Testing
import Verification

/// The bytes that are predicted are those that the disk gets back, over both hops and hard links.
@Suite struct BytesTests {
    /// Large enough that folders and lock files do not matter.
    private static let size = 1 << 18
    /// What folders and lock files may come to.
    private static let slack: UInt64 = 8 * 4096

    private func content(_ digit: UInt8) -> [UInt8] { [UInt8](repeating: digit, count: Self.size) }

    private func gather(_ cache: TestCache, minFree: Amount? = nil) throws -> Enforcer {
        let ledger = Ledger.disabled
        let root = try CacheRoot(opening: cache.path)
        var policy = CachePolicy(path: root.path)
        policy.minAge = .zero
        policy.minFree = minFree
        policy.irreplaceable = .evict
        let now = currentTime()
        let gathered = try FactsGatherer(ledger: ledger, memory: Memory(ledger)).gather(
            root, policy: policy, of: Policy(), now: now)
        var settings = Enforcer.Settings(policy: Policy(), now: now)
        settings.settle = .milliseconds(50)
        return Enforcer(caches: [gathered], settings: settings, ledger: ledger)
    }

    /// Removes what is named, and compares the bytes that were predicted with those that the tree lost.
    ///
    /// - Returns: the predicted bytes.
    @discardableResult
    private func remove(_ commits: [(String, String)], from cache: TestCache, whole: Bool = false) throws -> UInt64 {
        let enforcer = try gather(cache)
        var removal = NamedRemoval()
        for (name, commit) in commits {
            let id = try #require(RepoID(type: .model, name: name))
            let hash = try #require(CommitHash(BytePath(commit)))
            removal.items.append(try #require(enforcer.caches[0].item(of: hash, in: id, cache: 0)))
        }
        let before = CacheScan.allocatedBytes(of: try CacheRoot(opening: cache.outer.path))
        let plan = enforcer.plan(removal)
        #expect(plan.kept.isEmpty, "\(plan.kept)")
        let predicted = plan.actions.reduce(UInt64(0)) { $0 + $1.bytes }
        let outcome = enforcer.remove(plan, of: removal) { _ in }
        #expect(outcome.removed.count == commits.count, "\(outcome.kept) \(outcome.failed)")
        let after = CacheScan.allocatedBytes(of: try CacheRoot(opening: cache.outer.path))
        let lost = Int64(before) - Int64(after)
        #expect((lost - Int64(predicted)).magnitude <= Self.slack, "predicted \(predicted), lost \(lost)")
        #expect(
            (lost - Int64(outcome.removedBytes())).magnitude <= Self.slack,
            "told \(outcome.removedBytes()), lost \(lost)")
        return predicted
    }

    /// What was announced is what is told: refs, manifest and links count in both.
    @Test func announcedAndToldAreTheSame() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.repo().ref("v1", commit(1))
            let enforcer = try gather(cache)
            let id = try #require(RepoID(type: .model, name: "org/model"))
            let hash = try #require(CommitHash(BytePath(commit(1))))
            var removal = NamedRemoval()
            removal.items.append(try #require(enforcer.caches[0].item(of: hash, in: id, cache: 0)))
            let plan = enforcer.plan(removal)
            let told = enforcer.remove(plan, of: removal) { _ in }.removedBytes()
            #expect(told == plan.actions.reduce(UInt64(0)) { $0 + $1.bytes })
        }
    }

    @Test func ofItsOwn() throws {
        try withTestCache { cache in
            try cache.repo().file("a.bin", content(1), at: commit(1))
            try cache.repo().file("b.bin", content(2), at: commit(1))
            try cache.repo("org/other").file("a.bin", content(1), at: commit(1))
            #expect(try remove([("org/model", commit(1))], from: cache) >= 2 * UInt64(Self.size))
        }
    }

    @Test func sharedByRevisions() throws {
        try withTestCache { cache in
            for number in 1...3 {
                try cache.repo().file("shared.bin", content(1), at: commit(number))
                try cache.repo().file("own.bin", content(UInt8(10 + number)), at: commit(number))
            }
            let alone = try remove([("org/model", commit(1))], from: cache)
            #expect(alone < UInt64(Self.size) * 3 / 2)
            let rest = try remove([("org/model", commit(2)), ("org/model", commit(3))], from: cache)
            #expect(rest >= 3 * UInt64(Self.size))
        }
    }

    @Test func hardLinkedElsewhere() throws {
        try withTestCache { cache in
            let etag = try cache.repo().file("a.bin", content(1), at: commit(1))
            try cache.outer.makeFolder("outside")
            try cache.outer.hardLink("outside/copy", to: cache.repo().place("blobs").appending(etag))
            #expect(try remove([("org/model", commit(1))], from: cache) < UInt64(Self.size))
        }
    }

    @Test func hardLinkedInAnotherRepo() throws {
        try withTestCache { cache in
            let etag = try cache.repo().file("a.bin", content(1), at: commit(1))
            let other = cache.repo("org/other")
            try cache.outer.makeFolder(other.place("blobs"))
            try cache.outer.hardLink(
                other.place("blobs").appending(etag), to: cache.repo().place("blobs").appending(etag))
            try other.link("a.bin", to: etag, at: commit(1))
            let both = try gather(cache)
            #expect(both.caches[0].facts.revisions.count == 2)
            #expect(try remove([("org/model", commit(1))], from: cache) < UInt64(Self.size))
            #expect(try remove([("org/other", commit(1))], from: cache) >= UInt64(Self.size))
        }
    }

    @Test func hardLinkedInBothThatGo() throws {
        try withTestCache { cache in
            let etag = try cache.repo().file("a.bin", content(1), at: commit(1))
            let other = cache.repo("org/other")
            try cache.outer.makeFolder(other.place("blobs"))
            try cache.outer.hardLink(
                other.place("blobs").appending(etag), to: cache.repo().place("blobs").appending(etag))
            try other.link("a.bin", to: etag, at: commit(1))
            let bytes = try remove([("org/model", commit(1)), ("org/other", commit(1))], from: cache)
            #expect(bytes >= UInt64(Self.size))
            #expect(bytes < UInt64(Self.size) * 3 / 2)
        }
    }

    @Test func inTheSharedStore() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let etag = ReferenceDigest.sha256(content(1))
            let payload = try cache.payload(
                content(1),
                references: ["models--org--model/blobs/\(etag)", "models--org--other/blobs/\(etag)"])
            for name in ["org/model", "org/other"] {
                try cache.repo(name).linkBlob(etag, toPayload: payload)
                try cache.repo(name).link("a.bin", to: etag, at: commit(1))
            }
            #expect(try remove([("org/model", commit(1))], from: cache) < UInt64(Self.size))
            #expect(try remove([("org/other", commit(1))], from: cache) >= UInt64(Self.size))
        }
    }

    /// Each of several removals at once has a name of the payload until the end: its bytes are told once.
    @Test func inTheSharedStoreOfThreeRepos() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let etag = ReferenceDigest.sha256(content(1))
            let names = ["org/one", "org/two", "org/three"]
            let payload = try cache.payload(
                content(1), references: names.map { "\(cache.repo($0).folder.text)/blobs/\(etag)" })
            for name in names {
                try cache.repo(name).linkBlob(etag, toPayload: payload)
                try cache.repo(name).link("a.bin", to: etag, at: commit(1))
            }
            let bytes = try remove(names.map { ($0, commit(1)) }, from: cache)
            #expect(bytes >= UInt64(Self.size) && bytes < UInt64(Self.size) * 3 / 2)
        }
    }

    /// What the Hub said is what the next plan goes by.
    @Test func whatTheHubSaidIsRemembered() throws {
        try withTestCache { cache in
            try cache.repo("org/gone").model()
            try cache.repo("org/kept").model(commit(2))
            let ledger = Ledger.open(directory: cache.outer.path.appending("state"), programVersion: "test")
            let root = try CacheRoot(opening: cache.path)
            func enforcer() throws -> Enforcer {
                var caches = CachePolicy(path: root.path)
                caches.minAge = .zero
                caches.recentUse = .zero
                var policy = Policy()
                policy.rules = [Rule(name: "all")]
                let now = currentTime()
                let gathered = try FactsGatherer(ledger: ledger, memory: Memory(ledger)).gather(
                    root, policy: caches, of: policy, now: now)
                var settings = Enforcer.Settings(policy: policy, now: now)
                settings.settle = .milliseconds(50)
                return Enforcer(caches: [gathered], settings: settings, ledger: ledger)
            }
            let first = try enforcer()
            #expect(first.plan().caches[0].actions.map(\.hub) == [.unasked])
            let report = first.enforce(askHub: { _ in .refused(reason: "no such repo") }, report: { _ in })
            #expect(report.pass.removed.isEmpty)
            let second = try enforcer().plan().caches[0]
            #expect(second.actions.isEmpty)
            let reasons = second.kept.flatMap(\.reasons).filter { $0.by == .irreplaceable }
            #expect(reasons.contains { $0.detail.contains("no such repo") }, "\(second.kept)")
        }
    }

    @Test func aRepoThatTheManifestForgotKeepsItsPayload() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let etag = ReferenceDigest.sha256(content(1))
            let payload = try cache.payload(content(1), references: ["models--org--model/blobs/\(etag)"])
            for name in ["org/model", "org/other"] {
                try cache.repo(name).linkBlob(etag, toPayload: payload)
                try cache.repo(name).link("a.bin", to: etag, at: commit(1))
            }
            #expect(try remove([("org/model", commit(1))], from: cache) < UInt64(Self.size))
            #expect(try remove([("org/other", commit(1))], from: cache) >= UInt64(Self.size))
        }
    }

    @Test func withoutLinks() throws {
        try withTestCache { cache in
            try cache.repo().plainFile("deep/er/a.bin", content(1), at: commit(1))
            try cache.repo().plainFile("b.bin", content(2), at: commit(1))
            try cache.repo("org/other").plainFile("b.bin", content(2), at: commit(1))
            #expect(try remove([("org/model", commit(1))], from: cache) >= 2 * UInt64(Self.size))
        }
    }

    /// What keeps the revision of `org/model`.
    private func keepers(_ cache: TestCache) throws -> [Keeper] {
        let enforcer = try gather(cache)
        let id = try #require(RepoID(type: .model, name: "org/model"))
        let hash = try #require(CommitHash(BytePath(commit(1))))
        let item = try #require(enforcer.caches[0].item(of: hash, in: id, cache: 0))
        return enforcer.plan(NamedRemoval(items: [item])).kept.flatMap(\.reasons).map(\.by)
    }

    @Test func whatAnotherRepoLinksToStays() throws {
        for target in ["blobs/ETAG", "snapshots/\(commit(1))/a.bin", "snapshots/\(commit(1))"] {
            try withTestCache { cache in
                let etag = try cache.repo().file("a.bin", content(1), at: commit(1))
                #expect(try keepers(cache).isEmpty)
                let path = "../../../models--org--model/" + target.replacingOccurrences(of: "ETAG", with: etag)
                try cache.outer.link(cache.repo("org/other").snapshot(commit(2), "linked"), to: BytePath(path))
                #expect(try keepers(cache) == [.foreignEntry], "\(target)")
            }
        }
    }

    /// Whoever plans by rules, a command or the daemon: a floor that no eviction can reach evicts nothing. What is named goes.
    @Test func aFloorBeyondTheFilesystemEvictsNothing() throws {
        try withTestCache { cache in
            for number in 1...3 {
                try cache.repo("org/m\(number)").file("a.bin", content(UInt8(number)), at: commit(1))
            }
            let within = try gather(cache, minFree: .partsPerMillion(999_999)).plan().caches[0]
            #expect(within.actions.count == 2)
            let enforcer = try gather(cache, minFree: .bytes(1 << 60))
            let beyond = enforcer.plan().caches[0]
            #expect(beyond.actions.isEmpty)
            #expect(beyond.notes.contains { $0.contains("min-free") }, "\(beyond.notes)")
            var outcomes = 0
            let report = enforcer.enforce(askHub: { _ in .confirmed }, report: { _ in outcomes += 1 })
            #expect(outcomes == 0 && report.pass.removed.isEmpty)
            let item = try #require(enforcer.caches[0].facts.revisions.indices.first)
            #expect(enforcer.plan(NamedRemoval(items: [.revision(cache: 0, index: item)])).kept.isEmpty)
        }
    }

    @Test func whatHasAnotherNameStays() throws {
        try withTestCache { cache in
            try cache.repo().file("a.bin", content(1), at: commit(1))
            try cache.outer.link(cache.place("models--org--alias"), to: "models--org--model")
            #expect(try keepers(cache) == [.foreignEntry])
        }
    }
}
