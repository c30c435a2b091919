import HubCache
import Retention

/// Elements to a policy, with every default filled in.
struct PolicyReader {
    let log: DiagnosticLog
    let paths: PathReader
    /// Whether this is one file of several: what keys mean together is then looked at later, in the whole.
    let isPart: Bool
    /// Whether `HF_HUB_OFFLINE` is set.
    var isOffline = false
    /// Whether there is a folder, for warnings; nil: not looked at.
    var folderExists: (@Sendable (BytePath) -> Bool)?

    func policy(_ root: Element) -> Policy {
        var policy = Policy()
        guard let map = MapReader(root, .policy, log: log) else { return policy }
        policy.mode = map.word("mode") ?? policy.mode
        policy.editGrace = map.value("edit-grace", TimeSpan.parse) ?? policy.editGrace
        policy.announce = map.value("announce", TimeSpan.parse) ?? policy.announce
        let caches = caches(map.list("caches") ?? [])
        policy.caches = caches.map(\.policy)
        policy.pins = (map.list("pins") ?? []).compactMap(pin)
        let rules = rules(map.list("rules") ?? [], of: caches.map(\.policy))
        policy.rules = rules
        if let verify = map.map("verify", .verify) { policy.verification = verification(verify) }
        if let repair = map.map("repair", .repair) { policy.repair = self.repair(repair) }
        if let notify = map.map("notify", .notify) { policy.notify = self.notify(notify) }
        if let metrics = map.map("metrics", .metrics) {
            policy.metricsAddress = metricsAddress(metrics)
        }
        if let control = map.map("control", .control) { policy.allowsFetch = control.flag("allow-fetch") ?? false }
        if let shared = map.map("shared", .shared) {
            policy.enforcer = shared.optional("enforcer", off: "none", Self.host) ?? nil
        }
        if !isPart, !map.has("mode") {
            if !rules.isEmpty {
                log.error(map.keyPlace("rules"), "a policy with rules must state 'mode: observe' or 'mode: enforce'")
            }
            for cache in caches {
                for key in ["min-free", "max-size"] where cache.has(key) {
                    log.error(
                        cache.map.keyPlace(key),
                        "a policy with '\(key)' must state 'mode: observe' or 'mode: enforce'")
                }
            }
        }
        return policy
    }

    // MARK: Caches

    private struct ReadCache {
        var map: MapReader
        var policy: CachePolicy

        func has(_ key: String) -> Bool {
            key == "min-free" ? policy.minFree != nil : policy.maxSize != nil
        }
    }

    private func caches(_ elements: [Element]) -> [ReadCache] {
        var caches: [ReadCache] = []
        for element in elements {
            guard let map = MapReader(element, .cache, log: log) else { continue }
            let cache = cache(map)
            if let first = caches.first(where: { $0.policy.path == cache.path }),
                cache.path != nil || !map.has("path")
            {
                let line = first.map.position.line
                log.error(
                    map.place("path"),
                    cache.path.map { "the cache '\($0.display)' stands twice, first in line \(line)" }
                        ?? "a second cache without a path, the first is in line \(line)")
                continue
            }
            caches.append(ReadCache(map: map, policy: cache))
        }
        return caches
    }

    private func cache(_ map: MapReader) -> CachePolicy {
        var cache = CachePolicy()
        cache.path = map.value("path", paths.parse)
        cache.minFree = map.optional("min-free", off: "none", Quantity.amount) ?? nil
        cache.targetFree = map.optional("target-free", off: "none", Quantity.positiveAmount) ?? nil
        cache.criticalFree = map.optional("critical-free", off: "none", Quantity.amount) ?? nil
        cache.maxSize = map.optional("max-size", off: "none", Quantity.positiveAmount) ?? nil
        cache.targetSize = map.optional("target-size", off: "none", Quantity.positiveAmount) ?? nil
        cache.reserved = map.optional("reserved", off: "none", Quantity.amount) ?? nil
        cache.minAge = map.value("min-age", TimeSpan.parse) ?? cache.minAge
        cache.recentUse = map.value("recent-use", TimeSpan.parse) ?? cache.recentUse
        cache.irreplaceable = map.word("irreplaceable") ?? cache.irreplaceable
        cache.assumeUnusedAfter = map.optional("assume-unused-after", off: "never", TimeSpan.parse) ?? nil
        cache.allowsEmpty = map.flag("allow-empty") ?? cache.allowsEmpty
        cache.also = map.values("also", paths.parse) ?? []
        cache.localDirs = map.values("local-dirs", paths.parse) ?? []
        if let span = cache.assumeUnusedAfter, span < .seconds(7 * 86_400) {
            log.error(map.place("assume-unused-after"), "'assume-unused-after' must be at least 7d")
        }
        if !isPart { check(cache, map) }
        return cache
    }

