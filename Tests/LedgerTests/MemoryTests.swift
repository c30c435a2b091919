import GRDB
import HubCache
import Testing

@testable import Ledger

@Suite struct DigestMemory {
    let scratch = Scratch()

    @Test func remembersAcrossOpenings() {
        var ledger = scratch.ledger()
        #expect(ledger.availability == .readWrite)
        let sha = content(version(7), digest(1))
        let git = content(version(7), digest(2, .gitSHA1), mismatched: nil)
        let high = content(version(.max, size: 0), digest(3), mismatched: true)
        #expect(ledger.remember(digests: [sha, git, high]) == 3)
        ledger.close()
        ledger = scratch.ledger()
        let found = ledger.digest(of: version(7), algorithm: .sha256)
        #expect(found?.digest == digest(1))
        #expect(found?.verifiedAt == sha.verifiedAt)
        #expect(found?.mismatched == false)
        let second = ledger.digest(of: version(7), algorithm: .gitSHA1)
        #expect(second?.digest == digest(2, .gitSHA1))
        #expect(second != nil && second?.mismatched == nil)
        #expect(ledger.digest(of: version(.max, size: 0), algorithm: .sha256)?.mismatched == true)
        #expect(ledger.digest(of: version(8), algorithm: .sha256) == nil)
        #expect(ledger.digest(of: version(.max, size: 0), algorithm: .gitSHA1) == nil)
        #expect(ledger.takeProblem() == nil)
    }

    @Test(arguments: [
        version(7, filesystem: 1), version(8), version(7, size: 4097), version(7, modified: 1_700_000_002),
        version(7, changed: 1_700_000_002),
    ])
    func anotherVersionIsUnknown(other: FileVersion) {
        let ledger = scratch.ledger()
        ledger.remember(digests: [content(version(7), digest(1), mismatched: true)])
        ledger.remember(badHeaders: [bad(version(7))])
        #expect(ledger.digest(of: version(7), algorithm: .sha256) != nil)
        #expect(ledger.badHeader(of: version(7)) != nil)
        #expect(ledger.digest(of: other, algorithm: .sha256) == nil)
        #expect(ledger.badHeader(of: other) == nil)
        for bulk in [
            ledger.digests(onFilesystem: other.filesystem), ledger.mismatchedDigests(onFilesystem: other.filesystem),
        ] {
            #expect(bulk.digest(of: other, algorithm: .sha256) == nil)
        }
        #expect(ledger.badHeaders(onFilesystem: other.filesystem).badHeader(of: other) == nil)
    }

    @Test func aNanosecondMakesAnotherVersion() {
        let ledger = scratch.ledger()
        ledger.remember(digests: [content(version(7), digest(1))])
        var other = version(7)
        other.changed.nanoseconds += 1
        #expect(ledger.digest(of: other, algorithm: .sha256) == nil)
    }

    @Test func laterReplacesEarlier() {
        let ledger = scratch.ledger()
        ledger.remember(digests: [content(version(7), digest(1), mismatched: true)])
        ledger.remember(digests: [content(version(7, size: 5), digest(2))])
        #expect(ledger.digest(of: version(7), algorithm: .sha256) == nil)
        #expect(ledger.digest(of: version(7, size: 5), algorithm: .sha256)?.digest == digest(2))
        #expect(ledger.mismatchedDigests(onFilesystem: version(7).filesystem).isEmpty)
    }

    @Test func bulkAnswersAsOneByOne() {
        let ledger = scratch.ledger()
        // Inodes on both sides of the sign bit, in no order, and another filesystem between.
        let inodes = (0..<500).map { UInt64($0) &* 0x9e37_79b9_7f4a_7c15 }
        var contents = inodes.map { content(version($0), digest($0), mismatched: $0 % 3 == 0) }
        contents += inodes.prefix(100).map { content(version($0), digest($0, .gitSHA1), mismatched: nil) }
        contents += inodes.prefix(50).map { content(version($0, filesystem: 3), digest($0 &+ 1)) }
        #expect(ledger.remember(digests: contents) == 650)
        let filesystem = version(0).filesystem
        let all = ledger.digests(onFilesystem: filesystem)
        #expect(all.count == 600)
        let wrong = ledger.mismatchedDigests(onFilesystem: filesystem)
        #expect(wrong.count == inodes.count { $0 % 3 == 0 })
        for inode in inodes {
            for algorithm in DigestAlgorithm.allCases {
                let one = ledger.digest(of: version(inode), algorithm: algorithm)
                #expect(all.digest(of: version(inode), algorithm: algorithm) == one)
                let isWrong = one?.mismatched == true
                #expect((wrong.digest(of: version(inode), algorithm: algorithm) != nil) == isWrong)
            }
        }
        var seen = 0
        wrong.forEach(onFilesystem: filesystem) { version, remembered in
            #expect(ledger.digest(of: version, algorithm: .sha256) == remembered)
            seen += 1
        }
        #expect(seen == wrong.count)
        #expect(ledger.digests(onFilesystem: 3).count == 50)
        #expect(ledger.digests(onFilesystem: 4).isEmpty)
    }

