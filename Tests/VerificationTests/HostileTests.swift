import CacheScan
import HubCache
import LinuxIO
import TestSupport
import Testing

@testable import Verification

/// What a cache may hold that no honest client wrote: nothing of it may lead outside, hang, crash or hide the rest.
@Suite struct HostileTests {
    /// A healthy repo beside whatever a test breaks must always be reported as healthy.
    private func expectNeighbourIsWhole(_ report: CacheReport) throws {
        #expect(try report.repo("model/org/neighbour").state == .complete)
        #expect(try report.repo("model/org/neighbour").revision.fileCount == 4)
    }

    private func withHostileCache(_ body: (TestCache, TestRepo) throws -> Void) throws {
        try withTestCache { cache in
            try cache.repo("org/neighbour").model()
            try cache.outer.write("secret/blob", [1, 2, 3])
            try cache.outer.write("secret/model.safetensors", safetensors([("a", [1])]))
            try body(cache, cache.repo("org/hostile"))
        }
    }

    // MARK: links

    @Test(arguments: [
        "/etc/hostname", "../../../../../secret/blob", "OUTER/secret/model.safetensors",
        "../../../../../../../../etc/hostname",
        "/", "..//..//../../../secret/blob", "/proc/self/mem", "/dev/zero",
    ])
    func snapshotLinkOutOfTheCache(target: String) throws {
        try withHostileCache { cache, repo in
            let text = target.replacing("OUTER", with: cache.outer.path.text)
            try cache.outer.link(repo.snapshot(commit(1), "model.safetensors"), to: BytePath(text))
            let watch = try OpenWatch([
                cache.outer.absolute("secret"), cache.outer.absolute("secret/blob"),
                cache.outer.absolute("secret/model.safetensors"),
            ])
            defer { watch.close() }
            let report = try verify(cache)
            let revision = try report.repo("model/org/hostile").revision
            let finding = try revision.findings.only(.linkEscapesCache)
            #expect(finding.actual == text)
            #expect(revision.state == .corrupt)
            #expect(!watch.sawOpen)
            try expectNeighbourIsWhole(report)
        }
    }

    @Test func blobLinkOutOfTheCache() throws {
        try withHostileCache { cache, repo in
            let etag = ReferenceDigest.sha256([1, 2, 3])
            try cache.outer.link(repo.place("blobs").appending(etag), to: "../../../secret/blob")
            try repo.link("model.bin", to: etag, at: commit(1))
            try cache.outer.link(repo.place("blobs").appending(ReferenceDigest.sha256([4])), to: "/etc/hostname")
            let watch = try OpenWatch([cache.outer.absolute("secret/blob")])
            defer { watch.close() }
            let report = try verify(cache)
            let hostile = try report.repo("model/org/hostile")
            #expect(try hostile.revision.findings.only(.linkEscapesCache).blob == BytePath(etag))
            #expect(hostile.findings.has(.linkEscapesCache), "the unlinked one is reported too")
            #expect(!hostile.findings.has(.orphanBlob))
            #expect(!watch.sawOpen)
            try expectNeighbourIsWhole(report)
        }
    }

    @Test func linkThatLeavesThroughAnotherLink() throws {
        try withHostileCache { cache, repo in
            try cache.outer.link(repo.snapshot(commit(1), "way"), to: "../../../../secret")
            try cache.outer.link(repo.snapshot(commit(1), "a.bin"), to: "way/blob")
            try cache.outer.link(repo.snapshot(commit(1), "b.bin"), to: "c.bin")
            try cache.outer.link(repo.snapshot(commit(1), "c.bin"), to: "/etc/hostname")
            // Lexically inside, physically outside: `..` behind a link to a folder.
            try cache.outer.link(repo.snapshot(commit(1), "d.bin"), to: "way/../blob")
            let watch = try OpenWatch([cache.outer.absolute("secret"), cache.outer.absolute("secret/blob")])
            defer { watch.close() }
            let report = try verify(cache)
            let found = try report.repo("model/org/hostile").revision.findings
            let escaping = found.filter { $0.code == .linkEscapesCache }.map(\.file)
            #expect(Set(escaping).isSuperset(of: ["way", "a.bin", "b.bin", "c.bin"]))
            #expect(found.contains { $0.file == "d.bin" && $0.severity == .error })
            #expect(!watch.sawOpen)
            try expectNeighbourIsWhole(report)
        }
    }

