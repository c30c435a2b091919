import Foundation
import Glibc
import HubCache
import LinuxIO
import TestSupport
import Testing

@testable import CacheWatch

private let mustNotSkip = ProcessInfo.processInfo.environment["HFJANITOR_TESTS_REQUIRE_ALL"] == "1"

private let unshareUser = ["/usr/bin/unshare", "--user", "--map-root-user"]
private let unshareMounts = ["/usr/bin/unshare", "--mount", "--propagation", "private"]
private let slowStrace = [
    "/usr/bin/strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=inotify_add_watch", "-e",
    "inject=inotify_add_watch:delay_enter=2s:when=5",
]

/// Limits of a user namespace of its own, which touch nobody else.
@Suite(
    .enabled(if: OwnProcess.isHere || mustNotSkip || canRun(unshareUser + ["/bin/true"]), "no user namespaces"))
struct LimitTests {
    private func set(_ name: String, _ value: Int) throws {
        try "\(value)\n".write(toFile: "/proc/sys/user/\(name)", atomically: false, encoding: .utf8)
    }

    private func under(_ name: String, _ value: Int) -> [String] {
        unshareUser + ["/bin/sh", "-c", "echo \(value) >/proc/sys/user/\(name) && exec \"$@\"", "sh"]
    }

    @Test func fewWatches() throws {
        guard OwnProcess.isHere else {
            let run = try OwnProcess.run("LimitTests/fewWatches", under: under("max_inotify_watches", 20))
            #expect(run.status == 0 && run.output.contains("fewWatches() passed"), "\(run.output)")
            return
        }
        try withTestCache { cache in
            let repos = (0..<6).map { cache.repo("org/m\($0)") }
            for repo in repos { try repo.model() }
            let watch = try Watch(cache.path, limits: PollingTests.limits, keepsFirst: true)
            try watch.wait(for: .degraded(cache: cache.path, .watchLimit))
            let status = watch.watcher.status[0]
            #expect(status.watches <= 20 && status.watches > 3 && status.polledRepos >= 3 && status.repos == 7)
            #expect(status.degradations == [.watchLimit])
            for repo in [repos[0], repos[5]] { try PollingTests.everyChangeIsFound(cache, repo, watch) }
            let late = cache.repo("org/late")
            try late.model()
            try watch.wait(for: .repoChanged(cache: cache.path, folder: late.folder))
            try PollingTests.everyChangeIsFound(cache, late, watch)
            watch.clear()
            try set("max_inotify_watches", 1000)
            try watch.wait(for: .restored(cache: cache.path, .watchLimit))
            #expect(watch.watcher.status[0].polledRepos == 0)
            let etag = try repos[5].blob([1, 2, 3])
            try watch.drain()
            try cache.outer.use(repos[5].place("blobs").appending(etag))
            try watch.drain()
            #expect(watch.opens == [.blob(repo: repos[5].folder, name: BytePath(etag))])
        }
    }

    @Test func noInstances() throws {
        guard OwnProcess.isHere else {
            let run = try OwnProcess.run("LimitTests/noInstances", under: under("max_inotify_instances", 0))
            #expect(run.status == 0 && run.output.contains("noInstances() passed"), "\(run.output)")
            return
        }
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let watch = try Watch(cache.path, limits: PollingTests.limits, isPresent: false)
            try watch.wait(for: .armed(cache: cache.path), .degraded(cache: cache.path, .instanceLimit))
            try PollingTests.everyChangeIsFound(cache, repo, watch)
            watch.clear()
            try set("max_inotify_instances", 10)
            try watch.wait(for: .restored(cache: cache.path, .instanceLimit), .armed(cache: cache.path))
            #expect(watch.watcher.status[0].watches > 6 && watch.watcher.status[0].degradations == [])
        }
    }
}

/// Mounts in a namespace of its own.
@Suite(
    .enabled(if: OwnProcess.isHere || mustNotSkip || canRun(unshareMounts + ["/bin/true"]), "no mount namespaces"))
struct MountTests {
    private func runAgain(_ name: String) throws {
        let run = try OwnProcess.run("MountTests/\(name)", under: unshareMounts)
        #expect(run.status == 0 && run.output.contains("\(name)() passed"), "\(run.output)")
    }

    private func mount(_ cache: TestCache) throws {
        guard canRun(["/bin/mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", cache.path.text]) else {
            throw SetupFailure("mount")
        }
    }

    /// Never lazily: a watched filesystem can be unmounted. A look that is under way holds it for a moment.
    private func unmount(_ cache: TestCache) throws {
        let end = monotonicNanoseconds() + 30_000_000_000
        while !canRun(["/bin/umount", cache.path.text]) {
            guard monotonicNanoseconds() < end else { throw SetupFailure("it stays busy") }
        }
    }

    @Test func unmountedAndRemounted() throws {
        guard OwnProcess.isHere else { return try runAgain("unmountedAndRemounted") }
        try withTestCache { cache in
            try mount(cache)
            let repo = cache.repo()
            try repo.model()
            let watch = try Watch(cache.path)
            try unmount(cache)
            // The folder that it was mounted on is there, and empty.
            try watch.wait(
                for: .root(cache: cache.path, .unmounted), .root(cache: cache.path, .replaced),
                .armed(cache: cache.path))
            try watch.wait("the root alone") { _ in watch.watcher.status[0].watches == 1 }
            watch.clear()
            try mount(cache)
            try watch.wait(for: .root(cache: cache.path, .replaced), .armed(cache: cache.path))
            watch.clear()
            try watch.waitUntilTold(of: repo)
            try unmount(cache)
        }
    }

