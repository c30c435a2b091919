internal import HubCache
internal import LinuxIO
internal import Synchronization

/// The files of a revision, handed out to the threads that bring them in.
final class FetchQueue: Sendable {
    private struct State {
        /// Last first.
        var large: [[WantedFile]] = []
        var small: [[WantedFile]] = []
        var means: [BytePath: RepairMeans] = [:]
        var failure: RepairFailure?
    }

    private let state: Mutex<State>
    /// How many threads find work.
    let workers: Int

    /// One connection is enough for a file that takes longer than it takes to ask for it; for others what counts is how many are
    /// asked for and synced at once.
    private static let largeSize: UInt64 = 16 << 20
    /// How many large files are transferred at once.
    private static let largeAtOnce = 2

    /// - Parameter threads: how many there may be.
    init(_ files: [WantedFile], threads: Int) {
        var state = State()
        var places: [BytePath: Int] = [:]
        var jobs: [[WantedFile]] = []
        // Files with the same content are one blob, which two threads would wait for each other for.
        for file in files {
            if let place = places[file.etag] {
                jobs[place].append(file)
            } else {
                places[file.etag] = jobs.count
                jobs.append([file])
            }
        }
        for job in jobs.reversed() {
            if job[0].size >= Self.largeSize { state.large.append(job) } else { state.small.append(job) }
        }
        workers = max(1, min(threads, min(state.large.count, Self.largeAtOnce) + state.small.count))
        self.state = Mutex(state)
    }

    /// The next files for a thread; nil when there are none for it, or one has failed.
    func next(worker: Int) -> [WantedFile]? {
        state.withLock { state in
            if state.failure != nil { return nil }
            if worker < Self.largeAtOnce, let job = state.large.popLast() { return job }
            return state.small.popLast()
        }
    }

    /// Notes that a file is here.
    func finish(_ file: WantedFile, _ means: RepairMeans) { state.withLock { $0.means[file.path] = means } }

    /// Notes what ends it all; the first counts.
    func fail(_ failure: RepairFailure) { state.withLock { $0.failure = $0.failure ?? failure } }

    /// How each file came to be here.
    ///
    /// - Throws: what ended it all.
    func results() throws(RepairFailure) -> [BytePath: RepairMeans] {
        let (means, failure) = state.withLock { ($0.means, $0.failure) }
        if let failure { throw failure }
        return means
    }
}
