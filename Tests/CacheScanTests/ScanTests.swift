import HubCache
import LinuxIO
import TestSupport
import Testing

@testable import CacheScan

@Suite struct ScanTests {
    private func scan(_ cache: TestCache, _ id: RepoID) throws -> (CacheRoot, RepoInventory) {
        let root = try CacheRoot(opening: cache.path)
        let listing = try CacheScan(root: root).list()
        let repo = try #require(listing.repos.first { $0.id == id })
        return (root, CacheScan(root: root).scanRepo(repo, store: listing.store))
    }

    private func link(_ cache: TestCache, to target: BytePath, store: Bool = false) throws -> LinkEnd? {
        if store { try cache.makeStore() }
        try cache.outer.link(cache.repo().snapshot(commit(1), "sub/link"), to: target)
        return try scan(cache, cache.repo().id).1.snapshots.first?.files.first?.link
    }

    // MARK: local folders

    /// However many folders there are, looking ends, and says that it did not see all.
    @Test func listingOfWeightFoldersIsBounded() throws {
        try withTestCache { cache in
            for number in 1...3 {
                try cache.outer.makeFolder(BytePath("local/org\(number)/name"))
                try cache.outer.write(BytePath("local/org\(number)/name/config.json"), "{}")
            }
            let path = cache.outer.path.appending("local")
            func list(_ folders: Int, _ visited: Int) throws -> WeightFolders.Listing {
                try WeightFolders.list(below: path, mostFolders: folders, mostVisited: visited)
            }
            let all = (1...3).map { path.appending(BytePath("org\($0)/name")) }
            #expect(try WeightFolders.list(below: path).folders == all)
            let exact = try list(3, 7)
            #expect(exact.folders == all && !exact.isCut)
            let few = try list(2, 7)
            #expect(few.folders == Array(all.prefix(2)) && few.isCut)
            let short = try list(3, 4)
            #expect(short.folders == [all[0]] && short.isCut)
        }
    }

    // MARK: roots

    @Test func rootIsResolved() throws {
        try withTestCache { cache in
            try cache.outer.link("alias", to: "hub")
            let root = try CacheRoot(opening: cache.outer.absolute("alias"))
            #expect(root.path == cache.path)
            #expect(throws: SystemCallFailure.self) { try CacheRoot(opening: cache.path.appending("CACHEDIR.TAG")) }
            #expect(throws: SystemCallFailure.self) { try CacheRoot(opening: cache.path.appending("nothing")) }
        }
    }

