internal import HubCache
internal import LinuxIO

/// Which repos running processes name in their command lines.
///
/// A server that reads weights through page faults of a mapping it has given up, or that is only about to start, shows nowhere
/// else. What counts is a whole word: the id `org/name`, alone, after `=`, with `@revision` or `:tag` behind it, or as a Hub
/// address; the folder `models--org--name` as a component of a path, with its `snapshots/<commit>` where that follows.
/// Not looked at are command lines that name hfjanitor itself (they are about the repo and do not use it: `sudo hfjanitor rm
/// org/name`, a shell that runs it), and those of programs that only look at files or names: editors, pagers, search tools,
/// terminal multiplexers. A shell or an interpreter with the name in its arguments counts.
struct NamedRepos: Sendable {
    private struct Place: Hashable {
        var folder: BytePath
        var commit: CommitHash?
    }

    private var names: [BytePath: ProcessRecord] = [:]
    private var places: [Place: ProcessRecord] = [:]

    init(_ table: ProcessTable) {
        // The lowest ids first, so that the same process is named every time.
        for process in table.processes.values.sorted(by: { $0.id < $1.id })
        where process.id != table.own && !Self.isPassedOver(process) {
            for argument in process.arguments { read(argument, of: process) }
        }
    }

    /// A process that names a repo, or one revision of it.
    ///
    /// - Parameter commit: nil for any.
    func user(of id: RepoID, folder: BytePath, commit: CommitHash?) -> ProcessRecord? {
        if let process = names[BytePath(id.name)] ?? places[Place(folder: folder, commit: nil)] { return process }
        if let commit { return places[Place(folder: folder, commit: commit)] }
        return places.filter { $0.key.folder == folder }.map(\.value).min { $0.id < $1.id }
    }

    private mutating func read(_ argument: BytePath, of process: ProcessRecord) {
        for word in argument.bytes.split(whereSeparator: { Self.isSeparator($0) }) {
            add(name: BytePath(bytes: Self.withoutAddress(word)), process)
            guard word.contains(UInt8(ascii: "-")) else { continue }
            let parts = BytePath(bytes: word).components
            for (index, part) in parts.enumerated() where RepoID(folder: part) != nil {
                var place = Place(folder: part, commit: nil)
                if index + 2 < parts.count, parts[index + 1] == "snapshots" {
                    place.commit = CommitHash(parts[index + 2])
                }
                if places[place] == nil { places[place] = process }
            }
        }
    }

    private mutating func add(name: BytePath, _ process: ProcessRecord) {
        // No repo's name is longer: two parts of 96 bytes.
        guard !name.isEmpty, name.bytes.count <= 193, names[name] == nil else { return }
        names[name] = process
    }

    private static func isSeparator(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: false
        case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "/"): false
        default: true
        }
    }

    /// `//org/name` of `hf://org/name`, and `//huggingface.co/org/name` of an address: the part behind, without a type.
    private static func withoutAddress(_ word: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard word.starts(with: "//".utf8) else { return word }
        var rest = word.dropFirst(2)
        for prefix in ["huggingface.co/", "hf.co/", "models/", "datasets/", "spaces/", "kernels/"]
        where rest.starts(with: prefix.utf8) {
            rest = rest.dropFirst(prefix.utf8.count)
        }
        // What follows the name is a page or a file.
        let slash = UInt8(ascii: "/")
        guard let first = rest.firstIndex(of: slash),
            let second = rest[(first + 1)...].firstIndex(of: slash)
        else { return rest }
        return rest[..<second]
    }

    private static let lookers: Set<String> = [
        "ack", "ag", "bat", "du", "egrep", "emacs", "fd", "fgrep", "find", "git", "grep", "head", "hx", "less", "ls",
        "man", "micro", "more", "most", "nano", "nvim", "rg", "screen", "ssh", "tail", "tmux", "tmux: server", "tree",
        "vi", "view", "vim", "watch",
    ]

    private static func isPassedOver(_ process: ProcessRecord) -> Bool {
        guard let program = process.arguments.first else { return true }
        let name = program.lastComponent.text
        if lookers.contains(name) || lookers.contains(process.name.text) { return true }
        return process.arguments.contains { argument in
            argument.bytes.split(whereSeparator: { isSeparator($0) }).contains {
                BytePath(bytes: $0).lastComponent == "hfjanitor"
            }
        }
    }
}
