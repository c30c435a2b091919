internal import CSQLite
internal import GRDB
internal import GRDBSQLite

/// One prepared statement, read and bound column by column.
///
/// GRDB's row decoding traps when a value has another type than expected, which a database that someone else wrote may
/// well have, and costs several times as much on 100,000 rows. Here a value of the wrong type is nil. All access to SQLite's
/// C interface is in this file.
@safe struct RawStatement {
    private let database: Database
    private let owner: Statement
    // Valid as long as `owner`, which this value holds, and used on GRDB's queue only, since a `Database` never leaves it.
    private let pointer: OpaquePointer

    /// Prepares a statement, or takes it from the connection's cache.
    init(_ database: Database, _ sql: String) throws {
        self.database = database
        self.owner = try database.cachedStatement(sql: sql)
        unsafe self.pointer = owner.sqliteStatement
    }

    /// Binds a number, or NULL, to a parameter; the first is 1.
    func bind(_ value: Int64?, at index: Int32) throws {
        if let value {
            try check(unsafe sqlite3_bind_int64(pointer, index, value))
        } else {
            try check(unsafe sqlite3_bind_null(pointer, index))
        }
    }

    /// Binds text, or NULL, to a parameter; the first is 1.
    func bind(_ value: String?, at index: Int32) throws {
        guard var value else { return try check(unsafe sqlite3_bind_null(pointer, index)) }
        let code = value.withUTF8 { bytes in
            // SQLite copies the bytes before the call returns.
            unsafe bytes.withMemoryRebound(to: CChar.self) {
                unsafe sqlite3_bind_text(pointer, index, $0.baseAddress, Int32($0.count), copied)
            }
        }
        try check(code)
    }

    /// Binds a blob to a parameter; the first is 1.
    func bind(_ value: [UInt8], at index: Int32) throws {
        // SQLite copies the bytes before the call returns.
        try check(
            unsafe value.withUnsafeBytes {
                unsafe sqlite3_bind_blob(pointer, index, $0.baseAddress, Int32($0.count), copied)
            })
    }

    /// Runs to the next row.
    ///
    /// - Returns: false when there is none.
    func step() throws -> Bool {
        let code = unsafe sqlite3_step(pointer)
        switch code {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw failure(code)
        }
    }

    /// Runs a statement that gives no rows, and makes it ready for other values.
    func run() throws {
        while try step() {}
        try check(unsafe sqlite3_reset(pointer))
    }

    /// Lets go of the rows and values. A statement left in the middle would hold a read lock.
    func finish() {
        // The code repeats what `step` has already thrown.
        _ = unsafe sqlite3_reset(pointer)
        _ = unsafe sqlite3_clear_bindings(pointer)
    }

    /// A number; nil for NULL and for any other type.
    func integer(at column: Int32) -> Int64? {
        guard unsafe sqlite3_column_type(pointer, column) == SQLITE_INTEGER else { return nil }
        return unsafe sqlite3_column_int64(pointer, column)
    }

    /// Whether the value is NULL.
    func isNull(at column: Int32) -> Bool {
        unsafe sqlite3_column_type(pointer, column) == SQLITE_NULL
    }

    /// Text of at most so many bytes; nil for NULL, any other type, more bytes, or bytes that are not UTF-8.
    func text(at column: Int32, maximumBytes: Int) -> String? {
        guard unsafe sqlite3_column_type(pointer, column) == SQLITE_TEXT,
            let bytes = unsafe sqlite3_column_text(pointer, column)
        else { return nil }
        let count = Int(unsafe sqlite3_column_bytes(pointer, column))
        guard count <= maximumBytes else { return nil }
        // Valid until the next step; the string is a copy.
        return unsafe String(validating: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
    }

    /// A blob of exactly so many bytes, at most 32; nil for anything else.
    func packedBlob(at column: Int32, count: Int) -> PackedBytes? {
        guard unsafe sqlite3_column_type(pointer, column) == SQLITE_BLOB,
            let bytes = unsafe sqlite3_column_blob(pointer, column),
            Int(unsafe sqlite3_column_bytes(pointer, column)) == count
        else { return nil }
        // Valid until the next step; the packed bytes are a copy.
        return unsafe PackedBytes(UnsafeRawBufferPointer(start: bytes, count: count))
    }

    private var copied: sqlite3_destructor_type {
        // SQLITE_TRANSIENT is a cast of -1, which Swift does not import.
        unsafe unsafeBitCast(OpaquePointer(bitPattern: -1), to: sqlite3_destructor_type.self)
    }

    private func check(_ code: Int32) throws {
        guard code == SQLITE_OK else { throw failure(code) }
    }

    private func failure(_ code: Int32) -> DatabaseError {
        DatabaseError(resultCode: ResultCode(rawValue: code), message: database.lastErrorMessage)
    }
}

/// Up to 32 bytes without a heap allocation.
struct PackedBytes: Sendable {
    private var words: [4 of UInt64] = [0, 0, 0, 0]

    /// Packs some bytes.
    ///
    /// - Precondition: at most 32.
    init(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= 32, "more bytes than fit")
        // The numbers' own order of bytes does not matter: they are only ever taken apart again here.
        unsafe withUnsafeMutableBytes(of: &words) { unsafe $0.copyMemory(from: bytes) }
    }

    /// The first bytes.
    func bytes(_ count: Int) -> [UInt8] {
        unsafe withUnsafeBytes(of: words) { unsafe Array($0.prefix(count)) }
    }
}

extension Database {
    /// Makes this connection wary of what the file holds.
    ///
    /// Nothing in the schema may call functions with effects, cells are checked before they are believed, and no value may
    /// be larger than a hundred times the largest this program writes, so that no row can ask for a gigabyte.
    func distrustContent() throws {
        _ = unsafe sqlite3_limit(sqliteConnection, SQLITE_LIMIT_LENGTH, 1_000_000)
        try execute(sql: "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA recursive_triggers = OFF")
    }

    /// Has the write-ahead log stay where it is when this connection is closed, and nothing be written to its index.
    func leaveLogOnClose() {
        guard let connection = unsafe sqliteConnection else { return }
        // An SQLite too old for it closes as it always does.
        _ = unsafe hfj_leave_log_on_close(UnsafeMutableRawPointer(connection))
    }

    /// Whether SQLite opened the file for reading only, which it does silently where writing is not permitted.
    var isOpenForReadingOnly: Bool { unsafe sqlite3_db_readonly(sqliteConnection, "main") == 1 }
}

/// Whether SQLite takes `file:` addresses for names: only then can a file be opened as one that nobody changes.
var sqliteTakesAddresses: Bool { unsafe sqlite3_compileoption_used("USE_URI") == 1 }
