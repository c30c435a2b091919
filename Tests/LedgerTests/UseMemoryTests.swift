import GRDB
import HubCache
import Testing

@testable import Ledger

private let cache: BytePath = "/srv/hub"
private let repo = "models--org--model"
private let ledgerNow: Int64 = 1_760_000_000

/// Small numbers count from some days ago, so that no test depends on what is older than any memory.
private func at(_ seconds: Int64) -> Timestamp {
    Timestamp(seconds: seconds < 10_000_000 ? ledgerNow - 1_000_000 + seconds : seconds)
}
private func commit(_ digit: Character) -> CommitHash {
    guard let commit = CommitHash(String(repeating: digit, count: 40)) else { preconditionFailure("no commit") }
    return commit
}

@Suite struct UseMemory {
    let scratch = Scratch()

    // MARK: opens

    @Test func opensKeepTheYoungest() {
        let ledger = scratch.ledger()
        let blob = OpenedThing.blob("abc")
        let revision = OpenedThing.revision(commit("1"))
        ledger.note(
            opens: [
                RecordedOpen(repo: repo, thing: blob, time: at(100), source: .watch),
                RecordedOpen(repo: repo, thing: blob, time: at(90), source: .process),
                RecordedOpen(repo: repo, thing: revision, time: at(80), source: .announced),
            ], cache: cache)
        ledger.note(opens: [RecordedOpen(repo: "models--x", thing: blob, time: at(7), source: .watch)], cache: cache)
        ledger.note(opens: [RecordedOpen(repo: repo, thing: blob, time: at(1), source: .watch)], cache: "/other")
        let found = ledger.lastOpens(cache: cache)
        #expect(found[repo]?[blob] == RecordedOpen(repo: repo, thing: blob, time: at(100), source: .watch))
        #expect(found[repo]?[revision]?.source == .announced)
        #expect(found["models--x"]?[blob]?.time == at(7))
        #expect(found.count == 2 && found[repo]?.count == 2)
        #expect(ledger.lastOpens(cache: "/other")[repo]?[blob]?.time == at(1))
    }

    @Test func whatNoCacheHasIsNotRemembered() throws {
        let ledger = scratch.ledger()
        let long = String(repeating: "x", count: 256)
        ledger.note(
            opens: [
                RecordedOpen(repo: repo, thing: .blob(""), time: at(1), source: .watch),
                RecordedOpen(repo: repo, thing: .blob(long), time: at(1), source: .watch),
                RecordedOpen(repo: "a\0b", thing: .blob("x"), time: at(1), source: .watch),
                RecordedOpen(repo: repo, thing: .blob("x"), time: Timestamp(seconds: 0), source: .watch),
            ], cache: cache)
        ledger.note(
            opens: [RecordedOpen(repo: repo, thing: .blob("x"), time: at(1), source: .watch)],
            cache: BytePath(bytes: [0x2f, 0xff]))
        #expect(ledger.lastOpens(cache: cache).isEmpty)
        // Rows that this program would not have written are passed over.
        ledger.note(opens: [RecordedOpen(repo: repo, thing: .blob("x"), time: at(5), source: .watch)], cache: cache)
        ledger.close()
        try scratch.tamper(
            """
            INSERT INTO opened VALUES ('/srv/hub', 'models--org--model', 3, 'y', 5, 1);
            INSERT INTO opened VALUES ('/srv/hub', 'models--org--model', 2, 'no commit', 5, 1);
            INSERT INTO opened VALUES ('/srv/hub', 'models--org--model', 1, 'later', 9000000000000000000, 1);
            INSERT INTO opened VALUES ('/srv/hub', 'models--org--model', 1, 'text', 'now', 1);
            INSERT INTO opened VALUES ('/srv/hub', 'models--org--model', 1, 'source', 5, 99);
            """)
        #expect(scratch.ledger().lastOpens(cache: cache)[repo]?.keys.map { $0 } == [.blob("x")])
    }

    // MARK: openers

    @Test func openersAreOfThisBoot() {
        let ledger = scratch.ledger()
        func opener(_ pid: Int32, _ boot: String, blob: String? = "abc") -> RecordedOpener {
            RecordedOpener(
                repo: repo, blob: blob, process: ProcessIdentity(id: pid, startTicks: 55, boot: boot), seenAt: at(9))
        }
        ledger.note(openers: [opener(1, "now"), opener(2, "then"), opener(3, "now", blob: nil)], cache: cache)
        ledger.note(openers: [opener(-1, "now"), opener(4, "")], cache: cache)
        let found = ledger.openers(cache: cache, boot: "now")
        #expect(found.keys.map { $0 } == [repo])
        #expect(Set(found[repo] ?? []) == [opener(1, "now"), opener(3, "now", blob: nil)])
        ledger.forget(openers: [opener(1, "now")], cache: cache)
        #expect(ledger.openers(cache: cache, boot: "now")[repo] == [opener(3, "now", blob: nil)])
        #expect(ledger.openers(cache: cache, boot: "").isEmpty)
    }

