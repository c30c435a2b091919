internal import GRDB
internal import Glibc
public import HubCache
internal import Synchronization

/// What hfjanitor remembers between runs: digests, bad header verdicts, the partial downloads it has seen, who used what, what
/// refs named, what was complete, what the Hub said, and which policies there were.
///
/// A ledger is memory, never the truth. Verdicts on content can be found out again by reading the cache; history cannot, and
/// whoever asks for it has to take what is not remembered for not known, which protects. So no call fails. When
/// the database is missing, locked, damaged, read-only or made by a newer version, questions are answered with nil or
/// nothing, what should be remembered is not, and `takeProblem()` has one sentence for the user.
///
/// Several processes may use one ledger at once. All calls block the calling thread, for at most two seconds in all while
/// other processes are in the way (then they go on without; the allowance comes back slowly). They may come from any
/// thread and run one after the other. On a filesystem that is all but full they take turns: each call opens the database
/// for itself alone.
///
/// What is read is believed only as far as it has the right types and ranges. A database that belongs to another user, that
/// others may write to, or whose schema is not exactly this program's, is not used and not touched.
public final class Ledger: Sendable {
    /// What the ledger can do at the moment.
    public enum Availability: Sendable, Hashable {
        /// It answers and remembers.
        case readWrite
        /// It answers, but nothing is remembered; the reason is nil when that was asked for.
        case readOnly(reason: String?)
        /// There is no ledger yet and none was to be made. It remembers nothing, and that is no problem.
        case absent
        /// It remembers nothing, for this reason.
        case unavailable(reason: String)
        /// It was closed.
        case closed
    }

    /// The program's version, which header verdicts depend on.
    let programVersion: String
    /// The time of day.
    let now: @Sendable () -> Timestamp
    private let core: Mutex<Core>

    /// - Parameters:
    ///   - sharesMemory: whether a write-ahead log may be used; nil asks the folder's filesystem.
    ///   - freeBytes: how much room the folder's filesystem has; nil asks it.
    init(
        directory: BytePath?, programVersion: String, readOnly: Bool, budget: WaitBudget, sharesMemory: Bool? = nil,
        freeBytes: (@Sendable () -> UInt64)? = nil, now: @escaping @Sendable () -> Timestamp
    ) {
        self.programVersion = programVersion
        self.now = now
        self.core = Mutex(
            Core(
                directory: directory, readOnly: readOnly, budget: budget, sharesMemory: sharesMemory,
                freeBytes: freeBytes))
        core.withLock {
            $0.connect()
            $0.giveWay()
        }
    }

    /// Opens the ledger of a folder, and makes both where they are missing.
    ///
    /// The database is `ledger.sqlite`, mode 0600, in a folder made with mode 0700. One that SQLite finds damaged is renamed
    /// to `ledger.sqlite.damaged-1` to `-3` (the one that was put aside first gives way to a fourth), and a new one is begun.
    /// Anything else that is wrong leaves it untouched.
    ///
    /// - Parameters:
    ///   - directory: an absolute path, see `LedgerLocation`; nil gives a ledger that remembers nothing.
    ///   - programVersion: header verdicts of other versions are not believed.
    ///   - readOnly: make nothing, move nothing, remember nothing new.
    /// - Returns: always a usable object; see `availability` and `takeProblem()`.
    public static func open(directory: BytePath?, programVersion: String, readOnly: Bool = false) -> Ledger {
        Ledger(
            directory: directory, programVersion: programVersion, readOnly: readOnly, budget: WaitBudget(),
            now: wallClock)
    }

    /// A ledger that remembers nothing and has no problem with it.
    public static var disabled: Ledger {
        let ledger = Ledger(
            directory: nil, programVersion: "", readOnly: true, budget: WaitBudget(), now: wallClock)
        ledger.close()
        _ = ledger.takeProblem()
        return ledger
    }

