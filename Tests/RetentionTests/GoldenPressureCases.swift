import HubCache
import Retention

private func floor(_ least: UInt64, _ target: UInt64? = nil) -> (inout CachePolicy) -> Void {
    {
        $0.minFree = .bytes(least * gigabyte)
        $0.targetFree = target.map { .bytes($0 * gigabyte) }
    }
}

/// Everything that the implied order knows.
private func leftovers(_ edit: (inout CachePolicy) -> Void) -> CacheFacts {
    cache(
        policy: bounds {
            $0.irreplaceable = .evict
            edit(&$0)
        }
    ) {
        $0.revision("org/used", "a", bytes: 10 * gigabyte, used: 3 * day)
        $0.revision("org/old", "b", bytes: 10 * gigabyte, used: 90 * day)
        $0.revision("org/unknown", "c", bytes: 10 * gigabyte, used: nil)
        $0.revision("org/moved", "d", refs: [], bytes: 10 * gigabyte, used: 4 * day) { $0.supersededAt = ago(3 * day) }
        $0.file(.orphanBlob, "orphan", repo: "org/used", bytes: gigabyte)
        $0.file(.orphanPayload, "payload", bytes: gigabyte)
        $0.file(.stalePartial, "partial", repo: "org/used", bytes: 2 * gigabyte)
    }
}

private func pressed(_ order: Rule.Order) -> GoldenCase {
    GoldenCase(
        "order-\(order.rawValue)",
        [
            cache(policy: bounds(floor(540, 541))) {
                $0.revision("org/a", "a", bytes: 10 * gigabyte, arrived: 40 * day, used: 9 * day) {
                    $0.hub = .confirmed
                }
                $0.revision("org/b", "b", bytes: 12 * gigabyte, arrived: 90 * day, used: 8 * day)
                $0.revision("org/c", "c", bytes: 14 * gigabyte, arrived: 60 * day, used: 30 * day) {
                    $0.hub = .confirmed
                }
                $0.revision("org/d", "d", .partial, bytes: 8 * gigabyte, arrived: 80 * day, used: 20 * day)
                $0.revision("org/e", "e", bytes: 1 * gigabyte, used: 3 * day)
            }
        ], policy([rule("make room", pressure: true, order: order)]))
}

let pressureCases: [GoldenCase] =
    Rule.Order.allCases.map(pressed) + [
        GoldenCase("no-pressure", [leftovers(floor(500))], explains: true),
        GoldenCase("implied-order", [leftovers(floor(501, 544))]),
        GoldenCase("implied-order-first-only", [leftovers(floor(501, 502))], explains: true),
        GoldenCase("default-target", [leftovers { $0.minFree = .bytes(501 * gigabyte) }]),
        GoldenCase("percent-floor", [leftovers { $0.minFree = .partsPerMillion(510_000) }]),
        GoldenCase("hysteresis", [leftovers(floor(400, 510))]),
        GoldenCase("room", [leftovers(floor(490))], room: 15 * gigabyte),
        GoldenCase("room-without-floor", [leftovers { _ in }], room: 502 * gigabyte),
        GoldenCase("room-enough", [leftovers { _ in }], room: 500 * gigabyte),
        GoldenCase("room-below-policy", [leftovers(floor(501, 510))], room: gigabyte),
        GoldenCase(
            "cap",
            [
                leftovers {
                    $0.maxSize = .bytes(43 * gigabyte); $0.targetSize = .bytes(39 * gigabyte)
                }
            ]),
        GoldenCase("cap-default-target", [leftovers { $0.maxSize = .bytes(40 * gigabyte) }]),
        GoldenCase("cap-not-exceeded", [leftovers { $0.maxSize = .bytes(44 * gigabyte) }], explains: true),
        GoldenCase("cap-percent", [leftovers { $0.maxSize = .partsPerMillion(30_000) }]),
        GoldenCase(
            "cap-and-floor",
            [
                leftovers {
                    $0.maxSize = .bytes(42 * gigabyte); floor(501, 520)(&$0)
                }
            ]),
        GoldenCase(
            "standing-rules-count-first", [leftovers(floor(501, 502))],
            policy([rule("orphans", [.orphan]), rule("make room", pressure: true)])),
        GoldenCase(
            "rules-in-file-order", [leftovers(floor(501, 523))],
            policy([
                rule("large", larger: 5 * gigabyte, unused: 30 * day, pressure: true),
                rule("partials", [.stalePartial], pressure: true), rule("rest", pressure: true),
            ]), explains: true),
        GoldenCase(
            "pressure-unwatched",
            [
                cache(
                    policy: bounds {
                        floor(501)(&$0); $0.irreplaceable = .evict
                    }, keepsAccessTimes: false
                ) {
                    $0.revision("org/a", "a", bytes: gigabyte, used: 20 * day, source: .unwatched)
                    $0.revision("org/b", "b", bytes: gigabyte, used: 30 * day, source: .mtime)
                    $0.revision("org/c", "c", bytes: gigabyte, used: 3 * day)
                }
            ]),
        GoldenCase(
            "unreachable-pinned", [threeModels(floor(600))],
            policy([], pins: [Pin(repo: Glob("org/middle")), Pin(repo: Glob("org/old"))])),
        GoldenCase(
            "unreachable-hub",
            [
                cache(policy: bounds(floor(600))) {
                    $0.revision("org/a", "a", bytes: 30 * gigabyte) { $0.hub = .refused(reason: "no answer") }
                    $0.revision("org/b", "b", bytes: 10 * gigabyte) { $0.hub = .unasked }
                    $0.revision("org/c", "c", .downloading, bytes: gigabyte)
                    $0.revision("org/d", "d", bytes: gigabyte, used: day)
                }
            ]),
        GoldenCase("unreachable-nothing", [cache(policy: bounds(floor(600))) { _ in }]),
        GoldenCase("unreachable-cap", [threeModels { $0.maxSize = .bytes(5 * gigabyte) }]),
        GoldenCase(
            "two-caches-share-a-floor",
            [
                cache(
                    "/one",
                    policy: bounds {
                        floor(505, 512)(&$0); $0.irreplaceable = .evict
                    }
                ) {
                    $0.revision("org/a", "a", bytes: 5 * gigabyte, used: 30 * day)
                    $0.revision("org/b", "b", bytes: 5 * gigabyte, used: 10 * day)
                },
                cache(
                    "/two",
                    policy: bounds {
                        floor(502, 600)(&$0); $0.irreplaceable = .evict
                    }, free: 503 * gigabyte
                ) {
                    $0.revision("org/a", "a", bytes: 5 * gigabyte, used: 20 * day)
                    $0.revision("org/c", "c", bytes: 5 * gigabyte, used: 40 * day)
                    $0.revision("org/d", "d", bytes: 5 * gigabyte, used: 5 * day)
                },
            ]),
        GoldenCase(
            "two-filesystems",
            [
                cache(
                    "/one",
                    policy: bounds {
                        floor(501)(&$0); $0.irreplaceable = .evict
                    }
                ) {
                    $0.revision("org/a", "a", bytes: 25 * gigabyte)
                    $0.revision("org/b", "b", bytes: 25 * gigabyte, used: 5 * day)
                },
                cache("/two", policy: bounds { $0.irreplaceable = .evict }, filesystem: 2) {
                    $0.revision("org/a", "a", bytes: 25 * gigabyte)
                    $0.revision("org/b", "b", bytes: 25 * gigabyte, used: 5 * day)
                },
            ]),
        GoldenCase(
            "reserved-under-pressure",
            [
                threeModels {
                    floor(540, 541)(&$0); $0.reserved = .bytes(35 * gigabyte)
                }
            ]),
    ]

