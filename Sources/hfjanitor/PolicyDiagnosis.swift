import CacheScan
import Diagnosis
import HubCache
import HubClient
import LinuxIO
import PolicyFile
import Retention

/// Looks at the policy: whether what it says can work on this machine.
struct PolicyDiagnosis {
    private let opened: OpenedCaches
    private let environment: [String: String]
    private let hub: HubEnvironment

    init(_ opened: OpenedCaches, environment: [String: String]) {
        self.opened = opened
        self.environment = environment
        hub = HubEnvironment(environment: environment, tokenFile: CacheLocator(environment: environment).tokenFile)
    }

    /// Looks at everything. Changes nothing.
    func checks() -> [Check] {
        var checks = [policyCheck()]
        checks += opened.loaded.warnings.map {
            Check("policy", .note, $0.text, remedy: "man hfjanitor-policy says what the key means")
        }
        if let problem = hub.tokenProblem {
            checks.append(
                Check(
                    "token", .problem, "the token is not used: \(problem)",
                    remedy: "without it the Hub confirms no gated or private model, and those are never removed"))
        }
        if let check = pinCheck() { checks.append(check) }
        for root in opened.roots { checks += cacheChecks(root) }
        return checks
    }

    /// Who pins what is not called that believes it safe.
    private func pinCheck() -> Check? {
        var idle = opened.loaded.policy.pins
        for root in opened.roots where !idle.isEmpty {
            let scan = CacheScan(root: root)
            guard let listing = try? scan.list() else { continue }
            for folder in listing.repos where idle.contains(where: { $0.isOn(folder.id) }) {
                let repo = scan.scanRepo(folder, store: listing.store)
                for commit in repo.snapshots.compactMap(\.commit) {
                    let refs = repo.refs.filter { $0.commit == commit }.map(\.name)
                    idle.removeAll { $0.names(commit, withRefs: refs, of: folder.id) }
                }
            }
        }
        guard !idle.isEmpty else { return nil }
        let names = idle.prefix(5).map { pin in
            "'" + displayText(of: pin.repo.pattern + (pin.revision.map { "@" + $0.pattern } ?? "")) + "'"
        }
        return Check(
            "policy", .note,
            "\(counted(idle.count, "pin")) of nothing that is here: \(names.joined(separator: ", "))"
                + (idle.count > names.count ? " and others" : ""),
            remedy: "'hfjanitor ls --revisions' has the names: those of repos and refs with their case, of commits the "
                + "first 7 digits or more")
    }

    private func policyCheck() -> Check {
        guard let file = opened.loaded.files.first else {
            return Check("policy", .good, "none: nothing is removed but what is named to 'rm'")
        }
        let rules = opened.loaded.policy.rules.count
        return Check(
            "policy", .good,
            "'\(file.display)', mode \(opened.loaded.policy.mode.rawValue), \(counted(rules, "rule")), "
                + "\(counted(opened.loaded.policy.pins.count, "pin"))")
    }

    private func cacheChecks(_ root: CacheRoot) -> [Check] {
        let policy = opened.policy(of: root)
        let name = root.path.display
        var checks: [Check] = []
        let rules = opened.loaded.policy.rules
        if rules.contains(where: { $0.unusedFor != nil }),
            root.filesystem.isNoAccessTime || root.filesystem.kind.isNetwork
        {
            checks.append(
                Check(
                    "last-use", cache: name, .note,
                    "access times are not kept here: rules with unused-for match nothing",
                    remedy: "mount it with relatime"))
        }
        let removes = policy.minFree != nil || policy.maxSize != nil || !rules.isEmpty
        if removes, policy.irreplaceable == .keep, hub.isOffline {
            checks.append(
                Check(
                    "irreplaceable", cache: name, .note,
                    "HF_HUB_OFFLINE is set: the Hub cannot be asked, so no revision that was ever complete is removed",
                    remedy: "unset it for hfjanitor, or set 'irreplaceable: evict' for this cache"))
        }
        return checks
    }
}