    /// What the ledger can do at the moment.
    public var availability: Availability { core.withLock { $0.availability } }

    /// How many times its memory could not be read, or was lost: nothing that was judged before such a time is to be acted on.
    public var losses: Int { core.withLock { $0.losses } }

    /// The sentence to print, if there is one that was not taken yet. The same one is not given twice.
    public func takeProblem() -> String? {
        core.withLock { core in
            guard !core.problems.isEmpty else { return nil }
            return core.problems.removeFirst()
        }
    }

    /// Closes the database. Later calls find nothing and remember nothing. Closing twice is harmless.
    public func close() {
        core.withLock { core in
            core.disconnect()
            core.availability = .closed
        }
    }

    /// Asks the database.
    ///
    /// - Parameters:
    ///   - fallback: the answer when there is none.
    ///   - body: runs on the connection's queue.
    func read<Answer: Sendable>(_ fallback: Answer, _ body: (Database) throws -> Answer) -> Answer {
        core.withLock { core in core.perform(forWriting: false, body) ?? fallback }
    }

    /// Changes the database in one short transaction.
    ///
    /// - Returns: what `body` gave, or nil when nothing was changed.
    func write<Answer: Sendable>(_ body: (Database) throws -> Answer) -> Answer? {
        core.withLock { core in
            let isFirst = !core.wasHousekept
            let answer: Answer? = core.perform(forWriting: true) { database in
                var answer: Answer?
                try database.inTransaction(.immediate) {
                    answer = try body(database)
                    if isFirst { try Housekeeping.limit(database) }
                    return .commit
                }
                return answer
            }
            if answer != nil { core.wasHousekept = true }
            return answer
        }
    }
}

/// The connection and what became of it. Lives under the ledger's mutex.
private struct Core: Sendable {
    private let directory: BytePath?
    private let readOnly: Bool
    private let budget: WaitBudget
    private let sharesMemory: Bool?
    private let freeBytes: (@Sendable () -> UInt64)?

    private var folder: StateFolder?
    private var queue: DatabaseQueue?
    private var identity: FileIdentity?
    /// When a ledger that could not be used is worth another look. A daemon outlives a full disk or a stuck process.
    private var nextAttempt: Int64 = 0
    private static let attemptInterval: Int64 = 60_000_000_000
    /// With less room than this the database is not shared.
    ///
    /// The index of the write-ahead log is a file that all who share it have mapped. A page of it that the filesystem then
    /// has no block for ends the process with SIGBUS, even one that was written before where blocks are never overwritten.
    /// This is several times what a full btrfs still shows as free, and what a download writes between two calls.
    private static let roomForSharing: UInt64 = 16 << 20
    /// Whether the connection has the database to itself, and no mapping. It is closed after each call.
    private var isAlone = false

    var availability = Ledger.Availability.absent
    var wasHousekept = false
    var losses = 0
    /// What to tell the user, oldest first.
    var problems: [String] = []
    private var said: Set<String> = []

    init(
        directory: BytePath?, readOnly: Bool, budget: WaitBudget, sharesMemory: Bool?,
        freeBytes: (@Sendable () -> UInt64)?
    ) {
        self.sharesMemory = sharesMemory
        self.freeBytes = freeBytes
        self.directory = directory
        self.readOnly = readOnly
        self.budget = budget
    }

    // MARK: Calls

    /// Runs `body` on the connection, and deals with everything that can go wrong.
    ///
    /// - Returns: nil when there is no connection or it failed.
    mutating func perform<Answer: Sendable>(forWriting: Bool, _ body: (Database) throws -> Answer?) -> Answer? {
        defer { giveWay() }
        // Once more after damage was put aside, so that hours of hashing are not forgotten for it.
        for isLast in [false, true] {
            reconnectIfNeeded()
            guard let queue else { return nil }
            if forWriting, availability != .readWrite { return nil }
            do {
                return try queue.inDatabase(body)
            } catch {
                guard dealWith(error, duringWrite: forWriting), !isLast else { return nil }
            }
        }
        return nil
    }

