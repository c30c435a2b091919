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
            let file: OwnedDescriptor
            do throws(SystemCallFailure) {
                file = try locks.createFile(temporary, permissions: 0o644)
            } catch {
                if error.isTaken { continue }
                throw error
            }
            do throws(SystemCallFailure) {
                try file.setPermissions(0o644)
                // Locked before it has its name: nobody can see it without its lock.
                try lock(file)
                try file.write(content)
                try file.synchronize()
                try locks.move(temporary, to: locks, name)
                try locks.synchronize()
            } catch {
                try? locks.unlink(temporary)
                if error.isTaken { continue }
                throw error
            }
            return HeldHold(path: place.appending(name), descriptor: file)
        }
        throw SystemCallFailure(call: "open", errno: SystemCallFailure.existsNumber, subject: place)
    }

    private func lock(_ file: borrowing OwnedDescriptor) throws(SystemCallFailure) {
        do throws(SystemCallFailure) {
            _ = try file.tryLockShared()
        } catch {
            // Where there are no locks, as on some network filesystems, no hold that may be locked is believed to be free.
            guard root.filesystem.kind.isNetwork else { throw error }
        }
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
        let locks = try openOrMake(".locks", in: top, permissions: permissions)
        return try openOrMake(place.lastComponent, in: locks, permissions: permissions)
    }

    private func openOrMake(_ name: BytePath, in folder: borrowing OwnedDescriptor, permissions: UInt16)
        throws(SystemCallFailure) -> OwnedDescriptor
    {
        let isNew: Bool
        do throws(SystemCallFailure) {
            try folder.makeFolder(name, permissions: permissions)
            isNew = true
        } catch {
            guard error.isTaken else { throw error }
            isNew = false
        }
        let made = try folder.open(name, options: [.directory, .keepAccessTime])
        if isNew { try made.setPermissions(permissions) }
        return made
    }

    /// Removes the holds of a repo, or of one revision, that no process has.
    ///
    /// - Parameter commit: only holds of this revision; nil: all of the repo's.
    public func release(_ folder: BytePath, commit: CommitHash?) -> Release {
        var release = Release()
        let place = BytePath(".locks").appending(folder)
        let holds = reader.all(of: folder)
        for hold in holds where hold.isUnseen { release.failed.append((hold, hold.words)) }
        guard let locks = try? root.open(place, options: [.directory, .keepAccessTime]) else { return release }
        for hold in holds where !hold.isUnseen && (commit == nil || hold.commit == commit) {
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
        // Where there are no locks at all, there is no holder either.
        if (try? file.tryLock()) == .busy { return false }
        guard try locks.stat(of: name).key == hold.key else { return false }
        try locks.unlink(name)
        return true
    }

    private static func hexadecimal(_ number: UInt32) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: 8 - text.count) + text
    }
}