    @Test func mountedOver() throws {
        guard OwnProcess.isHere else { return try runAgain("mountedOver") }
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let watch = try Watch(cache.path)
            try mount(cache)
            try watch.wait(for: .root(cache: cache.path, .replaced), .armed(cache: cache.path))
            watch.clear()
            try watch.waitUntilTold(of: cache.repo("org/other"))
            try unmount(cache)
            watch.clear()
            try watch.wait(for: .armed(cache: cache.path))
            try watch.waitUntilTold(of: repo)
        }
    }

    /// A mount in the middle of the cache is found without looking for it.
    @Test func mountInside() throws {
        guard OwnProcess.isHere else { return try runAgain("mountInside") }
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let watch = try Watch(cache.path)
            guard canRun(["/bin/mount", "-t", "tmpfs", "tmpfs", cache.outer.absolute(repo.place("blobs")).text]) else {
                throw SetupFailure("mount")
            }
            try watch.wait(for: .repoChanged(cache: cache.path, folder: repo.folder))
            try watch.drain()
            watch.clear()
            try cache.outer.write(repo.place("blobs/x"), [1])
            try watch.drain()
            try cache.outer.use(repo.place("blobs/x"))
            try watch.drain()
            #expect(watch.opens == [.blob(repo: repo.folder, name: "x")])
            while !canRun(["/bin/umount", cache.outer.absolute(repo.place("blobs")).text]) {}
        }
    }
}

/// As a user whom permissions stop.
@Suite(.enabled(if: OwnProcess.isHere || mustNotSkip || isRoot, "not root"))
struct PermissionTests {
    private func runAgain(_ name: String) throws {
        let run = try OwnProcess.run(
            "PermissionTests/\(name)",
            under: ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"])
        #expect(run.status == 0 && run.output.contains("\(name)() passed"), "\(run.output)")
    }

    @Test func takenAwayAndGivenBack() throws {
        guard OwnProcess.isHere else { return try runAgain("takenAwayAndGivenBack") }
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let watch = try Watch(cache.path)
            try cache.outer.chmod("hub", 0)
            try watch.wait(for: .root(cache: cache.path, .unreadable(errno: EACCES)))
            try cache.outer.chmod("hub", 0o755)
            try watch.wait(for: .root(cache: cache.path, .back))
            try watch.drain()
            for place in [cache.place(repo.folder), repo.place("snapshots"), repo.snapshot(commit(1))] {
                try cache.outer.chmod(place, 0)
                try watch.drain()
                watch.clear()
                try cache.outer.chmod(place, 0o755)
                try watch.wait(for: .repoChanged(cache: cache.path, folder: repo.folder))
                try watch.drain()
                try watch.wait(forWatches: 6)
            }
            // Made unreadable from the start.
            try cache.outer.chmod("hub", 0)
            let other = try Watch(cache.path, isPresent: false)
            try other.wait(for: .root(cache: cache.path, .unreadable(errno: EACCES)))
            try cache.outer.chmod("hub", 0o755)
            other.watcher.lookAtRoots()
            try other.wait(for: .root(cache: cache.path, .back), .armed(cache: cache.path))
        }
    }
}

/// Filesystem calls that do not come back for a while.
@Suite(.enabled(if: OwnProcess.isHere || mustNotSkip || canRun(slowStrace + ["/bin/true"]), "no strace"))
struct HangTests {
    @Test func hangingCall() throws {
        guard OwnProcess.isHere else {
            let run = try OwnProcess.run("HangTests/hangingCall", under: slowStrace)
            #expect(run.status == 0 && run.output.contains("hangingCall() passed"), "\(run.output)")
            return
        }
        try withTestFolder { folder in
            let slow = folder.path.appending("slow")
            for number in 0..<5 { try folder.makeFolder(BytePath("slow/models--a--b\(number)")) }
            var limits = WatchLimits()
            limits.responseLimit = 100_000_000
            let watch = try Watch(slow, limits: limits, isPresent: false)
            try watch.wait(for: .root(cache: slow, .unresponsive))
            #expect(watch.watcher.status[0].isUnresponsive && !watch.watcher.status[0].isArmed)
            // What was watched before is heard.
            try folder.makeFolder("slow/models--c--d")
            try watch.wait(for: .repoChanged(cache: slow, folder: "models--c--d"))
            try watch.wait(for: .root(cache: slow, .responsive), .armed(cache: slow))
            #expect(!watch.watcher.status[0].isUnresponsive)
        }
    }

    /// Stopping does not wait for ever either.
    @Test func stopWhileACallHangs() throws {
        guard OwnProcess.isHere else {
            let slower = slowStrace.map { $0.replacingOccurrences(of: "delay_enter=2s", with: "delay_enter=20s") }
            let run = try OwnProcess.run("HangTests/stopWhileACallHangs", under: slower)
            #expect(run.output.contains("stopWhileACallHangs() passed"), "\(run.output)")
            return
        }
        try withTestFolder { folder in
            for number in 0..<5 { try folder.makeFolder(BytePath("slow/models--a--b\(number)")) }
            var limits = WatchLimits()
            limits.responseLimit = 100_000_000
            let slow = folder.path.appending("slow")
            let watch = try Watch(slow, limits: limits, isPresent: false)
            try watch.wait(for: .root(cache: slow, .unresponsive))
            watch.watcher.stop()
            #expect(watch.watcher.status[0].isUnresponsive)
        }
    }
}
