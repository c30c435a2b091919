import HubCache

/// The states of an item as a set: it may be partial and detached at once.
struct StateSet: OptionSet, Sendable {
    let rawValue: UInt16

    static let complete = StateSet(rawValue: 1)
    static let partial = StateSet(rawValue: 2)
    static let corrupt = StateSet(rawValue: 4)
    static let incomplete = StateSet(rawValue: 8)
    static let detached = StateSet(rawValue: 16)
    static let superseded = StateSet(rawValue: 32)
    static let stalePartial = StateSet(rawValue: 64)
    static let orphan = StateSet(rawValue: 128)

    /// What is wrong with an item, not what it is for.
    static let broken: StateSet = [.partial, .corrupt, .incomplete]

    init(rawValue: UInt16) { self.rawValue = rawValue }

    init(_ states: [Match.State]) {
        self = []
        for state in states { insert(StateSet(state)) }
    }

    init(_ state: Match.State) {
        self =
            switch state {
            case .complete: .complete
            case .partial: .partial
            case .corrupt: .corrupt
            case .incomplete: .incomplete
            case .detached: .detached
            case .superseded: .superseded
            case .stalePartial: .stalePartial
            case .orphan: .orphan
            }
    }

    /// The word for the set: the most telling of its states.
    var word: String {
        let telling: [Match.State] = [
            .superseded, .detached, .corrupt, .partial, .incomplete, .complete, .stalePartial, .orphan,
        ]
        return telling.first { contains(StateSet($0)) }?.rawValue ?? "none"
    }
}

/// What rules look at of one item, without anything that is counted by reference: a plan reads it many times.
struct Entry: Sendable {
    var item: Item
    var cache: Int
    /// Its repo's place in its cache; -1: none.
    var repo: Int
    /// Its place in the facts' revisions or files.
    var index: Int
    var isFile: Bool
    /// Whether rules may take it: a revision that downloads, or could not be read, is no item.
    var isItem: Bool
    var states: StateSet
    var bytes: UInt64
    /// Bytes that are its alone and no node.
    var ownBytes: UInt64
    /// Where what it holds is among the nodes of the catalogue.
    var nodes: Range<Int> = 0..<0
    var arrived: Timestamp
    /// What `min-age` looks at.
    var youngestChange: Timestamp
    /// What `recent-use` looks at.
    var recentRead: LastUse?
    /// What `older-than` counts from.
    var oldSince: Timestamp
    /// The last use; the earliest time there is when none is known.
    var lastUse: Timestamp
    var lastUseSource: LastUse.Source?
    /// 0 when the Hub has it or nothing would have to be fetched, 1 when nobody knows, 2 when it has not.
    var hubRank: UInt8
    var refetchBytes: UInt64
    /// Whether losing it loses something that was whole.
    var isOrWasComplete: Bool
}

/// All items of all caches in one row.
struct Catalogue: Sendable {
    private(set) var entries: [Entry] = []
    /// What the entries hold, one after the other: an array for each would be a reference to count and a place to fetch.
    private(set) var nodes: [StorageGraph.NodeID] = []
    /// Where the revisions of each cache begin, and where its files do.
    private(set) var places: [(revisions: Int, files: Int, end: Int)] = []
    /// The names of each cache's repos as globs see them: `org/name` and `type/org/name`.
    private(set) var names: [[(short: [UInt8], long: [UInt8])]] = []

    init(_ caches: [CacheFacts]) {
        let count = caches.reduce(0) { $0 + $1.revisions.count + $1.files.count }
        entries.reserveCapacity(count)
        nodes.reserveCapacity(count * 4)
        for cache in caches.indices {
            let start = entries.count
            let revisions = caches[cache].revisions
            for index in revisions.indices {
                add(Entry(revision: revisions[index], cache: cache, index: index), revisions[index].nodes)
            }
            let files = entries.count
            let leftovers = caches[cache].files
            for index in leftovers.indices {
                add(Entry(file: leftovers[index], cache: cache, index: index), leftovers[index].nodes)
            }
            places.append((start, files, entries.count))
            names.append(caches[cache].repos.map { (Array($0.id.name.utf8), Array($0.id.description.utf8)) })
        }
    }