    @Test(arguments: [
        (0, 0, false), (-2, -2, true), (-2, -1, false), (-1, -2, false), (-3, 60, false), (60, -3, false),
        (-1_000_000, -1_000_000, true),
    ])
    func whatChangedJustBeforeIsNotRemembered(modified: Int64, changed: Int64, remembered: Bool) {
        let ledger = scratch.ledger()
        var file = version(7)
        file.modified = Timestamp(seconds: readAt.seconds + modified)
        file.changed = Timestamp(seconds: readAt.seconds + changed)
        #expect(ledger.remember(digests: [content(file, digest(1))]) == (remembered ? 1 : 0))
        #expect((ledger.digest(of: file, algorithm: .sha256) != nil) == remembered)
        #expect(ledger.remember(badHeaders: [bad(file)]) == (remembered ? 1 : 0))
        #expect((ledger.badHeader(of: file) != nil) == remembered)
    }

    @Test func extremeValuesAreTaken() {
        let ledger = scratch.ledger()
        var file = version(.max, filesystem: .max, size: UInt64(Int64.max))
        file.modified = Timestamp(nanoseconds: .min)
        file.changed = Timestamp(nanoseconds: .min)
        #expect(ledger.remember(digests: [content(file, digest(1))]) == 1)
        #expect(ledger.digest(of: file, algorithm: .sha256) != nil)
        file.size = .max
        #expect(ledger.remember(digests: [content(file, digest(1))]) == 0)
        #expect(ledger.digest(of: file, algorithm: .sha256) == nil)
        let early = content(version(1), digest(1), at: Timestamp(nanoseconds: .min))
        #expect(ledger.remember(digests: [early]) == 0)
        #expect(ledger.remember(digests: []) == 0)
        #expect(ledger.takeProblem() == nil)
    }

    @Test(arguments: [
        "digest = x'00'", "digest = zeroblob(33)", "digest = 'text that has thirty-two bytes ...'", "digest = 5",
        "size = -1", "size = 'large'", "size = 4096.5", "modified = 'now'", "changed = x'00'", "mismatched = 2",
        "mismatched = 'yes'", "verified_at = -1", "verified_at = 0", "verified_at = 'x'", "algorithm = 3",
        "algorithm = 2", "algorithm = 'sha256'", "verified_at = 1760086400000000001",
        "verified_at = 9223372036854775807", "inode = 'seven'",
    ])
    func valuesThatThisProgramDidNotWriteAreIgnored(change: String) throws {
        var ledger = scratch.ledger()
        ledger.remember(digests: [content(version(7), digest(1), mismatched: true), content(version(9), digest(2))])
        ledger.close()
        try scratch.tamper("UPDATE content SET \(change) WHERE inode = 7")
        ledger = scratch.ledger()
        #expect(ledger.digest(of: version(7), algorithm: .sha256) == nil)
        #expect(ledger.digest(of: version(7), algorithm: .gitSHA1) == nil)
        let all = ledger.digests(onFilesystem: version(7).filesystem)
        #expect(all.digest(of: version(7), algorithm: .sha256) == nil)
        #expect(all.digest(of: version(9), algorithm: .sha256)?.digest == digest(2))
        #expect(ledger.mismatchedDigests(onFilesystem: version(7).filesystem).isEmpty)
        #expect(ledger.takeProblem() == nil)
    }

    @Test func aGiganticValueIsNotLoaded() throws {
        var ledger = scratch.ledger()
        ledger.remember(digests: [content(version(7), digest(1))])
        ledger.close()
        try scratch.tamper("UPDATE content SET digest = zeroblob(50000000)")
        ledger = scratch.ledger()
        #expect(ledger.digests(onFilesystem: version(7).filesystem).isEmpty)
        #expect(ledger.digest(of: version(7), algorithm: .sha256) == nil)
    }
}

@Suite struct HeaderMemory {
    let scratch = Scratch()