    @Test(arguments: [3, 39, 50])
    func chainOfLinksInASnapshot(length: Int) throws {
        try withHostileCache { cache, repo in
            try repo.file("target.safetensors", safetensors([("a", [1])]), at: commit(1))
            try cache.outer.link(repo.snapshot(commit(1), "l0.safetensors"), to: "target.safetensors")
            for number in 1..<length {
                try cache.outer.link(
                    repo.snapshot(commit(1), BytePath("l\(number).safetensors")),
                    to: BytePath("l\(number - 1).safetensors"))
            }
            let found = try verify(cache).repo("model/org/hostile").revision.findings
            // The kernel follows forty.
            #expect(found.has(.danglingLink) == (length > 40), "\(found)")
        }
    }

    @Test(arguments: [2, 50])
    func chainOfLinksInBlobs(length: Int) throws {
        try withHostileCache { cache, repo in
            let etag = try repo.blob(safetensors([("a", [1])]))
            var previous = etag
            for number in 1...length {
                let name = "alias\(number)"
                try cache.outer.link(repo.place("blobs").appending(name), to: BytePath(previous))
                previous = name
            }
            try repo.link("model.safetensors", to: previous, at: commit(1))
            let hostile = try verify(cache).repo("model/org/hostile")
            if length > 40 {
                #expect(try hostile.revision.findings.has(.danglingLink))
            } else {
                #expect(try hostile.revision.state == .complete, "\(hostile.revisions)")
                #expect(!hostile.findings.has(.orphanBlob), "every reader gets to that blob")
            }
        }
    }

    @Test func circleOfTwo() throws {
        try withHostileCache { cache, repo in
            try cache.outer.link(repo.snapshot(commit(1), "a"), to: "b")
            try cache.outer.link(repo.snapshot(commit(1), "b"), to: "a")
            try cache.outer.link(repo.place("blobs/x"), to: "y")
            try cache.outer.link(repo.place("blobs/y"), to: "x")
            try repo.link("c", to: "x", at: commit(1))
            let revision = try verify(cache).repo("model/org/hostile").revision
            #expect(revision.findings.codes(.error) == [.danglingLink, .danglingLink, .danglingLink])
            #expect(revision.state == .partial)
        }
    }

    @Test func linkToAnotherReposBlob() throws {
        try withHostileCache { cache, repo in
            let owner = cache.repo("org/owner")
            let direct = try owner.blob(safetensors([("a", [1])]))
            let throughBlob = try owner.blob(safetensors([("b", [1])]))
            try cache.outer.link(
                repo.snapshot(commit(1), "a.safetensors"), to: BytePath("../../../models--org--owner/blobs/\(direct)"))
            try cache.outer.link(repo.place("blobs/b"), to: BytePath("../../models--org--owner/blobs/\(throughBlob)"))
            try repo.link("b.safetensors", to: "b", at: commit(1))
            let report = try verify(cache)
            #expect(try report.repo("model/org/hostile").revision.state == .complete)
            #expect(!(try report.repo("model/org/owner").findings.has(.orphanBlob)), "\(report.all)")
            #expect(report.reclaimableBytes == 0)
            // Asked for alone, its blobs are in use all the same.
            let alone = try verify(cache, .repo(owner.id, nil))
            #expect(!alone.all.has(.orphanBlob))
            #expect(alone.reclaimableBytes == 0)
        }
    }

