import HubCache

extension PlanRun {
    /// What becomes of one item: every rule's answer, and all that keeps it.
    mutating func explanation(of item: Item) -> Explanation {
        guard let place = catalogue.place(of: item) else {
            return Explanation(item: item, isRemoved: false, tried: [], keptBy: [])
        }
        var tried: [TriedRule] = []
        for rule in standingRules { tried.append(answer(rule, place)) }
        if planner.policy.hasPressureRules || mayComeUnderPressure(catalogue.entries[place].cache) {
            for rule in pressureRules { tried.append(answer(rule, place)) }
        }
        tried = inFileOrder(tried)
        let decided = sequence.first { $0.item == item }
        if let decided, let place = tried.firstIndex(where: { $0.rule == decided.rule }) {
            // The numbers are those that it was taken by; others went after it.
            tried[place] = TriedRule(rule: decided.rule, isMatched: true, reason: decided.reason)
        }
        var keptBy: [Kept] = []
        if catalogue.entries[place].isItem {
            keptBy = keepersWhateverTheRule(place)
            for kept in reasonsToKeep(place) where !keptBy.contains(kept) { keptBy.append(kept) }
            for kept in look(place).keepers where !keptBy.contains(kept) { keptBy.append(kept) }
        }
        if decided != nil { keptBy = [] }
        keptBy = inOrder(keptBy)
        var explanation = Explanation(item: item, isRemoved: decided != nil, tried: tried, keptBy: keptBy)
        if case .untrusted(let reason) = planner.clock {
            explanation.notes.append("nothing is removed while the clock cannot be trusted: \(reason)")
        }
        if let refusal = planner.caches[item.cache].refusal {
            explanation.notes.append("nothing is removed here: \(refusal)")
        }
        return explanation
    }

    /// Whether there is a bound that implied rules would act for.
    private func mayComeUnderPressure(_ cache: Int) -> Bool {
        planner.room != nil || spaces[spaceOfCache[cache]].least != nil || bounds[cache].most != nil
    }

    private func inFileOrder(_ tried: [TriedRule]) -> [TriedRule] {
        let named = planner.policy.rules.compactMap { rule in tried.first { $0.rule == rule.name } }
        let names = Set(planner.policy.rules.map(\.name))
        return named + tried.filter { !names.contains($0.rule) }
    }

    /// Whether removing it would free content: what others hold too stays.
    private mutating func isUseful(_ place: Int) -> Bool {
        let entry = catalogue.entries[place]
        let bytes = release(place)
        restore(place)
        return bytes > 0 || (nodes(entry).isEmpty && ownBytes(entry) > 0)
    }

    private mutating func answer(_ rule: ReadyRule, _ place: Int) -> TriedRule {
        let entry = catalogue.entries[place]
        let name = rule.rule.name
        if let mismatch = rule.mismatch(entry, in: planner.caches, now: planner.now) {
            let reason = rule.reason(mismatch, entry, in: planner.caches, now: planner.now)
            return TriedRule(rule: name, isMatched: false, reason: reason)
        }
        guard rule.rule.occasion == .pressure else {
            let reason = rule.reasonOfFit(entry, in: planner.caches, now: planner.now)
            return TriedRule(rule: name, isMatched: true, reason: reason)
        }
        let space = spaces[spaceOfCache[entry.cache]]
        let size = sizes[entry.cache]
        let isPressed = sizeGoals[entry.cache] != nil || floorGoals[spaceOfCache[entry.cache]] != nil
        if isPressed, !isGone[place], reasonsToKeep(place).isEmpty, !isUseful(place) {
            return TriedRule(rule: name, isMatched: false, reason: Reason(fact: "frees", value: .bytes(0)))
        }
        if let goal = sizeGoals[entry.cache] {
            let reason = Reason(fact: "cache-size", value: .bytes(size), limit: .bytes(goal), source: "disk")
            if isGone[place] || size > goal || !reasonsToKeep(place).isEmpty {
                return TriedRule(rule: name, isMatched: true, reason: reason)
            }
            if floorGoals[spaceOfCache[entry.cache]] == nil {
                return TriedRule(rule: name, isMatched: false, reason: reason)
            }
        }
        guard let goal = floorGoals[spaceOfCache[entry.cache]] else {
            let reason = Reason(
                fact: "free", value: .bytes(space.free), limit: space.least.map { .bytes($0) }, source: "statvfs")
            return TriedRule(rule: name, isMatched: false, reason: reason)
        }
        let reason = Reason(fact: "free", value: .bytes(space.free), limit: .bytes(goal), source: "statvfs")
        let isTaken = isGone[place] || space.free < goal || !reasonsToKeep(place).isEmpty
        return TriedRule(rule: name, isMatched: isTaken, reason: reason)
    }
}
