internal import HubCache
internal import LinuxIO

/// What a watched folder is.
enum WatchedKind: UInt8, Hashable {
    /// The nearest folder there is above a root that is not there.
    case ancestor
    case root
    case store
    /// A two-digit folder of the store.
    case shelf
    case repo
    case blobs
    case refs
    case snapshots
    /// A snapshot's folder or one below it.
    case snapshot
    case trees

    /// What is listened for.
    var mask: InotifyMask {
        switch self {
        case .ancestor: [.create, .movedTo, .deleteSelf, .moveSelf]
        case .shelf, .blobs, .snapshot: [.changes, .open]
        case .root, .store, .repo, .refs, .snapshots, .trees: .changes
        }
    }
}

/// What a watch stands for: 8 bytes, since a cache of many repos has a hundred thousand of them.
struct WatchNode: Hashable {
    /// The unit, as `WatchTable` counts them.
    var unit: Int32
    var kind: WatchedKind
    /// For a snapshot's folders, which of the unit's commits.
    var commit: UInt16 = 0
}

/// Something that is watched or polled as a whole: the root, the store or a repo.
struct WatchUnit {
    /// The folder's name in the root; empty for the root itself.
    var name: BytePath
    /// Its inotify watches, in no particular order.
    var watches: [Int32] = []
    /// The commits that its nodes name.
    var commits: [CommitHash] = []
    /// What its folders looked like when it was polled last; nil when it is watched.
    var polled: [PolledEntry]?
    /// Whether some of its folders could not be opened.
    var hasUnseen = false
    /// Whether it is polled because its filesystem tells no events.
    var isRemote = false
    /// Whether it has more folders than are looked at: it is reported as stale at every sweep.
    var isTooBig = false
}

/// A folder or a file of a polled unit.
struct PolledEntry: Hashable {
    /// Relative to the cache root.
    var path: BytePath
    var key: FileKey
    var modified: Timestamp
    var changed: Timestamp

    init(path: BytePath, stat: FileStat) {
        self.path = path
        key = stat.key
        modified = stat.modified
        changed = stat.changed
    }
}

/// What the watching of one cache knows, shared by the thread that reads events and the one that arms watches.
struct WatchTable {
    static let root: Int32 = 0
    static let store: Int32 = 1

    /// Where watches are; nil while there is no root or everything is polled.
    private(set) var inotify: Inotify?
    private(set) var nodes: [Int32: WatchNode] = [:]
    /// Further nodes of folders that are reached in several ways, such as two links to one repo folder.
    private(set) var otherNodes: [Int32: [WatchNode]] = [:]
    private(set) var units: [Int32: WatchUnit] = [:]
    private(set) var numbers: [BytePath: Int32] = [:]
    private var nextNumber: Int32 = 0
    private var adding: Adding?
    private var created: [CreatedFile] = []
    /// Events so far.
    private var position: UInt64 = 0
    private(set) var counts = Counts()

    /// Work for the arming thread.
    var work = ArmingWork()
    /// Below the ancestor that is watched, the name on the way to the root.
    var awaited: BytePath = .empty

    /// How many units are not just watched.
    struct Counts: Equatable {
        /// Polled for want of watches.
        var limited = 0
        /// Polled because of their filesystem.
        var remote = 0
        /// With folders that cannot be read.
        var unseen = 0
        /// With too many folders.
        var tooBig = 0
    }

    /// A watch that is being added: events may come before its number is known here.
    private struct Adding {
        var strangers: [Int32: Bool] = [:]
    }

    private struct CreatedFile {
        var watch: Int32
        var name: BytePath
        var position: UInt64
    }

    /// Events after which the open of a file that was just made is not its maker's any more.
    private static let createdKept: UInt64 = 64
    private static let strangersKept = 256

    init() { reset(inotify: nil) }

    /// Forgets everything and starts anew.
    mutating func reset(inotify: Inotify?) {
        self.inotify = inotify
        nodes = [:]
        otherNodes = [:]
        units = [Self.root: WatchUnit(name: .empty), Self.store: WatchUnit(name: "blobs")]
        numbers = [.empty: Self.root, "blobs": Self.store]
        nextNumber = 2
        adding = nil
        created = []
        counts = Counts()
    }

    // MARK: units

    /// The number of a repo's unit, made when there is none.
    mutating func number(of name: BytePath) -> Int32 {
        if let number = numbers[name] { return number }
        let number = nextNumber
        nextNumber += 1
        numbers[name] = number
        units[number] = WatchUnit(name: name)
        return number
    }

