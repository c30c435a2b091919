internal import HubCache
internal import LinuxIO
internal import Synchronization

/// The marks of one cache that nobody has taken yet: sets, so that a storm of events is a bounded number of marks.
struct Marks {
    var repos: Set<BytePath> = []
    var isRootChanged = false
    var isStoreChanged = false
    var isOverflown = false
    var isArmed = false
    /// In order; of a root that comes and goes, the last ones.
    var rootChanges: [RootChange] = []
    var degradations: Set<WatchDegradation> = []
    /// The degradations that were told already.
    var toldDegradations: Set<WatchDegradation> = []
    var opens: [OpenedFile: Timestamp] = [:]

    private static let rootChangesKept = 8

    var isEmpty: Bool {
        repos.isEmpty && !isRootChanged && !isStoreChanged && !isOverflown && !isArmed && rootChanges.isEmpty
            && opens.isEmpty && degradations == toldDegradations
    }

    mutating func note(_ change: RootChange) {
        if rootChanges.last == change { return }
        if rootChanges.count == Self.rootChangesKept { rootChanges.removeFirst() }
        rootChanges.append(change)
    }

    /// Notes an open, of a whole repo when there are too many.
    mutating func note(_ file: OpenedFile, at time: Timestamp, limit: Int) {
        guard opens.count >= limit, opens[file] == nil else {
            opens[file] = max(time, opens[file] ?? time)
            return
        }
        let coarse: OpenedFile =
            switch file {
            case .blob(let repo, _), .snapshotFile(let repo, _), .someOfRepo(let repo): .someOfRepo(repo)
            case .payload, .someOfStore: .someOfStore
            }
        opens[coarse] = max(time, opens[coarse] ?? time)
    }

    /// Takes everything: what concerns the whole cache first.
    mutating func take(cache: BytePath) -> [WatchEvent] {
        var events: [WatchEvent] = rootChanges.map { .root(cache: cache, $0) }
        events += degradations.subtracting(toldDegradations).sorted().map { .degraded(cache: cache, $0) }
        events += toldDegradations.subtracting(degradations).sorted().map { .restored(cache: cache, $0) }
        if isOverflown { events.append(.overflow(cache: cache)) }
        if isArmed { events.append(.armed(cache: cache)) }
        if isRootChanged { events.append(.rootChanged(cache: cache)) }
        if isStoreChanged { events.append(.storeChanged(cache: cache)) }
        events += repos.sorted().map { .repoChanged(cache: cache, folder: $0) }
        events += opens.map { .opened(cache: cache, file: $0.key, at: $0.value) }
        let degradations = degradations
        self = Marks()
        self.degradations = degradations
        toldDegradations = degradations
        return events
    }
}

/// Where the threads leave their marks and the daemon takes them.
final class MarkBoard: Sendable {
    private let marks: Mutex<[BytePath: Marks]>
    private let order: [BytePath]
    let bell: WakeUp

    init(caches: [BytePath]) throws(SystemCallFailure) {
        order = caches
        marks = Mutex(Dictionary(caches.map { ($0, Marks()) }) { first, _ in first })
        bell = try WakeUp()
    }

    /// Changes a cache's marks, and rings when there are any.
    func update(_ cache: BytePath, _ body: (inout Marks) -> Void) {
        let hasAny = marks.withLock { marks in
            body(&marks[cache, default: Marks()])
            return marks[cache]?.isEmpty == false
        }
        if hasAny { bell.ring() }
    }

    func take() -> [WatchEvent] {
        marks.withLock { marks in
            order.flatMap { cache in marks[cache, default: Marks()].take(cache: cache) }
        }
    }
}