    // MARK: watching

    @Test func aGapEndsWatching() {
        let ledger = scratch.ledger()
        #expect(ledger.watchedSince(cache: cache) == nil)
        let start = ledgerNow - 3600
        for time in stride(from: start, through: ledgerNow, by: 600) { ledger.noteWatching(cache: cache, at: at(time)) }
        #expect(ledger.watchedSince(cache: cache) == at(start))
        #expect(ledger.watchedSince(cache: "/other") == nil)
    }

    @Test func watchingBeginsAnewAfterAGap() {
        let ledger = scratch.ledger()
        ledger.noteWatching(cache: cache, at: at(ledgerNow - 1300))
        ledger.noteWatching(cache: cache, at: at(ledgerNow - 601))
        #expect(ledger.watchedSince(cache: cache) == nil, "the last sight is more than ten minutes old")
        ledger.noteWatching(cache: cache, at: at(ledgerNow))
        #expect(ledger.watchedSince(cache: cache) == at(ledgerNow))
        // A clock that was set back says nothing of how long it was.
        ledger.noteWatching(cache: cache, at: at(ledgerNow - 100))
        #expect(ledger.watchedSince(cache: cache) == at(ledgerNow - 100))
    }

    // MARK: refs and complete revisions

    private func note(
        _ ledger: Ledger, _ refs: [String: CommitHash], complete: Set<CommitHash> = [], _ time: Int64
    ) {
        ledger.note(revisions: [SeenRevisions(repo: repo, refs: refs, complete: complete)], cache: cache, at: at(time))
    }

    @Test func aRefThatMovesSupersedes() {
        let ledger = scratch.ledger()
        note(ledger, ["main": commit("1"), "v1": commit("2")], 100)
        #expect(ledger.supersededCommits(cache: cache).isEmpty)
        note(ledger, ["main": commit("3"), "v1": commit("2")], 200)
        #expect(ledger.supersededCommits(cache: cache) == [repo: [commit("1"): at(200)]])
        note(ledger, ["main": commit("4"), "v1": commit("2")], 300)
        #expect(ledger.supersededCommits(cache: cache) == [repo: [commit("1"): at(200), commit("3"): at(300)]])
        #expect(ledger.supersededCommits(cache: "/other").isEmpty)
    }

    @Test func whatSomeRefNamesIsNotSuperseded() {
        let ledger = scratch.ledger()
        note(ledger, ["main": commit("1"), "v1": commit("1")], 100)
        note(ledger, ["main": commit("2"), "v1": commit("1")], 200)
        #expect(ledger.supersededCommits(cache: cache).isEmpty)
        // The ref goes back, and is not on the other any more.
        note(ledger, ["main": commit("1"), "v1": commit("1")], 300)
        #expect(ledger.supersededCommits(cache: cache) == [repo: [commit("2"): at(300)]])
    }

    @Test func aRefThatIsRemovedHasNotMoved() {
        let ledger = scratch.ledger()
        note(ledger, ["main": commit("1")], 100)
        note(ledger, [:], 200)
        #expect(ledger.supersededCommits(cache: cache).isEmpty)
        note(ledger, ["main": commit("2")], 300)
        #expect(ledger.supersededCommits(cache: cache) == [repo: [commit("1"): at(300)]])
    }

    @Test func anOlderScanChangesNothing() {
        let ledger = scratch.ledger()
        note(ledger, ["main": commit("2")], 200)
        note(ledger, ["main": commit("1")], 100)
        #expect(ledger.supersededCommits(cache: cache).isEmpty)
    }

    @Test func nothingNewIsNotWritten() throws {
        let ledger = scratch.ledger()
        note(ledger, ["main": commit("1")], complete: [commit("1")], 1000)
        let before = output(of: "cat \(scratch.database) \(scratch.database)-wal | sha256sum")
        note(ledger, ["main": commit("1")], complete: [commit("1")], 2000)
        let after = output(of: "cat \(scratch.database) \(scratch.database)-wal | sha256sum")
        #expect(after == before)
        // Once a week it is, so that it does not age while it is there.
        note(ledger, ["main": commit("1")], complete: [commit("1")], 2000 + 8 * aDay)
        #expect(output(of: "cat \(scratch.database) \(scratch.database)-wal | sha256sum") != before)
    }