    private mutating func reconnectIfNeeded() {
        if availability == .closed { return }
        if queue != nil {
            // Someone removed the database, or another process put it aside: what is written to the old file is lost.
            let isSame = folder.map { $0.databaseIdentity == identity } ?? false
            // What could only be read may be writable again.
            var mayImprove = false
            if case .readOnly(.some) = availability { mayImprove = monotonicNanoseconds() >= nextAttempt }
            if !isSame { losses += 1 }
            if !isSame { say("was taken away while it was in use: what it remembered is found out anew") }
            let mustBeAlone = !isAlone && folder.map(isShortOfRoom) ?? false
            if !isSame || mayImprove || mustBeAlone { connect() }
            // What was judged before counted on what is now not known.
            if mustBeAlone, queue == nil { losses += 1 }
        } else if isAlone {
            let before = identity
            connect()
            if queue == nil || identity != before { losses += 1 }
        } else if monotonicNanoseconds() >= nextAttempt {
            connect()
        }
    }

    /// Lets other processes have the database, where it cannot be shared.
    mutating func giveWay() {
        guard isAlone else { return }
        let last = identity
        // After a failure it is not opened again at once.
        isAlone = queue != nil
        disconnect()
        identity = last
    }

    /// Whoever closes a shared database last writes to the index, or else leaves the log to the next one.
    private func leaveLogOnFullDisk() {
        if !isAlone, let folder, isShortOfRoom(folder) { queue?.inDatabase { $0.leaveLogOnClose() } }
    }

    private func isShortOfRoom(_ folder: StateFolder) -> Bool {
        (freeBytes?() ?? folder.freeBytes).map { $0 < Self.roomForSharing } ?? false
    }

    /// Notes what went wrong.
    ///
    /// - Returns: whether it is worth trying again at once.
    private mutating func dealWith(_ error: any Error, duringWrite: Bool) -> Bool {
        guard let failure = error as? DatabaseError else {
            losses += 1
            say("failed: \(displayText(of: "\(error)"))")
            return false
        }
        if !duringWrite || [.damaged, .otherwise].contains(failure.kind) { losses += 1 }
        switch failure.kind {
        case .damaged:
            return replaceDamaged(failure.words)
        case .busy:
            say(
                duringWrite
                    ? "is in use by another process: some of what was found now is not remembered"
                    : "is in use by another process: it is not asked")
        case .notWritable:
            say(
                duringWrite
                    ? "cannot be written to (\(failure.words)): some of what was found now is not remembered"
                    : "cannot be read: \(failure.words)")
        case .otherwise:
            say("failed: \(failure.words)")
            // A changed schema, a disk that does not answer: begin anew some time later.
            disconnect()
            availability = .unavailable(reason: failure.words)
            nextAttempt = monotonicNanoseconds() + Self.attemptInterval
        }
        return false
    }

    private mutating func say(_ clause: String) {
        let place = directory.map { $0.appending(StateFolder.databaseName).display } ?? StateFolder.databaseName
        // A daemon could meet many: a person reads few.
        guard said.count < 32, said.insert(clause).inserted else { return }
        problems.append("the ledger '\(place)' \(clause)")
    }

    // MARK: Connecting

    mutating func disconnect() {
        leaveLogOnFullDisk()
        // An error leaves nothing to do: SQLite's locks go with the process at the latest.
        try? queue?.close()
        queue = nil
        folder = nil
        identity = nil
    }

    mutating func connect() {
        disconnect()
        if !isAlone { wasHousekept = false }
        isAlone = false
        nextAttempt = monotonicNanoseconds() + Self.attemptInterval
        do throws(LedgerRefusal) {
            try open()
        } catch {
            disconnect()
            switch error.kind {
            case .absent:
                availability = .absent
            case .busy, .unusable:
                availability = .unavailable(reason: error.reason)
                say("is not used: \(error.reason)")
            }
        }
    }

