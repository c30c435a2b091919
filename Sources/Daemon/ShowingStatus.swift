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
        let document = statusDocument
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
        if let free = caches.first?.space.free { parts.append("\(ByteWords.text(free)) free") }
        return parts.joined(separator: "; ")
    }

    private var statusDocument: JSONValue {
        let own = ProcessTable.process(ownProcess())
        return .map([
            ("pid", .number(Int64(ownProcess()))),
            ("start_ticks", .count(own?.startTicks ?? 0)),
            ("version", .text(setup.version)),
            ("since", .text(CalendarTime.text(of: started))),
            ("ready", .flag(isReady)),
            ("mode", .text(inForce.policy.mode.rawValue)),
            (
                "policy",
                .map([
                    ("ok", .flag(inForce.error == nil)),
                    ("error", inForce.error.map { .text($0) } ?? .null),
                    ("readings", .number(Int64(inForce.readings))),
                ])
            ),
            ("status", .text(statusText)),
            ("caches", .list(caches.map(document))),
            ("work", workDescription),
            ("conditions", .list(openConditions)),
            ("next", .list(nextActions)),
            (
                "last_pass",
                lastPass.time == nil
                    ? .null
                    : .map([
                        ("checked", .number(Int64(lastPass.checked))),
                        ("incomplete", .number(Int64(lastPass.incomplete))),
                        ("removed", .number(Int64(lastPass.removed))), ("bytes", .count(lastPass.bytes)),
                        ("errors", .number(Int64(lastPass.errors))),
                    ])
            ),
        ])
    }

    private func document(_ cache: WatchedCache) -> JSONValue {
        var states: [RevisionState: Int] = [:]
        for repo in cache.repos.values { for state in repo.states.values { states[state, default: 0] += 1 } }
        return .map([
            ("path", .text((cache.root ?? cache.path).text)),
            ("watch", .text(cache.watchWord)),
            ("free_bytes", cache.space.free.map { .count($0) } ?? .null),
            (
                "states",
                .map(RevisionState.allCases.map { ($0.rawValue, .number(Int64(states[$0] ?? 0))) })
            ),
            ("findings", .number(Int64(book.count(in: cache.root ?? cache.path)))),
        ])
    }

    /// What is waiting to be looked at, what is being downloaded, and how far scrubs are.
    private var workDescription: JSONValue {
        let downloads = caches.flatMap { cache in
            cache.repos.values.flatMap { repo in repo.downloads.map { (cache.root ?? cache.path, repo.id, $0) } }
        }.sorted { $0.2.location < $1.2.location }
        return .map([
            ("queued", .number(Int64(caches.reduce(0) { $0 + $1.queuedLooks }))),
            (
                "downloads",
                .list(
                    downloads.prefix(Self.mostDownloadsShown).map { cache, repo, download in
                        .map([
                            ("cache", .text(cache.text)), ("repo", .text(repo)),
                            ("path", .text(download.location.text)), ("bytes", .count(download.present)),
                            ("total_bytes", download.expected.map { .count($0) } ?? .null),
                        ])
                    })
            ),
            ("scrub", scrubDescription),
        ])
    }

    private static let mostDownloadsShown = 100

    private var openConditions: [JSONValue] {
        let shown = conditions.open.filter { $0.condition.identity.code != "observe" }
        let errors = book.log.open.filter { $0.condition.event.priority <= .error }
        return (shown + errors.prefix(200)).map { entry in
            let event = entry.condition.event
            let severity: Severity =
                event.priority <= .error ? .error : event.priority == .warning ? .warning : .info
            return .map([
                ("code", .text(entry.condition.identity.code)), ("severity", .text(severity.rawValue)),
                ("since", .text(CalendarTime.text(of: entry.since))), ("message", .text(event.message)),
            ])
        }
    }

    private var nextActions: [JSONValue] {
        let now = monotonicNanoseconds()
        return passes.values.compactMap { pass in
            guard let next = pass.next else { return nil }
            // To the minute, so that the document does not change all the time.
            let time = currentTime().nanoseconds &+ Int64(next > now ? next - now : 0)
            let minute: Int64 = 60_000_000_000
            return .map([
                ("action", .text("plan")),
                ("time", .text(CalendarTime.text(of: Timestamp(nanoseconds: time / minute * minute)))),
            ])
        }
    }
}