    private mutating func add(_ entry: Entry, _ held: [StorageGraph.NodeID]) {
        let start = nodes.count
        nodes += held
        var entry = entry
        entry.nodes = start..<nodes.count
        entries.append(entry)
    }

    /// The places of a cache's entries.
    func range(of cache: Int) -> Range<Int> { places[cache].revisions..<places[cache].end }

    /// What a rule's `keep-last` protects from it among some items.
    func keptLast(_ rule: ReadyRule, among places: some Sequence<Int>, in caches: [CacheFacts]) -> Set<Int> {
        let count = rule.rule.keepLast ?? 0
        guard count > 0 else { return [] }
        // Counted among all that the keys match, however young: a successor that is not due yet is the newest.
        var places = places.filter { rule.mismatchOfKeys(entries[$0], in: caches) == nil }
        places.sort { left, right in
            let (one, other) = (entries[left], entries[right])
            if one.cache != other.cache { return one.cache < other.cache }
            return one.repo == other.repo
                ? (one.arrived, one.lastUse, right) > (other.arrived, other.lastUse, left) : one.repo < other.repo
        }
        var kept: Set<Int> = []
        var last: (cache: Int, repo: Int)?
        var position = 0
        for place in places {
            let entry = entries[place]
            position = last.map { $0 == (entry.cache, entry.repo) } ?? false ? position + 1 : 0
            last = (entry.cache, entry.repo)
            if position < count { kept.insert(place) }
        }
        return kept
    }

    /// An item's place; nil: there is no such item.
    func place(of item: Item) -> Int? {
        guard places.indices.contains(item.cache) else { return nil }
        let cache = places[item.cache]
        switch item {
        case .revision(_, let index):
            return index >= 0 && cache.revisions + index < cache.files ? cache.revisions + index : nil
        case .file(_, let index): return index >= 0 && cache.files + index < cache.end ? cache.files + index : nil
        }
    }
}

extension Entry {
    // Inlined, so that the facts are not copied with all that they refer to.
    @inline(__always)
    fileprivate init(revision: RevisionFacts, cache: Int, index: Int) {
        var states: StateSet = []
        switch revision.state {
        case .complete: states.insert(.complete)
        case .partial where !revision.isOnlyWrongUpstream: states.formUnion([.partial, .incomplete])
        case .corrupt where !revision.isOnlyWrongUpstream: states.formUnion([.corrupt, .incomplete])
        default: break
        }
        var oldSince = revision.arrived
        if revision.refs.isEmpty {
            // An open after the ref moved shows a user of this very commit, and so does an arrival after it.
            if let moved = revision.supersededAt, revision.arrived <= moved,
                revision.lastOpen.map({ $0.time <= moved }) ?? true
            {
                states.insert(.superseded)
                oldSince = moved
            } else {
                states.insert(.detached)
            }
        }
        self.init(
            item: .revision(cache: cache, index: index), cache: cache, repo: revision.repo, index: index, isFile: false,
            isItem: revision.state != .unknown && revision.state != .downloading, states: states,
            bytes: revision.bytes, ownBytes: revision.ownBytes, arrived: revision.arrived,
            youngestChange: revision.youngestChange, recentRead: revision.recentRead, oldSince: oldSince,
            lastUse: revision.lastUse?.time ?? Timestamp(nanoseconds: .min), lastUseSource: revision.lastUse?.source,
            hubRank: revision.hub == .confirmed ? 0 : revision.hub == .unasked ? 1 : 2,
            refetchBytes: revision.refetchBytes, isOrWasComplete: revision.isOrWasComplete)
    }

    fileprivate init(file: FileFacts, cache: Int, index: Int) {
        let use = LastUse(stat: file.stat)
        // A name that was moved or linked anew has a young ctime and an old mtime.
        let arrived = max(file.stat.modified, file.stat.changed)
        self.init(
            item: .file(cache: cache, index: index), cache: cache, repo: file.repo ?? -1, index: index, isFile: true,
            isItem: true, states: file.kind == .stalePartial ? .stalePartial : .orphan, bytes: file.stat.allocated,
            ownBytes: file.nodes.isEmpty ? file.stat.freed : 0, arrived: arrived, youngestChange: file.stat.changed,
            oldSince: arrived, lastUse: use.time,
            lastUseSource: use.source, hubRank: 0,
            refetchBytes: 0, isOrWasComplete: false)
    }
}
