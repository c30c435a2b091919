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

    @Test(.enabled(if: isRoot)) func anotherUsersPlaceNamesTheNewJob() throws {
        try withTestFolder { folder in
            let name: BytePath = ".locks/hfjanitor-download-0.lock"
            try folder.makeFolder(".locks")
            try folder.write(name, "model/a@1\n")
            try folder.chown(name, 61234)
            let slots = DownloadSlots(root: try CacheRoot(opening: folder.absolute(".")), limit: 1)
            let slot = try slots.take(for: "model/b@2")
            do {
                _ = try slots.take(for: "model/a@1")
                Issue.record("the place was given away by what another user wrote")
            } catch let failure as RepairFailure {
                #expect(failure.message.contains("model/b@2"))
            }
            withExtendedLifetime(slot) {}
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