    @Test func completeOnceStays() {
        var ledger = scratch.ledger()
        note(ledger, [:], complete: [commit("1"), commit("2")], 100)
        note(ledger, [:], complete: [], 200)
        ledger.close()
        ledger = scratch.ledger()
        #expect(ledger.completeOnce(cache: cache) == [repo: [commit("1"), commit("2")]])
        ledger.forget(revision: commit("1"), cache: cache, repo: repo)
        #expect(ledger.completeOnce(cache: cache) == [repo: [commit("2")]])
    }

    /// Times that no clock gives, and one of a clock that ran years ahead.
    @Test(arguments: [-9_000_000_000_000_000_000, Int64.min, .max, 1_900_000_000_000_000_000])
    func impossibleTimesStopNothing(time: Int64) throws {
        var ledger = scratch.ledger()
        note(ledger, ["main": commit("1"), "v1": commit("5")], complete: [commit("1")], 100)
        ledger.close()
        for table in ["ref_seen", "complete_once"] {
            try scratch.tamper("UPDATE \(table) SET last_seen = \(time), first_seen = \(time)")
        }
        ledger = scratch.ledger()
        #expect(ledger.completeOnce(cache: cache) == [repo: [commit("1")]], "it protects whatever the time is")
        note(ledger, ["main": commit("2"), "v1": commit("5")], complete: [commit("2")], 200)
        #expect(ledger.supersededCommits(cache: cache) == [repo: [commit("1"): at(200)]])
        #expect(ledger.completeOnce(cache: cache) == [repo: [commit("1"), commit("2")]])
        // What was seen again has a time again, so that the next pass has nothing to write.
        #expect(
            ledger.revisionHistory(cache: cache).refs[.init(repo: repo, ref: "v1")]?.lastSeen == at(200).nanoseconds)
        note(ledger, ["main": commit("3")], 300)
        #expect(ledger.supersededCommits(cache: cache) == [repo: [commit("1"): at(200), commit("2"): at(300)]])
    }

    @Test func allOfARevisionIsForgotten() {
        let ledger = scratch.ledger()
        note(ledger, ["main": commit("1")], complete: [commit("1"), commit("2")], 100)
        note(ledger, ["main": commit("2")], 200)
        for digit: Character in ["1", "2"] {
            ledger.note(
                opens: [
                    RecordedOpen(repo: repo, thing: .revision(commit(digit)), time: at(80), source: .announced)
                ], cache: cache)
            ledger.noteFailedRepair(
                cache: cache, repo: repo, commit: commit(digit), file: "a", reason: "", at: at(30))
            ledger.note(
                hubAnswer: HubAnswer(
                    repo: repo, commit: commit(digit), file: "a", etag: "e", endpoint: "https://huggingface.co",
                    verdict: .confirmed, reason: "", askedAt: at(40)))
        }
        ledger.forget(revision: commit("1"), cache: cache, repo: repo)
        #expect(ledger.supersededCommits(cache: cache).isEmpty)
        #expect(ledger.completeOnce(cache: cache) == [repo: [commit("2")]])
        #expect(ledger.lastOpens(cache: cache)[repo]?.keys.map(\.self) == [.revision(commit("2"))])
        #expect(ledger.repairAttempts(cache: cache)[repo]?.map(\.commit) == [commit("2")])
        #expect(ledger.hubAnswers(askedSince: at(1))[repo]?.map(\.commit) == [commit("2")])
    }

    // MARK: the Hub, passes, repair

    @Test func answersOfTheHub() {
        let ledger = scratch.ledger()
        func answer(_ file: String, _ verdict: HubAnswer.Verdict, _ time: Int64, reason: String = "") -> HubAnswer {
            HubAnswer(
                repo: repo, commit: commit("1"), file: file, etag: "e", endpoint: "https://huggingface.co",
                verdict: verdict, reason: reason, askedAt: at(time))
        }
        ledger.note(hubAnswer: answer("a", .confirmed, 100))
        ledger.note(hubAnswer: answer("b", .refused, 50, reason: String(repeating: "x", count: 2000)))
        ledger.note(hubAnswer: answer("a", .none, 200, reason: "timed out"))
        #expect(ledger.hubAnswers(askedSince: at(60)) == [repo: [answer("a", .none, 200, reason: "timed out")]])
        #expect(ledger.hubAnswers(askedSince: at(1))[repo]?.count == 2)
        #expect(ledger.hubAnswers(repo: "models--x", askedSince: at(1)).isEmpty)
        let refused = ledger.hubAnswers(repo: repo, askedSince: at(1))[repo]?.first { $0.verdict == .refused }
        #expect(refused?.reason.utf8.count == 1024)
    }

    @Test func passesLastFirst() {
        let ledger = scratch.ledger()
        for number in 1...105 {
            ledger.note(
                pass: PassResult(
                    filesystem: .max, predicted: UInt64(number), appeared: 1, endedAt: at(Int64(number) * 10)))
        }
        ledger.note(pass: PassResult(filesystem: 7, predicted: .max, appeared: 0, endedAt: at(5)))
        #expect(ledger.passes(onFilesystem: .max, limit: 2).map(\.predicted) == [105, 104])
        #expect(ledger.passes(onFilesystem: .max, limit: 1000).count == 100)
        #expect(ledger.passes(onFilesystem: 7).first?.predicted == UInt64(Int64.max))
        #expect(ledger.passes(onFilesystem: 8).isEmpty)
    }

    @Test func failedRepairsAreCounted() {
        let ledger = scratch.ledger()
        for time in [Int64(10), 20, 30] {
            ledger.noteFailedRepair(
                cache: cache, repo: repo, commit: commit("1"), file: "a", reason: "try \(time)", at: at(time))
        }
        ledger.noteFailedRepair(cache: cache, repo: repo, commit: commit("1"), file: "b", reason: "", at: at(5))
        let found = ledger.repairAttempts(cache: cache)[repo]?.first { $0.file == "a" }
        #expect(found?.count == 3 && found?.reason == "try 30" && found?.lastAt == at(30))
        ledger.forgetFailedRepairs(cache: cache, repo: repo, commit: commit("1"), file: "a")
        #expect(ledger.repairAttempts(cache: cache)[repo]?.map(\.file) == ["b"])
        ledger.forgetFailedRepairs(cache: cache, repo: repo, commit: commit("1"))
        #expect(ledger.repairAttempts(cache: cache).isEmpty)
    }

    // MARK: policy and clock

    @Test func policiesThatWereReplaced() {
        var ledger = scratch.ledger()
        #expect(ledger.notePolicy(scope: "s", digest: "one", document: "pins: a", at: at(10)))
        ledger.notePolicy(scope: "s", digest: "one", document: "pins: a", at: at(20))
        ledger.notePolicy(scope: "other", digest: "x", document: "", at: at(20))
        ledger.notePolicy(scope: "s", digest: "two", document: "pins: b", at: at(30))
        ledger.close()
        ledger = scratch.ledger()
        #expect(
            ledger.policies(scope: "s") == [
                RememberedPolicy(digest: "two", document: "pins: b", appliedAt: at(30)),
                RememberedPolicy(digest: "one", document: "pins: a", appliedAt: at(10), replacedAt: at(30)),
            ])
        // Back to the first.
        ledger.notePolicy(scope: "s", digest: "one", document: "pins: a", at: at(40))
        #expect(ledger.policies(scope: "s").map(\.digest) == ["one", "two"])
        #expect(ledger.policies(scope: "s").first?.appliedAt == at(40))
        for number in 0..<1010 {
            ledger.notePolicy(scope: "s", digest: "n\(number)", document: "", at: at(50 + Int64(number)))
        }
        #expect(ledger.policies(scope: "s").count <= 1001 && ledger.policies(scope: "s").first?.digest == "n1009")
        #expect(ledger.policies(scope: "other").count == 1)
    }

    @Test func theClockOnlyGoesBackWhenItIsTrusted() {
        let ledger = scratch.ledger()
        func reading(_ time: Int64, _ sinceBoot: Int64 = 5, _ boot: String = "a") -> ClockReading {
            ClockReading(time: at(time), sinceBoot: sinceBoot, bootID: boot)
        }
        #expect(ledger.lastClock == nil)
        ledger.note(clock: reading(1000), isTrusted: false)
        ledger.note(clock: reading(500), isTrusted: false)
        #expect(ledger.lastClock == reading(1000))
        // Within a minute of the same start of the machine it is not worth a write.
        ledger.note(clock: reading(1030, 6), isTrusted: false)
        #expect(ledger.lastClock == reading(1000))
        ledger.note(clock: reading(1070, 7), isTrusted: false)
        #expect(ledger.lastClock == reading(1070, 7))
        ledger.note(clock: reading(1071, 1, "b"), isTrusted: false)
        #expect(ledger.lastClock == reading(1071, 1, "b"))
        ledger.note(clock: reading(500, 2, "b"), isTrusted: true)
        #expect(ledger.lastClock == reading(500, 2, "b"))
    }

    @Test func aClockThatJumpsIsNotBelieved() {
        let ledger = scratch.ledger()
        let minute: Int64 = 60_000_000_000
        func reading(_ minutes: Int64, _ sinceBoot: Int64, _ boot: String = "a") -> ClockReading {
            ClockReading(time: at(1000 + minutes * 60), sinceBoot: sinceBoot * minute, bootID: boot)
        }
        ledger.note(clock: reading(0, 10), isTrusted: false)
        // Five minutes passed, and the clock says a month.
        ledger.note(clock: reading(30 * 1440, 15), isTrusted: false)
        #expect(ledger.lastClock == reading(0, 10))
        // It stood still while a day passed.
        ledger.note(clock: reading(2, 1450), isTrusted: false)
        #expect(ledger.lastClock == reading(0, 10))
        ledger.note(clock: reading(1445, 1455), isTrusted: false)
        #expect(ledger.lastClock == reading(1445, 1455))
        // A reference has it jump.
        ledger.note(clock: reading(30 * 1440, 1460), isTrusted: true)
        #expect(ledger.lastClock == reading(30 * 1440, 1460))
    }

    // MARK: ageing and migration

    @Test func oldRowsGo() throws {
        let ledger = scratch.ledger()
        let old = ledgerNow - 401 * aDay
        note(ledger, ["main": commit("1")], complete: [commit("1")], old)
        note(ledger, ["v1": commit("2")], complete: [commit("2")], ledgerNow - 399 * aDay)
        ledger.note(pass: PassResult(filesystem: 1, predicted: 1, appeared: 1, endedAt: at(ledgerNow - 91 * aDay)))
        ledger.close()
        let again = scratch.ledger()
        // Writing forgets nothing by itself: nobody has judged the clock.
        again.note(clock: ClockReading(time: at(ledgerNow), sinceBoot: 1, bootID: "a"), isTrusted: true)
        #expect(again.completeOnce(cache: cache)[repo]?.count == 2)
        #expect(again.passes(onFilesystem: 1).count == 1)
        again.prune(now: at(ledgerNow))
        #expect(again.completeOnce(cache: cache) == [repo: [commit("2")]])
        #expect(again.passes(onFilesystem: 1).isEmpty)
    }

    @Test func theOldestGoWhenThereAreTooMany() throws {
        let ledger = scratch.ledger()
        for number in 1...20 {
            ledger.note(
                opens: [
                    RecordedOpen(
                        repo: repo, thing: .blob("b\(number)"), time: at(ledgerNow - Int64(number)), source: .watch)
                ], cache: cache)
        }
        ledger.close()
        let queue = try DatabaseQueue(path: scratch.database)
        try queue.inDatabase { try Housekeeping.limit($0, rowsKept: 5) }
        try queue.close()
        let left = scratch.ledger().lastOpens(cache: cache)[repo] ?? [:]
        #expect(Set(left.keys) == Set((1...5).map { .blob("b\($0)") }))
    }

    @Test func aLedgerOfTheFirstStepIsTakenOn() throws {
        // As the first version left it: its one step, and something in it.
        let ledger = scratch.ledger()
        ledger.remember(digests: [content(version(7), digest(1))])
        ledger.close()
        let first = try #require(Schema.steps.first)
        for name in Schema.steps.dropFirst().flatMap(\.objects).map(\.name) {
            try scratch.tamper("DROP TABLE \(name)")
        }
        try scratch.tamper("DELETE FROM grdb_migrations WHERE identifier <> '\(first.name)'")
        let readOnly = scratch.ledger(readOnly: true)
        #expect(readOnly.lastOpens(cache: cache).isEmpty)
        readOnly.close()
        let again = scratch.ledger()
        #expect(again.availability == .readWrite)
        #expect(again.digest(of: version(7), algorithm: .sha256)?.digest == digest(1))
        again.note(opens: [RecordedOpen(repo: repo, thing: .blob("x"), time: at(5), source: .watch)], cache: cache)
        #expect(again.lastOpens(cache: cache)[repo]?.count == 1)
        #expect(again.takeProblem() == nil)
    }
}