    @Test func remembersBadHeaders() {
        var ledger = scratch.ledger()
        let long = String(repeating: "é", count: 5000)
        ledger.remember(badHeaders: [bad(version(7), detail: "8 > 4\0\n"), bad(version(8), detail: long, offset: nil)])
        ledger.close()
        ledger = scratch.ledger()
        let found = ledger.badHeader(of: version(7))
        #expect(found?.verdict == bad(version(7), detail: "8 > 4\0\n").verdict)
        #expect(found?.seenAt == readAt)
        let cut = ledger.badHeader(of: version(8))
        #expect(cut?.verdict.detail.utf8.count == 4096)
        #expect(cut != nil && cut?.verdict.offset == nil)
        let all = ledger.badHeaders(onFilesystem: version(7).filesystem)
        #expect(all.count == 2)
        #expect(all.badHeader(of: version(7)) == found)
        #expect(ledger.badHeaders(onFilesystem: 1).isEmpty)
    }

    @Test func anotherProgramVersionJudgesAnew() {
        let old = scratch.ledger(version: "1.0")
        old.remember(badHeaders: [bad(version(7))])
        let new = scratch.ledger(version: "1.1")
        #expect(new.badHeader(of: version(7)) == nil)
        #expect(new.badHeaders(onFilesystem: version(7).filesystem).isEmpty)
        new.remember(badHeaders: [bad(version(7), detail: "new")])
        #expect(new.badHeader(of: version(7))?.verdict.detail == "new")
        #expect(old.badHeader(of: version(7)) == nil)
    }

    @Test func forgets() {
        let ledger = scratch.ledger()
        ledger.remember(badHeaders: [bad(version(7)), bad(version(8))])
        ledger.forgetBadHeader(of: version(7, size: 1))
        ledger.forgetBadHeader(of: version(9))
        #expect(ledger.badHeader(of: version(7)) == nil)
        #expect(ledger.badHeader(of: version(8)) != nil)
    }

    @Test(arguments: [
        "code = ''", "code = 'Not A Code'", "code = x'35'", "code = CAST(x'ff' AS TEXT)", "reason = x'00'",
        "detail = CAST(x'fffe' AS TEXT)", "detail = hex(zeroblob(4000))", "offset = -1", "offset = 'x'", "seen_at = 0",
        "seen_at = 9223372036854775807", "size = -4096",
    ])
    func valuesThatThisProgramDidNotWriteAreIgnored(change: String) throws {
        var ledger = scratch.ledger()
        ledger.remember(badHeaders: [bad(version(7)), bad(version(8))])
        ledger.close()
        try scratch.tamper("UPDATE header_verdict SET \(change) WHERE inode = 7")
        ledger = scratch.ledger()
        #expect(ledger.badHeader(of: version(7)) == nil)
        #expect(ledger.badHeaders(onFilesystem: version(7).filesystem).count == 1)
        #expect(ledger.takeProblem() == nil)
    }
}

@Suite struct PartialMemory {
    let scratch = Scratch()
    let cache = BytePath("/caches/hub")
    let repo = "models--org--name"

    @Test func remembersAndForgets() {
        var ledger = scratch.ledger()
        ledger.notePartials(cache: cache, repo: repo, etags: ["a", "b", "c"], at: readAt)
        ledger.notePartials(cache: cache, repo: repo, etags: ["d"], at: readAt)
        ledger.notePartials(cache: cache, repo: "models--other", etags: ["x"], at: readAt)
        ledger.notePartials(cache: BytePath("/elsewhere"), repo: repo, etags: ["y"], at: readAt)
        ledger.close()
        ledger = scratch.ledger()
        #expect(ledger.seenPartials(cache: cache, repo: repo) == ["a", "b", "c", "d"])
        ledger.forgetPartials(cache: cache, repo: repo, etags: ["a", "zzz"])
        #expect(ledger.seenPartials(cache: cache, repo: repo) == ["b", "c", "d"])
        ledger.forgetPartials(cache: cache, repo: repo)
        #expect(ledger.seenPartials(cache: cache, repo: repo) == [])
        #expect(ledger.seenPartials(cache: cache, repo: "models--other") == ["x"])
        #expect(ledger.seenPartials(cache: BytePath("/elsewhere"), repo: repo) == ["y"])
    }

