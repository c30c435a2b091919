import HubCache
import PolicyFile
import Retention
import Testing

/// Documents that are wrong, and exactly what is said of them.
@Suite struct BadDocumentTests {
    /// A document, what its first complaint is, and whether that is an error.
    struct Example: CustomTestStringConvertible, Sendable {
        var document: String
        var complaints: [String]
        var testDescription: String { complaints.first ?? document }

        init(_ document: String, _ complaints: String...) {
            self.document = document
            self.complaints = complaints.map { "policy.yaml:" + $0 }
        }
    }

    static let keys = [
        Example("mdoe: observe\n", "1:1: unknown key 'mdoe' in a policy; did you mean 'mode'?"),
        Example("rule: []\n", "1:1: unknown key 'rule' in a policy; did you mean 'rules'?"),
        Example("frobnicate: 1\n", "1:1: unknown key 'frobnicate' in a policy"),
        Example("caches:\n  - min_free: 10%\n", "2:5: unknown key 'min_free' in a cache; did you mean 'min-free'?"),
        Example("min-free: 10%\n", "1:1: unknown key 'min-free' in a policy: it belongs to a cache"),
        Example(
            "pins:\n  - {repos: x}\n", "2:5: a pin needs 'repo'; \"*\" pins everything",
            "2:6: unknown key 'repos' in a pin; did you mean 'repo'?"),
        Example("verify: {rat: 5}\n", "1:10: unknown key 'rat' in 'verify'; did you mean 'rate'?"),
        Example(
            "mode: observe\nrules:\n  - {name: a, match: {stat: orphan}}\n",
            "3:23: unknown key 'stat' in 'match'; did you mean 'state'?"),
        Example("<<: {mode: observe}\n", "1:1: unknown key '<<' in a policy"),
        Example("mode: observe\nannounce: 1h\nmode: enforce\n", "3:1: 'mode' stands twice here, first in line 1"),
        Example("caches:\n  - {path: /a, path: /b}\n", "2:16: 'path' stands twice here, first in line 2"),
        Example(
            "\"mode\": observe\nmode: enforce\nmode: observe\n", "2:1: 'mode' stands twice here, first in line 1",
            "3:1: 'mode' stands twice here, first in line 1"),
        Example(
            "verify: {rate: 5MB}\nannounce: 1h\nverify: {rat: 1}\nannounce: 1d\n",
            "3:1: 'verify' stands twice here, first in line 1", "4:1: 'announce' stands twice here, first in line 2"),
        Example("? mode\n: observe\n", "1:1: keys with '?' before them are not understood here"),
        Example("[a, b]: 1\n", "1:1: a key must be a word"),
    ]