private func shared(_ least: UInt64, _ target: UInt64, _ build: (inout CacheBuilder) -> Void) -> CacheFacts {
    cache(
        policy: bounds {
            floor(least, target)(&$0)
            $0.irreplaceable = .evict
        }
    ) {
        build(&$0)
        $0.revision("org/last", "f", bytes: gigabyte, used: 3 * day)
    }
}

/// Two revisions with one blob, and one that has its own.
private func pair(_ target: UInt64) -> CacheFacts {
    shared(501, target) {
        $0.blob("s", 10 * gigabyte)
        $0.revision("org/x", "a", blobs: ["s"], own: 1000, used: 50 * day)
        $0.revision("org/y", "b", bytes: 2 * gigabyte, used: 40 * day)
        $0.revision("org/x", "c", blobs: ["s"], own: 2000, used: 30 * day)
    }
}

let sharingCases: [GoldenCase] = [
    GoldenCase("shared-blob-not-worth-it", [pair(502)]),
    GoldenCase("shared-blob-completed", [pair(505)], explains: true),
    GoldenCase(
        "shared-blob-kept", [pair(505)], extra: [.revision(cache: 0, index: 2): [Kept(by: .lock, "busy")]]),
    GoldenCase("shared-blob-due", [pair(400)], policy([rule("unused", unused: 45 * day)])),
    GoldenCase(
        "shared-payload",
        [
            shared(501, 505) {
                $0.blob("p", 10 * gigabyte)
                $0.blob("one", 0, payload: "p")
                $0.blob("two", 0, payload: "p")
                $0.revision("org/x", "a", blobs: ["one"], own: 1000, used: 50 * day)
                $0.revision("org/y", "b", blobs: ["two"], own: 1000, used: 40 * day)
            }
        ]),
    GoldenCase(
        "hard-linked-elsewhere",
        [
            shared(501, 505) {
                $0.blob("p", 10 * gigabyte, foreign: 1)
                $0.revision("org/x", "a", blobs: ["p"], used: 50 * day)
                $0.revision("org/y", "b", bytes: 5 * gigabyte, used: 40 * day)
            }
        ], explains: true),
    GoldenCase(
        "own-bytes-are-not-worth-it",
        [
            shared(501, 505) {
                $0.blob("p", 10 * gigabyte, foreign: 1)
                $0.revision("org/x", "a", blobs: ["p"], own: gigabyte / 10, used: 50 * day)
            }
        ]),
    GoldenCase(
        "three-share-and-one-frees-more",
        [
            shared(501, 513) {
                $0.blob("s", 10 * gigabyte)
                $0.blob("t", 4 * gigabyte)
                $0.revision("org/x", "a", blobs: ["s", "t"], used: 50 * day)
                $0.revision("org/x", "b", blobs: ["t"], used: 45 * day)
                $0.revision("org/x", "c", blobs: ["s"], used: 40 * day)
                $0.revision("org/x", "d", bytes: gigabyte, used: 30 * day)
            }
        ]),
]