    @Test func aFolderFullOfInventedNamesIsBounded() {
        let ledger = scratch.ledger()
        ledger.notePartials(cache: cache, repo: repo, etags: (0..<6000).map { "e\($0)" }, at: readAt)
        ledger.notePartials(cache: cache, repo: repo, etags: (0..<6000).map { "f\($0)" }, at: readAt)
        #expect(ledger.seenPartials(cache: cache, repo: repo).count == 4096)
    }

    @Test func unusableNamesAreNotRemembered() {
        let ledger = scratch.ledger()
        let long = String(repeating: "x", count: 256)
        ledger.notePartials(cache: cache, repo: repo, etags: ["", long, "n\0l", "good"], at: readAt)
        #expect(ledger.seenPartials(cache: cache, repo: repo) == ["good"])
        for (cache, repo) in [
            (BytePath(bytes: [0x2f, 0xff]), repo), (cache, long), (cache, ""), (BytePath.empty, repo),
        ] {
            ledger.notePartials(cache: cache, repo: repo, etags: ["a"], at: readAt)
            #expect(ledger.seenPartials(cache: cache, repo: repo) == [])
            ledger.forgetPartials(cache: cache, repo: repo)
        }
        #expect(ledger.takeProblem() == nil)
    }

    @Test func aLaterSightIsKept() throws {
        let ledger = scratch.ledger()
        let later = Timestamp(seconds: readAt.seconds + 2 * aDay)
        ledger.notePartials(cache: cache, repo: repo, etags: ["a", "b"], at: readAt)
        ledger.notePartials(cache: cache, repo: repo, etags: ["a"], at: later)
        ledger.notePartials(cache: cache, repo: repo, etags: ["a"], at: readAt)
        let rows = try DatabaseQueue(path: scratch.database).read {
            try Row.fetchAll($0, sql: "SELECT etag, first_seen, last_seen FROM partial_seen ORDER BY etag")
        }
        #expect(rows.map { $0[1] as Int64 } == [readAt.nanoseconds, readAt.nanoseconds])
        #expect(rows.map { $0[2] as Int64 } == [later.nanoseconds, readAt.nanoseconds])
    }
}

@Suite struct Pruning {
    let scratch = Scratch()

    private func rows(_ table: String) throws -> Int {
        try DatabaseQueue(path: scratch.database).read {
            try Int.fetchOne($0, sql: "SELECT count(*) FROM \(table)") ?? 0
        }
    }

    @Test func partialsNotSeenForLongAreForgottenWhenTold() throws {
        var ledger = scratch.ledger()
        let cache = BytePath("/c")
        let now: Int64 = 1_760_000_000
        ledger.notePartials(cache: cache, repo: "r", etags: ["now"], at: Timestamp(seconds: now))
        ledger.notePartials(cache: cache, repo: "r", etags: ["old"], at: Timestamp(seconds: now - 91 * aDay))
        ledger.notePartials(cache: cache, repo: "r", etags: ["young"], at: Timestamp(seconds: now - 89 * aDay))
        #expect(try rows("partial_seen") == 3)
        ledger.close()
        ledger = scratch.ledger()
        #expect(ledger.seenPartials(cache: cache, repo: "r").count == 3)
        // Nobody has judged the clock: a write forgets nothing.
        ledger.notePartials(cache: cache, repo: "other", etags: ["x"], at: Timestamp(seconds: now))
        #expect(ledger.seenPartials(cache: cache, repo: "r").count == 3)
        ledger.prune(now: Timestamp(seconds: now))
        #expect(ledger.seenPartials(cache: cache, repo: "r") == ["now", "young"])
    }

    @Test func oldDigestsGoOnlyWhenThereAreMany() throws {
        let ledger = scratch.ledger()
        let now = Timestamp(seconds: 1_760_000_000)
        let old = Timestamp(seconds: now.seconds - 401 * aDay)
        let many = (0..<300).map {
            content(version($0, modified: 1, changed: 1), digest($0), at: $0 < 100 ? old : readAt)
        }
        ledger.remember(digests: many)
        func prune(keeping kept: Int64) throws {
            let queue = try DatabaseQueue(path: scratch.database)
            try queue.write { try Housekeeping.prune($0, now: now, contentKept: kept) }
            try queue.close()
        }
        try prune(keeping: Housekeeping.contentKept)
        #expect(try rows("content") == 300)
        try prune(keeping: 300)
        #expect(try rows("content") == 300)
        try prune(keeping: 299)
        #expect(try rows("content") == 200)
        #expect(ledger.digest(of: many[150].version, algorithm: .sha256) != nil)
        #expect(ledger.digest(of: many[50].version, algorithm: .sha256) == nil)
    }
}
