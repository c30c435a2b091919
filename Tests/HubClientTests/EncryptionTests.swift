import Foundation
import HubCache
import HubClient
import TestSupport
import Testing

/// A Hub that speaks https with a certificate of its own making.
@Suite struct EncryptionTests {
    /// Writes `own.pem` with certificate and key for 127.0.0.1, and another one that nobody uses.
    private func makeCertificates(in folder: TestFolder) throws {
        for (name, address) in [("own", "127.0.0.1"), ("other", "127.0.0.9")] {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            let path = folder.absolute(BytePath(name)).text
            process.arguments = [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                "2",
                "-subj", "/CN=\(name)", "-addext", "subjectAltName=IP:\(address)", "-keyout", path + ".key", "-out",
                path + ".crt",
            ]
            process.standardError = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            guard process.terminationStatus == 0 else { throw StandInFailure(description: "openssl failed") }
            let certificate = try String(contentsOfFile: path + ".crt", encoding: .utf8)
            let key = try String(contentsOfFile: path + ".key", encoding: .utf8)
            try folder.write(BytePath(name + ".pem"), certificate + key)
        }
    }

    private func askForSmall(_ hub: HubStandIn, _ environment: [String: String]) -> HubAnswer {
        hub.client(environment: environment).availability(
            of: HubStandIn.small, repo: HubStandIn.repo, commit: hub.commit, expectedEtag: HubStandIn.smallEtag)
    }

    @Test func certificatesAreChecked() throws {
        try withTestFolder { folder in
            try makeCertificates(in: folder)
            let hub = try HubStandIn(in: folder, certificate: "own.pem")
            #expect(hub.hub.hasPrefix("https://"))
            // Unknown to the system, and to a list that has another one: nothing is said, and no token sent.
            for environment in [
                [:], ["REQUESTS_CA_BUNDLE": folder.absolute("other.crt").text], ["SSL_CERT_FILE": "/none"],
            ] {
                guard case .noAnswer(.network) = askForSmall(hub, environment) else {
                    Issue.record("believed with \(environment)")
                    continue
                }
            }
            #expect(try hub.log().isEmpty)
            for name in ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"] {
                guard case .confirmed = askForSmall(hub, [name: folder.absolute("own.crt").text]) else {
                    Issue.record("not believed by \(name)")
                    continue
                }
            }
            #expect(try hub.originsWithToken() == ["hub"])
            // The name in the certificate is checked too.
            let elsewhere = hub.hub.replacingOccurrences(of: "127.0.0.1", with: "localhost")
            let trusted = ["REQUESTS_CA_BUNDLE": folder.absolute("own.crt").text, "HF_ENDPOINT": elsewhere]
            guard case .noAnswer(.network) = askForSmall(hub, trusted) else {
                Issue.record("another name was believed")
                return
            }
        }
    }

    @Test func aFolderOfCertificates() throws {
        try withTestFolder { folder in
            try makeCertificates(in: folder)
            let hub = try HubStandIn(in: folder, certificate: "own.pem")
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            try folder.write(
                "trusted/own.crt", String(contentsOfFile: folder.absolute("own.crt").text, encoding: .utf8))
            process.arguments = ["openssl", "rehash", folder.absolute("trusted").text]
            try process.run()
            process.waitUntilExit()
            guard case .confirmed = askForSmall(hub, ["REQUESTS_CA_BUNDLE": folder.absolute("trusted").text]) else {
                Issue.record("the folder was not used")
                return
            }
        }
    }

    @Test func nothingLeadsFromEncryptedToPlain() throws {
        try withTestFolder { folder in
            try makeCertificates(in: folder)
            let hub = try HubStandIn(in: folder, certificate: "own.pem")
            let environment = ["REQUESTS_CA_BUNDLE": folder.absolute("own.crt").text]
            // Its large files are at a host without encryption.
            let client = hub.client(environment: environment)
            let refused = HubAnswer.noAnswer(.unsafeRedirect("it leads from https to http"))
            #expect(hub.askForLarge(client) == refused)
            let download = HubDownload(
                repo: HubStandIn.repo, commit: hub.commit, file: HubStandIn.large, etag: HubStandIn.largeEtag,
                size: 300_000)
            #expect(throws: HubFailure.self) { try client.download(download, into: { _ in Issue.record("content") }) }
            #expect(try hub.log().allSatisfy { $0["origin"] as? String == "hub" })
            // The same host and port, without encryption.
            try hub.clear()
            let plain = hub.hub.replacingOccurrences(of: "https://", with: "http://")
            try hub.fault("status", ["status": 307, "headers": ["Location": plain + "/x"], "origin": "hub"])
            #expect(hub.askForLarge(client) == refused)
        }
    }

    @Test func downloadsOverEncryption() throws {
        try withTestFolder { folder in
            try makeCertificates(in: folder)
            let hub = try HubStandIn(in: folder, certificate: "own.pem")
            let client = hub.client(environment: ["REQUESTS_CA_BUNDLE": folder.absolute("own.crt").text])
            let etag = ReferenceDigest.sha1(Array("blob 3\0# x".utf8))
            let download = HubDownload(
                repo: HubStandIn.repo, commit: hub.commit, file: "README.md", etag: BytePath(etag), size: 3)
            // A connection reset in the middle of an encrypted answer must not end the process by SIGPIPE.
            try hub.fault("drop", ["method": "GET", "path": "/acme/*", "after": 1, "times": 1])
            try client.download(download, into: { _ in })
            #expect(try client.tree(of: HubStandIn.repo, commit: hub.commit).count == 4)
        }
    }
}
