import HubCache
import TestSupport
import Testing

@Suite struct NameTests {
    // MARK: repo ids

    @Test(arguments: [
        "gpt2", "org/name", "a/b", "Org-1/na.me_x", "a/" + String(repeating: "x", count: 96), "0/0", "_/_", "a/b.c.d",
    ])
    func repoNames(name: String) throws {
        for type in RepoType.allCases {
            let id = try #require(RepoID(type: type, name: name))
            #expect(RepoID(folder: id.folder) == id)
            #expect(id.folder.hasPrefix(type.rawValue + "s--"))
        }
    }

    @Test(arguments: [
        "", "/", "a/", "/a", "a/b/c", "a--b", "a/b--c", "a..b", "-a", "a-", ".a", "a.", "a/.", "..", "a/..", "a.git",
        "a/b.git",
        "a b", "ä", "a\\b", "a/b\n", "a\u{0}", String(repeating: "x", count: 97),
    ])
    func noRepoNames(name: String) {
        #expect(RepoID(type: .model, name: name) == nil)
    }

    @Test(arguments: [
        "models", "models--", "models----a", "model--a", "models--a--b--c", "xmodels--a", "models--a--", "Models--a",
        "models-a",
    ])
    func noRepoFolders(name: String) {
        #expect(RepoID(folder: BytePath(name)) == nil)
        #expect(RootEntryName(BytePath(name)) == .foreign)
    }

    @Test func folderThatIsNotText() {
        #expect(RepoID(folder: BytePath(bytes: Array("models--a".utf8) + [0xff])) == nil)
    }

    @Test(arguments: [
        "", "x", "/", "a/b/c/d", "a b", "hf://", "hf:///", "a@", "@main", "a/b@", "../x", "a//b", "model/", "model//x",
    ])
    func noTargets(text: String) {
        #expect(TargetName(text) == nil || text == "x" || text == "model/")
    }

    @Test func targets() throws {
        let named = try #require(TargetName("datasets/org/name@refs/pr/1"))
        #expect(named.candidates.map(\.description) == ["dataset/org/name"])
        #expect(named.revision == "refs/pr/1")
        #expect(try #require(TargetName("gpt2")).candidates.count == 4)
        #expect(try #require(TargetName("hf://gpt2")).candidates.map(\.description) == ["model/gpt2"])
        #expect(try #require(TargetName("hf://a/b@refs%2Fpr%2F1")).revision == "refs/pr/1")
        #expect(try #require(TargetName("a/b@100%")).revision == "100%")
        #expect(try #require(TargetName("a/b@v1@2")).revision == "v1@2")
        #expect(Set(try #require(TargetName("model/x")).candidates.map(\.description)).contains("model/x"))
        #expect(Set(try #require(TargetName("model/x")).candidates.map(\.description)).contains("model/model/x"))
    }

