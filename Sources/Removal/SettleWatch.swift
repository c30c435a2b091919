internal import CacheScan
internal import HubCache
internal import LinuxIO
internal import Synchronization

/// Watches the snapshots of repos whose blobs are out of the way, and gives a client that links to one its blob back at once:
/// it had seen the blob before it waited for the lock, and will not look again.
///
/// Where the kernel's watches do not suffice, the snapshots are looked at every tenth of a second instead.
final class SettleWatch: Sendable {
    private struct Watched: Sendable {
        var operation: Operation
        var numbers: [FolderWatch.Number]
        var isPolled: Bool
        /// Whether the snapshots are out of the way. Until then a link to a blob may be one of those that go.
        var isActive = false
    }

    private struct State: Sendable {
        var operations: [BytePath: Watched] = [:]
        /// Where a watched folder is, below `snapshots`.
        var places: [FolderWatch.Number: (operation: BytePath, path: BytePath)] = [:]
        var isEnding = false
    }

    private let watch: FolderWatch?
    private let state = Mutex(State())
    private let thread = Mutex<BackgroundThread?>(nil)

    init() {
        watch = try? FolderWatch()
        thread.withLock { $0 = BackgroundThread(name: "settle") { [self] in run() } }
    }

    /// Ends the watch's thread.
    func end() {
        state.withLock { $0.isEnding = true }
        thread.withLock { $0.take() }?.join()
    }

    /// Watches every folder of a repo's snapshots, and the empty ones that are about to take the place of some.
    func add(_ operation: Operation) {
        var watched = Watched(operation: operation, numbers: [], isPolled: watch == nil)
        var places: [(FolderWatch.Number, BytePath)] = []
        do throws(SystemCallFailure) {
            if let snapshots = try operation.folders.openIfPresent("snapshots") {
                try watchTree(snapshots, at: .empty, &places)
            }
            for (index, revision) in operation.intent.revisions.enumerated() {
                guard let skeleton = try operation.openParked(operation.intent.parkedName(revision: index)) else {
                    continue
                }
                try watchTree(skeleton, at: BytePath(revision.commit.hex), &places)
            }
        } catch {
            watched.isPolled = true
        }
        watched.numbers = places.map(\.0)
        let name = operation.intent.operation
        state.withLock { state in
            state.operations[name] = watched
            for (number, path) in places { state.places[number] = (name, path) }
        }
    }

    /// Begins to give back: the operation's snapshots are out of the way, its blobs not yet.
    func activate(_ operation: Operation) {
        state.withLock { $0.operations[operation.intent.operation]?.isActive = true }
    }

    /// Looks once at everything, for links that were made in the moment before the watch began to act.
    func look(at operation: Operation) {
        state.withLock { _ in giveBackAll(operation) }
    }

    /// Watches no longer: nothing of the operation is touched from here once this has returned.
    func remove(_ operation: Operation) {
        let name = operation.intent.operation
        state.withLock { state in
            guard let watched = state.operations.removeValue(forKey: name) else { return }
            for number in watched.numbers {
                state.places[number] = nil
                watch?.forget(number)
            }
        }
    }

    private func watchTree(
        _ folder: borrowing OwnedDescriptor, at path: BytePath, _ places: inout [(FolderWatch.Number, BytePath)],
        depth: Int = 0
    ) throws(SystemCallFailure) {
        guard let watch, depth <= SnapshotWalk.depthLimit else { return }
        places.append((try watch.add(folder), path))
        for entry in try folder.listDirectory().entries where entry.stat.kind == .directory {
            do throws(SystemCallFailure) {
                let child = try folder.open(entry.name, options: [.directory, .keepAccessTime])
                try watchTree(child, at: path.appending(entry.name), &places, depth: depth + 1)
            } catch {
                if !error.isAbsent { throw error }
            }
        }
    }

    private func run() {
        while !state.withLock({ $0.isEnding }) {
            let events: [FolderWatch.Event]
            if let watch {
                events = watch.wait(milliseconds: 100)
            } else {
                sleepMilliseconds(100)
                events = []
            }
            // Under the lock, so that `remove` returns only when nothing is being touched.
            state.withLock { state in
                for event in events { handle(event, &state) }
                for watched in state.operations.values where watched.isPolled && watched.isActive {
                    giveBackAll(watched.operation)
                }
            }
        }
    }

    private func handle(_ event: FolderWatch.Event, _ state: inout State) {
        switch event {
        case .overflow:
            for watched in state.operations.values where watched.isActive { giveBackAll(watched.operation) }
        case .arrived(let name, let isFolder, let number):
            guard let (operationName, path) = state.places[number],
                let watched = state.operations[operationName]
            else { return }
            let place = path.appending(name)
            if isFolder {
                // What is in it already has no event of its own.
                add(place, to: operationName, &state)
                if watched.isActive { giveBackAll(watched.operation) }
            } else if watched.isActive {
                giveBack(place, watched.operation)
            }
        }
    }

    private func add(_ path: BytePath, to name: BytePath, _ state: inout State) {
        guard let operation = state.operations[name]?.operation else { return }
        var places: [(FolderWatch.Number, BytePath)] = []
        do throws(SystemCallFailure) {
            guard let folder = try operation.folders.openIfPresent(BytePath("snapshots").appending(path)) else {
                return
            }
            try watchTree(folder, at: path, &places)
        } catch {
            state.operations[name]?.isPolled = true
        }
        for (number, path) in places {
            state.places[number] = (name, path)
            state.operations[name]?.numbers.append(number)
        }
    }

    /// Looks at a new link and gives back what it leads to.
    private func giveBack(_ path: BytePath, _ operation: Operation) {
        let place = BytePath("snapshots").appending(path)
        guard let folder = try? operation.folders.open(place.parent),
            let text = try? folder.readLink(place.lastComponent),
            let target = place.parent.resolvingLexically(text)?.relative(to: "blobs"), operation.blobs[target] != nil
        else { return }
        giveBack(blob: target, operation)
    }

    private func giveBackAll(_ operation: Operation) {
        guard let repo = try? operation.context.scan(operation.folders.folder) else { return }
        for name in repo.linkedBlobs(hops: operation.hops) where operation.blobs[name] != nil && repo.blobs[name] == nil
        {
            giveBack(blob: name, operation)
        }
    }

    private func giveBack(blob name: BytePath, _ operation: Operation) {
        // What fails here is tried again when the operation is decided, under the locks.
        guard (try? operation.restore(blob: name)) == .done else { return }
        operation.context.event(.restored(folder: operation.folders.folder, blob: name))
    }
}
