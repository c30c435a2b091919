import CacheScan
import Foundation
import Glibc
import HubCache
import LinuxIO
import Synchronization
import Testing

@testable import Removal
@testable import TestSupport

/// What a tree holds, without times and inodes: two trees with one content are equal.
struct Content: Equatable {
    private(set) var entries: [BytePath: String] = [:]

    /// - Parameter isLocks: whether lock files count; they are made and stay, and say nothing.
    init(_ path: BytePath, locks isLocks: Bool = false) {
        add(path, .empty, isLocks)
    }

    func differences(from other: Content) -> [String] {
        Set(entries.keys).union(other.entries.keys).sorted().compactMap { path in
            let one = entries[path] ?? "absent"
            let two = other.entries[path] ?? "absent"
            return one == two ? nil : "\(path.display): \(two) -> \(one)"
        }
    }

    private mutating func add(_ path: BytePath, _ name: BytePath, _ isLocks: Bool) {
        if !isLocks, name.hasPrefix("hub/.locks") || name.hasPrefix(".locks") || name.hasSuffix(".lock") { return }
        var status = stat()
        let text = path.text
        guard unsafe lstat(text, &status) == 0 else { return }
        var line = "mode \(String(status.st_mode, radix: 8)) uid \(status.st_uid) gid \(status.st_gid)"
        switch status.st_mode & S_IFMT {
        case S_IFLNK: line += " to " + ((try? FileManager.default.destinationOfSymbolicLink(atPath: text)) ?? "?")
        case S_IFREG: line += " " + (FileManager.default.contents(atPath: text) ?? Data()).base64EncodedString()
        case S_IFDIR:
            for child in (try? FileManager.default.contentsOfDirectory(atPath: text)) ?? [] {
                add(path.appending(child), name.appending(child), isLocks)
            }
        default: break
        }
        entries[name] = line
    }
}

/// Runs the removal that can be killed.
enum RemovalRun {
    struct Result {
        var lines: [String]
        var wasKilled: Bool
        var status: Int32

        var steps: [String] { lines.filter { $0.hasPrefix("step ") }.map { String($0.dropFirst(5)) } }
        var outcomes: [String] { lines.filter { $0.hasPrefix("outcome ") } }
        var recoveries: [String] { lines.filter { $0.hasPrefix("recovered ") } }
    }

    static var path: String {
        URL(fileURLWithPath: Program.path).deletingLastPathComponent().appendingPathComponent("RemovalRun").path
    }

    /// Runs a removal. A process that another test is about to start has, between fork and exec, every file open that this one
    /// has, and then nothing may go: the removal is asked for again.
    static func removal(
        _ cache: TestCache, _ items: [String], killAt step: Int = 0, settle: Int = 0, wrapper: [String] = []
    ) throws -> Result {
        for _ in 0..<20 {
            let result = try run(cache, killAt: step, settle: settle, wrapper: wrapper, ["remove"] + items)
            if !result.outcomes.contains(where: { $0.contains("Keeper.open") }) { return result }
        }
        throw SetupFailure(description: "something has the files open")
    }

    static func run(
        _ cache: TestCache, killAt step: Int = 0, settle: Int = 0, wrapper: [String] = [], _ arguments: [String]
    ) throws -> Result {
        let process = Process()
        let command = wrapper + [path, cache.path.text, "\(step)", "\(settle)"] + arguments
        process.executableURL = URL(fileURLWithPath: command[0])
        process.arguments = Array(command.dropFirst())
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return Result(
            lines: text.split(separator: "\n").map(String.init),
            wasKilled: process.terminationReason == .uncaughtSignal, status: process.terminationStatus)
    }
}

/// Collects what a remover tells.
final class Told: Sendable {
    private let events = Mutex<[RemovalEvent]>([])

    func add(_ event: RemovalEvent) { events.withLock { $0.append(event) } }

    var restored: [BytePath] {
        events.withLock { $0.compactMap { if case .restored(_, let blob) = $0 { blob } else { nil } } }
    }
    var left: [BytePath] {
        events.withLock { $0.compactMap { if case .left(let path, _) = $0 { path } else { nil } } }
    }
}

extension TestCache {
    func remover(
        settle: Duration = .milliseconds(20), told: Told = Told(),
        reproof: @escaping @Sendable (RepoInventory, CommitHash?, BytePath?) -> [Kept] = { _, _, _ in [] },
        inUse: @escaping @Sendable (FileKey, FileStat) -> ProbeAnswer = { _, _ in .unknown(reason: "a test") },
        step: @escaping @Sendable (RemovalStep) -> Void = { _ in }
    ) throws -> Remover {
        Remover(
            root: try CacheRoot(opening: path), settle: settle, reproof: reproof, inUse: inUse,
            assumesUnused: { _, _ in false }, cancellation: Cancellation(), event: { told.add($0) }, step: step)
    }

    /// What a repo has now.
    func inventory(_ repo: TestRepo) throws -> RepoInventory {
        let scan = CacheScan(root: try CacheRoot(opening: path))
        let listing = try scan.list()
        guard let found = listing.repos.first(where: { $0.folder == repo.folder }) else {
            throw SetupFailure(description: "no repo")
        }
        return scan.scanRepo(found, store: listing.store)
    }

    /// A request for all that a repo has now.
    func whole(_ repo: TestRepo) throws -> RemovalRequest {
        let found = try inventory(repo)
        let linked = found.linkedBlobs()
        let items: [RemovalItem] =
            found.snapshots.compactMap(\.commit).map { .revision($0, identity: nil) }
            + found.blobs.keys.filter { !linked.contains($0) }.sorted().compactMap { name in
                found.blobs[name].map { .orphanBlob(name: name, stat: $0.stat) }
            } + found.partials.map { .partial(name: $0.name, stat: $0.stat) }
        return RemovalRequest(folder: repo.folder, items: items, isWholeRepo: true)
    }

    /// Removes revisions of one repo.
    func remove(_ repo: TestRepo, _ commits: String...) throws -> [RemovalResult] {
        try retried { try remover().remove([repo.request(commits)]).map(\.result) }
    }
}

extension TestRepo {
    func request(_ commits: [String]) -> RemovalRequest {
        RemovalRequest(
            folder: folder,
            items: commits.compactMap { CommitHash($0) }.map { .revision($0, identity: nil) })
    }
}

extension RemovalResult {
    var isRemoved: Bool { if case .removed = self { true } else { false } }
    var keepers: [Keeper] { if case .kept(let kept) = self { kept.map(\.by) } else { [] } }
    var isUndone: Bool { if case .undone = self { true } else { false } }
    var isFailed: Bool { if case .failed = self { true } else { false } }
}

/// Asks again while a process that another test is about to start has the files open: see `RemovalRun.removal`.
func retried(_ body: () throws -> [RemovalResult]) throws -> [RemovalResult] {
    for _ in 0..<20 {
        let results = try body()
        if !results.contains(where: { $0.keepers == [.open] }) { return results }
    }
    throw SetupFailure(description: "something has the files open")
}

/// Does something once, when a step is reached for the first time.
final class Once: Sendable {
    private let isDone = Mutex(false)
    private let at: RemovalStep
    private let body: @Sendable () throws -> Void

    init(at step: RemovalStep, _ body: @escaping @Sendable () throws -> Void) {
        at = step
        self.body = body
    }

    func reached(_ step: RemovalStep) {
        guard step == at,
            isDone.withLock({ done in
                defer { done = true }
                return !done
            })
        else { return }
        do { try body() } catch { Issue.record("\(error)") }
    }
}
