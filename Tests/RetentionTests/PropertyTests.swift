import HubCache
import Retention
import Testing

/// What holds for every plan, tried on thousands of random worlds. A failure names the seed.
@Suite struct PropertyTests {
    private static let rounds: UInt64 = 1500

    private func forAllWorlds(_ check: (World, Plan, UInt64) throws -> Void) rethrows {
        var removed = 0
        for seed in 0..<Self.rounds {
            let world = World(seed: seed)
            let plan = world.planner.plan(evidence: world.evidence)
            removed += plan.sequence.count
            try check(world, plan, seed)
        }
        // Worlds in which nothing happens would hold everything.
        #expect(removed > Int(Self.rounds))
    }

    @Test func sameValuesSamePlan() {
        forAllWorlds { world, plan, seed in
            #expect(world.planner.plan(evidence: world.evidence) == plan, "seed \(seed)")
        }
    }

    /// What keeps an item whatever a rule says, worked out a second time.
    private func keepers(_ item: Item, _ world: World) -> Set<Keeper> {
        let facts = world.caches[item.cache]
        var found: Set<Keeper> = []
        switch item {
        case .file(_, let index):
            found.formUnion(facts.files[index].keepers.map(\.by))
            if facts.files[index].stat.changed > ago(2 * hour) { found.insert(.minAge) }
        case .revision(_, let index):
            let revision = facts.revisions[index]
            found.formUnion(revision.keepers.map(\.by))
            let id = facts.repos[revision.repo].id
            for pin in world.policy.pins {
                guard pin.repo.matches(id.name) || pin.repo.matches("\(id.type.rawValue)/\(id.name)") else { continue }
                let isNamed =
                    switch pin.revision?.pattern {
                    case nil, "*": true
                    case "1abcdef": revision.commit.hex.hasPrefix("1abcdef")
                    case let name: revision.refs.contains { $0.text == name }
                    }
                if isNamed { found.insert(.pin) }
            }
            if revision.youngestChange > ago(2 * hour) { found.insert(.minAge) }
            if let open = revision.lastOpen, open.time > ago(48 * hour) { found.insert(.recentUse) }
            if let read = revision.sweptRead, read.time > ago(48 * hour) { found.insert(.recentUse) }
            let mayBeComplete = revision.wasComplete || (!revision.isHistoryKnown && !revision.nodes.isEmpty)
            if facts.policy.irreplaceable == .keep, mayBeComplete, revision.hub.word == "refused" {
                found.insert(.irreplaceable)
            }
        }
        return found
    }

