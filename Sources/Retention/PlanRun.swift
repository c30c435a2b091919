import HubCache

/// One run of the planner: what is decided so far, item after item.
struct PlanRun {
    let planner: Planner
    let evidence: (Item) -> ItemEvidence
    let catalogue: Catalogue
    let standingRules: [ReadyRule]
    let pressureRules: [ReadyRule]
    let former: [FormerProtection]
    let bounds: [SizeBounds]
    let spaceOfCache: [Int]
    /// The last complete revision of each cache, by its place.
    let lastOnes: [Int?]

    var spaces: [SharedSpace]
    var releases: [StorageRelease]
    /// Bytes on the disk that each cache still has.
    var sizes: [UInt64]
    var isGone: [Bool]
    var sequence: [PlannedAction] = []
    /// What was matched and stays, in the order in which it was met.
    var kept: [(place: Int, rule: String, reasons: [Kept])] = []
    /// For each item where it is in that list; -1: it is not.
    private var keptAt: [Int32]
    /// What rules took and was put off because others hold its content too.
    var putOff: Set<Int> = []
    /// The spaces and caches that were under pressure, with what they were to reach.
    var floorGoals: [Int: UInt64] = [:]
    var sizeGoals: [Int: UInt64] = [:]

    private var standingKeepers: [[Kept]?]
    private var wasLookedAt: [Bool]
    /// What looks found, where they found anything.
    private var found: [Int: ItemEvidence] = [:]
    /// For each cache and repo the pins on it, by their places.
    private var pinsOfRepos: [[[Int]?]]

    init(_ planner: Planner, evidence: @escaping (Item) -> ItemEvidence) {
        self.planner = planner
        self.evidence = evidence
        let caches = planner.caches
        let catalogue = Catalogue(caches)
        self.catalogue = catalogue
        let ready = { (rules: [Rule]) in rules.map { ReadyRule($0, names: catalogue.names, caches: caches) } }
        standingRules = ready(planner.policy.standingRules)
        pressureRules = ready(planner.policy.pressureRules)
        former = planner.formerPolicies.compactMap {
            FormerProtection($0, current: planner.policy, caches: caches, catalogue: catalogue, now: planner.now)
        }
        bounds = caches.map { SizeBounds($0.policy, total: $0.filesystem.totalBytes) }
        (spaces, spaceOfCache) = SharedSpace.all(of: caches, room: planner.room)
        releases = caches.map { $0.storage.release() }
        sizes = caches.map(\.bytes)
        isGone = Array(repeating: false, count: catalogue.entries.count)
        wasLookedAt = isGone
        keptAt = Array(repeating: -1, count: catalogue.entries.count)
        standingKeepers = Array(repeating: nil, count: catalogue.entries.count)
        pinsOfRepos = caches.map { Array(repeating: nil, count: $0.repos.count) }
        lastOnes = caches.indices.map { cache in
            let complete = catalogue.range(of: cache).filter {
                catalogue.entries[$0].states.contains(.complete)
            }
            // The first of equals: `max` would give the last.
            return complete.max { left, right in
                let (one, other) = (catalogue.entries[left], catalogue.entries[right])
                return (one.lastUse, one.arrived, right) < (other.lastUse, other.arrived, left)
            }
        }
    }

    /// Whether anything may be removed from a cache.
    func mayRemove(from cache: Int) -> Bool { planner.caches[cache].refusal == nil }

    mutating func carryOut() {
        guard planner.clock == .trusted else { return }
        for rule in standingRules { takeWhatIsDue(rule) }
        for cache in planner.caches.indices where mayRemove(from: cache) {
            guard let most = bounds[cache].most, let target = bounds[cache].target, sizes[cache] > most else {
                continue
            }
            sizeGoals[cache] = target
            var eviction = Eviction(goal: .size(cache: cache, target: target), caches: [cache])
            eviction.carryOut(in: &self)
        }
        for space in spaces.indices {
            guard let target = spaces[space].target(whenFree: spaces[space].free) else { continue }
            floorGoals[space] = target
            let caches = spaces[space].caches.filter { mayRemove(from: $0) }
            var eviction = Eviction(goal: .free(space: space, target: target), caches: caches)
            eviction.carryOut(in: &self)
        }
    }

