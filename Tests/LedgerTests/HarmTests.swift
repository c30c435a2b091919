import GRDB
import Glibc
import HubCache
import Testing

@testable import Ledger

/// What can stand where a ledger should be, and that none of it does harm.
@Suite struct Harm {
    let scratch = Scratch()
    let known = version(7)

    /// Makes a ledger that knows one file.
    private func begin() {
        let ledger = scratch.ledger()
        #expect(ledger.remember(digests: [content(known, digest(1))]) == 1)
        ledger.close()
    }

    private func expectUseless(_ ledger: Ledger, _ comment: Comment) {
        #expect(ledger.digest(of: known, algorithm: .sha256) == nil, comment)
        #expect(ledger.digests(onFilesystem: known.filesystem).isEmpty, comment)
        #expect(ledger.remember(digests: [content(known, digest(1))]) == 0, comment)
        #expect(ledger.badHeader(of: known) == nil, comment)
        #expect(ledger.remember(badHeaders: [bad(known)]) == 0, comment)
        ledger.forgetBadHeader(of: known)
        ledger.notePartials(cache: BytePath("/c"), repo: "r", etags: ["a"], at: readAt)
        #expect(ledger.seenPartials(cache: BytePath("/c"), repo: "r").isEmpty, comment)
        ledger.forgetPartials(cache: BytePath("/c"), repo: "r")
    }

    private func expectWorks(_ ledger: Ledger, _ comment: Comment) {
        #expect(ledger.availability == .readWrite, comment)
        #expect(ledger.remember(digests: [content(known, digest(1))]) == 1, comment)
        #expect(ledger.digest(of: known, algorithm: .sha256) != nil, comment)
    }

    @Test func filesAndFoldersArePrivate() {
        #expect(output(of: "umask").hasPrefix("0"))
        begin()
        #expect(output(of: "stat -c %a '\(scratch.path)/state'") == "700\n")
        #expect(output(of: "stat -c %a '\(scratch.database)'") == "600\n")
        #expect(output(of: "stat -c %a '\(scratch.path)/state/ledger.lock'") == "600\n")
        let ledger = scratch.ledger()
        ledger.remember(digests: [content(known, digest(1))])
        #expect(!output(of: "stat -c %a '\(scratch.path)'/state/*").contains("4\n"))
    }

    @Test(arguments: [
        "", "x", "xx", "/dev/urandom 100", "/dev/urandom 4096", "/dev/urandom 1000000", "/dev/zero 10000",
    ])
    func whatIsNoDatabaseIsPutAside(source: String) {
        begin()
        let parts = source.split(separator: " ")
        switch parts.count {
        case 2: shell("head -c \(parts[1]) \(parts[0]) > '\(scratch.database)'")
        default: shell("printf '\(source)' > '\(scratch.database)'")
        }
        let ledger = scratch.ledger()
        expectWorks(ledger, "\(source)")
        let problem = ledger.takeProblem()
        if source.utf8.count < 2 {
            // SQLite takes no bytes, and one, for a new database.
            #expect(problem == nil)
        } else {
            #expect(scratch.names.contains("ledger.sqlite.damaged-1"))
            #expect(problem?.contains("is kept as ledger.sqlite.damaged-1") == true)
        }
        #expect(ledger.takeProblem() == nil)
    }

    @Test(arguments: [2, 50, 99, 100, 1000, 4096, 5000, 8192, 20000])
    func aTruncatedDatabaseIsReplaced(length: Int) {
        let ledger = scratch.ledger()
        ledger.remember(digests: (0..<2000).map { content(version($0), digest($0)) })
        ledger.close()
        shell("truncate -s \(length) '\(scratch.database)'")
        let again = scratch.ledger()
        _ = again.digests(onFilesystem: known.filesystem)
        expectWorks(again, "\(length)")
        #expect(scratch.names.contains("ledger.sqlite.damaged-1"))
    }

