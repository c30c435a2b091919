internal import Glibc
public import HubCache

/// Finds the caches as huggingface_hub's `constants.py` does.
public struct CacheLocator: Sendable {
    private let environment: [String: String]

    /// Makes a locator.
    ///
    /// - Parameter environment: the process's environment.
    public init(environment: [String: String]) { self.environment = environment }

    /// The hub cache: `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else `hub` in the Hugging Face home.
    ///
    /// A variable that is set and empty counts as set, as in Python: the cache is then the working directory. The path may be
    /// relative to the working directory.
    public var hubCache: BytePath {
        if let path = environment["HF_HUB_CACHE"] ?? environment["HUGGINGFACE_HUB_CACHE"] {
            let expanded = expand(path)
            return expanded.isEmpty ? "." : BytePath(expanded)
        }
        let home = huggingFaceHome
        return home.isEmpty ? "hub" : BytePath(home).appending("hub")
    }

    /// The Xet cache, `HF_XET_CACHE` or `xet` in the Hugging Face home. The Python side does not expand it.
    public var xetCache: BytePath {
        if let path = environment["HF_XET_CACHE"] { return BytePath(path) }
        let home = huggingFaceHome
        return home.isEmpty ? "xet" : BytePath(home).appending("xet")
    }

    /// The file with the token: `HF_TOKEN_PATH`, else `token` in the Hugging Face home.
    public var tokenFile: BytePath {
        if let path = environment["HF_TOKEN_PATH"] { return BytePath(expand(path)) }
        let home = huggingFaceHome
        return home.isEmpty ? "token" : BytePath(home).appending("token")
    }

    /// `HF_HOME`, else `huggingface` in `XDG_CACHE_HOME`, else `~/.cache/huggingface`.
    private var huggingFaceHome: String {
        if let home = environment["HF_HOME"] { return expand(home) }
        guard let base = environment["XDG_CACHE_HOME"] else { return expand("~/.cache/huggingface") }
        return expand(base.isEmpty ? "huggingface" : base + "/huggingface")
    }

    /// Python's `os.path.expandvars(os.path.expanduser(path))`.
    public func expand(_ path: String) -> String { expandVariables(expandUser(path)) }

    private func expandUser(_ path: String) -> String {
        guard path.hasPrefix("~") else { return path }
        let rest = path.dropFirst()
        let user = rest.prefix { $0 != "/" }
        let home: String?
        if user.isEmpty {
            home = environment["HOME"] ?? homeDirectory(ofUser: nil)
        } else {
            home = homeDirectory(ofUser: String(user))
        }
        guard var home else { return path }
        while home.count > 1, home.hasSuffix("/") { home.removeLast() }
        let tail = rest.dropFirst(user.count)
        if home == "/" { return tail.isEmpty ? "/" : String(tail) }
        return home + tail
    }

    /// `$name` and `${name}`; an unknown one stays as it is.
    private func expandVariables(_ path: String) -> String {
        var result = ""
        var rest = Substring(path)
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[dollar...]
            let afterDollar = rest.dropFirst()
            let name: Substring
            let length: Int
            if afterDollar.first == "{", let close = afterDollar.firstIndex(of: "}") {
                name = afterDollar.dropFirst()[..<close]
                length = 3 + name.count
            } else {
                name = afterDollar.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
                length = 1 + name.count
            }
            if !name.isEmpty, let value = environment[String(name)] {
                result += value
            } else {
                result += rest.prefix(length)
            }
            rest = rest.dropFirst(length)
        }
        return result + rest
    }
}

/// The home directory in the user database: of a user, or of the user this process runs as.
public func homeDirectory(ofUser name: String?) -> String? {
    // The static result of getpwnam is copied at once; only the main thread of a command asks.
    let entry = if let name { unsafe getpwnam(name) } else { unsafe getpwuid(getuid()) }
    guard let entry = unsafe entry, let directory = unsafe entry.pointee.pw_dir else { return nil }
    return unsafe String(cString: directory)
}
