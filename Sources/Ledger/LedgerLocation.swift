internal import Glibc
public import HubCache

/// Where the ledger lives.
public enum LedgerLocation {
    /// The folder of this user's ledger.
    ///
    /// The first entry of `STATE_DIRECTORY`, which systemd sets for a service; else `XDG_STATE_HOME/hfjanitor`; else
    /// `.local/state/hfjanitor` in the home folder, which is `HOME` or, where that is unset, what the user database says.
    /// Relative values are passed over, as the XDG base directory specification asks: they would mean another ledger in
    /// every working directory.
    ///
    /// - Parameter environment: the process's environment.
    /// - Returns: an absolute path, or nil when there is no home folder either.
    public static func directory(environment: [String: String]) -> BytePath? {
        directory(environment: environment, homeOfUser: homeFromUserDatabase)
    }

    static func directory(environment: [String: String], homeOfUser: () -> BytePath?) -> BytePath? {
        if let list = environment["STATE_DIRECTORY"] {
            let first = BytePath(list.prefix { $0 != ":" })
            if first.isAbsolute { return first }
        }
        if let state = environment["XDG_STATE_HOME"].map({ BytePath($0) }), state.isAbsolute {
            return state.appending("hfjanitor")
        }
        var home = environment["HOME"].map { BytePath($0) }
        if home == nil || home?.isAbsolute == false { home = homeOfUser() }
        guard let home, home.isAbsolute else { return nil }
        return home.appending(".local/state/hfjanitor")
    }
}

extension BytePath {
    fileprivate var isAbsolute: Bool { bytes.first == UInt8(ascii: "/") }
}

private func homeFromUserDatabase() -> BytePath? {
    // An entry is far below this; one that is larger is treated as none.
    let capacity = 65_536
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { buffer -> BytePath? in
        var entry = unsafe passwd()
        var found: UnsafeMutablePointer<passwd>?
        guard let base = buffer.baseAddress, unsafe getpwuid_r(geteuid(), &entry, base, capacity, &found) == 0,
            unsafe found != nil, let home = unsafe entry.pw_dir
        else { return nil }
        // The entry's strings lie in the buffer, which outlives this closure, and end in a NUL.
        return unsafe BytePath(bytes: UnsafeRawBufferPointer(start: home, count: strlen(home)))
    }
}