    @Test func everyDamagedByteIsHarmless() {
        let original = scratch.ledger()
        original.remember(digests: (0..<300).map { content(version($0), digest($0), mismatched: $0 == 5) })
        original.remember(badHeaders: (0..<50).map { bad(version($0)) })
        original.close()
        shell("cp '\(scratch.database)' '\(scratch.path)/sound'")
        let size = Int(output(of: "stat -c %s '\(scratch.database)'").dropLast()) ?? 0
        // Three bytes of garbage every so often, from the header through tables and free pages.
        for offset in stride(from: 16, to: size, by: 997) {
            shell(
                """
                rm -f '\(scratch.path)'/state/*; cp '\(scratch.path)/sound' '\(scratch.database)'; chmod 600 '\(scratch.database)'
                printf '\\377\\201\\007' | dd of='\(scratch.database)' bs=1 seek=\(offset) conv=notrunc status=none
                """)
            let ledger = scratch.ledger()
            let all = ledger.digests(onFilesystem: known.filesystem)
            _ = ledger.mismatchedDigests(onFilesystem: known.filesystem)
            _ = ledger.badHeaders(onFilesystem: known.filesystem)
            var wrong = 0
            for inode in UInt64(0)..<300 {
                if let found = all.digest(of: version(inode), algorithm: .sha256), found.digest != digest(inode) {
                    wrong += 1
                }
            }
            // A digest's own bytes are not protected by anything; one row can be hit at most, by three bytes.
            #expect(wrong <= 1, "at \(offset)")
            ledger.remember(digests: [content(known, digest(1))])
            if case .unavailable = ledger.availability { continue }
            ledger.remember(digests: [content(known, digest(1))])
            let found = ledger.digest(of: known, algorithm: .sha256)
            #expect(found == nil || found?.digest == digest(1), "at \(offset)")
        }
    }

    @Test func damageFoundInAQueryIsPutAsideAndForgotten() throws {
        let ledger = scratch.ledger()
        ledger.remember(digests: (0..<2000).map { content(version($0), digest($0)) })
        ledger.close()
        // Schema and first pages stay as they are; the table's leaves are gone.
        shell("dd if=/dev/urandom of='\(scratch.database)' bs=4096 seek=30 count=20 conv=notrunc status=none")
        let again = scratch.ledger()
        #expect(again.availability == .readWrite)
        #expect(again.takeProblem() == nil)
        #expect(again.digests(onFilesystem: known.filesystem).isEmpty)
        #expect(again.takeProblem()?.contains("is kept as ledger.sqlite.damaged-1") == true)
        expectWorks(again, "after the damage")
    }

    /// Who judges by what it says sees that it says less than before.
    @Test func whatIsLostWhileItIsOpenIsCounted() throws {
        begin()
        let ledger = scratch.ledger()
        #expect(ledger.digest(of: known, algorithm: .sha256) != nil)
        #expect(ledger.losses == 0)
        #expect(output(of: "rm '\(scratch.database)'*") == "")
        #expect(ledger.digest(of: known, algorithm: .sha256) == nil)
        #expect(ledger.losses == 1)
        #expect(ledger.takeProblem()?.contains("was taken away") ?? false)
        expectWorks(ledger, "it begins anew")
        #expect(ledger.losses == 1)
    }

    @Test func noMoreThanThreeDamagedOnesAreKept() {
        for round in 1...6 {
            shell("mkdir -p '\(scratch.path)/state'; printf 'round \(round)' > '\(scratch.database)'")
            shell("chmod 600 '\(scratch.database)'; printf old > '\(scratch.database)-wal'")
            let ledger = scratch.ledger()
            expectWorks(ledger, "round \(round)")
            ledger.close()
        }
        let aside = scratch.names.filter { $0.contains("damaged") && !$0.hasSuffix("-wal") }
        #expect(aside.sorted() == (1...3).map { "ledger.sqlite.damaged-\($0)" })
        let kept = Set(aside.map { output(of: "cat '\(scratch.path)/state/\($0)'") })
        #expect(kept == ["round 4", "round 5", "round 6"])
    }

    @Test func aFolderInTheWayOfTheDamagedOneIsPassedOver() {
        shell("mkdir -p '\(scratch.database).damaged-1/x'; printf garbage > '\(scratch.database)'")
        expectWorks(scratch.ledger(), "folder in the way")
        #expect(scratch.names.contains("ledger.sqlite.damaged-2"))
    }

    @Test(arguments: [
        ("mkdir D", "it is a directory"), ("mkfifo D", "it is a fifo"), ("ln -s elsewhere D", "it is a symbolic link"),
        ("ln -s D D", "it is a symbolic link"), ("ln -s ../target D", "it is a symbolic link"),
        ("mkfifo D-wal", "its ledger.sqlite-wal is a fifo"),
        ("ln -s ../target D-shm", "its ledger.sqlite-shm is a symbolic link"),
        ("mkdir D-journal", "its ledger.sqlite-journal is a directory"),
    ])
    func whatIsNoFileIsLeftAlone(command: String, reason: String) {
        shell("mkdir -p '\(scratch.path)/state'; printf precious > '\(scratch.path)/target'")
        shell("cd '\(scratch.path)/state'; \(command.replacing("D", with: "ledger.sqlite"))")
        let ledger = scratch.ledger()
        #expect(ledger.availability == .unavailable(reason: reason))
        expectUseless(ledger, "\(command)")
        #expect(ledger.takeProblem() == "the ledger '\(scratch.database)' is not used: \(reason)")
        #expect(ledger.takeProblem() == nil)
        #expect(output(of: "cat '\(scratch.path)/target'") == "precious")
        #expect(!scratch.names.contains { $0.contains("damaged") })
    }

