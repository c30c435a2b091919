import Foundation
import HubCache
import Testing

@testable import Removal
@testable import TestSupport

/// Every system call that a removal makes fails once, each time at another place: what is asked for is done, undone, or made
/// whole by the next run, and no snapshot ever leads to a blob that is gone.
@Suite struct FaultTests {
    private static let strace = "/usr/bin/strace"
    private static let isPossible =
        FileManager.default.isExecutableFile(atPath: strace)
        || ProcessInfo.processInfo.environment["HFJANITOR_TESTS_REQUIRE_ALL"] != nil

    struct Fault: CustomTestStringConvertible, Sendable {
        var call: String
        var errno: String
        /// Every how many of the calls: some are made by the hundred.
        var stride = 1
        var testDescription: String { "\(call) \(errno)" }
    }

    private static let faults: [Fault] = [
        Fault(call: "renameat2", errno: "EIO"), Fault(call: "renameat2", errno: "ENOSPC"),
        Fault(call: "unlinkat", errno: "EIO"), Fault(call: "unlinkat", errno: "EROFS"),
        Fault(call: "mkdirat", errno: "ENOSPC"), Fault(call: "mkdirat", errno: "EACCES"),
        Fault(call: "linkat", errno: "EXDEV"), Fault(call: "linkat", errno: "EMLINK"),
        Fault(call: "fsync", errno: "EIO"), Fault(call: "flock", errno: "ENOSYS"),
        Fault(call: "flock", errno: "EIO"), Fault(call: "fchmod", errno: "EPERM"),
        Fault(call: "write", errno: "ENOSPC"), Fault(call: "getdents64", errno: "EIO", stride: 3),
        Fault(call: "openat2", errno: "EACCES", stride: 7), Fault(call: "openat2", errno: "EMFILE", stride: 11),
        Fault(call: "openat", errno: "EROFS", stride: 5), Fault(call: "statx", errno: "EIO", stride: 23),
        Fault(call: "readlinkat", errno: "EIO"), Fault(call: "inotify_add_watch", errno: "ENOSPC", stride: 3),
    ]

    @Test(.enabled(if: isPossible, "needs strace"), arguments: faults)
    func everyCallFailsOnce(_ fault: Fault) throws {
        for scene in [CrashScene.all[0], CrashScene.all[2]] {
            var number = 1
            while try injected(fault, number, scene) { number += fault.stride }
            #expect(number > 1 || fault.call == "linkat", "\(fault.call) is never called")
        }
    }

    /// - Returns: whether there were that many calls.
    private func injected(_ fault: Fault, _ number: Int, _ scene: CrashScene) throws -> Bool {
        try withTestCache { cache in
            let items = try scene.build(cache)
            let before = Content(cache.path)
            let log = cache.outer.absolute("strace").text
            let run = try RemovalRun.run(
                cache,
                wrapper: [
                    Self.strace, "-f", "-qq", "-o", log, "-e", "trace=\(fault.call)", "-e", "signal=none", "-e",
                    "inject=\(fault.call):error=\(fault.errno):when=\(number)",
                ], ["remove"] + items)
            let wasInjected = (try? String(contentsOfFile: log, encoding: .utf8))?.contains("INJECTED") ?? false
            #expect(!run.wasKilled)
            try check(cache, before, "\(fault.call) \(fault.errno) number \(number): \(run.lines)")
            return wasInjected
        }
    }

    /// What has to hold after the next run, whatever failed in this one.
    private func check(_ cache: TestCache, _ before: Content, _ what: String, wrapper: [String] = []) throws {
        let recovery = try RemovalRun.run(cache, wrapper: wrapper, ["recover"])
        #expect(recovery.status == 0)
        let after = Content(cache.path)
        let context = "\(what) then \(recovery.lines): \(after.differences(from: before))"
        #expect(!after.entries.keys.contains { $0.text.contains(".hfjanitor") }, "\(context)")
        // Nothing is there that was not, nothing has changed but the store's own list of who links to a payload.
        for (name, entry) in after.entries where before.entries[name] != entry {
            #expect(name.hasSuffix(".refs"), "\(name): \(context)")
        }
        // Every link leads somewhere: what is still there is whole.
        for (name, entry) in after.entries where entry.contains(" to ") {
            #expect(FileManager.default.fileExists(atPath: cache.path.appending(name).text), "\(name): \(context)")
        }
        // A revision is there with all of its files or not at all.
        let snapshots = Set(
            before.entries.keys.compactMap { name -> BytePath? in
                let parts = name.components
                return parts.count == 3 && parts[1] == "snapshots" ? name : nil
            })
        for snapshot in snapshots {
            func files(_ content: Content) -> Set<BytePath> {
                Set(content.entries.filter { $0.key.hasPrefix(snapshot.text + "/") && $0.value.contains(" to ") }.keys)
            }
            let left = files(after)
            #expect(left.isEmpty || left == files(before), "\(snapshot): \(context)")
        }
    }

    private static let withoutRenames = [
        strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=renameat2", "-e",
        "inject=renameat2:error=EINVAL:when=1+",
    ]

    /// A filesystem without RENAME_EXCHANGE and RENAME_NOREPLACE: files go one by one, and the ends are the same.
    @Test(
        .enabled(if: isPossible, "needs strace"), arguments: [CrashScene.all[0], CrashScene.all[1], CrashScene.all[3]])
    func withoutTheNewRenames(_ scene: CrashScene) throws {
        let after = try withTestCache { cache in
            let items = try scene.build(cache)
            _ = try RemovalRun.removal(cache, items)
            return Content(cache.path)
        }
        let count = try withTestCache { cache in
            let items = try scene.build(cache)
            let run = try RemovalRun.removal(cache, items, wrapper: Self.withoutRenames)
            #expect(run.outcomes.count == items.count && run.outcomes.allSatisfy { $0.contains("removed") })
            #expect(Content(cache.path).differences(from: after) == [])
            return run.steps.count
        }
        // Killed on the way, too; the next run is on the same filesystem.
        for step in stride(from: 1, through: count, by: 2) {
            try withTestCache { cache in
                let items = try scene.build(cache)
                let before = Content(cache.path)
                let run = try RemovalRun.removal(cache, items, killAt: step, wrapper: Self.withoutRenames)
                try check(cache, before, "killed at \(run.steps.last ?? "")", wrapper: Self.withoutRenames)
            }
        }
    }
}
