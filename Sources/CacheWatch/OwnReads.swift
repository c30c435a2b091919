public import HubCache
internal import LinuxIO
internal import Synchronization

/// Opens of blobs by this process itself, which are no use of them.
///
/// inotify tells no process, so that own opens are counted: of a file that was announced N times, N events are not passed on.
/// The announcement is over as soon as the events that were queued when it ended have been read. In doubt an open is a use,
/// with one exception: the kernel makes one event of two equal ones in a row, so that somebody's open directly after ours
/// may go with ours.
public final class OwnReads: Sendable {
    fileprivate struct Key: Hashable {
        var cache: BytePath
        var file: OpenedFile
    }
    private enum Phase { case open, over, overBeforeReading }
    private struct Record {
        var number: UInt64
        var remaining: Int
        var phase = Phase.open

        var whenReadingBegins: Record {
            Record(number: number, remaining: remaining, phase: phase == .over ? .overBeforeReading : phase)
        }
    }
    /// Another process of ours reads in some repos: it opens a file so many times at most.
    private struct Span {
        var cache: BytePath
        /// Nil: all.
        var repos: Set<BytePath>?
        var opens: Int
        var taken: [OpenedFile: Int] = [:]
        var phase = Phase.open

        func covers(_ file: OpenedFile, of cache: BytePath) -> Bool {
            guard cache == self.cache, taken[file] ?? 0 < opens else { return false }
            return switch file {
            case .blob(let repo, _), .snapshotFile(let repo, _): repos?.contains(repo) ?? true
            case .payload: true
            case .someOfRepo, .someOfStore: false
            }
        }
    }
    private struct State {
        var spans: [UInt64: Span] = [:]
        var records: [Key: [Record]] = [:]
        var over: [Key] = []
        var numbers: UInt64 = 0
    }

    private let state = Mutex(State())
    private let bell: WakeUp

    init(bell: WakeUp) { self.bell = bell }

    /// Calls with a body that opens a file, and does not count its opens as use.
    ///
    /// - Parameters:
    ///   - location: the file relative to the cache root, where its content really is: a blob that is no link, or a payload.
    ///   - cache: the cache as it was given to the watcher.
    ///   - opens: how many times the body opens it at most.
    public func reading<Result, Failure: Error>(
        _ location: BytePath, of cache: BytePath, opens: Int = 1, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard let file = OpenedFile(location: location) else { return try body() }
        let key = Key(cache: cache, file: file)
        let number = begin(key, opens: opens)
        defer { end(key, number) }
        return try body()
    }

    /// Announces that a file is about to be opened once, where the open itself is elsewhere.
    ///
    /// - Parameters: as those of `reading`.
    /// - Returns: to be called when it was opened; nil where opens of such a file are not reported anyway.
    public func announce(_ location: BytePath, of cache: BytePath) -> (@Sendable () -> Void)? {
        guard let file = OpenedFile(location: location) else { return nil }
        let key = Key(cache: cache, file: file)
        let number = begin(key, opens: 1)
        return { self.end(key, number) }
    }

    /// As many processes may announce what they read at once.
    public static let mostSpans = 64

    /// Announces that another process reads in some repos from now on. Of each file there some opens are not passed on.
    ///
    /// - Parameters:
    ///   - repos: their folders; nil: all.
    ///   - cache: the cache as it was given to the watcher.
    ///   - opens: how many times it opens a file at most.
    /// - Returns: to be called when that is over; nil where too many do so already.
    public func announce(repos: Set<BytePath>?, of cache: BytePath, opens: Int = 1) -> (@Sendable () -> Void)? {
        let number = state.withLock { state -> UInt64? in
            guard state.spans.count < Self.mostSpans else { return nil }
            state.numbers += 1
            state.spans[state.numbers] = Span(cache: cache, repos: repos, opens: opens)
            return state.numbers
        }
        guard let number else { return nil }
        return {
            self.state.withLock { $0.spans[number]?.phase = .over }
            // The events that are queued now are to be read before somebody else's.
            self.bell.ring()
        }
    }

    private func begin(_ key: Key, opens: Int) -> UInt64 {
        state.withLock { state in
            state.numbers += 1
            state.records[key, default: []].append(Record(number: state.numbers, remaining: max(0, opens)))
            return state.numbers
        }
    }

    private func end(_ key: Key, _ number: UInt64) {
        let isLeft = state.withLock { state in
            guard var records = state.records[key], let index = records.firstIndex(where: { $0.number == number })
            else { return false }
            let isLeft = records[index].remaining > 0
            if isLeft {
                records[index].phase = .over
                state.over.append(key)
            } else {
                records.remove(at: index)
            }
            state.records[key] = records.isEmpty ? nil : records
            return isLeft
        }
        // The events that are queued now are to be read before somebody else's.
        if isLeft { bell.ring() }
    }

    /// Whether an open that was seen is one of ours; each is taken once.
    func take(_ file: OpenedFile, of cache: BytePath) -> Bool {
        state.withLock { state in
            let key = Key(cache: cache, file: file)
            guard let index = state.records[key]?.firstIndex(where: { $0.remaining > 0 }) else {
                guard
                    let span = state.spans.keys.sorted().first(where: {
                        state.spans[$0]?.covers(file, of: cache) ?? false
                    })
                else { return false }
                state.spans[span]?.taken[file, default: 0] += 1
                return true
            }
            state.records[key]?[index].remaining -= 1
            return true
        }
    }

    /// Notes what is over by now: to be called before all queues are read to their ends.
    func beginReading() -> Over {
        state.withLock { state in
            let keys = state.over
            state.over = []
            for key in keys { state.records[key] = state.records[key]?.map(\.whenReadingBegins) }
            let spans = state.spans.filter { $0.value.phase != .open }.map(\.key)
            for span in spans { state.spans[span]?.phase = .overBeforeReading }
            return Over(keys: keys, spans: spans)
        }
    }

    /// Forgets what was over, after all queues have been read to their ends. What ended meanwhile waits for the next time.
    func endReading(_ over: Over) {
        guard !over.keys.isEmpty || !over.spans.isEmpty else { return }
        state.withLock { state in
            for span in over.spans { state.spans[span] = nil }
            for key in over.keys {
                let records = (state.records[key] ?? []).filter { $0.phase != .overBeforeReading }
                state.records[key] = records.isEmpty ? nil : records
            }
        }
    }

    /// Announcements that are over.
    struct Over {
        fileprivate var keys: [Key]
        fileprivate var spans: [UInt64]
    }

    /// How many files and processes are announced.
    var count: Int { state.withLock { $0.records.count + $0.spans.count } }
}