    static let values = [
        Example("mode: Enforce\n", "1:7: 'mode': 'Enforce' is none of observe, enforce; did you mean 'enforce'?"),
        Example("mode: [observe]\n", "1:7: 'mode' must be one value, not a list"),
        Example("mode:\n", "1:6: 'mode' has no value"),
        Example(
            "mode: observe\nrules:\n  - name: a\n    match: {state: [], repo: , revision: [], type: []}\n",
            "4:20: 'state' has no value: name at least one, or leave the key out, which means all",
            "4:30: 'repo' has no value: name at least one, or leave the key out, which means all",
            "4:42: 'revision' has no value: name at least one, or leave the key out, which means all",
            "4:52: 'type' has no value: name at least one, or leave the key out, which means all"),
        Example(
            "mode: observe\nrules:\n  - name: a\n    match:\n",
            "4:11: 'match' has no value: say what is meant, or leave the key out, which means all"),
        Example("mode: ''\n", "1:7: 'mode': '' is none of observe, enforce"),
        Example(
            "announce: 45\n", "1:11: 'announce': a length of time needs a unit: s, m, h, d, w or y; did you mean '45d'?"
        ),
        Example("announce: 1mo\n", "1:11: 'announce': a month is no fixed time; did you mean '30d'?"),
        Example("announce: 1:30\n", "1:11: 'announce': ':' is not a unit of time: use s, m, h, d, w or y"),
        Example("caches: /srv\n", "1:9: 'caches' must be a list, not a value"),
        Example("caches: [/srv]\n", "1:10: a cache must be a map of keys, not a value"),
        Example("caches:\n  - path: srv/hf\n", "2:11: 'path': 'srv/hf' is not an absolute path"),
        Example("caches:\n  - path: /srv/../etc\n", "2:11: 'path': a path must not contain '..'"),
        Example("caches:\n  - also: [x]\n", "2:12: 'also': 'x' is not an absolute path"),
        Example("caches:\n  - min-age: -1h\n", "2:14: 'min-age': a length of time cannot be negative"),
        Example("caches:\n  - recent-use: -2d\n", "2:17: 'recent-use': a length of time cannot be negative"),
        Example(
            "caches:\n  - allow-empty: yes\n",
            "2:18: 'allow-empty': 'yes' is neither true nor false; did you mean 'true'?"),
        Example(
            "caches:\n  - irreplaceable: keeep\n",
            "2:20: 'irreplaceable': 'keeep' is none of keep, evict; did you mean 'keep'?"),
        Example("caches:\n  - assume-unused-after: 6d\n", "2:26: 'assume-unused-after' must be at least 7d"),
        Example("mode: observe\ncaches:\n  - min-free: 110%\n", "3:15: 'min-free': '110%' is more than 100%"),
        Example("mode: observe\ncaches:\n  - min-free: -5%\n", "3:15: 'min-free': a percentage cannot be negative"),
        Example(
            "mode: observe\ncaches:\n  - min-free: 1.23456%\n",
            "3:15: 'min-free': '1.23456%' has more than four decimals"),
        Example(
            "mode: observe\ncaches:\n  - min-free: 10Gb\n", "3:15: 'min-free': 'Gb' means bits; did you mean '10GB'?"),
        Example("mode: observe\ncaches:\n  - max-size: 0\n", "3:15: 'max-size': must be above 0"),
        Example(
            "mode: observe\ncaches:\n  - min-free: 10%\n    target-free: 10%\n",
            "4:18: 'target-free' (10%) must be above 'min-free' (10%)"),
        Example(
            "mode: observe\ncaches:\n  - {max-size: 1TB, target-size: 1000GB}\n",
            "3:34: 'target-size' (1TB) must be below 'max-size' (1TB)"),
        Example("caches:\n  - target-free: 5%\n", "2:5: 'target-free' without 'min-free' has no meaning"),
        Example("caches:\n  - target-size: 5GB\n", "2:5: 'target-size' without 'max-size' has no meaning"),
        Example(
            "mode: observe\ncaches:\n  - min-free: 99%\n", "3:15: 'min-free' above 98% leaves no room for 'target-free'"
        ),
        Example(
            "caches:\n  - path: /a\n  - path: /b\n  - path: /a/./\n",
            "4:11: the cache '/a' stands twice, first in line 2"),
        Example(
            "caches:\n  - min-age: 1h\n  - min-age: 2h\n",
            "3:5: a second cache without a path, the first is in line 2"),
        Example("pins:\n  - {repo: ''}\n", "2:12: 'repo': must not be empty"),
        Example("pins: [meta-llama/*]\n", "1:8: a pin must be a map such as {repo: org/name}, not a value"),
        Example("verify: {rate: 0}\n", "1:16: 'rate': a rate must be above 0"),
        Example("verify: {io-pressure-max: 20}\n", "1:27: 'io-pressure-max': must be in percent, such as 20%"),
        Example("verify: {scrub-every: 0s}\n", "1:23: 'scrub-every': must be above 0"),
        Example("verify: [on-arrival]\n", "1:9: 'verify' must be a map of keys, not a list"),
        Example("repair: {attempts: 0}\n", "1:20: 'attempts': must be from 1 to 100, not 0"),
        Example("repair: {attempts: 1e3}\n", "1:20: 'attempts': '1e3' is not a whole number"),
        Example(
            "repair: {estimate-margin: 0.9}\n",
            "1:27: 'estimate-margin': '0.9' is not a factor from 1 to 10, such as 1.10"),
        Example(
            "repair: {endpoints: [hub.example.org]}\n",
            "1:22: 'hub.example.org' is not a URL that starts with https://"),
        Example(
            "repair: {endpoints: [\"http://hub.example.org\"]}\n", "1:22: plain http needs {url: …, allow-http: true}"),
        Example(
            "repair: {endpoints: [\"https://ada:secret@hub.example.org\"]}\n",
            "1:22: a URL in a policy must not have a name or password in it"),
        Example("repair: {endpoints: [{token: true}]}\n", "1:22: an endpoint needs a 'url'"),
        Example(
            "notify: {command: page-me}\n", "1:19: 'command' must be a list, not a value",
            "1:9: warning: 'notify' goes nowhere: it has neither 'command' nor 'url'"),
        Example("notify: {command: [page-me]}\n", "1:19: 'command' must start with the absolute path of a program"),
        Example("notify: {command: [/bin/x], url: \"https://a\"}\n", "1:29: give 'command' or 'url', not both"),
        Example(
            "metrics: {listen: 9750}\n",
            "1:19: 'listen': '9750' is not address:port, such as 127.0.0.1:9750 or [::1]:9750"),
        Example(
            "metrics: {listen: \"::1:9750\"}\n",
            "1:19: 'listen': '::1:9750' is not address:port, such as 127.0.0.1:9750 or [::1]:9750"),
        Example(
            "metrics: {listen: \"localhost:0\"}\n",
            "1:19: 'listen': 'localhost:0' is not address:port, such as 127.0.0.1:9750 or [::1]:9750"),
        Example("shared: {enforcer: 'a b'}\n", "1:20: 'enforcer': 'a b' is not the name of a host"),
    ]

