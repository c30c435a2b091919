internal import Daemon
internal import HubCache

/// The daemon's numbers in Prometheus's text format.
struct Metrics {
    /// The type of the text, as an HTTP header has it.
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private typealias Labels = [(name: String, value: String)]
    private typealias Sample = (labels: Labels, value: String)

    private var lines: [String] = []
    private let paths: [String: String]

    static func text(_ numbers: DaemonNumbers) -> String {
        let numbers = withoutTwins(numbers)
        var metrics = Metrics(numbers.status)
        metrics.addDaemon(numbers)
        metrics.addSpace(numbers)
        metrics.addContent(numbers)
        metrics.addWork(numbers)
        metrics.addScrubs(numbers.status)
        metrics.addPass(numbers.status)
        return metrics.lines.joined(separator: "\n") + "\n"
    }

    private init(_ status: DaemonStatus) {
        paths = Dictionary(status.caches.map { ($0.id, $0.path.display) }, uniquingKeysWith: { first, _ in first })
    }

    /// One cache that is listed twice may have one path twice: two samples of the same labels would be refused, and all with them.
    private static func withoutTwins(_ numbers: DaemonNumbers) -> DaemonNumbers {
        var (paths, ids) = (Set<BytePath>(), Set<String>())
        for cache in numbers.status.caches where paths.insert(cache.path).inserted { ids.insert(cache.id) }
        var numbers = numbers
        let scrubs = zip(numbers.status.caches, numbers.status.scrubs)
        numbers.status.scrubs = scrubs.filter { ids.contains($0.0.id) }.map(\.1)
        numbers.status.caches.removeAll { !ids.contains($0.id) }
        numbers.caches.removeAll { !ids.contains($0.cache) }
        numbers.stored.removeAll { !ids.contains($0.cache) }
        numbers.findings.removeAll { !ids.contains($0.cache) }
        return numbers
    }

    // MARK: groups

    private mutating func addDaemon(_ numbers: DaemonNumbers) {
        let status = numbers.status
        gauge("build_info", "The program's version.", [([("version", status.version)], "1")])
        gauge("ready", "Whether every cache that is there was looked at.", flag(status.isReady))
        gauge("start_time_seconds", "When the daemon began, in seconds since 1970.", one(status.since.seconds))
        gauge("enforcing", "Whether the policy's mode is enforce.", flag(status.mode == "enforce"))
        gauge("policy_ok", "Whether the policy file is what counts.", flag(status.policyError == nil))
        gauge("ledger_available", "Whether the ledger can be read and written to.", flag(numbers.isLedgerAvailable))
        gauge("queue_length", "Repos and caches that wait to be looked at.", one(Int64(status.queued)))
        if let lag = numbers.lastLag {
            gauge("last_event_lag_seconds", "From the last change that was judged to the verdict.", [([], "\(lag)")])
        }
        gauge(
            "conditions", "Conditions that hold, findings that are errors too, by severity.",
            Severity.allCases.map { severity in
                ([("severity", severity.rawValue)], "\(status.conditions.count { $0.severity == severity })")
            })
        gauge(
            "condition", "Conditions that hold, findings aside, by code.",
            numbers.conditions.sorted { $0.key < $1.key }.map { ([("code", $0.key)], "\($0.value)") })
    }

    private mutating func addSpace(_ numbers: DaemonNumbers) {
        let caches = numbers.status.caches
        func each(_ value: (DaemonNumbers.Cache) -> UInt64?) -> [Sample] {
            numbers.caches.compactMap { cache in value(cache).map { (labels(cache.cache), "\($0)") } }
        }
        gauge("cache_up", "Whether the cache is there and answers.", each { $0.isUp ? 1 : 0 })
        gauge(
            "watch_degraded", "Whether changes in the cache may be noticed late: it is polled, at least in part.",
            each { $0.isWatchDegraded ? 1 : 0 })
        gauge("filesystem_size_bytes", "Bytes that the cache's filesystem has.", each(\.totalBytes))
        gauge(
            "free_bytes", "Bytes that an unprivileged user could still write.",
            caches.compactMap { cache in cache.freeBytes.map { (labels(cache.id), "\($0)") } })
        gauge(
            "floor_bytes", "Free bytes below which room is made.",
            caches.compactMap { cache in cache.floorBytes.map { (labels(cache.id), "\($0)") } })
        gauge("target_bytes", "Free bytes until which room is made.", each(\.targetBytes))
        gauge("critical_free_bytes", "Free bytes below which downloads are refused.", each(\.criticalBytes))
        gauge(
            "floor_missing_bytes", "Bytes that the last pass could not free, though the floor wants them.",
            each(\.missingBytes))
        gauge(
            "reclaimable_bytes", "Bytes that could be reclaimed without any policy.",
            caches.map { (labels($0.id), "\($0.reclaimableBytes)") })
    }

