import HubCache
import Retention

/// Three models, last used 10, 50 and 100 days ago, of 10, 20 and 30 GB; nothing of them needs the Hub.
func threeModels(_ edit: (inout CachePolicy) -> Void = { _ in }, free: UInt64 = 500 * gigabyte) -> CacheFacts {
    cache(
        policy: bounds {
            $0.irreplaceable = .evict
            edit(&$0)
        }, free: free
    ) {
        $0.revision("org/new", "a", bytes: 10 * gigabyte, arrived: 60 * day, used: 10 * day)
        $0.revision("org/middle", "b", bytes: 20 * gigabyte, arrived: 50 * day, used: 50 * day)
        $0.revision("org/old", "c", bytes: 30 * gigabyte, arrived: 100 * day, used: 100 * day)
    }
}

/// Four revisions of one repo: a superseded one for every week, and the one that `main` names.
func weeks(_ edit: (inout CachePolicy) -> Void = { _ in }) -> CacheFacts {
    cache(
        policy: bounds {
            $0.irreplaceable = .evict
            edit(&$0)
        }
    ) {
        for (digit, age) in [("a", Int64(28)), ("b", 21), ("c", 14)] {
            $0.revision("org/weekly", digit, refs: [], bytes: gigabyte, arrived: age * day, used: age * day) {
                $0.supersededAt = ago((age - 7) * day)
            }
        }
        $0.revision("org/weekly", "d", bytes: gigabyte, arrived: 7 * day, used: 3 * day)
    }
}

let ruleCases: [GoldenCase] = [
    GoldenCase("no-rules", [threeModels()], explains: true),
    GoldenCase("no-rules-no-facts", []),
    GoldenCase("empty-cache", [cache { _ in }], policy([rule("all")])),
    GoldenCase("unused-for", [threeModels()], policy([rule("unused models", repos: ["*"], unused: 45 * day)])),
    GoldenCase("unused-for-exactly", [threeModels()], policy([rule("unused", unused: 50 * day)])),
    GoldenCase("unused-for-explained", [threeModels()], policy([rule("unused", unused: 45 * day)]), explains: true),
    GoldenCase("older-than", [threeModels()], policy([rule("old", older: 55 * day)])),
    GoldenCase("both-ages", [threeModels()], policy([rule("old and unused", older: 55 * day, unused: 60 * day)])),
    GoldenCase("larger-than", [threeModels()], policy([rule("large", larger: 20 * gigabyte)])),
    GoldenCase("smaller-than", [threeModels()], policy([rule("small", smaller: 20 * gigabyte)])),
    GoldenCase("everything", [threeModels()], policy([rule("all", repos: ["*"])])),
    GoldenCase("everything-allowed", [threeModels { $0.allowsEmpty = true }], policy([rule("all", repos: ["*"])])),
    GoldenCase(
        "first-rule-names-it", [threeModels()],
        policy([rule("old", unused: 90 * day), rule("unused", unused: 20 * day)]), explains: true),
    GoldenCase(
        "types",
        [
            cache(policy: bounds { $0.irreplaceable = .evict }) {
                $0.revision("org/model", "a", bytes: gigabyte)
                $0.revision("dataset:org/data", "b", bytes: gigabyte)
                $0.revision("space:org/space", "c", bytes: gigabyte, used: day)
            }
        ], policy([rule("data", types: [.dataset, .space])]), explains: true),
    GoldenCase(
        "repos", [threeModels()], policy([rule("some", repos: ["org/o*", "*/middle", "nobody/*"])]), explains: true),
    GoldenCase(
        "revisions",
        [
            cache(policy: bounds { $0.irreplaceable = .evict }) {
                $0.revision("org/x", "a", refs: ["main"], bytes: gigabyte, used: 3 * day)
                $0.revision("org/x", "b", refs: ["refs/pr/1"], bytes: gigabyte)
                $0.revision("org/x", "cafe123", refs: [], bytes: gigabyte)
                $0.revision("org/x", "cafe124", refs: [], bytes: gigabyte)
                $0.revision("org/x", "dead", refs: ["cafe12"], bytes: gigabyte)
            }
        ], policy([rule("named", revisions: ["refs/pr/*", "cafe123", "cafe12"], unused: day)]), explains: true),
    GoldenCase("superseded", [weeks()], policy([rule("superseded", [.superseded], older: 7 * day)]), explains: true),
    GoldenCase("keep-last", [weeks()], policy([rule("superseded", [.superseded], keepLast: 1)])),
    GoldenCase(
        "keep-last-counts-the-young", [weeks()],
        policy([rule("superseded", [.superseded], older: 10 * day, keepLast: 1)])),
    GoldenCase(
        "keep-last-of-one-rule-only", [weeks()],
        policy([rule("superseded", [.superseded], keepLast: 2), rule("detached use", unused: 20 * day)])),
    GoldenCase(
        "keep-last-by-repo",
        [
            cache(policy: bounds { $0.irreplaceable = .evict }) { builder in
                for (repo, digits) in [("org/x", ["a", "b", "c"]), ("org/y", ["d", "e"])] {
                    for (age, digit) in digits.enumerated() {
                        builder.revision(
                            repo, digit, refs: [], bytes: gigabyte, arrived: Int64(90 - age) * day,
                            used: Int64(90 - age) * day)
                    }
                }
            }
        ], policy([rule("detached", [.detached], unused: 7 * day, keepLast: 1)])),
    GoldenCase("standing-order-oldest", [threeModels()], policy([Rule(name: "all", order: .oldest)])),
]

