internal import Digests
internal import HubCache
internal import HubClient
internal import LinuxIO
internal import Removal
internal import Synchronization

/// A download that is not whole yet: `blobs/<etag>.<8 hex>.incomplete`, which no client ever takes for the blob and none resumes.
///
/// It is written under the blob's lock only. Every byte goes through the digest, those of an earlier run by reading them again.
final class PartialFile: Sendable {
    let name: BytePath
    /// How many bytes were here before.
    let present: UInt64
    private let blobs: OwnedDescriptor
    private let file: SharedDescriptor
    private let steps: RepairSteps
    /// Whether so much is to come that threads of their own write and hash.
    private let isLong: Bool
    private let state: Mutex<State>

    private struct State: ~Copyable {
        /// Of what is written; nil while `writer` has it.
        var digest: StreamingDigest?
        var writer: HashedWriter?
        var length: UInt64
        /// What came and is not written yet: libcurl gives 16 kB at a time.
        var pending: [UInt8] = []
    }

    private static let writeSize = 256 << 10
    private static let longSize: UInt64 = 16 << 20

    private init(
        name: BytePath, present: UInt64, blobs: consuming OwnedDescriptor, file: consuming OwnedDescriptor,
        digest: consuming StreamingDigest, steps: RepairSteps
    ) {
        self.name = name
        self.present = present
        self.blobs = blobs
        self.steps = steps
        self.file = SharedDescriptor(file)
        isLong = digest.declaredLength - present >= Self.longSize
        state = Mutex(State(digest: digest, length: present))
    }

    /// Makes an empty one.
    static func make(for wanted: WantedFile, in place: RepoPlace) throws -> PartialFile {
        let blobs = try place.makeFolders("blobs")
        let name = wanted.etag.partialName
        // Only the owner until it is whole and has the mode of its siblings.
        let file = try blobs.createFile(name, permissions: 0o600)
        place.steps.reached(.partialMade)
        return PartialFile(
            name: name, present: 0, blobs: blobs, file: file,
            digest: StreamingDigest(wanted.digest.algorithm, length: wanted.size), steps: place.steps)
    }

    /// Takes over what an earlier run, or a client that is gone, left of the same blob: the longest part of it that can be its
    /// beginning. What it holds is proven with all the rest in the end.
    ///
    /// - Returns: nil when there is none.
    static func resume(
        for wanted: WantedFile, in place: RepoPlace, _ cancellation: Cancellation
    ) throws -> PartialFile? {
        guard let listed = try place.folders.openIfPresent("blobs") else { return nil }
        var candidates: [DirectoryEntry] = []
        for entry in try listed.listDirectory().entries {
            guard etag(ofResumable: entry) == wanted.etag, entry.stat.size <= wanted.size else { continue }
            candidates.append(entry)
        }
        for entry in candidates.sorted(by: { $0.stat.size > $1.stat.size }) {
            if let taken = try adopt(entry, for: wanted, in: place, cancellation) { return taken }
        }
        return nil
    }

    /// The blob whose partial download an entry of `blobs` is; nil when it is none, or one that is not gone on with.
    static func etag(ofResumable entry: DirectoryEntry) -> BytePath? {
        guard case .partial(let etag, let writer) = BlobEntryName(entry.name),
            [.pythonUnique, .plain, .hfjanitor].contains(writer), entry.stat.kind == .regular,
            entry.stat.uid == effectiveUser(), entry.stat.linkCount == 1, entry.stat.size > 0
        else { return nil }
        return etag
    }

