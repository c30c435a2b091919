public import HubCache

/// The raw times of one revision, as they were recorded and as `stat` gave them.
public struct UsageRecord: Sendable, Hashable {
    /// What `stat` said of one file.
    public struct FileTimes: Sendable, Hashable {
        /// Last access.
        public var accessed: Timestamp
        /// Last change of content.
        public var modified: Timestamp

        /// Makes a pair.
        public init(accessed: Timestamp, modified: Timestamp) {
            self.accessed = accessed
            self.modified = modified
        }

        /// The times of a file.
        public init(_ stat: FileStat) { self.init(accessed: stat.accessed, modified: stat.modified) }
    }

    /// Its repo: any number that is the same for all revisions of a repo, and for no other of those judged together.
    public var repo: Int
    /// When anything that it links to was opened, as far as it was recorded; the program's own reads are left out.
    public var opens: [Timestamp]
    /// The times of what it links to.
    public var files: [FileTimes]

    /// Makes a record.
    public init(repo: Int, opens: [Timestamp] = [], files: [FileTimes] = []) {
        self.repo = repo
        self.opens = opens
        self.files = files
    }
}

/// When one revision was used, after what was no use was taken out.
public struct RevisionUsage: Sendable, Hashable {
    /// The youngest of the opens, of access times later than the last change, and of the last changes.
    public var lastUse: LastUse?
    /// The youngest of the opens and of such access times; nil: nobody is known to have opened it.
    public var lastOpen: LastUse?
    /// The youngest read by a sweep, where it may hide a use: a file has one access time, and what it was before is gone. Then
    /// `lastUse` is `unwatched`, with the youngest time that is known; the last use was no later than a day after this.
    public var sweptRead: LastUse?

    /// Makes a usage.
    public init(lastUse: LastUse?, lastOpen: LastUse?, sweptRead: LastUse? = nil) {
        self.lastUse = lastUse
        self.lastOpen = lastOpen
        self.sweptRead = sweptRead
    }
}

/// Somebody read nearly everything within an hour: a backup, a search. It is no use.
public struct Sweep: Sendable, Hashable {
    /// The first read of it.
    public var first: Timestamp
    /// The last one.
    public var last: Timestamp
    /// How many repos it touched.
    public var repos: Int

    /// Makes a sweep.
    public init(first: Timestamp, last: Timestamp, repos: Int) {
        self.first = first
        self.last = last
        self.repos = repos
    }
}

/// What the times of many revisions say of their use.
public struct UsageJudgement: Sendable, Hashable {
    /// Reads within so much of each other may be one sweep.
    public static let sweepLength: Duration = .seconds(3600)
    /// A sweep touches at least so many repos…
    public static let sweepRepos = 20
    /// …and more than so many hundredths of all.
    public static let sweepPercent = 80

    /// The usage of each revision, in the order of the records.
    public var revisions: [RevisionUsage]
    /// The sweeps that were taken out, oldest first.
    public var sweeps: [Sweep]

    /// Judges the records of a cache.
    ///
    /// - Parameters:
    ///   - repoCount: how many repos there are, those without a record included; at least as many as the records have.
    ///   - watchedSince: since when every open was recorded; nil: they are not. Only recorded opens show what was used before a
    ///     sweep.
    ///   - known: sweeps that were recognised before: what they read may have been opened again since.
    public init(
        _ records: [UsageRecord], repoCount: Int, watchedSince: Timestamp? = nil, known: [Sweep] = []
    ) {
        var reads: [Read] = []
        for record in records {
            for open in record.opens { reads.append(Read(time: open, repo: record.repo)) }
            for file in record.files where file.accessed > file.modified {
                reads.append(Read(time: file.accessed, repo: record.repo))
            }
        }
        let sweeps = Self.joined(Self.sweeps(in: reads, repoCount: repoCount) + known)
        self.sweeps = sweeps
        revisions = records.map { Self.usage(of: $0, without: sweeps, watchedSince: watchedSince) }
    }

    /// One read of something.
    public struct Read: Sendable, Hashable {
        /// When.
        public var time: Timestamp
        /// Its repo: any number that is no other's.
        public var repo: Int

