public import HubCache
public import Ledger
internal import LinuxIO
public import PolicyFile
public import Retention

/// The policies that were in force before, for as long as they still protect something.
public enum FormerPolicies {
    /// Under what name the policies of a location are remembered: however the file is spelled, and whichever drop-ins it has.
    ///
    /// Links are not followed: one that leads elsewhere from now on is an edit.
    public static func scope(of location: PolicyLocation) -> String {
        let file = location.candidates.first ?? location.machineFile
        var absolute = file
        if !file.hasPrefix("/") {
            let folder = try? OwnedDescriptor.open(trustedPath: ".", options: .directory).currentPath()
            absolute = (folder ?? "/").appending(file)
        }
        let relative = BytePath(bytes: Array(absolute.bytes.drop { $0 == UInt8(ascii: "/") }))
        return "/" + (BytePath("").resolvingLexically(relative) ?? relative).text
    }

    /// Notes in the ledger which policy is in force.
    public static func note(_ policy: Policy, scope: String, in ledger: Ledger, at now: Timestamp) {
        let document = PolicyText(policy).text
        var mark = Fingerprint()
        mark.add(BytePath(document))
        ledger.notePolicy(scope: scope, digest: String(mark.value, radix: 16), document: document, at: now)
    }

    /// The policies before the one in force that the ledger has and that still count, the last one first.
    public static func remembered(
        before policy: Policy, scope: String, in ledger: Ledger, at now: Timestamp
    ) -> [FormerPolicy] {
        let former = ledger.policies(scope: scope).compactMap { remembered -> FormerPolicy? in
            guard let replacedAt = remembered.replacedAt,
                let loaded = try? PolicyParser()
                    .policy([PolicySource(file: "ledger", bytes: Array(remembered.document.utf8))])
            else { return nil }
            return FormerPolicy(policy: loaded.policy, replacedAt: replacedAt)
        }
        return counting(former, before: policy, at: now)
    }

    /// Those that still count, the last one first.
    ///
    /// Each counts for as long as the longest that any policy since has said: no edit shortens what an earlier one has promised.
    static func counting(_ former: [FormerPolicy], before policy: Policy, at now: Timestamp) -> [FormerPolicy] {
        var (grace, announce) = (policy.editGrace, policy.announce)
        var counting: [FormerPolicy] = []
        for former in former.sorted(by: { $0.replacedAt > $1.replacedAt }) {
            grace = max(grace, former.policy.editGrace)
            announce = max(announce, former.policy.announce)
            var lasting = former
            lasting.policy.editGrace = grace
            lasting.policy.announce = announce
            // What comes and goes counts from its last time, with the same length.
            guard !counting.contains(where: { $0.policy == lasting.policy }) else { continue }
            let (age, overflow) = now.nanoseconds.subtractingReportingOverflow(former.replacedAt.nanoseconds)
            if overflow || .nanoseconds(age) < max(grace, announce) { counting.append(lasting) }
        }
        return counting
    }
}