    static let rules = [
        Example(
            "rules:\n  - {name: a, older-than: 1d}\n",
            "1:1: a policy with rules must state 'mode: observe' or 'mode: enforce'"),
        Example(
            "caches:\n  - min-free: 10%\n",
            "2:5: a policy with 'min-free' must state 'mode: observe' or 'mode: enforce'"),
        Example(
            "caches:\n  - max-size: 1TB\n",
            "2:5: a policy with 'max-size' must state 'mode: observe' or 'mode: enforce'"),
        Example("mode: observe\nrules:\n  - {match: {state: orphan}}\n", "3:5: a rule needs a 'name'"),
        Example(
            "mode: observe\nrules:\n  - {name: a, older-than: 1d}\n  - {name: a, older-than: 2d}\n",
            "4:12: the rule 'a' stands twice, first in line 3"),
        Example("mode: observe\nrules:\n  - {name: a, older-than: 0s}\n", "3:27: 'older-than': must be above 0"),
        Example(
            "mode: observe\nrules:\n  - {name: a, match: {state: complete}, keep-last: 0}\n",
            "3:52: 'keep-last': must be from 1 to 1000000, not 0"),
        Example(
            "mode: observe\nrules:\n  - {name: a}\n",
            "3:5: this rule takes every revision at once: give it 'match', 'older-than', 'unused-for' or 'when: pressure'"
        ),
        Example(
            "mode: observe\nrules:\n  - {name: a, match: {state: orphan}, unused-for: 9d}\n",
            "3:39: 'unused-for' has no meaning for stale partials and orphans: use 'older-than'"),
        Example(
            "mode: observe\nrules:\n  - {name: a, match: {state: incomplet}}\n",
            "3:30: 'state': 'incomplet' is none of complete, partial, corrupt, incomplete, detached, superseded, stale-partial, orphan; did you mean 'incomplete'?"
        ),
        Example(
            "mode: observe\nrules:\n  - {name: a, match: {type: [model, modle]}}\n",
            "3:37: 'type': 'modle' is none of model, dataset, space, kernel; did you mean 'model'?"),
        Example(
            "mode: observe\nrules:\n  - {name: a, when: presure}\n",
            "3:21: 'when': 'presure' is none of always, pressure; did you mean 'pressure'?"),
    ]

