import HubCache
import LinuxIO
import Retention
import Testing

@testable import HubClient
@testable import Repair

/// What is written and asked beside contents.
struct TextTests {
    /// As `json.dump(…, indent=1)` of Python 3.11 writes it.
    @Test func manifestIsTheClients() throws {
        let sha1 = String(repeating: "a", count: 40)
        let sha256 = String(repeating: "b", count: 64)
        let files = [
            HubTreeFile(path: "z \"ü\u{1F600}\\\u{7F}.json", size: 3, gitID: sha1, sha256: nil, xetHash: nil),
            HubTreeFile(path: "a.bin", size: 12, gitID: sha1, sha256: sha256, xetHash: sha256),
        ]
        let expected = """
            {
             "format_version": 1,
             "files": {
              "a.bin": {
               "size": 12,
               "blob_id": "\(sha1)",
               "lfs_sha256": "\(sha256)",
               "lfs_size": 12,
               "xet_hash": "\(sha256)"
              },
              "z \\"\\u00fc\\ud83d\\ude00\\\\\\u007f.json": {
               "size": 3,
               "blob_id": "\(sha1)"
              }
             }
            }
            """
        #expect(String(decoding: manifestText(of: files), as: UTF8.self) == expected)
        #expect(
            String(decoding: manifestText(of: []), as: UTF8.self) == "{\n \"format_version\": 1,\n \"files\": {}\n}")
    }

    @Test func remediesFitWhatFailed() {
        for (number, remedy) in [
            (SystemCallFailure.notAFolderNumber, "a file stands where a folder should be"),
            (SystemCallFailure.isAFolderNumber, "a folder stands where a file should be"),
            (SystemCallFailure.invalidNumber, "the filesystem cannot do that"),
            (SystemCallFailure.deniedNumber, "run it as the owner"),
        ] {
            let failure = RepairFailure(SystemCallFailure(call: "open", errno: number, subject: "x"), at: "here")
            #expect(failure.message.contains(remedy), "\(failure.message)")
        }
    }

    @Test func tokenGoesToTheOwnOriginOnly() throws {
        var policy = RepairPolicy()
        let environment = HubEnvironment(environment: ["HF_ENDPOINT": "https://hub.example/base"])
        #expect(try policy.hubEndpoints(besides: environment) == nil)
        policy.endpoints = [
            .init(url: "https://mirror.example"), .init(url: "https://hub.example"),
            .init(url: "https://trusted.example", getsToken: true), .init(url: "https://hub.example:8443"),
        ]
        #expect(try policy.hubEndpoints(besides: environment)?.map(\.sendsToken) == [false, true, true, false])
        policy.endpoints = [.init(url: "http://far.example")]
        #expect(throws: HubEndpointProblem.unencrypted) { _ = try policy.hubEndpoints(besides: environment) }
    }

    @Test(arguments: ["../x", "a/../b", "/a", "a//b", "", "a/\0", "a/."])
    func unsafePathsAreNoFiles(path: String) {
        let etag = BytePath(String(repeating: "a", count: 64))
        #expect(WantedFile(path: BytePath(path), etag: etag, size: 1) == nil)
    }

    @Test(arguments: ["../../x", String(repeating: "A", count: 64), String(repeating: "a", count: 63), "", ".."])
    func namesThatAreNoDigestsAreNoFiles(etag: String) {
        #expect(WantedFile(path: "a", etag: BytePath(etag), size: 1) == nil)
    }

    /// What has to be free above `critical-free` is no room above `min-free`.
    @Test func roomIsWhatTheFloorLacks() {
        func cache(_ least: UInt64?) -> CachePolicy {
            var policy = CachePolicy()
            policy.minFree = least.map { .bytes($0) }
            return policy
        }
        #expect([cache(nil)].room(toFree: 500, of: 1000) == 500)
        #expect([cache(nil), cache(200), cache(100)].room(toFree: 500, of: 1000) == 300)
        #expect([cache(600)].room(toFree: 500, of: 1000) == 0)
    }
}
