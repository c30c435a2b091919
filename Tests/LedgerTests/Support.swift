import GRDB
import Glibc
import HubCache
import Synchronization

@testable import Ledger

/// A folder of its own for each test, gone with the last reference.
final class Scratch: Sendable {
    let path: String

    init() {
        var template = Array("/tmp/hfjanitor-ledger-XXXXXX".utf8CString)
        let made = unsafe template.withUnsafeMutableBufferPointer { buffer -> String? in
            guard let base = buffer.baseAddress, let name = unsafe mkdtemp(base) else { return nil }
            return unsafe String(cString: name)
        }
        guard let made else { preconditionFailure("no temporary folder") }
        path = made
    }

    deinit { shell("chmod -R u+rwx '\(path)'; rm -rf '\(path)'") }

    var state: BytePath { BytePath(path + "/state") }
    var database: String { path + "/state/ledger.sqlite" }

    func ledger(
        version: String = "1.0", readOnly: Bool = false, budget: WaitBudget = WaitBudget(), sharesMemory: Bool? = nil,
        freeBytes: (@Sendable () -> UInt64)? = nil
    ) -> Ledger {
        Ledger(
            directory: state, programVersion: version, readOnly: readOnly, budget: budget, sharesMemory: sharesMemory,
            freeBytes: freeBytes, now: { Timestamp(seconds: 1_760_000_000) })
    }

    /// Names in the state folder.
    var names: Set<String> { Set(output(of: "ls -A '\(path)/state'").split(separator: "\n").map(String.init)) }

    /// Changes the database as another program would.
    func tamper(_ sql: String) throws {
        let queue = try DatabaseQueue(path: database)
        try queue.write { try $0.execute(sql: sql) }
        try queue.close()
    }
}

@discardableResult
func shell(_ command: String) -> Int32 { unsafe system(command) }

func output(of command: String) -> String {
    guard let stream = unsafe popen(command, "r") else { return "" }
    var text: [UInt8] = []
    while true {
        let byte = unsafe fgetc(stream)
        if byte == EOF { break }
        text.append(UInt8(truncatingIfNeeded: byte))
    }
    unsafe pclose(stream)
    return String(decoding: text, as: UTF8.self)
}

/// An account without a second in it: whatever is locked is given up at once.
func noWaiting() -> WaitBudget {
    let budget = WaitBudget(now: { 0 }, sleep: { _ in })
    while budget.wait(attempt: 7) {}
    while budget.wait(attempt: 0) {}
    return budget
}

let aDay: Int64 = 86_400
let readAt = Timestamp(seconds: 1_759_000_000)

func version(
    _ inode: UInt64, filesystem: UInt64 = 0xfeed_face_dead_beef, size: UInt64 = 4096, modified: Int64 = 1_700_000_000,
    changed: Int64 = 1_700_000_001
) -> FileVersion {
    FileVersion(
        filesystem: filesystem, inode: inode, size: size,
        modified: Timestamp(seconds: modified, nanoseconds: 123_456_789),
        changed: Timestamp(seconds: changed, nanoseconds: 987_654_321))
}

func digest(_ seed: UInt64, _ algorithm: DigestAlgorithm = .sha256) -> ContentDigest {
    ContentDigest(
        algorithm: algorithm,
        bytes: (0..<algorithm.byteCount).map { UInt8(truncatingIfNeeded: seed &* 31 &+ UInt64($0) &* 7 &+ seed >> 8) })
}

func content(
    _ version: FileVersion, _ digest: ContentDigest, mismatched: Bool? = false, at time: Timestamp = readAt
) -> HashedContent {
    HashedContent(
        version: version, digest: digest, mismatched: mismatched, startedAt: time,
        verifiedAt: Timestamp(nanoseconds: time.nanoseconds + 5_000_000_000))
}

func bad(_ version: FileVersion, detail: String = "", offset: UInt64? = 8) -> BadHeader {
    BadHeader(
        version: version,
        verdict: HeaderVerdict(code: "header-invalid", reason: "HeaderTooLarge", offset: offset, detail: detail),
        startedAt: readAt)
}

/// A number that a `@Sendable` closure may change.
final class Counter: Sendable {
    private let storage = Mutex<Int64>(0)
    var value: Int64 {
        get { storage.withLock { $0 } }
        set { storage.withLock { $0 = newValue } }
    }
}
