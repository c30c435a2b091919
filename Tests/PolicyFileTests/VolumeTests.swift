import HubCache
import PolicyFile
import Retention
import TestSupport
import Testing

/// Policies in the volume that Kubernetes makes of a ConfigMap: links to `..data`, and none but those.
@Suite struct VolumeTests {
    private func location(_ folder: TestFolder) -> PolicyLocation {
        var location = PolicyLocation(
            environment: [:], home: folder.absolute("home").text,
            reader: PolicyReaderIdentity(uid: currentUser, gid: currentGroup))
        location.systemFolder = folder.absolute("etc")
        return location
    }

    private func pins(_ folder: TestFolder) throws -> [String] {
        try PolicyLoader(location(folder)).load().policy.pins.map(\.repo.pattern)
    }

    private func complaint(_ folder: TestFolder) -> String? {
        do throws(PolicyFailure) {
            _ = try PolicyLoader(location(folder)).load()
            return nil
        } catch {
            return error.diagnostics.first?.text.replacing(folder.path.text + "/", with: "")
        }
    }

    /// As `AtomicWriter` of the kubelet writes one.
    private func withVolume(_ body: (TestFolder) throws -> Void) throws {
        try withTestFolder { folder in
            for name: BytePath in ["etc", "etc/..2026_01_01_00_00_00.1"] {
                try folder.makeFolder(name)
                try folder.chmod(name, 0o755)
            }
            try folder.write("etc/..2026_01_01_00_00_00.1/policy.yaml", "pins: [{repo: first}]\n")
            try folder.link("etc/..data", to: "..2026_01_01_00_00_00.1")
            try folder.link("etc/policy.yaml", to: "..data/policy.yaml")
            try body(folder)
        }
    }

    @Test func theFileIsReadThroughBothLinks() throws {
        try withVolume { folder in
            #expect(try pins(folder) == ["first"])
            try folder.makeFolder("etc/..2026_01_02_00_00_00.2")
            try folder.chmod("etc/..2026_01_02_00_00_00.2", 0o755)
            try folder.write("etc/..2026_01_02_00_00_00.2/policy.yaml", "pins: [{repo: second}]\n")
            try folder.link("etc/..data_tmp", to: "..2026_01_02_00_00_00.2")
            try folder.move("etc/..data_tmp", to: "etc/..data")
            #expect(try pins(folder) == ["second"])
        }
    }

    @Test func dropInsToo() throws {
        try withVolume { folder in
            for name: BytePath in ["etc/policy.d", "etc/policy.d/..1"] {
                try folder.makeFolder(name)
                try folder.chmod(name, 0o755)
            }
            try folder.write("etc/policy.d/..1/10-team.yaml", "pins: [{repo: team}]\n")
            try folder.link("etc/policy.d/..data", to: "..1")
            try folder.link("etc/policy.d/10-team.yaml", to: "..data/10-team.yaml")
            #expect(try pins(folder) == ["first", "team"])
        }
    }

    @Test func halfAVolumeIsNoAbsentPolicy() throws {
        try withVolume { folder in
            folder.delete("etc/..2026_01_01_00_00_00.1/policy.yaml")
            #expect(complaint(folder)?.contains("leads to nothing") == true)
            folder.delete("etc/..2026_01_01_00_00_00.1")
            #expect(complaint(folder)?.contains("leads to nothing") == true)
            folder.delete("etc/..data")
            #expect(complaint(folder)?.contains("a symbolic link") == true)
        }
    }

    /// What leads out of the folder, further on, or to another name is somebody's trick or mistake.
    @Test func noOtherLinkIsFollowed() throws {
        try withVolume { folder in
            try folder.makeFolder("other")
            try folder.chmod("other", 0o755)
            try folder.write("other/policy.yaml", "pins: [{repo: other}]\n")
            for target: BytePath in ["../other", "..", ".", "/etc", "plain", "..data", "..x/../../other"] {
                folder.delete("etc/..data")
                try folder.link("etc/..data", to: target)
                #expect(complaint(folder)?.contains("a symbolic link") == true, "..data → \(target)")
            }
            folder.delete("etc/..data")
            try folder.link("etc/..data", to: "..2026_01_01_00_00_00.1")
            for target: BytePath in [
                "..data/other.yaml", "..data/../..data/policy.yaml", "..2026_01_01_00_00_00.1/policy.yaml",
                "../other/policy.yaml",
            ] {
                folder.delete("etc/policy.yaml")
                try folder.link("etc/policy.yaml", to: target)
                #expect(complaint(folder)?.contains("a symbolic link") == true, "policy.yaml → \(target)")
            }
            folder.delete("etc/policy.yaml")
            try folder.link("etc/policy.yaml", to: "..data/policy.yaml")
            folder.delete("etc/..2026_01_01_00_00_00.1/policy.yaml")
            try folder.link("etc/..2026_01_01_00_00_00.1/policy.yaml", to: "../../other/policy.yaml")
            #expect(complaint(folder)?.contains("a symbolic link") == true, "a link in the volume's folder")
            folder.delete("etc/..2026_01_01_00_00_00.1")
            try folder.link("etc/..2026_01_01_00_00_00.1", to: "../other")
            #expect(
                complaint(folder)?.contains("a symbolic link") == true, "a link in the place of the volume's folder")
        }
    }

    @Test func whatOthersCouldHaveWrittenIsNotBelieved() throws {
        try withVolume { folder in
            try folder.chmod("etc/..2026_01_01_00_00_00.1", 0o777)
            #expect(complaint(folder)?.contains("may be written to by every user") == true, "the volume's folder")
            try folder.chmod("etc/..2026_01_01_00_00_00.1", 0o755)
            try folder.chmod("etc/..2026_01_01_00_00_00.1/policy.yaml", 0o666)
            #expect(complaint(folder)?.contains("may be written to by every user") == true, "its file")
            try folder.chmod("etc/..2026_01_01_00_00_00.1/policy.yaml", 0o644)
            try folder.chmod("etc", 0o777)
            #expect(complaint(folder)?.contains("may be written to by every user") == true, "the volume")
        }
    }
}
