import Foundation
import HubCache
import Ledger
import TestSupport
import Testing

/// The history of free space, as the page draws it and `status` sums it up.
@Suite(.serialized) struct HistoryTests {
    private func history(_ daemon: ControlledDaemon, _ query: String = "") throws -> [[String: Any]] {
        try daemon.ask("GET", "/api/history" + query).json["caches"] as? [[String: Any]] ?? []
    }

    private func samples(_ daemon: ControlledDaemon) -> [[String: Any]] {
        (try? history(daemon).first?["samples"] as? [[String: Any]]) ?? []
    }

    @Test func isThereAndStays() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            let policy = "mode: observe\ncaches:\n  - {path: \(cache.path.text), min-free: 1MB}\n"
            var daemon = try ControlledDaemon(cache, policy: policy)
            #expect(daemon.wait { !samples(daemon).isEmpty })
            let found = try #require(try history(daemon).first)
            #expect(Set(found.keys) == ["cache", "path", "samples", "forecast"])
            #expect(found["path"] as? String == cache.path.text)
            #expect(found["forecast"] is NSNull, "nothing is foreseen of one sample")
            let sample = try #require(samples(daemon).first)
            #expect(
                Set(sample.keys) == ["time", "free_bytes", "floor_bytes", "total_bytes", "cache_bytes"])
            #expect(sample["floor_bytes"] as? Int == 1_000_000)
            #expect((sample["free_bytes"] as? Int ?? 0) > 0 && (sample["cache_bytes"] as? Int ?? 0) > 0)
            let time = try #require(CalendarTime.parse(sample["time"] as? String ?? ""))
            #expect(abs(Double(time.seconds) - Date().timeIntervalSince1970) < 3600)

            let id = try #require(found["cache"] as? String)
            #expect(try history(daemon, "?cache=\(id)").count == 1)
            #expect(try daemon.ask("GET", "/api/history?cache=no").code == "unknown_cache")
            #expect(try daemon.ask("GET", "/api/history?path=/etc").code == "invalid_request")
            #expect(daemon.stop() == 0)

            let before = sample["time"] as? String
            daemon = try ControlledDaemon(cache, policy: policy)
            #expect(daemon.wait { samples(daemon).first?["time"] as? String == before }, "after a restart, too")
        }
    }

    @Test func saysWhenTheFloorIsReached() throws {
        try withTestCache { cache in
            try cache.repo("org/whole").model()
            let facts = try FileManager.default.attributesOfFileSystem(forPath: cache.path.text)
            let total = try #require((facts[.systemSize] as? NSNumber)?.uint64Value)
            let free = try #require((facts[.systemFreeSize] as? NSNumber)?.uint64Value)
            try cache.outer.makeFolder("state")
            try cache.outer.makeFolder("state/hfjanitor")
            try cache.outer.chmod("state/hfjanitor", 0o700)
            let ledger = Ledger.open(
                directory: cache.outer.path.appending("state/hfjanitor"), programVersion: "test")
            let now = Int64(Date().timeIntervalSince1970)
            for hour in (1...120 as ClosedRange<Int64>).reversed() {
                ledger.note(
                    space: SpaceSample(
                        time: Timestamp(seconds: now - hour * 3600), free: free + UInt64(hour) * (free / 240),
                        total: total, floor: nil, cacheBytes: 1), cache: cache.path)
            }
            ledger.close()
            let daemon = try ControlledDaemon(
                cache, policy: "mode: observe\ncaches:\n  - {path: \(cache.path.text), min-free: 1kB}\n")
            #expect(daemon.wait { (try? history(daemon).first?["forecast"] as? [String: Any]) != nil })
            let forecast = try #require(try history(daemon).first?["forecast"] as? [String: Any])
            let reached = try #require(CalendarTime.parse(forecast["floor_reached"] as? String ?? ""))
            // A 240th of it an hour: ten days.
            #expect(abs(Double(reached.seconds - now) / 86_400 - 10) < 1.5, "\(forecast)")
            let rate = try #require(forecast["bytes_per_day"] as? Int)
            #expect(abs(Double(rate) / Double(free / 10) - 1) < 0.15)
            #expect(samples(daemon).count > 100)

            let status = try Program.run(["status", "--json"], environment: daemon.environment).json
            let told = (status["caches"] as? [[String: Any]])?.first
            #expect((told?["forecast"] as? [String: Any])?["bytes_per_day"] as? Int == rate)
            #expect(told?["floor_bytes"] as? Int == 1000)
            let words = try Program.run(["status"], environment: daemon.environment).output
            #expect(words.contains("reached in about "), "\(words)")
        }
    }
}
