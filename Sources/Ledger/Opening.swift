internal import GRDB
internal import HubCache

/// How a database is opened.
enum LedgerAccess: CaseIterable {
    case readWrite
    case readOnly
    /// As a file that nobody changes: the only way to read a database with a write-ahead log where SQLite can neither
    /// find nor make the log's index. It shows an old state when somebody does write, which is right here: every row
    /// holds for the version of the file it names, whenever it was written.
    case unchanging
}

extension Database {
    /// With a write-ahead log readers never wait for a writer.
    func chooseJournal(sharesMemory: Bool) throws {
        let mode = sharesMemory ? "WAL" : "DELETE"
        do {
            // Changing it needs the database for ourselves; it stays as it is when others are using it.
            let current = try String.fetchOne(self, sql: "PRAGMA journal_mode")
            if current != mode.lowercased() {
                _ = try String.fetchOne(self, sql: "PRAGMA journal_mode = \(mode)")
            }
            // In a log, a power cut loses the last transactions but never the database.
            let isLog = try String.fetchOne(self, sql: "PRAGMA journal_mode") == "wal"
            if isLog { try execute(sql: "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 4194304") }
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
