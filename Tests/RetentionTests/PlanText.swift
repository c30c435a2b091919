import HubCache
import Retention

/// A plan as text: one line for all that is in it.
func text(_ plan: Plan, of caches: [CacheFacts]) -> String {
    var lines: [String] = []
    for (cache, part) in plan.caches.enumerated() {
        let bounds = [
            part.minFreeBytes.map { "floor \(bytes($0))" }, part.targetFreeBytes.map { "target \(bytes($0))" },
        ]
        .compactMap { $0 }.joined(separator: ", ")
        lines.append(
            "\(caches[cache].path): free \(bytes(part.freeBytes))\(bounds.isEmpty ? "" : ", \(bounds)"), "
                + "shortfall \(bytes(part.shortfallBytes))")
        for action in part.actions {
            let hub = action.hub.map { ", hub \($0.word)" } ?? ""
            lines.append(
                "  remove \(name(action.item, of: caches)) \(action.isAtMost ? "at most " : "")\(bytes(action.bytes)) "
                    + "[\(action.rule)] \(action.reason.text)\(hub)")
        }
        for kept in part.kept {
            let reasons = kept.reasons.map { "\($0.by.rawValue) (\($0.detail))" }.joined(separator: "; ")
            lines.append("  keep \(name(kept.item, of: caches)) \(bytes(kept.bytes)) [\(kept.rule)] \(reasons)")
        }
        lines.append(
            "  after: free \(bytes(part.freeBytesAfter)), if refused \(bytes(part.freeBytesIfRefused)), "
                + (part.isReached ? "reached" : "not reached"))
        lines += part.notes.map { "  note: \($0)" }
    }
    if plan.caches.count > 1 {
        lines.append("sequence: " + plan.sequence.map { name($0.item, of: caches) }.joined(separator: ", "))
    }
    return lines.joined(separator: "\n") + "\n"
}

/// An explanation as text.
func text(_ explanation: Explanation, of caches: [CacheFacts]) -> String {
    var lines = ["\(name(explanation.item, of: caches)): \(explanation.isRemoved ? "remove" : "keep")"]
    lines += explanation.tried.map { "  [\($0.rule)] \($0.isMatched ? "fits" : "does not fit"): \($0.reason.text)" }
    lines += explanation.keptBy.map { "  kept by \($0.by.rawValue) (\($0.detail))" }
    lines += explanation.notes.map { "  note: \($0)" }
    return lines.joined(separator: "\n") + "\n"
}

/// An item as text: `org/name@aaaa`, or a file's path.
func name(_ item: Item, of caches: [CacheFacts]) -> String {
    let facts = caches[item.cache]
    let prefix = caches.count > 1 ? "\(item.cache):" : ""
    switch item {
    case .revision(_, let index):
        let revision = facts.revisions[index]
        return "\(prefix)\(facts.repos[revision.repo].id.name)@\(revision.commit.hex.prefix(4))"
    case .file(_, let index): return "\(prefix)\(facts.files[index].path)"
    }
}

private func bytes(_ count: UInt64) -> String {
    if count >= gigabyte, count % (gigabyte / 10) == 0 {
        return count % gigabyte == 0
            ? "\(count / gigabyte) GB"
            : "\(count / gigabyte).\(count % gigabyte / (gigabyte / 10)) GB"
    }
    return "\(count) B"
}
