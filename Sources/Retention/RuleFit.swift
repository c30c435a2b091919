public import HubCache

/// What keeps a rule from fitting an item. The checks are made in this order, cheapest first.
enum Mismatch: Sendable {
    case noItem
    case state
    case detached
    case type
    case repo
    case revision
    case largerThan
    case smallerThan
    case olderThan
    case unknownUse
    case unwatched
    case unusedFor
}

/// A rule with what can be worked out once.
struct ReadyRule: Sendable {
    let rule: Rule
    private let states: StateSet
    /// For each repo of each cache whether type and name fit.
    private let repos: [[Mismatch?]]
    private let fitsWithoutRepo: Mismatch?
    private let olderThan: Int64?
    private let unusedFor: Int64?

    init(_ rule: Rule, names: [[(short: [UInt8], long: [UInt8])]], caches: [CacheFacts]) {
        self.rule = rule
        states = StateSet(rule.match.states)
        olderThan = rule.olderThan?.wholeNanoseconds
        unusedFor = rule.unusedFor?.wholeNanoseconds
        let match = rule.match
        func fit(_ type: RepoType?, _ name: [UInt8]) -> Mismatch? {
            if !match.types.isEmpty, !(type.map(match.types.contains) ?? false) { return .type }
            if !match.repos.isEmpty, !match.repos.contains(where: { $0.matches(name) }) { return .repo }
            return nil
        }
        let isForAll = match.types.isEmpty && match.repos.isEmpty
        repos =
            isForAll
            ? []
            : caches.indices.map { cache in
                caches[cache].repos.indices.map { fit(caches[cache].repos[$0].id.type, names[cache][$0].short) }
            }
        fitsWithoutRepo = fit(nil, [])
    }

    /// The states by which it takes an item; empty when it does not ask for any.
    func matchedStates(_ entry: Entry) -> StateSet {
        let matched = states.intersection(entry.states)
        return needsUse(entry) ? matched.intersection(.broken) : matched
    }

    /// Whether only its use tells that an item may go: a commit that no ref names may be somebody's pinned one. What is wrong
    /// with it is reason enough all the same.
    private func needsUse(_ entry: Entry) -> Bool {
        entry.states.contains(.detached) && unusedFor == nil && rule.occasion == .always
    }

    /// Whether it takes the item for what is wrong with it and nothing else.
    func matchesBrokenness(_ entry: Entry) -> Bool {
        let matched = matchedStates(entry)
        return !matched.isEmpty && matched.isSubset(of: .broken)
    }

    /// What keeps the keys of `match` from fitting; nil: they fit.
    func mismatchOfKeys(_ entry: Entry, in caches: [CacheFacts]) -> Mismatch? {
        guard entry.isItem else { return .noItem }
        if states.isEmpty {
            if entry.isFile { return .state }
            if needsUse(entry) { return .detached }
        } else if matchedStates(entry).isEmpty {
            return states.isDisjoint(with: entry.states) ? .state : .detached
        }
        if entry.repo < 0 {
            if let fitsWithoutRepo { return fitsWithoutRepo }
        } else if !repos.isEmpty, let mismatch = repos[entry.cache][entry.repo] {
            return mismatch
        }
        if !rule.match.revisions.isEmpty {
            guard !entry.isFile else { return .revision }
            let fits = rule.match.revisions.contains {
                $0.namesRevision(caches[entry.cache].revisions[entry.index], andAll: false)
            }
            if !fits { return .revision }
        }
        if let least = rule.match.largerThan, entry.bytes <= least { return .largerThan }
        if let most = rule.match.smallerThan, entry.bytes >= most { return .smallerThan }
        return nil
    }

    /// What keeps it from fitting; nil: it fits, `keep-last` and pressure aside.
    func mismatch(_ entry: Entry, in caches: [CacheFacts], now: Timestamp) -> Mismatch? {
        if let mismatch = mismatchOfKeys(entry, in: caches) { return mismatch }
        if let olderThan, now.nanoseconds(since: entry.oldSince) < olderThan { return .olderThan }
        if let unusedFor {
            guard let source = entry.lastUseSource else { return .unknownUse }
            let lastUse: Timestamp
            if source == .unwatched {
                guard let latest = latestUse(entry, in: caches) else { return .unwatched }
                lastUse = latest
            } else {
                lastUse = entry.lastUse
            }
            // Without access times only watching shows that nobody used it.
            if !entry.isFile, !caches[entry.cache].filesystem.keepsAccessTimes {
                guard let since = caches[entry.cache].watchedSince, now.nanoseconds(since: since) >= unusedFor else {
                    return .unwatched
                }
            }
            if now.nanoseconds(since: lastUse) < unusedFor {
                return source == .unwatched ? .unwatched : .unusedFor
            }
        }
        return nil
    }

    /// The latest that something may have been used whose last use a sweep hides: a use after it would have moved the access
    /// time again, but for the day that relatime may be late.
    private func latestUse(_ entry: Entry, in caches: [CacheFacts]) -> Timestamp? {
        guard !entry.isFile, let read = caches[entry.cache].revisions[entry.index].sweptRead, read.source == .atime
        else { return nil }
        return read.time.adding(.seconds(86_400))
    }
}

extension Glob {
    /// Whether it names a revision: by a ref, or by its commit, whole or the first 7 digits or more.
    ///
    /// - Parameter all: whether a pattern of nothing but stars names revisions without a ref too.
    func namesRevision(_ revision: RevisionFacts, andAll all: Bool) -> Bool {
        names(revision.commit, withRefs: revision.refs, andAll: all)
    }