    private static func adopt(
        _ entry: DirectoryEntry, for wanted: WantedFile, in place: RepoPlace, _ cancellation: Cancellation
    ) throws -> PartialFile? {
        let blobs = try place.makeFolders("blobs")
        // Whoever writes without the lock has it open.
        guard let looked = try? blobs.open(entry.name, options: .keepAccessTime),
            try looked.stat().key == entry.stat.key, isClosed(looked, entry)
        else { return nil }
        // Clients that fetch several parts at once leave holes.
        let length = min((try? looked.firstHole()) ?? entry.stat.size, entry.stat.size)
        guard length > 0 else { return nil }
        let name = wanted.etag.partialName
        do throws(SystemCallFailure) {
            try blobs.rename(entry.name, to: blobs, name, .noReplace)
        } catch {
            if error.isAbsent { return nil }
            guard error.isUnsupportedRename else { throw error }
            try blobs.move(entry.name, to: blobs, name)
        }
        place.steps.reached(.partialAdopted)
        // It may have been about to be published, with a mode that lets nobody write.
        try looked.setPermissions(0o600)
        let file = try blobs.openForChange(name)
        let stat = try file.stat()
        guard stat.key == entry.stat.key else {
            throw SystemCallFailure(call: "open", errno: SystemCallFailure.staleNumber, subject: name)
        }
        if length < stat.size { try file.truncate(to: length) }
        var digest = StreamingDigest(wanted.digest.algorithm, length: wanted.size)
        do {
            try read(looked, stat, length, cancellation) { digest.update($0) }
        } catch let failure as SystemCallFailure where failure.errno == SystemCallFailure.inputOutputNumber {
            // What the disk does not give back is lost, and would be in the way for ever.
            _ = try? blobs.unlinkIfPresent(name)
            return nil
        }
        return PartialFile(
            name: name, present: length, blobs: blobs, file: file, digest: digest, steps: place.steps)
    }

    /// Whether nobody else can be writing it. What cannot be told is in use, but for names that are only written under the blob's
    /// lock, which is held here.
    static func isClosed(_ file: borrowing OwnedDescriptor, _ entry: DirectoryEntry) -> Bool {
        guard let kind = try? file.filesystem().kind else { return false }
        if kind.hasTrustworthyLeases {
            switch file.probeOpenElsewhere() {
            case .free: return true
            case .taken: return false
            case .unknown: break
            }
        }
        // As it is now, and not as it was for an earlier file.
        OpenFileScan.shared.refresh()
        switch OpenFileScan.shared.answer(for: entry.stat.key) {
        case .free where !kind.isNetwork: return true
        case .taken: return false
        case .free, .unknown:
            // JavaScript clients write `<etag>.incomplete` without any lock.
            guard case .partial(_, let writer) = BlobEntryName(entry.name) else { return false }
            return writer != .plain
        }
    }

    /// Takes the next bytes; they are written when they are many, or by `flush`.
    func append(_ bytes: Span<UInt8>) throws(SystemCallFailure) {
        let isDue = try state.withLock { (state) throws(SystemCallFailure) in
            if isLong, state.writer == nil, let digest = state.digest.take() {
                state.writer = HashedWriter(
                    file, at: state.length, digest, written: { [steps] in steps.reached(.partialGrown) })
            }
            state.length += UInt64(bytes.count)
            if let writer = state.writer {
                try writer.append(bytes)
                return false
            }
            if state.pending.isEmpty { state.pending.reserveCapacity(min(Self.writeSize, Int(state.length))) }
            state.pending.append(bytes)
            return state.pending.count >= Self.writeSize
        }
        if isDue { try flush() }
    }

    /// Writes what came.
    func flush() throws(SystemCallFailure) {
        let isGrown = try state.withLock { (state) throws(SystemCallFailure) in
            if let writer = state.writer.take() {
                state.digest = writer.finish()
                if let failure = writer.failure { throw failure }
                return false
            }
            if state.pending.isEmpty { return false }
            try file.descriptor.write(state.pending)
            var bytes: [UInt8] = []
            swap(&bytes, &state.pending)
            state.digest?.update(bytes.span)
            bytes.removeAll(keepingCapacity: true)
            state.pending = bytes
            return true
        }
        if isGrown { steps.reached(.partialGrown) }
    }

    /// How many bytes are here.
    var length: UInt64 { state.withLock { $0.length } }

