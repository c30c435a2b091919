internal import HubCache
internal import SystemdSupport

/// What is known to be wrong, and what is said of it: each finding when it comes, after a day, and when it is over.
struct FindingBook {
    private(set) var log = ConditionLog()
    /// What holds, by cache and scope.
    private var scopes: [BytePath: [String: Found]] = [:]

    private struct Found {
        var repo: String?
        var things: [FoundThing]
    }

    /// The findings that hold in a cache, with their repos.
    func found(in cache: BytePath) -> [(repo: String?, thing: FoundThing)] {
        (scopes[cache] ?? [:]).sorted { $0.key < $1.key }.flatMap { entry in
            entry.value.things.map { (entry.value.repo, $0) }
        }
    }

    /// The findings that hold, errors and warnings, in one cache or all.
    func count(in cache: BytePath? = nil, atLeast severity: EventPriority = .warning) -> Int {
        log.open.count { entry in
            entry.condition.event.kind == .finding && entry.condition.event.priority <= severity
                && (cache == nil || entry.condition.event.fields.cache == cache)
        }
    }

    /// Takes what was found in a repo, or with no folder outside of the repos.
    mutating func replace(
        _ things: [FoundThing], repo id: String?, folder: BytePath?, cache: BytePath, now: Timestamp
    ) -> [JournalEvent] {
        let scope = Self.scope(cache, folder)
        let worth = things.filter { $0.finding.severity > .info }
        scopes[cache, default: [:]][scope] = worth.isEmpty ? nil : Found(repo: id, things: worth)
        let conditions = worth.map { thing in
            Condition(
                .init(scope: scope, code: thing.finding.code.rawValue, subject: Self.subject(of: thing.finding)),
                event: Self.event(thing, repo: id, cache: cache))
        }
        return said(log.replace(scope: scope, with: conditions, now: now))
    }

    /// Takes that these are all the repos of a cache: what was found in others is over.
    mutating func keepOnly(_ folders: [BytePath], of cache: BytePath, now: Timestamp) -> [JournalEvent] {
        let kept = Set(folders.map { Self.scope(cache, $0) } + [Self.scope(cache, nil)])
        let gone = (scopes[cache] ?? [:]).keys.filter { !kept.contains($0) }
        for scope in gone { scopes[cache]?[scope] = nil }
        return gone.sorted().flatMap { said(log.replace(scope: $0, with: [], now: now)) }
    }

    /// Takes that nothing is wrong in a cache any more: it is not there.
    mutating func clear(_ cache: BytePath, now: Timestamp) -> [JournalEvent] {
        let gone = (scopes.removeValue(forKey: cache) ?? [:]).keys.sorted()
        return gone.flatMap { said(log.replace(scope: $0, with: [], now: now)) }
    }

    /// Forgets a cache without a word: nobody watches it any more.
    mutating func forget(_ cache: BytePath, now: Timestamp) {
        for scope in (scopes[cache] ?? [:]).keys { _ = log.replace(scope: scope, with: [], now: now) }
        scopes[cache] = nil
    }

    /// What holds for a day and is to be said again.
    mutating func due(now: Timestamp) -> [JournalEvent] { log.takeDue(now: now).map(\.event) }

    private func said(_ changes: ConditionLog.Changes) -> [JournalEvent] {
        changes.toSay.map(\.event)
            + changes.cleared.map { entry in
                var fields = entry.condition.event.fields
                fields.reason = nil
                let place = Self.place(fields)
                return JournalEvent(.findingCleared, "\(place): \(fields.code ?? "") is over", fields)
            }
    }

    private static func scope(_ cache: BytePath, _ folder: BytePath?) -> String {
        cache.display + "\n" + (folder?.display ?? "")
    }

    /// One content that several revisions link to is one thing.
    private static func subject(of finding: Finding) -> String {
        if let blob = finding.blob, finding.content != nil { return "blob " + blob.display }
        return finding.path.display + "\n" + (finding.file?.display ?? "")
    }

    private static func event(_ thing: FoundThing, repo: String?, cache: BytePath) -> JournalEvent {
        let finding = thing.finding
        var fields = EventFields(cache: cache, repo: repo, revision: thing.revision, path: finding.path)
        fields.blob = finding.blob
        fields.code = finding.code.rawValue
        var facts: [String] = []
        if let detail = finding.detail { facts.append(detail) }
        if let expected = finding.expected { facts.append("expected \(expected)") }
        if let actual = finding.actual { facts.append("found \(actual)") }
        if let offset = finding.offset { facts.append("at byte \(offset)") }
        fields.reason = facts.isEmpty ? nil : facts.joined(separator: ", ")
        let file = finding.file ?? finding.path
        let words = facts.isEmpty ? "" : ": " + facts.joined(separator: ", ")
        let name = repo.map { "\($0): " } ?? ""
        return JournalEvent(
            .finding, priority: finding.severity == .error ? .error : .warning,
            "\(name)\(finding.code.rawValue) \(file.display)\(words)", fields)
    }

    private static func place(_ fields: EventFields) -> String {
        let path = fields.path?.display ?? ""
        return fields.repo.map { "\($0): \(path)" } ?? path
    }
}