    /// The names of all repos' units.
    var repoNames: [BytePath] { numbers.filter { $0.value > Self.store }.map(\.key) }

    var repoCount: Int { numbers.count - 2 }

    /// The number of a commit in a unit.
    mutating func addCommit(_ commit: CommitHash, to unit: Int32) -> UInt16 {
        let count = units[unit]?.commits.count ?? 0
        // A number too many names no commit: opens there are not reported.
        guard count < Int(UInt16.max) else { return .max }
        units[unit]?.commits.append(commit)
        return UInt16(count)
    }

    /// Replaces what a unit is watched by, or polled.
    ///
    /// - Returns: watches that are not wanted by anybody any more.
    mutating func settle(_ number: Int32, _ result: UnitWalk.Result) -> [Int32] {
        guard let old = units[number] else { return result.watches }
        count(old, -1)
        let wanted = result.polled == nil ? Set(result.watches) : []
        units[number]?.watches = Array(wanted)
        units[number]?.polled = result.polled
        units[number]?.hasUnseen = result.hasUnseen
        units[number]?.isRemote = result.isRemote
        units[number]?.isTooBig = result.isTooBig
        if let new = units[number] { count(new, 1) }
        return Set(old.watches + result.watches).filter { !wanted.contains($0) && dropNode($0, of: number) }
    }

    /// Takes a unit out.
    ///
    /// - Returns: watches that are not wanted by anybody any more.
    mutating func remove(_ number: Int32) -> [Int32] {
        let unwanted = settle(number, UnitWalk.Result())
        if number > Self.store, let unit = units.removeValue(forKey: number) { numbers[unit.name] = nil }
        return unwanted
    }

    private mutating func count(_ unit: WatchUnit, _ step: Int) {
        if unit.isTooBig {
            counts.tooBig += step
        } else if unit.polled != nil {
            if unit.isRemote { counts.remote += step } else { counts.limited += step }
        }
        if unit.hasUnseen { counts.unseen += step }
    }

    /// - Returns: whether the watch stands for nothing any more.
    private mutating func dropNode(_ watch: Int32, of unit: Int32) -> Bool {
        guard let node = nodes[watch] else { return false }
        var others = otherNodes[watch] ?? []
        others.removeAll { $0.unit == unit }
        if node.unit == unit {
            guard let heir = others.popLast() else {
                nodes[watch] = nil
                otherNodes[watch] = nil
                return true
            }
            nodes[watch] = heir
        }
        otherNodes[watch] = others.isEmpty ? nil : others
        return false
    }

    // MARK: adding watches

    /// To be called before the kernel is asked for a watch.
    mutating func beginAdding() { adding = Adding() }

    /// To be called with the watch that the kernel gave, or nil when it gave none.
    ///
    /// - Returns: whether the watch is new to its unit or something happened there already.
    mutating func endAdding(_ watch: Int32?, as node: WatchNode) -> Bool {
        let strangers = adding?.strangers ?? [:]
        adding = nil
        guard let watch else { return true }
        // Gone again before it was known.
        if strangers[watch] == true { return true }
        if let known = nodes[watch] {
            if known == node { return false }
            if known.unit == node.unit {
                nodes[watch] = node
                return true
            }
            var others = otherNodes[watch] ?? []
            if others.contains(node) { return false }
            others.removeAll { $0.unit == node.unit }
            otherNodes[watch] = others + [node]
            return true
        }
        nodes[watch] = node
        return true
    }

    // MARK: events

    /// Turns one event into marks and work.
    mutating func apply(
        _ event: InotifyEvent, at time: Timestamp, limit: Int, to marks: inout Marks, isOwn: (OpenedFile) -> Bool
    ) {
        position += 1
        if event.mask.contains(.overflow) {
            marks.isOverflown = true
            work.isEverything = true
            return
        }
        guard let node = nodes[event.watch] else {
            if adding != nil, adding?.strangers.count ?? 0 < Self.strangersKept {
                adding?.strangers[event.watch, default: false] = event.mask.contains(.ignored)
            }
            return
        }
        let all = [node] + (otherNodes[event.watch] ?? [])
        for node in all { apply(event, node, at: time, limit: limit, to: &marks, isOwn: isOwn) }
        if event.mask.contains(.ignored) {
            nodes[event.watch] = nil
            otherNodes[event.watch] = nil
            for node in all { units[node.unit]?.watches.removeAll { $0 == event.watch } }
        }
    }

