internal import HubCache
internal import LinuxIO
internal import Retention
internal import SystemdSupport
internal import Verification

// What `systemctl status` and `hfjanitor status` are told.
extension DaemonLoop {
    func showStatus(_ now: UInt64) {
        guard isStatusStale, now >= timers.statusFile else { return }
        isStatusStale = false
        timers.statusFile = now &+ Timers.second / 2
        let text = isStopping ? "stopping" : statusLine
        if text != statusText {
            statusText = text
            notifier.send(.status(text))
        }
        guard let folder = setup.statusFolder else { return }
        let document = makeStatus().document
        let rendered = document.rendered
        guard rendered != lastStatusDocument else { return }
        lastStatusDocument = rendered
        // The folder may hang as any other.
        recorder?.add { StatusFile.write(document, in: folder) }
    }

    private var statusLine: String {
        var parts: [String] = []
        if let error = inForce.error {
            parts.append("policy wrong, the last good one stays: \(error.split(separator: "\n").first ?? "")")
        }
        if !isReady {
            let done = caches.compactMap(\.lookProgress).reduce(0) { $0 + $1.reposDone }
            let total = caches.compactMap(\.lookProgress).reduce(0) { $0 + $1.reposTotal }
            parts.append("first look at \(caches.count) cache(s): \(done) of \(total) repos")
            return parts.joined(separator: "; ")
        }
        if passes.values.contains(where: \.isRunning) { parts.append("carrying the policy out") }
        let repos = caches.reduce(0) { $0 + $1.repos.count }
        let findings = book.count()
        parts.append("\(inForce.policy.mode.rawValue); watching \(repos) repos, \(findings) finding(s)")
        for cache in caches where cache.watchWord == "absent" || cache.watchWord == "unresponsive" {
            parts.append("\(cache.path.display) \(cache.watchWord)")
        }
        if let free = caches.first?.space.free { parts.append("\(formatBytes(free)) free") }
        return parts.joined(separator: "; ")
    }

    /// What is told to whoever asks, made anew only when it may have changed.
    var currentStatus: DaemonStatus {
        let now = monotonicNanoseconds()
        if !isStatusStale, let known = lastStatus, now &- known.time < Timers.second / 20 { return known.status }
        let status = makeStatus()
        lastStatus = (status, now)
        return status
    }

    private func makeStatus() -> DaemonStatus {
        statusCount &+= 1
        return DaemonStatus(
            number: statusCount, processID: ownProcess(), userID: effectiveUser(), stateFolder: setup.stateFolder,
            startTicks: startTicks,
            version: setup.version, since: started, isReady: isReady, mode: inForce.policy.mode.rawValue,
            policyError: inForce.error, policyReadings: inForce.readings, text: statusText,
            caches: caches.map(status), queued: caches.reduce(0) { $0 + $1.queuedLooks },
            downloads: Array(caches.flatMap(downloads).prefix(Self.mostDownloadsShown)), scrubs: caches.map(scrub),
            next: nextActions, conditions: openConditions,
            lastPass: lastPass.time.map { time in
                DaemonStatus.Pass(
                    time: time, checked: lastPass.checked, incomplete: lastPass.incomplete, removed: lastPass.removed,
                    bytes: lastPass.bytes, errors: lastPass.errors)
            })
    }

    private func status(of cache: WatchedCache) -> DaemonStatus.Cache {
        var states: [RevisionState: Int] = [:]
        for repo in cache.repos.values { for state in repo.states.values { states[state, default: 0] += 1 } }
        return DaemonStatus.Cache(
            id: cache.id, path: cache.root ?? cache.path, watch: cache.watchWord, freeBytes: cache.space.free,
            floorBytes: cache.space.floor(cache.policy), forecast: cache.history.forecast, bytes: cache.bytes,
            reclaimableBytes: cache.reclaimableBytes,
            states: states,
            findings: book.count(in: cache.root ?? cache.path)
                + localFindings(cache).count { $0.thing.finding.severity > .info }, inUseMethod: cache.inUseMethod)
    }

    private static let mostDownloadsShown = 100

    private func downloads(of cache: WatchedCache) -> [DaemonStatus.Download] {
        cache.repos.values.flatMap { repo in
            repo.downloads.map { download in
                DaemonStatus.Download(
                    cache: cache.root ?? cache.path, repo: repo.id, path: download.location, bytes: download.present,
                    totalBytes: download.expected)
            }
        }.sorted { $0.path < $1.path }
    }

