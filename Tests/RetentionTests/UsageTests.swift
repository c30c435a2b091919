import HubCache
import Retention
import Testing

@Suite struct UsageTests {
    private func times(_ accessed: Int64, _ modified: Int64) -> UsageRecord.FileTimes {
        UsageRecord.FileTimes(accessed: ago(accessed), modified: ago(modified))
    }

    private func judge(_ records: [UsageRecord], repos: Int? = nil, watched: Int64? = nil) -> UsageJudgement {
        UsageJudgement(records, repoCount: repos ?? records.count, watchedSince: watched.map { ago($0) })
    }

    @Test func youngestOfAll() throws {
        let record = UsageRecord(
            repo: 0, opens: [ago(9 * day), ago(5 * day)],
            files: [times(4 * day, 30 * day), times(40 * day, 20 * day), times(7 * day, 8 * day)])
        let usage = try #require(judge([record]).revisions.first)
        #expect(usage.lastUse == LastUse(time: ago(4 * day), source: .atime))
        #expect(usage.lastOpen == usage.lastUse)
    }

    @Test func downloadIsNoOpen() throws {
        let usage = try #require(judge([UsageRecord(repo: 0, files: [times(9 * day, 9 * day)])]).revisions.first)
        #expect(usage.lastUse == LastUse(time: ago(9 * day), source: .mtime))
        #expect(usage.lastOpen == nil)
    }

    @Test func downloadAfterAnOpen() throws {
        let record = UsageRecord(repo: 0, opens: [ago(9 * day)], files: [times(3 * day, 2 * day)])
        let usage = try #require(judge([record]).revisions.first)
        #expect(usage.lastUse == LastUse(time: ago(2 * day), source: .mtime))
        #expect(usage.lastOpen == LastUse(time: ago(9 * day), source: .open))
    }

    @Test func nothingKnown() throws {
        let usage = try #require(judge([UsageRecord(repo: 0)]).revisions.first)
        #expect(usage == RevisionUsage(lastUse: nil, lastOpen: nil))
    }

    @Test func recordedOpenIsNamedFirst() throws {
        let record = UsageRecord(repo: 0, opens: [ago(day)], files: [times(day, 9 * day)])
        #expect(try #require(judge([record]).revisions.first).lastUse?.source == .open)
    }

    /// `count` repos, each read one after the other at steps of so many seconds, the first a day ago.
    private func sweep(_ count: Int, step: Int64, byOpens: Bool = false) -> [UsageRecord] {
        (0..<count).map { repo in
            let time = day - Int64(repo) * step
            return byOpens
                ? UsageRecord(
                    repo: repo, opens: [ago(time), ago(20 * day + Int64(repo) * hour)],
                    files: [times(50 * day, 50 * day)])
                : UsageRecord(repo: repo, files: [times(time, 50 * day)])
        }
    }

    @Test(arguments: [false, true]) func sweepIsNoUse(byOpens: Bool) {
        let judged = judge(sweep(25, step: 60, byOpens: byOpens), watched: 60 * day)
        #expect(judged.sweeps == [Sweep(first: ago(day), last: ago(day - 24 * 60), repos: 25)])
        for (repo, usage) in judged.revisions.enumerated() {
            let open = LastUse(time: ago(20 * day + Int64(repo) * hour), source: .open)
            #expect(usage.lastUse == (byOpens ? open : LastUse(time: ago(50 * day), source: .mtime)))
        }
    }

    /// Nobody recorded opens, or not for long enough: what was used before the sweep cannot be told.
    @Test(arguments: [nil, 49 * day] as [Int64?]) func sweepHidesUse(watched: Int64?) {
        let judged = judge(sweep(25, step: 60), watched: watched)
        #expect(judged.sweeps.count == 1)
        for (repo, usage) in judged.revisions.enumerated() {
            #expect(usage.lastUse == LastUse(time: ago(50 * day), source: .unwatched))
            #expect(usage.lastOpen == nil)
            #expect(usage.sweptRead == LastUse(time: ago(day - Int64(repo) * 60), source: .atime))
        }
    }