    private mutating func apply(
        _ event: InotifyEvent, _ node: WatchNode, at time: Timestamp, limit: Int, to marks: inout Marks,
        isOwn: (OpenedFile) -> Bool
    ) {
        let isFolder = event.mask.contains(.isDirectory)
        if event.mask.contains(.open) {
            guard !isFolder, !event.name.isEmpty, !takeCreated(event) else { return }
            if let file = openedFile(event.name, node), !isOwn(file) { marks.note(file, at: time, limit: limit) }
            return
        }
        if event.mask.contains(.create), !isFolder, node.kind.mask.contains(.open) {
            // The open by its maker follows at once and is no use.
            created.removeAll { $0.position + Self.createdKept < position }
            created.append(CreatedFile(watch: event.watch, name: event.name, position: position))
        }
        let isAboutItself = !event.mask.isDisjoint(with: [.deleteSelf, .moveSelf, .ignored, .unmounted])
        switch node.kind {
        case .ancestor:
            if isAboutItself || event.name == awaited { work.isRoot = true }
        case .root: applyToRoot(event, isAboutItself: isAboutItself, marks: &marks)
        case .store, .shelf:
            if isAboutItself || isFolder { work.units.insert("blobs") }
            if case .lock = StoreEntryName(event.name), !event.name.isEmpty, !isAboutItself { return }
            marks.isStoreChanged = true
        case .repo, .refs, .snapshots, .snapshot, .trees, .blobs:
            guard let name = units[node.unit]?.name else { return }
            if node.kind == .blobs, !isAboutItself, case .lock = BlobEntryName(event.name),
                event.mask.isDisjoint(with: [.create, .delete, .movedFrom, .movedTo])
            {
                // Waiting for a lock of the oldest clients: opened and closed twenty times a second.
                return
            }
            // A linked `blobs` is no folder by its event.
            let mayHoldFolders = node.kind != .blobs && node.kind != .trees
            if isAboutItself || event.name.isEmpty || (isFolder && mayHoldFolders)
                || (node.kind == .repo && event.name == "blobs")
            {
                work.units.insert(name)
            }
            marks.repos.insert(name)
        }
    }

    private mutating func applyToRoot(_ event: InotifyEvent, isAboutItself: Bool, marks: inout Marks) {
        if isAboutItself || event.name.isEmpty {
            if isAboutItself { work.isRootLost = work.isRootLost || event.mask.contains(.ignored) }
            work.isRoot = true
            marks.isRootChanged = true
            return
        }
        switch RootEntryName(event.name) {
        case .repo:
            work.units.insert(event.name)
            marks.repos.insert(event.name)
            marks.isRootChanged = true
        case .sharedStore:
            work.units.insert(event.name)
            marks.isStoreChanged = true
            marks.isRootChanged = true
        case .locks, .cacheTag, .desktopHelper: break
        case .oldTemporary, .migrationMark, .foreign: marks.isRootChanged = true
        }
    }

    /// Which file an open was of, where that is a blob, a payload or a snapshot's own file.
    private func openedFile(_ name: BytePath, _ node: WatchNode) -> OpenedFile? {
        guard let unit = units[node.unit] else { return nil }
        switch node.kind {
        case .blobs:
            if case .blob = BlobEntryName(name) { return .blob(repo: unit.name, name: name) }
        case .shelf:
            if case .payload = StoreEntryName(name) { return .payload(name) }
        case .snapshot:
            let index = Int(node.commit)
            if unit.commits.indices.contains(index) {
                return .snapshotFile(repo: unit.name, commit: unit.commits[index])
            }
        case .ancestor, .root, .store, .repo, .refs, .snapshots, .trees: break
        }
        return nil
    }

    private mutating func takeCreated(_ event: InotifyEvent) -> Bool {
        guard !created.isEmpty,
            let index = created.lastIndex(where: { $0.watch == event.watch && $0.name == event.name }),
            position - created.remove(at: index).position <= Self.createdKept
        else { return false }
        return true
    }
}

/// What the thread that arms watches has to do.
struct ArmingWork {
    /// Look at the root.
    var isRoot = false
    /// The watches of the root are gone, whatever it looks like.
    var isRootLost = false
    /// Compare all folders with all watches.
    var isEverything = false
    /// Look at the folders of these.
    var units: Set<BytePath> = []

    var isEmpty: Bool { !isRoot && !isRootLost && !isEverything && units.isEmpty }
}
