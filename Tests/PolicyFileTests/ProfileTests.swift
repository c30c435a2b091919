import Foundation
import HubCache
import PolicyFile
import Retention
import Testing

/// The shipped profiles.
@Suite struct ProfileTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("policies")

    @Test func theProgramHasTheFiles() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path).filter {
            $0.hasSuffix(".yaml")
        }
        #expect(Set(names) == Set(PolicyProfile.all.map { $0.name + ".yaml" }))
        for profile in PolicyProfile.all {
            let file = try String(
                contentsOf: Self.folder.appendingPathComponent(profile.name + ".yaml"), encoding: .utf8)
            #expect(profile.text == file, "\(profile.name): run policies/embed")
        }
    }

    @Test(arguments: PolicyProfile.all) func isReadWithoutComplaint(profile: PolicyProfile) throws {
        let loaded = try load(profile.text)
        #expect(loaded.warnings == [])
        #expect(loaded.policy.mode == .observe, "nothing is removed before somebody says so")
        #expect(profile.text.hasPrefix("# \(profile.name): "))
        #expect(!profile.summary.isEmpty && !profile.summary.contains("\n"))
        for line in profile.text.split(separator: "\n") { #expect(line.count <= 120) }
    }

    @Test func theDefaultIsTheDefault() throws {
        var policy = try load(try #require(PolicyProfile(named: "observe")).text).policy
        #expect(policy.caches == [CachePolicy()])
        policy.caches = []
        #expect(policy == Policy())
    }

    @Test func everyKeyIsShownSomewhere() {
        let words = PolicyProfile.all.flatMap { profile in
            // Without comments.
            profile.text.split(separator: "\n").map { $0.prefix { $0 != "#" } }
                .flatMap { $0.split(whereSeparator: { " {,".contains($0) }).map(String.init) }
        }
        for key in PolicyProfile.keys { #expect(words.contains(key + ":"), "\(key)") }
        #expect(PolicyProfile.keys.count > 50)
    }

    @Test func nearest() {
        #expect(PolicyProfile.nearest(to: "gpu_server")?.name == "gpu-server")
        #expect(PolicyProfile.nearest(to: "xyz") == nil)
        #expect(PolicyProfile(named: "Observe") == nil)
    }
}
