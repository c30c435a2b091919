import HubCache
import Testing

@testable import Ledger

@Suite struct Location {
    @Test(arguments: [
        (["STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/x", "HOME": "/h"], "/var/lib/a"),
        (["STATE_DIRECTORY": "", "XDG_STATE_HOME": "/x", "HOME": "/h"], "/x/hfjanitor"),
        (["STATE_DIRECTORY": "relative", "HOME": "/h"], "/h/.local/state/hfjanitor"),
        (["STATE_DIRECTORY": ":/second", "HOME": "/h"], "/h/.local/state/hfjanitor"),
        (["XDG_STATE_HOME": "relative", "HOME": "/h"], "/h/.local/state/hfjanitor"),
        (["XDG_STATE_HOME": "", "HOME": "/h/"], "/h//.local/state/hfjanitor"),
        (["HOME": ""], "/users/me/.local/state/hfjanitor"),
        (["HOME": "not/absolute"], "/users/me/.local/state/hfjanitor"),
        ([:], "/users/me/.local/state/hfjanitor"),
    ])
    func followsTheEnvironment(environment: [String: String], expected: String) {
        let directory = LedgerLocation.directory(environment: environment) { BytePath("/users/me") }
        #expect(directory?.text == expected)
    }

    @Test func withoutAHomeThereIsNone() {
        #expect(LedgerLocation.directory(environment: [:]) { nil } == nil)
        let ledger = Ledger.open(directory: nil, programVersion: "1")
        #expect(ledger.availability == .unavailable(reason: "there is no home folder to keep it in"))
        #expect(ledger.takeProblem() == "the ledger 'ledger.sqlite' is not used: there is no home folder to keep it in")
        #expect(ledger.takeProblem() == nil)
    }

    @Test func theUserDatabaseKnowsAHome() {
        #expect(LedgerLocation.directory(environment: [:])?.hasSuffix("/.local/state/hfjanitor") == true)
    }

    @Test(
        arguments: [
            ("27", "ext4"), ("31", "btrfs"), ("99", nil), ("40", "nfs4"), ("50", nil),
        ] as [(String, String?)])
    func theMountTableNamesTheFilesystem(id: String, type: String?) {
        let mounts = """
            27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
            31 27 0:25 /@home /home rw - btrfs /dev/sdb rw,subvol=/@home
            40 27 0:50 / /net/a\\040b rw master:2 propagate_from:3 - nfs4 server:/x rw
            50 27 0:51 / /cut rw shared:5
            """
        #expect(
            filesystemType(fdinfo: "pos:\t0\nflags:\t0200000\nmnt_id:\t\(id)\nino:\t5\n", mountinfo: mounts) == type)
        #expect(filesystemType(fdinfo: "pos:\t0\n", mountinfo: mounts) == nil)
    }

    @Test func anAddressKeepsEveryByteOfThePath() {
        #expect(unchangingAddress("/a b/ü?#%.sqlite") == "file:///a%20b/%C3%BC%3F%23%25.sqlite?immutable=1")
    }
}

@Suite struct Waiting {
    @Test func allWaitingTogetherIsBounded() {
        let slept = Counter()
        let budget = WaitBudget(now: { slept.value }, sleep: { slept.value += $0 })
        var attempt = 0
        while budget.wait(attempt: attempt) { attempt += 1 }
        // Two seconds, and what was earned meanwhile.
        #expect(slept.value <= 2_100_000_000)
        #expect(slept.value >= 1_900_000_000)
        slept.value += 30_000_000_000
        #expect(budget.wait(attempt: 0))
    }
}
