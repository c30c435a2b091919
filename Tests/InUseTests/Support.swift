import CacheScan
import Foundation
import HubCache
import InUse
import Ledger
import LinuxIO
import TestSupport
import Testing

/// A cache with one model, looked at.
struct Scene {
    let cache: TestCache
    let repo: TestRepo
    let state: TestFolder
    let ledger: Ledger
    let root: CacheRoot
    let now = currentTime()

    init(_ cache: TestCache) throws {
        self.cache = cache
        // A name that no other test's processes have in their command lines.
        repo = cache.repo("org/m\(UInt32.random(in: 0 ... .max))")
        try repo.model()
        state = try TestFolder()
        ledger = Ledger.open(directory: state.path.appending("ledger"), programVersion: "1")
        root = try CacheRoot(opening: cache.path)
    }

    var inventory: RepoInventory {
        get throws {
            let scan = CacheScan(root: root)
            let listing = try scan.list()
            let folder = try #require(listing.repos.first { $0.id == repo.id })
            return scan.scanRepo(folder, store: listing.store)
        }
    }

    func probe(assumeUnusedAfter: Int64? = nil) -> UseProbe {
        UseProbe(root: root, ledger: ledger, assumeUnusedAfter: assumeUnusedAfter, now: now)
    }

    func files(of commit: String, in inventory: RepoInventory) throws -> [UsedFile] {
        let snapshot = try #require(inventory.snapshots.first { $0.commit?.hex == commit })
        return snapshot.files.compactMap { file in
            UsedFile(inventory.content(of: file, in: snapshot, store: StoreInventory()))
        }
    }

    /// What keeps a revision.
    func keepers(
        of commit: String = TestSupport.commit(1), lastUse: Timestamp? = nil, assumeUnusedAfter: Int64? = nil
    ) throws -> [Kept] {
        let inventory = try inventory
        let files = try files(of: commit, in: inventory)
        #expect(!files.isEmpty)
        return probe(assumeUnusedAfter: assumeUnusedAfter).keepers(
            of: CommitHash(commit), files: files, in: inventory, lastUse: lastUse)
    }

    /// The absolute path of the first shard's blob.
    var weights: BytePath {
        get throws {
            let inventory = try inventory
            let files = try files(of: commit(1), in: inventory)
            let largest = try #require(files.max { $0.stat.size < $1.stat.size })
            return cache.path.appending(largest.location)
        }
    }
}

func withScene<Result>(in place: String = "/tmp", _ body: (Scene) throws -> Result) throws -> Result {
    try withTestCache(in: place) { cache in
        let scene = try Scene(cache)
        defer { scene.state.remove() }
        return try body(scene)
    }
}

struct HelperFailure: Error { var command: [String] }

/// A process of the test's own that does something and says so.
final class Helper: Sendable {
    let process: Process
    private let input: Pipe

    /// Starts a program that prints a line when it is ready, and ends with its input.
    init(_ command: [String]) throws {
        process = Process()
        process.executableURL = URL(fileURLWithPath: command[0])
        process.arguments = Array(command.dropFirst())
        input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        guard output.fileHandleForReading.availableData.count > 0 else {
            throw HelperFailure(command: command)
        }
    }

    /// Has Python do something, wait, and end.
    static func python(_ body: String, _ arguments: [String], wrapper: [String] = []) throws -> Helper {
        let text = "import mmap, os, sys, fcntl\n\(body)\nprint('ready', flush=True)\nsys.stdin.read()\n"
        return try Helper(wrapper + ["/usr/bin/python3", "-c", text] + arguments)
    }

    var id: Int32 { process.processIdentifier }

    func end() {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }
}

let opensIt = "f = open(sys.argv[1], 'rb')"
let mapsIt = "f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); f.close()"

extension [Kept] {
    var keepers: [Keeper] { map(\.by) }
    func detail(_ keeper: Keeper) -> String { first { $0.by == keeper }?.detail ?? "" }
}

let hasPython = FileManager.default.isExecutableFile(atPath: "/usr/bin/python3")
/// What tests of other namespaces and mounts need.
let canMount = isRoot && hasPython
let mountAdvice: Comment = "needs root and python3"
