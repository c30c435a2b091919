import HubCache
import Testing

/// Patterns as Python's `fnmatchcase` and `filter_repo_objects` of huggingface_hub read them; the answers are theirs.
struct NamePatternTests {
    @Test(
        arguments: [
            ("*.json", "config.json", true), ("*.json", "sub/config.json", true), ("*.json", "config.JSON", false),
            ("data/*.json", "data/sub/file.json", true), ("sub/", "sub/a/b", true), ("sub/", "sub", false),
            ("?.txt", "a.txt", true), ("?.txt", "/.txt", true), ("?.txt", "ab.txt", false), ("*", "", true),
            ("", "", true), ("", "a", false), ("[abc].bin", "b.bin", true), ("[!abc].bin", "b.bin", false),
            ("[a-c]x", "bx", true), ("[c-a]x", "bx", false), ("[]]x", "]x", true), ("[!]]x", "]x", false),
            ("[!]]x", "ax", true), ("[", "[", true), ("[a", "[a", true), ("[]", "[]", true), ("a[!]b", "a[!]b", true),
            ("[-a]x", "-x", true), ("[a-]x", "-x", true), ("a*b*c", "a-b-b-c", true), ("a*b*c", "a-c-b", false),
            ("**", "a/b", true), ("a\\b", "a/b", true), ("a/b", "a\\b", true), ("a\nb*", "a\nbc", true),
            ("ü?", "üß", true), ("*ü*", "aüb", true), ("model-0000[!2]-*", "model-00001-of-00003", true),
        ])
    func matches(pattern: String, path: String, expected: Bool) {
        #expect(NamePattern(pattern).matches(BytePath(path)) == expected)
    }

    @Test func manyStarsEndInTime() {
        #expect(
            !NamePattern(String(repeating: "*a", count: 200)).matches(
                BytePath(String(repeating: "a", count: 4000) + "b")))
    }

    @Test func filters() {
        let filter = NameFilter(include: ["*.json", "sub/"], exclude: ["*secret*"])
        #expect(filter.includes("a.json") && filter.includes("sub/x") && !filter.includes("a.txt"))
        #expect(!filter.includes("secret.json"))
        #expect(NameFilter(include: [], exclude: []).includes("anything"))
    }
}
