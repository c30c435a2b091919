import Retention
import Testing

@Suite struct GlobTests {
    @Test(
        arguments: [
            ("meta-llama/*", "meta-llama/Llama-3", true), ("meta-llama/*", "meta-llama", false),
            ("*", "", true), ("*", "org/name", true), ("", "", true), ("", "a", false), ("?", "", false),
            ("?", "a", true), ("?", "/", true), ("a*c", "abbbc", true), ("a*c", "abbb", false),
            ("*a*a*a", "aaab", false), ("*a*a*a", "baxaya", true), ("a**b", "ab", true), ("Org/*", "org/x", false),
            ("refs/pr/*", "refs/pr/1", true), ("[ab]", "a", false), ("[ab]", "[ab]", true), ("*é", "café", true),
            ("*-GGUF", "org/x-GGUF-2-GGUF", true), ("v?.*", "v1.0", true), ("v?.*", "v10", false),
        ])
    func fits(_ pattern: String, _ name: String, _ expected: Bool) {
        #expect(Glob(pattern).matches(name) == expected)
        #expect(Glob(pattern).matches(Array(name.utf8)) == expected)
    }

    @Test func literals() {
        #expect(Glob("org/name").isLiteral)
        #expect(!Glob("org/*").isLiteral)
        #expect(!Glob("v?").isLiteral)
        #expect(Glob("a*").description == "a*")
    }

    /// A pattern that makes naive matchers take exponential time.
    @Test func manyStars() {
        let pattern = Glob(String(repeating: "a*", count: 200) + "b")
        #expect(!pattern.matches(String(repeating: "a", count: 2000)))
    }

    /// Against a matcher that is obviously right, and slow.
    @Test func agreesWithDefinition() {
        func fits(_ pattern: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
            guard let first = pattern.first else { return name.isEmpty }
            if first == UInt8(ascii: "*") {
                return fits(pattern.dropFirst(), name) || (!name.isEmpty && fits(pattern, name.dropFirst()))
            }
            guard let head = name.first, first == UInt8(ascii: "?") || first == head else { return false }
            return fits(pattern.dropFirst(), name.dropFirst())
        }
        var random = Random(seed: 7)
        for _ in 0..<20_000 {
            let pattern = (0..<random.below(7)).map { _ in Array("ab*?".utf8)[random.below(4)] }
            let name = (0..<random.below(8)).map { _ in Array("ab".utf8)[random.below(2)] }
            let expected = fits(pattern[...], name[...])
            #expect(Glob(String(decoding: pattern, as: UTF8.self)).matches(name) == expected)
        }
    }
}
