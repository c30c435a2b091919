internal import CLinux
internal import Glibc
public import HubCache

/// A user as the user database has it.
public struct UserRecord: Sendable, Hashable {
    /// The login name.
    public var name: String
    /// The primary group.
    public var gid: UInt32
    /// The home folder.
    public var home: BytePath

    /// Looks a user up.
    ///
    /// - Returns: nil when the database has none with that id.
    public static func find(_ uid: UInt32) -> UserRecord? {
        // An entry is far below this; one that is larger is treated as none.
        let capacity = 65_536
        return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { buffer -> UserRecord? in
            var entry = unsafe passwd()
            var found: UnsafeMutablePointer<passwd>?
            guard let base = buffer.baseAddress, unsafe getpwuid_r(uid, &entry, base, capacity, &found) == 0,
                unsafe found != nil, let name = unsafe entry.pw_name
            else { return nil }
            // The entry's strings lie in the buffer, which outlives this closure, and end in a NUL.
            let home = unsafe entry.pw_dir.map { pointer in
                unsafe BytePath(bytes: UnsafeRawBufferPointer(start: pointer, count: strlen(pointer)))
            }
            return unsafe UserRecord(name: String(cString: name), gid: entry.pw_gid, home: home ?? .empty)
        }
    }
}

/// Has this process, when it is root's and what it works on belongs to another user, become that user's for good.
///
/// Whatever root writes into a user's cache, the user's own programs cannot use. Groups, gid and uid become the owner's; of
/// root's powers at most CAP_LEASE and CAP_SYS_PTRACE are kept, which only look; programs that are run have none of them.
/// To be called before a second thread starts: the C library would change the ids of all threads, but capabilities of one.
///
/// - Parameter stat: what belongs to the user, such as a cache's root.
/// - Returns: whether this process is another user's now. When false, nothing was changed: it is not root's, or root's own.
/// - Throws: `SystemCallFailure`, after which the process is half of either user's and must end.
public func becomeOwner(of stat: FileStat) throws(SystemCallFailure) -> Bool {
    guard geteuid() == 0, stat.uid != 0 else { return false }
    let threads =
        (try? OwnedDescriptor.open(trustedPath: "/proc/self/task", options: .directory).listDirectory().entries.count)
        ?? 1
    guard threads == 1 else { throw SystemCallFailure(call: "setresuid", errno: EBUSY, subject: .empty) }
    let user = UserRecord.find(stat.uid)
    let result: Int32
    if let user {
        result = unsafe user.name.withCString { unsafe hfj_become_user(stat.uid, user.gid, $0) }
    } else {
        // Nobody knows its groups: that of its folder is all there is to go by, unless it is root's.
        result = hfj_become_user(stat.uid, stat.gid == 0 ? stat.uid : stat.gid, nil)
    }
    if result != 0 { throw SystemCallFailure(call: "setresuid", errno: result, subject: .empty) }
    return true
}

/// Has programs that this process starts from now on inherit none of the capabilities that a service manager gave it. To be
/// called before a second thread starts.
public func keepCapabilitiesFromPrograms() { hfj_clear_ambient_capabilities() }
