import HubCache

/// Seconds for a person: the largest unit of which there are two, or that is exact.
func secondsText(_ seconds: Int64) -> String {
    let units: [(Int64, String)] = [(86_400, "day"), (3_600, "hour"), (60, "minute")]
    for (length, word) in units where seconds >= 2 * length || (seconds >= length && seconds % length == 0) {
        return "\(seconds / length) \(word)\(seconds / length == 1 ? "" : "s")"
    }
    return "\(seconds) second\(seconds == 1 ? "" : "s")"
}

extension Duration {
    /// The length for a person: `51 days`.
    var text: String { secondsText(components.seconds) }
}

extension FactValue {
    /// The value for a person: `51 days`, `412 GB`.
    public var text: String {
        switch self {
        case .bytes(let bytes): formatBytes(bytes)
        case .seconds(let seconds): secondsText(seconds)
        case .time(let time): CalendarTime.text(of: time)
        case .count(let count): "\(count)"
        case .text(let text): text
        }
    }
}

extension Reason {
    /// The reason for a person: `unused-for 51 days (limit 45 days, by atime)`.
    public var text: String {
        var aside: [String] = []
        if let limit { aside.append("limit \(limit.text)") }
        if let source { aside.append("by \(source)") }
        return fact + (value.map { " " + $0.text } ?? "")
            + (aside.isEmpty ? "" : " (\(aside.joined(separator: ", ")))")
    }
}

extension Keeper {
    /// What it does to bytes, for a note: `412 GB pinned`.
    var participle: String {
        switch self {
        case .pin: "pinned"
        case .hold: "held"
        case .keepLast: "kept by keep-last"
        case .minAge: "younger than min-age"
        case .lock: "locked by a client"
        case .open: "open in a process"
        case .recentUse: "used within recent-use"
        case .openerAlive: "of processes that still run"
        case .irreplaceable: "kept because the Hub does not confirm that it has them"
        case .foreignFiles: "with foreign files"
        case .repairPending: "waiting for repair"
        case .cannotTell: "of which nothing can tell whether they are in use"
        case .lastOne: "of the last complete revision"
        case .reserved: "reserved"
        case .editGrace: "protected until an edit of the policy counts"
        case .announced: "announced"
        case .namedByProcess: "named by a process"
        case .foreignEntry: "in linked folders that the policy does not list"
        }
    }
}