    private func check(_ cache: CachePolicy, _ map: MapReader) {
        if cache.targetFree != nil, !map.has("min-free") {
            log.error(map.keyPlace("target-free"), "'target-free' without 'min-free' has no meaning")
        }
        if let target = cache.targetFree, let floor = cache.minFree, target.isAtMost(floor) {
            log.error(
                map.place("target-free"),
                "'target-free' (\(Quantity.text(target))) must be above 'min-free' (\(Quantity.text(floor)))")
        }
        if cache.targetFree == nil, case .partsPerMillion(let parts) = cache.minFree, parts > 980_000 {
            log.error(map.place("min-free"), "'min-free' above 98% leaves no room for 'target-free'")
        }
        if cache.targetSize != nil, !map.has("max-size") {
            log.error(map.keyPlace("target-size"), "'target-size' without 'max-size' has no meaning")
        }
        if let target = cache.targetSize, let cap = cache.maxSize, cap.isAtMost(target) {
            log.error(
                map.place("target-size"),
                "'target-size' (\(Quantity.text(target))) must be below 'max-size' (\(Quantity.text(cap)))")
        }
        if let critical = cache.criticalFree, let floor = cache.minFree, floor != .bytes(0), !critical.isAtMost(floor),
            floor.isAtMost(critical)
        {
            log.warn(
                map.place("critical-free"),
                "'critical-free' is above 'min-free': downloads are refused before anything is evicted")
        }
        if let reserved = cache.reserved, let cap = cache.maxSize, cap.isAtMost(reserved) {
            log.warn(map.place("reserved"), "'reserved' is not below 'max-size': the cap cannot be kept")
        }
        if isOffline, cache.irreplaceable == .keep, cache.minFree != nil || cache.maxSize != nil {
            log.warn(
                map.keyPlace(cache.minFree != nil ? "min-free" : "max-size"),
                "HF_HUB_OFFLINE is set, so that the Hub is not asked and nothing goes that was ever complete: "
                    + "set 'irreplaceable: evict', or unset it")
        }
        guard let folderExists else { return }
        let named: [(key: String, paths: [BytePath])] = [
            ("path", cache.path.map { [$0] } ?? []), ("also", cache.also), ("local-dirs", cache.localDirs),
        ]
        for (key, paths) in named {
            for path in paths where !folderExists(path) {
                log.warn(map.place(key), "there is no folder '\(path.display)' (yet)")
            }
        }
    }

    private func pin(_ element: Element) -> Pin? {
        guard let map = MapReader(element, .pin, log: log, shape: "a map such as {repo: org/name}") else { return nil }
        func glob(_ text: String) throws(UnitError) -> Glob {
            guard !text.isEmpty else { throw UnitError("must not be empty") }
            return Glob(text)
        }
        /// A pin that can never fit protects nothing, and nobody would notice.
        func repoGlob(_ text: String) throws(UnitError) -> Glob {
            let glob = try glob(text)
            guard glob.isLiteral, !RepoType.allCases.contains(where: { RepoID(type: $0, name: text) != nil }) else {
                return glob
            }
            for type in RepoType.allCases where text.hasPrefix(type.rawValue + "/") {
                if RepoID(type: type, name: String(text.dropFirst(type.rawValue.utf8.count + 1))) != nil { return glob }
            }
            guard let target = TargetName(text.replacing("https://huggingface.co/", with: "hf://")) else {
                throw UnitError("'\(displayText(of: text))' is not a repo such as org/name")
            }
            let meant = target.candidates.count == 1 ? target.candidates[0].description : target.candidates[0].name
            let revision = target.revision.map { ", with revision: \($0)" } ?? ""
            throw UnitError(
                "'\(displayText(of: text))' is not how a pin names a repo",
                suggestion: displayText(of: meant + revision))
        }
        if !map.has("repo") { log.error(map.position, "a pin needs 'repo'; \"*\" pins everything") }
        let revision = map.value("revision", glob)
        let reason = map.text("reason")
        guard let repo = map.value("repo", repoGlob) else { return nil }
        return Pin(repo: repo, revision: revision, reason: reason)
    }
}

extension Amount {
    /// Whether it is no more than another, where that can be told without a filesystem.
    func isAtMost(_ other: Amount) -> Bool {
        switch (self, other) {
        case (.bytes(let one), .bytes(let other)): one <= other
        case (.partsPerMillion(let one), .partsPerMillion(let other)): one <= other
        default: false
        }
    }
}
