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
        private let file: OwnedDescriptor

        init(_ file: consuming OwnedDescriptor) { self.file = file }
    }

    /// Takes a place.
    ///
    /// - Parameter job: what is fetched, one line.
    /// - Throws: `RepairFailure` with `download_limit_reached` when all places are taken by other jobs.
    func take(for job: String) throws -> Slot {
        let top = try root.open(.empty, options: [.directory, .keepAccessTime])
        let locks = try top.folderMade(".locks", like: root.stat)
        // One at a time looks for a place; that takes no time.
        let desk = try locks.openLockFile("hfjanitor-downloads.lock")
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
        for number in 0..<limit {
            let file = try locks.openLockFile(BytePath("hfjanitor-download-\(number).lock"))
            if try file.tryLock() == .busy {
                let found = try file.readAll(limit: Self.contentLimit) ?? []
                if found == content, try file.tryLockShared() == .locked { return Slot(file) }
                running.append(String(decoding: found.dropLast(), as: UTF8.self))
                continue
            }
            guard free == nil else { continue }
            try file.truncate(to: 0)
            try file.write(content)
            // Shared, so that others who fetch the same revision can hold it too.
            guard try file.tryLockShared() == .locked else { continue }
            free = Slot(file)
        }
        if let free { return free }
        let names = running.map { displayText(of: $0) }.joined(separator: ", ")
        throw RepairFailure(
            .downloadLimitReached,
            "\(limit) of \(limit) downloads are running (\(names)); try again when one is done, or raise "
                + "'repair: max-concurrent-downloads'")
    }

    private static let contentLimit = 1024
}