    fileprivate func names(_ commit: CommitHash, withRefs refs: [BytePath], andAll all: Bool) -> Bool {
        if refs.contains(where: { matches($0.bytes) }) { return true }
        if isLiteral {
            return pattern.utf8.count >= 7 && commit.hex.utf8.starts(with: pattern.lowercased().utf8)
        }
        return all && pattern.utf8.allSatisfy { $0 == UInt8(ascii: "*") }
    }
}

extension Pin {
    /// Whether it is on revisions of a repo.
    public func isOn(_ id: RepoID) -> Bool { repo.matches(id.name) || repo.matches(id.description) }

    /// Whether it is on a revision.
    public func names(_ commit: CommitHash, withRefs refs: [BytePath], of id: RepoID) -> Bool {
        guard isOn(id) else { return false }
        return revision?.names(commit, withRefs: refs, andAll: true) ?? true
    }
}

extension ReadyRule {
    /// The fact that decided that the rule does not fit.
    func reason(_ mismatch: Mismatch, _ entry: Entry, in caches: [CacheFacts], now: Timestamp) -> Reason {
        let match = rule.match
        switch mismatch {
        case .noItem:
            let state = caches[entry.cache].revisions[entry.index].state
            return Reason(fact: "state", value: .text(state.rawValue), source: "verification")
        case .state:
            let limit = match.states.isEmpty ? "revision" : match.states.map(\.rawValue).joined(separator: ", ")
            // Wrong, and published so: nothing that a fetch would mend, and no state that rules know.
            let state = entry.states.isEmpty ? "wrong upstream" : entry.states.word
            return Reason(fact: "state", value: .text(state), limit: .text(limit))
        case .detached: return Reason(fact: "state", value: .text("detached"), limit: .text("unused-for"))
        case .type, .repo:
            let id = entry.repo < 0 ? nil : caches[entry.cache].repos[entry.repo].id
            if mismatch == .type {
                let limit = match.types.map(\.rawValue).joined(separator: ", ")
                return Reason(fact: "type", value: (id?.type.rawValue).map { .text($0) }, limit: .text(limit))
            }
            let limit = match.repos.map(\.pattern).joined(separator: ", ")
            return Reason(fact: "repo", value: (id?.name).map { .text($0) }, limit: .text(limit))
        case .revision:
            let refs =
                entry.isFile ? [] : caches[entry.cache].revisions[entry.index].refs.map(\.display)
            let limit = match.revisions.map(\.pattern).joined(separator: ", ")
            return Reason(fact: "revision", value: .text(refs.joined(separator: ", ")), limit: .text(limit))
        case .largerThan: return size("larger-than", entry, match.largerThan)
        case .smallerThan: return size("smaller-than", entry, match.smallerThan)
        case .olderThan: return age(entry, now: now)
        case .unknownUse, .unwatched:
            let watched = caches[entry.cache].watchedSince.map { FactValue.seconds(now.seconds(since: $0)) }
            return Reason(
                fact: "unused-for", value: mismatch == .unwatched ? watched : nil,
                limit: rule.unusedFor.map { .seconds($0.wholeSeconds) },
                source: mismatch == .unwatched ? LastUse.Source.unwatched.rawValue : nil)
        case .unusedFor: return use(entry, in: caches, now: now)
        }
    }

    /// The fact that decided that the rule fits: the strongest of what it asks for.
    func reasonOfFit(_ entry: Entry, in caches: [CacheFacts], now: Timestamp) -> Reason {
        let match = rule.match
        if rule.unusedFor != nil { return use(entry, in: caches, now: now) }
        if rule.olderThan != nil { return age(entry, now: now) }
        let matched = matchedStates(entry)
        if !matched.isEmpty { return Reason(fact: "state", value: .text(matched.word)) }
        if match.largerThan != nil { return size("larger-than", entry, match.largerThan) }
        if match.smallerThan != nil { return size("smaller-than", entry, match.smallerThan) }
        if let glob = match.repos.first, entry.repo >= 0 {
            let name = caches[entry.cache].repos[entry.repo].id.name
            let fitting = match.repos.first { $0.matches(name) } ?? glob
            return Reason(fact: "repo", value: .text(name), limit: .text(fitting.pattern))
        }
        return Reason(fact: "state", value: .text(entry.states.word))
    }

    private func size(_ fact: String, _ entry: Entry, _ limit: UInt64?) -> Reason {
        Reason(fact: fact, value: .bytes(entry.bytes), limit: limit.map { .bytes($0) }, source: "disk")
    }

    private func age(_ entry: Entry, now: Timestamp) -> Reason {
        Reason(
            fact: "older-than", value: .seconds(now.seconds(since: entry.oldSince)),
            limit: rule.olderThan.map { .seconds($0.wholeSeconds) },
            source: entry.states.contains(.superseded) ? "ref" : entry.isFile ? "mtime" : "arrival")
    }

    private func use(_ entry: Entry, in caches: [CacheFacts], now: Timestamp) -> Reason {
        let time = entry.lastUseSource == .unwatched ? latestUse(entry, in: caches) : nil
        return Reason(
            fact: "unused-for", value: .seconds(now.seconds(since: time ?? entry.lastUse)),
            limit: rule.unusedFor.map { .seconds($0.wholeSeconds) }, source: entry.lastUseSource?.rawValue)
    }
}

extension Timestamp {
    /// Whole seconds from then to this.
    func seconds(since then: Timestamp) -> Int64 { nanoseconds(since: then) / 1_000_000_000 }
}
