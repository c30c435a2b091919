import HubCache

/// One pass of the pressure rules, until a goal is reached.
///
/// A revision whose content others hold too frees nothing by itself. Such a one is put off: it goes right before the item that
/// completes it, and not at all when none does. So a pass never ends having removed what was of no use. Its own folders and
/// links do not count: nobody loses a model for a few kilobytes.
struct Eviction {
    enum Goal {
        /// So much is to be free on a filesystem.
        case free(space: Int, target: UInt64)
        /// A cache is to be no larger.
        case size(cache: Int, target: UInt64)
    }

    private struct Deferred {
        var place: Int
        var rule: Int
        /// Its turn in this pass.
        var turn: Int
    }

    private let goal: Goal
    private let caches: [Int]
    /// For each cache what would be left if all that was put off went too.
    private var shadows: [Int: StorageRelease] = [:]
    /// For each cache and node what was put off and holds it, in order.
    private var waiting: [Int: [StorageGraph.NodeID: [Deferred]]] = [:]
    /// What was taken or put off: its later rules need not ask again.
    private var isMet: [Bool] = []
    private var turns = 0

    init(goal: Goal, caches: [Int]) {
        self.goal = goal
        self.caches = caches
    }

    mutating func carryOut(in run: inout PlanRun) {
        isMet = Array(repeating: false, count: run.isGone.count)
        for cache in caches { shadows[cache] = run.releases[cache] }
        for (number, rule) in run.pressureRules.enumerated() {
            guard !isReached(&run) else { return }
            let newest = run.keptLast(rule, caches)
            for place in run.candidates(rule, caches) where !isMet[place] && !run.isGone[place] {
                guard !isReached(&run) else { return }
                turns += 1
                consider(Deferred(place: place, rule: number, turn: turns), newest, in: &run)
            }
        }
    }

    // `inout` although nothing changes: by value a copy counts a score of references for each item.
    private func isReached(_ run: inout PlanRun) -> Bool {
        switch goal {
        case .free(let space, let target): run.spaces[space].free >= target
        case .size(let cache, let target): run.sizes[cache] <= target
        }
    }

    private func reason(_ run: inout PlanRun) -> Reason {
        switch goal {
        case .free(let space, let target):
            Reason(fact: "free", value: .bytes(run.spaces[space].free), limit: .bytes(target), source: "statvfs")
        case .size(let cache, let target):
            Reason(fact: "cache-size", value: .bytes(run.sizes[cache]), limit: .bytes(target), source: "disk")
        }
    }

    private mutating func consider(_ item: Deferred, _ newest: Set<Int>, in run: inout PlanRun) {
        let rule = run.pressureRules[item.rule]
        let entry = run.catalogue.entries[item.place]
        let cheap = run.cheapKeepers(item.place, rule, newest)
        guard cheap.isEmpty else { return run.keep(item.place, rule, cheap) }
        let nodes = run.nodes(entry)
        var freedNow: [StorageGraph.NodeID] = []
        let bytes = run.releases[entry.cache].release(nodes, freeing: &freedNow)
            .addingUpTo(run.ownBytes(entry))
        // What holds no content at all is what its folders are.
        let isUseful = !freedNow.isEmpty || (nodes.isEmpty && bytes > 0)
        if isUseful, let reserved = run.reservedKeeper(entry.cache, losing: bytes) {
            run.releases[entry.cache].restore(nodes)
            return run.keep(item.place, rule, [reserved])
        }
        let found = run.look(item.place)
        guard found.keepers.isEmpty else {
            run.releases[entry.cache].restore(nodes)
            return run.keep(item.place, rule, found.keepers)
        }
        isMet[item.place] = true
        var completed: [StorageGraph.NodeID] = []
        _ = shadows[entry.cache]?.release(nodes, freeing: &completed)
        if isUseful {
            run.settle(item.place, rule, bytes: bytes, reason(&run))
        } else {
            run.releases[entry.cache].restore(nodes)
            putOff(item, entry, in: &run)
        }
        for node in completed where !run.releases[entry.cache].isFree(node) {
            guard !isReached(&run) else { return }
            complete(node, entry.cache, in: &run)
        }
    }

    private mutating func putOff(_ item: Deferred, _ entry: Entry, in run: inout PlanRun) {
        run.putOff.insert(item.place)
        run.planner.caches[entry.cache].storage.forEachHeld(by: run.nodes(entry)) { node in
            waiting[entry.cache, default: [:]][node, default: []].append(item)
        }
    }

    /// Removes what was put off and is all that still holds a node.
    private mutating func complete(_ node: StorageGraph.NodeID, _ cache: Int, in run: inout PlanRun) {
        var buffered: [Int] = []
        var isBuffered: Set<Int> = []
        var met: Set<Int> = []
        for item in waiting[cache]?[node] ?? [] where !run.isGone[item.place] && met.insert(item.place).inserted {
            var freed: [StorageGraph.NodeID] = []
            let entry = run.catalogue.entries[item.place]
            let bytes = run.releases[cache].release(run.nodes(entry), freeing: &freed)
            if freed.isEmpty {
                buffered.append(item.place)
                isBuffered.insert(item.place)
                continue
            }
            // Only those that held what this one frees had to go before it.
            var needed: [Deferred] = []
            for freedNode in freed {
                for other in waiting[cache]?[freedNode] ?? [] where isBuffered.remove(other.place) != nil {
                    needed.append(other)
                }
            }
            needed.sort { $0.turn < $1.turn }
            let unit = needed + [item]
            let total = unit.reduce(bytes) { $0.addingUpTo(run.ownBytes(run.catalogue.entries[$1.place])) }
            if let reserved = run.reservedKeeper(cache, losing: total) {
                run.restore(item.place)
                for other in needed { isBuffered.insert(other.place) }
                run.keep(item.place, run.pressureRules[item.rule], [reserved])
                break
            }
            for other in unit {
                let own = run.ownBytes(run.catalogue.entries[other.place])
                let gain = other.place == item.place ? bytes.addingUpTo(own) : own
                run.settle(other.place, run.pressureRules[other.rule], bytes: gain, reason(&run))
            }
            if isReached(&run) { break }
        }
        for place in buffered where isBuffered.contains(place) { run.restore(place) }
    }
}
