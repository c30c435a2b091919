import HubCache

extension PlanRun {
    /// What was decided, as a plan.
    func result() -> Plan {
        var plans = planner.caches.indices.map { cache in
            let space = spaces[spaceOfCache[cache]]
            var plan = CachePlan(freeBytes: space.freeAtFirst)
            plan.minFreeBytes = space.least
            plan.targetFreeBytes = space.shownTarget
            plan.shortfallBytes = shortfall(cache, space)
            plan.freeBytesAfter = space.free
            plan.isReached = isReached(cache)
            return plan
        }
        for action in sequence { plans[action.item.cache].actions.append(action) }
        var left = releases
        for record in kept where !isGone[record.place] {
            let entry = catalogue.entries[record.place]
            let bytes = left[entry.cache].release(nodes(entry)).addingUpTo(ownBytes(entry))
            left[entry.cache].restore(nodes(entry))
            let reasons = inOrder(record.reasons)
            plans[entry.cache].kept.append(
                KeptItem(item: entry.item, bytes: bytes, rule: record.rule, reasons: reasons))
        }
        setFreeIfRefused(&plans)
        for cache in plans.indices { plans[cache].notes = notes(cache, plans[cache]) }
        addNotesOfUnreached(&plans)
        return Plan(caches: plans, sequence: sequence)
    }

    /// Reasons to keep in the order in which they are to be named.
    func inOrder(_ reasons: [Kept]) -> [Kept] {
        guard reasons.count > 1 else { return reasons }
        return reasons.enumerated().sorted { ($0.element.by, $0.offset) < ($1.element.by, $1.offset) }.map(\.element)
    }

    private func shortfall(_ cache: Int, _ space: SharedSpace) -> UInt64 {
        var bytes = space.target(whenFree: space.freeAtFirst)?.subtractingWithin(space.freeAtFirst) ?? 0
        let size = planner.caches[cache].bytes
        if let most = bounds[cache].most, let target = bounds[cache].target, size > most {
            bytes = max(bytes, size - target)
        }
        return bytes
    }

    private func isReached(_ cache: Int) -> Bool {
        let place = spaceOfCache[cache]
        // What was not begun, for the clock or because nothing may be removed, is measured all the same.
        let goal = floorGoals[place] ?? spaces[place].target(whenFree: spaces[place].free)
        if let goal, spaces[place].free < goal { return false }
        if let goal = sizeGoals[cache] { return sizes[cache] <= goal }
        return bounds[cache].most.map { sizes[cache] <= $0 } ?? true
    }

    /// Replays the actions without those on which the Hub was not asked.
    private func setFreeIfRefused(_ plans: inout [CachePlan]) {
        var free = spaces.map(\.freeAtFirst)
        var left = planner.caches.map { $0.storage.release() }
        for action in sequence where action.hub != .unasked {
            guard let place = catalogue.place(of: action.item) else { continue }
            let entry = catalogue.entries[place]
            let bytes = left[entry.cache].release(nodes(entry)).addingUpTo(ownBytes(entry))
            let space = spaceOfCache[entry.cache]
            free[space] = free[space].addingUpTo(bytes)
        }
        for cache in plans.indices { plans[cache].freeBytesIfRefused = free[spaceOfCache[cache]] }
    }

    /// Why nothing at all goes in a cache.
    private func notes(_ cache: Int, _ plan: CachePlan) -> [String] {
        var notes: [String] = []
        if case .untrusted(let reason) = planner.clock {
            notes.append("nothing is removed while the clock cannot be trusted: \(reason)")
        }
        if let refusal = planner.caches[cache].refusal { notes.append("nothing is removed here: \(refusal)") }
        return notes
    }

    private func addNotesOfUnreached(_ plans: inout [CachePlan]) {
        for (place, goal) in floorGoals where spaces[place].free < goal {
            let space = spaces[place]
            let name =
                planner.room != nil
                ? "free space of \(formatBytes(goal))"
                : space.free < (space.least ?? 0)
                    ? "the floor of \(formatBytes(space.least ?? 0))" : "the target of \(formatBytes(goal))"
            let missing = "\(formatBytes(goal - space.free)) short of \(formatBytes(goal))"
            let note = "\(name) cannot be reached, \(missing): \(blockers(space.caches, plans))"
            for cache in space.caches { plans[cache].notes.append(note) }
        }
        for (cache, goal) in sizeGoals where sizes[cache] > goal {
            let name = "the size of \(formatBytes(goal))"
            let missing = "\(formatBytes(sizes[cache] - goal)) too much"
            plans[cache].notes.append("\(name) cannot be reached, \(missing): \(blockers([cache], plans))")
        }
    }

    /// What stays, in bytes by the first keeper of each, shared content once.
    private func blockers(_ caches: [Int], _ plans: [CachePlan]) -> String {
        var left = releases
        // They would have gone too, so what keeps their content is what keeps the others that hold it.
        for place in putOff where !isGone[place] && reasonsToKeep(place).isEmpty {
            let entry = catalogue.entries[place]
            _ = left[entry.cache].release(nodes(entry))
        }
        var bytes: [Keeper: UInt64] = [:]
        var total: UInt64 = 0
        for keeper in Keeper.allCases {
            for cache in caches {
                for item in plans[cache].kept where item.reasons.first?.by == keeper {
                    guard let place = catalogue.place(of: item.item) else { continue }
                    let entry = catalogue.entries[place]
                    let freed = left[cache].release(nodes(entry)).addingUpTo(ownBytes(entry))
                    bytes[keeper, default: 0] += freed
                    total += freed
                }
            }
        }
        var parts = bytes.filter { $0.value > 0 }.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            .map { "\(formatBytes($0.value)) \($0.key.participle)" }
        let size = caches.reduce(UInt64(0)) { $0.addingUpTo(sizes[$1]) }
        if size > total { parts.append("\(formatBytes(size - total)) that no rule takes or others hold") }
        var text = parts.isEmpty ? "nothing is left to remove" : parts.joined(separator: ", ")
        if bytes[.irreplaceable, default: 0] > 0 {
            text += "; set `irreplaceable: evict` to let go what the Hub may lack"
        }
        return text
    }
}
