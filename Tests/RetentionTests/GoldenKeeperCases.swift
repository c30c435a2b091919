import HubCache
import Retention

private func one(
    _ edit: @escaping (inout RevisionFacts) -> Void = { _ in }, bounds edits: (inout CachePolicy) -> Void = { _ in }
) -> CacheFacts {
    cache(policy: bounds(edits)) {
        $0.revision("org/used", "a", bytes: gigabyte, used: 3 * day, opened: 3 * day)
        $0.revision("org/x", "b", bytes: 5 * gigabyte, edit: edit)
    }
}

private let all = policy([rule("all", repos: ["*"])])

let keeperCases: [GoldenCase] = [
    GoldenCase("hub-unasked", [one()], all),
    GoldenCase("hub-confirmed", [one { $0.hub = .confirmed }], all),
    GoldenCase("hub-refused", [one { $0.hub = .refused(reason: "the Hub answers 404") }], all),
    GoldenCase(
        "hub-refused-evict",
        [one({ $0.hub = .refused(reason: "gone") }, bounds: { $0.irreplaceable = .evict })], all),
    GoldenCase(
        "hub-never-complete",
        [
            one {
                $0.state = .partial
                $0.wasComplete = false
                $0.hub = .refused(reason: "gone")
            }
        ], all),
    GoldenCase(
        "hub-history-unknown",
        [
            one {
                $0.state = .partial
                $0.wasComplete = false
                $0.isHistoryKnown = false
                $0.hub = .refused(reason: "gone")
            },
            cache("/other", filesystem: 2) {
                $0.revision("org/used", "a", bytes: gigabyte, used: 3 * day, opened: 3 * day)
                $0.revision("org/unasked", "b", .partial, bytes: gigabyte) { $0.isHistoryKnown = false }
                $0.revision("org/empty", "c", .partial, own: 8192) { $0.isHistoryKnown = false }
            },
        ], policy([rule("broken", [.incomplete]), rule("all", repos: ["*"])])),
    GoldenCase("hold", [one { $0.keepers = [Kept(by: .hold, "held by root until tomorrow")] }], all),
    GoldenCase("min-age", [one { $0.youngestChange = ago(hour) }], all),
    GoldenCase("min-age-over", [one { $0.youngestChange = ago(2 * hour) }], all),
    GoldenCase("min-age-future", [one { $0.youngestChange = ago(-day) }], all),
    GoldenCase(
        "min-age-of-file", [cache { $0.file(.orphanBlob, "x", bytes: gigabyte, modified: hour) }],
        policy([rule("orphans", [.orphan])])),
    GoldenCase("recent-use", [one { $0.lastOpen = LastUse(time: ago(47 * hour), source: .atime) }], all),
    GoldenCase(
        "recent-use-swept",
        [
            one {
                $0.lastUse = LastUse(time: ago(100 * day), source: .unwatched)
                $0.sweptRead = LastUse(time: ago(9 * hour), source: .atime)
            },
            cache("/other", filesystem: 2) {
                $0.revision("org/used", "a", bytes: gigabyte, used: 3 * day, opened: 3 * day)
                $0.revision("org/x", "b", bytes: gigabyte, source: .unwatched) {
                    $0.sweptRead = LastUse(time: ago(3 * day), source: .atime)
                }
                // Whatever the sweep hides was at least 30 days ago, or may not have been.
                $0.revision("org/y", "c", bytes: gigabyte, source: .unwatched) {
                    $0.sweptRead = LastUse(time: ago(31 * day), source: .atime)
                }
                $0.revision("org/z", "d", bytes: gigabyte, source: .unwatched) {
                    $0.sweptRead = LastUse(time: ago(31 * day - 1), source: .atime)
                }
            },
        ], policy([rule("unused", unused: 30 * day), rule("all", repos: ["*"])]), explains: true),
    GoldenCase("recent-use-over", [one { $0.lastOpen = LastUse(time: ago(48 * hour), source: .atime) }], all),
    GoldenCase(
        "recent-use-is-no-download", [one { $0.lastUse = LastUse(time: ago(3 * hour), source: .mtime) }], all),
    GoldenCase(
        "all-keepers-named",
        [
            one {
                $0.keepers = [
                    Kept(by: .foreignEntry, "linked"), Kept(by: .foreignFiles, "notes.txt"), Kept(by: .hold, "held"),
                ]
                $0.youngestChange = ago(hour)
                $0.lastOpen = LastUse(time: ago(hour), source: .open)
                $0.hub = .refused(reason: "gone")
            }
        ], policy([rule("all", keepLast: 1)], pins: [Pin(repo: Glob("org/x"), reason: "production")])),
    GoldenCase(
        "evidence", [one()], all,
        evidence: {
            $0 == .revision(cache: 0, index: 1)
                ? ItemEvidence(keepers: [Kept(by: .openerAlive, "vllm runs"), Kept(by: .open, "process 7")])
                : ItemEvidence()
        }),
    GoldenCase(
        "may-share-extents", [one()], all, evidence: { _ in ItemEvidence(mayShareExtents: true) }),
    GoldenCase(
        "extra-keepers", [one()], all, extra: [.revision(cache: 0, index: 1): [Kept(by: .lock, "a download began")]]),
    GoldenCase(
        "last-one-tie",
        [
            cache(policy: bounds { $0.irreplaceable = .evict }) {
                $0.revision("org/a", "a", bytes: gigabyte, arrived: 20 * day, used: 9 * day)
                $0.revision("org/b", "b", bytes: gigabyte, arrived: 10 * day, used: 9 * day)
                $0.revision("org/c", "c", bytes: gigabyte, arrived: 10 * day, used: 9 * day)
                $0.revision("org/d", "d", .partial, bytes: gigabyte, arrived: 5 * day, used: 4 * day)
            }
        ], all),
    GoldenCase(
        "last-one-of-each-cache",
        [
            one(bounds: { $0.irreplaceable = .evict }),
            cache("/other", policy: bounds { $0.irreplaceable = .evict }) {
                $0.revision("org/only", "a", bytes: gigabyte)
            },
        ], all),
    GoldenCase(
        "pins",
        [
            cache(policy: bounds { $0.irreplaceable = .evict }) {
                $0.revision("meta-llama/a", "a", refs: ["main"], bytes: gigabyte)
                $0.revision("meta-llama/a", "b", refs: ["v1"], bytes: gigabyte)
                $0.revision("org/b", "cafe1234", refs: [], bytes: gigabyte)
                $0.revision("org/b", "cafe99", refs: [], bytes: gigabyte)
                $0.revision("dataset:org/b", "d", refs: [], bytes: gigabyte)
                $0.revision("org/c", "e", refs: [], bytes: gigabyte)
                $0.revision("org/d", "f", refs: ["release-1"], bytes: gigabyte)
                $0.revision("org/last", "1", bytes: gigabyte, used: 3 * day)
                $0.file(.orphanBlob, "orphan", repo: "meta-llama/a", bytes: gigabyte)
            }
        ],
        policy(
            [rule("all", unused: day), rule("orphans", [.orphan])],
            pins: [
                Pin(repo: Glob("meta-llama/*"), revision: Glob("main"), reason: "production"),
                Pin(repo: Glob("org/b"), revision: Glob("CAFE123")), Pin(repo: Glob("org/b"), revision: Glob("cafe9")),
                Pin(repo: Glob("dataset/*")), Pin(repo: Glob("model/org/c"), revision: Glob("*")),
                Pin(repo: Glob("*"), revision: Glob("release-?")),
            ]), explains: true),
    GoldenCase(
        "reserved", [threeModels { $0.reserved = .bytes(25 * gigabyte) }], policy([rule("all", repos: ["*"])])),
    GoldenCase("reserved-percent", [threeModels { $0.reserved = .partsPerMillion(40_000) }], policy([rule("all")])),
]