    @Test func rootThatIsReplacedIsStillTheOneThatWasOpened() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let root = try CacheRoot(opening: cache.path)
            try cache.outer.move("hub", to: "old")
            try cache.outer.makeFolder("hub")
            #expect(try CacheScan(root: root).list().repos.map(\.folder) == ["models--org--model"])
        }
    }

    @Test func repoThatIsGoneIsEmpty() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let root = try CacheRoot(opening: cache.path)
            let listing = try CacheScan(root: root).list()
            cache.outer.delete(cache.repo().place(""))
            let repo = CacheScan(root: root).scanRepo(try #require(listing.repos.first), store: listing.store)
            #expect(repo.snapshots.isEmpty && repo.strays.isEmpty)
        }
    }

    @Test func linkedFolderThatIsReplacedIsStale() throws {
        try withTestCache { cache in
            try cache.repo().model()
            try cache.outer.move(cache.repo().place(""), to: "moved")
            try cache.outer.link(cache.repo().place(""), to: cache.outer.absolute("moved"))
            let (root, repo) = try scan(cache, cache.repo().id)
            let linked = try #require(repo.linkedFolders.first)
            #expect(linked.physicalPath == cache.outer.absolute("moved"))
            _ = try root.open(repo.folder.appending("refs/main"), linked: repo.linkedFolders)
            try cache.outer.move("moved", to: "moved2")
            try cache.outer.write("moved/refs/main", "x")
            do throws(SystemCallFailure) {
                _ = try root.open(repo.folder.appending("refs/main"), linked: repo.linkedFolders)
                Issue.record("another folder was opened in its place")
            } catch {
                #expect(error.errno == SystemCallFailure.staleNumber)
            }
        }
    }

    // MARK: ends of links

    @Test(arguments: [
        "../../../blobs/e", "../../../blobs/./e", "..//../..//blobs/e", "../../../../models--org--model/blobs/e",
    ])
    func waysToABlob(target: String) throws {
        try withTestCache { cache in
            let end = try link(cache, to: BytePath(target))
            #expect(end == .blob("e"))
        }
    }

    @Test func absoluteWayToABlob() throws {
        try withTestCache { cache in
            let end = try link(cache, to: cache.path.appending("models--org--model/blobs/e"))
            #expect(end == .blob("e"))
        }
    }

    @Test func climbingOutAndBackIn() throws {
        try withTestCache { cache in
            let end = try link(cache, to: "../../../../../hub/models--org--model/blobs/e")
            #expect(end == .blob("e"))
        }
    }

    @Test(arguments: [
        "../../../../../x", "/x", "../../../../../hub2/models--org--model/blobs/e", "/hub/x", "../../../../../hub/../x",
    ])
    func waysOut(target: String) throws {
        try withTestCache { cache in
            let end = try link(cache, to: BytePath(target))
            #expect(end == .outside(target: BytePath(target)))
        }
    }

    @Test(arguments: ["nothing", "../../../blobs", "../../../blobs/..", "../../../blobs/a/b", "."])
    func waysToNoBlob(target: String) throws {
        try withTestCache { cache in
            let end = try link(cache, to: BytePath(target))
            switch end {
            case .nothing, .elsewhere: break
            default: Issue.record("\(String(describing: end))")
            }
        }
    }

    @Test func wayToAPayload() throws {
        let hash = String(repeating: "ab", count: 32)
        try withTestCache { cache in
            let end = try link(cache, to: BytePath("../../../../blobs/ab/\(hash)"), store: true)
            #expect(end == .payload(BytePath(hash)))
        }
        try withTestCache { cache in
            // On the wrong shelf, or without a store, it is a file like any other.
            let end = try link(cache, to: BytePath("../../../../blobs/cd/\(hash)"), store: true)
            #expect(end == .nothing(target: BytePath("../../../../blobs/cd/\(hash)")))
        }
        try withTestCache { cache in
            let end = try link(cache, to: BytePath("../../../../blobs/ab/\(hash)"))
            #expect(end == .nothing(target: BytePath("../../../../blobs/ab/\(hash)")))
        }
    }

    // MARK: what a repo holds

    @Test func everythingInItsPlace() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try repo.partial("e", suffix: ".part")
            try cache.outer.write(repo.place("blobs/f.lock"), "")
            try cache.outer.write(repo.place("blobs/f.etag"), "")
            try cache.outer.write(repo.place("blobs/tmp_1234"), "")
            try cache.outer.write(repo.place(".no_exist").appending(commit(1) + "/a/b.json"), "")
            try cache.outer.write(repo.place("trees/tmpabcdefgh.tmp"), "")
            try cache.outer.write(repo.place(".hfjanitor/op.intent"), "{}")
            try cache.outer.makeFolder(repo.place("tmpabcdefgh"))
            let hash = String(repeating: "ab", count: 32)
            try cache.makeStore()
            try cache.outer.link(
                repo.place("blobs").appending(".e.0a1b2c3d.shared"), to: BytePath("../../blobs/ab/\(hash)"))
            let (_, found) = try scan(cache, repo.id)
            #expect(found.snapshots.map(\.commit?.hex) == [commit(1)])
            #expect(found.snapshots[0].files.map(\.path) == found.snapshots[0].files.map(\.path).sorted())
            #expect(found.blobs.count == 4 && found.partials.map(\.etag) == ["e"] && found.blobLocks == ["f"])
            #expect(found.manifests.keys.map(\.hex) == [commit(1)] && found.absentMarkerCount == 1)
            #expect(found.operations == ["op"] && found.publishingPayloads == [BytePath(hash)])
            #expect(found.strays.isEmpty, "\(found.strays)")
            #expect(found.refs.map(\.name) == ["main"])
        }
    }

    @Test func reposAreInOrderOfTypeAndName() throws {
        try withTestCache { cache in
            for (name, type) in [
                ("b/b", RepoType.space), ("z", .model), ("a/c", .dataset), ("a/b", .model), ("k", .kernel),
            ] {
                try cache.outer.makeFolder(cache.repo(name, type).place(""))
            }
            let listing = try CacheScan(root: CacheRoot(opening: cache.path)).list()
            #expect(
                listing.repos.map(\.id.description) == ["model/a/b", "model/z", "dataset/a/c", "space/b/b", "kernel/k"])
        }
    }

    @Test func commitsByName() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let near = String(repeating: "1", count: 39) + "2"
            for one in [commit(1), near, commit(2)] { try cache.outer.makeFolder(repo.snapshot(one)) }
            try repo.ref("main", commit(2))
            try repo.ref("2222222", commit(1))
            let (_, found) = try scan(cache, repo.id)
            func commits(_ name: String) -> [String] { found.commits(named: name).map(\.hex) }
            #expect(
                commits("main") == [commit(2)] && commits("2222222") == [commit(1)]
                    && commits("22222222") == [commit(2)])
            #expect(commits("1111111") == [commit(1), near] && commits("111111").isEmpty && commits(near) == [near])
            #expect(commits("nothing").isEmpty && commits("").isEmpty && commits("AAAAAAA").isEmpty)
        }
    }

    // MARK: liveness

    @Test func softLockOfALivingProcess() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let etag = ReferenceDigest.sha256([1])
            try repo.partial(etag)
            func isLocked(_ content: String) throws -> Bool {
                try cache.outer.write(repo.lockPlace(etag), content)
                let (root, found) = try scan(cache, repo.id)
                return LivenessProbe(root: root, now: currentTime()).isLocked(etag: BytePath(etag), in: found)
            }
            #expect(try isLocked("1\n\(hostName())\n"))
            #expect(try isLocked("1\n\(hostName())\ntoken\n"))
            #expect(try !isLocked("2147483646\n\(hostName())\n"))
            #expect(try !isLocked("garbage"))
            #expect(try !isLocked(String(repeating: "1\n", count: 5000)))
            #expect(try !isLocked("-1\n\(hostName())\n") && !isLocked("99999999999999999999\nx\n"))
        }
    }

    @Test func lockFilesThatAreNone() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            try cache.outer.fifo(repo.lockPlace("fifo"))
            try cache.outer.makeFolder(repo.lockPlace("folder"))
            try cache.outer.write("outside", "")
            try cache.outer.link(repo.lockPlace("link"), to: cache.outer.absolute("outside"))
            let held = try HeldLock(cache.outer, "outside")
            defer { held.release() }
            let (root, found) = try scan(cache, repo.id)
            #expect(LivenessProbe(root: root, now: currentTime()).heldLocks(of: found).held.isEmpty)
        }
    }
}