    /// Fills it from another file, by sharing its blocks where the filesystem can.
    ///
    /// - Parameter requireRoom: is called before bytes are copied, which shared blocks are not.
    /// - Returns: false when the other file cannot be read.
    /// - Throws: what is wrong with this file, and not with the other one.
    func fill(
        from source: consuming OwnedDescriptor, _ stat: FileStat, _ wanted: WantedFile, _ cancellation: Cancellation,
        requireRoom: () throws -> Void, progress: (UInt64) -> Void
    ) throws -> Bool {
        let isClone = (try? file.descriptor.clone(from: source)) != nil
        if !isClone { try requireRoom() }
        // What a clone has is read from the clone: the other file may change.
        let readable = isClone ? try blobs.open(name, options: .keepAccessTime) : source
        let known = isClone ? try file.descriptor.stat() : stat
        var failure: SystemCallFailure?
        do {
            try Self.read(readable, known, wanted.size, cancellation) { bytes throws(SystemCallFailure) in
                if isClone {
                    state.withLock { state in
                        state.length += UInt64(bytes.count)
                        state.digest?.update(bytes)
                    }
                } else {
                    do throws(SystemCallFailure) {
                        try append(bytes)
                    } catch {
                        failure = error
                        throw error
                    }
                }
                progress(length)
            }
        } catch let error as SystemCallFailure {
            if failure != nil { throw error }
            return false
        }
        return true
    }

    /// Reads the start of a file, around the page cache.
    static func read(
        _ file: consuming OwnedDescriptor, _ stat: FileStat, _ limit: UInt64, _ cancellation: Cancellation,
        _ take: (Span<UInt8>) throws(SystemCallFailure) -> Void
    ) throws {
        var reader = CacheNeutralReader(file, stat: stat)
        var buffer = PageBuffer()
        var left = limit
        while left > 0 {
            if cancellation.isCancelled { throw RepairFailure(.downloadCancelled, "cancelled") }
            let count = try reader.read(into: &buffer)
            if count == 0 { break }
            let used = Int(min(UInt64(count), left))
            left -= UInt64(used)
            try buffer.withBytes { bytes throws(SystemCallFailure) in try take(bytes.extracting(first: used)) }
        }
    }

    /// Whether all of it is here and is what was wanted. To be asked once.
    ///
    /// - Throws: `SystemCallFailure` when the last of it could not be written.
    func isRight(_ wanted: WantedFile) throws(SystemCallFailure) -> Bool {
        try flush()
        let found = state.withLock { state -> ContentDigest? in
            guard let digest = state.digest.take() else { return nil }
            return try? digest.finish()
        }
        guard found == wanted.digest else { return false }
        steps.reached(.partialWhole)
        return true
    }

    /// Gives it a blob's name, a payload's or a file's, in one step for everybody who looks; who has the old file open keeps it.
    ///
    /// - Throws: `SystemCallFailure`; `ESTALE` when it has other bytes than those that were proven.
    func publish(
        as name: BytePath, in folder: borrowing OwnedDescriptor, permissions: UInt16, gid: UInt32
    ) throws(SystemCallFailure) {
        let stat = try file.descriptor.stat()
        guard stat.size == length else {
            throw SystemCallFailure(call: "rename", errno: SystemCallFailure.staleNumber, subject: self.name)
        }
        guard blobs.isStill(self.name, file.descriptor) else {
            throw SystemCallFailure(call: "rename", errno: SystemCallFailure.absentNumber, subject: self.name)
        }
        // Who is not in the group cannot give the file to it; then it is as a client would make it.
        if stat.gid != gid { try? file.descriptor.setGroup(gid) }
        try file.descriptor.setPermissions(permissions)
        steps.reached(.modeSet)
        try file.descriptor.synchronize()
        steps.reached(.partialSynced)
        try blobs.rename(self.name, to: folder, name, .replace)
    }

    /// Waits until the folder is on the disk.
    func synchronizeFolder() throws(SystemCallFailure) {
        try blobs.synchronize()
        steps.reached(.blobsSynced)
    }

    /// Publishes it in its own folder, which is to be synced then.
    func publish(as etag: BytePath, permissions: UInt16, gid: UInt32) throws(SystemCallFailure) {
        try publish(as: etag, in: blobs, permissions: permissions, gid: gid)
        steps.reached(.blobPublished)
    }

    /// Whether somebody took its name away: `hf cache prune` does that to downloads that run.
    var isGone: Bool { (try? file.descriptor.stat().linkCount) == 0 }

    /// Takes it away.
    func remove() { _ = try? blobs.unlinkIfPresent(name) }
}

extension BytePath {
    /// A name for a partial download of the blob with this name that no other one has.
    fileprivate var partialName: BytePath {
        BytePath("\(text).\(randomDigits()).incomplete")
    }
}
