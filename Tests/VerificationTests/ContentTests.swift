import CacheScan
import Foundation
import HubCache
import LinuxIO
import TestSupport
import Testing
import Verification

/// What the digests depth finds, and what is remembered of it.
@Suite struct ContentTests {
    private let weights = safetensors([("a", [1, 2, 3, 4])])

    /// Verifies with a ledger of the test's own.
    private func verify(_ cache: TestCache, _ depth: VerificationDepth, _ selection: CacheSelection = .everything)
        throws -> CacheReport
    {
        let state = cache.outer.absolute("state").text
        let memory = Memory.open(environment: ["STATE_DIRECTORY": state], programVersion: "test")
        let root = try CacheRoot(opening: cache.path)
        let verifier = Verifier(root: root, options: VerificationOptions(depth: depth), memory: memory)
        return try #require(try verifier.verify(selection))
    }

    private func repoID(_ name: String) throws -> RepoID { try #require(RepoID(type: .model, name: name)) }

    /// Long enough ago that what is hashed now may be remembered.
    private func age(_ cache: TestCache) { sleepMilliseconds(2200) }

    @Test func flippedByteIsFoundAndRemembered() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            var wrong = weights
            wrong[wrong.count - 1] ^= 1
            try repo.blob(named: ReferenceDigest.sha256(weights), wrong)
            try repo.link("model.safetensors", to: ReferenceDigest.sha256(weights), at: commit(1))
            try repo.ref("main", commit(1))
            #expect(try verify(cache, .headers).revision.state == .complete)
            // Just written: it is looked at again when it may be remembered, so that nothing calls it good afterwards.
            let found = try verify(cache, .digests).revision.findings.only(.digestMismatch)
            #expect(found.expected == ReferenceDigest.sha256(weights))
            #expect(found.actual == ReferenceDigest.sha256(wrong))
            #expect(try verify(cache, .headers).revision.state == .corrupt)
            #expect(try verify(cache, .structure).revision.state == .corrupt)
        }
    }

    @Test func oneContentUnderTwoNames() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let right = ReferenceDigest.sha256(weights)
            let wrong = ReferenceDigest.sha256([9])
            let payload = try cache.payload(weights)
            for (name, etag) in [("o/a", right), ("o/b", wrong)] {
                let repo = cache.repo(name)
                try repo.linkBlob(etag, toPayload: payload)
                try repo.link("model.safetensors", to: etag, at: commit(1))
                try repo.ref("main", commit(1))
            }
            age(cache)
            _ = try verify(cache, .digests)
            #expect(try verify(cache, .structure).repo("model/o/b").state == .corrupt)
            #expect(try verify(cache, .structure).repo("model/o/a").state == .complete)
            // Looking at the sound one alone does not make the other forgotten.
            _ = try verify(cache, .digests, .repo(repoID("o/a"), nil))
            #expect(try verify(cache, .structure).repo("model/o/b").state == .corrupt)
        }
    }

    @Test func badHeaderIsRememberedForItsFormatOnly() throws {
        try withTestCache { cache in
            let junk: [UInt8] = Array(repeating: 0xee, count: 100)
            let etag = try cache.repo("o/a").file("model.safetensors", junk, at: commit(1))
            let other = cache.repo("o/b")
            let target = cache.place("models--o--a/blobs").appending(etag)
            try cache.outer.makeFolder(other.place("blobs"))
            try cache.outer.hardLink(other.place("blobs").appending(etag), to: target)
            try other.link("a.bin", to: etag, at: commit(1))
            age(cache)
            for _ in 0..<2 {
                _ = try verify(cache, .headers)
                #expect(try verify(cache, .structure).repo("model/o/a").state == .corrupt)
                #expect(try verify(cache, .structure).repo("model/o/b").state == .complete)
            }
        }
    }

    @Test func brokenHeaderWithTheRightDigestIsThePublishers() throws {
        try withTestCache { cache in
            try cache.repo().file("model.safetensors", [1, 2, 3], at: commit(1))
            #expect(try verify(cache, .headers).revision.findings.codes(.error) == [.headerInvalid])
            #expect(try verify(cache, .digests).revision.findings.codes(.error) == [.badUpstream])
        }
    }

    @Test func contentWithoutAnyDigestIsSaid() throws {
        try withTestCache { cache in
            try cache.repo().plainFile("model.safetensors", weights, at: commit(1))
            #expect(try verify(cache, .digests).revision.findings.contains { $0.code == .unverifiable })
        }
    }

    @Test func indexIsHeldAgainstTheShardsOfEveryRevision() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let index = shardIndex([("a", shardName(1, of: 1))])
            for (digit, tensor) in [(1, "a"), (2, "b")] {
                try repo.file("model.safetensors.index.json", index, at: commit(digit))
                let shard = safetensors([(tensor, [1, 2, 3, 4])])
                try repo.file(BytePath(shardName(1, of: 1)), shard, at: commit(digit))
            }
            let report = try verify(cache, .headers).repo()
            #expect(try report.revision(commit(1)).state == .complete)
            #expect(try report.revision(commit(2)).findings.codes(.error) == [.tensorMissing])
        }
    }

    @Test func setsNumberedFromZero() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            for number in 0...2 {
                try repo.file(BytePath("m-0000\(number)-of-00003.bin"), [UInt8(number)], at: commit(1))
            }
            #expect(try verify(cache, .structure).revision.state == .complete)
            cache.outer.delete(repo.snapshot(commit(1), "m-00001-of-00003.bin"))
            let missing = try verify(cache, .structure).revision.findings.only(.missingShard)
            #expect(missing.file == "m-00001-of-00003.bin")
        }
    }

    @Test func folderLinkInPlaceOfSnapshotsMakesNoOrphans() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("model.safetensors", weights, at: commit(1))
            try cache.outer.move(repo.place("snapshots"), to: repo.place("elsewhere"))
            try cache.outer.link(repo.place("snapshots"), to: "elsewhere")
            let report = try verify(cache, .structure)
            #expect(!report.all.contains { $0.code == .orphanBlob })
            #expect(report.reclaimableBytes == 0)
        }
    }
}
