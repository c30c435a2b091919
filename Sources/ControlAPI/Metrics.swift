internal import Daemon
internal import HubCache

/// The daemon's numbers in Prometheus's text format.
struct Metrics {
    private var lines: [String] = []

    static func text(_ numbers: DaemonNumbers) -> String {
        var metrics = Metrics()
        metrics.add(numbers)
        return metrics.lines.joined(separator: "\n") + "\n"
    }

    private mutating func add(_ numbers: DaemonNumbers) {
        let status = numbers.status
        let paths = Dictionary(status.caches.map { ($0.id, $0.path.display) }, uniquingKeysWith: { first, _ in first })
        func labels(_ cache: String, _ more: [(String, String)] = []) -> [(String, String)] {
            [("cache", paths[cache] ?? cache)] + more
        }
        metric("hfjanitor_build_info", "gauge", "The program's version.", [([("version", status.version)], "1")])
        metric(
            "hfjanitor_ready", "gauge", "Whether every cache that is there was looked at.",
            [
                ([], status.isReady ? "1" : "0")
            ])
        metric(
            "hfjanitor_start_time_seconds", "gauge", "When the daemon began, in seconds since 1970.",
            [([], "\(status.since.seconds)")])
        metric(
            "hfjanitor_policy_ok", "gauge", "Whether the policy file is what counts.",
            [([], status.policyError == nil ? "1" : "0")])
        metric(
            "hfjanitor_free_bytes", "gauge", "Bytes that an unprivileged user could still write.",
            status.caches.compactMap { cache in cache.freeBytes.map { (labels(cache.id), "\($0)") } })
        metric(
            "hfjanitor_floor_bytes", "gauge", "Free bytes below which room is made.",
            status.caches.compactMap { cache in cache.floorBytes.map { (labels(cache.id), "\($0)") } })
        metric(
            "hfjanitor_cache_bytes", "gauge", "Bytes of repos by type and state, on the disk.",
            numbers.stored.map { (labels($0.cache, [("type", $0.type), ("state", $0.state.rawValue)]), "\($0.bytes)") })
        metric(
            "hfjanitor_repos", "gauge", "Repos by type and state.",
            numbers.stored.map { (labels($0.cache, [("type", $0.type), ("state", $0.state.rawValue)]), "\($0.repos)") })
        metric(
            "hfjanitor_reclaimable_bytes", "gauge", "Bytes that could be reclaimed without any policy.",
            status.caches.map { (labels($0.id), "\($0.reclaimableBytes)") })
        metric(
            "hfjanitor_findings", "gauge", "Findings that hold, by code.",
            numbers.findings.map {
                (labels($0.cache, [("code", $0.code.rawValue), ("severity", $0.severity.rawValue)]), "\($0.count)")
            })
        metric(
            "hfjanitor_removed_items_total", "counter", "Items removed, by rule.",
            numbers.removals.map { ([("rule", $0.rule)], "\($0.items)") })
        metric(
            "hfjanitor_removed_bytes_total", "counter", "Bytes removed, by rule.",
            numbers.removals.map { ([("rule", $0.rule)], "\($0.bytes)") })
        metric(
            "hfjanitor_last_event_lag_seconds", "gauge", "From the last change that was judged to the verdict.",
            numbers.lastLag.map { [([], "\($0)")] } ?? [])
        let finished = zip(status.caches, status.scrubs)
        metric(
            "hfjanitor_scrub_finished_time_seconds", "gauge",
            "When a digest pass last came to its end, in seconds since 1970.",
            finished.compactMap { cache, scrub in scrub.finished.map { (labels(cache.id), "\($0.seconds)") } })
        metric(
            "hfjanitor_scrub_running", "gauge", "Whether a digest pass is under way.",
            finished.map { cache, scrub in (labels(cache.id), scrub.state == .running ? "1" : "0") })
        metric(
            "hfjanitor_scrub_repos_done", "gauge", "Repos that the digest pass is done with.",
            finished.map { cache, scrub in (labels(cache.id), "\(scrub.reposDone)") })
        metric(
            "hfjanitor_conditions", "gauge", "Conditions that hold, by severity.",
            Severity.allCases.map { severity in
                ([("severity", severity.rawValue)], "\(status.conditions.count { $0.severity == severity })")
            })
        metric(
            "hfjanitor_queue_length", "gauge", "Repos and caches that wait to be looked at.",
            [
                ([], "\(status.queued)")
            ])
    }

    private mutating func metric(
        _ name: String, _ type: String, _ help: String, _ samples: [(labels: [(String, String)], value: String)]
    ) {
        guard !samples.isEmpty else { return }
        lines.append("# HELP \(name) \(help)")
        lines.append("# TYPE \(name) \(type)")
        for sample in samples {
            let labels = sample.labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }.joined(separator: ",")
            lines.append("\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(sample.value)")
        }
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in displayText(of: text) {
            switch character {
            case "\\", "\"": result += "\\\(character)"
            default: result.append(character)
            }
        }
        return result
    }
}
