import HubCache
import Retention

extension PolicyReader {
    func rules(_ elements: [Element], of caches: [CachePolicy]) -> [Rule] {
        var rules: [(rule: Rule, line: Int)] = []
        for element in elements {
            guard let map = MapReader(element, .rule, log: log) else { continue }
            let errorsBefore = log.errorCount
            guard let rule = rule(map) else { continue }
            if let first = rules.first(where: { $0.rule.name == rule.name }) {
                log.error(
                    map.place("name"),
                    "the rule '\(displayText(of: rule.name))' stands twice, first in line \(first.line)")
                continue
            }
            // A key that cannot be read would be missed again as one that is not there.
            if !isPart, log.errorCount == errorsBefore {
                check(rule, map, caches)
                if let first = rules.first(where: { $0.rule.isSame(as: rule) }) {
                    log.warn(
                        map.position,
                        "this rule can never match: it is the same as '\(displayText(of: first.rule.name))' before it")
                }
            }
            rules.append((rule, map.place("name").line))
        }
        return rules.map(\.rule)
    }

    private func rule(_ map: MapReader) -> Rule? {
        var rule = Rule(name: "")
        rule.occasion = map.word("when") ?? rule.occasion
        if let match = map.map("match", .match, meansAll: true) { rule.match = self.match(match) }
        rule.keepLast = map.count("keep-last", in: 1...1_000_000)
        rule.olderThan = map.value("older-than", Quantity.positiveSpan)
        rule.unusedFor = map.value("unused-for", Quantity.positiveSpan)
        rule.order = map.word("order") ?? rule.order
        guard let name = map.text("name") else {
            if !map.has("name") { log.error(map.position, "a rule needs a 'name'") }
            return nil
        }
        rule.name = name
        return rule
    }

    private func match(_ map: MapReader) -> Match {
        var match = Match()
        match.types = map.words("type") ?? []
        match.repos = map.globs("repo") ?? []
        match.revisions = map.globs("revision") ?? []
        match.states = map.words("state") ?? []
        match.largerThan = map.value("larger-than", ByteCount.parse)
        match.smallerThan = map.value("smaller-than", ByteCount.parse)
        if !isPart, let larger = match.largerThan, let smaller = match.smallerThan, larger >= smaller {
            log.warn(map.place("larger-than"), "this rule can never match: nothing is both larger and smaller")
        }
        return match
    }

    private func check(_ rule: Rule, _ map: MapReader, _ caches: [CachePolicy]) {
        let isOfFiles = !rule.match.states.isEmpty && rule.match.states.allSatisfy(\.isOfFiles)
        var breadth = rule.match
        breadth.repos.removeAll { $0.pattern.allSatisfy { $0 == "*" } }
        if rule.occasion == .always, breadth == Match(), rule.olderThan == nil, rule.unusedFor == nil {
            log.error(
                map.position,
                "this rule takes every revision at once: give it 'match', 'older-than', 'unused-for' or 'when: pressure'"
            )
        }
        if isOfFiles, rule.unusedFor != nil {
            log.error(
                map.keyPlace("unused-for"),
                "'unused-for' has no meaning for stale partials and orphans: use 'older-than'")
        }
        if isOfFiles, !rule.match.revisions.isEmpty {
            log.warn(
                map.keyPlace("match"),
                "this rule can never match: stale partials and orphans belong to no revision")
        }
        if map.has("order"), rule.occasion != .pressure {
            log.warn(map.keyPlace("order"), "'order' has no meaning without 'when: pressure'")
        }
        // Without a cache in the file, the default one has no floor either.
        if rule.occasion == .pressure, !caches.contains(where: { $0.minFree != nil || $0.maxSize != nil }) {
            log.warn(map.keyPlace("when"), "there is no pressure without 'min-free' or 'max-size' on a cache")
        }
        let recentUses = caches.isEmpty ? [CachePolicy().recentUse] : caches.map(\.recentUse)
        if let unused = rule.unusedFor, let least = recentUses.min(), unused < least, !isOfFiles {
            log.warn(
                map.place("unused-for"),
                "'unused-for' is below 'recent-use' (\(TimeSpan.exactText(least))), which keeps what was opened since")
        }
    }
}

extension Rule {
    /// Whether it takes exactly what another takes, when it does.
    fileprivate func isSame(as other: Rule) -> Bool {
        var renamed = other
        renamed.name = name
        if occasion == .always { renamed.order = order }
        return self == renamed
    }
}