    @Test func aLockThatIsNoFileOnlyHindersMaking() {
        shell("mkdir -p '\(scratch.path)/state/ledger.lock'")
        let ledger = scratch.ledger()
        expectUseless(ledger, "lock is a folder")
        #expect(ledger.takeProblem() != nil)
        shell("rmdir '\(scratch.path)/state/ledger.lock'")
        begin()
        shell("rm '\(scratch.path)/state/ledger.lock'; mkfifo '\(scratch.path)/state/ledger.lock'")
        #expect(scratch.ledger().digest(of: known, algorithm: .sha256) != nil)
    }

    @Test func othersMustNotBeAbleToWriteToIt() {
        begin()
        shell("chmod 620 '\(scratch.database)'")
        let ledger = scratch.ledger()
        expectUseless(ledger, "writable by others")
        #expect(ledger.takeProblem()?.contains("other users may write to it") == true)
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give files away"))
    func anotherUsersLedgerIsNotBelieved() {
        begin()
        shell("chown 65534 '\(scratch.database)'")
        expectUseless(scratch.ledger(), "file")
        shell("chown 0 '\(scratch.database)'; chown 65534 '\(scratch.path)/state'")
        expectUseless(scratch.ledger(), "folder")
        shell("rm -rf '\(scratch.path)/state'; chown 65534 '\(scratch.path)'")
        expectUseless(scratch.ledger(), "the folder above")
        #expect(output(of: "ls -A '\(scratch.path)'").isEmpty)
    }

    @Test func aMissingHomeIsNotMade() {
        let directory = BytePath(scratch.path + "/home/user/.local/state/hfjanitor")
        let ledger = Ledger.open(directory: directory, programVersion: "1")
        expectUseless(ledger, "no home")
        #expect(output(of: "ls -A '\(scratch.path)'").isEmpty)
        shell("mkdir -p '\(scratch.path)/home/user'")
        expectWorks(Ledger.open(directory: directory, programVersion: "1"), "home")
    }

    @Test(arguments: ["/dev/null", "/proc/self", "relative/path", "/dev/null/x"])
    func foldersThatCannotHoldOne(path: String) {
        expectUseless(Ledger.open(directory: BytePath(path), programVersion: "1"), "\(path)")
    }

    @Test func aNewerVersionsLedgerIsLeftAlone() throws {
        begin()
        try scratch.tamper("INSERT INTO grdb_migrations VALUES ('2-future'); ALTER TABLE content ADD COLUMN more TEXT")
        let before = output(of: "sha256sum '\(scratch.database)'")
        let ledger = scratch.ledger()
        #expect(ledger.availability == .unavailable(reason: "a newer version of this program made it"))
        expectUseless(ledger, "newer")
        #expect(output(of: "sha256sum '\(scratch.database)'") == before)
    }

    @Test(arguments: [
        "CREATE TABLE grdb_migrations(identifier TEXT); CREATE TABLE content(x)",
        "CREATE TABLE notes(text)",
        "CREATE VIEW content AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        "CREATE VIEW grdb_migrations AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS identifier FROM n",
        "CREATE TABLE grdb_migrations(identifier BLOB); INSERT INTO grdb_migrations VALUES (x'00')",
        "CREATE TABLE grdb_migrations(identifier TEXT); INSERT INTO grdb_migrations VALUES ('1-content-headers-partials')",
    ])
    func anotherProgramsDatabaseIsLeftAlone(schema: String) throws {
        shell("mkdir -p '\(scratch.path)/state'")
        try scratch.tamper(schema)
        shell("chmod 600 '\(scratch.database)'")
        let before = output(of: "sha256sum '\(scratch.database)'")
        let ledger = scratch.ledger()
        #expect(ledger.availability == .unavailable(reason: "this program did not make it"))
        expectUseless(ledger, "\(schema)")
        #expect(output(of: "sha256sum '\(scratch.database)'") == before)
    }

    @Test(arguments: [
        "CREATE TRIGGER t AFTER INSERT ON content BEGIN DELETE FROM content; END",
        "DROP INDEX content_mismatched", "ALTER TABLE content ADD COLUMN more TEXT", "DROP TABLE partial_seen",
        "ALTER TABLE content RENAME TO c; CREATE VIEW content AS SELECT * FROM c",
        "CREATE UNIQUE INDEX more ON content(inode)",
    ])
    func aChangedSchemaIsNotBelieved(change: String) throws {
        begin()
        try scratch.tamper(change)
        let ledger = scratch.ledger()
        #expect(ledger.availability == .unavailable(reason: "this program did not make it"))
        expectUseless(ledger, "\(change)")
    }

    @Test func statisticsAreNoChange() throws {
        begin()
        try scratch.tamper("ANALYZE")
        expectWorks(scratch.ledger(), "analyzed")
    }

    @Test func theSchemaIsAsSQLiteKeepsIt() throws {
        let queue = try DatabaseQueue()
        #expect(try queue.inDatabase(Schema.layout) == .empty)
        for step in Schema.steps {
            try Schema.migrator.migrate(queue, upTo: step.name)
            let expected: Schema.Layout = step.name == Schema.steps.last?.name ? .current : .older
            #expect(try queue.inDatabase(Schema.layout) == expected)
        }
    }

    @Test func readOnlyMakesNothing() {
        let none = scratch.ledger(readOnly: true)
        #expect(none.availability == .absent)
        expectUseless(none, "absent")
        #expect(none.takeProblem() == nil)
        #expect(output(of: "ls -A '\(scratch.path)'").isEmpty)
        begin()
        let ledger = scratch.ledger(readOnly: true)
        #expect(ledger.availability == .readOnly(reason: nil))
        #expect(ledger.digest(of: known, algorithm: .sha256) != nil)
        #expect(ledger.remember(digests: [content(version(8), digest(1))]) == 0)
        #expect(ledger.takeProblem() == nil)
        ledger.close()
        shell("printf garbage > '\(scratch.database)'")
        expectUseless(scratch.ledger(readOnly: true), "damaged")
        #expect(!scratch.names.contains { $0.contains("damaged") })
        shell(": > '\(scratch.database)'")
        let empty = scratch.ledger(readOnly: true)
        #expect(empty.availability == .absent)
        #expect(empty.takeProblem() == nil)
    }

    @Test func whereItCannotBeWrittenItIsRead() async {
        begin()
        // Root may write everywhere, so a child becomes somebody else first.
        let path = scratch.path
        if geteuid() == 0 { shell("chown -R 65534:65534 '\(path)'") }
        shell("chmod 500 '\(path)/state'; chmod 400 '\(path)/state/ledger.sqlite'")
        await #expect(processExitsWith: .success) { [path = path as String] in
            if geteuid() == 0 {
                #expect(setgid(65534) == 0 && setuid(65534) == 0)
            }
            let state = BytePath(path + "/state")
            let ledger = Ledger.open(directory: state, programVersion: "1")
            guard case .readOnly(.some) = ledger.availability else {
                Issue.record("\(ledger.availability)")
                return
            }
            #expect(ledger.takeProblem()?.contains("can only be read") == true)
            #expect(ledger.takeProblem() == nil)
            #expect(ledger.digest(of: version(7), algorithm: .sha256)?.digest == digest(1))
            #expect(ledger.digests(onFilesystem: version(7).filesystem).count == 1)
            #expect(ledger.remember(digests: [content(version(8), digest(1))]) == 0)
            ledger.close()
            shell("chmod 700 '\(path)/state'; rm '\(path)'/state/*; chmod 500 '\(path)/state'")
            let none = Ledger.open(directory: state, programVersion: "1")
            #expect(none.availability == .unavailable(reason: "its folder cannot be written to"))
            shell(
                "chmod 700 '\(path)/state'; printf garbage > '\(path)/state/ledger.sqlite'; chmod 500 '\(path)/state'")
            let damaged = Ledger.open(directory: state, programVersion: "1")
            #expect(damaged.digest(of: version(7), algorithm: .sha256) == nil)
            #expect(output(of: "ls '\(path)/state'") == "ledger.sqlite\n")
            shell("chmod 0 '\(path)/state'")
            let closed = Ledger.open(directory: state, programVersion: "1")
            #expect(closed.availability == .unavailable(reason: "its folder cannot be opened: Permission denied"))
        }
    }

    @Test func removedWhileOpenItIsMadeAnew() {
        let ledger = scratch.ledger()
        ledger.remember(digests: [content(known, digest(1))])
        shell("rm -rf '\(scratch.path)/state'")
        #expect(ledger.digest(of: known, algorithm: .sha256) == nil)
        expectWorks(ledger, "made anew")
        #expect(scratch.names.contains("ledger.sqlite"))
        #expect(ledger.takeProblem()?.contains("was taken away") ?? false)
    }

    @Test func closedItRemembersNothing() {
        let ledger = scratch.ledger()
        ledger.close()
        ledger.close()
        #expect(ledger.availability == .closed)
        expectUseless(ledger, "closed")
        expectUseless(.disabled, "disabled")
        #expect(Ledger.disabled.takeProblem() == nil)
    }
}