    private mutating func takeWhatIsDue(_ rule: ReadyRule) {
        let caches = planner.caches.indices.filter { mayRemove(from: $0) }
        let newest = keptLast(rule, caches)
        for place in candidates(rule, caches) {
            let entry = catalogue.entries[place]
            var keepers = cheapKeepers(place, rule, newest)
            if keepers.isEmpty {
                let bytes = ownBytes(entry).addingUpTo(release(place))
                if let reserved = reservedKeeper(entry.cache, losing: bytes) {
                    keepers = [reserved]
                } else {
                    keepers = look(place).keepers
                }
                if keepers.isEmpty {
                    let reason = rule.reasonOfFit(entry, in: planner.caches, now: planner.now)
                    settle(place, rule, bytes: bytes, reason)
                    continue
                }
                restore(place)
            }
            keep(place, rule, keepers)
        }
    }
}

// MARK: - What a rule takes

extension PlanRun {
    /// The places of what a rule takes now, in its order.
    func candidates(_ rule: ReadyRule, _ caches: [Int]) -> [Int] {
        var places: [Int] = []
        for cache in caches {
            for place in catalogue.range(of: cache) where !isGone[place] {
                if rule.mismatch(catalogue.entries[place], in: planner.caches, now: planner.now) == nil {
                    places.append(place)
                }
            }
        }
        return sorted(places, by: rule.rule.order)
    }

    private func sorted(_ places: [Int], by order: Rule.Order) -> [Int] {
        // The leading key beside the place: the rest is looked up only for the few that are equal in it.
        var keyed: [(key: UInt64, place: Int)] = places.map { place in
            let entry = catalogue.entries[place]
            let key: UInt64 =
                switch order {
                case .lru: UInt64(bitPattern: entry.lastUse.nanoseconds) ^ (1 << 63)
                case .oldest: UInt64(bitPattern: entry.arrived.nanoseconds) ^ (1 << 63)
                case .largest: ~entry.bytes
                case .cheapestToRefetch: UInt64(entry.hubRank) << 62 | min(entry.refetchBytes, 1 << 62 - 1)
                }
            return (key, place)
        }
        keyed.sort { left, right in
            left.key == right.key ? isBefore(left.place, right.place) : left.key < right.key
        }
        return keyed.map(\.place)
    }

    /// The order of equals: least recent use, arrival, repo, commit or path, cache.
    private func isBefore(_ left: Int, _ right: Int) -> Bool {
        let (one, other) = (catalogue.entries[left], catalogue.entries[right])
        if one.lastUse != other.lastUse { return one.lastUse < other.lastUse }
        if one.arrived != other.arrived { return one.arrived < other.arrived }
        let caches = planner.caches
        if one.repo >= 0, other.repo >= 0 {
            let (first, second) = (caches[one.cache].repos[one.repo].id, caches[other.cache].repos[other.repo].id)
            if first != second { return first < second }
        } else if one.repo != other.repo {
            return one.repo > other.repo
        }
        if one.isFile != other.isFile { return other.isFile }
        if one.isFile {
            let (first, second) = (
                caches[one.cache].files[one.index].path, caches[other.cache].files[other.index].path
            )
            if first != second { return first < second }
        } else {
            let (first, second) = (
                caches[one.cache].revisions[one.index].commit, caches[other.cache].revisions[other.index].commit
            )
            if first != second { return first < second }
        }
        return left < right
    }

    /// What `keep-last` protects from a rule.
    func keptLast(_ rule: ReadyRule, _ caches: [Int]) -> Set<Int> {
        let places = caches.flatMap { catalogue.range(of: $0) }.filter { !isGone[$0] }
        return catalogue.keptLast(rule, among: places, in: planner.caches)
    }
}

// MARK: - What keeps

