public import HubCache
internal import LinuxIO

/// A value of a small JSON document.
public indirect enum JSONValue: Sendable {
    /// `null`.
    case null
    /// `true` or `false`.
    case flag(Bool)
    /// A whole number.
    case number(Int64)
    /// A text.
    case text(String)
    /// A list.
    case list([JSONValue])
    /// Keys and values, in this order.
    case map([(String, JSONValue)])

    /// A number of bytes or things; more than JSON's readers take is cut to the most they do.
    public static func count(_ number: UInt64) -> JSONValue { .number(Int64(clamping: number)) }

    /// As one line of JSON.
    public var rendered: String {
        switch self {
        case .null: return "null"
        case .flag(let value): return value ? "true" : "false"
        case .number(let value): return String(value)
        case .text(let value): return Self.quoted(value)
        case .list(let values): return "[" + values.map(\.rendered).joined(separator: ",") + "]"
        case .map(let pairs):
            return "{" + pairs.map { Self.quoted($0.0) + ":" + $0.1.rendered }.joined(separator: ",") + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\" + String(scalar)
            case "\n": result += "\\n"
            case ..<" ":
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

/// The file in which a daemon says what it is doing, for `hfjanitor status` and `reload`. It is replaced as a whole, and
/// believed only while the process that it names lives.
public enum StatusFile {
    /// Its name.
    public static let name: BytePath = "daemon.json"

    /// Where a daemon with this environment writes it: `$RUNTIME_DIRECTORY`, else the folder of the ledger.
    ///
    /// - Parameter state: the folder of the ledger.
    public static func folder(environment: [String: String], state: BytePath?) -> BytePath? {
        let runtime = environment["RUNTIME_DIRECTORY"].map { BytePath($0.prefix { $0 != ":" }) }
        if let runtime, runtime.hasPrefix("/") { return runtime }
        return state
    }

    /// The folders in which a command looks for one, the likeliest first.
    ///
    /// - Parameters:
    ///   - state: the folder of this user's ledger.
    ///   - user: this user's name: an instance of the service is called after it.
    public static func candidates(environment: [String: String], state: BytePath?, user: String?) -> [BytePath] {
        var folders: [BytePath] = []
        if let own = folder(environment: environment, state: state) { folders.append(own) }
        if let runtime = environment["XDG_RUNTIME_DIR"], runtime.hasPrefix("/") {
            folders.append(BytePath(runtime).appending("hfjanitor"))
        }
        if let user, !user.contains("/") { folders.append(BytePath("/run/hfjanitor@" + user)) }
        folders += ["/run/hfjanitor", "/var/lib/hfjanitor"]
        if let state { folders.append(state) }
        return folders
    }

    /// Reads the file of a folder.
    ///
    /// - Returns: what it holds and whose it is; nil where there is none that this user may believe: it belongs to this user or
    ///   root. Root is shown everybody's, and must not believe it of a process that is somebody else's.
    public static func read(in folder: BytePath) -> (bytes: [UInt8], owner: UInt32)? {
        guard let opened = try? OwnedDescriptor.open(trustedPath: folder, options: .directory),
            let file = try? opened.open(name), let stat = try? file.stat(), stat.kind == .regular,
            stat.uid == effectiveUser() || stat.uid == 0 || effectiveUser() == 0, stat.permissions & 0o022 == 0
        else { return nil }
        return ((try? file.readAll(limit: 4 << 20)) ?? nil).map { ($0, stat.uid) }
    }

    /// Replaces the file. What cannot be written is not: the daemon works without it.
    static func write(_ document: JSONValue, in folder: BytePath) {
        let temporary = BytePath(".daemon.\(ownProcess())")
        do throws(SystemCallFailure) {
            let opened = try OwnedDescriptor.open(trustedPath: folder, options: .directory)
            try? opened.unlink(temporary)
            let file = try opened.createFile(temporary, permissions: 0o644)
            try file.write(Array(document.rendered.utf8))
            try opened.rename(temporary, to: opened, name, .replace)
        } catch {
            return
        }
    }

    /// Takes the file away, if this process wrote it: another daemon of this user may have one here.
    static func remove(in folder: BytePath) {
        guard let opened = try? OwnedDescriptor.open(trustedPath: folder, options: .directory),
            read(in: folder)?.bytes.starts(with: "{\"pid\":\(ownProcess()),".utf8) ?? false
        else { return }
        try? opened.unlink(name)
    }
}
