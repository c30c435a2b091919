import HubCache
import Retention

/// A random inventory and policy, with the storage kept a second time in the plainest way.
struct World {
    struct Node {
        var bytes: UInt64
        var foreign: Int
        var held: Int?
    }

    var caches: [CacheFacts] = []
    var policy = Policy()
    var room: UInt64?
    var nodes: [[Node]] = []
    var holdings: [Item: [Int]] = [:]
    /// What the costly look would find.
    var inUse: Set<Item> = []

    init(seed: UInt64) {
        var random = Random(seed: seed)
        let isShared = random.chance(60)
        for number in 0..<(random.chance(40) ? 2 : 1) {
            addCache(number, filesystem: isShared ? 1 : UInt64(number), &random)
        }
        addPolicy(&random)
        if random.chance(25) { room = UInt64(random.below(20)) }
    }

    var planner: Planner { Planner(policy: policy, caches: caches, now: now, room: room) }

    func evidence(_ item: Item) -> ItemEvidence {
        inUse.contains(item) ? ItemEvidence(keepers: [Kept(by: .open, "open")]) : ItemEvidence()
    }

    /// What is free again when these are gone, by definition: a node goes when all that holds it is gone.
    func freed(_ gone: Set<Item>) -> UInt64 {
        var bytes: UInt64 = 0
        for cache in caches.indices {
            var holders = nodes[cache].map(\.foreign)
            var isEverHeld = nodes[cache].map { $0.foreign > 0 }
            for (item, held) in holdings where item.cache == cache {
                for node in held {
                    isEverHeld[node] = true
                    if !gone.contains(item) { holders[node] += 1 }
                }
            }
            // Nodes hold only nodes that were made before them.
            for node in nodes[cache].indices.reversed() {
                let isDead = isEverHeld[node] && holders[node] == 0
                if isDead {
                    bytes += nodes[cache][node].bytes
                }
                if let held = nodes[cache][node].held {
                    isEverHeld[held] = true
                    if !isDead { holders[held] += 1 }
                }
            }
        }
        return bytes + gone.reduce(0) { $0 + own($1) }
    }

    func own(_ item: Item) -> UInt64 {
        if case .revision(let cache, let index) = item { caches[cache].revisions[index].ownBytes } else { 0 }
    }

    private mutating func addCache(_ number: Int, filesystem: UInt64, _ random: inout Random) {
        var policy = CachePolicy(path: BytePath("/cache\(number)"))
        if random.chance(60) { policy.minFree = .bytes(UInt64(95 + random.below(20))) }
        if random.chance(10) { policy.minFree = .partsPerMillion(UInt32(random.below(120_000))) }
        if random.chance(80) { policy.targetFree = .bytes(UInt64(100 + random.below(25))) }
        if random.chance(30) { policy.maxSize = .bytes(UInt64(20 + random.below(100))) }
        if random.chance(15) { policy.targetSize = .bytes(UInt64(random.below(150))) }
        if random.chance(15) { policy.reserved = .bytes(UInt64(random.below(80))) }
        if random.chance(70) { policy.irreplaceable = .evict }
        policy.allowsEmpty = random.chance(50)
        let filesystem = FilesystemFacts(
            id: filesystem, name: "fs", totalBytes: 1000, freeBytes: UInt64(100 + filesystem),
            keepsAccessTimes: random.chance(80))
        var facts = CacheFacts(
            path: BytePath("/cache\(number)"), policy: policy, filesystem: filesystem, bytes: 0)
        if random.chance(60) { facts.watchedSince = ago(Int64(random.below(60)) * day) }
        for repo in 0...random.below(4) {
            guard let id = RepoID(type: random.pick([.model, .dataset]), name: "org/r\(repo)") else { continue }
            facts.repos.append(RepoFacts(id: id, folder: id.folder))
        }
        var made: [Node] = []
        var ids: [StorageGraph.NodeID] = []
        for _ in 0..<(1 + random.below(10)) {
            let held = !made.isEmpty && random.chance(30) ? random.below(made.count) : nil
            let node = Node(
                bytes: UInt64(random.below(20)), foreign: random.chance(8) ? 1 : 0,
                held: held.flatMap { made[$0].held == nil ? $0 : nil })
            made.append(node)
            ids.append(
                facts.storage.add(
                    bytes: node.bytes, foreignHolders: node.foreign, holding: node.held.map { ids[$0] }))
            facts.bytes += node.bytes
        }
        for index in 0..<random.below(20) {
            var revision = Self.revision(index, facts.repos.count, &random)
            let held = Set((0..<random.below(4)).map { _ in random.below(made.count) }).sorted()
            hold(.revision(cache: number, index: index), held, ids, &facts)
            revision.nodes = held.map { ids[$0] }
            revision.bytes = held.reduce(revision.ownBytes) { $0 + made[$1].bytes }
            facts.bytes += revision.ownBytes
            facts.revisions.append(revision)
            if random.chance(10) { inUse.insert(.revision(cache: number, index: index)) }
        }
        for index in 0..<random.below(4) {
            let time = ago(Int64(random.below(40)) * day / 4)
            let stat = FileStat(
                key: FileKey(device: 1, inode: UInt64(index)), kind: .regular, permissions: 0o644, linkCount: 1,
                uid: 0, gid: 0, size: 7, allocated: 7, accessed: time, modified: time, changed: time)
            var file = FileFacts(
                kind: random.pick([.stalePartial, .orphanBlob, .orphanPayload]),
                repo: random.chance(80) ? random.below(facts.repos.count) : nil, path: BytePath("file\(index)"),
                stat: stat)
            let held = [random.below(made.count)]
            hold(.file(cache: number, index: index), held, ids, &facts)
            file.nodes = held.map { ids[$0] }
            if random.chance(10) { file.keepers = [Kept(by: .lock, "locked")] }
            facts.files.append(file)
            if random.chance(10) { inUse.insert(.file(cache: number, index: index)) }
        }
        caches.append(facts)
        nodes.append(made)
    }

