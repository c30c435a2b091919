/// Decides when something that changes has come to rest and is due for a look.
///
/// Times are nanoseconds on any clock that never goes back.
public struct SettleTracker<Key: Hashable & Sendable>: Sendable {
    /// Something that is due.
    public struct Due: Hashable, Sendable {
        /// What.
        public var key: Key
        /// Whether it rests. If not, it has been busy for so long that it is to be looked at anyway.
        public var isSettled: Bool
    }

    private struct Entry {
        /// The first change since the last look.
        var first: UInt64
        /// When it can have come to rest at the earliest.
        var next: UInt64
    }

    private let quiet: UInt64
    private let longestDelay: UInt64
    private var entries: [Key: Entry] = [:]

    /// Makes one that tracks nothing.
    ///
    /// - Parameters:
    ///   - quiet: how long there must be no change.
    ///   - longestDelay: how long after the first change it is due although it never rests.
    public init(quiet: UInt64 = 1_000_000_000, longestDelay: UInt64 = 60_000_000_000) {
        self.quiet = quiet
        self.longestDelay = longestDelay
    }

    /// How many are waited for.
    public var count: Int { entries.count }

    /// Notes a change.
    public mutating func changed(_ key: Key, at now: UInt64) {
        entries[key, default: Entry(first: now, next: now)].next = now &+ quiet
    }

    /// Forgets one that needs no look any more.
    public mutating func forget(_ key: Key) { entries[key] = nil }

    /// Takes what is due.
    ///
    /// - Parameter isBusy: whether there is a held lock or a growing partial; asked only of what had its quiet time. What is
    ///   busy is waited for, and asked again after another quiet time.
    /// - Returns: in no particular order. What is settled is forgotten; what is looked at while busy stays.
    public mutating func due(at now: UInt64, isBusy: (Key) -> Bool) -> [Due] {
        var result: [Due] = []
        for (key, entry) in entries {
            let isOverdue = now >= entry.first &+ longestDelay
            let isQuiet = now >= entry.next
            guard isQuiet || isOverdue else { continue }
            if isQuiet && !isBusy(key) {
                entries[key] = nil
                result.append(Due(key: key, isSettled: true))
                continue
            }
            let next = isQuiet ? now &+ quiet : entry.next
            entries[key] = Entry(first: isOverdue ? now : entry.first, next: next)
            if isOverdue { result.append(Due(key: key, isSettled: false)) }
        }
        return result
    }

    /// When `due` has something to decide at the earliest; nil when nothing is waited for.
    public var nextDeadline: UInt64? {
        entries.values.map { min($0.next, $0.first &+ longestDelay) }.min()
    }
}
