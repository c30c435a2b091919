import HubCache
import PolicyFile
import Retention
import TestSupport
import Testing

/// What `policy show` prints means the same policy.
@Suite struct RoundTripTests {
    @Test func theDefault() throws {
        let text = PolicyText(Policy()).text
        #expect(try load(text).policy == Policy())
    }

    @Test func theContractsExample() throws {
        let loaded = try load(ReadingTests.everything)
        let again = try load(PolicyText(loaded.policy, files: loaded.files).text)
        #expect(again.policy == loaded.policy)
        #expect(again.warnings == [])
    }

    @Test(arguments: PolicyProfile.all) func profiles(profile: PolicyProfile) throws {
        let loaded = try load(profile.text)
        #expect(try load(PolicyText(loaded.policy).text).policy == loaded.policy)
    }

    @Test(arguments: 0..<400 as Range<UInt64>) func randomPolicies(seed: UInt64) throws {
        var random = RandomPolicy(seed: seed)
        let policy = random.policy()
        let text = PolicyText(policy, files: ["a\nb"]).text
        #expect(try load(text).policy == policy, "\(text)")
    }
}

/// Policies of every shape that a file can have.
private struct RandomPolicy {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    private mutating func below(_ limit: UInt64) -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return (state >> 11) % limit
    }

    private mutating func chance() -> Bool { below(2) == 0 }

    private mutating func maybe<Value>(_ make: (inout RandomPolicy) -> Value) -> Value? { chance() ? make(&self) : nil }

    private mutating func several<Value>(_ make: (inout RandomPolicy) -> Value) -> [Value] {
        (0..<below(4)).map { _ in make(&self) }
    }

    private mutating func one<Word: CaseIterable>(_: Word.Type = Word.self) -> Word {
        let all = Array(Word.allCases)
        return all[Int(below(UInt64(all.count)))]
    }

    private mutating func bytes() -> UInt64 {
        let units: [UInt64] = [1, 1000, 1_000_000_000, 1 << 20, 1 << 30, 1_000_000_000_000]
        return (below(5000) + 1) * units[Int(below(UInt64(units.count)))]
    }

    private mutating func span(atLeast least: Int64 = 1) -> Duration {
        let units: [Int64] = [1, 60, 3600, 86_400, 31_536_000]
        return .seconds(least + Int64(below(400)) * units[Int(below(UInt64(units.count)))])
    }

    // Without U+FEFF: Foundation takes it off the start of a text, and Yams decodes scalars by it.
    private mutating func text() -> String {
        let pieces = [
            "a", "B7", "meta-llama/*", "*", " ", "#", ": ", "\"", "'", "\\", "ü", "模", "\u{202E}", "\n", "\t", "{",
            "no", "~",
            "1e3", "-", "&x", "😀", "\u{7F}", "\u{85}", "\u{A0}", "%", "@", "!", "|", "null", "0",
        ]
        return (0...below(4)).map { _ in pieces[Int(below(UInt64(pieces.count)))] }.joined()
    }

    private mutating func path(_ number: UInt64) -> BytePath {
        // Not a slash, which would be another folder or none; not `..`.
        BytePath("/srv/\(number)" + text().replacing("/", with: "_").replacing("..", with: "_"))
    }

    mutating func policy() -> Policy {
        var policy = Policy()
        policy.mode = one()
        policy.editGrace = span(atLeast: 0)
        policy.announce = span(atLeast: 0)
        for number in 0..<below(4) { policy.caches.append(cache(number)) }
        policy.pins = several { random in
            Pin(
                repo: Glob(random.text() + "*"), revision: random.maybe { Glob($0.text()) },
                reason: random.maybe { $0.text() })
        }
        for number in 0..<below(5) { policy.rules.append(rule(number)) }
        policy.verification.onArrival = one()
        policy.verification.scrubEvery = maybe { $0.span() }
        policy.verification.rate = maybe { $0.bytes() }
        policy.verification.ioPressureMax = UInt32(below(1_000_001))
        policy.repair.refetch = one()
        policy.repair.endpoints = several { random in
            RepairPolicy.Endpoint(
                url: random.chance() ? "https://hub.example.org/mirror" : "http://127.0.0.1:8080",
                getsToken: random.chance(),
                allowsHTTP: random.chance())
        }
        policy.repair.maxConcurrentDownloads = Int(below(64)) + 1
        policy.repair.attempts = Int(below(100)) + 1
        policy.repair.estimateMargin = 1_000_000 + UInt32(below(9_000_001))
        policy.repair.rate = maybe { $0.bytes() }
        policy.notify = maybe { random in
            var notify = NotifyPolicy()
            if random.chance() {
                notify.command = ["/bin/" + random.text()] + random.several { $0.text() }
            } else {
                notify.url = random.maybe { _ in "https://alerts.example.org/x" }
            }
            notify.minSeverity = random.one()
            return notify
        }
        policy.metricsAddress = maybe { try? ListenAddress($0.chance() ? "[::1]:9750" : "127.0.0.1:9750") } ?? nil
        policy.allowsFetch = chance()
        policy.enforcer = maybe { $0.chance() ? "node1" : "10.0.0.1" }
        return policy
    }

    private mutating func cache(_ number: UInt64) -> CachePolicy {
        var cache = CachePolicy(path: number == 0 && chance() ? nil : path(number))
        if chance() {
            cache.minFree = chance() ? .partsPerMillion(UInt32(below(500_000))) : .bytes(bytes())
            cache.targetFree = maybe { random in
                switch cache.minFree {
                case .bytes(let floor): .bytes(floor + random.bytes())
                default: .partsPerMillion(500_000 + UInt32(random.below(500_000)))
                }
            }
        }
        cache.criticalFree = maybe { .bytes($0.bytes() - 1) }
        if chance() {
            let cap = bytes() + 1
            cache.maxSize = .bytes(cap)
            cache.targetSize = maybe { .bytes($0.below(cap - 1) + 1) }
        }
        cache.reserved = maybe { .partsPerMillion(UInt32($0.below(1_000_001))) }
        cache.minAge = span(atLeast: 0)
        cache.recentUse = span(atLeast: 0)
        cache.irreplaceable = one()
        cache.assumeUnusedAfter = maybe { $0.span(atLeast: 7 * 86_400) }
        cache.allowsEmpty = chance()
        cache.also = several { $0.path(9) }
        cache.localDirs = several { $0.path(9) }
        return cache
    }

    private mutating func rule(_ number: UInt64) -> Rule {
        var match = Match()
        match.types = several { $0.one() }
        match.repos = several { Glob($0.text()) }
        match.revisions = several { Glob($0.text()) }
        match.states = several { $0.one() }
        match.largerThan = maybe { $0.bytes() - 1 }
        match.smallerThan = maybe { $0.bytes() - 1 }
        let isOfFiles = !match.states.isEmpty && match.states.allSatisfy(\.isOfFiles)
        return Rule(
            name: "\(number)" + text(), occasion: one(), match: match, keepLast: maybe { Int($0.below(9)) + 1 },
            olderThan: span(), unusedFor: isOfFiles ? nil : maybe { $0.span() }, order: one())
    }
}
