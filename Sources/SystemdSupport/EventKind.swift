/// A kind of event that the program reports. The raw value is what `HFJ_EVENT` has.
///
/// This file is the one place that knows every kind, its message id and its usual priority; `systemd/hfjanitor.catalog` has
/// the text for each id.
public enum EventKind: String, Sendable, Hashable, CaseIterable {
    /// The inventory is done and the watches are armed.
    case daemonReady = "daemon-ready"
    /// The daemon was told to stop and does.
    case daemonStopping = "daemon-stopping"
    /// A revision came, and is whole.
    case arrived
    /// Something is wrong with a revision, a repo or a cache.
    case finding
    /// What was wrong is no longer.
    case findingCleared = "finding-cleared"
    /// A download of ours began.
    case downloadStarted = "download-started"
    /// A request was the same as a download that runs already.
    case downloadJoined = "download-joined"
    /// A download of ours is whole.
    case downloadFinished = "download-finished"
    /// A download of ours ended without what it was for.
    case downloadFailed = "download-failed"
    /// A file was relinked, copied or fetched again.
    case repaired
    /// Something was removed.
    case removed
    /// Something a rule matched was kept.
    case kept
    /// Free space is below `min-free`.
    case floorBreached = "floor-breached"
    /// Free space is above the floor again.
    case floorHeld = "floor-held"
    /// There is too little that may be removed to reach the floor.
    case floorUnreachable = "floor-unreachable"
    /// Removing freed far less than it should have.
    case evictionIneffective = "eviction-ineffective"
    /// A policy took effect.
    case policyApplied = "policy-applied"
    /// A policy is wrong, and the last good one stays.
    case policyRejected = "policy-rejected"
    /// A cache is not watched as it should be.
    case watchDegraded = "watch-degraded"
    /// A background digest pass came to its end.
    case scrubFinished = "scrub-finished"
    /// A pass over all caches came to its end.
    case pass

    /// The `MESSAGE_ID`: a random 128-bit number of its own, the same for ever, by which `journalctl` finds these events and
    /// their catalog text.
    public var messageID: String {
        switch self {
        case .daemonReady: "7f599e25e76143358cae4695aa4b7a3e"
        case .daemonStopping: "285156d19ad94cb58d2c60e27d01c63c"
        case .arrived: "069d40a4a3ea42ce960d5c179933b7eb"
        case .finding: "5e0b46345f3f456e8bdb97e7cd6e2d0d"
        case .findingCleared: "101b20a0781b480d8b2832aa8fd86836"
        case .downloadStarted: "448e774ec1bc4a3ca2235f3bdcfc5139"
        case .downloadJoined: "6b169fe0675a4c1d8ec375616d6c6c11"
        case .downloadFinished: "95f6392cacad4762ab07936c03a81e43"
        case .downloadFailed: "30c6e6f208ce46e58c20e06f5f1258a2"
        case .repaired: "d16a4854ab934c23ac604be90daa8e88"
        case .removed: "9d4dd066818b4eacb5c34d973ca236a3"
        case .kept: "b0dab6e4394d4d989760e21e29ff3501"
        case .floorBreached: "d62d5615aae94a26b8af2412e22e0d50"
        case .floorHeld: "2e0bfba295e540519975681792bdcad8"
        case .floorUnreachable: "377bec19cd4d4ae5b49af973bd15dc76"
        case .evictionIneffective: "ecb827b5c6b74637a278c24ba941011a"
        case .policyApplied: "2e12bc5f77cf454fbbb021fd9bfcdc90"
        case .policyRejected: "dd9ece2ab37f4ff094de492150dcd165"
        case .watchDegraded: "5e26b65106754941968e2cde4c1a38be"
        case .scrubFinished: "93b23874104b4c2782a992a66d05157d"
        case .pass: "ae4ee5759231466290c2374f67a909b9"
        }
    }

    /// The priority of such an event unless its sender knows better.
    public var usualPriority: EventPriority {
        switch self {
        case .floorUnreachable: .critical
        case .finding, .downloadFailed, .evictionIneffective, .policyRejected: .error
        case .floorBreached, .watchDegraded: .warning
        case .daemonReady, .daemonStopping, .arrived, .findingCleared, .downloadStarted, .downloadFinished, .repaired,
            .removed, .floorHeld, .policyApplied, .scrubFinished:
            .notice
        case .downloadJoined, .kept, .pass: .info
        }
    }
}

/// How much an event matters: by who must act, as syslog(3) numbers it.
public enum EventPriority: Int, Sendable, Hashable, CaseIterable, Comparable {
    /// Somebody must act now.
    case critical = 2
    /// Somebody must act.
    case error = 3
    /// The program can go on, with less.
    case warning = 4
    /// What was done, and each change of state.
    case notice = 5
    /// How things go.
    case info = 6
    /// For those who look for a fault.
    case debug = 7

    /// The word for it, in JSON lines and on a terminal.
    public var word: String {
        switch self {
        case .critical: "critical"
        case .error: "error"
        case .warning: "warning"
        case .notice: "notice"
        case .info: "info"
        case .debug: "debug"
        }
    }

    /// Orders by how much it matters, the most first.
    public static func < (left: EventPriority, right: EventPriority) -> Bool { left.rawValue < right.rawValue }
}