    @Test func sweepHidesNothingThatIsKnown() {
        // Watched since the download: there was no open but the sweep.
        #expect(judge(sweep(25, step: 60), watched: 50 * day).revisions.allSatisfy { $0.sweptRead == nil })
        var records = sweep(25, step: 60)
        // Used since.
        records[1].opens = [ago(hour)]
        // A file that the sweep did not touch tells.
        records[2].files.append(times(9 * day, 50 * day))
        // Fetched since.
        records[3].files.append(times(2 * hour, 2 * hour))
        // An open that was seen by chance, and then nobody watched.
        records[4].opens = [ago(30 * day)]
        let judged = judge(records)
        #expect(judged.revisions[1].lastUse == LastUse(time: ago(hour), source: .open))
        #expect(judged.revisions[2].lastUse == LastUse(time: ago(9 * day), source: .atime))
        #expect(judged.revisions[3].lastUse == LastUse(time: ago(2 * hour), source: .mtime))
        #expect(judged.revisions[4].lastUse == LastUse(time: ago(30 * day), source: .unwatched))
        #expect(judged.revisions[4].lastOpen == LastUse(time: ago(30 * day), source: .open))
        #expect(judged.revisions[1...3].allSatisfy { $0.sweptRead == nil })
        #expect(judged.revisions[4].sweptRead != nil)
    }

    /// Opens before the sweep's own are remembered too: where there is none, there was none.
    @Test func recordedSweepHidesNothing() {
        let records = (0..<25).map { repo in
            UsageRecord(repo: repo, opens: [ago(day - Int64(repo))], files: [times(50 * day, 50 * day)])
        }
        let judged = judge(records, watched: 60 * day)
        let change = LastUse(time: ago(50 * day), source: .mtime)
        #expect(judged.revisions.allSatisfy { $0.lastUse == change && $0.lastOpen == nil && $0.sweptRead == nil })
    }

    /// What a sweep read may have been opened since: then its own reads are no longer enough of them to tell.
    @Test func aSweepThatIsRememberedIsNoUse() {
        var records = (0..<25).map { UsageRecord(repo: $0, opens: [ago(day)], files: [times(50 * day, 50 * day)]) }
        for place in 5..<25 { records[place].opens = [ago(60)] }
        records[4].opens.append(ago(20 * day))
        let known = [Sweep(first: ago(day + 60), last: ago(day - 60), repos: 25)]
        let judged = UsageJudgement(records, repoCount: 30, watchedSince: ago(60 * day), known: known)
        #expect(judged.sweeps == known)
        #expect(judged.revisions[0].lastUse == LastUse(time: ago(50 * day), source: .mtime))
        #expect(judged.revisions[4].lastUse == LastUse(time: ago(20 * day), source: .open))
        #expect(judged.revisions[7].lastUse == LastUse(time: ago(60), source: .open))
    }

    @Test func sweepLongerThanAnHour() {
        // An hour covers 31 repos of 35 at a time.
        let judged = judge(sweep(35, step: 120))
        #expect(judged.sweeps.count == 1)
        #expect(judged.revisions.allSatisfy { $0.lastOpen == nil })
    }

    @Test func tooFewReposAreNoSweep() {
        #expect(judge(sweep(19, step: 1)).sweeps.isEmpty)
        #expect(judge(sweep(20, step: 1)).sweeps.count == 1)
    }

    @Test func fourFifthsAreNoSweep() {
        #expect(judge(sweep(80, step: 1), repos: 100).sweeps.isEmpty)
        #expect(judge(sweep(81, step: 1), repos: 100).sweeps.count == 1)
    }

    @Test func slowReadingIsNoSweep() {
        #expect(judge(sweep(25, step: 200)).sweeps.isEmpty)
        // Exactly an hour from the first to the last.
        #expect(judge(sweep(25, step: 150)).sweeps.count == 1)
    }

    @Test func useBesideASweepStays() {
        var records = sweep(25, step: 60)
        records[3].opens = [ago(2 * day)]
        records[4].opens = [ago(hour)]
        let judged = judge(records, watched: 60 * day)
        #expect(judged.revisions[3].lastUse == LastUse(time: ago(2 * day), source: .open))
        #expect(judged.revisions[4].lastUse == LastUse(time: ago(hour), source: .open))
        #expect(judged.revisions[5].lastOpen == nil)
    }

    @Test func manyFilesOfOneRepoAreOneRepo() {
        let files = (0..<100).map { times(day - $0, 50 * day) }
        #expect(judge([UsageRecord(repo: 0, files: files), UsageRecord(repo: 1)]).sweeps.isEmpty)
    }

    @Test func everyNightIsASweepOfItsOwn() {
        let records = (0..<30).map { repo in
            UsageRecord(repo: repo, opens: (1...9).map { ago($0 * day + Int64(repo)) })
        }
        let judged = judge(records)
        #expect(judged.sweeps.count == 9)
        #expect(judged.revisions.allSatisfy { $0.lastUse == nil })
    }

    /// Times at the ends of what can be said.
    @Test func extremeTimes() {
        let ends = [Timestamp(nanoseconds: .min), Timestamp(nanoseconds: .max)]
        let judged = judge((0..<30).map { UsageRecord(repo: $0, opens: ends) })
        #expect(judged.sweeps.count == 2)
    }
}
