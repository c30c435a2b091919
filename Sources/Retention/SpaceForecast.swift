public import HubCache

/// When free space reaches a floor if it goes on falling as in the last days.
public struct SpaceForecast: Hashable, Sendable {
    /// When the floor is reached.
    public var floorReached: Timestamp
    /// How fast free space falls.
    public var bytesPerDay: UInt64

    /// Looks so far back.
    static let window: Int64 = 7 * 86_400
    /// What was seen of less time tells nothing about days.
    static let leastSpan: Int64 = 86_400
    /// From so many hours at least, in which something was seen.
    static let fewestHours = 12
    /// What is farther away is not foreseen.
    static let horizon: Int64 = 365 * 86_400

    /// Makes one of what was seen.
    ///
    /// The rate is the median of the slopes between any two hours (Theil and Sen): one download, one removal or a wrong clock's
    /// sample does not make a trend.
    ///
    /// - Parameters:
    ///   - samples: in any order.
    ///   - floor: free bytes that are to stay.
    ///   - now: what is later than this was seen by a clock that was wrong.
    /// - Returns: nil where too little was seen, where free space does not fall or is below the floor already, and where the
    ///   floor is more than a year away.
    public init?(samples: [SpaceSample], floor: UInt64, now: Timestamp) {
        let present = now.seconds
        let recent = samples.filter { $0.time.seconds <= present && $0.time.seconds >= present - Self.window }
        // The last one of each hour.
        var hours: [Int64: SpaceSample] = [:]
        for sample in recent {
            let hour = sample.time.seconds / 3600
            if hours[hour].map({ $0.time < sample.time }) ?? true { hours[hour] = sample }
        }
        let points = hours.values.sorted { $0.time < $1.time }
        guard let first = points.first, let last = points.last, points.count >= Self.fewestHours,
            last.time.seconds - first.time.seconds >= Self.leastSpan, last.free > floor,
            // What was before a cache moved to another filesystem, or that one grew, is another story.
            points.allSatisfy({ $0.total == last.total })
        else { return nil }
        var slopes: [Double] = []
        slopes.reserveCapacity(points.count * points.count / 2)
        for (index, earlier) in points.enumerated() {
            for later in points[(index + 1)...] {
                let seconds = Double(later.time.seconds - earlier.time.seconds)
                if seconds > 0 { slopes.append((Double(later.free) - Double(earlier.free)) / seconds) }
            }
        }
        slopes.sort()
        guard !slopes.isEmpty else { return nil }
        let rate = -slopes[slopes.count / 2]
        guard rate > 0 else { return nil }
        let seconds = Double(last.free - floor) / rate
        guard seconds <= Double(Self.horizon) else { return nil }
        floorReached = Timestamp(seconds: last.time.seconds + Int64(seconds))
        bytesPerDay = UInt64(min(rate * 86_400, Double(Int64.max / 2)))
    }

    /// Makes one of its parts.
    public init(floorReached: Timestamp, bytesPerDay: UInt64) {
        self.floorReached = floorReached
        self.bytesPerDay = bytesPerDay
    }
}

extension Sequence<SpaceSample> {
    /// The samples that are worth drawing, oldest first: of the last day all, of the last fortnight one an hour, of the last
    /// year one a day, each time the one with the least room. What is older, or later than now, is left out.
    public func thinned(now: Timestamp) -> [SpaceSample] {
        let (day, year): (Int64, Int64) = (86_400, 366 * 86_400)
        var kept: [Int64: SpaceSample] = [:]
        for sample in self {
            let age = now.seconds - sample.time.seconds
            guard age >= 0, age <= year, sample.time.seconds > 0 else { continue }
            let step: Int64 = age <= day ? 300 : age <= 14 * day ? 3600 : day
            let start = sample.time.seconds / step * step
            // A longer step's key must not be a shorter one's.
            let key = start * 4 + (step == 300 ? 0 : step == 3600 ? 1 : 2)
            if kept[key].map({ ($0.free, $0.time) > (sample.free, sample.time) }) ?? true { kept[key] = sample }
        }
        return kept.values.sorted { $0.time < $1.time }
    }
}