let stateCases: [GoldenCase] = [
    GoldenCase(
        "detached-only-by-use",
        [
            cache(policy: bounds { $0.irreplaceable = .evict }) {
                $0.revision("org/x", "a", refs: [], bytes: gigabyte)
                $0.revision("org/x", "b", bytes: gigabyte, used: 3 * day)
            }
        ],
        policy([rule("by age", [.detached], older: day), rule("by use", [.detached], unused: 30 * day)]),
        explains: true),
    // Rules by age that match a pinned commit by some other key, and what is wrong with one.
    GoldenCase(
        "detached-never-by-age",
        [
            cache(policy: bounds { $0.irreplaceable = .evict }) {
                $0.revision("org/x", "a", refs: [], bytes: gigabyte)
                $0.revision("org/x", "b", .partial, refs: [], bytes: gigabyte)
                $0.revision("org/x", "c", .partial, refs: [], bytes: gigabyte) { $0.wasComplete = true }
                $0.revision("org/x", "d", refs: [], bytes: gigabyte) { $0.supersededAt = ago(50 * day) }
                $0.revision("org/x", "e", bytes: gigabyte, used: 3 * day)
            }
        ],
        policy([
            rule("both", [.complete, .detached], older: 7 * day), rule("complete", [.complete], older: 7 * day),
            rule("repo", repos: ["org/*"], older: 30 * day), rule("broken", [.partial, .detached], older: day),
        ]), explains: true),
    GoldenCase(
        "superseded-and-fetched-again",
        [
            cache(policy: bounds { $0.irreplaceable = .evict }) {
                $0.revision("org/x", "a", refs: [], bytes: gigabyte, arrived: 9 * day, used: 9 * day) {
                    $0.supersededAt = ago(10 * day)
                }
                $0.revision("org/x", "b", refs: [], bytes: gigabyte, arrived: 10 * day, used: 9 * day) {
                    $0.supersededAt = ago(10 * day)
                }
                $0.revision("org/x", "c", bytes: gigabyte, used: 3 * day)
            }
        ], policy([rule("superseded", [.superseded])]), explains: true),
    GoldenCase(
        "superseded-but-opened-since",
        [
            cache(policy: bounds { $0.irreplaceable = .evict }) {
                $0.revision("org/x", "a", refs: [], bytes: gigabyte, opened: 9 * day) {
                    $0.supersededAt = ago(10 * day)
                }
                $0.revision("org/x", "b", refs: ["v1"], bytes: gigabyte) { $0.supersededAt = ago(10 * day) }
                $0.revision("org/x", "c", bytes: gigabyte, used: 3 * day)
            }
        ], policy([rule("superseded", [.superseded])]), explains: true),
    GoldenCase(
        "broken-downloads",
        [
            cache {
                $0.revision("org/x", "a", .partial, bytes: gigabyte, arrived: 7 * hour)
                $0.revision("org/x", "b", .partial, bytes: gigabyte, arrived: 5 * hour)
                $0.revision("org/x", "c", .partial, bytes: gigabyte) { $0.wasComplete = true }
                $0.revision("org/x", "d", .partial, bytes: gigabyte) { $0.isOnlyWrongUpstream = true }
                $0.revision("org/x", "e", .downloading, bytes: gigabyte)
                $0.revision("org/x", "f", .unknown, bytes: gigabyte)
            }
        ], policy([rule("broken downloads", [.incomplete], older: 6 * hour)]), explains: true),
    GoldenCase(
        "corrupt",
        [
            cache {
                $0.revision("org/x", "a", .corrupt, bytes: gigabyte)
                $0.revision("org/x", "b", .corrupt, bytes: gigabyte) { $0.isProvenCorrupt = true }
                $0.revision("org/x", "c", .corrupt, bytes: gigabyte) {
                    $0.isProvenCorrupt = true
                    $0.wasComplete = true
                }
                $0.revision("org/x", "d", .corrupt, bytes: gigabyte) { $0.isOnlyWrongUpstream = true }
            }
        ], policy([rule("corrupt", [.corrupt])])),
    GoldenCase(
        "corrupt-by-use",
        [
            cache(policy: bounds { $0.irreplaceable = .evict }) {
                $0.revision("org/x", "a", .corrupt, bytes: gigabyte) { $0.wasComplete = true }
                $0.revision("org/x", "b", .partial, bytes: gigabyte) { $0.isOnlyWrongUpstream = true }
            }
        ], policy([rule("unused", unused: 30 * day)])),
    GoldenCase(
        "repair-of-pinned",
        [
            cache {
                $0.revision("org/x", "a", .partial, bytes: gigabyte)
                $0.revision("org/x", "b", .partial, bytes: gigabyte) { $0.isRepairExhausted = true }
            }
        ], policy([rule("broken", [.partial])], pins: [Pin(repo: Glob("org/*"))])),
    GoldenCase(
        "files",
        [
            cache {
                $0.file(.stalePartial, "a.incomplete", repo: "org/x", bytes: gigabyte)
                $0.file(.stalePartial, "b.incomplete", bytes: gigabyte, modified: hour)
                $0.file(.orphanBlob, "c", repo: "org/x", bytes: gigabyte)
                $0.file(.orphanPayload, "d", bytes: gigabyte)
                $0.file(.orphanBlob, "linked", bytes: gigabyte, links: 2, asNode: false)
                $0.file(.orphanBlob, "alone", bytes: gigabyte, asNode: false)
                $0.revision("org/x", "a", bytes: gigabyte)
            }
        ], policy([rule("partials", [.stalePartial], older: hour / 2), rule("orphans", [.orphan], repos: ["*"])]),
        explains: true),
    GoldenCase(
        "files-of-a-type",
        [
            cache {
                $0.file(.orphanBlob, "a", repo: "dataset:org/x", bytes: gigabyte)
                $0.file(.orphanPayload, "b", bytes: gigabyte)
            }
        ], policy([rule("orphans", [.orphan], types: [.dataset])]), explains: true),
    GoldenCase(
        "unwatched",
        [
            cache(policy: bounds { $0.irreplaceable = .evict }, keepsAccessTimes: false) {
                $0.revision("org/x", "a", bytes: gigabyte)
                $0.revision("org/y", "b", bytes: gigabyte, used: 3 * day)
                $0.facts.watchedSince = ago(20 * day)
            }
        ], policy([rule("long", unused: 21 * day), rule("short", unused: 20 * day)]), explains: true),
    GoldenCase(
        "never-watched",
        [
            cache(policy: bounds { $0.irreplaceable = .evict }, keepsAccessTimes: false) {
                $0.revision("org/x", "a", bytes: gigabyte)
                $0.revision("org/y", "b", bytes: gigabyte, used: nil)
                $0.revision("org/z", "c", bytes: gigabyte, source: .unwatched)
            }
        ], policy([rule("unused", unused: day)]), explains: true),
    GoldenCase(
        "clock-untrusted", [threeModels({ $0.minFree = .bytes(600 * gigabyte) })], policy([rule("all")]),
        clock: .untrusted(reason: "it is before the last time in the ledger"), explains: true),
    GoldenCase(
        "refused-cache",
        [
            {
                var facts = threeModels({ $0.minFree = .bytes(600 * gigabyte) })
                facts.refusal = "only node1 removes from it"
                return facts
            }()
        ], policy([rule("all")]), explains: true),
]
