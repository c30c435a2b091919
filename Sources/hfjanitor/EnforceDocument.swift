import CacheScan
import Documents
import Enforcement
import HubCache
import LinuxIO
import Retention

/// `hfjanitor.enforce/1`: what `enforce` and `rm` did.
struct EnforceDocument: Encodable {
    struct Cache: Encodable {
        var path: String
        var filesystem: String
        var freeBytes: UInt64
        var minFreeBytes: UInt64?
        var targetFreeBytes: UInt64?
        var removed: [PlanDocument.Action]
        var kept: [PlanDocument.KeptEntry]
        var failed: [PlanDocument.Action]
        var notes: [String]
        var reached: Bool

        enum CodingKeys: String, CodingKey {
            case path, filesystem, removed, kept, failed, notes, reached
            case freeBytes = "free_bytes"
            case minFreeBytes = "min_free_bytes"
            case targetFreeBytes = "target_free_bytes"
        }
    }

    struct Condition: Encodable {
        var code: String
        var message: String
    }

    var schema = "hfjanitor.enforce/1"
    var mode: String
    var time: String
    var caches: [Cache]
    var conditions: [Condition]

    init(mode: Policy.Mode, time: Timestamp, caches gathered: [GatheredCache], report: PassReport) {
        self.mode = mode.rawValue
        self.time = formatTime(time)
        caches = gathered.enumerated().map { place, cache in
            let names = ItemNames(facts: cache.facts)
            let plan = report.pass.plan.caches[place]
            // What was tried and stays is kept by more than the plan knew at first.
            let tried = report.pass.kept.filter { $0.action.item.cache == place }
            return Cache(
                path: cache.facts.path.text, filesystem: cache.facts.filesystem.name,
                freeBytes: (try? cache.root.currentFilesystem())?.availableBytes ?? plan.freeBytes,
                minFreeBytes: plan.minFreeBytes, targetFreeBytes: plan.targetFreeBytes,
                removed: report.pass.removed.filter { $0.action.item.cache == place }.map { done in
                    var action = done.action
                    action.bytes = done.bytes
                    return PlanDocument.Action(action, names: names)
                },
                kept: tried.map {
                    PlanDocument.KeptEntry($0.action.item, bytes: $0.action.bytes, reasons: $0.reasons, names: names)
                }
                    + plan.kept.filter { kept in !tried.contains { $0.action.item == kept.item } }.map {
                        PlanDocument.KeptEntry($0.item, bytes: $0.bytes, reasons: $0.reasons, names: names)
                    },
                failed: report.pass.failed.filter { $0.action.item.cache == place }.map {
                    PlanDocument.Action($0.action, names: names, detail: $0.message)
                },
                notes: plan.notes, reached: plan.isReached)
        }
        conditions = report.ineffective.map {
            Condition(
                code: "eviction-ineffective",
                message: "\($0.appeared) of \($0.predicted) bytes removed from \($0.filesystem) became free")
        }
        if let silence = report.pass.hubSilence { conditions.append(Condition(code: "hub-silent", message: silence)) }
    }
}

/// `hfjanitor.rm/1`: what `rm` did, or would.
struct RemovalDocument: Encodable {
    var schema = "hfjanitor.rm/1"
    var time: String
    var removed: [PlanDocument.Action]
    var kept: [PlanDocument.KeptEntry]
    var failed: [PlanDocument.Action]

    /// - Parameter outcome: nil for a dry run: then `removed` is what would be.
    init(_ caches: [GatheredCache], _ plan: NamedRemovalPlan, _ outcome: PassOutcome?, time: Timestamp) {
        self.time = formatTime(time)
        func names(_ item: Item) -> ItemNames { ItemNames(facts: caches[item.cache].facts) }
        removed =
            outcome?.removed.map { done in
                var action = done.action
                action.bytes = done.bytes
                return PlanDocument.Action(action, names: names(action.item))
            } ?? plan.actions.map { PlanDocument.Action($0, names: names($0.item)) }
        kept =
            plan.kept.map {
                PlanDocument.KeptEntry($0.item, bytes: $0.bytes, reasons: $0.reasons, names: names($0.item))
            }
            + (outcome?.kept ?? []).map {
                PlanDocument.KeptEntry(
                    $0.action.item, bytes: $0.action.bytes, reasons: $0.reasons, names: names($0.action.item))
            }
        failed = (outcome?.failed ?? []).map {
            PlanDocument.Action($0.action, names: names($0.action.item), detail: $0.message)
        }
        // What a repo that was named as a whole had besides.
        for (path, further) in outcome?.further ?? [] {
            if case .kept(let reasons) = further { kept.append(PlanDocument.KeptEntry(path: path, reasons: reasons)) }
        }
    }
}
