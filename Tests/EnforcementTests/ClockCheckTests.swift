import Enforcement
import HubCache
import Retention
import Testing

/// When ages can be told, and when not.
@Suite struct ClockCheckTests {
    private static let minute: Int64 = 60 * 1_000_000_000
    private static let day: Int64 = 24 * 60 * minute
    private static let noon = ClockReading(time: Timestamp(seconds: 1_790_000_000), sinceBoot: 10 * day, bootID: "a")

    private func later(by time: Int64, boot: Int64, id: String = "a") -> ClockReading {
        ClockReading(
            time: Timestamp(nanoseconds: Self.noon.time.nanoseconds + time), sinceBoot: Self.noon.sinceBoot + boot,
            bootID: id)
    }

    private func isTrusted(
        _ reading: ClockReading, earlier: ClockReading? = noon, synchronised: Bool? = true, youngest: Timestamp? = nil
    )
        -> Bool
    {
        reading.trust(earlier: earlier, isSynchronised: synchronised, youngest: youngest) == .trusted
    }

    @Test func goesOnWithTheMachine() {
        #expect(isTrusted(later(by: Self.day, boot: Self.day)))
        #expect(isTrusted(later(by: Self.day + 9 * Self.minute, boot: Self.day)))
        #expect(isTrusted(Self.noon, earlier: nil))
    }

    @Test func jumped() {
        #expect(!isTrusted(later(by: 40 * Self.day, boot: Self.day)))
        #expect(!isTrusted(later(by: Self.day, boot: 2 * Self.day)))
        // Another start of the machine: nothing to hold the time against but the order.
        #expect(isTrusted(later(by: 40 * Self.day, boot: -9 * Self.day, id: "b")))
    }

    @Test func behindAnEarlierRun() {
        #expect(!isTrusted(later(by: -Self.day, boot: -9 * Self.day, id: "b")))
        #expect(isTrusted(later(by: -5 * Self.minute, boot: -9 * Self.day, id: "b")))
    }

    @Test func behindTheCache() {
        #expect(!isTrusted(Self.noon, youngest: later(by: Self.day, boot: 0).time))
        #expect(isTrusted(Self.noon, youngest: later(by: 5 * Self.minute, boot: 0).time))
        #expect(isTrusted(Self.noon, youngest: later(by: -Self.day, boot: 0).time))
    }

    @Test func notSynchronisedEarlyInBoot() {
        let early = ClockReading(time: Self.noon.time, sinceBoot: 2 * Self.minute, bootID: "c")
        #expect(!isTrusted(early, earlier: nil, synchronised: false))
        #expect(isTrusted(early, earlier: nil, synchronised: true))
        // A machine that never says is believed, and one that has run for long will not become synchronised any more.
        #expect(isTrusted(early, earlier: nil, synchronised: nil))
        #expect(isTrusted(Self.noon, earlier: nil, synchronised: false))
    }

    @Test func thisMachine() {
        let first = ClockReading.now()
        let second = ClockReading.now()
        #expect(!first.bootID.isEmpty)
        #expect(first.sinceBoot > 0 && second.sinceBoot >= first.sinceBoot)
        #expect(isTrusted(second, earlier: first, synchronised: nil))
    }
}
