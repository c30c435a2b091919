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
/// thread and run one after the other.
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

    /// - Parameter sharesMemory: whether a write-ahead log may be used; nil asks the folder's filesystem.
    init(
        directory: BytePath?, programVersion: String, readOnly: Bool, budget: WaitBudget, sharesMemory: Bool? = nil,
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.programVersion = programVersion
        self.now = now
        self.core = Mutex(Core(directory: directory, readOnly: readOnly, budget: budget, sharesMemory: sharesMemory))
        core.withLock { $0.connect() }
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

    private var folder: StateFolder?
    private var queue: DatabaseQueue?
    private var identity: FileIdentity?
    /// When a ledger that could not be used is worth another look. A daemon outlives a full disk or a stuck process.
    private var nextAttempt: Int64 = 0
    private static let attemptInterval: Int64 = 60_000_000_000

    var availability = Ledger.Availability.absent
    var wasHousekept = false
    var losses = 0
    /// What to tell the user, oldest first.
    var problems: [String] = []
    private var said: Set<String> = []

    init(directory: BytePath?, readOnly: Bool, budget: WaitBudget, sharesMemory: Bool?) {
        self.sharesMemory = sharesMemory
        self.directory = directory
        self.readOnly = readOnly
        self.budget = budget
    }

    // MARK: Calls

    /// Runs `body` on the connection, and deals with everything that can go wrong.
    ///
    /// - Returns: nil when there is no connection or it failed.
    mutating func perform<Answer: Sendable>(forWriting: Bool, _ body: (Database) throws -> Answer?) -> Answer? {
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
            if !isSame || mayImprove { connect() }
        } else if monotonicNanoseconds() >= nextAttempt {
            connect()
        }
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
        // An error leaves nothing to do: SQLite's locks go with the process at the latest.
        try? queue?.close()
        queue = nil
        folder = nil
        identity = nil
    }

    mutating func connect() {
        disconnect()
        wasHousekept = false
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

    private enum Access: CaseIterable {
        case readWrite
        case readOnly
        /// As a file that nobody changes: the only way to read a database with a write-ahead log where SQLite can neither
        /// find nor make the log's index. It shows an old state when somebody does write, which is right here: every row
        /// holds for the version of the file it names, whenever it was written.
        case unchanging
    }

    private mutating func open(in folder: StateFolder) throws(OpeningFailure) {
        try check(folder)
        var obstacle: String?
        for access in Access.allCases {
            if access == .readWrite, readOnly { continue }
            if access == .unchanging, !sqliteTakesAddresses { continue }
            do {
                try open(in: folder, access)
            } catch let failure as DatabaseError {
                switch failure.kind {
                case .damaged: throw .damaged(failure.words)
                case .busy: throw .refused(LedgerRefusal("it is in use by another process", kind: .busy))
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

    private mutating func open(in folder: StateFolder, _ access: Access) throws {
        var configuration = Configuration()
        configuration.label = "hfjanitor.ledger"
        configuration.foreignKeysEnabled = false
        configuration.readonly = access != .readWrite
        configuration.busyMode = .callback { [budget] in budget.wait(attempt: $0) }
        configuration.prepareDatabase { try $0.distrustContent() }
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
                try queue.inDatabase { try chooseJournal($0, sharesMemory: sharesMemory) }
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
    }

    /// With a write-ahead log readers never wait for a writer.
    private func chooseJournal(_ database: Database, sharesMemory: Bool) throws {
        let mode = sharesMemory ? "WAL" : "DELETE"
        do {
            // Changing it needs the database for ourselves; it stays as it is when others are using it.
            let current = try String.fetchOne(database, sql: "PRAGMA journal_mode")
            if current != mode.lowercased() {
                _ = try String.fetchOne(database, sql: "PRAGMA journal_mode = \(mode)")
            }
            // In a log, a power cut loses the last transactions but never the database.
            let isLog = try String.fetchOne(database, sql: "PRAGMA journal_mode") == "wal"
            if isLog { try database.execute(sql: "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 4194304") }
        } catch let failure as DatabaseError where failure.kind == .busy {}
    }
}

/// `file:` address of a file that nobody changes; see SQLite's "URI filenames".
func unchangingAddress(_ path: String) -> String {
    let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-._~".utf8)
    let digits = Array("0123456789ABCDEF".utf8)
    var address = Array("file://".utf8)
    for byte in path.utf8 {
        if plain.contains(byte) {
            address.append(byte)
        } else {
            address += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: address, as: UTF8.self) + "?immutable=1"
}

extension DatabaseError {
    enum Kind {
        /// SQLite says that the file is not a sound database.
        case damaged
        /// Another connection is in the way.
        case busy
        /// Reading may still work.
        case notWritable
        /// Anything else.
        case otherwise
    }

    var kind: Kind {
        switch resultCode {
        case .SQLITE_CORRUPT, .SQLITE_NOTADB: .damaged
        case .SQLITE_BUSY, .SQLITE_LOCKED: .busy
        case .SQLITE_READONLY, .SQLITE_FULL, .SQLITE_PERM, .SQLITE_CANTOPEN: .notWritable
        default: .otherwise
        }
    }

    /// SQLite's own words, which may quote names from the file.
    var words: String { displayText(of: message ?? "SQLite error \(extendedResultCode.rawValue)") }
}
