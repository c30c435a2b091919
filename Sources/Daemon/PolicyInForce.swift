internal import HubCache
internal import Ledger
internal import PolicyFile
internal import Retention

/// The policy that counts, what the last one before it protects, and what became of the last file that was read.
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
    private(set) var former: FormerPolicy?
    /// What is wrong with the file now; nil: the file is what counts.
    private(set) var error: String?
    /// How many times a file was read.
    private(set) var readings = 1

    var policy: Policy { loaded.policy }

    /// Takes the first policy, and remembers it.
    init(_ loaded: LoadedPolicy, ledger: Ledger, now: Timestamp) {
        self.loaded = loaded
        remember(in: ledger, now: now)
    }

    /// Takes what was read.
    mutating func take(_ reading: PolicyWatch.Reading, ledger: Ledger, now: Timestamp) -> Verdict {
        readings += 1
        switch reading {
        case .failure(let failure):
            error = failure.text
            return .rejected(failure.text)
        case .success(let new):
            if let problem = Self.loss(from: loaded, to: new) {
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
            loaded = new
            remember(in: ledger, now: now)
            return .applied(difference)
        }
    }

    /// An emptied or vanished file is an accident, not an edit.
    private static func loss(from old: LoadedPolicy, to new: LoadedPolicy) -> String? {
        guard let file = old.files.first, !old.isEmpty else { return nil }
        if new.isEmpty { return "\(file.display):1:1: the policy file is empty" }
        if !new.files.contains(where: { old.files.contains($0) }) {
            return "\(file.display): the policy file is gone"
        }
        return nil
    }

    private mutating func remember(in ledger: Ledger, now: Timestamp) {
        let scope = loaded.files.first?.text ?? "default"
        let document = PolicyText(loaded.policy).text
        var mark = Fingerprint()
        mark.add(BytePath(document))
        ledger.notePolicy(scope: scope, digest: String(mark.value, radix: 16), document: document, at: now)
        guard let last = ledger.policies(scope: scope).first(where: { $0.replacedAt != nil }),
            let replacedAt = last.replacedAt,
            let policy = try? PolicyParser().policy([PolicySource(file: "ledger", bytes: Array(last.document.utf8))])
                .policy
        else { return }
        former = FormerPolicy(policy: policy, replacedAt: replacedAt)
    }
}
