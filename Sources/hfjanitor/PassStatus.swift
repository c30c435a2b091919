import Enforcement
import HubCache

extension PassOutcome {
    /// The exit status that failures give; nil when there were none.
    var failureStatus: ExitStatus? {
        let outcomes =
            failed.map(\.isPermission)
            + further.compactMap { entry in
                if case .failed(_, let isPermission) = entry.outcome { isPermission } else { nil }
            }
        if outcomes.isEmpty { return nil }
        return outcomes.contains(false) ? .cannotWrite : .permission
    }

    /// Whether something stays that nobody named, in a repo that was named as a whole.
    var leavesMore: Bool {
        further.contains { entry in if case .kept = entry.outcome { true } else { false } }
    }
}

extension PlanText {
    /// The line of something that was met in a repo named as a whole; nil when it is simply gone.
    func line(_ path: BytePath, _ outcome: ActionOutcome) -> String? {
        switch outcome {
        case .removed: return nil
        case .kept(let reasons):
            let why = reasons.map { "\($0.by.rawValue) (\(displayText(of: $0.detail)))" }.joined(separator: ", ")
            return "keep              \(path.display)  \(why)"
        case .failed(let message, _): return "failed            \(path.display)  \(displayText(of: message))"
        }
    }
}
