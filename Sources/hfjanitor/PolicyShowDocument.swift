import HubCache
import PolicyFile
import Retention

/// `hfjanitor.policy/1`: the effective policy. Keys are those of the file with underscores; times are whole seconds, sizes
/// bytes, parts millionths, what is not set is left out.
struct PolicyShowDocument: Encodable {
    struct AmountDocument: Encodable {
        var bytes: UInt64?
        var partsPerMillion: UInt32?

        enum CodingKeys: String, CodingKey {
            case bytes
            case partsPerMillion = "parts_per_million"
        }

        init(_ amount: Amount) {
            switch amount {
            case .bytes(let bytes): self.bytes = bytes
            case .partsPerMillion(let parts): partsPerMillion = parts
            }
        }
    }

    struct Cache: Encodable {
        var path: String?
        var minFree: AmountDocument?
        var targetFree: AmountDocument?
        var criticalFree: AmountDocument?
        var maxSize: AmountDocument?
        var targetSize: AmountDocument?
        var reserved: AmountDocument?
        var minAge: Int64
        var recentUse: Int64
        var irreplaceable: String
        var assumeUnusedAfter: Int64?
        var allowEmpty: Bool
        var also: [String]
        var localDirs: [String]

        enum CodingKeys: String, CodingKey {
            case path, reserved, irreplaceable, also
            case minFree = "min_free"
            case targetFree = "target_free"
            case criticalFree = "critical_free"
            case maxSize = "max_size"
            case targetSize = "target_size"
            case minAge = "min_age_seconds"
            case recentUse = "recent_use_seconds"
            case assumeUnusedAfter = "assume_unused_after_seconds"
            case allowEmpty = "allow_empty"
            case localDirs = "local_dirs"
        }
    }

    struct PinDocument: Encodable {
        var repo: String
        var revision: String?
        var reason: String?
    }

    struct RuleDocument: Encodable {
        var name: String
        var when: String
        var match: MatchDocument
        var keepLast: Int?
        var olderThan: Int64?
        var unusedFor: Int64?
        var order: String

        enum CodingKeys: String, CodingKey {
            case name, when, match, order
            case keepLast = "keep_last"
            case olderThan = "older_than_seconds"
            case unusedFor = "unused_for_seconds"
        }
    }

    struct MatchDocument: Encodable {
        var type: [String]
        var repo: [String]
        var revision: [String]
        var state: [String]
        var largerThan: UInt64?
        var smallerThan: UInt64?

        enum CodingKeys: String, CodingKey {
            case type, repo, revision, state
            case largerThan = "larger_than_bytes"
            case smallerThan = "smaller_than_bytes"
        }
    }

    struct VerifyDocument: Encodable {
        var onArrival: String
        var scrubEvery: Int64?
        var rate: UInt64?
        var pressure: UInt32

        enum CodingKeys: String, CodingKey {
            case onArrival = "on_arrival"
            case scrubEvery = "scrub_every_seconds"
            case rate = "rate_bytes_per_second"
            case pressure = "io_pressure_max_parts_per_million"
        }
    }

    struct EndpointDocument: Encodable {
        var url: String
        var token: Bool
        var allowHTTP: Bool

        enum CodingKeys: String, CodingKey {
            case url, token
            case allowHTTP = "allow_http"
        }
    }

    struct RepairDocument: Encodable {
        var refetch: String
        var endpoints: [EndpointDocument]
        var downloads: Int
        var attempts: Int
        var margin: UInt32
        var rate: UInt64?

        enum CodingKeys: String, CodingKey {
            case refetch, endpoints, attempts
            case downloads = "max_concurrent_downloads"
            case margin = "estimate_margin_parts_per_million"
            case rate = "rate_bytes_per_second"
        }
    }

    struct NotifyDocument: Encodable {
        var command: [String]
        var url: String?
        var minSeverity: String

        enum CodingKeys: String, CodingKey {
            case command, url
            case minSeverity = "min_severity"
        }
    }

    var schema = "hfjanitor.policy/1"
    var files: [String]
    var mode: String
    var editGrace: Int64
    var announce: Int64
    var caches: [Cache]
    var pins: [PinDocument]
    var rules: [RuleDocument]
    var verify: VerifyDocument
    var repair: RepairDocument
    var notify: NotifyDocument?
    var metrics: [String: String]?
    var control: [String: Bool]
    var shared: [String: String]?

    enum CodingKeys: String, CodingKey {
        case schema, files, mode, announce = "announce_seconds", caches, pins, rules, verify, repair, notify, metrics
        case control, shared
        case editGrace = "edit_grace_seconds"
    }
}

extension PolicyShowDocument {
    init(_ loaded: LoadedPolicy) {
        let policy = loaded.policy
        files = loaded.files.map(\.text)
        mode = policy.mode.rawValue
        editGrace = policy.editGrace.components.seconds
        announce = policy.announce.components.seconds
        caches = policy.caches.map(Self.cache)
        pins = policy.pins.map {
            PinDocument(repo: $0.repo.pattern, revision: $0.revision?.pattern, reason: $0.reason)
        }
        rules = policy.rules.map(Self.rule)
        verify = VerifyDocument(
            onArrival: policy.verification.onArrival.rawValue,
            scrubEvery: policy.verification.scrubEvery?.components.seconds, rate: policy.verification.rate,
            pressure: policy.verification.ioPressureMax)
        repair = RepairDocument(
            refetch: policy.repair.refetch.rawValue,
            endpoints: policy.repair.endpoints.map {
                EndpointDocument(url: $0.url, token: $0.getsToken, allowHTTP: $0.allowsHTTP)
            },
            downloads: policy.repair.maxConcurrentDownloads, attempts: policy.repair.attempts,
            margin: policy.repair.estimateMargin, rate: policy.repair.rate)
        notify = policy.notify.map {
            NotifyDocument(command: $0.command, url: $0.url, minSeverity: $0.minSeverity.rawValue)
        }
        metrics = policy.metricsAddress.map { ["listen": $0.text] }
        control = ["allow_fetch": policy.allowsFetch]
        shared = policy.enforcer.map { ["enforcer": $0] }
    }

    private static func cache(_ cache: CachePolicy) -> Cache {
        Cache(
            path: cache.path?.text, minFree: cache.minFree.map(AmountDocument.init),
            targetFree: cache.targetFree.map(AmountDocument.init),
            criticalFree: cache.criticalFree.map(AmountDocument.init),
            maxSize: cache.maxSize.map(AmountDocument.init), targetSize: cache.targetSize.map(AmountDocument.init),
            reserved: cache.reserved.map(AmountDocument.init), minAge: cache.minAge.components.seconds,
            recentUse: cache.recentUse.components.seconds, irreplaceable: cache.irreplaceable.rawValue,
            assumeUnusedAfter: cache.assumeUnusedAfter?.components.seconds, allowEmpty: cache.allowsEmpty,
            also: cache.also.map(\.text), localDirs: cache.localDirs.map(\.text))
    }

    private static func rule(_ rule: Rule) -> RuleDocument {
        RuleDocument(
            name: rule.name, when: rule.occasion.rawValue,
            match: MatchDocument(
                type: rule.match.types.map(\.rawValue), repo: rule.match.repos.map(\.pattern),
                revision: rule.match.revisions.map(\.pattern), state: rule.match.states.map(\.rawValue),
                largerThan: rule.match.largerThan, smallerThan: rule.match.smallerThan),
            keepLast: rule.keepLast, olderThan: rule.olderThan?.components.seconds,
            unusedFor: rule.unusedFor?.components.seconds, order: rule.order.rawValue)
    }
}
