internal import CacheScan
internal import HubCache
internal import Ledger
internal import LinuxIO
internal import Retention

/// What a pass came to, after its freed bytes had time to appear.
public struct PassReport: Sendable {
    /// What was done.
    public var pass: PassOutcome
    /// Filesystems on which less than half of the predicted bytes appeared, twice in a row: something else holds them.
    public var ineffective: [IneffectiveEviction] = []

    /// Whether every target was reached that had to be.
    public var isReached: Bool { pass.plan.caches.allSatisfy(\.isReached) && ineffective.isEmpty }
}

/// Bytes that were removed and did not appear as free space.
public struct IneffectiveEviction: Sendable, Hashable {
    /// The filesystem's name.
    public var filesystem: String
    /// Bytes that were predicted.
    public var predicted: UInt64
    /// Bytes that appeared.
    public var appeared: UInt64
}

extension Enforcer {
    /// What an unprivileged user could still write, by filesystem.
    func freeBytes() -> [UInt64: UInt64] {
        var free: [UInt64: UInt64] = [:]
        for cache in caches {
            guard let filesystem = try? cache.root.currentFilesystem() else { continue }
            free[filesystem.id] = filesystem.availableBytes
        }
        return free
    }

    /// Lets freed bytes appear: some filesystems take a second (xfs), some until their next commit (btrfs).
    func waitForSpace(after pass: PassOutcome, freeBefore: [UInt64: UInt64]) -> PassReport {
        var report = PassReport(pass: pass)
        for (place, cache) in caches.enumerated()
        where caches.firstIndex(where: { $0.facts.filesystem.id == cache.facts.filesystem.id }) == place {
            let same = caches.indices.filter { caches[$0].facts.filesystem.id == cache.facts.filesystem.id }
            let removed = pass.removed.filter { same.contains($0.action.item.cache) }
            let predicted = removed.reduce(UInt64(0)) { $0 &+ $1.bytes }
            guard predicted > 0, let before = freeBefore[cache.facts.filesystem.id] else { continue }
            var appeared = appearedBytes(of: place, since: before, atLeast: predicted)
            if appeared < predicted / 2 { appeared &+= same.reduce(0) { $0 &+ partialGrowth(of: $1) } }
            let result = PassResult(
                filesystem: cache.facts.filesystem.id, predicted: predicted, appeared: appeared, endedAt: currentTime())
            let last = ledger.passes(onFilesystem: cache.facts.filesystem.id, limit: 1).first
            // What others share extents with was only an upper bound.
            if !removed.contains(where: \.action.isAtMost) { ledger.note(pass: result) }
            if result.isIneffective, last?.isIneffective ?? false {
                report.ineffective.append(
                    IneffectiveEviction(
                        filesystem: cache.facts.filesystem.name, predicted: predicted, appeared: appeared))
            }
        }
        return report
    }

    private func appearedBytes(of place: Int, since before: UInt64, atLeast predicted: UInt64) -> UInt64 {
        let root = caches[place].root
        root.syncFilesystem()
        var appeared: UInt64 = 0
        for _ in 0..<Self.looksAtSpace {
            guard let free = (try? root.currentFilesystem())?.availableBytes else { break }
            appeared = free > before ? free - before : 0
            if appeared >= predicted / 100 * 98 || cancellation.isCancelled { break }
            sleepMilliseconds(Self.millisecondsBetweenLooks)
        }
        return appeared
    }

    /// A minute in all.
    private static let looksAtSpace = 240
    private static let millisecondsBetweenLooks: UInt32 = 250

    /// By how many bytes the downloads of a cache grew since it was looked at.
    private func partialGrowth(of place: Int) -> UInt64 {
        let cache = caches[place]
        let scan = CacheScan(root: cache.root)
        guard let listing = try? scan.list() else { return 0 }
        let now = listing.repos.reduce(UInt64(0)) { sum, folder in
            scan.scanRepo(folder, store: listing.store).partials.reduce(sum) { $0 &+ $1.stat.allocated }
        }
        return now > cache.partialBytes ? now - cache.partialBytes : 0
    }
}

extension PassResult {
    /// Less than half of the bytes appeared.
    var isIneffective: Bool { appeared < predicted / 2 }
}
