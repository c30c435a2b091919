import Foundation
import HubCache
import Retention
import Testing

/// One small inventory, a policy, and the plan that is right for them, which is in `Golden/<name>.txt`.
struct GoldenCase: CustomTestStringConvertible, Sendable {
    var name: String
    var planner: Planner
    var evidence: @Sendable (Item) -> ItemEvidence
    /// Whether all items are explained too.
    var explains: Bool

    init(
        _ name: String, _ caches: [CacheFacts], _ policy: Policy = Policy(), clock: ClockTrust = .trusted,
        room: UInt64? = nil, former: [FormerPolicy] = [], extra: [Item: [Kept]] = [:], explains: Bool = false,
        evidence: @escaping @Sendable (Item) -> ItemEvidence = nothing
    ) {
        self.name = name
        planner = Planner(
            policy: policy, caches: caches, now: now, clock: clock, room: room, formerPolicies: former,
            extraKeepers: extra)
        self.caches = caches
        self.evidence = evidence
        self.explains = explains
    }

    var caches: [CacheFacts]
    var testDescription: String { name }

    var text: String {
        var text = RetentionTests.text(planner.plan(evidence: evidence), of: caches)
        guard explains else { return text }
        for item in Planner.items(of: caches) {
            text += RetentionTests.text(planner.explain(item, evidence: evidence), of: caches)
        }
        return text
    }
}

/// Plans against text files. With `HFJANITOR_TESTS_REWRITE_GOLDEN=1` they are written anew: read the difference before it is
/// committed.
@Suite struct GoldenTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Golden")
    static let cases = ruleCases + stateCases + keeperCases + pressureCases + sharingCases + editCases

    @Test(arguments: cases) func plan(_ golden: GoldenCase) throws {
        let file = Self.folder.appendingPathComponent(golden.name + ".txt")
        if ProcessInfo.processInfo.environment["HFJANITOR_TESTS_REWRITE_GOLDEN"] == "1" {
            try FileManager.default.createDirectory(at: Self.folder, withIntermediateDirectories: true)
            try golden.text.write(to: file, atomically: true, encoding: .utf8)
        }
        let expected = try String(contentsOf: file, encoding: .utf8)
        #expect(golden.text == expected)
    }

    @Test func everyFileHasItsCase() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
        #expect(Set(names) == Set(Self.cases.map { $0.name + ".txt" }))
        #expect(Set(Self.cases.map(\.name)).count == Self.cases.count)
        #expect(Self.cases.count >= 60)
    }
}
