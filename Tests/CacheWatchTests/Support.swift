import Foundation
import Glibc
import HubCache
import LinuxIO
import TestSupport
import Testing

@testable import CacheWatch

/// A watcher of one cache and all it has told so far.
final class Watch {
    let watcher: CacheWatcher
    let cache: BytePath
    private var all: [WatchEvent] = []
    /// What was told since `clear`, but for what `drain` did.
    var seen: [WatchEvent] { all.filter { $0 != probed } }
    /// A repo that `drain` plays with, so that other repos are left alone.
    private static let probe: BytePath = "models--end--probe"
    /// Starts watching.
    ///
    /// - Parameters:
    ///   - isPresent: whether to wait until everything is watched.
    ///   - keepsFirst: whether what came until then is kept.
    init(_ cache: BytePath, limits: WatchLimits = WatchLimits(), isPresent: Bool = true, keepsFirst: Bool = false)
        throws
    {
        self.cache = cache
        if isPresent {
            try FileManager.default.createDirectory(
                atPath: cache.appending(Self.probe).appending("refs").text, withIntermediateDirectories: true)
        }
        watcher = try CacheWatcher(caches: [cache], limits: limits)
        if isPresent {
            try wait("armed") { $0.contains(.armed(cache: cache)) }
            if !keepsFirst { clear() }
        }
    }

    deinit { watcher.stop() }

    /// Takes marks until they hold what is waited for; a minute is no measurement but the end of a test that fails.
    func wait(_ what: String, until isEnough: ([WatchEvent]) -> Bool) throws {
        let end = monotonicNanoseconds() + 60_000_000_000
        while !isEnough(seen) {
            guard monotonicNanoseconds() < end else {
                throw SetupFailure("waited in vain for \(what): \(seen.map(\.short)), \(watcher.status)")
            }
            all += watcher.next(within: 1_000_000_000)
        }
    }

    func wait(for events: WatchEvent...) throws {
        for event in events { try wait("\(event)") { $0.contains(event) } }
    }

    /// Changes a repo until that is told: a root that came or went may be watched anew once more, and what changes meanwhile is
    /// told by that alone.
    func waitUntilTold(of repo: TestRepo) throws {
        var count = 0
        while true {
            count += 1
            try repo.ref(BytePath("change-\(count)"), commit(1))
            all += watcher.next(within: 1_000_000_000)
            if seen.contains(.repoChanged(cache: cache, folder: repo.folder)) { return }
            guard count < 60 else { throw SetupFailure("not told: \(seen.map(\.short)), \(watcher.status)") }
        }
    }

    /// Forgets what was told.
    func clear() { all = [] }

    /// Waits until everything that happened before has been told and every new folder is watched: events come in order, and
    /// a folder made after the others is watched after them.
    func drain() throws {
        for _ in 0..<2 {
            let folder = Self.probe.appending("refs").appending("\(UInt32.random(in: 0 ... .max))")
            let path = cache.appending(folder).text
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            all.removeAll { $0 == probed }
            // Events of the folder itself stop; that of a file in it comes as soon as it is watched.
            let end = monotonicNanoseconds() + 60_000_000_000
            var number = 0
            while number < 3 || !all.contains(probed) {
                guard monotonicNanoseconds() < end else { throw SetupFailure("no end: \(watcher.status)") }
                all.removeAll { $0 == probed }
                number += 1
                try Data().write(to: URL(fileURLWithPath: path + "/\(number)"))
                all += watcher.next(within: 50_000_000)
            }
            try FileManager.default.removeItem(atPath: path)
        }
    }

    /// Waits until the cache has as many watches, besides those of `drain`.
    func wait(forWatches count: Int) throws {
        try wait("\(count) watches") { _ in watcher.status[0].watches == count + 3 }
    }

    private var probed: WatchEvent { .repoChanged(cache: cache, folder: Self.probe) }

    /// The files that were opened.
    var opens: [OpenedFile] {
        seen.compactMap { if case .opened(_, let file, _) = $0 { file } else { nil } }
    }

    var staleRepos: Set<BytePath> {
        Set(seen.compactMap { if case .repoChanged(_, let folder) = $0 { folder } else { nil } }).subtracting([
            Self.probe
        ])
    }
}

extension WatchEvent {
    var short: String { String("\(self)".replacing(cache.text, with: "…").prefix(150)) }
}

extension TestFolder {
    /// Opens a file for reading, as a program that uses it does.
    func use(_ name: BytePath) throws {
        _ = try OwnedDescriptor.open(trustedPath: absolute(name))
    }
}

/// Tests that need a process of their own run this test bundle once more, in which only they run.
enum OwnProcess {
    /// Whether this is such a process.
    static var isHere: Bool { ProcessInfo.processInfo.environment["HFJANITOR_WATCH_CHILD"] != nil }

    /// Runs one test again.
    ///
    /// - Parameters:
    ///   - test: its name, such as `LimitTests/fewWatches`.
    ///   - wrapper: what to run it under; the command and its arguments are added.
    static func run(_ test: String, under wrapper: [String]) throws -> ProgramRun {
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: wrapper[0])
        process.arguments =
            Array(wrapper.dropFirst()) + [own, "--testing-library", "swift-testing", "--filter", test]
        var environment = ProcessInfo.processInfo.environment
        environment["HFJANITOR_WATCH_CHILD"] = "1"
        process.environment = environment
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return ProgramRun(process, output: text, errors: "")
    }
}

/// Whether a command can be run here.
func canRun(_ command: [String]) -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: command[0])
    process.arguments = Array(command.dropFirst())
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
}