    @Test func keepBeatsDelete() {
        forAllWorlds { world, plan, seed in
            for action in plan.sequence {
                #expect(keepers(action.item, world).isEmpty, "seed \(seed)")
                #expect(!world.inUse.contains(action.item), "seed \(seed)")
                guard case .revision(let cache, let index) = action.item else { continue }
                let state = world.caches[cache].revisions[index].state
                #expect(state != .unknown && state != .downloading, "seed \(seed)")
            }
            let gone = Set(plan.sequence.map(\.item))
            #expect(gone.count == plan.sequence.count, "seed \(seed): an item goes twice")
            for (cache, facts) in world.caches.enumerated() where !facts.policy.allowsEmpty {
                let complete = facts.revisions.indices.filter { facts.revisions[$0].state == .complete }
                guard let youngest = complete.map({ facts.revisions[$0].lastUse?.time.nanoseconds ?? .min }).max()
                else { continue }
                let left = complete.filter { !gone.contains(.revision(cache: cache, index: $0)) }
                #expect(
                    left.contains { (facts.revisions[$0].lastUse?.time.nanoseconds ?? .min) == youngest },
                    "seed \(seed): the most recently used one is gone")
            }
            for kept in plan.caches.flatMap(\.kept) {
                #expect(!kept.reasons.isEmpty && !gone.contains(kept.item), "seed \(seed)")
                #expect(kept.reasons.map(\.by) == kept.reasons.map(\.by).sorted(), "seed \(seed)")
            }
        }
    }

    @Test func brokenOnesGoOnlyAsTheyMay() {
        forAllWorlds { world, plan, seed in
            let rules = Dictionary(world.policy.rules.map { ($0.name, $0) }, uniquingKeysWith: { one, _ in one })
            for action in plan.sequence {
                guard case .revision(let cache, let index) = action.item, let rule = rules[action.rule] else {
                    continue
                }
                let revision = world.caches[cache].revisions[index]
                let states = Set(rule.match.states)
                guard !states.isEmpty, states.isSubset(of: [.partial, .corrupt, .incomplete]) else { continue }
                #expect(!revision.isOnlyWrongUpstream && !revision.wasComplete, "seed \(seed)")
                #expect(revision.state == .partial || revision.isProvenCorrupt, "seed \(seed)")
            }
        }
    }

    /// What may be somebody's pinned commit goes by its use, or for what is wrong with it.
    @Test func detachedOnesGoByUse() {
        var gone = 0
        forAllWorlds { world, plan, seed in
            let rules = Dictionary(world.policy.rules.map { ($0.name, $0) }, uniquingKeysWith: { one, _ in one })
            for action in plan.sequence {
                guard case .revision(let cache, let index) = action.item, let rule = rules[action.rule],
                    rule.occasion == .always, rule.unusedFor == nil
                else { continue }
                let revision = world.caches[cache].revisions[index]
                let isSuperseded = revision.supersededAt.map {
                    revision.arrived <= $0 && (revision.lastOpen?.time ?? $0) <= $0
                }
                guard revision.refs.isEmpty, isSuperseded != true else { continue }
                gone += 1
                let broken: Set<Match.State> = [.partial, .corrupt, .incomplete]
                #expect(!broken.isDisjoint(with: rule.match.states), "seed \(seed)")
                #expect(revision.state == .partial || revision.state == .corrupt, "seed \(seed)")
                #expect(!revision.wasComplete, "seed \(seed)")
            }
        }
        #expect(gone > 10)
    }

    @Test func bytesAreThoseOfTheDefinition() {
        forAllWorlds { world, plan, seed in
            var gone: Set<Item> = []
            var total: UInt64 = 0
            for action in plan.sequence {
                gone.insert(action.item)
                let freed = world.freed(gone)
                #expect(action.bytes == freed - total, "seed \(seed)")
                total = freed
            }
            let asked = Set(plan.sequence.filter { $0.hub != .unasked }.map(\.item))
            for (cache, part) in plan.caches.enumerated() {
                let id = world.caches[cache].filesystem.id
                let here = { (item: Item) in world.caches[item.cache].filesystem.id == id }
                #expect(part.freeBytesAfter == part.freeBytes + world.freed(gone.filter(here)), "seed \(seed)")
                #expect(part.freeBytesIfRefused == part.freeBytes + world.freed(asked.filter(here)), "seed \(seed)")
                for kept in part.kept {
                    let more = world.freed(gone.union([kept.item])) - total
                    #expect(kept.bytes == more, "seed \(seed)")
                }
            }
        }
    }

    @Test func neverBelowReserved() {
        forAllWorlds { world, plan, seed in
            for (cache, facts) in world.caches.enumerated() {
                guard let reserved = facts.policy.reserved?.bytes(of: 1000), !plan.caches[cache].actions.isEmpty else {
                    continue
                }
                let freed = plan.caches[cache].actions.reduce(0) { $0 + $1.bytes }
                // What frees nothing shrinks nothing.
                #expect(freed == 0 || facts.bytes - freed >= reserved, "seed \(seed)")
            }
        }
    }

    @Test func moreRoomOnlyAddsToTheEnd() {
        var longer = 0
        forAllWorlds { world, plan, seed in
            var wider = world
            wider.room = (world.room ?? 0) + 25
            let more = wider.planner.plan(evidence: world.evidence)
            // With two filesystems the second one's actions come after all of the first one's.
            for cache in world.caches.indices {
                let before = plan.caches[cache].actions.map(\.item)
                #expect(Array(more.caches[cache].actions.map(\.item).prefix(before.count)) == before, "seed \(seed)")
                if more.caches[cache].actions.count > before.count { longer += 1 }
            }
        }
        #expect(longer > 100)
    }

    /// Where the actions begin that go only together with one of them.
    private func unit(of index: Int, in sequence: [PlannedAction], _ world: World) -> Int {
        var start = index
        while start > 0, sequence[start - 1].bytes <= world.own(sequence[start - 1].item),
            sequence[start - 1].item.cache == sequence[index].item.cache,
            ["free", "cache-size"].contains(sequence[start - 1].reason.fact)
        {
            start -= 1
        }
        return start
    }

    @Test func extraKeepersLeaveWhatIsBefore() {
        forAllWorlds { world, plan, seed in
            guard !plan.sequence.isEmpty else { return }
            var random = Random(seed: seed)
            let index = random.below(plan.sequence.count)
            let item = plan.sequence[index].item
            let planner = Planner(
                policy: world.policy, caches: world.caches, now: now, room: world.room,
                extraKeepers: [item: [Kept(by: .lock, "busy")]])
            let again = planner.plan(evidence: world.evidence)
            #expect(!again.sequence.contains { $0.item == item }, "seed \(seed)")
            let safe = unit(of: index, in: plan.sequence, world)
            #expect(Array(again.sequence.prefix(safe)) == Array(plan.sequence.prefix(safe)), "seed \(seed)")
            var found = world
            found.inUse.insert(item)
            let looked = world.planner.plan(evidence: found.evidence)
            #expect(looked.sequence == again.sequence, "seed \(seed): who says it makes a difference")
        }
    }

    @Test func noMoreThanNeeded() {
        var reached = 0
        forAllWorlds { world, plan, seed in
            let all = Set(plan.sequence.map(\.item))
            for action in plan.sequence where ["free", "cache-size"].contains(action.reason.fact) {
                #expect(world.freed(all) > world.freed(all.subtracting([action.item])), "seed \(seed): of no use")
            }
            for (number, last) in plan.sequence.enumerated() {
                guard case .bytes(let goal) = last.reason.limit else { continue }
                let rest = plan.sequence[(number + 1)...]
                let isOfSameGoal = { (other: PlannedAction) in
                    last.reason.fact == other.reason.fact
                        && (last.reason.fact == "free"
                            ? world.caches[last.item.cache].filesystem.id
                                == world.caches[other.item.cache].filesystem.id
                            : last.item.cache == other.item.cache)
                }
                guard !rest.contains(where: isOfSameGoal) else { continue }
                let before = plan.sequence[...number].filter {
                    last.reason.fact == "free"
                        ? world.caches[$0.item.cache].filesystem.id == world.caches[last.item.cache].filesystem.id
                        : $0.item.cache == last.item.cache
                }
                // What goes only together with the last one may have a folder of its own, which is too little to count.
                let together = plan.sequence[unit(of: number, in: plan.sequence, world)...number].map(\.item)
                let without = world.freed(Set(before.map(\.item)).subtracting(together))
                if last.reason.fact == "free" {
                    #expect(world.caches[last.item.cache].filesystem.freeBytes + without < goal, "seed \(seed)")
                } else if last.reason.fact == "cache-size" {
                    #expect(world.caches[last.item.cache].bytes - without > goal, "seed \(seed)")
                } else {
                    continue
                }
                reached += plan.caches[last.item.cache].isReached ? 1 : 0
            }
        }
        #expect(reached > 100)
    }

    /// A goal is given up only when nothing is left that would help.
    @Test func givesUpOnlyWhenNothingIsLeft() {
        var unreached = 0
        forAllWorlds { world, plan, seed in
            let gone = Set(plan.sequence.map(\.item))
            for (cache, part) in plan.caches.enumerated() where !part.isReached {
                unreached += 1
                #expect(!part.notes.isEmpty, "seed \(seed): not said")
                if world.caches.contains(where: { $0.policy.reserved != nil }) { continue }
                // Everything that a pressure rule takes and that nothing keeps.
                let kept = Set(plan.caches.flatMap(\.kept).map(\.item))
                let left = Planner.items(of: world.caches).filter { item in
                    guard item.cache == cache, !gone.contains(item), !kept.contains(item) else { return false }
                    let explained = world.planner.explain(item, evidence: world.evidence)
                    return explained.keptBy.isEmpty
                        && explained.tried.contains { ["free", "cache-size", "frees"].contains($0.reason.fact) }
                }
                let own = left.reduce(0) { $0 + world.own($1) }
                #expect(world.freed(gone.union(left)) == world.freed(gone) + own, "seed \(seed)")
            }
        }
        #expect(unreached > 100)
    }

    @Test func looksOnceAndOnlyWhereItMatters() {
        forAllWorlds { world, plan, seed in
            var seen: Set<Item> = []
            _ = world.planner.plan { item in
                #expect(seen.insert(item).inserted, "seed \(seed): asked twice")
                #expect(keepers(item, world).isEmpty, "seed \(seed): asked for nothing")
                return world.evidence(item)
            }
            #expect(seen.isSuperset(of: plan.sequence.map(\.item)), "seed \(seed): removed without a look")
        }
    }

    @Test func explanationsAgree() {
        for seed in 0..<(Self.rounds / 4) {
            let world = World(seed: seed)
            let plan = world.planner.plan(evidence: world.evidence)
            let gone = Set(plan.sequence.map(\.item))
            let kept = Dictionary(
                plan.caches.flatMap(\.kept).map { ($0.item, $0) }, uniquingKeysWith: { one, _ in one })
            for item in Planner.items(of: world.caches) {
                let explained = world.planner.explain(item, evidence: world.evidence)
                #expect(explained.isRemoved == gone.contains(item), "seed \(seed)")
                if explained.isRemoved {
                    let action = plan.sequence.first { $0.item == item }
                    #expect(explained.keptBy.isEmpty, "seed \(seed)")
                    #expect(
                        explained.tried.contains {
                            $0.isMatched && $0.rule == action?.rule && $0.reason == action?.reason
                        }, "seed \(seed)")
                }
                if let kept = kept[item] {
                    #expect(Set(kept.reasons).isSubset(of: explained.keptBy), "seed \(seed)")
                    #expect(explained.tried.contains { $0.rule == kept.rule && $0.isMatched }, "seed \(seed)")
                }
            }
        }
    }

    @Test func pinsOnlyTakeFromThePlan() {
        forAllWorlds { world, plan, seed in
            guard let action = plan.sequence.last, case .revision(let cache, let index) = action.item else { return }
            let revision = world.caches[cache].revisions[index]
            var pinned = world
            pinned.policy.pins.append(
                Pin(
                    repo: Glob(world.caches[cache].repos[revision.repo].id.name),
                    revision: Glob(String(revision.commit.hex.prefix(7)))))
            let again = pinned.planner.plan(evidence: world.evidence)
            #expect(!again.sequence.contains { $0.item == action.item }, "seed \(seed)")
        }
    }
}