    private mutating func addContent(_ numbers: DaemonNumbers) {
        gauge(
            "cache_bytes", "Bytes of repos by type and state, on the disk; none: of repos without any revision here.",
            numbers.stored.map { stored in
                (
                    labels(stored.cache, [("type", stored.type), ("state", stored.state?.rawValue ?? "none")]),
                    "\(stored.bytes)"
                )
            })
        gauge(
            "repos", "Repos by type and state; one without any revision here has none.",
            numbers.stored.compactMap { stored in
                stored.state.map {
                    (labels(stored.cache, [("type", stored.type), ("state", $0.rawValue)]), "\(stored.repos)")
                }
            })
        gauge(
            "findings", "Findings that hold, by code.",
            numbers.findings.map {
                (
                    labels($0.cache, [("code", $0.code.rawValue), ("severity", $0.code.severity.rawValue)]),
                    "\($0.count)"
                )
            })
    }

    private mutating func addWork(_ numbers: DaemonNumbers) {
        gauge(
            "downloads_running", "Downloads under way, anybody's.",
            numbers.caches.map { (labels($0.cache), "\($0.downloads)") })
        counter(
            "removed_items_total", "Items removed, by rule.",
            numbers.removals.map { ([("rule", $0.rule)], "\($0.items)") })
        counter(
            "removed_bytes_total", "Bytes removed, by rule.",
            numbers.removals.map { ([("rule", $0.rule)], "\($0.bytes)") })
        counter(
            "repaired_files_total", "Files that were to be repaired without being asked, by what became of them.",
            numbers.repairs.map { ([("outcome", $0.outcome.rawValue)], "\($0.files)") })
        counter(
            "repaired_bytes_total", "Bytes that such repairs brought in, by what became of them.",
            numbers.repairs.map { ([("outcome", $0.outcome.rawValue)], "\($0.bytes)") })
    }

    private mutating func addScrubs(_ status: DaemonStatus) {
        let scrubs = zip(status.caches, status.scrubs)
        func each(_ value: (DaemonStatus.Scrub) -> Int64?) -> [Sample] {
            scrubs.compactMap { cache, scrub in value(scrub).map { (labels(cache.id), "\($0)") } }
        }
        gauge("scrub_running", "Whether a digest pass is under way.", each { $0.state == .running ? 1 : 0 })
        gauge("scrub_repos", "Repos that a digest pass looks at.", each { Int64($0.reposTotal) })
        gauge("scrub_repos_done", "Repos that the digest pass is done with.", each { Int64($0.reposDone) })
        gauge(
            "scrub_finished_timestamp_seconds", "When a digest pass last came to its end, in seconds since 1970.",
            each { $0.finished?.seconds })
    }

    private mutating func addPass(_ status: DaemonStatus) {
        guard let pass = status.lastPass else { return }
        gauge("last_pass_timestamp_seconds", "When the last pass ended, in seconds since 1970.", one(pass.time.seconds))
        gauge("last_pass_revisions", "Revisions that the last pass looked at.", one(Int64(pass.checked)))
        gauge("last_pass_incomplete_revisions", "Those of them that are not whole.", one(Int64(pass.incomplete)))
        gauge("last_pass_removed_items", "Items that the last pass removed.", one(Int64(pass.removed)))
        gauge("last_pass_errors", "What the last pass could not do.", one(Int64(pass.errors)))
    }

    // MARK: text

    private func labels(_ cache: String, _ more: Labels = []) -> Labels { [("cache", paths[cache] ?? cache)] + more }

    private func one(_ value: Int64) -> [Sample] { [([], "\(value)")] }

    private func flag(_ value: Bool) -> [Sample] { one(value ? 1 : 0) }

    private mutating func gauge(_ name: String, _ help: String, _ samples: [Sample]) {
        add(name, "gauge", help, samples)
    }

    private mutating func counter(_ name: String, _ help: String, _ samples: [Sample]) {
        add(name, "counter", help, samples)
    }

    private mutating func add(_ name: String, _ type: String, _ help: String, _ samples: [Sample]) {
        guard !samples.isEmpty else { return }
        lines.append("# HELP hfjanitor_\(name) \(help)")
        lines.append("# TYPE hfjanitor_\(name) \(type)")
        for sample in samples {
            let labels = sample.labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
            lines.append("hfjanitor_\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(sample.value)")
        }
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        // Scalars, not characters: a quote with a combining mark is a quote to Prometheus.
        for scalar in displayText(of: text).unicodeScalars {
            if scalar == "\\" || scalar == "\"" { result.unicodeScalars.append("\\") }
            result.unicodeScalars.append(scalar)
        }
        return result
    }
}
