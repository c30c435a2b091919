public import CacheScan
public import HubCache
public import Ledger
internal import LinuxIO
public import Retention

// Why nothing may go by rules, whoever asks: commands and the daemon come through here.
extension Enforcer {
    /// Why nothing may be removed on this host from a cache, whatever is asked for.
    ///
    /// - Parameter enforcer: the host that may remove from network filesystems.
    public static func refusal(of root: CacheRoot, enforcer: String?) -> String? {
        if root.filesystem.isReadOnly { return "the cache is on a read-only filesystem" }
        if root.filesystem.kind.isNetwork, enforcer != hostName() {
            return enforcer.map {
                "the cache is on a network filesystem, where only '\($0)' may remove (shared.enforcer)"
            }
                ?? "the cache is on a network filesystem; name the one host that may remove in 'shared: {enforcer: …}'"
        }
        return nil
    }

    /// Why a floor cannot be meant: the filesystem could not have so much free when it was empty, and would lose everything for
    /// nothing. Nil: it can.
    public static func floorRefusal(of facts: CacheFacts) -> String? {
        let total = facts.filesystem.totalBytes
        guard let floor = facts.policy.minFree?.bytes(of: total), floor >= total, total > 0 else { return nil }
        return "'min-free' of '\(facts.path.display)' is \(FactValue.bytes(floor).text), but its filesystem has only "
            + "\(FactValue.bytes(total).text): choose less, or a percentage"
    }

    /// Why rules may not act without a memory that can be believed: much of what keeps is only remembered. Nil: they may.
    ///
    /// A disk so full that no memory can be made is let pass: that is when room is needed most, and what is not remembered is
    /// taken for the worse. So is a user without any folder for one.
    public static func memoryRefusal(_ ledger: Ledger, for roots: [CacheRoot], hasFolder: Bool) -> String? {
        guard case .unavailable(let reason) = ledger.availability, hasFolder else { return nil }
        let isFull = roots.contains { ((try? $0.currentFilesystem())?.availableBytes ?? 0) < leastForMemory }
        return isFull
            ? nil
            : "the ledger cannot be used (\(displayText(of: reason))): what was opened or was whole once is not known, so nothing "
                + "is removed; repair it, or set STATE_DIRECTORY to a folder of your own"
    }

    private static let leastForMemory: UInt64 = 16 << 20

    /// Why evicting pauses: it has twice given back less than half of what it should. Nil: it does not.
    func ineffectiveRefusal(of facts: CacheFacts) -> String? {
        let passes = ledger.passes(onFilesystem: facts.filesystem.id, limit: 2)
        guard passes.count == 2, passes.allSatisfy(\.isIneffective),
            settings.now.nanoseconds &- passes[0].endedAt.nanoseconds < Self.pauseAfterIneffective
        else { return nil }
        return
            "eviction-ineffective: of \(FactValue.bytes(passes[0].predicted &+ passes[1].predicted).text) that the last two "
            + "passes removed, \(FactValue.bytes(passes[0].appeared &+ passes[1].appeared).text) became free; look for snapshots "
            + "of the filesystem, or for processes that hold removed files ('lsof +L1'); it is tried again a day after the last"
    }

    private static let pauseAfterIneffective: Int64 = 86_400 * 1_000_000_000
}

extension Ledger {
    /// Judges this machine's clock for a pass, and remembers the reading when it is believed: one that is not must not make the
    /// next one believable, nor forget what protects.
    ///
    /// - Parameters:
    ///   - reading: the clocks now.
    ///   - caches: what was found: the kernel gave its change times by the same clock.
    ///   - forgets: whether what is old may be forgotten.
    public func judge(_ reading: ClockReading, by caches: [GatheredCache], forgets: Bool) -> ClockTrust {
        let youngest = caches.flatMap(\.facts.revisions).map(\.youngestChange).max()
        let isSynchronised = clockIsSynchronised()
        let trust = reading.trust(earlier: lastClock, isSynchronised: isSynchronised, youngest: youngest)
        guard trust == .trusted || isSynchronised == true else { return trust }
        note(clock: reading, isTrusted: isSynchronised ?? false)
        if forgets { prune(now: reading.time) }
        return trust
    }
}
