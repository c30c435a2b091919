internal import CLinux
internal import Glibc
public import HubCache
internal import Synchronization

/// Which files any process has open or mapped, from `/proc`, where that can be seen of every process.
///
/// The second best answer after a lease: it is stale when it ends, and it counts only in the initial PID and user namespace
/// with every process readable. `map_files` and not `maps`, whose device numbers are wrong on btrfs.
public final class OpenFileScan: Sendable {
    /// The scan that one-shot commands share: made at the first question, kept for a second.
    public static let shared = OpenFileScan(lifetime: 1_000_000_000)

    private struct Result: Sendable {
        /// The files, each with one of the processes that have it.
        var files: [FileKey: Int32]
        var isComplete: Bool
        var blindSpot: String
        var time: UInt64
    }

    private let last = Mutex<Result?>(nil)
    private let lifetime: UInt64

    /// Makes a scan that looks at processes when it is first asked.
    ///
    /// - Parameter lifetime: nanoseconds after which a question has it look again; by default only `refresh` does.
    public init(lifetime: UInt64 = .max) { self.lifetime = lifetime }

    /// Whether anybody else has the file open or mapped.
    public func answer(for key: FileKey) -> ProbeAnswer {
        result { result in
            if result.files[key] != nil { return .taken }
            return result.isComplete ? .free : .unknown(reason: result.blindSpot)
        }
    }

    /// A process that has the file open or mapped, as far as that can be seen.
    public func user(of key: FileKey) -> Int32? { result { $0.files[key] } }

    /// Has the next question look again.
    public func refresh() { last.withLock { $0 = nil } }

    private func result<Answer: Sendable>(_ body: (Result) -> Answer) -> Answer {
        last.withLock { cached -> Answer in
            if let cached, monotonicNanoseconds() - cached.time < lifetime { return body(cached) }
            let fresh = Self.scan()
            cached = fresh
            return body(fresh)
        }
    }

    /// Why this process cannot see all open files, or nil when it can.
    public static func blindSpot() -> String? {
        let result = scan()
        return result.isComplete ? nil : result.blindSpot
    }

    /// All other processes that have one of some files open or mapped now, as far as that can be seen.
    public static func users(of keys: Set<FileKey>) -> [FileKey: Set<Int32>] {
        var found: [FileKey: Set<Int32>] = [:]
        guard !keys.isEmpty, let proc = try? OwnedDescriptor.open(trustedPath: "/proc", options: .directory),
            let listing = try? proc.listDirectory()
        else { return [:] }
        for entry in listing.entries {
            guard let id = Int32(entry.name.text), id != getpid() else { continue }
            var files: [FileKey: Int32] = [:]
            for folder in ["fd", "map_files"] {
                _ = collect(BytePath("\(id)/" + folder), of: id, in: proc, into: &files)
            }
            for key in files.keys where keys.contains(key) { found[key, default: []].insert(id) }
        }
        return found
    }

    private static func scan() -> Result {
        var result = Result(files: [:], isComplete: true, blindSpot: "", time: monotonicNanoseconds())
        if let reason = namespaceBlindSpot() {
            result.isComplete = false
            result.blindSpot = reason
        }
        guard let proc = try? OwnedDescriptor.open(trustedPath: "/proc", options: .directory),
            let listing = try? proc.listDirectory()
        else {
            result.isComplete = false
            result.blindSpot = "/proc cannot be read"
            return result
        }
        // With hidepid, processes of others are not even listed; the first process always exists.
        if !listing.entries.contains(where: { $0.name == "1" }) {
            result.isComplete = false
            result.blindSpot = "/proc does not show the processes of other users"
        }
        let own = "\(getpid())"
        for entry in listing.entries {
            let name = entry.name.text
            guard name != own, let first = name.utf8.first, first >= 0x30, first <= 0x39 else { continue }
            for folder in ["fd", "map_files"] {
                guard let id = Int32(name) else { continue }
                let outcome = collect(BytePath(name + "/" + folder), of: id, in: proc, into: &result.files)
                if !outcome {
                    result.isComplete = false
                    result.blindSpot = "the open files of other users' processes cannot be read"
                }
            }
        }
        return result
    }

    /// The initial namespaces have fixed inode numbers (include/linux/proc_ns.h of the kernel).
    private static func namespaceBlindSpot() -> String? {
        for (name, number) in [("pid", "4026531836"), ("user", "4026531837")] {
            guard let folder = try? OwnedDescriptor.open(trustedPath: "/proc/self/ns", options: .directory),
                let text = try? folder.readLink(BytePath(name))
            else { return "/proc/self/ns cannot be read" }
            if text.text != "\(name):[\(number)]" { return "processes outside this \(name) namespace cannot be seen" }
        }
        return nil
    }

    /// - Returns: false when the process is there and its files cannot be read.
    private static func collect(
        _ path: BytePath, of id: Int32, in proc: borrowing OwnedDescriptor, into files: inout [FileKey: Int32]
    ) -> Bool {
        do throws(SystemCallFailure) {
            let folder = try proc.open(path, options: .directory)
            let listing = try folder.listDirectory()
            var isComplete = listing.failures.isEmpty
            for entry in listing.entries.map(\.name) {
                // Following is the point here: the entry is the kernel's own link to the open file.
                do throws(SystemCallFailure) {
                    files[try folder.keyFollowing(entry)] = id
                } catch {
                    // Closed meanwhile is fine. Following `map_files` takes a capability of its own.
                    if !error.isAbsent && error.errno != ESRCH { isComplete = false }
                }
            }
            return isComplete
        } catch {
            // A process that ended meanwhile, or a kernel thread, has no files; ESRCH comes for zombies.
            return error.isAbsent || error.errno == ESRCH
        }
    }
}

extension OwnedDescriptor {
    fileprivate borrowing func keyFollowing(_ name: BytePath) throws(SystemCallFailure) -> FileKey {
        let directory = raw
        var device: UInt64 = 0
        var inode: UInt64 = 0
        _ = try checked("stat", name) {
            unsafe withCName(name) { unsafe hfj_identity_following(directory, $0, &device, &inode) }
        }
        return FileKey(device: device, inode: inode)
    }
}
