internal import HubCache
internal import Ledger
internal import PolicyFile
internal import Retention

/// The policy that counts, what those before it protect, and what became of the last file that was read.
struct PolicyInForce {
    /// What reading a file came to.
    enum Verdict {
        /// It counts now; what it changed.
        case applied(PolicyDifference)
        /// It is as before.
        case unchanged
        /// The last good one stays; why, one line a problem.
        case rejected(String)
    }

    private(set) var loaded: LoadedPolicy
    /// Those before it that still count, the last one first.
    private(set) var former: [FormerPolicy] = []
    /// What is wrong with the file now; nil: the file is what counts.
    private(set) var error: String?
    /// How many times a file was read.
    private(set) var readings = 1
    private let location: PolicyLocation
    private let scope: String

    var policy: Policy { loaded.policy }

    /// Takes the first policy, and remembers it.
    ///
    /// - Parameter location: where it was looked for.
    init(_ loaded: LoadedPolicy, from location: PolicyLocation, ledger: Ledger, now: Timestamp) {
        self.loaded = loaded
        self.location = location
        scope = FormerPolicies.scope(of: location)
        // A daemon that is pointed at another file has its policy edited.
        _ = ledger.replacePolicies(besides: scope, at: now)
        FormerPolicies.note(loaded.policy, scope: scope, in: ledger, at: now)
        former = FormerPolicies.remembered(before: loaded.policy, scope: scope, in: ledger, at: now)
    }

    /// Takes what was read.
    mutating func take(_ reading: PolicyWatch.Reading, ledger: Ledger, now: Timestamp) -> Verdict {
        readings += 1
        switch reading {
        case .failure(let failure):
            error = failure.text
            return .rejected(failure.text)
        case .success(let new):
            if let problem = loss(from: loaded, to: new) {
                error = problem
                return .rejected(problem)
            }
            let wasWrong = error != nil
            error = nil
            guard new.policy != loaded.policy else {
                loaded = new
                return wasWrong ? .applied(PolicyDifference(from: loaded.policy, to: new.policy)) : .unchanged
            }
            let difference = PolicyDifference(from: loaded.policy, to: new.policy)
            // From memory: the ledger may be full, or gone.
            former = FormerPolicies.counting(
                former + [FormerPolicy(policy: loaded.policy, replacedAt: now)], before: new.policy, at: now)
            loaded = new
            FormerPolicies.note(new.policy, scope: scope, in: ledger, at: now)
            return .applied(difference)
        }
    }

    /// An emptied or vanished file is an accident, not an edit, whatever its drop-ins hold.
    private func loss(from old: LoadedPolicy, to new: LoadedPolicy) -> String? {
        guard let first = old.files.first, !old.isEmpty else { return nil }
        // One that is looked for earlier takes the place of those after it.
        let replaced = location.candidates.firstIndex(where: new.files.contains).map {
            location.candidates[($0 + 1)...].filter { $0 != location.machineFile }
        }
        for file in Set(location.candidates + [location.machineFile]).sorted()
        where old.files.contains(file) && !old.blankFiles.contains(file) && !(replaced?.contains(file) ?? false) {
            if new.blankFiles.contains(file) { return "\(file.display):1:1: the policy file is empty" }
            if !new.files.contains(file) { return "\(file.display): the policy file is gone" }
        }
        if new.isEmpty { return "\(first.display):1:1: the policy file is empty" }
        if !new.files.contains(where: old.files.contains) { return "\(first.display): the policy file is gone" }
        return nil
    }
}