    private mutating func open() throws(LedgerRefusal) {
        guard let directory else { throw LedgerRefusal("there is no home folder to keep it in") }
        let folder = try StateFolder.open(directory, create: !readOnly)
        // Opening, making and putting aside happen under a lock: a process that opened the database's file but not yet
        // its log, while another puts both aside, would pair the old file with the new log.
        var held: FolderLock?
        defer { held?.release() }
        switch folder.lock(create: !readOnly, budget) {
        case .held(let lock): held = lock
        case .busy: throw LedgerRefusal("another process is busy opening it", kind: .busy)
        case .impossible: break
        }
        let mayChange = held != nil && !readOnly

        if folder.entry(StateFolder.databaseName) == .absent {
            guard !readOnly else { throw LedgerRefusal("there is none yet", kind: .absent) }
            guard mayChange else { throw LedgerRefusal("its folder cannot be written to") }
            try folder.createDatabase()
        }
        do throws(OpeningFailure) {
            try open(in: folder)
            return
        } catch {
            guard case .damaged(let words) = error else { throw error.refusal }
            guard mayChange else { throw LedgerRefusal("it is damaged (\(words))") }
            try putAside(in: folder, words)
        }
        do throws(OpeningFailure) { try open(in: folder) } catch { throw error.refusal }
    }

    private mutating func putAside(in folder: StateFolder, _ words: String) throws(LedgerRefusal) {
        guard let name = folder.moveDatabaseAside() else {
            throw LedgerRefusal("it is damaged (\(words)) and cannot be put aside")
        }
        losses += 1
        say("was damaged (\(words)): it is kept as \(name), and what it remembered is found out anew")
        try folder.createDatabase()
    }

    /// Puts a database aside that turned out to be damaged while it was in use, and begins a new one.
    ///
    /// - Returns: whether there is a usable one now.
    private mutating func replaceDamaged(_ words: String) -> Bool {
        guard let folder, case .readWrite = availability else {
            say("is damaged (\(words)): what it remembers is not used")
            disconnect()
            availability = .unavailable(reason: "it is damaged")
            nextAttempt = monotonicNanoseconds() + Self.attemptInterval
            return false
        }
        // Under the lock nobody else puts anything aside. While the connection is open its inode is not given to another
        // file, so an equal identity means the very file SQLite complained of.
        guard case .held(let lock) = folder.lock(create: true, budget) else {
            connect()
            return queue != nil
        }
        let isStillThere = folder.databaseIdentity == identity
        leaveLogOnFullDisk()
        try? queue?.close()
        queue = nil
        if isStillThere {
            do throws(LedgerRefusal) {
                try putAside(in: folder, words)
            } catch {
                say("is not used: \(error.reason)")
            }
        }
        // Opening takes the lock again.
        lock.release()
        connect()
        return queue != nil
    }

    // MARK: Opening the file

    private enum OpeningFailure: Error {
        case damaged(String)
        case refused(LedgerRefusal)

        var refusal: LedgerRefusal {
            switch self {
            case .damaged(let words): LedgerRefusal("it is damaged (\(words))")
            case .refused(let refusal): refusal
            }
        }
    }

