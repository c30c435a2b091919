import HubCache
import TestSupport
import Testing
import Verification

/// One test at least for every code that structure and headers can find.
@Suite struct FindingTests {
    @Test func wholeModelIsComplete() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let report = try verify(cache)
            #expect(report.all.isEmpty, "\(report.all)")
            let revision = try report.revision
            #expect(revision.state == .complete)
            #expect(revision.refs == ["main"])
            #expect(revision.fileCount == 4)
        }
    }

    @Test func missingShardOfAnIndex() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            cache.outer.delete(repo.snapshot(commit(1), BytePath(shardName(2, of: 2))))
            let revision = try verify(cache).revision
            let finding = try revision.findings.only(.missingShard)
            #expect(finding.file == BytePath(shardName(2, of: 2)))
            #expect(
                finding.path == BytePath("models--org--model/snapshots/\(commit(1))/model-00002-of-00002.safetensors"))
            #expect(revision.state == .partial)
        }
    }

    @Test func missingShardWithoutAManifest() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model(withManifest: false)
            cache.outer.delete(repo.snapshot(commit(1), BytePath(shardName(1, of: 2))))
            #expect(try verify(cache).revision.findings.only(.missingShard).file == BytePath(shardName(1, of: 2)))
        }
    }

    @Test func missingFileWhosePartialIsHere() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let tokenizer = ManifestEntry("tokenizer.json", Array("{}".utf8))
            let entries = try repo.model() + [tokenizer]
            try repo.manifest(commit(1), entries)
            try repo.partial(tokenizer.etag)
            let report = try verify(cache)
            let finding = try report.revision.findings.only(.missingFile)
            #expect(finding.file == "tokenizer.json")
            #expect(finding.blob == BytePath(tokenizer.etag))
            #expect(try report.revision.state == .partial)
            #expect(try report.repo().findings.only(.stalePartial).blob == BytePath(tokenizer.etag))
        }
    }

    @Test func missingFileWhosePartialIsNamedByItsXetHash() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let hash = String(repeating: "ab", count: 32)
            let file = ManifestEntry("extra.bin", [1, 2, 3], xetHash: hash)
            try repo.manifest(commit(1), try repo.model() + [file])
            try repo.partial(hash, suffix: ".incomplete")
            #expect(try verify(cache).revision.findings.only(.missingFile).file == "extra.bin")
        }
    }

    @Test func shardThatTheRepoDoesNotHave() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            let gone = BytePath(shardName(2, of: 2))
            try repo.manifest(commit(1), entries.filter { BytePath($0.path) != gone })
            cache.outer.delete(repo.snapshot(commit(1), gone))
            let revision = try verify(cache).revision
            #expect(try revision.findings.only(.missingUpstream).file == gone)
            #expect(revision.state == .partial)
        }
    }

    @Test func danglingLinkOfTheFirstHop() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            cache.outer.delete(repo.place("blobs").appending(entries[0].etag))
            let revision = try verify(cache).revision
            let finding = try revision.findings.only(.danglingLink)
            #expect(finding.file == "config.json")
            #expect(finding.blob == BytePath(entries[0].etag))
            #expect(revision.state == .partial)
        }
    }

    @Test func danglingLinkOfTheSecondHop() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try cache.makeStore()
            let hash = try cache.payload([1, 2, 3])
            let etag = ReferenceDigest.sha256([1, 2, 3])
            try repo.linkBlob(etag, toPayload: hash)
            try repo.link("a.bin", to: etag, at: commit(1))
            #expect(!(try verify(cache).all.has(.danglingLink)))
            cache.outer.delete(cache.place("blobs").appending(String(hash.prefix(2))).appending(hash))
            let finding = try verify(cache).revision.findings.only(.danglingLink)
            #expect(finding.blob == BytePath(etag))
        }
    }

    @Test(arguments: [("self", "self"), ("../../blobs/loop", "loop")])
    func linkToItself(target: String, blob: String) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try cache.outer.link(repo.place("blobs/loop"), to: "loop")
            try cache.outer.link(repo.snapshot(commit(1), "self"), to: BytePath(target))
            let revision = try verify(cache).revision
            #expect(try revision.findings.only(.danglingLink).file == "self")
            #expect(revision.state == .partial)
        }
    }

    @Test func sizeOtherThanTheManifests() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            var entries = try repo.model()
            entries[0].size = entries[0].content.count + 5
            try repo.manifest(commit(1), entries)
            let revision = try verify(cache, depth: .structure).revision
            let finding = try revision.findings.only(.sizeMismatch)
            #expect(finding.expected == "\(entries[0].content.count + 5)")
            #expect(finding.actual == "\(entries[0].content.count)")
            #expect(revision.state == .corrupt)
        }
    }

    @Test func emptyBlobIsAMismatchAtStructure() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = ReferenceDigest.sha256([9])
            try repo.blob(named: etag, [])
            try repo.link("model.safetensors", to: etag, at: commit(1))
            let revision = try verify(cache, depth: .structure).revision
            let finding = try revision.findings.only(.digestMismatch)
            #expect(finding.expected == etag)
            #expect(finding.actual == ReferenceDigest.sha256([]))
            #expect(revision.state == .corrupt)
        }
    }

    @Test(arguments: [true, false])
    func blobThatIsRightlyEmpty(isLFS: Bool) throws {
        try withTestCache { cache in
            try cache.repo().file("__init__.py", [], at: commit(1), isLFS: isLFS)
            #expect(try verify(cache, depth: .structure).revision.state == .complete)
        }
    }

    @Test func safetensorsCutShort() throws {
        try withTestCache { cache in
            let whole = safetensors([("a", Array(repeating: 1, count: 100))])
            try cache.repo().blob(named: ReferenceDigest.sha256(whole), Array(whole.dropLast(10)))
            try cache.repo().link("model.safetensors", to: ReferenceDigest.sha256(whole), at: commit(1))
            #expect(try verify(cache, depth: .structure).revision.state == .complete)
            let revision = try verify(cache).revision
            #expect(try revision.findings.only(.truncated).file == "model.safetensors")
            #expect(revision.state == .corrupt)
        }
    }

    @Test(arguments: ["pytorch_model.bin", "model.gguf"])
    func otherFormatsCutShort(name: String) throws {
        try withTestCache { cache in
            let whole = name.hasSuffix("bin") ? torchZip() : gguf()
            try cache.repo("org/whole").file(BytePath(name), whole, at: commit(1))
            try cache.repo("org/cut").file(BytePath(name), Array(whole.dropLast(8)), at: commit(1))
            let report = try verify(cache)
            #expect(try report.repo("model/org/whole").revision.state == .complete)
            let cut = try report.repo("model/org/cut").revision
            #expect(cut.findings.codes(.error) == [.truncated])
            #expect(cut.state == .corrupt)
        }
    }

    @Test(arguments: [
        ("HeaderTooLarge", safetensors(header: "{}").count), ("InvalidHeaderStart", 0),
    ])
    func headerThatNoReaderTakes(reason: String, _: Int) throws {
        try withTestCache { cache in
            let bytes =
                reason == "HeaderTooLarge"
                ? littleEndian(UInt64(100_000_001)) + Array("{}".utf8) : safetensors(header: "[]")
            try cache.repo().file("model.safetensors", bytes, at: commit(1))
            let revision = try verify(cache).revision
            let errors = revision.findings.filter { $0.severity == .error }
            #expect(errors.map(\.code) == [.headerInvalid], "\(errors)")
            if reason == "HeaderTooLarge" { #expect(errors.first?.detail?.contains(reason) == true) }
            #expect(revision.state == .corrupt)
        }
    }

    @Test func splitThatSaysItIsAnotherPart() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("m-00001-of-00002.gguf", gguf(split: (0, 2)), at: commit(1))
            try repo.file("m-00002-of-00002.gguf", gguf(split: (0, 2)) + [0], at: commit(1))
            let finding = try verify(cache).revision.findings.only(.headerInvalid)
            #expect(finding.file == "m-00002-of-00002.gguf")
            #expect(finding.actual == "part 1 of 2")
        }
    }

    @Test func anotherBlobThanTheManifests() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            let other = Array("{\"model_type\": \"other\"}".utf8)
            let path = repo.snapshot(commit(1), "config.json")
            cache.outer.delete(path)
            try repo.file("config.json", other, at: commit(1), isLFS: false)
            let revision = try verify(cache).revision
            let finding = try revision.findings.only(.wrongBlob)
            #expect(finding.expected == entries[0].etag)
            #expect(finding.actual == ReferenceDigest.gitSHA1(other))
            #expect(revision.state == .corrupt)
        }
    }

    @Test func blobNamedByItsXetHashIsTheRightOne() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let hash = String(repeating: "cd", count: 32)
            let content = safetensors([("a", [1])])
            try repo.blob(named: hash, content)
            try repo.link("model.safetensors", to: hash, at: commit(1))
            try repo.manifest(commit(1), [ManifestEntry("model.safetensors", content, xetHash: hash)])
            #expect(try verify(cache).revision.state == .complete)
        }
    }

    @Test(arguments: ["model.safetensors", "tokenizer.model", "config.json", "README.md"])
    func pointerInPlaceOfContent(name: String) throws {
        try withTestCache { cache in
            try cache.repo().file(BytePath(name), lfsPointer(of: [1, 2, 3]), at: commit(1))
            let revision = try verify(cache).revision
            #expect(revision.findings.codes(.error) == [.lfsPointer])
            #expect(revision.state == .corrupt)
        }
    }

    @Test(arguments: ["model.safetensors", "pytorch_model.bin", "config.json", "model.onnx"])
    func pageInPlaceOfContent(name: String) throws {
        try withTestCache { cache in
            let page = Array("<!DOCTYPE html>\n<html><body>Log in</body></html>\n".utf8)
            try cache.repo().file(BytePath(name), page, at: commit(1))
            let revision = try verify(cache).revision
            #expect(revision.findings.codes(.error) == [.htmlContent])
            #expect(revision.state == .corrupt)
        }
    }

    @Test func aPageMayBeAPage() throws {
        try withTestCache { cache in
            try cache.repo("org/space", .space).file("index.html", Array("<html></html>".utf8), at: commit(1))
            #expect(try verify(cache).revision.state == .complete)
        }
    }

    @Test func revisionWithNothingInIt() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try cache.outer.makeFolder(repo.snapshot(commit(1)))
            try cache.outer.makeFolder(repo.snapshot(commit(2), "onnx/fp16"))
            let report = try verify(cache)
            for number in 1...2 {
                let revision = try report.repo().revision(commit(number))
                #expect(revision.findings.codes(.error) == [.emptySnapshot])
                #expect(revision.state == .partial)
            }
        }
    }

    @Test func tensorThatItsShardLacks() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("model-00001-of-00001.safetensors", safetensors([("a", [1])]), at: commit(1))
            let index = shardIndex([
                ("a", "model-00001-of-00001.safetensors"), ("b", "model-00001-of-00001.safetensors"),
            ])
            try repo.file("model.safetensors.index.json", index, at: commit(1), isLFS: false)
            #expect(try verify(cache, depth: .structure).revision.state == .complete)
            let revision = try verify(cache).revision
            let finding = try revision.findings.only(.tensorMissing)
            #expect(finding.detail?.contains("'b'") == true)
            #expect(finding.file == "model-00001-of-00001.safetensors")
            #expect(revision.state == .corrupt)
        }
    }

    @Test(arguments: ["", "{", "[]", "null", "{\"weight_map\": []}", "{\"weight_map\": {\"a\": 1}}", "{}"])
    func indexThatCannotBeRead(text: String) throws {
        try withTestCache { cache in
            try cache.repo().plainFile("model.safetensors.index.json", Array(text.utf8), at: commit(1))
            let revision = try verify(cache, depth: .structure).revision
            #expect(revision.findings.has(.indexInvalid))
            #expect(revision.state == .corrupt)
        }
    }

    @Test(arguments: [
        "../config.json", "/etc/passwd", "a/../../b", "..", "", "./a", "a//b", "C:\\x", "\\\\host\\x", "a\u{0}b",
    ])
    func indexWithANameThatLeaves(name: String) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("model.safetensors.index.json", shardIndex([("a", name)]), at: commit(1), isLFS: false)
            let revision = try verify(cache).revision
            #expect(
                revision.findings.has(.indexUnsafePath) || revision.findings.has(.indexInvalid), "\(revision.findings)")
            #expect(revision.state == .corrupt)
        }
    }

    @Test func shardsInSubfoldersAreAllowed() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("parts/a.safetensors", safetensors([("a", [1])]), at: commit(1))
            try repo.file(
                "model.safetensors.index.json", shardIndex([("a", "parts/a.safetensors")]), at: commit(1), isLFS: false)
            #expect(try verify(cache).revision.state == .complete)
        }
    }

    @Test func unusableManifestIsOnlySaid() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try repo.manifest(commit(1), text: "{\"format_version\": 7, \"files\": {}}")
            let revision = try verify(cache).revision
            #expect(try revision.findings.only(.unverifiable).path.hasSuffix("trees/\(commit(1)).json"))
            #expect(revision.state == .complete)
        }
    }

    @Test func unknownTypeOfTensorIsUnverifiable() throws {
        try withTestCache { cache in
            let header = "{\"a\":{\"dtype\":\"Q99\",\"shape\":[1],\"data_offsets\":[0,1]}}"
            try cache.repo().file("model.safetensors", safetensors(header: header) + [1], at: commit(1))
            let revision = try verify(cache).revision
            #expect(revision.findings.codes == [.unverifiable, .detached])
            #expect(revision.state == .complete)
        }
    }

    @Test func orphanBlobAndStalePartialAndOldTemporary() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let etag = try repo.blob([4, 5, 6])
            try repo.partial(ReferenceDigest.sha256([7]))
            try cache.outer.write("hub/tmpabcd_123", [1, 2, 3])
            let report = try verify(cache)
            #expect(try report.repo().findings.only(.orphanBlob).blob == BytePath(etag))
            #expect(try report.repo().findings.only(.stalePartial).path.hasSuffix(".incomplete"))
            #expect(try report.findings.only(.stalePartial).path == "tmpabcd_123")
            #expect(try report.revision.state == .complete)
            #expect(report.codes(.error).isEmpty)
            #expect(Set(report.leftovers.map(\.kind)) == ["stale-partial"])
        }
    }

    @Test func orphanPayload() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let kept = try cache.payload([1], references: nil)
            let loose = try cache.payload([2], references: ["models--x/blobs/y"])
            let report = try verify(cache)
            #expect(
                Set(report.findings.filter { $0.code == .orphanPayload }.map(\.blob)) == [
                    BytePath(kept), BytePath(loose),
                ])
            // Without a readable manifest the store's own rule is to keep it: not reclaimable.
            #expect(report.reclaimableBytes == 4096)
        }
    }

    @Test(arguments: [nil, "", "1", "2\n", "1\n\n"])
    func storeWithoutItsMarkerIsForeign(marker: String?) throws {
        try withTestCache { cache in
            try cache.makeStore(marker: marker)
            let hash = try cache.payload([1, 2, 3])
            let etag = ReferenceDigest.sha256([1, 2, 3])
            try cache.repo().linkBlob(etag, toPayload: hash)
            try cache.repo().link("a.bin", to: etag, at: commit(1))
            let report = try verify(cache, depth: .structure)
            #expect(try report.findings.only(.foreignEntry).path == "blobs")
            #expect(!report.all.has(.orphanPayload))
            #expect(!report.all.has(.danglingLink), "the link still leads to a file of the cache")
            #expect(report.reclaimableBytes == 0)
        }
    }

    @Test func mixedTotals() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("model-00001-of-00002.safetensors", safetensors([("a", [1])]), at: commit(1))
            try repo.file("model-00002-of-00002.safetensors", safetensors([("b", [1])]), at: commit(1))
            try repo.file("model-00001-of-00003.safetensors", safetensors([("c", [1])]), at: commit(1))
            let revision = try verify(cache).revision
            #expect(try revision.findings.only(.shardSetMixed).detail?.contains("2 and 3") == true)
            #expect(revision.state == .complete)
        }
    }

    @Test func weightsAbsent() throws {
        try withTestCache { cache in
            let config = ManifestEntry("config.json", Array("{}".utf8), isLFS: false)
            let weights = ManifestEntry("model.safetensors", safetensors([("a", [1])]))
            for (name, type, entries) in [
                ("org/nomanifest", RepoType.model, nil), ("org/hasweights", .model, [config, weights]),
                ("org/noweights", .model, [config]), ("org/data", .dataset, nil),
            ] as [(String, RepoType, [ManifestEntry]?)] {
                let repo = cache.repo(name, type)
                try repo.file("config.json", config.content, at: commit(1), isLFS: false)
                if let entries { try repo.manifest(commit(1), entries) }
            }
            let report = try verify(cache)
            func absent(_ id: String) throws -> Bool { try report.repo(id).revision.findings.has(.weightsAbsent) }
            #expect(try absent("model/org/nomanifest"))
            #expect(try absent("model/org/hasweights"))
            #expect(try !absent("model/org/noweights"))
            #expect(try !absent("dataset/org/data"))
            #expect(report.repos.allSatisfy { $0.state == .complete })
        }
    }

    @Test func tokenizersAndOptimizersAreNoWeights() throws {
        try withTestCache { cache in
            try cache.repo().file("tokenizer.bin", [1], at: commit(1))
            try cache.repo().file("training_args.bin", [2], at: commit(1))
            #expect(try verify(cache).revision.findings.has(.weightsAbsent))
        }
    }

    @Test func refsOfEveryKind() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try repo.ref("refs/pr/1", commit(1))
            try repo.ref("feature/a", commit(1))
            try repo.ref("newline", commit(1) + "\n")
            try repo.ref("elsewhere", commit(2))
            try repo.ref("garbage", "not a commit")
            try repo.ref("long", String(repeating: "a", count: 5000))
            try repo.ref("empty", "")
            try repo.ref("main.0a1b2c3d.tmp", commit(3))
            try repo.ref(".DS_Store", "x")
            let report = try verify(cache)
            let found = try report.repo()
            #expect(try found.revision.refs == ["feature/a", "main", "newline", "refs/pr/1"])
            let loose = found.findings.filter { $0.code == .refWithoutSnapshot }.map(\.path.lastComponent)
            #expect(Set(loose) == ["elsewhere", "garbage", "long", "empty"])
            #expect(try found.findings.only(.foreignEntry).path.hasSuffix("refs/newline"))
            #expect(report.codes(.error).isEmpty && report.codes(.warning).isEmpty)
        }
    }

    @Test func revisionWithoutARefIsDetached() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try repo.file("model.safetensors", safetensors([("a", [1])]), at: commit(2))
            let report = try verify(cache).repo()
            #expect(!(try report.revision(commit(1)).findings.has(.detached)))
            #expect(try report.revision(commit(2)).findings.codes == [.detached])
        }
    }

    @Test func entriesThatDoNotBelong() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try cache.outer.write("hub/notes.txt", "x")
            try cache.outer.write("hub/models--a--b--c--d", "a file")
            try cache.outer.makeFolder("hub/random/deeper")
            try cache.outer.write("hub/.DS_Store", "x")
            try cache.outer.write("hub/version.txt", "1")
            try cache.outer.write(repo.place("notes.txt"), "x")
            try cache.outer.makeFolder(repo.place("snapshots/not-a-commit"))
            try cache.outer.write(repo.place("trees/readme"), "x")
            let report = try verify(cache)
            #expect(Set(report.findings.map(\.path)) == ["notes.txt", "models--a--b--c--d", "random"])
            #expect(report.findings.allSatisfy { $0.code == .foreignEntry })
            let strays = try report.repo().findings
            #expect(strays.allSatisfy { $0.code == .foreignEntry } && strays.count == 3, "\(strays)")
            #expect(try report.revision.state == .complete)
        }
    }

    @Test func operationUnderWay() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try cache.outer.write(repo.place(".hfjanitor/op1.intent"), "{}")
            try cache.outer.makeFolder(repo.place(".hfjanitor/op1"))
            let report = try verify(cache).repo()
            #expect(try report.findings.only(.removing).path == "models--org--model/.hfjanitor/op1")
            #expect(try report.revision.state == .complete)
        }
    }

    @Test func softLocks() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let host = hostNameOfThisMachine()
            try cache.outer.write(repo.lockPlace("gone"), "2147483646\n\(host)\n")
            try cache.outer.write(repo.lockPlace("foreign"), "2147483646\nanother-machine\n")
            try cache.outer.write(repo.lockPlace("alive"), "1\n\(host)\n")
            try cache.outer.write(repo.lockPlace("odd"), "x")
            let finding = try verify(cache).findings.only(.staleSoftLock)
            #expect(finding.path.hasSuffix("gone.lock"))
        }
    }

    @Test func noSymlinkMode() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let weights = safetensors([("a", [1, 2, 3])])
            try repo.plainFile("model.safetensors", weights, at: commit(1))
            try cache.outer.makeFolder(repo.place("blobs"))
            try repo.ref("main", commit(1))
            try repo.manifest(commit(1), [ManifestEntry("model.safetensors", weights)])
            #expect(try verify(cache).all.isEmpty)
            try repo.plainFile("model.safetensors", Array(weights.dropLast()), at: commit(1))
            let revision = try verify(cache).revision
            #expect(
                revision.findings.codes(.error).sorted { $0.rawValue < $1.rawValue } == [.sizeMismatch, .truncated])
        }
    }
}
