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
    public static let shared = OpenFileScan()

    private struct Result: Sendable {
        var files: Set<FileKey>
        var isComplete: Bool
        var blindSpot: String
        var time: UInt64
    }

    private let last = Mutex<Result?>(nil)
    private static let lifetime: UInt64 = 1_000_000_000

    /// Whether anybody else has the file open or mapped.
    public func answer(for key: FileKey) -> ProbeAnswer {
        let result = last.withLock { cached -> Result in
            if let cached, monotonicNanoseconds() - cached.time < Self.lifetime { return cached }
            let fresh = Self.scan()
            cached = fresh
            return fresh
        }
        if result.files.contains(key) { return .taken }
        return result.isComplete ? .free : .unknown(reason: result.blindSpot)
    }

    /// Why this process cannot see all open files, or nil when it can.
    public static func blindSpot() -> String? {
        let result = scan()
        return result.isComplete ? nil : result.blindSpot
    }

    private static func scan() -> Result {
        var result = Result(files: [], isComplete: true, blindSpot: "", time: monotonicNanoseconds())
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
                let outcome = collect(BytePath(name + "/" + folder), in: proc, into: &result.files)
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
        _ path: BytePath, in proc: borrowing OwnedDescriptor, into files: inout Set<FileKey>
    ) -> Bool {
        do throws(SystemCallFailure) {
            let folder = try proc.open(path, options: .directory)
            var isComplete = true
            for entry in try folder.names() {
                // Following is the point here: the entry is the kernel's own link to the open file.
                do throws(SystemCallFailure) {
                    files.insert(try folder.keyFollowing(entry))
                } catch {
                    // Closed meanwhile is fine. Following `map_files` takes a capability of its own.
                    if error.isPermission { isComplete = false }
                }
            }
            return isComplete
        } catch {
            // A process that ended meanwhile, or a kernel thread, has no files; ESRCH comes for zombies.
            return !error.isPermission
        }
    }
}

extension OwnedDescriptor {
    fileprivate borrowing func names() throws(SystemCallFailure) -> [BytePath] {
        try listDirectory().entries.map(\.name)
    }

    fileprivate borrowing func keyFollowing(_ name: BytePath) throws(SystemCallFailure) -> FileKey {
        let directory = raw
        var status = Glibc.stat()
        let result = unsafe withCName(name) { unsafe fstatat(directory, $0, &status, 0) }
        if result != 0 { throw SystemCallFailure(call: "stat", errno: errno, subject: name) }
        return FileKey(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }
}
