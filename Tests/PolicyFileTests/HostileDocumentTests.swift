import HubCache
import PolicyFile
import Retention
import Testing

/// Documents that are made to cost much, or to crash a parser. Each must end in a complaint.
@Suite struct HostileDocumentTests {
    private func expectRefused(_ document: String, _ words: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let said = complaints(document)
        #expect(said.contains { $0.contains(words) }, "\(said.prefix(3))", sourceLocation: sourceLocation)
        #expect(said.count <= 100)
    }

    @Test func aliasBomb() {
        var document = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...30 {
            let items = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            document += "a\(level): &a\(level) [\(items)]\n"
        }
        expectRefused(document, "more than 32 aliases")
    }

    @Test func aliasBombWithinTheLimit() {
        let list = Array(repeating: "x", count: 3000).joined(separator: ", ")
        var document = "a0: &a0 [\(list)]\n"
        for level in 1...6 {
            let items = Array(repeating: "*a\(level - 1)", count: 5).joined(separator: ", ")
            document += "a\(level): &a\(level) [\(items)]\n"
        }
        expectRefused(document, "there is too much in this document")
    }

    @Test func aliasesAsKeys() {
        expectRefused("a: &a [x, y]\n*a : b\n", "a key cannot be an alias, a list or a map")
        expectRefused("a: &a [x, y]\n[*a]: b\n", "a key cannot be an alias, a list or a map")
        expectRefused("a: &a [x, y]\n? *a\n: b\n", "keys with '?' before them")
    }

    @Test func aliasThatHoldsItself() {
        expectRefused("pins: &a\n  - {repo: *a}\n", "found undefined alias")
    }

    @Test func fewAliasesAreTaken() throws {
        let loaded = try load("pins:\n  - &a {repo: x}\n  - {repo: y, reason: &r because}\n  - {repo: z, reason: *r}\n")
        #expect(loaded.policy.pins.map(\.reason) == [nil, "because", "because"])
    }

    @Test(arguments: ["[", "{a: ", "- ", "[{a: ", "? ", "- ? "])
    func deepNesting(opening: String) {
        let said = complaints(String(repeating: opening, count: 20_000))
        #expect(!said.isEmpty)
        #expect(said.count <= 100)
    }

    @Test func deepNestingByLines() {
        var document = ""
        for level in 0..<600 { document += String(repeating: " ", count: level) + "a:\n" }
        expectRefused(document, "nested too deeply")
    }

    @Test func manyDuplicates() {
        expectRefused(
            String(repeating: "mode: observe\n", count: 5000), "this key stands twice in one map")
    }

    @Test func manyErrors() {
        let document = (0..<10_000).map { "key\($0): x\n" }.joined()
        let said = complaints(document)
        #expect(said.count == 100)
        #expect(said.first == "policy.yaml:1:1: unknown key 'key0' in a policy")
    }

    /// Every prefix of a document, and every document with one byte changed, ends in a policy or a complaint.
    @Test func mutations() {
        let bytes = Array(ReadingTests.everything.utf8)
        for end in stride(from: 0, to: bytes.count, by: 7) { _ = complaints(Array(bytes[..<end])) }
        let replacements = Array("\0\t\n\r \"'#&*?:-[]{},|>!%@`\\\u{7F}".utf8) + [0xFF, 0xC3]
        var seed: UInt64 = 1
        for _ in 0..<3000 {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            var changed = bytes
            changed[Int(seed >> 33) % bytes.count] = replacements[Int(seed >> 20) % replacements.count]
            for line in complaints(changed) { #expect(!line.contains("\n") && line.hasPrefix("policy.yaml:")) }
        }
    }
}
