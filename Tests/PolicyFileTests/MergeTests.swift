import HubCache
import PolicyFile
import Retention
import Testing

/// What drop-ins change.
@Suite struct MergeTests {
    private func merged(_ documents: String..., pinsOnly: String? = nil) throws -> LoadedPolicy {
        var sources = documents.enumerated().map {
            PolicySource(file: BytePath("\($0.offset).yaml"), bytes: Array($0.element.utf8))
        }
        if let pinsOnly {
            sources.append(PolicySource(file: "etc.yaml", bytes: Array(pinsOnly.utf8), givesPinsOnly: true))
        }
        return try PolicyParser(home: "/home/ada").policy(sources)
    }

    private func complaints(_ documents: String..., pinsOnly: String? = nil) -> [String] {
        var sources = documents.enumerated().map {
            PolicySource(file: BytePath("\($0.offset).yaml"), bytes: Array($0.element.utf8))
        }
        if let pinsOnly {
            sources.append(PolicySource(file: "etc.yaml", bytes: Array(pinsOnly.utf8), givesPinsOnly: true))
        }
        do throws(PolicyFailure) { return try PolicyParser().policy(sources).warnings.map(\.text) } catch {
            return error.diagnostics.map(\.text)
        }
    }

    @Test func scalarsReplaceAndMapsMerge() throws {
        let policy = try merged(
            "mode: observe\nannounce: 2h\nverify: {rate: 5MB, scrub-every: 9d}\n",
            "mode: enforce\nverify: {rate: unlimited}\n",
            "announce: 3h\n"
        ).policy
        #expect(policy.mode == .enforce)
        #expect(policy.announce == .seconds(3 * 3600))
        #expect(policy.verification.rate == nil)
        #expect(policy.verification.scrubEvery == .seconds(9 * 86_400))
    }

    @Test func cachesMergeByPath() throws {
        let policy = try merged(
            "mode: observe\ncaches:\n  - {path: /a, min-free: 10%, also: [/x]}\n  - {min-age: 1h}\n",
            "caches:\n  - {path: /a//./, target-free: 20%, also: [/y]}\n  - {path: /b}\n  - {recent-use: 9d}\n"
        ).policy
        #expect(policy.caches.map(\.path) == ["/a", nil, "/b"])
        #expect(policy.caches[0].minFree == .partsPerMillion(100_000))
        #expect(policy.caches[0].targetFree == .partsPerMillion(200_000))
        #expect(policy.caches[0].also == ["/y"])
        #expect(policy.caches[1].minAge == .seconds(3600))
        #expect(policy.caches[1].recentUse == .seconds(9 * 86_400))
    }

    @Test func homeIsTheSamePathHoweverItIsWritten() throws {
        let policy = try merged(
            "caches:\n  - {path: ~/hub, min-age: 1h}\n", "caches:\n  - {path: /home/ada/hub, recent-use: 3d}\n"
        ).policy
        #expect(policy.caches.count == 1)
        #expect(policy.caches[0].path == "/home/ada/hub")
        #expect(policy.caches[0].minAge == .seconds(3600))
    }

    @Test func pinsAppend() throws {
        let loaded = try merged("pins:\n  - {repo: a}\n", "pins:\n  - {repo: b}\n", pinsOnly: "pins:\n  - {repo: c}\n")
        #expect(loaded.policy.pins.map(\.repo.pattern) == ["a", "b", "c"])
        #expect(loaded.files == ["0.yaml", "1.yaml", "etc.yaml"])
    }

    @Test func rulesMergeByName() throws {
        let policy = try merged(
            "mode: observe\nrules:\n  - {name: a, match: {state: orphan}, older-than: 1d}\n  - {name: b, unused-for: 9d}\n",
            "rules:\n  - {name: c, match: {type: dataset}}\n  - {name: a, match: {larger-than: 1GB}, older-than: 2d}\n"
        ).policy
        #expect(policy.rules.map(\.name) == ["a", "b", "c"])
        #expect(policy.rules[0].olderThan == .seconds(2 * 86_400))
        #expect(policy.rules[0].match.states == [.orphan])
        #expect(policy.rules[0].match.largerThan == 1_000_000_000)
    }

    @Test func onlyPinsOfTheMachineCount() throws {
        let loaded = try merged(
            "mode: observe\n", pinsOnly: "mode: enforce\nrules:\n  - {name: a, unused-for: 9d}\npins:\n  - {repo: x}\n")
        #expect(loaded.policy.mode == .observe)
        #expect(loaded.policy.rules.isEmpty)
        #expect(loaded.policy.pins.count == 1)
        #expect(
            complaints("mode: observe\n", pinsOnly: "pins: x\n") == ["etc.yaml:1:7: 'pins' must be a list, not a value"]
        )
    }

    /// A drop-in needs no `mode`, the whole does.
    @Test func whatBelongsTogetherMayStandInSeveralFiles() throws {
        #expect(try merged("mode: enforce\n", "rules:\n  - {name: a, unused-for: 9d}\n").policy.rules.count == 1)
        #expect(
            try merged("mode: observe\ncaches:\n  - {min-free: 10GB}\n", "caches:\n  - {target-free: 20GB}\n").policy
                .caches[0]
                .targetFree == .bytes(20_000_000_000))
        #expect(
            complaints("announce: 1h\n", "rules:\n  - {name: a, unused-for: 9d}\n") == [
                "1.yaml:1:1: a policy with rules must state 'mode: observe' or 'mode: enforce'"
            ])
    }

    @Test func complaintsNameTheFileThatTheValueIsFrom() {
        #expect(
            complaints(
                "mode: observe\ncaches:\n  - {path: /a, min-free: 30%}\n",
                "announce: 1h\ncaches:\n  - {path: /a, target-free: 20%}\n")
                == ["1.yaml:3:29: 'target-free' (20%) must be above 'min-free' (30%)"])
    }

    /// What a later file replaces is looked at all the same.
    @Test func complaintsOfEveryFile() {
        #expect(
            complaints("mode: Observe\nannounce: x\n", "mode: observe\n", "rulez: []\n") == [
                "0.yaml:1:7: 'mode': 'Observe' is none of observe, enforce; did you mean 'observe'?",
                "0.yaml:2:11: 'announce': 'x' is not a length of time such as 30m, 6h or 45d",
                "2.yaml:1:1: unknown key 'rulez' in a policy; did you mean 'rules'?",
            ])
    }

    @Test func anEmptyFileWithDropIns() throws {
        let loaded = try merged("", "mode: enforce\n")
        #expect(loaded.policy.mode == .enforce)
        #expect(!loaded.isEmpty)
        #expect(try merged("# gone\n", "").isEmpty)
    }

    @Test func aFloorIsSwitchedOffByADropIn() throws {
        let policy = try merged(
            "mode: enforce\ncaches:\n  - {min-free: 10%, target-free: 20%}\n", "caches:\n  - {min-free: none}\n"
        ).policy
        #expect(policy.caches[0].minFree == nil)
    }
}
