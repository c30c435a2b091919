public import HubCache
public import Retention

/// A policy as a policy file, with every value and its unit. Defaults that a policy only implies are comments. What it means
/// when it is read is the same policy.
public struct PolicyText: Sendable {
    /// The document.
    public private(set) var text = ""

    /// Renders a policy.
    ///
    /// - Parameter files: where it was read from, for a comment.
    public init(_ policy: Policy, files: [BytePath] = []) {
        if files.isEmpty {
            comment("The default policy: there is no policy file.")
        } else {
            comment("The effective policy, from \(files.map(\.display).joined(separator: ", "))")
        }
        line("mode: \(policy.mode.rawValue)")
        line("edit-grace: \(TimeSpan.exactText(policy.editGrace))")
        line("announce: \(TimeSpan.exactText(policy.announce))")
        if policy.caches.isEmpty {
            comment("caches: none named, so the one that huggingface_hub would use, with these defaults:")
            var inner = PolicyText()
            inner.write(CachePolicy())
            for text in inner.text.split(separator: "\n") { comment(String(text)) }
        } else {
            line("caches:")
            for cache in policy.caches { write(cache) }
        }
        line(policy.pins.isEmpty ? "pins: []" : "pins:")
        for pin in policy.pins { write(pin) }
        line(policy.rules.isEmpty ? "rules: []" : "rules:")
        for rule in policy.rules { write(rule) }
        let hasFloor = policy.caches.contains { $0.minFree != nil || $0.maxSize != nil }
        if hasFloor, !policy.rules.contains(where: { $0.occasion == .pressure }) {
            comment("implied under pressure: stale partials, orphans, superseded revisions, then by least recent use")
        }
        write(policy.verification)
        write(policy.repair)
        write(policy.notify)
        if let address = policy.metricsAddress {
            line("metrics:")
            line("  listen: \(quoted(address.text))")
        } else {
            comment("metrics: on the socket only")
        }
        line("control:")
        line("  allow-fetch: \(policy.allowsFetch)")
        if let enforcer = policy.enforcer {
            line("shared:")
            line("  enforcer: \(quoted(enforcer))")
        } else {
            comment("shared: no enforcer, so nothing is removed on network filesystems")
        }
    }

    private init() {}

    private mutating func line(_ text: String) { self.text += text + "\n" }

    private mutating func comment(_ text: String, indent: Int = 0) {
        line(String(repeating: " ", count: indent) + "# " + text)
    }

    /// The lines of a map as an item of a list.
    private mutating func item(_ lines: [String]) {
        var isFirst = true
        for text in lines {
            if text.hasPrefix("#") {
                line("    " + text)
            } else {
                line((isFirst ? "  - " : "    ") + text)
                isFirst = false
            }
        }
    }

    // MARK: Caches and rules

    private mutating func write(_ cache: CachePolicy) {
        var lines: [String] = []
        lines.append(cache.path.map { "path: \(quoted($0.text))" } ?? "# path: the one that huggingface_hub would use")
        lines.append("min-free: \(text(cache.minFree))")
        if let target = cache.targetFree {
            lines.append("target-free: \(Quantity.text(target))")
        } else if let floor = cache.minFree {
            lines.append("# target-free: \(Self.impliedTarget(floor))")
        }
        lines.append(
            cache.criticalFree.map { "critical-free: \(Quantity.text($0))" }
                ?? "# critical-free: 5GB, at most 5% of the filesystem")
        lines.append("max-size: \(text(cache.maxSize))")
        if let target = cache.targetSize {
            lines.append("target-size: \(Quantity.text(target))")
        } else if let cap = cache.maxSize {
            lines.append("# target-size: 98% of \(Quantity.text(cap))")
        }
        lines.append("reserved: \(text(cache.reserved))")
        lines.append("min-age: \(TimeSpan.exactText(cache.minAge))")
        lines.append("recent-use: \(TimeSpan.exactText(cache.recentUse))")
        lines.append("irreplaceable: \(cache.irreplaceable.rawValue)")
        lines.append("assume-unused-after: \(cache.assumeUnusedAfter.map(TimeSpan.exactText) ?? "never")")
        lines.append("allow-empty: \(cache.allowsEmpty)")
        lines.append("also: \(list(cache.also.map(\.text)))")
        lines.append("local-dirs: \(list(cache.localDirs.map(\.text)))")
        item(lines)
    }

    private static func impliedTarget(_ floor: Amount) -> String {
        switch floor {
        case .bytes(let bytes): "\(ByteCount.exactText(bytes)) and 2% of the filesystem"
        case .partsPerMillion(let parts): Quantity.percentText(parts + 20_000)
        }
    }

