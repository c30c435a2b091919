import CacheScan
import HubCache
import HubClient
import TestSupport
import Testing

@testable import Repair

/// How many downloads run at once.
struct SlotTests {
    @Test func anotherJobIsRefusedAndTheSameOneJoins() throws {
        try withTestFolder { folder in
            let root = try CacheRoot(opening: folder.absolute("."))
            let slots = DownloadSlots(root: root, limit: 2)
            var first: DownloadSlots.Slot? = try slots.take(for: "model/a@1")
            let second = try slots.take(for: "model/b@1")
            let joined = try slots.take(for: "model/a@1")
            #expect(throws: RepairFailure.self) { _ = try slots.take(for: "model/c@1") }
            first = nil
            // Whoever joined still has the place.
            do {
                _ = try slots.take(for: "model/c@1")
                Issue.record("a place that is taken was given away")
            } catch let failure as RepairFailure {
                #expect(failure.code == .downloadLimitReached)
                #expect(failure.message.contains("model/a@1") && failure.message.contains("model/b@1"))
            }
            withExtendedLifetime((first, second, joined)) {}
        }
    }

    @Test func aPlaceComesFreeWithItsHolder() throws {
        try withTestFolder { folder in
            let root = try CacheRoot(opening: folder.absolute("."))
            let slots = DownloadSlots(root: root, limit: 1)
            for job in ["model/a@1", "model/bbbbbbbb@2", "model/c@3"] {
                let slot = try slots.take(for: job)
                withExtendedLifetime(slot) {}
            }
        }
    }
}