    @Test func absoluteLinkInsideTheCacheIsFine() throws {
        try withHostileCache { cache, repo in
            let etag = try repo.blob(safetensors([("a", [1])]))
            try cache.outer.link(
                repo.snapshot(commit(1), "model.safetensors"),
                to: cache.path.appending("models--org--hostile/blobs/\(etag)"))
            let hostile = try verify(cache).repo("model/org/hostile")
            #expect(hostile.state == .complete)
            #expect(hostile.findings.isEmpty)
        }
    }

    // MARK: linked folders

    @Test(arguments: ["models--org--hostile", "models--org--hostile/blobs"])
    func folderLinkOfTheSameOwner(which: String) throws {
        try withHostileCache { cache, repo in
            try repo.model()
            try cache.outer.makeFolder("disk2")
            try cache.outer.move(cache.place(BytePath(which)), to: "disk2/moved")
            try cache.outer.link(cache.place(BytePath(which)), to: cache.outer.absolute("disk2/moved"))
            let before = TreeFingerprint(cache.outer.path)
            let report = try verify(cache)
            let hostile = try report.repo("model/org/hostile")
            #expect(try hostile.revision.state == .complete, "\(hostile.revisions)")
            #expect(try hostile.findings.only(.foreignEntry).path == BytePath(which))
            #expect(TreeFingerprint(cache.outer.path).differences(from: before) == [])
            try expectNeighbourIsWhole(report)
        }
    }

    @Test(.enabled(if: isRoot), arguments: ["models--org--hostile", "models--org--hostile/blobs"])
    func folderLinkOfAnotherOwner(which: String) throws {
        try withHostileCache { cache, repo in
            try repo.model()
            try cache.outer.makeFolder("disk2")
            try cache.outer.move(cache.place(BytePath(which)), to: "disk2/moved")
            try cache.outer.link(cache.place(BytePath(which)), to: cache.outer.absolute("disk2/moved"))
            try cache.outer.chown("disk2/moved", 65534)
            let report = try verify(cache)
            let hostile = try report.repo("model/org/hostile")
            #expect(try hostile.findings.only(.linkEscapesCache).path == BytePath(which))
            #expect(
                !hostile.revisions.flatMap(\.findings).has(.danglingLink), "nothing says that those blobs are not there"
            )
            if which.hasSuffix("blobs") { #expect(try hostile.revision.state == .corrupt) }
            try expectNeighbourIsWhole(report)
        }
    }

    @Test(arguments: ["models--org--hostile", "models--org--hostile/blobs"])
    func folderLinkToNothing(which: String) throws {
        try withHostileCache { cache, repo in
            try repo.model()
            cache.outer.delete(cache.place(BytePath(which)))
            try cache.outer.link(cache.place(BytePath(which)), to: "/nonexistent/folder")
            let report = try verify(cache)
            #expect(try report.repo("model/org/hostile").findings.only(.danglingLink).path == BytePath(which))
            try expectNeighbourIsWhole(report)
        }
    }

    @Test func linkOutOfALinkedFolder() throws {
        try withHostileCache { cache, repo in
            try repo.model()
            try cache.outer.makeFolder("disk2")
            try cache.outer.move(repo.place(""), to: "disk2/moved")
            try cache.outer.link(repo.place(""), to: cache.outer.absolute("disk2/moved"))
            // Beside the linked folder is outside of it, and so is the rest of the cache but for its store.
            try cache.outer.link(repo.snapshot(commit(1), "x.bin"), to: "../../../../secret/blob")
            try cache.outer.link(repo.snapshot(commit(1), "y.bin"), to: cache.path.appending("CACHEDIR.TAG"))
            let watch = try OpenWatch([cache.outer.absolute("secret/blob")])
            defer { watch.close() }
            let found = try verify(cache).repo("model/org/hostile").revision.findings
            #expect(Set(found.filter { $0.code == .linkEscapesCache }.map(\.file)) == ["x.bin", "y.bin"])
            #expect(!watch.sawOpen)
        }
    }