    @Test(arguments: [
        "", String(repeating: "1", count: 39), String(repeating: "1", count: 41), String(repeating: "A", count: 40),
        String(repeating: "g", count: 40),
    ])
    func noCommits(text: String) { #expect(CommitHash(text) == nil) }

    // MARK: entries

    @Test(arguments: [
        ("e.0a1b2c3d.incomplete", "e", PartialWriter.pythonUnique), ("e.incomplete", "e", .plain),
        ("e.0A1B2C3D.incomplete", "e.0A1B2C3D", .plain),
        ("e.0a1b2c3.incomplete", "e.0a1b2c3", .plain), ("e.part", "e", .rustPart), ("e.sync.part", "e", .rustPart),
        ("e.downloadInProgress", "e", .llamaCpp), ("e.hfjanitor-part", "e", .hfjanitor),
        (".0a1b2c3d.incomplete", ".0a1b2c3d", .plain),
    ])
    func partials(name: String, etag: String, writer: PartialWriter) {
        #expect(BlobEntryName(BytePath(name)) == .partial(etag: BytePath(etag), writer: writer))
    }

    @Test(arguments: [
        ("e.lock", BlobEntryName.lock(etag: "e")), ("tmp_0b0e", .temporary), (".e.0a1b2c3d.new", .temporary),
        (".e.0a1b2c3d.old", .temporary),
        (".e.0a1b2c3d.shared", .temporary), (".e.shared", .blob), ("e.0a1b2c3d.new", .blob), ("e.etag", .etagNote),
        (".DS_Store", .desktopHelper),
        ("abc-12", .blob), ("incomplete", .blob), ("e.incompletely", .blob),
    ])
    func blobEntries(name: String, entry: BlobEntryName) { #expect(BlobEntryName(BytePath(name)) == entry) }

    @Test(arguments: [
        ("tmpabcd_123", RootEntryName.oldTemporary), ("tmpabcd_12", .foreign), ("tmpABCD_123", .foreign),
        (".locks", .locks), ("blobs", .sharedStore),
        ("CACHEDIR.TAG", .cacheTag), ("cachedir.tag", .foreign), (".DS_Store", .desktopHelper),
        ("version.txt", .migrationMark), ("", .foreign),
    ])
    func rootEntries(name: String, entry: RootEntryName) { #expect(RootEntryName(BytePath(name)) == entry) }

    @Test func storeEntries() {
        let hash = String(repeating: "ab", count: 32)
        #expect(StoreEntryName(BytePath(hash)) == .payload)
        #expect(StoreEntryName(BytePath(hash + ".refs")) == .manifest(payload: BytePath(hash)))
        #expect(StoreEntryName(BytePath(hash + ".lock")) == .lock(payload: BytePath(hash)))
        #expect(StoreEntryName(BytePath(hash + ".lock.soft")) == .lock(payload: BytePath(hash)))
        #expect(StoreEntryName(BytePath(hash + ".refs.0a1b2c3d.tmp")) == .temporary)
        #expect(StoreEntryName(BytePath(hash.uppercased())) == .foreign)
        #expect(StoreEntryName("x.refs") == .foreign)
    }

    // MARK: paths

    @Test(arguments: [
        ("a/b", "../c", "a/c"), ("a/b", "../../c", "c"), ("a/b", "./c/.//d", "a/b/c/d"), ("a", "..", ""),
        ("", "x", "x"), ("a/b", "", "a/b"),
    ])
    func resolving(folder: String, target: String, result: String) {
        #expect(BytePath(folder).resolvingLexically(BytePath(target)) == BytePath(result))
    }

    @Test(arguments: [("a/b", "../../.."), ("", ".."), ("a", "/a"), ("a", "../../a")])
    func resolvingOutside(folder: String, target: String) {
        #expect(BytePath(folder).resolvingLexically(BytePath(target)) == nil)
    }

    @Test func relativePaths() {
        #expect(BytePath("a/b/c").relative(to: "a/b") == "c")
        #expect(BytePath("a/bc").relative(to: "a/b") == nil)
        #expect(BytePath("a/b").relative(to: "a/b") == .empty)
        #expect(BytePath("a").relative(to: .empty) == "a")
        #expect(BytePath("/a").relative(to: "/") == "a")
        #expect(BytePath("a").relative(to: "a/b") == nil)
    }

    @Test func partsOfPaths() {
        #expect(BytePath("a/b/c").components == ["a", "b", "c"])
        #expect(BytePath("/a//b/").components == ["a", "b"])
        #expect(BytePath("a/b").lastComponent == "b" && BytePath("a/b").parent == "a")
        #expect(BytePath("a").lastComponent == "a" && BytePath("a").parent == .empty)
        #expect(BytePath("a").appending(.empty as BytePath) == "a" && BytePath.empty.appending("b") == "b")
        #expect(BytePath(bytes: [0xff]).exactText == nil && BytePath(bytes: [0xff]).text == "\u{fffd}")
    }

    @Test(arguments: [
        ("plain", "plain"), ("ü…漢", "ü…漢"), ("a\tb", "a\\x09b"), ("\u{7f}", "\\x7F"), ("\u{85}", "\\xC2\\x85"),
        ("\u{200b}", "\\xE2\\x80\\x8B"),
        ("\u{2028}", "\\xE2\\x80\\xA8"), ("\u{feff}", "\\xEF\\xBB\\xBF"),
        ("\u{2066}x\u{2069}", "\\xE2\\x81\\xA6x\\xE2\\x81\\xA9"),
        ("\u{e000}", "\\xEE\\x80\\x80"), ("e\u{301}", "e\u{301}"), ("👩‍💻", "👩\\xE2\\x80\\x8D💻"),
        ("\u{e0041}", "\\xF3\\xA0\\x81\\x81"),
    ])
    func display(text: String, shown: String) { #expect(displayText(of: text) == shown) }

    @Test func displayOfBytes() {
        #expect(displayText(of: [0x61, 0xff, 0xc3, 0x28, 0xe2, 0x82] as [UInt8]) == "a\\xFF\\xC3(\\xE2\\x82")
        #expect(displayText(of: [0xed, 0xa0, 0x80] as [UInt8]) == "\\xED\\xA0\\x80")
        #expect(displayText(of: [0xc0, 0xaf] as [UInt8]) == "\\xC0\\xAF")
    }
}

@Suite struct ValueTests {
    /// The reference that names the tests' blobs, against the standards' own examples.
    @Test func referenceDigests() {
        #expect(
            ReferenceDigest.sha256(Array("abc".utf8))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(ReferenceDigest.sha1(Array("abc".utf8)) == "a9993e364706816aba3e25717850c26c9cd0d89d")
        #expect(ReferenceDigest.sha256([]) == ContentDigest.emptySHA256)
        #expect(ReferenceDigest.gitSHA1([]) == ContentDigest.emptyGitSHA1)
        #expect(ReferenceDigest.gitSHA1(Array("hello\n".utf8)) == "ce013625030ba8dba906f756967f9e9ca394464a")
        let long = [UInt8](repeating: 0x61, count: 1000)
        #expect(ReferenceDigest.sha256(long) == "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3")
    }

    @Test func digests() throws {
        let hex = ReferenceDigest.sha256([1])
        let digest = try #require(ContentDigest(hex: hex))
        #expect(digest.algorithm == .sha256 && ContentDigest(algorithm: .sha256, bytes: digest.bytes) == digest)
        #expect(ContentDigest(hex: hex.uppercased()) == nil && ContentDigest(hex: hex.dropLast()) == nil)
        #expect(ContentDigest(hex: ReferenceDigest.gitSHA1([1]))?.algorithm == .gitSHA1)
    }

    @Test func timestamps() {
        #expect(Timestamp(seconds: 1, nanoseconds: 5).nanoseconds == 1_000_000_005)
        #expect(Timestamp(seconds: -1, nanoseconds: 999_999_999).seconds == -1)
        #expect(Timestamp(seconds: .max).nanoseconds == .max && Timestamp(seconds: .min).nanoseconds == .min)
        #expect(Timestamp(nanoseconds: .min).seconds < 0)
    }

    @Test func severitiesAndStates() {
        #expect(Severity.info < .warning && Severity.warning < .error)
        #expect(RevisionState.allCases == [.corrupt, .downloading, .partial, .unknown, .complete])
        for code in FindingCode.allCases {
            // Only errors decide a state.
            #expect((code.state != nil) == (code.severity == .error), "\(code)")
        }
    }

    @Test func tallyCountsEachInodeOnce() {
        func file(_ inode: UInt64, links: UInt32, kind: FileKind = .regular) -> FileStat {
            let time = Timestamp(nanoseconds: 0)
            return FileStat(
                key: FileKey(device: 1, inode: inode), kind: kind, permissions: 0, linkCount: links, uid: 0, gid: 0,
                size: 1, allocated: 4096,
                accessed: time, modified: time, changed: time)
        }
        var one = AllocationTally()
        one.add(file(1, links: 1))
        one.add(file(2, links: 2))
        one.add(file(2, links: 2))
        one.add(file(3, links: 5, kind: .directory))
        var other = AllocationTally()
        other.add(file(2, links: 2))
        other.add(file(4, links: 3))
        one.add(other)
        #expect(one.total == 4 * 4096)
        #expect(file(2, links: 2).freed == 0 && file(2, links: 1).freed == 4096)
    }
}
