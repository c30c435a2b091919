import HubCache

/// A map of the policy file, and the keys that it takes.
struct Section: Sendable, Hashable {
    /// What it is called in diagnostics.
    var name: String
    var keys: [String]

    static let policy = Section(
        name: "a policy",
        keys: [
            "mode", "edit-grace", "announce", "caches", "pins", "rules", "verify", "repair", "notify", "metrics",
            "control", "shared",
        ])
    static let cache = Section(
        name: "a cache",
        keys: [
            "path", "min-free", "target-free", "critical-free", "max-size", "target-size", "reserved", "min-age",
            "recent-use", "irreplaceable", "assume-unused-after", "allow-empty", "also", "local-dirs",
        ])
    static let pin = Section(name: "a pin", keys: ["repo", "revision", "reason"])
    static let rule = Section(
        name: "a rule", keys: ["name", "when", "match", "keep-last", "older-than", "unused-for", "order"])
    static let match = Section(
        name: "'match'", keys: ["type", "repo", "revision", "state", "larger-than", "smaller-than"])
    static let verify = Section(name: "'verify'", keys: ["on-arrival", "scrub-every", "rate", "io-pressure-max"])
    static let repair = Section(
        name: "'repair'",
        keys: ["refetch", "endpoints", "max-concurrent-downloads", "attempts", "estimate-margin", "rate"])
    static let endpoint = Section(name: "an endpoint", keys: ["url", "token", "allow-http"])
    static let notify = Section(name: "'notify'", keys: ["command", "url", "min-severity"])
    static let metrics = Section(name: "'metrics'", keys: ["listen"])
    static let control = Section(name: "'control'", keys: ["allow-fetch"])
    static let shared = Section(name: "'shared'", keys: ["enforcer"])

    static let all = [
        policy, cache, pin, rule, match, verify, repair, endpoint, notify, metrics, control, shared,
    ]
}

/// Finds what was probably meant by a word that is none of those known.
package enum Suggestion {
    /// The known word with the fewest typing mistakes in it, if they are few.
    package static func nearest(to word: String, in known: some Sequence<String>) -> String? {
        let typed = Array(word.lowercased().replacing("_", with: "-").utf8.prefix(64))
        var best: (word: String, distance: Int)?
        for candidate in known {
            let distance = distance(typed, Array(candidate.utf8))
            if distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        guard let best, best.distance <= max(1, min(typed.count, best.word.utf8.count) / 3) else { return nil }
        return best.word
    }

    /// Insertions, deletions, replacements and swaps of neighbours that make one word of another (optimal string alignment).
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for (row, byte) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                var cost = min(last[column] + (byte == other ? 0 : 1), last[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, byte == right[column - 1], left[row - 1] == other {
                    cost = min(cost, beforeLast[column - 1] + 1)
                }
                current.append(cost)
            }
            beforeLast = last
            last = current
        }
        return last[right.count]
    }
}