    private var openConditions: [DaemonStatus.Condition] {
        let shown = conditions.open.filter { $0.condition.identity.code != "observe" }
        let errors = book.log.open.filter { $0.condition.event.priority <= .error }
        return (shown + errors.prefix(200)).map { entry in
            let event = entry.condition.event
            return DaemonStatus.Condition(
                code: entry.condition.identity.code,
                severity: event.priority <= .error ? .error : event.priority == .warning ? .warning : .info,
                since: entry.since, message: event.message)
        }
    }

    private var nextActions: [DaemonStatus.Action] {
        let now = monotonicNanoseconds()
        return passes.values.compactMap { pass in
            guard let next = pass.next else { return nil }
            // To the minute, so that the document does not change all the time.
            let time = currentTime().nanoseconds &+ Int64(next > now ? next - now : 0)
            let minute: Int64 = 60_000_000_000
            return DaemonStatus.Action(action: "plan", time: Timestamp(nanoseconds: time / minute * minute))
        }
    }
}

extension DaemonStatus {
    /// What the status file has.
    var document: JSONValue {
        .map([
            ("pid", .number(Int64(processID))), ("uid", .number(Int64(userID))),
            ("state", stateFolder.map { .text($0.text) } ?? .null), ("start_ticks", .count(startTicks)),
            ("version", .text(version)),
            ("since", .text(CalendarTime.text(of: since))), ("ready", .flag(isReady)), ("mode", .text(mode)),
            (
                "policy",
                .map([
                    ("ok", .flag(policyError == nil)), ("error", policyError.map { .text($0) } ?? .null),
                    ("readings", .number(Int64(policyReadings))),
                ])
            ),
            ("status", .text(text)), ("caches", .list(caches.map(\.document))),
            (
                "work",
                .map([
                    ("queued", .number(Int64(queued))), ("downloads", .list(downloads.map(\.document))),
                    ("scrub", .list(scrubs.map(\.document))),
                ])
            ),
            (
                "conditions",
                .list(
                    conditions.map { condition in
                        .map([
                            ("code", .text(condition.code)), ("severity", .text(condition.severity.rawValue)),
                            ("since", .text(CalendarTime.text(of: condition.since))),
                            ("message", .text(condition.message)),
                        ])
                    })
            ),
            (
                "next",
                .list(
                    next.map { .map([("action", .text($0.action)), ("time", .text(CalendarTime.text(of: $0.time)))]) })
            ),
            (
                "last_pass",
                lastPass.map { pass in
                    .map([
                        ("checked", .number(Int64(pass.checked))), ("incomplete", .number(Int64(pass.incomplete))),
                        ("removed", .number(Int64(pass.removed))), ("bytes", .count(pass.bytes)),
                        ("errors", .number(Int64(pass.errors))),
                    ])
                } ?? .null
            ),
        ])
    }
}

extension DaemonStatus.Cache {
    fileprivate var document: JSONValue {
        .map([
            ("path", .text(path.text)), ("watch", .text(watch)),
            ("free_bytes", freeBytes.map { .count($0) } ?? .null),
            ("states", .map(RevisionState.allCases.map { ($0.rawValue, .number(Int64(states[$0] ?? 0))) })),
            ("findings", .number(Int64(findings))),
        ])
    }
}

extension DaemonStatus.Download {
    fileprivate var document: JSONValue {
        .map([
            ("cache", .text(cache.text)), ("repo", .text(repo)), ("path", .text(path.text)), ("bytes", .count(bytes)),
            ("total_bytes", totalBytes.map { .count($0) } ?? .null),
        ])
    }
}

extension DaemonStatus.Scrub {
    var document: JSONValue {
        func text(_ time: Timestamp?) -> JSONValue { time.map { .text(CalendarTime.text(of: $0)) } ?? .null }
        return .map([
            ("path", .text(path.text)), ("state", .text(state.rawValue)), ("repos_done", .number(Int64(reposDone))),
            ("repos_total", .number(Int64(reposTotal))), ("revisions", .number(Int64(revisions))),
            ("bytes", .count(bytes)), ("begun", text(begun)), ("finished", text(finished)),
            ("cancelled", text(cancelled)), ("next_due", text(nextDue)),
        ])
    }
}
