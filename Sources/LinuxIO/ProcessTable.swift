internal import Glibc
public import HubCache

/// A running process, as far as everybody may see it.
public struct ProcessRecord: Sendable, Hashable {
    /// The process id.
    public var id: Int32
    /// Its parent's id.
    public var parent: Int32
    /// When it was started, in clock ticks since the machine was.
    public var startTicks: UInt64
    /// Its name: at most 15 bytes, chosen by itself.
    public var name: BytePath
    /// Its command line, of which at most 64 KiB are read; empty for kernel threads.
    public var arguments: [BytePath]

    /// `4711 (vllm)`, safe to show.
    public var display: String { "\(id) (\(name.display))" }
}

/// The processes of this machine that this process can see: those of its PID namespace, where `/proc` hides none.
public struct ProcessTable: Sendable {
    /// The processes by id.
    public let processes: [Int32: ProcessRecord]
    /// Which start of the machine, and which PID namespace: see `ProcessIdentity.boot`. Empty where it cannot be told.
    public let boot: String
    /// This process.
    public let own: Int32

    private static let statLimit = 4096
    private static let argumentsLimit = 64 * 1024

    /// Reads the table: some 30 microseconds a process.
    public static func read() -> ProcessTable {
        var found: [Int32: ProcessRecord] = [:]
        if let proc = try? OwnedDescriptor.open(trustedPath: "/proc", options: .directory),
            let listing = try? proc.listDirectory()
        {
            for entry in listing.entries {
                guard let id = Int32(entry.name.text), id > 0, let record = record(id, in: proc) else { continue }
                found[id] = record
            }
        }
        return ProcessTable(processes: found, boot: currentBoot(), own: getpid())
    }

    /// The process with that id, or nil when there is none to be seen.
    public static func process(_ id: Int32) -> ProcessRecord? {
        guard let proc = try? OwnedDescriptor.open(trustedPath: "/proc", options: .directory) else { return nil }
        return record(id, in: proc)
    }

    /// Whether a process that was seen earlier still runs.
    public func runs(_ process: ProcessIdentity) -> ProcessRecord? {
        guard !boot.isEmpty, process.boot == boot, let found = processes[process.id],
            found.startTicks == process.startTicks
        else { return nil }
        return found
    }

    /// The identity of a process of this table.
    public func identity(of process: ProcessRecord) -> ProcessIdentity {
        ProcessIdentity(id: process.id, startTicks: process.startTicks, boot: boot)
    }

    /// See `ProcessIdentity.boot`; empty where it cannot be told.
    public static func currentBoot() -> String {
        guard
            let file = try? OwnedDescriptor.open(trustedPath: "/proc/sys/kernel/random/boot_id"),
            let content = try? file.readAll(limit: 64),
            let folder = try? OwnedDescriptor.open(trustedPath: "/proc/self/ns", options: .directory),
            let namespace = try? folder.readLink("pid")
        else { return "" }
        let id = String(decoding: content.prefix { $0 > 0x20 }, as: UTF8.self)
        return id.isEmpty ? "" : id + " " + namespace.text
    }

    /// The effective user of a process; nil where it is gone or hidden.
    public static func owner(of id: Int32) -> UInt32? {
        guard let file = try? OwnedDescriptor.open(trustedPath: BytePath("/proc/\(id)/status")),
            let content = (try? file.readAll(limit: 16 << 10)).flatMap(\.self)
        else { return nil }
        let line = content.split(separator: UInt8(ascii: "\n")).first { $0.starts(with: Array("Uid:".utf8)) }
        let fields = line?.split(whereSeparator: { $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: " ") }) ?? []
        return fields.count > 2 ? UInt32(String(decoding: fields[2], as: UTF8.self)) : nil
    }

    private static func record(_ id: Int32, in proc: borrowing OwnedDescriptor) -> ProcessRecord? {
        guard let file = try? proc.open(BytePath("\(id)/stat")), let content = try? file.readAll(limit: statLimit),
            var record = ProcessRecord(stat: content)
        else { return nil }
        if let file = try? proc.open(BytePath("\(id)/cmdline")),
            let content = try? file.read(at: 0, count: argumentsLimit)
        {
            record.arguments = content.split(separator: 0, omittingEmptySubsequences: true).map { BytePath(bytes: $0) }
        }
        return record
    }
}

extension ProcessRecord {
    /// Reads `/proc/PID/stat`. The name stands in parentheses and may itself hold any byte.
    init?(stat: [UInt8]) {
        guard let open = stat.firstIndex(of: UInt8(ascii: "(")), let close = stat.lastIndex(of: UInt8(ascii: ")")),
            open < close, let id = Int32(String(decoding: stat[..<open].filter { $0 > 0x20 }, as: UTF8.self))
        else { return nil }
        let fields = stat[(close + 1)...].split(separator: UInt8(ascii: " "))
        // Counted from the third field of proc(5): state, then the parent; the start time is the 22nd.
        guard fields.count > 19, let parent = Int32(String(decoding: fields[1], as: UTF8.self)),
            let start = UInt64(String(decoding: fields[19], as: UTF8.self)),
            // A dead process that nobody has waited for uses nothing.
            fields[0].first != UInt8(ascii: "Z"), fields[0].first != UInt8(ascii: "X")
        else { return nil }
        self.init(
            id: id, parent: parent, startTicks: start, name: BytePath(bytes: stat[(open + 1)..<close]), arguments: [])
    }
}
