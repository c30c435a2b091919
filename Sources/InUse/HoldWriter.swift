public import CacheScan
public import HubCache
public import LinuxIO

/// Makes and removes holds. Everything it makes belongs to the user this process acts as.
public struct HoldWriter: Sendable {
    private let root: CacheRoot
    private let reader: HoldReader

    /// Makes a writer.
    ///
    /// - Parameter now: the time to judge by.
    public init(root: CacheRoot, now: Timestamp) {
        self.root = root
        reader = HoldReader(root: root, now: now)
    }

    /// What became of holds that were to be removed.
    public struct Release: Sendable {
        /// Removed.
        public var removed: [Hold] = []
        /// Left, because a process has it.
        public var busy: [Hold] = []
        /// Left, because it could not be removed, and why.
        public var failed: [(hold: Hold, reason: String)] = []
    }

    /// Makes a hold until a time.
    ///
    /// - Returns: its file, relative to the cache root.
    /// - Throws: `SystemCallFailure` when it cannot be written.
    public func hold(
        _ folder: BytePath, commit: CommitHash?, until: Timestamp, by: String, reason: String
    ) throws(SystemCallFailure) -> BytePath {
        try write(folder, Hold.content(commit: commit, until: until, by: by, reason: reason)).path
    }

    /// Makes a hold for as long as somebody has the descriptor that this gives, or a copy of it: it is locked, shared, before
    /// it gets its name.
    ///
    /// - Returns: the descriptor, and the hold's file, relative to the cache root.
    /// - Throws: `SystemCallFailure` when it cannot be written or locked.
    public func hold(whileOpen folder: BytePath, commit: CommitHash?, by: String, reason: String)
        throws(SystemCallFailure) -> HeldHold
    {
        try write(folder, Hold.content(commit: commit, until: nil, by: by, reason: reason))
    }

    /// A hold and the descriptor that has it.
    public struct HeldHold: ~Copyable, Sendable {
        /// The hold's file, relative to the cache root.
        public let path: BytePath
        /// Has it locked.
        public let descriptor: OwnedDescriptor
    }

    private func write(_ folder: BytePath, _ content: [UInt8]) throws(SystemCallFailure) -> HeldHold {
        let place = BytePath(".locks").appending(folder)
        let locks = try openOrMake(place)
        tidy(folder, in: locks)
        // Names are drawn until one is free; the temporary one has another suffix, so that nobody reads it.
        for _ in 0..<16 {
            let stem = BytePath(Self.hexadecimal(UInt32.random(in: .min ... .max)))
            let name = BytePath(bytes: stem.bytes + Array(HoldReader.suffix.utf8))
            if (try? locks.stat(of: name)) != nil { continue }
            let temporary = BytePath(bytes: name.bytes + Array(".tmp".utf8))
            do throws(SystemCallFailure) {
                let file = try locks.createFile(named: temporary, permissions: 0o644)
                // Locked before it has its name: nobody can see it without its lock.
                if case .unknown = file.tryLock(.shared), !root.filesystem.kind.isNetwork {
                    throw SystemCallFailure(
                        call: "flock", errno: SystemCallFailure.unsupportedNumber, subject: place.appending(name))
                }
                try file.append(content)
                try file.flushToDisk()
                try locks.giveName(name, to: temporary)
                try locks.flushToDisk()
                return HeldHold(path: place.appending(name), descriptor: file)
            } catch {
                if error.errno == SystemCallFailure.existsNumber { continue }
                try? locks.removeFile(temporary)
                throw error
            }
        }
        throw SystemCallFailure(call: "open", errno: SystemCallFailure.existsNumber, subject: place)
    }

    private func openOrMake(_ place: BytePath) throws(SystemCallFailure) -> OwnedDescriptor {
        do throws(SystemCallFailure) {
            return try root.open(place, options: [.directory, .keepAccessTime])
        } catch {
            guard error.isAbsent else { throw error }
        }
        // As the cache's root is: who may write there may lock here.
        let permissions = root.stat.permissions & 0o7777
        let top = try root.open("", options: [.directory, .keepAccessTime])
        try top.makeFolder(named: ".locks", permissions: permissions)
        let locks = try top.open(".locks", options: [.directory, .keepAccessTime])
        try locks.makeFolder(named: place.lastComponent, permissions: permissions)
        return try locks.open(place.lastComponent, options: [.directory, .keepAccessTime])
    }

    /// Removes the holds of a repo, or of one revision, that no process has.
    ///
    /// - Parameter commit: only holds of this revision; nil: all of the repo's.
    public func release(_ folder: BytePath, commit: CommitHash?) -> Release {
        var release = Release()
        let place = BytePath(".locks").appending(folder)
        guard let locks = try? root.open(place, options: [.directory, .keepAccessTime]) else { return release }
        for hold in reader.all(of: folder) where commit == nil || hold.commit == commit {
            switch hold.lock {
            case .taken: release.busy.append(hold)
            case .free, .unknown:
                guard hold.isValid(at: reader.now) else { continue }
                do throws(SystemCallFailure) {
                    if try remove(hold, in: locks) { release.removed.append(hold) } else { release.busy.append(hold) }
                } catch {
                    release.failed.append((hold, error.reason))
                }
            }
        }
        tidy(folder, in: locks)
        return release
    }

    /// Removes what holds no more, as far as it is ours.
    private func tidy(_ folder: BytePath, in locks: borrowing OwnedDescriptor) {
        for hold in reader.all(of: folder)
        where hold.isReadable && hold.uid == effectiveUser() && !hold.isValid(at: reader.now) {
            // What cannot be removed now is ignored by everybody all the same.
            _ = try? remove(hold, in: locks)
        }
    }

    /// Removes a hold file under its lock.
    ///
    /// - Returns: false when a process has it.
    private func remove(_ hold: Hold, in locks: borrowing OwnedDescriptor) throws(SystemCallFailure) -> Bool {
        let name = hold.path.lastComponent
        let file = try locks.open(name, options: .keepAccessTime)
        guard try file.stat().key == hold.key else { return false }
        if file.tryLock(.exclusive) == .taken { return false }
        guard try locks.stat(of: name).key == hold.key else { return false }
        try locks.removeFile(name)
        return true
    }

    private static func hexadecimal(_ number: UInt32) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: 8 - text.count) + text
    }
}
