import HubCache
import PolicyFile
import Retention
import TestSupport
import Testing

/// Where policies are found, and whose are believed: real files with real owners and modes.
@Suite struct LocationTests {
    private static let me = PolicyReaderIdentity(uid: currentUser, gid: currentGroup)

    private func location(
        _ folder: TestFolder, named: BytePath? = nil, instance: String? = nil, reader: PolicyReaderIdentity = me
    ) -> PolicyLocation {
        var location = PolicyLocation(
            named: named.map(folder.absolute), instance: instance,
            environment: ["XDG_CONFIG_HOME": folder.absolute("config").text], home: folder.absolute("home").text,
            reader: reader)
        location.systemFolder = folder.absolute("etc")
        return location
    }

    private func complaints(_ location: PolicyLocation, in folder: TestFolder) -> [String] {
        do throws(PolicyFailure) { return try PolicyLoader(location).load().warnings.map(\.text) } catch {
            return error.diagnostics.map { $0.text.replacing(folder.path.text + "/", with: "") }
        }
    }

    /// Folders that pass, whatever the umask.
    private func withFolders(_ body: (TestFolder) throws -> Void) throws {
        try withTestFolder { folder in
            for name: BytePath in ["etc", "etc/policy.d", "config", "config/hfjanitor", "etc/gpu"] {
                try folder.makeFolder(name)
                try folder.chmod(name, 0o755)
            }
            try body(folder)
        }
    }

    @Test func noFileAtAll() throws {
        try withFolders { folder in
            let loaded = try PolicyLoader(location(folder)).load()
            #expect(loaded.policy == Policy())
            #expect(loaded.files == [])
            #expect(!loaded.isEmpty)
        }
    }

    @Test func placesInTheirOrder() {
        var location = PolicyLocation(
            environment: [:], home: "/home/ada", reader: PolicyReaderIdentity(uid: 1000, gid: 1000))
        #expect(location.candidates == ["/home/ada/.config/hfjanitor/policy.yaml", "/etc/hfjanitor/policy.yaml"])
        location.environment = ["XDG_CONFIG_HOME": "/x"]
        location.instance = "gpu"
        #expect(location.candidates == ["/x/hfjanitor/policy.yaml", "/etc/hfjanitor/gpu/policy.yaml"])
        location.environment = ["XDG_CONFIG_HOME": "relative"]
        #expect(location.candidates[0] == "/home/ada/.config/hfjanitor/policy.yaml")
        location.reader.uid = 0
        #expect(location.candidates == ["/etc/hfjanitor/gpu/policy.yaml"])
        location.instance = "../../tmp"
        #expect(location.candidates == ["/etc/hfjanitor/policy.yaml"])
        location.named = "mine.yaml"
        #expect(location.candidates == ["mine.yaml"])
    }

    @Test func offline() {
        func isOffline(_ environment: [String: String]) -> Bool {
            PolicyLocation(environment: environment, home: nil, reader: Self.me).isOffline
        }
        #expect(!isOffline([:]) && !isOffline(["HF_HUB_OFFLINE": "0"]) && !isOffline(["HF_HUB_OFFLINE": ""]))
        #expect(isOffline(["HF_HUB_OFFLINE": "1"]) && isOffline(["HF_HUB_OFFLINE": "true"]))
        #expect(isOffline(["TRANSFORMERS_OFFLINE": "yes"]))
    }

    /// Neither root: whoever runs the tests stands for the user, and root's file is his own.
    @Test func theUsersFileAndTheMachinesPins() throws {
        try withFolders { folder in
            try folder.write("etc/policy.yaml", "mode: enforce\npins:\n  - {repo: machine}\n")
            try folder.write("etc/policy.d/10.yaml", "pins:\n  - {repo: drop-in}\n")
            let user = PolicyReaderIdentity(uid: isRoot ? 4242 : currentUser, gid: currentGroup)
            var files = try PolicyLoader(location(folder, reader: user)).load().files
            #expect(files == [folder.absolute("etc/policy.yaml"), folder.absolute("etc/policy.d/10.yaml")])
            try folder.write("config/hfjanitor/policy.yaml", "mode: observe\npins:\n  - {repo: mine}\n")
            let loaded = try PolicyLoader(location(folder, reader: user)).load()
            files = ["config/hfjanitor/policy.yaml", "etc/policy.yaml", "etc/policy.d/10.yaml"].map(folder.absolute)
            #expect(loaded.files == files)
            #expect(loaded.policy.mode == .observe)
            #expect(loaded.policy.pins.map(\.repo.pattern) == ["mine", "machine", "drop-in"])
        }
    }

    @Test func anInstance() throws {
        try withFolders { folder in
            try folder.write("etc/policy.yaml", "pins:\n  - {repo: machine}\n")
            try folder.write("etc/gpu/policy.yaml", "announce: 2h\n")
            let loaded = try PolicyLoader(location(folder, instance: "gpu")).load()
            #expect(loaded.policy.announce == .seconds(7200))
            #expect(loaded.policy.pins.count == 1)
        }
    }