    private mutating func hold(
        _ item: Item, _ held: [Int], _ ids: [StorageGraph.NodeID], _ facts: inout CacheFacts
    ) {
        for node in held { facts.storage.addHolder(of: ids[node]) }
        holdings[item] = held
    }

    private static func revision(_ index: Int, _ repos: Int, _ random: inout Random) -> RevisionFacts {
        let arrived = Int64(random.below(100)) * day / 4
        let state: RevisionState = random.pick([
            .complete, .complete, .complete, .complete, .complete, .complete, .partial, .corrupt, .partial, .corrupt,
            .downloading, .unknown,
        ])
        var revision = RevisionFacts(
            repo: random.below(repos), commit: commit("\(index % 10)abcdef\(index / 10)"), state: state,
            arrived: ago(arrived))
        revision.youngestChange = ago(random.chance(90) ? arrived + 3 * hour : 0)
        revision.refs = random.chance(60) ? [random.pick(["main", "v1"])] : []
        if random.chance(80) {
            revision.lastUse = LastUse(
                time: ago(Int64(random.below(60)) * day), source: random.pick([.open, .atime, .mtime, .unwatched]))
        }
        if random.chance(30) { revision.lastOpen = LastUse(time: ago(Int64(random.below(30)) * day), source: .open) }
        if random.chance(40) { revision.supersededAt = ago(Int64(random.below(20)) * day) }
        revision.ownBytes = UInt64(random.below(3))
        revision.wasComplete = state == .complete || random.chance(30)
        revision.isHistoryKnown = random.chance(80)
        if random.chance(5) { revision.sweptRead = LastUse(time: ago(Int64(random.below(4)) * day), source: .atime) }
        revision.isProvenCorrupt = random.chance(50)
        revision.isOnlyWrongUpstream = random.chance(20)
        revision.isRepairExhausted = random.chance(50)
        revision.hub = random.pick([.unasked, .confirmed, .refused(reason: "gone")])
        revision.refetchBytes = UInt64(random.below(50))
        if random.chance(8) { revision.keepers = [Kept(by: .hold, "held")] }
        return revision
    }

    private mutating func addPolicy(_ random: inout Random) {
        policy = Policy()
        policy.caches = caches.map(\.policy)
        for number in 0..<random.below(5) { policy.rules.append(Self.rule(number, &random)) }
        if random.chance(30) {
            policy.pins = [
                Pin(
                    repo: Glob(random.pick(["org/r0", "org/*", "model/*1", "nobody"])),
                    revision: random.pick([nil, Glob("main"), Glob("1abcdef"), Glob("*")]))
            ]
        }
    }

    static func rule(_ number: Int, _ random: inout Random) -> Rule {
        var states: [Match.State] = []
        if random.chance(50) {
            states = (0...random.below(2)).map { _ in random.pick(Match.State.allCases) }
        }
        return RetentionTests.rule(
            "rule \(number)", states, repos: random.chance(25) ? [random.pick(["org/*", "*1", "org/r2"])] : [],
            types: random.chance(10) ? [.model] : [], revisions: random.chance(10) ? ["main"] : [],
            larger: random.chance(15) ? UInt64(random.below(20)) : nil,
            smaller: random.chance(10) ? UInt64(random.below(30)) : nil,
            older: random.chance(30) ? Int64(random.below(20)) * day : nil,
            unused: random.chance(40) ? Int64(random.below(50)) * day : nil,
            keepLast: random.chance(20) ? 1 + random.below(2) : nil, pressure: random.chance(60),
            order: random.pick(Rule.Order.allCases))
    }
}