    private mutating func open(in folder: StateFolder) throws(OpeningFailure) {
        try check(folder)
        let alone = isShortOfRoom(folder)
        var obstacle: String?
        for access in LedgerAccess.allCases {
            if access == .readWrite, readOnly { continue }
            // Who only reads cannot lock others out, and would share the index.
            if access == .readOnly, alone { continue }
            if access == .unchanging, !sqliteTakesAddresses { continue }
            do {
                try open(in: folder, access, alone: alone)
            } catch let failure as DatabaseError {
                switch failure.kind {
                case .damaged: throw .damaged(failure.words)
                case .busy:
                    let room = alone ? ", and cannot be shared while the disk it is on is full" : ""
                    throw .refused(LedgerRefusal("it is in use by another process" + room, kind: .busy))
                case .notWritable, .otherwise:
                    obstacle = obstacle ?? failure.words
                    continue
                }
            } catch let refusal as LedgerRefusal {
                guard let obstacle, refusal.kind == .unusable else { throw .refused(refusal) }
                throw .refused(LedgerRefusal("\(refusal.reason): \(obstacle)"))
            } catch {
                throw .refused(LedgerRefusal(displayText(of: "\(error)")))
            }
            if case .readOnly(.some(let reason)) = availability {
                let reason = obstacle ?? reason
                availability = .readOnly(reason: reason)
                say("can only be read (\(reason)): what is found now is not remembered")
            }
            return
        }
        throw .refused(LedgerRefusal(obstacle ?? "it cannot be opened"))
    }

    /// Refuses what must not be opened: it may hang, lie elsewhere, or be someone else's.
    private func check(_ folder: StateFolder) throws(OpeningFailure) {
        switch folder.entry(StateFolder.databaseName) {
        case .absent: throw .refused(LedgerRefusal("there is none yet", kind: .absent))
        case .other(let kind): throw .refused(LedgerRefusal("it is \(kind)"))
        case .unknown(let code): throw .refused(LedgerRefusal(words(code)))
        case .file(_, let owner, let writableByOthers):
            guard owner == geteuid() else { throw .refused(LedgerRefusal("it belongs to another user")) }
            guard !writableByOthers else {
                throw .refused(LedgerRefusal("other users may write to it; chmod 600 it, or remove it"))
            }
        }
        for suffix in ["-wal", "-shm", "-journal"] {
            if case .other(let kind) = folder.entry(StateFolder.databaseName + suffix) {
                throw .refused(LedgerRefusal("its \(StateFolder.databaseName)\(suffix) is \(kind)"))
            }
        }
    }

    private mutating func open(in folder: StateFolder, _ access: LedgerAccess, alone: Bool) throws {
        var configuration = Configuration()
        configuration.label = "hfjanitor.ledger"
        configuration.foreignKeysEnabled = false
        configuration.readonly = access != .readWrite
        configuration.busyMode = .callback { [budget] in budget.wait(attempt: $0) }
        configuration.prepareDatabase { database in
            // Before anything is read: else the index is mapped, and stays so.
            if alone, access == .readWrite { try database.execute(sql: "PRAGMA locking_mode = EXCLUSIVE") }
            try database.distrustContent()
        }
        let path = access == .unchanging ? unchangingAddress(folder.databasePath) : folder.databasePath
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        do {
            // SQLite opens for reading where it may not write, and says nothing.
            let isReadOnly = queue.inDatabase { access != .readWrite || $0.isOpenForReadingOnly }
            let layout = try queue.inDatabase(Schema.layout)
            switch layout {
            case .current: break
            case .empty where readOnly: throw LedgerRefusal("there is none yet", kind: .absent)
            case .empty where isReadOnly: throw LedgerRefusal("it is empty and cannot be written to")
            case .older where isReadOnly: throw LedgerRefusal("it is of an older version and cannot be written to")
            case .empty, .older: break
            case .newer: throw LedgerRefusal("a newer version of this program made it")
            case .foreign: throw LedgerRefusal("this program did not make it")
            }
            if !isReadOnly {
                let sharesMemory = sharesMemory ?? folder.supportsSharedMemory
                try queue.inDatabase { try $0.chooseJournal(sharesMemory: sharesMemory) }
                if layout != .current { try Schema.migrator.migrate(queue) }
            }
            availability = isReadOnly ? .readOnly(reason: readOnly ? nil : "no permission to write") : .readWrite
        } catch {
            try? queue.close()
            throw error
        }
        self.folder = folder
        self.queue = queue
        self.identity = folder.databaseIdentity
        self.isAlone = alone
    }
}