    @Test func dropInsByNameAndDropInsAlone() throws {
        try withFolders { folder in
            try folder.write("etc/policy.d/20.yaml", "announce: 2h\n")
            try folder.write("etc/policy.d/10.yaml", "announce: 1h\nedit-grace: 1h\n")
            try folder.write("etc/policy.d/.30.yaml", "announce: 3h\n")
            try folder.write("etc/policy.d/README", "no policy\n")
            try folder.write("etc/policy.d/40.yml", "announce: 4h\n")
            let root = PolicyReaderIdentity(uid: currentUser, gid: currentGroup)
            let loaded = try PolicyLoader(location(folder, reader: root)).load()
            #expect(loaded.policy.announce == .seconds(7200))
            #expect(loaded.policy.editGrace == .seconds(3600))
            #expect(loaded.files.map(\.lastComponent) == ["10.yaml", "20.yaml"])
            #expect(loaded.warnings.map(\.message) == ["this is not read: the name of a drop-in ends in .yaml"])
        }
    }

    @Test func aNamedFileThatIsNotThere() throws {
        try withFolders { folder in
            #expect(complaints(location(folder, named: "x.yaml"), in: folder) == ["x.yaml: there is no such file"])
            #expect(
                complaints(location(folder, named: "no/x.yaml"), in: folder) == ["no/x.yaml: there is no such file"])
        }
    }

    @Test func notAFile() throws {
        try withFolders { folder in
            try folder.write("real.yaml", "mode: observe\n")
            try folder.link("link.yaml", to: "real.yaml")
            try folder.fifo("fifo.yaml")
            try folder.makeFolder("folder.yaml")
            for (name, what) in [
                ("link", "a symbolic link"), ("fifo", "a fifo"), ("folder", "a folder"),
            ] {
                #expect(
                    complaints(location(folder, named: BytePath("\(name).yaml")), in: folder) == [
                        "\(name).yaml: this is \(what): a policy is read from a regular file only"
                    ])
            }
            try folder.link("etc/policy.d/10.yaml", to: "../../real.yaml")
            #expect(
                complaints(location(folder), in: folder) == [
                    "etc/policy.d/10.yaml: this is a symbolic link: a policy is read from a regular file only"
                ])
            folder.delete("etc/policy.d/10.yaml")
            try folder.write("big.yaml", [UInt8](repeating: 0x23, count: 3_000_000))
            #expect(
                complaints(location(folder, named: "big.yaml"), in: folder) == [
                    "big.yaml: the file is longer than 256KiB"
                ])
        }
    }

    @Test func writableByOthers() throws {
        try withFolders { folder in
            let file = folder.absolute("etc/policy.yaml").text
            try folder.write("etc/policy.yaml", "mode: observe\n")
            let stranger = PolicyReaderIdentity(uid: currentUser, gid: currentGroup + 1)
            try folder.chmod("etc/policy.yaml", 0o664)
            let named = location(folder, named: "etc/policy.yaml")
            #expect(complaints(named, in: folder) == [], "one's own group")
            let other = location(folder, named: "etc/policy.yaml", reader: stranger)
            #expect(
                complaints(other, in: folder) == [
                    "etc/policy.yaml: the file may be written to by group \(currentGroup): chmod g-w \(file)"
                        .replacing(folder.path.text + "/", with: "")
                ])
            try folder.chmod("etc/policy.yaml", 0o646)
            #expect(complaints(named, in: folder).first?.contains("by every user: chmod o-w etc/policy.yaml") == true)
            try folder.chmod("etc/policy.yaml", 0o644)
            try folder.chmod("etc", 0o777)
            #expect(complaints(named, in: folder).first?.contains("may be written to by every user: chmod o-w") == true)
            try folder.chmod("etc", 0o1777)
            #expect(complaints(named, in: folder) == [], "sticky")
            try folder.chmod("etc", 0o755)
            try folder.write("etc/policy.d/10.yaml", "mode: observe\n")
            try folder.chmod("etc/policy.d", 0o757)
            #expect(
                complaints(named, in: folder).first?.hasPrefix("etc/policy.d: its folder 'etc/policy.d' may be") == true
            )
            try folder.chmod("etc/policy.d", 0o755)
            try folder.chmod("etc/policy.d/10.yaml", 0o666)
            #expect(complaints(named, in: folder).first?.hasPrefix("etc/policy.d/10.yaml: the file may be") == true)
        }
    }

    @Test func aStrangersFile() throws {
        try withFolders { folder in
            try folder.write("mine.yaml", "mode: observe\n")
            guard isRoot else {
                // Without root no file can be given away; the reader can be somebody else.
                let reader = PolicyReaderIdentity(uid: currentUser + 1, gid: currentGroup)
                let said = complaints(location(folder, named: "mine.yaml", reader: reader), in: folder)
                #expect(said.first?.contains("belongs to user \(currentUser)") == true)
                return
            }
            try folder.chown("mine.yaml", 4242)
            #expect(
                complaints(location(folder, named: "mine.yaml"), in: folder) == [
                    "mine.yaml: the file belongs to user 4242, neither to root nor to the user this runs as (0): chown 0 mine.yaml"
                ])
            let owner = PolicyReaderIdentity(uid: 4242, gid: 4242)
            #expect(complaints(location(folder, named: "mine.yaml", reader: owner), in: folder) == [])
            try folder.chown("etc", 4242)
            try folder.write("etc/policy.yaml", "mode: observe\n")
            #expect(
                complaints(location(folder, named: "etc/policy.yaml"), in: folder).first?
                    .contains("its folder 'etc' belongs to user 4242") == true)
        }
    }
}