extension PlanRun {
    /// What keeps an item from a rule and costs nothing to know, all of it.
    mutating func cheapKeepers(_ place: Int, _ rule: ReadyRule, _ newest: Set<Int>) -> [Kept] {
        var kept = keepersWhateverTheRule(place)
        let entry = catalogue.entries[place]
        if newest.contains(place) {
            kept.append(Kept(by: .keepLast, "one of the newest \(rule.rule.keepLast ?? 0) of its repo"))
        }
        if rule.matchesBrokenness(entry) {
            let revision = planner.caches[entry.cache].revisions[entry.index]
            if revision.wasComplete || (revision.mayHaveBeenComplete && !revision.hasBrokenDownload) {
                let text =
                    revision.wasComplete
                    ? "it was complete once" : "it may have been complete once: what it was is not remembered"
                kept.append(Kept(by: .repairPending, text))
            } else if !revision.isRepairExhausted, kept.contains(where: { $0.by == .pin }) {
                kept.append(Kept(by: .repairPending, "its repair is on"))
            }
            if revision.state == .corrupt, !revision.isProvenCorrupt {
                kept.append(Kept(by: .cannotTell, "no size or digest of it was proven wrong"))
            }
        }
        for former in former {
            kept += former.keepers(
                entry, place, from: rule.rule, isKeptLast: newest.contains(place), in: planner.caches)
        }
        return kept
    }

    /// What keeps an item from every rule and costs nothing to know.
    mutating func keepersWhateverTheRule(_ place: Int) -> [Kept] {
        if let known = standingKeepers[place] { return known }
        let entry = catalogue.entries[place]
        var kept = entry.isFile ? keepersOfFile(entry) : keepersOfRevision(entry, place)
        // Hashing is not free, and there are hardly ever any.
        if !planner.extraKeepers.isEmpty { kept += planner.extraKeepers[entry.item] ?? [] }
        standingKeepers[place] = kept
        return kept
    }

    private func keepersOfFile(_ entry: Entry) -> [Kept] {
        planner.caches[entry.cache].files[entry.index].keepers
            + youth(entry.youngestChange, entry.cache)
            + former.flatMap { $0.standingKeepers(entry, planner.caches[entry.cache]) }
    }

    private func youth(_ changed: Timestamp, _ cache: Int) -> [Kept] {
        let least = planner.caches[cache].policy.minAge
        let age = planner.now.nanoseconds(since: changed)
        guard age < least.wholeNanoseconds else { return [] }
        let text = age < 0 ? "in the future" : "\(secondsText(age / 1_000_000_000)) ago"
        return [Kept(by: .minAge, "changed \(text), min-age is \(least.text)")]
    }

    // Names every fact by its whole path: a copy of the facts would count a dozen references for each item.
    private mutating func keepersOfRevision(_ entry: Entry, _ place: Int) -> [Kept] {
        let (cache, index) = (entry.cache, entry.index)
        var kept = planner.caches[cache].revisions[index].keepers
        let pin = pinOn(entry)
        if let pin {
            let pin = planner.policy.pins[pin]
            let name = pin.repo.pattern + (pin.revision.map { "@\($0.pattern)" } ?? "")
            kept.append(Kept(by: .pin, name + (pin.reason.map { ": \($0)" } ?? "")))
        }
        kept += youth(entry.youngestChange, cache)
        if let open = entry.recentRead {
            let since = planner.now.nanoseconds(since: open.time)
            if since < planner.caches[cache].policy.recentUse.wholeNanoseconds {
                let text = since < 0 ? "in the future" : "\(secondsText(since / 1_000_000_000)) ago"
                kept.append(Kept(by: .recentUse, "opened \(text), by \(open.source.rawValue)"))
            }
        }
        if entry.hubRank == 2, asksHub(entry), case .refused(let why) = planner.caches[cache].revisions[index].hub {
            kept.append(Kept(by: .irreplaceable, why))
        }
        let isLastOne = lastOnes[cache] == place
        if isLastOne, !planner.caches[cache].policy.allowsEmpty {
            kept.append(Kept(by: .lastOne, "the most recently used complete revision of its cache"))
        }
        for former in former {
            let facts = planner.caches[cache]
            kept += former.standingKeepers(
                entry, facts.revisions[index], facts, isPinned: pin != nil, isLastOne: isLastOne)
        }
        return kept
    }

