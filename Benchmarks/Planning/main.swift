// Plans for a cache of 100,000 revisions and 300,000 contents in memory, and prints how long that took as JSON.
//
// Usage: PlanningBenchmark [REVISIONS [ROUNDS]]

import HubCache
import Retention

let revisions = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 100_000
let rounds = CommandLine.arguments.dropFirst(2).first.flatMap { Int($0) } ?? 7
let gigabyte: UInt64 = 1_000_000_000
let now = Timestamp(seconds: 1_769_860_800)

func hexadecimal(_ number: Int) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 40 - digits.count) + digits
}

/// Three revisions to a repo, three contents to a revision: one its own, one shared with its neighbour, one behind a link.
func facts() -> CacheFacts {
    var policy = CachePolicy(path: "/cache")
    policy.minFree = .bytes(UInt64(revisions) * gigabyte)
    let filesystem = FilesystemFacts(
        id: 1, name: "/", totalBytes: UInt64(revisions) * 8 * gigabyte, freeBytes: 10 * gigabyte, keepsAccessTimes: true
    )
    var facts = CacheFacts(path: "/cache", policy: policy, filesystem: filesystem, bytes: 0)
    var state: UInt64 = 1
    var shared: StorageGraph.NodeID?
    for index in 0..<revisions {
        if index % 3 == 0, let id = RepoID(type: .model, name: "org\(index % 1000)/model\(index / 3)") {
            facts.repos.append(RepoFacts(id: id, folder: id.folder))
        }
        guard let commit = CommitHash(hexadecimal(index)) else { continue }
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let age = Int64(state >> 40) * 2 + 200_000
        let arrived = Timestamp(seconds: now.seconds - age)
        var revision = RevisionFacts(
            repo: facts.repos.count - 1, commit: commit, state: index % 50 == 0 ? .partial : .complete, arrived: arrived
        )
        revision.refs = index % 3 == 0 ? ["main"] : []
        revision.supersededAt = index % 3 == 1 ? arrived : nil
        revision.wasComplete = revision.state == .complete
        revision.hub = index % 7 == 0 ? .refused(reason: "gone") : .confirmed
        revision.lastUse = LastUse(time: arrived, source: .atime)
        let payload = facts.storage.add(bytes: gigabyte)
        let linked = facts.storage.add(bytes: 0, holding: payload)
        let own = facts.storage.add(bytes: gigabyte)
        if index % 3 == 0 || shared == nil { shared = facts.storage.add(bytes: gigabyte) }
        revision.nodes = [own, linked] + [shared].compactMap { $0 }
        for node in revision.nodes { facts.storage.addHolder(of: node) }
        revision.bytes = 3 * gigabyte
        revision.ownBytes = 8192
        facts.bytes += 2 * gigabyte + 8192 + (index % 3 == 0 ? gigabyte : 0)
        facts.revisions.append(revision)
    }
    return facts
}

var policy = Policy()
func rule(_ name: String, _ states: [Match.State], _ edit: (inout Rule) -> Void) -> Rule {
    var match = Match()
    match.states = states
    var rule = Rule(name: name, match: match)
    edit(&rule)
    return rule
}
policy.pins = [Pin(repo: Glob("org1/*"), revision: Glob("main")), Pin(repo: Glob("*/model77"))]
policy.rules = [
    rule("broken downloads", [.incomplete]) { $0.olderThan = .seconds(21_600) },
    rule("superseded", [.superseded]) {
        $0.keepLast = 1
        $0.olderThan = .seconds(7 * 86_400)
    },
    rule("unused models", []) {
        $0.match.types = [.model]
        $0.match.repos = [Glob("*")]
        $0.unusedFor = .seconds(300 * 86_400)
    },
    rule("make room", []) {
        $0.occasion = .pressure
        $0.match.largerThan = gigabyte
    },
]

let planner = Planner(policy: policy, caches: [facts()], now: now)
var seconds: [Double] = []
var actions = 0
var kept = 0
for _ in 0..<max(rounds, 1) {
    let start = ContinuousClock.now
    let plan = planner.plan { _ in ItemEvidence() }
    let length = (ContinuousClock.now - start).components
    seconds.append(Double(length.seconds) + Double(length.attoseconds) / 1e18)
    actions = plan.sequence.count
    kept = plan.caches.reduce(0) { $0 + $1.kept.count }
}
seconds.sort()
let all = seconds.map { "\($0)" }.joined(separator: ", ")
print(
    #"{"revisions": \#(revisions), "actions": \#(actions), "kept": \#(kept), "median": \#(seconds[seconds.count / 2]), "#
        + #""seconds": [\#(all)]}"#)
