internal import HubCache
internal import PolicyFile
internal import Retention

/// What an edit changed, in words for a journal.
struct PolicyDifference {
    /// One clause a change; none when both mean the same.
    private(set) var clauses: [String] = []

    init(from old: Policy, to new: Policy) {
        if old.mode != new.mode { clauses.append("mode \(old.mode.rawValue) → \(new.mode.rawValue)") }
        comparePins(old, new)
        compareRules(old, new)
        compareCaches(old, new)
        // Everything else, by the lines that a policy file would have.
        var (one, other) = (old, new)
        for policy in [0, 1] {
            func strip(_ policy: inout Policy) {
                policy.mode = .observe
                policy.pins = []
                policy.rules = []
                policy.caches = []
            }
            if policy == 0 { strip(&one) } else { strip(&other) }
        }
        let before = Self.lines(one)
        let after = Self.lines(other)
        clauses += before.filter { !after.contains($0) }.map { "− \($0)" }
        clauses += after.filter { !before.contains($0) }.map { "+ \($0)" }
    }

    var text: String { clauses.isEmpty ? "nothing changed" : clauses.joined(separator: "; ") }

    private mutating func comparePins(_ old: Policy, _ new: Policy) {
        for pin in new.pins where !old.pins.contains(pin) { clauses.append("pin added: \(Self.text(pin))") }
        for pin in old.pins where !new.pins.contains(pin) { clauses.append("pin removed: \(Self.text(pin))") }
    }

    private mutating func compareRules(_ old: Policy, _ new: Policy) {
        for rule in new.rules {
            guard let known = old.rules.first(where: { $0.name == rule.name }) else {
                clauses.append("rule '\(rule.name)' added")
                continue
            }
            if known != rule { clauses.append("rule '\(rule.name)' changed") }
        }
        for rule in old.rules where !new.rules.contains(where: { $0.name == rule.name }) {
            clauses.append("rule '\(rule.name)' removed")
        }
        let names = (old.rules.map(\.name), new.rules.map(\.name))
        if names.0 != names.1, Set(names.0) == Set(names.1) { clauses.append("rules in another order") }
    }

    private mutating func compareCaches(_ old: Policy, _ new: Policy) {
        for cache in new.caches {
            let name = cache.path?.display ?? "the default cache"
            guard let known = old.caches.first(where: { $0.path == cache.path }) else {
                clauses.append("cache \(name) added")
                continue
            }
            guard known != cache else { continue }
            var (one, other) = (Policy(), Policy())
            one.caches = [known]
            other.caches = [cache]
            let before = Self.lines(one)
            let after = Self.lines(other)
            let changes =
                before.filter { !after.contains($0) }.map { "− \($0)" }
                + after.filter { !before.contains($0) }.map { "+ \($0)" }
            clauses.append("cache \(name): \(changes.joined(separator: ", "))")
        }
        for cache in old.caches where !new.caches.contains(where: { $0.path == cache.path }) {
            clauses.append("cache \(cache.path?.display ?? "the default cache") removed")
        }
    }

    private static func text(_ pin: Pin) -> String {
        pin.repo.pattern + (pin.revision.map { "@\($0.pattern)" } ?? "")
    }

    private static func lines(_ policy: Policy) -> [String] {
        PolicyText(policy).text.split(separator: "\n").map { line in
            String(line.drop { $0 == " " || $0 == "-" })
        }.filter { !$0.hasPrefix("#") }
    }
}
