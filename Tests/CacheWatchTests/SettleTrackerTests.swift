import Testing

@testable import CacheWatch

@Suite struct SettleTrackerTests {
    private typealias Tracker = SettleTracker<String>

    private func due(_ tracker: inout Tracker, _ now: UInt64, busy: Set<String> = []) -> [String] {
        tracker.due(at: now) { busy.contains($0) }.map { $0.key + ($0.isSettled ? "" : " busy") }.sorted()
    }

    @Test func dueAfterQuiet() {
        var tracker = Tracker(quiet: 10, longestDelay: 100)
        #expect(tracker.nextDeadline == nil)
        tracker.changed("a", at: 5)
        #expect(tracker.nextDeadline == 15)
        #expect(due(&tracker, 14) == [])
        tracker.changed("a", at: 14)
        tracker.changed("b", at: 15)
        #expect(due(&tracker, 15) == [])
        #expect(due(&tracker, 24) == ["a"])
        #expect(due(&tracker, 24) == [] && tracker.nextDeadline == 25)
        #expect(due(&tracker, 25) == ["b"] && tracker.count == 0)
    }

    @Test func busyIsAskedOnlyWhenQuiet() {
        var tracker = Tracker(quiet: 10, longestDelay: 100)
        tracker.changed("a", at: 0)
        var asked = 0
        _ = tracker.due(at: 9) { _ in
            asked += 1
            return true
        }
        #expect(asked == 0)
        #expect(due(&tracker, 10, busy: ["a"]) == [] && tracker.nextDeadline == 20)
        #expect(due(&tracker, 20) == ["a"])
    }

    @Test func foreverBusyIsLookedAt() {
        var tracker = Tracker(quiet: 10, longestDelay: 100)
        tracker.changed("a", at: 0)
        var looks: [UInt64] = []
        for now in stride(from: UInt64(0), through: 350, by: 5) where due(&tracker, now, busy: ["a"]) == ["a busy"] {
            looks.append(now)
        }
        #expect(looks == [100, 200, 300])
        // And once more when it rests.
        #expect(due(&tracker, 370) == ["a"] && tracker.count == 0)
    }

    @Test func foreverChangingIsLookedAt() {
        var tracker = Tracker(quiet: 10, longestDelay: 100)
        var looks: [UInt64] = []
        for now in stride(from: UInt64(0), through: 250, by: 5) {
            tracker.changed("a", at: now)
            if due(&tracker, now) == ["a busy"] { looks.append(now) }
        }
        #expect(looks == [100, 200])
        #expect(due(&tracker, 260) == ["a"])
        tracker.changed("a", at: 300)
        tracker.forget("a")
        #expect(due(&tracker, 1000) == [])
    }
}