    static let syntax = [
        Example("mode: observe\n---\nmode: enforce\n", "2:1: a second document starts here: a policy file has one"),
        Example("caches:\n\t- path: /a\n", "2:1: a tab indents this line: YAML takes spaces only"),
        Example(
            "mode: observe\nrules:\n  - {name: a, match: {repo: *}, older-than: 1d}\n",
            "3:30: '*' starts an alias: quote a pattern, as in \"*\""),
        Example("mode: @x\n", "1:7: a value cannot start with '@': quote it"),
        Example("mode: *x\n", "1:7: found undefined alias"),
        Example(
            "mode: observe: x\n",
            "1:14: a ':' is not expected here: is the line indented as the one before, or a value with ':' not quoted?"),
        Example("- mode\n", "1:1: a policy must be a map of keys, not a list"),
        Example("observe\n", "1:1: a policy must be a map of keys, not a value"),
        Example(
            "mode: !env MODE\n", "1:7: tags such as '!env' are not understood here",
            "1:7: 'mode': 'MODE' is none of observe, enforce"),
        Example("mode: \"obs\\0\"\n", "1:7: a NUL character", "1:7: 'mode': 'obs\\x00' is none of observe, enforce"),
        Example("mode: \u{0}\n", "1:7: a NUL character"),
        Example("mode: [observe\n", "1:15: did not find expected ',' or ']' (while parsing a flow sequence)"),
        Example("mode: \u{7}\n", "1:7: control characters are not allowed"),
        Example("\u{FEFF}mode: observe\n", "1:1: the file starts with a byte order mark: save it as UTF-8 without one"),
    ]

    @Test(arguments: keys + values + rules + syntax)
    func complaint(example: Example) { #expect(complaints(example.document).sorted() == example.complaints.sorted()) }

    @Test func severalAtOnceInOrder() {
        let document = """
            mode: Observe
            chaches: []
            pins:
              - {repo: ""}
            verify: {rate: fast}
            """
        #expect(
            complaints(document) == [
                "policy.yaml:1:7: 'mode': 'Observe' is none of observe, enforce; did you mean 'observe'?",
                "policy.yaml:2:1: unknown key 'chaches' in a policy; did you mean 'caches'?",
                "policy.yaml:4:12: 'repo': must not be empty",
                "policy.yaml:5:16: 'rate': 'fast' is not a size such as 200GB",
            ])
    }

    @Test func columnsAreCharacters() {
        #expect(
            complaints("pins: [{reason: \"größer\", rep: x, repo: y}]\n") == [
                "policy.yaml:1:27: unknown key 'rep' in a pin; did you mean 'repo'?"
            ])
    }

    @Test func notUTF8() {
        #expect(
            complaints(Array("mode: observe\n# caf".utf8) + [0xE9, 0x0A]) == ["policy.yaml:2:6: this is not UTF-8"])
        #expect(complaints([0xFF, 0xFE, 0x6D, 0x00]) == ["policy.yaml:1:1: this is not UTF-8"])
    }

    @Test func namesFromTheFileCannotMoveTheCursor() {
        #expect(complaints("\"\\e[2J\": 1\n") == ["policy.yaml:1:1: unknown key '\\x1B[2J' in a policy"])
    }

    @Test func tooLong() {
        let bytes = Array("# ".utf8) + [UInt8](repeating: 0x61, count: 300_000)
        #expect(complaints(bytes) == ["policy.yaml: the file is longer than 256KiB"])
    }

    @Test func shortDocumentsAreReadRight() {
        // Shorter than what a string holds without memory of its own.
        #expect(complaints("mode: observe") == [])
        #expect(complaints("mode: x") == ["policy.yaml:1:7: 'mode': 'x' is none of observe, enforce"])
        #expect(complaints("x") == ["policy.yaml:1:1: a policy must be a map of keys, not a value"])
    }

    @Test(arguments: ["", "\n\n", "# nothing but words\n", "---\n", "--- \n...\n", "{}"])
    func nothingInIt(document: String) throws {
        let loaded = try load(document)
        if document == "{}" {
            // Somebody wrote that there is nothing.
            #expect(loaded.warnings == [])
            return
        }
        #expect(
            loaded.warnings.map(\.text) == [
                "policy.yaml: warning: there is nothing in this file: the policy only observes"
            ])
        #expect(loaded.isEmpty)
        #expect(loaded.policy.mode == .observe)
        #expect(loaded.policy.rules.isEmpty)
    }
}
