internal import Glibc
import HubCache
import LinuxIO
import PolicyFile

extension PolicyLocation {
    /// Where the policy of the user of this process is.
    ///
    /// - Parameter file: the file that was named, if one was.
    static func current(named file: String?) -> PolicyLocation {
        let uid = effectiveUser()
        let home = Terminal.variable("HOME") ?? UserRecord.find(uid)?.home.exactText
        return PolicyLocation(
            named: file.map { BytePath($0) }, environment: Terminal.environment, home: home,
            reader: PolicyReaderIdentity(uid: uid, gid: getegid()))
    }
}
