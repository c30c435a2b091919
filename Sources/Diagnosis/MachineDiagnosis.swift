internal import CacheScan
internal import HubCache
internal import LinuxIO

/// Looks at what does not depend on one cache: the environment, the kernel, the token.
public struct MachineDiagnosis: Sendable {
    private let environment: [String: String]

    /// Makes a diagnosis.
    public init(environment: [String: String]) { self.environment = environment }

    /// Looks at everything. Changes nothing.
    public func checks() -> [Check] {
        environmentChecks() + [tokenCheck(), visibilityCheck(), inotifyCheck(), leaseSwitchCheck()].compactMap(\.self)
            + xetCheck()
    }

    /// Variables that are set and empty do not mean "default" to the Python client.
    private func environmentChecks() -> [Check] {
        let names = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"]
        let empty = names.filter { environment[$0] == "" }
        let locator = CacheLocator(environment: environment)
        if empty.isEmpty {
            let source = names.first { environment[$0] != nil } ?? "the default"
            return [Check("environment", .good, "the cache is '\(locator.hubCache.display)', from \(source)")]
        }
        return empty.map { name in
            Check(
                "environment", .problem,
                "\(name) is set and empty: huggingface_hub then takes '\(locator.hubCache.display)', relative to its folder",
                remedy: "unset \(name), or give it a path")
        }
    }

    private func tokenCheck() -> Check? {
        let path = CacheLocator(environment: environment).tokenFile
        guard let stat = try? OwnedDescriptor.open(trustedPath: path, options: .keepAccessTime).stat(),
            stat.kind == .regular
        else { return nil }
        guard stat.permissions & 0o077 != 0 else {
            return Check("token", .good, "'\(path.display)' can be read by its owner only")
        }
        return Check(
            "token", .problem, "'\(path.display)' can be read by others: mode \(String(stat.permissions, radix: 8))",
            remedy: "chmod 600 '\(path.display)'")
    }

    private func visibilityCheck() -> Check {
        guard let reason = OpenFileScan.blindSpot() else {
            return Check("processes", .good, "the open files of all processes can be seen")
        }
        return Check(
            "processes", .note, "not all open files can be seen: \(reason); a lease decides where it can be believed",
            remedy: Self.visibilityRemedy)
    }

    /// What shows everybody's open files. In a container that is more than most want to give; leases need none of it.
    static let visibilityRemedy =
        "run as root on the host, or with hostPID (--pid=host) and CAP_SYS_PTRACE in a container; leases see users in "
        + "every container without either"

    private func inotifyCheck() -> Check? {
        guard let watches = number(in: "/proc/sys/fs/inotify/max_user_watches"),
            let instances = number(in: "/proc/sys/fs/inotify/max_user_instances")
        else {
            return Check(
                "inotify", .note, "its limits cannot be read",
                remedy: "show it all of /proc: ProcSubset=all in its unit")
        }
        if watches < 8192 || instances < 16 {
            return Check(
                "inotify", .problem, "few watches are allowed: \(watches) watches, \(instances) instances a user",
                remedy: "sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512")
        }
        return Check("inotify", .good, "\(watches) watches and \(instances) instances are allowed a user")
    }

    private func leaseSwitchCheck() -> Check? {
        guard number(in: "/proc/sys/fs/leases-enable") == 0 else { return nil }
        return Check(
            "leases", .problem, "file leases are switched off: whether a file is in use cannot be told by them",
            remedy: "sysctl fs.leases-enable=1")
    }

    private func xetCheck() -> [Check] {
        let path = CacheLocator(environment: environment).xetCache
        guard let root = try? CacheRoot(opening: path) else { return [] }
        let bytes = CacheScan.allocatedBytes(of: root)
        guard bytes >= 1_000_000_000 else { return [] }
        return [
            Check(
                "xet", .note, "the Xet cache '\(path.display)' takes \(bytes) bytes; no download needs it",
                remedy: "remove it while no upload is under way")
        ]
    }

    private func number(in path: BytePath) -> Int? {
        guard let file = try? OwnedDescriptor.open(trustedPath: path), let bytes = try? file.readAll(limit: 64) else {
            return nil
        }
        return Int(String(decoding: bytes.filter { $0 > 0x20 }, as: UTF8.self))
    }
}
