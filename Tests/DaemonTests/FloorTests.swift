import Foundation
import HubCache
import TestSupport
import Testing

/// A daemon on a small filesystem of its own. Needs root, to mount it.
@Suite(.serialized, .enabled(if: isRoot)) struct FloorTests {
    /// A filesystem in a file, mounted; taken away afterwards.
    private func withSmallDisk(megabytes: Int, _ body: (TestFolder, TestFolder) throws -> Void) throws {
        try withTestFolder { outer in
            let place = outer.path.appending("disk").text
            try outer.makeFolder("disk")
            let image = outer.path.appending("image").text
            try shell("truncate -s \(megabytes)M '\(image)' && mkfs.ext4 -q -m 0 '\(image)'")
            do { try shell("mount -o loop '\(image)' '\(place)'") } catch {
                if ProcessInfo.processInfo.environment["HFJANITOR_TESTS_REQUIRE_ALL"] == "1" { throw error }
                return print("skipped: nothing can be mounted here")
            }
            defer { try? shell("umount '\(place)' || umount -l '\(place)'") }
            try body(try TestFolder(in: place), outer)
        }
    }

    private func shell(_ command: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", command]
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw SetupFailure("\(command): \(process.terminationStatus)") }
    }

    private func policy(_ folder: TestFolder, cache: TestCache, pins: String = "[]") throws -> BytePath {
        try folder.write(
            "policy.yaml",
            """
            mode: enforce
            caches:
              - path: \(cache.path.text)
                min-free: 60MB
                target-free: 70MB
                min-age: 0s
                recent-use: 0s
                irreplaceable: evict
            pins: \(pins)

            """)
        return folder.path.appending("policy.yaml")
    }

    /// A model of some megabytes.
    private func model(_ cache: TestCache, _ name: String, megabytes: Int, days: Int) throws -> TestRepo {
        let repo = cache.repo(name)
        let content = [UInt8](repeating: UInt8(days), count: megabytes << 20)
        // Any name will do: nobody hashes it here, least of all this test.
        let etag = String(repeating: String(days % 10), count: 63) + String(megabytes % 10)
        try repo.blob(named: etag, content)
        try repo.link("data.bin", to: etag, at: commit(1))
        try repo.ref("main", commit(1))
        let age = Int(Date().timeIntervalSince1970) - days * 86400
        try cache.outer.setTimes(repo.place("blobs").appending(etag), accessed: age, modified: age)
        return repo
    }

    @Test func roomIsMadeForADownloadBeforeItIsNeeded() throws {
        try withSmallDisk(megabytes: 200) { disk, outside in
            let cache = try TestCache(in: disk.path.text)
            defer { cache.outer.remove() }
            let oldest = try model(cache, "org/oldest", megabytes: 20, days: 90)
            let pinned = try model(cache, "org/pinned", megabytes: 20, days: 80)
            let younger = try model(cache, "org/younger", megabytes: 20, days: 10)
            let policy = try policy(outside, cache: cache, pins: "[{repo: org/pinned}]")
            let daemon = try RunningTestDaemon(cache: nil, policy: policy, state: outside.path.appending("state"))
            try daemon.wait(for: "daemon-ready")
            #expect(!daemon.events.contains { $0.event == "removed" })

            let repo = cache.repo("org/new")
            let etag = String(repeating: "a", count: 64)
            try repo.manifest(
                commit(3),
                text: """
                    {"format_version": 1, "files": {"x.bin": {"size": 80000000, "blob_id": "\(String(repeating: "b", count: 40))",
                    "lfs_sha256": "\(etag)", "lfs_size": 80000000}}}
                    """)
            try repo.ref("main", commit(3))
            let lock = try HeldLock(cache.outer, repo.lockPlace(etag))
            let partial = repo.place("blobs").appending(etag + ".0a1b2c3d.incomplete")
            try cache.outer.write(partial, "")
            // Grows until room was made for the rest of it.
            let piece = [UInt8](repeating: 7, count: 1_000_000)
            var written = 0
            let isMade = daemon.wait {
                if written < 20 { try? cache.outer.append(partial, piece) }
                written += 1
                usleep(200_000)
                return daemon.events.contains { $0.event == "removed" }
            }
            #expect(isMade, "\(daemon.text)")
            try daemon.wait(for: "floor-breached")
            #expect(daemon.wait { daemon.events.contains { $0.event == "floor-held" } }, "\(daemon.text)")
            #expect(!cache.outer.exists(oldest.snapshot(commit(1), "data.bin")))
            #expect(cache.outer.exists(pinned.snapshot(commit(1), "data.bin")))
            #expect(cache.outer.exists(younger.snapshot(commit(1), "data.bin")))
            lock.release()
            #expect(daemon.stop() == 0)
        }
    }

    @Test func aFloorOutOfReachIsOneAlarm() throws {
        try withSmallDisk(megabytes: 100) { disk, outside in
            let cache = try TestCache(in: disk.path.text)
            defer { cache.outer.remove() }
            let pinned = try model(cache, "org/pinned", megabytes: 40, days: 80)
            let policy = try policy(outside, cache: cache, pins: "[{repo: org/pinned}]")
            let daemon = try RunningTestDaemon(cache: nil, policy: policy, state: outside.path.appending("state"))
            try daemon.wait(for: "floor-breached")
            let alarm = try daemon.wait(for: "floor-unreachable")
            #expect(alarm.texts["level"] == "critical")
            #expect(alarm.message.contains("hfjanitor plan"))
            #expect(alarm.texts["reason"]?.contains("pin") ?? false)
            #expect(alarm.numbers["bytes"] ?? 0 > 0)
            // What changes has it tried again, and not said again.
            for number in 0..<3 {
                try cache.repo("org/small\(number)").model()
                try daemon.wait(for: "arrived") { $0.repo == "model/org/small\(number)" }
            }
            // Time for what must not come.
            sleep(8)
            #expect(daemon.events.count { $0.event == "floor-unreachable" } == 1, "\(daemon.text)")
            #expect(daemon.events.count { $0.event == "floor-breached" } == 1)
            // With the disk larger, so to speak, it is over.
            cache.outer.delete(cache.place(pinned.folder))
            try daemon.wait(for: "floor-held")
            #expect(daemon.stop() == 0)
            let status = daemon.events.last { $0.event == "floor-held" }
            #expect(status != nil)
        }
    }
}