        /// Makes a read.
        public init(time: Timestamp, repo: Int) {
            self.time = time
            self.repo = repo
        }
    }

    /// Those that overlap as one, oldest first.
    private static func joined(_ sweeps: [Sweep]) -> [Sweep] {
        var result: [Sweep] = []
        for sweep in sweeps.sorted(by: { $0.first < $1.first }) {
            if let before = result.last, before.last >= sweep.first {
                result[result.count - 1] = Sweep(
                    first: before.first, last: max(before.last, sweep.last), repos: max(before.repos, sweep.repos))
            } else {
                result.append(sweep)
            }
        }
        return result
    }

    /// The sweeps in many reads, oldest first.
    ///
    /// - Parameter repoCount: how many repos there are, those that nobody read included.
    public static func sweeps(in unsorted: [Read], repoCount: Int) -> [Sweep] {
        let reads = unsorted.sorted { $0.time < $1.time }
        let repos = max(repoCount, Set(reads.map(\.repo)).count)
        var found: [Sweep] = []
        var counts: [Int: Int] = [:]
        var start = 0
        for end in reads.indices {
            counts[reads[end].repo, default: 0] += 1
            while reads[end].time.nanoseconds(since: reads[start].time) > sweepLength.wholeNanoseconds {
                let repo = reads[start].repo
                counts[repo] = counts[repo] == 1 ? nil : (counts[repo] ?? 1) - 1
                start += 1
            }
            guard counts.count >= sweepRepos, counts.count * 100 > repos * sweepPercent else { continue }
            let sweep = Sweep(first: reads[start].time, last: reads[end].time, repos: counts.count)
            // Windows that overlap are one sweep that took longer than the window.
            if let before = found.last, before.last >= sweep.first {
                found[found.count - 1] = Sweep(
                    first: before.first, last: sweep.last, repos: max(before.repos, sweep.repos))
            } else {
                found.append(sweep)
            }
        }
        return found
    }

    private static func usage(of record: UsageRecord, without sweeps: [Sweep], watchedSince: Timestamp?)
        -> RevisionUsage
    {
        var read: LastUse?
        var open: LastUse?
        var change: LastUse?
        var sweptRead: LastUse?
        var sweptOpen: LastUse?
        for file in record.files {
            if file.accessed > file.modified {
                let access = LastUse(time: file.accessed, source: .atime)
                if isIn(sweeps, file.accessed) {
                    sweptRead = .younger(sweptRead, access)
                } else {
                    read = .younger(read, access)
                }
            }
            change = .younger(change, LastUse(time: file.modified, source: .mtime))
        }
        for time in record.opens {
            let recorded = LastUse(time: time, source: .open)
            if isIn(sweeps, time) { sweptOpen = .younger(sweptOpen, recorded) } else { open = .younger(open, recorded) }
        }
        // Of equal times the recorded open is named.
        let lastOpen = read.map { read in open.map { $0.time >= read.time ? $0 : read } ?? read } ?? open
        let use = change.map { change in lastOpen.map { $0.time >= change.time ? $0 : change } ?? change } ?? lastOpen
        let usage = RevisionUsage(lastUse: use, lastOpen: lastOpen)
        let swept = sweptRead.map { sweptRead in sweptOpen.map { .younger(sweptRead, $0) } ?? sweptRead } ?? sweptOpen
        // An access time that the sweep left alone is the last one: it would have moved with a later use.
        guard let swept, read == nil, use.map({ $0.time < swept.time }) ?? true else { return usage }
        if let watchedSince, let use, watchedSince <= use.time { return usage }
        return RevisionUsage(
            lastUse: use.map { LastUse(time: $0.time, source: .unwatched) }, lastOpen: lastOpen, sweptRead: swept)
    }

    private static func isIn(_ sweeps: [Sweep], _ time: Timestamp) -> Bool {
        // The first sweep that does not end before: there may be one for every night of years.
        var low = 0
        var high = sweeps.count
        while low < high {
            let middle = (low + high) / 2
            if sweeps[middle].last < time { low = middle + 1 } else { high = middle }
        }
        return low < sweeps.count && sweeps[low].first <= time
    }
}