    private mutating func write(_ pin: Pin) {
        var lines = ["repo: \(quoted(pin.repo.pattern))"]
        if let revision = pin.revision { lines.append("revision: \(quoted(revision.pattern))") }
        if let reason = pin.reason { lines.append("reason: \(quoted(reason))") }
        item(lines)
    }

    private mutating func write(_ rule: Rule) {
        var lines = ["name: \(quoted(rule.name))"]
        lines.append("when: \(rule.occasion.rawValue)")
        let match = rule.match
        var keys: [String] = []
        if !match.types.isEmpty { keys.append("type: \(list(match.types.map(\.rawValue)))") }
        if !match.repos.isEmpty { keys.append("repo: \(list(match.repos.map(\.pattern)))") }
        if !match.revisions.isEmpty { keys.append("revision: \(list(match.revisions.map(\.pattern)))") }
        if !match.states.isEmpty { keys.append("state: \(list(match.states.map(\.rawValue)))") }
        if let size = match.largerThan { keys.append("larger-than: \(ByteCount.exactText(size))") }
        if let size = match.smallerThan { keys.append("smaller-than: \(ByteCount.exactText(size))") }
        if keys.isEmpty {
            lines.append("# match: every revision")
        } else {
            lines.append("match: {\(keys.joined(separator: ", "))}")
        }
        if let count = rule.keepLast { lines.append("keep-last: \(count)") }
        if let span = rule.olderThan { lines.append("older-than: \(TimeSpan.exactText(span))") }
        if let span = rule.unusedFor { lines.append("unused-for: \(TimeSpan.exactText(span))") }
        if rule.occasion == .pressure || rule.order != .lru { lines.append("order: \(rule.order.rawValue)") }
        item(lines)
    }

    // MARK: The rest

    private mutating func write(_ verification: VerificationPolicy) {
        line("verify:")
        line("  on-arrival: \(verification.onArrival.rawValue)")
        line("  scrub-every: \(verification.scrubEvery.map(TimeSpan.exactText) ?? "never")")
        line("  rate: \(rate(verification.rate))")
        line("  io-pressure-max: \(Quantity.percentText(verification.ioPressureMax))")
    }

    private mutating func write(_ repair: RepairPolicy) {
        line("repair:")
        line("  refetch: \(repair.refetch.rawValue)")
        if repair.endpoints.isEmpty {
            comment("endpoints: HF_ENDPOINT, else https://huggingface.co", indent: 2)
        } else {
            line("  endpoints:")
            for endpoint in repair.endpoints {
                line(
                    "    - {url: \(quoted(endpoint.url)), token: \(endpoint.getsToken), "
                        + "allow-http: \(endpoint.allowsHTTP)}")
            }
        }
        line("  max-concurrent-downloads: \(repair.maxConcurrentDownloads)")
        line("  attempts: \(repair.attempts)")
        line("  estimate-margin: \(Quantity.factorText(repair.estimateMargin))")
        line("  rate: \(rate(repair.rate))")
    }

    private mutating func write(_ notify: NotifyPolicy?) {
        guard let notify else {
            comment("notify: nobody but the journal")
            return
        }
        line("notify:")
        if !notify.command.isEmpty { line("  command: \(list(notify.command))") }
        if let url = notify.url { line("  url: \(quoted(url))") }
        line("  min-severity: \(notify.minSeverity.rawValue)")
    }

    // MARK: Scalars

    private func text(_ amount: Amount?) -> String { amount.map(Quantity.text) ?? "none" }

    private func rate(_ bytes: UInt64?) -> String { bytes.map { ByteCount.exactText($0) + "/s" } ?? "unlimited" }

    private func list(_ texts: [String]) -> String { "[" + texts.map(quoted).joined(separator: ", ") + "]" }

    /// A text as a YAML scalar that every YAML reader takes for that text, in one line.
    private func quoted(_ text: String) -> String {
        let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        let isPlain = text.utf8.allSatisfy {
            switch $0 {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "/._-".utf8.contains($0)
            }
        }
        if isPlain, let first = text.unicodeScalars.first, first == "/" || first.properties.isAlphabetic,
            !words.contains(text.lowercased())
        {
            return text
        }
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\":
                result += "\\"
                result.unicodeScalars.append(scalar)
            default:
                if displayText(of: String(scalar)) == String(scalar) {
                    result.unicodeScalars.append(scalar)
                } else {
                    let digits = String(scalar.value, radix: 16, uppercase: true)
                    result += "\\U" + String(repeating: "0", count: 8 - digits.utf8.count) + digits
                }
            }
        }
        return result + "\""
    }
}
