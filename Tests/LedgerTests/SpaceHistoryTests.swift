import HubCache
import Testing

@testable import Ledger

private let cache: BytePath = "/srv/hub"
/// The clock of `Scratch.ledger`, at the start of an hour.
private let start: Int64 = 1_760_000_000 / 3600 * 3600 - 3600

private func sample(_ seconds: Int64, free: UInt64, floor: UInt64? = nil) -> SpaceSample {
    SpaceSample(time: Timestamp(seconds: seconds), free: free, total: 1000, floor: floor, cacheBytes: 7)
}

@Suite struct SpaceHistoryTests {
    let scratch = Scratch()

    @Test func isThereAfterARestart() {
        let first = scratch.ledger()
        first.note(space: sample(start, free: 10, floor: 5), cache: cache)
        first.note(space: sample(start + 301, free: 9), cache: cache)
        first.note(space: sample(start, free: 3), cache: "/other")
        first.close()
        let found = scratch.ledger().spaceSamples(cache: cache)
        #expect(found == [sample(start, free: 10, floor: 5), sample(start + 300, free: 9)])
    }

    @Test func oneSampleInFiveMinutes() {
        let ledger = scratch.ledger()
        for second in 0..<20 {
            ledger.note(space: sample(start + Int64(second) * 10, free: UInt64(second)), cache: cache)
        }
        #expect(ledger.spaceSamples(cache: cache) == [sample(start, free: 19)])
    }

    @Test func afterAFortnightOneAnHourStays() {
        let ledger = scratch.ledger()
        let old = start - 20 * 86_400
        for step in 0..<24 {
            ledger.note(space: sample(old + Int64(step) * 300, free: UInt64(100 - step % 12)), cache: cache)
        }
        #expect(ledger.spaceSamples(cache: cache).count == 24)
        ledger.note(space: sample(start, free: 1), cache: cache)
        // The one with the least room in its hour, and the newest.
        #expect(
            ledger.spaceSamples(cache: cache) == [
                sample(old + 3300, free: 89), sample(old + 3600 + 3300, free: 89), sample(start, free: 1),
            ])
    }

    @Test func isBounded() {
        let ledger = scratch.ledger()
        for hour in 0..<60 {
            ledger.note(space: sample(start - Int64(60 - hour) * 3600, free: 5), cache: cache, keeping: 40)
        }
        let found = ledger.spaceSamples(cache: cache)
        #expect(found.count == 40)
        #expect(found.last?.time == Timestamp(seconds: start - 3600))
    }

    @Test func aClockThatWasAheadTakesNothing() throws {
        let ledger = scratch.ledger()
        for step in 0..<12 { ledger.note(space: sample(start - 7200 + Int64(step) * 300, free: 5), cache: cache) }
        ledger.note(space: sample(start + 10 * 365 * 86_400, free: 1), cache: cache)
        ledger.note(space: sample(start, free: 6), cache: cache)
        let found = ledger.spaceSamples(cache: cache)
        #expect(found.last == sample(start, free: 6), "nothing of times to come")
        // What it wrote made of the last hours old ones: one of each stays.
        #expect(found.first == sample(start - 7200, free: 5))
    }

    @Test func rowsOfOthersArePassedOver() throws {
        let ledger = scratch.ledger()
        ledger.note(space: sample(start, free: 5), cache: cache)
        ledger.note(space: sample(0, free: 5), cache: cache)
        ledger.note(space: sample(-500, free: 5), cache: cache)
        try scratch.tamper(
            """
            INSERT INTO space_sample VALUES ('/srv/hub', 'x', 1, 1, 1, 1), ('/srv/hub', \(start * 1_000_000_000 - 1), -1, 1, 1, 1),
            ('/srv/hub', -5, 1, 1, 1, 1), ('/srv/hub', \(start * 1_000_000_000 - 2), 1, 'many', NULL, 1)
            """)
        #expect(ledger.spaceSamples(cache: cache) == [sample(start, free: 5)])
        #expect(ledger.spaceSamples(cache: BytePath(bytes: [0x2f, 0xff])).isEmpty)
    }
}