/// Policies of before, and the one of now.
private let before = ago(300)
private func edited(_ from: Policy, _ name: String, _ facts: CacheFacts, _ to: Policy, at: Timestamp = before)
    -> GoldenCase
{
    GoldenCase(name, [facts], to, former: [FormerPolicy(policy: from, replacedAt: at)])
}

private let path = bounds {
    $0.path = "/cache"
    $0.irreplaceable = .evict
}
private let unused = rule("unused", unused: 45 * day)

let editCases: [GoldenCase] = [
    edited(policy([unused], caches: [path]), "edit-nothing", threeModels(), policy([unused])),
    edited(
        policy([unused], pins: [Pin(repo: Glob("org/old"))], caches: [path]), "edit-pin-lost", threeModels(),
        policy([unused])),
    edited(
        policy([unused], pins: [Pin(repo: Glob("org/old"))], caches: [path]), "edit-pin-lost-long-ago", threeModels(),
        policy([unused]), at: ago(601)),
    edited(
        policy([rule("unused", unused: 90 * day)], caches: [path]), "edit-shorter-age", threeModels(),
        policy([unused])),
    edited(
        policy([rule("unused", unused: 90 * day)], caches: [path]), "edit-shorter-age-after-grace", threeModels(),
        policy([unused]), at: ago(1800)),
    edited(
        policy([rule("unused", unused: 90 * day)], caches: [path]), "edit-shorter-age-announced", threeModels(),
        policy([unused]), at: ago(3600)),
    edited(policy([], caches: [path]), "edit-new-rule", threeModels(), policy([unused])),
    edited(
        policy([rule("another name", unused: 30 * day)], caches: [path]), "edit-renamed-rule", threeModels(),
        policy([unused])),
    edited(policy([unused], caches: [CachePolicy(path: "/else")]), "edit-new-cache", threeModels(), policy([unused])),
    edited(
        policy([], caches: [path]), "edit-new-floor", threeModels { $0.minFree = .bytes(510 * gigabyte) }, policy([])),
    edited(
        policy(
            [], pins: [Pin(repo: Glob("org/old"))],
            caches: [
                bounds {
                    $0 = path; $0.minFree = .bytes(510 * gigabyte)
                }
            ]),
        "edit-emptied-under-pressure", threeModels { $0.minFree = .bytes(510 * gigabyte) }, policy([])),
    edited(
        {
            var long = policy([unused], pins: [Pin(repo: Glob("org/old"))], caches: [path])
            long.editGrace = .seconds(1000)
            return long
        }(), "edit-grace-shortened", threeModels(),
        {
            var short = policy([unused])
            short.editGrace = .seconds(0)
            return short
        }()),
    edited(
        policy([rule("weekly", [.superseded], keepLast: 2)], caches: [path]), "edit-keep-last", weeks(),
        policy([rule("weekly", [.superseded], keepLast: 1)])),
    edited(
        policy([rule("weekly", [.superseded], keepLast: 2)], caches: [path]), "edit-keep-last-renamed", weeks(),
        policy([rule("other", [.superseded])])),
    edited(
        policy([rule("unused", unused: 1 * day)], caches: [path]), "edit-allow-empty",
        threeModels { $0.allowsEmpty = true },
        policy([rule("unused", unused: 1 * day)])),
    edited(
        policy(
            [rule("unused", unused: 1 * day)],
            caches: [
                bounds {
                    $0 = path; $0.reserved = .bytes(40 * gigabyte)
                }
            ]), "edit-reserved", threeModels(), policy([rule("unused", unused: 1 * day)])),
    GoldenCase(
        "edit-twice", [threeModels()], policy([unused]),
        former: [
            FormerPolicy(policy: policy([unused], caches: [path]), replacedAt: ago(60)),
            FormerPolicy(
                policy: policy([unused], pins: [Pin(repo: Glob("org/old"))], caches: [path]), replacedAt: ago(300)),
        ]),
    edited(
        policy([unused], caches: [CachePolicy(path: "/cache")]), "edit-irreplaceable", threeModels(), policy([unused])),
]