    @Test func storeThatIsALink() throws {
        try withHostileCache { cache, _ in
            try cache.outer.makeFolder("elsewhere")
            try cache.outer.write("elsewhere/.huggingface-shared-blobs", "1\n")
            try cache.outer.link("hub/blobs", to: cache.outer.absolute("elsewhere"))
            let watch = try OpenWatch([cache.outer.absolute("elsewhere")])
            defer { watch.close() }
            let report = try verify(cache)
            #expect(try report.findings.only(.foreignEntry).path == "blobs")
            #expect(!watch.sawOpen)
        }
    }

    // MARK: what is no file

    enum Oddity: String, CaseIterable { case fifo, socket, device, folder }

    private func make(_ oddity: Oddity, _ place: BytePath, in folder: TestFolder) throws {
        switch oddity {
        case .fifo: try folder.fifo(place)
        case .socket: try folder.socket(place)
        case .device: try folder.device(place)
        case .folder: try folder.makeFolder(place.appending("inner"))
        }
    }

    @Test(arguments: Oddity.allCases.filter { $0 != .device || isRoot })
    func oddityInEveryPlace(oddity: Oddity) throws {
        try withHostileCache { cache, repo in
            try repo.file("model.safetensors", safetensors([("a", [1])]), at: commit(1))
            let etag = ReferenceDigest.sha256([5])
            let odd = [
                repo.place("blobs").appending(etag), repo.place("blobs/loose"), repo.place("refs/main"),
                repo.place("trees").appending(commit(1) + ".json"), repo.place("blobs").appending(etag + ".incomplete"),
                repo.lockPlace(etag), cache.place("tmpabcdefgh"), cache.place("CACHEDIR2"),
                cache.place("models--org--odd"), repo.place("blobs").appending(etag + ".lock"),
                repo.snapshot(commit(2)),
            ]
            for place in odd { try make(oddity, place, in: cache.outer) }
            try repo.link("linked.safetensors", to: etag, at: commit(1))
            if oddity != .folder {
                try make(oddity, repo.snapshot(commit(1), "direct.bin"), in: cache.outer)
                try make(oddity, repo.snapshot(commit(1), "model.safetensors.index.json"), in: cache.outer)
            }
            let report = try verify(cache)
            let hostile = try report.repo("model/org/hostile")
            let revision = try hostile.revision(commit(1))
            let odd1 = Set(revision.findings.filter { $0.code == .notAFile }.map(\.file))
            #expect(
                odd1.isSuperset(
                    of: oddity == .folder
                        ? ["linked.safetensors"] : ["linked.safetensors", "direct.bin", "model.safetensors.index.json"])
            )
            #expect(revision.state == .corrupt)
            #expect(hostile.findings.contains { $0.code == .notAFile && $0.path.hasSuffix("blobs/loose") })
            if oddity != .folder {
                #expect(hostile.findings.contains { $0.code == .notAFile && $0.path.hasSuffix("refs/main") })
            }
            try expectNeighbourIsWhole(report)
        }
    }

    @Test func foldersThatAreFiles() throws {
        try withHostileCache { cache, repo in
            for name in ["blobs", "snapshots", "refs", "trees", ".no_exist", ".hfjanitor"] {
                try cache.outer.write(repo.place(BytePath(name)), "x")
            }
            cache.outer.delete("hub/.locks")
            try cache.outer.write("hub/.locks", "x")
            try cache.outer.write("hub/blobs", "x")
            let report = try verify(cache)
            #expect(try report.repo("model/org/hostile").findings.codes(.error).count == 6)
            #expect(Set(report.findings.map(\.path)) == [".locks", "blobs"])
            try expectNeighbourIsWhole(report)
        }
    }

    // MARK: names

    @Test func namesOfAllKinds() throws {
        try withHostileCache { cache, repo in
            let names: [BytePath] = [
                BytePath(bytes: [0xff, 0xfe, 0x2e, 0x62, 0x69, 0x6e]), BytePath(String(repeating: "x", count: 255)),
                "new\nline.bin", "esc\u{1b}[31mred.bin", "bidi\u{202e}txt.bin", " ", "…", "-rf", "%2e%2e", "con",
                "\\..\\x",
            ]
            for name in names { try repo.link(name, to: "0000", at: commit(1)) }
            for name in names { try repo.ref(name, commit(1)) }
            for name in names { try cache.outer.write(cache.place("x").appending(name), "x") }
            let report = try verify(cache)
            let revision = try report.repo("model/org/hostile").revision
            #expect(Set(revision.findings.filter { $0.code == .danglingLink }.map(\.file)) == Set(names))
            #expect(Set(revision.refs) == Set(names))
        }
    }

    @Test(arguments: [60, 64, 65, 300])
    func deepFolders(levels: Int) throws {
        try withHostileCache { cache, repo in
            let deep = BytePath(Array(repeating: "d", count: levels).joined(separator: "/"))
            let etag = try repo.file(deep.appending("model.safetensors"), safetensors([("a", [1])]), at: commit(1))
            try cache.outer.makeFolder(repo.place("refs").appending(deep))
            try cache.outer.makeFolder(repo.place(".no_exist").appending(deep))
            try cache.outer.makeFolder(cache.place("stray").appending(deep))
            let report = try verify(cache)
            let hostile = try report.repo("model/org/hostile")
            // Where it is too deep to look, nothing may be called an orphan: the link to the blob may be down there.
            #expect(!hostile.findings.contains { $0.code == .orphanBlob && $0.blob == BytePath(etag) })
            #expect(hostile.reclaimableBytes == 0)
            if levels <= 64 { #expect(try hostile.revision.fileCount == 1) }
            if levels > 64 { #expect(hostile.findings.contains { $0.detail?.contains("deeper") == true }) }
            try expectNeighbourIsWhole(report)
        }
    }

    // MARK: content

    @Test func claimsOfHugeHeaders() throws {
        try withHostileCache { cache, repo in
            let claims: [(BytePath, [UInt8])] = [
                ("max.safetensors", littleEndian(UInt64.max)), ("big.safetensors", littleEndian(UInt64(99_999_999))),
                (
                    "gguf.gguf",
                    Array("GGUF".utf8) + littleEndian(UInt32(3)) + littleEndian(UInt64.max) + littleEndian(UInt64.max)
                ),
                ("zip.bin", Array("PK\u{3}\u{4}".utf8) + Array(repeating: 0xff, count: 100)),
                (
                    "offsets.safetensors",
                    safetensors(
                        header:
                            "{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551615,2],\"data_offsets\":[0,18446744073709551615]}}"
                    )
                ),
            ]
            for (name, bytes) in claims { try repo.file(name, bytes, at: commit(1)) }
            let sparse = repo.place("blobs/sparse")
            try cache.outer.write(sparse, littleEndian(UInt64(99_999_999)))
            try cache.outer.resize(sparse, to: 1 << 40)
            try repo.link("sparse.safetensors", to: "sparse", at: commit(1))
            let report = try verify(cache)
            let revision = try report.repo("model/org/hostile").revision
            #expect(
                Set(revision.findings.filter { $0.severity == .error }.map(\.file))
                    == Set(claims.map(\.0) + ["sparse.safetensors"]))
            #expect(revision.state == .corrupt)
            try expectNeighbourIsWhole(report)
        }
    }

    @Test func indexOf300Megabytes() throws {
        try withHostileCache { cache, repo in
            let place = repo.place("blobs/index")
            try cache.outer.write(place, "{\"weight_map\": {")
            try cache.outer.resize(place, to: 300 << 20)
            try repo.link("model.safetensors.index.json", to: "index", at: commit(1))
            let revision = try verify(cache, depth: .structure).repo("model/org/hostile").revision
            #expect(revision.findings.codes(.error) == [.indexInvalid])
        }
    }

    @Test(arguments: [
        "", "[]", "null", "{\"format_version\": 1}", "{\"format_version\": 1, \"files\": []}",
        "{\"format_version\": 1, \"files\": {\"a\": 1}}", "{\"format_version\": 1, \"files\": {\"a\": {\"size\": -1}}}",
        "{\"format_version\": 1.5, \"files\": {}}", String(repeating: "[", count: 200_000),
        "{\"format_version\": 1, \"files\": " + String(repeating: "{\"a\":", count: 200_000),
    ])
    func manifestThatIsNone(text: String) throws {
        try withHostileCache { cache, repo in
            try repo.file("model.safetensors", safetensors([("a", [1])]), at: commit(1))
            try repo.manifest(commit(1), text: text)
            let revision = try verify(cache).repo("model/org/hostile").revision
            #expect(revision.findings.has(.unverifiable))
            #expect(revision.state == .complete)
        }
    }

    @Test func manifestWithPathsThatLeave() throws {
        try withHostileCache { cache, repo in
            try repo.file("model.safetensors", safetensors([("a", [1])]), at: commit(1))
            let names = ["../../../../secret/blob", "/etc/passwd", "..", "a/../../b", "", "model.safetensors/x"]
            try repo.manifest(
                commit(1),
                names.map { ManifestEntry($0, [1, 2]) } + [
                    ManifestEntry("model.safetensors", safetensors([("a", [1])]))
                ])
            try repo.partial(ManifestEntry("", [1, 2]).etag)
            let watch = try OpenWatch([cache.outer.absolute("secret/blob")])
            defer { watch.close() }
            let report = try verify(cache)
            #expect(!watch.sawOpen)
            #expect(try report.repo("model/org/hostile").revision.state == .partial)
            try expectNeighbourIsWhole(report)
        }
    }

    @Test func giantManifest() throws {
        try withHostileCache { cache, repo in
            try repo.file("model.safetensors", safetensors([("a", [1])]), at: commit(1))
            try repo.manifest(commit(1), text: "{")
            try cache.outer.resize(repo.place("trees").appending(commit(1) + ".json"), to: 2 << 40)
            let revision = try verify(cache).repo("model/org/hostile").revision
            #expect(revision.findings.has(.unverifiable))
        }
    }

    @Test func manyPartialsAgainstABigManifest() throws {
        try withHostileCache { cache, repo in
            try repo.file("model.safetensors", safetensors([("a", [1])]), at: commit(1))
            // A manifest by hand: computing digests for all of them would take longer than the test.
            let files = (0..<20_000).map { number in
                let text = String(number, radix: 16)
                let etag = String(repeating: "0", count: 64 - text.count) + text
                return
                    "\"f\(number)\":{\"size\":1,\"blob_id\":\"\(commit(2))\",\"lfs_sha256\":\"\(etag)\",\"lfs_size\":1}"
            }
            try repo.manifest(commit(1), text: "{\"format_version\":1,\"files\":{\(files.joined(separator: ","))}}")
            for number in 0..<500 {
                try repo.partial(
                    ReferenceDigest.sha1([UInt8(number & 255), UInt8(number >> 8)]) + "000000000000000000000000")
            }
            let revision = try verify(cache, depth: .structure).repo("model/org/hostile").revision
            #expect(revision.state == .complete)
        }
    }

    // MARK: what changes while it is looked at

    enum Swap: String, CaseIterable { case fifo, link, outsideLink, folder, gone, otherFile }

    @Test(arguments: Swap.allCases)
    func fileSwappedBetweenScanAndOpen(swap: Swap) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            try cache.outer.write("secret", [1, 2, 3])
            let root = try CacheRoot(opening: cache.path)
            let scan = CacheScan(root: root)
            let listing = try scan.list()
            let inventory = scan.scanRepo(try #require(listing.repos.first), store: listing.store)
            // The index, a shard and the manifest, all at once.
            let places = [
                repo.place("blobs").appending(entries[1].etag), repo.place("blobs").appending(entries[3].etag),
                repo.place("trees").appending(commit(1) + ".json"),
            ]
            for place in places {
                cache.outer.delete(place)
                switch swap {
                case .fifo: try cache.outer.fifo(place)
                case .link: try cache.outer.link(place, to: "../refs/main")
                case .outsideLink: try cache.outer.link(place, to: cache.outer.absolute("secret"))
                case .folder: try cache.outer.makeFolder(place)
                case .gone: break
                case .otherFile: try cache.outer.write(place, [9, 9, 9])
                }
            }
            let watch = try OpenWatch([cache.outer.absolute("secret"), cache.outer.absolute(repo.place("refs/main"))])
            defer { watch.close() }
            let examiner = RepoExaminer(
                root: root, store: listing.store, depth: .headers,
                facts: Memory.none.facts(of: root, isFresh: false),
                liveness: LivenessProbe(root: root, now: currentTime()), headerCheck: HeaderCheck(hashSeed: 1),
                cancellation: Cancellation())
            let examined = examiner.examine(inventory, onlyCommits: nil)
            #expect(!watch.sawOpen)
            let report = RepoJudge(
                repo: examined.repo, store: listing.store, views: examined.views, evidence: examined.evidence,
                depth: .headers, onlyCommits: nil
            ).report(displayID: "x")
            #expect(try report.revision.state != .complete)
            #expect(!report.findings.has(.orphanBlob))
        }
    }

    @Test func fileThatAServerHasALeaseOn() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let entries = try repo.model()
            let lease = try HeldLease(cache.outer, repo.place("blobs").appending(entries[1].etag))
            let holder = BackgroundThread(name: "test-lease") { lease.releaseWhenAsked() }
            #expect(try verify(cache).revision.state == .complete)
            holder.join()
        }
    }

    @Test func concurrentChangesNeverHarmWhatWasThere() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try cache.repo("org/neighbour").model()
            let stop = Cancellation()
            let outer = cache.outer
            let thread = BackgroundThread(name: "test-changes") {
                var number = 0
                while !stop.isCancelled {
                    number += 1
                    let name = String(number % 7)
                    try? outer.write(repo.place("blobs").appending("x\(name).incomplete"), [1])
                    try? outer.move(
                        repo.place("blobs").appending("x\(name).incomplete"),
                        to: repo.place("blobs").appending("x\(name)"))
                    try? repo.link(BytePath("new/\(name).txt"), to: "x\(name)", at: commit(2))
                    try? repo.ref("dev", commit(2))
                    try? outer.write(repo.place("refs/dev.0a1b2c3d.tmp"), "x")
                    try? repo.manifest(commit(2), text: "{\"format_version\": 1, \"files\": {}}")
                    outer.delete(repo.snapshot(commit(2)))
                    outer.delete(repo.place("blobs").appending("x\(name)"))
                    outer.delete(repo.place("refs/dev.0a1b2c3d.tmp"))
                    try? outer.makeFolder("hub/models--org--fleeting/blobs")
                    outer.delete("hub/models--org--fleeting")
                }
            }
            defer {
                stop.cancel()
                thread.join()
            }
            for _ in 0..<50 {
                let report = try verify(cache)
                for id in ["model/org/model", "model/org/neighbour"] {
                    let revision = try report.repo(id).revision(commit(1))
                    #expect(revision.state == .complete, "\(revision.findings)")
                    #expect(revision.findings.codes(.error).isEmpty)
                }
            }
        }
    }
}
