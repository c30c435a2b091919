internal import CacheScan
internal import HubCache
internal import HubClient
internal import LinuxIO
internal import Removal

/// How many downloads run in a cache at once, over all processes of ours: `.locks/hfjanitor-download-<n>.lock`, each locked as
/// long as a download runs, with the repo and commit in it. Who fetches the same revision joins and takes no place of its own.
struct DownloadSlots: Sendable {
    let root: CacheRoot
    let limit: Int

    /// A place, given back when this object goes.
    final class Slot: Sendable {
        private let file: OwnedDescriptor?

        /// - Parameter file: what is locked; nil where this user can lock nothing, so that nobody counts it.
        init(_ file: consuming OwnedDescriptor?) { self.file = file }
    }

    /// Takes a place.
    ///
    /// - Parameter job: what is fetched, one line.
    /// - Throws: `RepairFailure` with `download_limit_reached` when all places are taken by other jobs.
    func take(for job: String) throws -> Slot {
        let top = try root.open(.empty, options: [.directory, .keepAccessTime])
        let locks = try top.folderMade(".locks", like: root.stat)
        // One at a time looks for a place; that takes no time.
        guard let desk = try openUnlessDenied("hfjanitor-downloads.lock", in: locks) else { return Slot(nil) }
        let deadline = monotonicNanoseconds() + 10_000_000_000
        while try desk.tryLock() == .busy {
            guard monotonicNanoseconds() < deadline else {
                throw RepairFailure(.downloadLimitReached, "other processes keep looking for a place; try again")
            }
            sleepMilliseconds(5)
        }
        defer { withExtendedLifetime(desk) {} }
        let content = Array((job + "\n").utf8)
        var free: Slot?
        var running: [String] = []
        var isAnyClosed = false
        for number in 0..<limit {
            let name = BytePath("hfjanitor-download-\(number).lock")
            guard let file = try openUnlessDenied(name, in: locks) else {
                isAnyClosed = true
                continue
            }
            if try file.tryLock() == .busy {
                let found = try file.readAll(limit: Self.contentLimit) ?? []
                if found == content, try file.tryLockShared() == .locked { return Slot(file) }
                running.append(String(decoding: found.dropLast(), as: UTF8.self))
                continue
            }
            guard free == nil else { continue }
            let place = try described(file, name, by: content, in: locks)
            // Shared, so that others who fetch the same revision can hold it too.
            guard try place.tryLockShared() == .locked else { continue }
            free = Slot(place)
        }
        if let free { return free }
        // Another user closed it: a limit that cannot be counted keeps nobody from fetching.
        if isAnyClosed { return Slot(nil) }
        let names = running.map { displayText(of: $0) }.joined(separator: ", ")
        throw RepairFailure(
            .downloadLimitReached,
            "\(limit) of \(limit) downloads are running (\(names)); try again when one is done, or raise "
                + "'repair: max-concurrent-downloads'")
    }

    /// Nil where another user lets nobody else open it.
    private func openUnlessDenied(
        _ name: BytePath, in locks: borrowing OwnedDescriptor
    ) throws(SystemCallFailure) -> OwnedDescriptor? {
        do throws(SystemCallFailure) {
            return try locks.openLockFile(name)
        } catch {
            guard error.errno == SystemCallFailure.deniedNumber else { throw error }
            return nil
        }
    }

    /// A free place, locked, with the job in it. What stands there already is written to only when it is this user's and has no
    /// other name: then it is nobody's document.
    private func described(
        _ file: consuming OwnedDescriptor, _ name: BytePath, by content: [UInt8], in locks: borrowing OwnedDescriptor
    ) throws(SystemCallFailure) -> OwnedDescriptor {
        let stat = try file.stat()
        guard stat.linkCount == 1 else { throw SystemCallFailure.noLockFile(BytePath(".locks").appending(name)) }
        if stat.uid == effectiveUser() {
            try file.truncate(to: 0)
            try file.write(content)
            return file
        }
        // Another user's names that user's last job. All who look for a place wait for this one, and nobody has it locked.
        do throws(SystemCallFailure) {
            try locks.unlink(name)
            let own = try locks.openLockFile(name)
            _ = try own.tryLock()
            try own.write(content)
            return own
        } catch {
            guard error.isPermission else { throw error }
            return file
        }
    }

    private static let contentLimit = 1024
}
