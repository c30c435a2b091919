import CacheScan
import Documents
import Enforcement
internal import Glibc
import HubCache
import LinuxIO
import Retention

/// The lines that a plan and its execution share: what goes, how much that gives back, by which rule and why.
struct PlanText {
    let caches: [GatheredCache]

    /// The line of an action, the same before and after it was done.
    ///
    /// - Parameter folds: whether a narrow terminal gets two.
    func line(_ action: PlannedAction, folds: Bool = true) -> String {
        let names = ItemNames(facts: caches[action.item.cache].facts)
        let hub = action.hub == .unasked ? "; the Hub was not asked yet" : ""
        return Self.folded(
            "remove  \(padded(size(action)))  \(names.display(action.item))",
            "\(displayText(of: action.rule)): \(displayText(of: action.reason.text))\(hub)", if: folds)
    }

    /// The line of something that a rule matched and that stays.
    func line(_ kept: KeptItem) -> String {
        line(kept: kept.item, bytes: kept.bytes, reasons: kept.reasons)
    }

    /// The line of something that stays.
    func line(kept item: Item, bytes: UInt64, reasons: [Kept]) -> String {
        let names = ItemNames(facts: caches[item.cache].facts)
        let why = reasons.map { "\($0.by.rawValue) (\(displayText(of: $0.detail)))" }.joined(separator: ", ")
        return Self.folded("keep    \(padded(formatBytes(bytes)))  \(names.display(item))", why)
    }

    /// The reason is on a line of its own where the terminal is too narrow for both.
    private static func folded(_ item: String, _ reason: String, if mayFold: Bool = true) -> String {
        let width = ProgressText.width(indent + item + "  " + reason)
        let columns = mayFold ? ProgressText.columns(of: STDOUT_FILENO) : nil
        let fits = columns.map { width <= $0 } ?? true
        return item + (fits ? "  " : "\n" + indent + "    ") + Terminal.styled(reason, .dim)
    }

    private static let indent = "  "

    private func size(_ action: PlannedAction) -> String {
        (action.isAtMost ? "≤ " : "") + formatBytes(action.bytes)
    }

    private func padded(_ size: String) -> String { String(repeating: " ", count: max(0, 8 - size.count)) + size }

    /// Prints a plan.
    ///
    /// - Parameter showsKept: whether what stays is listed too.
    func show(_ plan: Plan, mode: Policy.Mode, showsKept: Bool) {
        for (cache, plan) in zip(caches, plan.caches) {
            Terminal.print(Terminal.styled(cache.facts.path.display, .bold) + "  (mode: \(mode.rawValue))")
            Terminal.print("  " + Self.room(plan))
            for action in plan.actions { Terminal.print("  " + line(action)) }
            if showsKept { for kept in plan.kept { Terminal.print("  " + line(kept)) } }
            for note in plan.notes { Terminal.print("  " + displayText(of: note)) }
            Terminal.print("  " + Self.outcome(plan))
        }
    }

    /// What an item is called.
    func name(_ item: Item) -> String { ItemNames(facts: caches[item.cache].facts).display(item) }

    /// Prints what became of one item.
    func show(_ explanation: Explanation) {
        let verdict = explanation.isRemoved ? Terminal.styled("remove", .yellow) : Terminal.styled("keep", .green)
        Terminal.print("\(name(explanation.item)): \(verdict)")
        for tried in explanation.tried {
            Terminal.print(
                "  rule '\(displayText(of: tried.rule))': \(tried.isMatched ? "fits" : "does not fit"): "
                    + displayText(of: tried.reason.text))
        }
        if explanation.tried.isEmpty { Terminal.print("  the policy has no rules") }
        for note in explanation.notes { Terminal.print("  " + displayText(of: note)) }
        for kept in explanation.keptBy {
            Terminal.print("  kept by \(kept.by.rawValue): \(displayText(of: kept.detail))")
        }
    }

    /// Prints what a pass came to, after its lines.
    func show(_ report: PassReport) {
        for (place, plan) in report.pass.plan.caches.enumerated() {
            let removed = report.pass.removed.filter { $0.action.item.cache == place }
            let path = caches[place].facts.path.display
            for note in plan.notes { Terminal.print("\(path): \(displayText(of: note))") }
            var text = "\(path): removed \(counted(removed.count, "item")), "
            text += formatBytes(report.pass.removedBytes(cache: place))
            if let free = (try? caches[place].root.currentFilesystem())?.availableBytes {
                text += "; \(formatBytes(free)) free"
            }
            if let floor = plan.minFreeBytes { text += ", floor \(formatBytes(floor))" }
            Terminal.print(text + (plan.isReached ? "" : "; the target was not reached"))
        }
        if let silence = report.pass.hubSilence {
            Terminal.complain(
                "the Hub does not answer (\(displayText(of: silence))): what it might not give back stays; to let that go, set "
                    + "'irreplaceable: evict'")
        }
        for eviction in report.ineffective {
            Terminal.complain(
                "eviction-ineffective: of \(formatBytes(eviction.predicted)) removed from \(eviction.filesystem) only "
                    + "\(formatBytes(eviction.appeared)) became free, the second time; look for snapshots of the filesystem, or "
                    + "for processes that hold removed files ('lsof +L1')")
        }
    }

    /// How much room there is and is to be.
    static func room(_ plan: CachePlan) -> String {
        var parts = ["\(formatBytes(plan.freeBytes)) free"]
        if let floor = plan.minFreeBytes { parts.append("floor \(formatBytes(floor))") }
        if let target = plan.targetFreeBytes { parts.append("target \(formatBytes(target))") }
        if plan.shortfallBytes > 0 { parts.append("\(formatBytes(plan.shortfallBytes)) short") }
        return parts.joined(separator: ", ")
    }

    private static func outcome(_ plan: CachePlan) -> String {
        guard !plan.actions.isEmpty else {
            return plan.isReached ? "nothing to remove" : "nothing can be removed"
        }
        let bytes = plan.actions.reduce(UInt64(0)) { $0 &+ $1.bytes }
        let bound = plan.actions.contains(where: \.isAtMost) ? "at most " : ""
        var text =
            "\(counted(plan.actions.count, "item")), \(bound)\(formatBytes(bytes)); then \(formatBytes(plan.freeBytesAfter)) free"
        if plan.freeBytesIfRefused < plan.freeBytesAfter {
            text += ", \(formatBytes(plan.freeBytesIfRefused)) if the Hub refuses what it was not asked yet"
        }
        return text + (plan.isReached ? "" : "; the target is not reached")
    }
}
