import HubCache
import PolicyFile
import Retention
import Testing

/// Documents that are taken, and do something other than they seem to.
@Suite struct WarningTests {
    @Test(arguments: [
        (
            "caches:\n  - {min-free: 10GB, critical-free: 20GB}",
            "3:37: warning: 'critical-free' is above 'min-free': downloads are refused before anything is evicted"
        ),
        (
            "caches:\n  - {max-size: 10GB, reserved: 20GB}",
            "3:32: warning: 'reserved' is not below 'max-size': the cap cannot be kept"
        ),
        (
            "rules:\n  - {name: a, match: {state: orphan, revision: main}, older-than: 1d}",
            "3:15: warning: this rule can never match: stale partials and orphans belong to no revision"
        ),
        (
            "rules:\n  - {name: a, older-than: 1d}\n  - {name: b, older-than: 24h}",
            "4:5: warning: this rule can never match: it is the same as 'a' before it"
        ),
        (
            "rules:\n  - {name: a, match: {larger-than: 2GB, smaller-than: 1GB}}",
            "3:36: warning: this rule can never match: nothing is both larger and smaller"
        ),
        (
            "rules:\n  - {name: a, when: pressure}",
            "3:15: warning: there is no pressure without 'min-free' or 'max-size' on a cache"
        ),
        (
            "rules:\n  - {name: a, unused-for: 1d}",
            "3:27: warning: 'unused-for' is below 'recent-use' (2d), which keeps what was opened since"
        ),
        (
            "rules:\n  - {name: a, older-than: 1d, order: oldest}",
            "3:31: warning: 'order' has no meaning without 'when: pressure'"
        ),
        (
            "repair: {endpoints: [{url: \"http://hub.example.org\", token: true, allow-http: true}]}",
            "2:28: warning: the token is never sent over plain http, 'token: true' or not"
        ),
        ("notify: {min-severity: info}", "2:9: warning: 'notify' goes nowhere: it has neither 'command' nor 'url'"),
    ])
    func warning(document: String, text: String) {
        #expect(complaints("mode: observe\n" + document + "\n") == ["policy.yaml:" + text])
    }

    @Test(arguments: [
        "caches:\n  - {min-free: 20GB, critical-free: 20GB}",
        // Which is larger depends on the filesystem.
        "caches:\n  - {min-free: 10%, target-free: 1GB, critical-free: 20TB}",
        "caches:\n  - {min-free: 10GB}\nrules:\n  - {name: a, when: pressure}\n  - {name: b, when: pressure, order: oldest}",
        "caches:\n  - {recent-use: 1d}\nrules:\n  - {name: a, unused-for: 1d}",
        "rules:\n  - {name: a, match: {state: [orphan, superseded], revision: main}, older-than: 1d}",
        "repair: {endpoints: [\"http://127.0.0.1:8080/\", \"http://[::1]:80\", {url: \"http://localhost\", token: true}]}",
        "caches:\n  - {min-free: none, max-size: none}",
        "caches:\n",
        "pins:\nrules:\nverify:\n",
    ])
    func noWarning(document: String) { #expect(complaints("mode: observe\n" + document + "\n") == []) }

    @Test func aFloorWhileOffline() {
        let document = "mode: observe\ncaches:\n  - min-free: 10%\n"
        #expect(complaints(document) == [])
        let said = complaints(document, isOffline: true)
        #expect(said.count == 1 && said[0].hasPrefix("policy.yaml:3:5: warning: HF_HUB_OFFLINE is set"))
        #expect(complaints(document + "    irreplaceable: evict\n", isOffline: true) == [])
    }

    @Test func foldersThatAreNotThere() throws {
        let parser = PolicyParser(folderExists: { $0 != "/gone" })
        let text = "caches:\n  - path: /gone\n    also: [/here, /gone]\n"
        let loaded = try parser.policy([PolicySource(file: "p", bytes: Array(text.utf8))])
        #expect(
            loaded.warnings.map(\.text) == [
                "p:2:11: warning: there is no folder '/gone' (yet)",
                "p:3:11: warning: there is no folder '/gone' (yet)",
            ])
    }
}
