import CacheScan
internal import Glibc
import HubCache
import LinuxIO

/// Whose process this is when root runs it on another user's cache: the owner's, for good.
enum Owner {
    /// Becomes the owner of caches, if this is root's process and they are another user's.
    ///
    /// The environment's folders become the owner's too: what is remembered goes where the owner's own runs find it, and
    /// nothing of root's is read or written any more. A token in the environment stays: the caller gave it to this run; so does a
    /// state folder that belongs to an owner without a home, as in a container.
    ///
    /// - Throws: `CommandFailure` when the caches belong to different users, or root cannot become one of them.
    static func become(ofAll roots: [CacheRoot]) throws {
        guard effectiveUser() == 0, let stat = roots.first(where: { $0.stat.uid != 0 })?.stat else { return }
        if let other = roots.first(where: { $0.stat.uid != stat.uid }) {
            let first = roots.first { $0.stat.uid == stat.uid } ?? other
            throw CommandFailure(
                status: .permission,
                message: "'\(first.path.display)' belongs to uid \(stat.uid), '\(other.path.display)' to uid "
                    + "\(other.stat.uid): root works as a cache's owner; name one with --cache")
        }
        do throws(SystemCallFailure) {
            guard try becomeOwner(of: stat) else { return }
        } catch {
            throw CommandFailure(
                status: .permission,
                message: "cannot become uid \(stat.uid), the cache's owner: \(error.reason); run as that user")
        }
        adoptEnvironment(of: stat.uid)
    }

    private static func adoptEnvironment(of uid: UInt32) {
        let rootsOwn = [
            "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "CREDENTIALS_DIRECTORY", "HF_HOME",
            "HF_TOKEN_PATH",
        ]
        for name in rootsOwn { unsafe unsetenv(name) }
        if let user = UserRecord.find(uid), user.home.hasPrefix("/"), let home = user.home.exactText {
            for name in ["XDG_STATE_HOME", "STATE_DIRECTORY"] { unsafe unsetenv(name) }
            unsafe setenv("HOME", home, 1)
            unsafe setenv("USER", user.name, 1)
            unsafe setenv("LOGNAME", user.name, 1)
        } else {
            for name in ["HOME", "USER", "LOGNAME"] { unsafe unsetenv(name) }
            for name in ["XDG_STATE_HOME", "STATE_DIRECTORY"] {
                let folder = Terminal.environment[name].map { BytePath($0) }
                let owner = folder.flatMap {
                    try? OwnedDescriptor.open(trustedPath: $0, options: .directory).stat().uid
                }
                if owner != uid { unsafe unsetenv(name) }
            }
        }
    }
}