    /// The first pin that names a revision.
    private mutating func pinOn(_ entry: Entry) -> Int? {
        guard !planner.policy.pins.isEmpty else { return nil }
        let pins = pinsOn(entry)
        guard !pins.isEmpty else { return nil }
        let revision = planner.caches[entry.cache].revisions[entry.index]
        return pins.first { planner.policy.pins[$0].revision?.namesRevision(revision, andAll: true) ?? true }
    }

    /// The pins on an item's repo, whatever revision they name.
    private mutating func pinsOn(_ entry: Entry) -> [Int] {
        if let known = pinsOfRepos[entry.cache][entry.repo] { return known }
        let name = catalogue.names[entry.cache][entry.repo]
        let found = planner.policy.pins.indices.filter {
            let glob = planner.policy.pins[$0].repo
            return glob.matches(name.short) || glob.matches(name.long)
        }
        pinsOfRepos[entry.cache][entry.repo] = found
        return found
    }

    /// Whether the Hub must confirm that it would give the item back.
    func asksHub(_ entry: Entry) -> Bool {
        entry.isOrWasComplete && planner.caches[entry.cache].policy.irreplaceable == .keep
    }

    /// Why a cache may not lose so many bytes; nil: it may.
    func reservedKeeper(_ cache: Int, losing bytes: UInt64) -> Kept? {
        let left = sizes[cache].subtractingWithin(bytes)
        guard left < bounds[cache].reserved else {
            return former.lazy.compactMap { $0.reservedKeeper(cache, leaving: left) }.first
        }
        return Kept(
            by: .reserved,
            "the cache would shrink to \(formatBytes(left)), \(formatBytes(bounds[cache].reserved)) are reserved")
    }

    /// The costly look, once for each item.
    mutating func look(_ place: Int) -> ItemEvidence {
        guard !wasLookedAt[place] else { return found[place] ?? ItemEvidence() }
        wasLookedAt[place] = true
        let seen = evidence(catalogue.entries[place].item)
        if seen.mayShareExtents || !seen.keepers.isEmpty { found[place] = seen }
        return seen
    }
}

// MARK: - What is decided

extension PlanRun {
    /// What an item holds.
    func nodes(_ entry: Entry) -> ArraySlice<StorageGraph.NodeID> { catalogue.nodes[entry.nodes] }

    /// Bytes that are an item's alone and no node.
    func ownBytes(_ entry: Entry) -> UInt64 { entry.ownBytes }

    /// Lets an item's holds go.
    mutating func release(_ place: Int) -> UInt64 {
        let entry = catalogue.entries[place]
        return releases[entry.cache].release(nodes(entry))
    }

    /// Takes that back.
    mutating func restore(_ place: Int) {
        let entry = catalogue.entries[place]
        releases[entry.cache].restore(nodes(entry))
    }

    /// Records an action on an item whose holds were let go.
    mutating func settle(_ place: Int, _ rule: ReadyRule, bytes: UInt64, _ reason: Reason) {
        let entry = catalogue.entries[place]
        isGone[place] = true
        sizes[entry.cache] = sizes[entry.cache].subtractingWithin(bytes)
        let space = spaceOfCache[entry.cache]
        spaces[space].free = spaces[space].free.addingUpTo(bytes)
        let hub = asksHub(entry) ? planner.caches[entry.cache].revisions[entry.index].hub : nil
        sequence.append(
            PlannedAction(
                item: entry.item, bytes: bytes, isAtMost: found[place]?.mayShareExtents ?? false, hub: hub,
                rule: rule.rule.name, reason: reason))
    }

    /// What keeps an item that a rule took; empty: none took it, or none keeps it.
    func reasonsToKeep(_ place: Int) -> [Kept] { keptAt[place] < 0 ? [] : kept[Int(keptAt[place])].reasons }

    /// Records that an item stays.
    mutating func keep(_ place: Int, _ rule: ReadyRule, _ reasons: [Kept]) {
        guard keptAt[place] >= 0 else {
            keptAt[place] = Int32(kept.count)
            kept.append((place, rule.rule.name, reasons))
            return
        }
        let index = Int(keptAt[place])
        for reason in reasons where !kept[index].reasons.contains(reason) { kept[index].reasons.append(reason) }
    }
}
