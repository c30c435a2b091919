public import HubCache
internal import LinuxIO

/// The memory that a process here may have.
public struct MachineMemory: Sendable, Hashable {
    /// All of the machine's.
    public var totalBytes: UInt64
    /// What a new process could take now without swapping, within the limit.
    public var availableBytes: UInt64
    /// The tightest limit of this process's control groups; nil: none.
    public var limitBytes: UInt64?

    /// The most that there may ever be for one process.
    public var usableBytes: UInt64 { min(totalBytes, limitBytes ?? .max) }

    /// Reads `/proc/meminfo` and the control groups of this process.
    ///
    /// - Parameter root: what stands before `/proc` and `/sys`.
    /// - Returns: nil where `/proc` does not tell.
    public static func read(root: BytePath = .empty) -> MachineMemory? {
        let lines = smallText(root, "/proc/meminfo")?.split(separator: "\n") ?? []
        func kilobytes(_ key: String) -> UInt64? {
            let line = lines.first { $0.hasPrefix(key + ":") }
            let words = line?.split(separator: " ") ?? []
            return words.count >= 2 ? UInt64(words[1])?.timesUpTo(1024) : nil
        }
        guard let total = kilobytes("MemTotal") else { return nil }
        var memory = MachineMemory(totalBytes: total, availableBytes: min(kilobytes("MemAvailable") ?? total, total))
        for group in ControlGroup.all(root: root) {
            guard let limit = group.limit, limit < total else { continue }
            memory.limitBytes = min(memory.limitBytes ?? .max, limit)
            let used = group.used ?? 0
            memory.availableBytes = min(memory.availableBytes, limit > used ? limit - used : 0)
        }
        return memory
    }
}

/// A control group that counts memory.
private struct ControlGroup {
    var limit: UInt64?
    /// Without the page cache, which gives way.
    var used: UInt64?

    /// This process's group and those it is in.
    static func all(root: BytePath) -> [ControlGroup] {
        var groups: [ControlGroup] = []
        for line in smallText(root, "/proc/self/cgroup")?.split(separator: "\n") ?? [] {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, parts[2].hasPrefix("/") else { continue }
            let isSecond = parts[0] == "0" && parts[1].isEmpty
            guard isSecond || parts[1].split(separator: ",").contains("memory") else { continue }
            let base = isSecond ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
            var names = parts[2].split(separator: "/")
            // A path of another namespace has `..`, and no folder here.
            guard !names.contains("..") else { continue }
            while true {
                let folder = ([base] + names.map(String.init)).joined(separator: "/")
                groups.append(ControlGroup(root, folder, isSecond: isSecond))
                if names.isEmpty { break }
                names.removeLast()
            }
        }
        return groups
    }

    private init(_ root: BytePath, _ folder: String, isSecond: Bool) {
        func number(_ name: String) -> UInt64? {
            // Without a limit there stands `max`, or in the first version a number no machine has.
            smallText(root, "\(folder)/\(name)")?.split(separator: "\n").first.flatMap { UInt64($0) }
        }
        limit = number(isSecond ? "memory.max" : "memory.limit_in_bytes")
        guard limit != nil, let current = number(isSecond ? "memory.current" : "memory.usage_in_bytes") else { return }
        var cached: UInt64 = 0
        for line in smallText(root, "\(folder)/memory.stat")?.split(separator: "\n") ?? [] {
            let words = line.split(separator: " ")
            let keys = isSecond ? ["active_file", "inactive_file"] : ["total_active_file", "total_inactive_file"]
            guard words.count == 2, keys.contains(String(words[0])), let bytes = UInt64(words[1]) else { continue }
            cached = cached.addingUpTo(bytes)
        }
        used = current > cached ? current - cached : 0
    }
}

/// The text of a small file of the kernel's; nil where there is none.
func smallText(_ root: BytePath, _ path: String) -> String? {
    let place = BytePath(bytes: root.bytes + Array(path.utf8))
    guard let file = try? OwnedDescriptor.open(trustedPath: place), let bytes = try? file.readAll(limit: 256 << 10)
    else {
        return nil
    }
    return String(decoding: bytes, as: UTF8.self)
}
