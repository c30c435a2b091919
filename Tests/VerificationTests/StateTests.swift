import CacheScan
import HubCache
import TestSupport
import Testing
import Verification

/// How findings add up to states, and what counts as a subset.
@Suite struct StateTests {
    @Test func corruptBeatsDownloadingBeatsPartialBeatsUnknown() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model(shards: 3)
            func state() throws -> RevisionState { try verify(cache).revision.state }
            // The second shard's blob is gone: partial.
            let second = entries[2]
            cache.outer.delete(repo.place("blobs").appending(second.etag))
            #expect(try state() == .partial)
            // Somebody fetches it: downloading.
            let lock = try HeldLock(cache.outer, repo.lockPlace(second.etag))
            defer { lock.release() }
            #expect(try state() == .downloading)
            // Another shard is cut short: corrupt, whatever else.
            let third = entries[3]
            try cache.outer.resize(repo.place("blobs").appending(third.etag), to: 9)
            #expect(try state() == .corrupt)
        }
    }

    @Test func warningsNeverChangeIt() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try repo.partial(ReferenceDigest.sha256([1]))
            try repo.blob([2])
            let report = try verify(cache)
            #expect(Set(report.codes(.warning)) == [.stalePartial, .orphanBlob])
            #expect(try report.repo().state == .complete)
        }
    }

    @Test func repoIsAsBadAsItsWorstNamedRevision() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try cache.outer.makeFolder(repo.snapshot(commit(2)))
            #expect(try verify(cache).repo().state == .complete, "the empty one has no ref")
            try repo.ref("dev", commit(2))
            #expect(try verify(cache).repo().state == .partial)
            cache.outer.delete(repo.place("refs"))
            #expect(try verify(cache).repo().state == .partial, "without refs all count")
        }
    }

    // MARK: subsets

    @Test func indexWithNoneOfItsShardsIsASubset() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            for number in 1...2 { cache.outer.delete(repo.snapshot(commit(1), BytePath(shardName(number, of: 2)))) }
            let revision = try verify(cache).revision
            #expect(revision.state == .complete)
            #expect(revision.findings.codes == [.subset, .weightsAbsent])
            // One link is enough to make it a model that was begun, even one to nothing.
            try repo.link(BytePath(shardName(1, of: 2)), to: entries[1].etag, at: commit(1))
            let begun = try verify(cache).revision
            #expect(begun.state == .partial)
            #expect(try begun.findings.only(.missingShard).file == BytePath(shardName(2, of: 2)))
        }
    }

    @Test(arguments: [true, false])
    func danglingShardMakesTheRestMissing(withManifest: Bool) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model(withManifest: withManifest)
            cache.outer.delete(repo.snapshot(commit(1), BytePath(shardName(2, of: 2))))
            cache.outer.delete(repo.place("blobs").appending(entries[1].etag))
            let codes = try verify(cache).revision.findings.codes(.error)
            #expect(Set(codes) == [.danglingLink, .missingShard])
        }
    }

    @Test func partialOfAShardMakesTheRestMissing() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            for number in 1...2 { cache.outer.delete(repo.snapshot(commit(1), BytePath(shardName(number, of: 2)))) }
            try repo.partial(entries[1].etag)
            let revision = try verify(cache).revision
            #expect(revision.state == .partial)
            let missing = revision.findings.filter { $0.code == .missingShard }.map(\.file)
            #expect(Set(missing) == [BytePath(shardName(1, of: 2)), BytePath(shardName(2, of: 2))])
        }
    }

    /// A client that fails takes its partial away and leaves the lock.
    @Test func aLockWithoutItsBlobTellsOfADownloadThatFailed() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            let tokenizer = ManifestEntry("tokenizer.json", [1, 2])
            try repo.manifest(commit(1), entries + [tokenizer])
            let manifest = repo.place("trees").appending(commit(1) + ".json")
            let ref = repo.place("refs/main")
            func made(_ place: BytePath, _ time: Int) throws {
                try cache.outer.setTimes(place, accessed: time, modified: time)
            }
            try cache.outer.write(repo.lockPlace(tokenizer.etag), "")
            try made(manifest, 1_600_000_000)
            try made(ref, 1_600_000_000)
            try made(repo.lockPlace(tokenizer.etag), 1_600_000_010)
            let failed = try verify(cache).revision
            #expect(failed.state == .partial)
            #expect(try failed.findings.only(.missingFile).file == "tokenizer.json")
            // Of an earlier download of the same content, before this one began.
            try made(ref, 1_600_000_020)
            #expect(try verify(cache).revision.findings.codes == [.subset])
            try made(ref, 1_600_000_000)
            try made(manifest, 1_600_000_020)
            #expect(try verify(cache).revision.findings.codes == [.subset])
        }
    }

    /// What was begun for one revision was left out on purpose of the one before.
    @Test func aFailedDownloadIsOfTheRevisionThatCameLast() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let tokenizer = ManifestEntry("tokenizer.json", [1, 2])
            for (number, time) in [(1, 1_600_000_000), (2, 1_600_000_020)] {
                let entries = try repo.model(commit(number))
                try repo.manifest(commit(number), entries + [tokenizer])
                let manifest = repo.place("trees").appending(commit(number) + ".json")
                try cache.outer.setTimes(manifest, accessed: time, modified: time)
            }
            try repo.ref("main", commit(2))
            try cache.outer.setTimes(repo.place("refs/main"), accessed: 1_600_000_020, modified: 1_600_000_020)
            let lock = repo.lockPlace(tokenizer.etag)
            try cache.outer.write(lock, "")
            for (time, broken) in [(1_600_000_010, commit(1)), (1_600_000_030, commit(2))] {
                try cache.outer.setTimes(lock, accessed: time, modified: time)
                let found = try verify(cache).repo().revisions.filter { $0.state == .partial }
                #expect(found.map { $0.commit?.hex } == [broken])
            }
        }
    }

    /// Where a revision was complete after the lock was made, somebody took the file away.
    @Test func aFileThatWasTakenAwayIsASubset() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let tokenizer = ManifestEntry("tokenizer.json", [1, 2])
            let entries = try repo.model()
            try repo.manifest(commit(1), entries + [tokenizer])
            let manifest = repo.place("trees").appending(commit(1) + ".json")
            for place in [manifest, repo.place("refs/main")] {
                try cache.outer.setTimes(place, accessed: 1_600_000_000, modified: 1_600_000_000)
            }
            try cache.outer.write(repo.lockPlace(tokenizer.etag), "")
            try repo.file("tokenizer.json", [1, 2], at: commit(1))
            let state = cache.outer.absolute("state").text
            let memory = Memory.open(environment: ["STATE_DIRECTORY": state], programVersion: "test")
            func revision() throws -> RevisionReport {
                let verifier = Verifier(
                    root: try CacheRoot(opening: cache.path), options: VerificationOptions(depth: .structure),
                    memory: memory)
                return try #require(try verifier.verify(.everything)).revision
            }
            #expect(try revision().findings.codes == [])
            cache.outer.delete(repo.snapshot(commit(1), "tokenizer.json"))
            cache.outer.delete(repo.place("blobs").appending(tokenizer.etag))
            #expect(try revision().findings.codes == [.subset])
        }
    }

    @Test func aDirectoryInAFilesPlaceIsNoFile() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            try repo.manifest(commit(1), entries + [ManifestEntry("tokenizer.json", [1, 2])])
            try cache.outer.makeFolder(repo.snapshot(commit(1), "tokenizer.json"))
            let revision = try verify(cache).revision
            #expect(revision.findings.codes == [.notAFile] && revision.state != .complete)
            #expect(try revision.findings.only(.notAFile).file == "tokenizer.json")
        }
    }

    @Test func manifestFilesThatWereNotAskedForAreASubset() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            try repo.manifest(commit(1), entries + [ManifestEntry("onnx/model.onnx", [1, 2])])
            let revision = try verify(cache).revision
            #expect(revision.state == .complete)
            #expect(try revision.findings.only(.subset).detail == "1 of the repo's 5 files were not fetched")
        }
    }

    @Test func anIndexWhoseShardsAreHereIsMissing() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            let index: BytePath = "model.safetensors.index.json"
            try #require(entries.contains { $0.path == index.text })
            cache.outer.delete(repo.snapshot(commit(1), index))
            let revision = try verify(cache).revision
            #expect(revision.state == .partial)
            #expect(try revision.findings.only(.missingFile).file == index)
            // Whoever takes neither it nor the configuration wants the weights alone.
            cache.outer.delete(repo.snapshot(commit(1), "config.json"))
            let weights = try verify(cache).revision
            #expect(weights.state == .complete)
            #expect(weights.findings.codes == [.subset])
        }
    }

    @Test func anIndexOfNoShardThatIsHereIsASubset() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            // Another format, another variant, another set, another folder.
            let others = [
                "model.bin.index.json", "model.safetensors.index.fp16.json", "consolidated.safetensors.index.json",
                "unet/model.safetensors.index.json",
            ]
            try repo.manifest(commit(1), entries + others.map { ManifestEntry($0, [1, 2]) })
            let revision = try verify(cache).revision
            #expect(revision.state == .complete)
            #expect(try revision.findings.only(.subset).detail == "4 of the repo's 8 files were not fetched")
        }
    }

    @Test func independentIndexesAreJudgedOneByOne() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let other = shardIndex([
                ("x", "consolidated-00001-of-00002.safetensors"), ("y", "consolidated-00002-of-00002.safetensors"),
            ])
            try repo.file("consolidated.safetensors.index.json", other, at: commit(1), isLFS: false)
            cache.outer.delete(repo.place("trees"))
            let revision = try verify(cache).revision
            #expect(revision.state == .complete)
            #expect(try revision.findings.only(.subset).file == "consolidated.safetensors.index.json")
        }
    }

    // MARK: sets without an index

    @Test(arguments: [
        ("model_00002-of-00003.bin", ["model_00001-of-00003.bin", "model_00003-of-00003.bin"]),
        ("model-2-of-3.safetensors", ["model-1-of-3.safetensors", "model-3-of-3.safetensors"]),
        (
            "model-00002-of-000003.safetensors",
            ["model-00001-of-000003.safetensors", "model-00003-of-000003.safetensors"]
        ),
        (
            "m-00002-of-00003.fp16.safetensors",
            ["m-00001-of-00003.fp16.safetensors", "m-00003-of-00003.fp16.safetensors"]
        ),
        ("Q4/m-00002-of-00003.gguf", ["Q4/m-00001-of-00003.gguf", "Q4/m-00003-of-00003.gguf"]),
        ("a/b/m-00002-of-00003.gguf", ["a/b/m-00001-of-00003.gguf", "a/b/m-00003-of-00003.gguf"]),
    ])
    func setByItsNames(have: String, missing: [String]) throws {
        try withTestCache { cache in
            try cache.repo().file(BytePath(have), [1], at: commit(1))
            let revision = try verify(cache, depth: .structure).revision
            #expect(revision.state == .partial)
            #expect(revision.findings.filter { $0.code == .missingShard }.map(\.file) == missing.map { BytePath($0) })
        }
    }

    @Test func sameSetInAnotherFolderIsAnotherSet() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("Q4/m-00001-of-00002.gguf", [1], at: commit(1))
            try repo.file("Q8/m-00002-of-00002.gguf", [2], at: commit(1))
            let missing = try verify(cache, depth: .structure).revision.findings.filter { $0.code == .missingShard }
            #expect(missing.map(\.file) == ["Q4/m-00002-of-00002.gguf", "Q8/m-00001-of-00002.gguf"])
        }
    }

    @Test func setWithAManifestThatLacksTheRest() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("m-00001-of-00002.gguf", [1], at: commit(1))
            try repo.manifest(commit(1), [ManifestEntry("m-00001-of-00002.gguf", [1])])
            #expect(try verify(cache, depth: .structure).revision.findings.codes(.error) == [])
        }
    }

    @Test func hugeTotalIsSummedUp() throws {
        try withTestCache { cache in
            try cache.repo().file("m-00001-of-999999.safetensors", [1], at: commit(1))
            let missing = try verify(cache, depth: .structure).revision.findings.filter { $0.code == .missingShard }
            #expect(missing.count == 1000)
            #expect(missing.contains { $0.detail?.contains("more of the 999999 parts") == true })
        }
    }

    @Test func manyHugeTotalsAreBoundedToo() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            for number in 1...60 { try repo.plainFile(BytePath("m\(number)-00001-of-999999.bin"), [1], at: commit(1)) }
            let findings = try verify(cache, depth: .structure).revision.findings
            #expect(findings.count < 5000, "a few hostile names must not make findings without bound")
            #expect(findings.filter { $0.code == .missingShard }.count >= 60)
        }
    }

    @Test(arguments: ["m-3-of-2.gguf", "m-00000-of-00000.bin", "m-1-of-9999999.bin", "-of-.bin"])
    func impossibleNumbersSayNothing(name: String) throws {
        try withTestCache { cache in
            try cache.repo().file(BytePath(name), [1], at: commit(1))
            #expect(try verify(cache, depth: .structure).revision.state == .complete)
        }
    }

    // MARK: live downloads

    @Test func liveDownloadByEveryLockPath() throws {
        for place in [
            ".locks/models--org--model/E.lock", ".locks/models--org--model/blobs/E.lock",
            "models--org--model/blobs/E.lock",
        ] {
            try withTestCache { cache in
                let repo = cache.repo()
                let entries = try repo.model()
                let etag = entries[2].etag
                cache.outer.delete(repo.snapshot(commit(1), BytePath(shardName(2, of: 2))))
                cache.outer.delete(repo.place("blobs").appending(etag))
                try repo.partial(etag)
                let name = cache.place(BytePath(place.replacing("E", with: etag)))
                try cache.outer.setTimes(
                    repo.place("blobs").appending(etag + ".0a1b2c3d.incomplete"), accessed: 1000, modified: 1000)
                let lock = try HeldLock(cache.outer, name)
                let report = try verify(cache)
                #expect(try report.revision.state == .downloading, "\(place)")
                #expect(report.codes(.error).isEmpty && report.codes(.warning).isEmpty, "\(place): \(report.all)")
                lock.release()
                let dead = try verify(cache)
                #expect(try dead.revision.state == .partial, "\(place)")
                #expect(Set(dead.all.codes(.error)) == [.missingFile, .missingShard])
                #expect(dead.all.has(.stalePartial))
            }
        }
    }

    @Test(arguments: [true, false])
    func heldLockWithoutAPartialYet(withManifest: Bool) throws {
        for place in [
            ".locks/models--org--model/E.lock", ".locks/models--org--model/blobs/E.lock",
            "models--org--model/blobs/E.lock",
        ] {
            try withTestCache { cache in
                let repo = cache.repo()
                let entries = try repo.model(withManifest: withManifest)
                let etag = entries[2].etag
                cache.outer.delete(repo.snapshot(commit(1), BytePath(shardName(2, of: 2))))
                cache.outer.delete(repo.place("blobs").appending(etag))
                let lock = try HeldLock(cache.outer, cache.place(BytePath(place.replacing("E", with: etag))))
                defer { lock.release() }
                let report = try verify(cache)
                #expect(try report.revision.state == .downloading, "\(place)")
                #expect(report.codes(.error).isEmpty, "\(place): \(report.all)")
            }
        }
    }

    @Test(arguments: [
        ".0a1b2c3d.incomplete", ".incomplete", ".part", ".sync.part", ".downloadInProgress", ".hfjanitor-part",
    ])
    func partialOfEveryWriter(suffix: String) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            let etag = entries[2].etag
            cache.outer.delete(repo.snapshot(commit(1), BytePath(shardName(2, of: 2))))
            cache.outer.delete(repo.place("blobs").appending(etag))
            try repo.partial(etag, suffix: suffix)
            // Open for writing, and nothing else to tell by: llama.cpp and JavaScript take no lock.
            let file = try HeldFile(cache.outer, repo.place("blobs").appending(etag + suffix))
            let live = try verify(cache)
            #expect(try live.revision.state == .downloading)
            #expect(live.codes(.error).isEmpty && live.codes(.warning).isEmpty, "\(live.all)")
            file.release()
            let dead = try verify(cache)
            #expect(try dead.revision.state == .partial)
            #expect(try dead.repo().findings.only(.stalePartial).path.hasSuffix(suffix))
        }
    }

    @Test func downloadOfAnotherFileIsNotThisRevisions() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            cache.outer.delete(repo.snapshot(commit(1), BytePath(shardName(2, of: 2))))
            // By its manifest nobody fetches what it lacks.
            let lock = try HeldLock(cache.outer, repo.lockPlace(ReferenceDigest.sha256([42])))
            defer { lock.release() }
            #expect(try verify(cache).revision.state == .partial)
            // Without one nobody can tell.
            cache.outer.delete(repo.place("trees"))
            #expect(try verify(cache).revision.state == .downloading)
        }
    }

    @Test func downloadWhileNothingIsAbsentChangesNothing() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            let lock = try HeldLock(cache.outer, repo.lockPlace(ReferenceDigest.sha256([42])))
            defer { lock.release() }
            #expect(try verify(cache).revision.state == .complete)
            // What is here already is none of what may be absent, manifest or not.
            lock.release()
            cache.outer.delete(repo.place("trees"))
            let own = try HeldLock(cache.outer, repo.lockPlace(entries[1].etag))
            defer { own.release() }
            #expect(try verify(cache).revision.state == .complete)
        }
    }

    /// Clients before 1.0 write no manifest: of a weight file that no index names, nothing is here but what is on its way.
    @Test(arguments: [true, false]) func downloadThatNothingNames(hasPartial: Bool) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(withManifest: false)
            let etag = ReferenceDigest.sha256([42])
            if hasPartial { try repo.partial(etag) }
            let lock = try HeldLock(cache.outer, repo.lockPlace(etag))
            let revision = try verify(cache).revision
            #expect(revision.state == .downloading)
            #expect(try revision.findings.only(.inFlight).blob == BytePath(etag))
            #expect(revision.possibleLeftovers.isEmpty)
            lock.release()
            // An interrupted one is no proof that anything is absent.
            let left = try verify(cache).revision
            #expect(left.state == .complete)
            #expect(left.possibleLeftovers.count == (hasPartial ? 1 : 0))
        }
    }

    @Test func aBlobWithoutALinkYetIsArrivingWhileItsLockIsHeld() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(withManifest: false)
            try repo.blob([42])
            let lock = try HeldLock(cache.outer, repo.lockPlace(ReferenceDigest.sha256([42])))
            defer { lock.release() }
            #expect(try verify(cache).revision.state == .downloading)
        }
    }

    @Test func downloadThatIsAnotherRevisions() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(withManifest: false)
            try repo.file("config.json", Array("{}".utf8), at: commit(2), isLFS: false)
            let content: [UInt8] = [42]
            let lock = try HeldLock(cache.outer, repo.lockPlace(ReferenceDigest.sha256(content)))
            defer { lock.release() }
            func state(_ number: Int) throws -> RevisionState {
                try verify(cache).repo().revision(commit(number)).state
            }
            // The one that a ref names is fetched, as far as anybody can tell.
            #expect(try state(1) == .downloading)
            try repo.ref("main", commit(2))
            #expect(try state(1) == .complete)
            // A manifest tells for sure.
            try repo.ref("main", commit(1))
            try repo.manifest(commit(2), [ManifestEntry("model.safetensors", content)])
            #expect(try state(1) == .complete)
            #expect(try state(2) == .downloading)
        }
    }

    @Test func emptySnapshotWhileItArrives() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try cache.outer.makeFolder(repo.snapshot(commit(1)))
            let lock = try HeldLock(cache.outer, repo.lockPlace(ReferenceDigest.sha256([42])))
            defer { lock.release() }
            let revision = try verify(cache).revision
            #expect(revision.state == .downloading)
            #expect(revision.findings.codes(.error).isEmpty)
        }
    }

    @Test func oldTemporaryThatSomebodyWrites() throws {
        try withTestCache { cache in
            try cache.outer.write("hub/tmpabcd1234", [1])
            let file = try HeldFile(cache.outer, "hub/tmpabcd1234")
            #expect(try verify(cache).findings.codes == [.inFlight])
            file.release()
            #expect(try verify(cache).findings.codes == [.stalePartial])
        }
    }

    @Test func selectedRevisionOnly() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try cache.outer.makeFolder(repo.snapshot(commit(2)))
            let one = try verify(cache, .repo(repo.id, CommitHash(commit(1))))
            #expect(try one.revision.commit?.hex == commit(1))
            #expect(one.codes(.error).isEmpty)
            let root = try verify(cache, .repo(repo.id, nil))
            #expect(try root.repo().revisions.count == 2)
        }
    }
}
