import HubCache
import PolicyFile
import Retention
import Testing

/// What a sound document means.
@Suite struct ReadingTests {
    /// The document of the contract, with every key.
    static let everything = """
        mode: enforce
        edit-grace: 10m
        announce: 1h
        caches:
          - path: /srv/hf/hub
            min-free: 10%
            target-free: 15%
            critical-free: 20GB
            max-size: 4TB
            target-size: 3.9TB
            reserved: 100GB
            min-age: 2h
            recent-use: 48h
            irreplaceable: keep
            assume-unused-after: 14d
            allow-empty: false
            also: [/disk2/models]
            local-dirs: [/srv/models]
        pins:
          - {repo: meta-llama/*, revision: main, reason: production}
        rules:
          - {name: broken downloads,  match: {state: incomplete}, older-than: 6h}
          - {name: superseded,        match: {state: superseded}, keep-last: 1, older-than: 7d}
          - {name: unused models,     match: {type: model, repo: "*"}, unused-for: 45d}
          - {name: make room,         when: pressure, match: {larger-than: 10GB}, order: lru}
        verify: {on-arrival: headers, scrub-every: 30d, rate: 200MB/s, io-pressure-max: 20%}
        repair: {refetch: never, endpoints: [https://huggingface.co], max-concurrent-downloads: 1, attempts: 5,
          estimate-margin: 1.10, rate: 100MB/s}
        notify: {command: [/usr/local/bin/page-me], min-severity: error}
        metrics: {listen: "127.0.0.1:9750"}
        control: {allow-fetch: false}
        shared: {enforcer: node1}
        """

    @Test func everyKey() throws {
        let loaded = try load(Self.everything)
        #expect(loaded.warnings == [])
        var expected = Policy()
        expected.mode = .enforce
        var cache = CachePolicy(path: "/srv/hf/hub")
        cache.minFree = .partsPerMillion(100_000)
        cache.targetFree = .partsPerMillion(150_000)
        cache.criticalFree = .bytes(20_000_000_000)
        cache.maxSize = .bytes(4_000_000_000_000)
        cache.targetSize = .bytes(3_900_000_000_000)
        cache.reserved = .bytes(100_000_000_000)
        cache.assumeUnusedAfter = .seconds(14 * 86_400)
        cache.also = ["/disk2/models"]
        cache.localDirs = ["/srv/models"]
        expected.caches = [cache]
        expected.pins = [Pin(repo: Glob("meta-llama/*"), revision: Glob("main"), reason: "production")]
        var incomplete = Match()
        incomplete.states = [.incomplete]
        var superseded = Match()
        superseded.states = [.superseded]
        var models = Match()
        models.types = [.model]
        models.repos = [Glob("*")]
        var large = Match()
        large.largerThan = 10_000_000_000
        expected.rules = [
            Rule(name: "broken downloads", match: incomplete, olderThan: .seconds(6 * 3600)),
            Rule(name: "superseded", match: superseded, keepLast: 1, olderThan: .seconds(7 * 86_400)),
            Rule(name: "unused models", match: models, unusedFor: .seconds(45 * 86_400)),
            Rule(name: "make room", occasion: .pressure, match: large),
        ]
        expected.verification.scrubEvery = .seconds(30 * 86_400)
        expected.repair.endpoints = [RepairPolicy.Endpoint(url: "https://huggingface.co")]
        expected.repair.rate = 100_000_000
        var notify = NotifyPolicy()
        notify.command = ["/usr/local/bin/page-me"]
        expected.notify = notify
        expected.metricsAddress = try ListenAddress("127.0.0.1:9750")
        expected.enforcer = "node1"
        #expect(loaded.policy == expected)
    }
}
