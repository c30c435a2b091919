/// Why something is kept whatever a rule says. The names are those of JSON's `kept.by` and of policy documents.
///
/// They are declared in the order in which they are named when several hold.
public enum Keeper: String, Sendable, Hashable, CaseIterable, Comparable {
    /// A pin of the policy.
    case pin
    /// A hold: `hfjanitor hold`.
    case hold
    /// The rule's `keep-last`.
    case keepLast = "keep-last"
    /// Younger than `min-age`.
    case minAge = "min-age"
    /// A client holds a lock of the repo, or a download is under way in it.
    case lock
    /// A process has one of its files open or mapped.
    case open
    /// Opened within `recent-use`.
    case recentUse = "recent-use"
    /// The process that opened it still runs.
    case openerAlive = "opener-alive"
    /// The Hub would not give it back, or did not say that it would.
    case irreplaceable
    /// Its snapshot has files that no client put there.
    case foreignFiles = "foreign-files"
    /// It was whole once, or its repair is on: what it lacks is to be fetched, not the rest removed.
    case repairPending = "repair-pending"
    /// Nothing can tell whether it is in use.
    case cannotTell = "cannot-tell"
    /// The last complete revision of its cache.
    case lastOne = "last-one"
    /// The cache would shrink below `reserved`.
    case reserved
    /// An edit of the policy took its protection away a short while ago.
    case editGrace = "edit-grace"
    /// A new or changed age rule takes it, later.
    case announced
    /// A running process names it in its command line.
    case namedByProcess = "named-by-process"
    /// It lies in a folder that is a link to elsewhere, which the policy's `also` does not list.
    case foreignEntry = "foreign-entry"

    /// Orders as declared.
    public static func < (left: Keeper, right: Keeper) -> Bool {
        (allCases.firstIndex(of: left) ?? 0) < (allCases.firstIndex(of: right) ?? 0)
    }
}

/// A keeper and what it is in this case, in words for a person.
public struct Kept: Sendable, Hashable {
    /// The keeper.
    public var by: Keeper
    /// The fact: `process 4711 (vllm) has it open`.
    public var detail: String

    /// Makes a reason to keep.
    public init(by keeper: Keeper, _ detail: String) {
        self.by = keeper
        self.detail = detail
    }
}
