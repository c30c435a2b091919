import HubCache
import Retention
import Testing

private let present: Int64 = 1_760_000_000
private let billion: UInt64 = 1_000_000_000
private let total = 2000 * billion

private func sample(hoursAgo hours: Double, free gigabytes: Double, total: UInt64 = total) -> SpaceSample {
    SpaceSample(
        time: Timestamp(seconds: present - Int64(hours * 3600)), free: UInt64(gigabytes * 1e9), total: total,
        floor: nil,
        cacheBytes: 0)
}

/// One an hour, from so many hours ago until now.
private func hourly(_ hours: Int, free: (Double) -> Double) -> [SpaceSample] {
    (0...hours).reversed().map { sample(hoursAgo: Double($0), free: free(Double(hours - $0))) }
}

@Suite struct SpaceForecastTests {
    struct Case: CustomTestStringConvertible {
        var name: String
        var samples: [SpaceSample]
        var floor: UInt64 = 100 * billion
        /// Days until then and gigabytes a day; nil: nothing is foreseen.
        var expected: (days: Double, rate: Double)?
        var testDescription: String { name }
    }

    static let cases = [
        Case(name: "nothing seen", samples: []),
        Case(name: "one sample", samples: [sample(hoursAgo: 1, free: 500)]),
        Case(name: "too short", samples: hourly(20) { 500 - $0 }),
        Case(name: "too few", samples: [0, 10, 20, 30].map { sample(hoursAgo: $0, free: 500 + $0) }),
        Case(name: "steady fall", samples: hourly(100) { 500 - $0 * 34 / 24 }, expected: (7.6, 34)),
        Case(name: "in any order", samples: hourly(100) { 500 - $0 * 34 / 24 }.reversed(), expected: (7.6, 34)),
        Case(name: "level", samples: hourly(100) { _ in 500 }),
        Case(name: "rises", samples: hourly(100) { 500 + $0 }),
        Case(name: "below already", samples: hourly(100) { 120 - $0 }),
        Case(name: "no floor at all", samples: hourly(100) { 500 - $0 }, floor: 0, expected: (16.67, 24)),
        Case(name: "farther than a year", samples: hourly(100) { 1900 - $0 / 24 }),
        Case(name: "one download", samples: hourly(100) { $0 < 60 ? 900 : 500 }),
        Case(
            name: "a download every day", samples: hourly(166) { 1900 - ($0 / 24).rounded(.down) * 96 },
            expected: (13.0, 96)),
        Case(
            name: "a fall with one removal", samples: hourly(160) { 900 - $0 * 2 + ($0 > 150 ? 200 : 0) },
            expected: (14.2, 48)),
        Case(
            name: "what a wrong clock saw",
            samples: hourly(100) { 500 - $0 } + [sample(hoursAgo: -9000, free: 1), sample(hoursAgo: 9000, free: 1900)],
            expected: (12.5, 24)),
        Case(
            name: "older than the window",
            samples: (170...400).map { sample(hoursAgo: Double($0), free: 300) }
                + hourly(100) { 500 - $0 }, expected: (12.5, 24)),
        Case(
            name: "another filesystem",
            samples: (60...100).map { sample(hoursAgo: Double($0), free: 900, total: total * 2) }
                + hourly(50) { 500 - $0 }),
        Case(name: "more than there is", samples: hourly(100) { _ in 1e10 }),
    ]

    @Test(arguments: cases) func foresees(_ each: Case) throws {
        let forecast = SpaceForecast(samples: each.samples, floor: each.floor, now: Timestamp(seconds: present))
        guard let expected = each.expected else {
            #expect(forecast == nil)
            return
        }
        let found = try #require(forecast)
        let days = Double(found.floorReached.seconds - present) / 86_400
        let rate = Double(found.bytesPerDay) / 1e9
        #expect(abs(days - expected.days) < expected.days / 20, "\(days)")
        #expect(abs(rate - expected.rate) < expected.rate / 20, "\(rate)")
    }

    @Test func hostileNumbersEndInAValue() {
        let worst = (0...200).map { hour in
            SpaceSample(
                time: Timestamp(seconds: present - Int64(hour) * 3600), free: hour % 2 == 0 ? .max : 0, total: .max,
                floor: .max, cacheBytes: .max)
        }
        for time in [Timestamp(nanoseconds: .max), Timestamp(nanoseconds: .min), Timestamp(seconds: present)] {
            for floor in [0, 1, UInt64.max] { _ = SpaceForecast(samples: worst, floor: floor, now: time) }
            #expect(worst.thinned(now: time).count <= worst.count)
        }
        let edges = [Int64.min, -1, 0, 1, .max].map {
            SpaceSample(time: Timestamp(nanoseconds: $0), free: 1, total: 1, floor: nil, cacheBytes: 0)
        }
        _ = SpaceForecast(samples: edges, floor: 0, now: Timestamp(nanoseconds: .max))
        _ = edges.thinned(now: Timestamp(nanoseconds: .min))
    }

    @Test func whatIsDrawnIsBounded() {
        let all = (0..<(400 * 288)).map { step in
            sample(hoursAgo: Double(step) / 12, free: 500 + Double(step % 97))
        }
        let thinned = all.thinned(now: Timestamp(seconds: present))
        #expect(thinned.count <= 1100)
        #expect(thinned.map(\.time) == thinned.map(\.time).sorted())
        #expect(thinned.last?.time == Timestamp(seconds: present))
        #expect(present - (thinned.first?.time.seconds ?? 0) <= 366 * 86_400)
        // The least of each step stays, and thinning again changes nothing.
        #expect(thinned.prefix(300).allSatisfy { $0.free < 501 * billion })
        #expect(thinned.thinned(now: Timestamp(seconds: present)) == thinned)
        #expect(thinned.thinned(now: Timestamp(seconds: present - 86_400 * 500)).isEmpty)
    }
}
