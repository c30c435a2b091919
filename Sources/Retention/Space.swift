import HubCache

/// A filesystem with the caches on it, which share its floor and its free bytes.
struct SharedSpace: Sendable {
    /// The floor and the target of one cache.
    struct Floor: Sendable {
        var least: UInt64
        var target: UInt64
    }

    let total: UInt64
    private(set) var caches: [Int] = []
    private(set) var floors: [Floor] = []
    /// The free bytes before anything is done.
    private(set) var freeAtFirst: UInt64
    /// The free bytes as predicted after what was decided so far.
    var free: UInt64
    private let room: UInt64?

    private init(_ filesystem: FilesystemFacts, room: UInt64?) {
        total = filesystem.totalBytes
        freeAtFirst = filesystem.freeBytes
        free = filesystem.freeBytes
        self.room = room
    }

    /// Groups caches by filesystem.
    ///
    /// - Returns: the spaces, and for each cache the place of its own.
    static func all(of caches: [CacheFacts], room: UInt64?) -> (spaces: [SharedSpace], ofCache: [Int]) {
        var spaces: [SharedSpace] = []
        var places: [UInt64: Int] = [:]
        var ofCache: [Int] = []
        for cache in caches.indices {
            let filesystem = caches[cache].filesystem
            let place = places[filesystem.id] ?? spaces.count
            if place == spaces.count {
                places[filesystem.id] = place
                spaces.append(SharedSpace(filesystem, room: room))
            }
            spaces[place].add(cache, caches[cache].policy, filesystem)
            ofCache.append(place)
        }
        return (spaces, ofCache)
    }

    private mutating func add(_ cache: Int, _ policy: CachePolicy, _ filesystem: FilesystemFacts) {
        caches.append(cache)
        // Looked at one after the other: the lower figure is the safer one.
        freeAtFirst = min(freeAtFirst, filesystem.freeBytes)
        free = freeAtFirst
        guard let least = policy.minFree?.bytes(of: total), let target = policy.targetFreeBytes(of: total) else {
            return
        }
        floors.append(Floor(least: least, target: target))
    }

    /// The largest floor; nil: none.
    var least: UInt64? { floors.map(\.least).max() }

    /// What must be free in the end when so much is free now; nil: that is enough.
    func target(whenFree free: UInt64) -> UInt64? {
        var target = floors.filter { free < $0.least }.map(\.target).max()
        if let room {
            let wanted = (least ?? 0).addingUpTo(room)
            if free < wanted { target = max(target ?? 0, wanted) }
        }
        return target
    }

    /// What is shown as the target: the one in force, or the one that would be once the floor is broken.
    var shownTarget: UInt64? {
        if let target = target(whenFree: freeAtFirst) { return target }
        if let room { return (least ?? 0).addingUpTo(room) }
        return floors.max { ($0.least, $0.target) < ($1.least, $1.target) }?.target
    }
}

/// The bounds of one cache's own size.
struct SizeBounds: Sendable {
    /// Above this it shrinks…
    var most: UInt64?
    /// …to this.
    var target: UInt64?
    /// Never below this.
    var reserved: UInt64

    init(_ policy: CachePolicy, total: UInt64) {
        most = policy.maxSize?.bytes(of: total)
        // Split so that the product cannot overflow.
        let implied = most.map { $0 / 100 * 98 + $0 % 100 * 98 / 100 }
        target = most.flatMap { most in (policy.targetSize?.bytes(of: total) ?? implied).map { min($0, most) } }
        reserved = policy.reserved?.bytes(of: total) ?? 0
    }
}

extension Sequence<CachePolicy> {
    /// The room above the floor of the caches of one filesystem, as a planner takes it, with which so many bytes are free.
    ///
    /// - Parameters:
    ///   - free: the bytes that have to be free in the end.
    ///   - total: the size of the filesystem.
    public func room(toFree free: UInt64, of total: UInt64) -> UInt64 {
        free.subtractingWithin(compactMap { $0.minFree?.bytes(of: total) }.max() ?? 0)
    }
}