@Suite struct LocatorTests {
    private func hub(_ environment: [String: String]) -> BytePath { CacheLocator(environment: environment).hubCache }

    @Test func orderOfVariables() {
        let all = [
            "HF_HUB_CACHE": "/1", "HUGGINGFACE_HUB_CACHE": "/2", "HF_HOME": "/3", "XDG_CACHE_HOME": "/4", "HOME": "/5",
        ]
        #expect(hub(all) == "/1")
        #expect(hub(all.filter { $0.key != "HF_HUB_CACHE" }) == "/2")
        #expect(hub(all.filter { !$0.key.hasSuffix("HUB_CACHE") }) == "/3/hub")
        #expect(hub(["XDG_CACHE_HOME": "/4", "HOME": "/5"]) == "/4/huggingface/hub")
        #expect(hub(["HOME": "/5"]) == "/5/.cache/huggingface/hub")
    }

    @Test func setAndEmpty() {
        #expect(hub(["HF_HUB_CACHE": "", "HF_HOME": "/x"]) == ".")
        #expect(hub(["HUGGINGFACE_HUB_CACHE": "", "HF_HOME": "/x"]) == ".")
        #expect(hub(["HF_HOME": "", "HOME": "/5"]) == "hub")
        #expect(hub(["XDG_CACHE_HOME": "", "HOME": "/5"]) == "huggingface/hub")
    }

    @Test func expansion() {
        let locator = CacheLocator(environment: ["HOME": "/home/u/", "A": "x", "B_1": "y", "E": ""])
        #expect(locator.expand("~") == "/home/u" && locator.expand("~/a") == "/home/u/a")
        #expect(locator.expand("$A/${B_1}/$B_1") == "x/y/y" && locator.expand("$E/a") == "/a")
        #expect(locator.expand("$NONE/${NONE}/$/${/$$A") == "$NONE/${NONE}/$/${/$x")
        #expect(locator.expand("a~b/~") == "a~b/~" && locator.expand("~no-such-user-here/x") == "~no-such-user-here/x")
        #expect(CacheLocator(environment: ["HOME": "/"]).expand("~/a") == "/a")
        #expect(hub(["HF_HOME": "$HOME/x", "HOME": "/h"]) == "/h/x/hub")
        #expect(hub(["XDG_CACHE_HOME": "~/c", "HOME": "/h"]) == "/h/c/huggingface/hub")
    }

    @Test func otherPlaces() {
        #expect(CacheLocator(environment: ["HF_XET_CACHE": "~/x"]).xetCache == "~/x")
        #expect(CacheLocator(environment: ["HF_HOME": "/h"]).xetCache == "/h/xet")
        #expect(CacheLocator(environment: ["HF_TOKEN_PATH": "$T", "T": "/t"]).tokenFile == "/t")
        #expect(CacheLocator(environment: ["HF_HOME": "/h"]).tokenFile == "/h/token")
    }
}
