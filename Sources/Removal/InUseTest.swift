internal import CacheScan
internal import HubCache
internal import LinuxIO

/// A lease that is held for as long as this object lives.
final class HeldLease: Sendable {
    private let lease: WriteLease

    init(_ lease: consuming WriteLease) { self.lease = lease }

    /// Whether nobody has asked for the file since.
    var isUndisturbed: Bool { lease.isUndisturbed() }
}

/// A file to be proven unused: where it is now, and what it is.
struct FileInQuestion: Sendable {
    /// Relative to the cache root.
    var location: BytePath
    var linked: [LinkedFolder]
    var stat: FileStat
}

/// Whether anybody uses a file: by a write lease where that can be believed, else by what the caller knows.
struct InUseTest: Sendable {
    let root: CacheRoot
    let fallback: @Sendable (FileKey, FileStat) -> ProbeAnswer

    /// Tests a file, and keeps the lease where there is one: nobody can begin to use the file until it is given back.
    ///
    /// - Returns: the lease, when that is how it was told.
    func hold(_ file: FileInQuestion) -> (answer: ProbeAnswer, lease: HeldLease?) {
        // A lease is told by openers and mappings; a file without content can have no reader that loses anything.
        guard file.stat.kind == .regular else { return (.free, nil) }
        do throws(SystemCallFailure) {
            let opened = try root.open(file.location, linked: file.linked)
            guard try opened.stat().key == file.stat.key else {
                return (.unknown(reason: "'\(file.location.display)' was replaced meanwhile"), nil)
            }
            // By the file itself: what is behind a link may be on any filesystem.
            guard try opened.filesystem().kind.hasTrustworthyLeases else {
                return (fallback(file.stat.key, file.stat), nil)
            }
            switch opened.takeWriteLease() {
            case .held(let lease): return (.free, HeldLease(lease))
            case .taken: return (.taken, nil)
            case .unknown: return (fallback(file.stat.key, file.stat), nil)
            }
        } catch {
            if error.isAbsent { return (.unknown(reason: "'\(file.location.display)' vanished meanwhile"), nil) }
            return (fallback(file.stat.key, file.stat), nil)
        }
    }

    /// Why files keep what they belong to; nothing when none of them is in use.
    func keepers(_ files: [FileInQuestion], assumesUnused: () -> Bool) -> [Kept] {
        var isAssumed: Bool?
        for file in files {
            switch hold(file).answer {
            case .free: continue
            case .taken: return [Kept(by: .open, "a process has '\(file.location.display)' open")]
            case .unknown(let reason):
                let assumed = isAssumed ?? assumesUnused()
                isAssumed = assumed
                if !assumed {
                    return [
                        Kept(by: .cannotTell, "'\(file.location.display)' may be in use: \(displayText(of: reason))")
                    ]
                }
            }
        }
        return []
    }
}
