import HubCache
import HubClient
import TestSupport
import Testing

@Suite struct EnvironmentTests {
    /// What a token is can only be seen in a request; two tokens can be compared.
    private func token(_ text: String) throws -> HubToken { try #require(try HubToken(cleaning: text)) }

    @Test func endpoints() throws {
        func endpoint(_ value: String?) throws -> String {
            try HubEnvironment(environment: value.map { ["HF_ENDPOINT": $0] } ?? [:]).endpoint.get().description
        }
        #expect(try endpoint(nil) == "https://huggingface.co")
        #expect(try endpoint("") == "https://huggingface.co")
        #expect(try endpoint("https://Mirror.Example:8443/hf//") == "https://mirror.example:8443/hf")
        #expect(try endpoint("http://mirror.example") == "http://mirror.example")
        for bad in [
            "huggingface.co", "file:///etc", "ftp://x", "https://", "https://u:p@x", "https://x/?a=b", "https://x/#a",
            "https://a b", "https://x\n.y", "https://x:99999",
        ] {
            #expect(throws: HubEndpointProblem.self, "\(bad)") { try endpoint(bad) }
        }
        #expect(throws: HubEndpointProblem.unencrypted) {
            try HubEndpoint(url: "http://mirror.example", sendsToken: false)
        }
        for loopback in ["http://127.0.0.1:1", "http://127.9.9.9", "http://localhost", "http://[::1]:8"] {
            _ = try HubEndpoint(url: loopback, sendsToken: true)
        }
        for far in ["http://127.0.0.1.example", "http://localhost.example", "http://1270.0.0.1", "http://[::2]"] {
            #expect(throws: HubEndpointProblem.self, "\(far)") { try HubEndpoint(url: far, sendsToken: true) }
        }
    }

    @Test func truth() {
        for (value, expected) in [("1", true), ("yes", true), ("TRUE", true), ("On", true), ("0", false), ("y", false)]
        {
            #expect(HubEnvironment(environment: ["HF_HUB_OFFLINE": value]).isOffline == expected)
            #expect(HubEnvironment(environment: ["TRANSFORMERS_OFFLINE": value]).isOffline == expected)
        }
        #expect(!HubEnvironment(environment: [:]).isOffline)
    }

    @Test func certificates() {
        var variables = ["SSL_CERT_FILE": "/c"]
        #expect(HubEnvironment(environment: variables).certificates == "/c")
        variables["CURL_CA_BUNDLE"] = "/b"
        #expect(HubEnvironment(environment: variables).certificates == "/b")
        variables["REQUESTS_CA_BUNDLE"] = ""
        #expect(HubEnvironment(environment: variables).certificates == "/b")
        variables["REQUESTS_CA_BUNDLE"] = "/a"
        #expect(HubEnvironment(environment: variables).certificates == "/a")
    }

    @Test func orderOfTokens() throws {
        try withTestFolder { folder in
            try folder.write("token", " file\r\n")
            try folder.write("credentials/hf-token", "credential\n")
            var variables: [String: String] = [:]
            func found() -> HubEnvironment {
                HubEnvironment(environment: variables, tokenFile: folder.absolute("token"))
            }
            #expect(try found().token == token("file"))
            #expect(found().tokenSource == .file(folder.absolute("token")))
            variables["HUGGING_FACE_HUB_TOKEN"] = "old"
            #expect(try found().token == token("old"))
            variables["HF_TOKEN"] = "  \r\n"
            #expect(try found().token == token("old"))
            variables["HF_TOKEN"] = "\tne\nw "
            #expect(try found().token == token("new"))
            #expect(found().tokenSource == .variable("HF_TOKEN"))
            variables["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
            #expect(found().token == nil && found().tokenSource == nil)
            variables["CREDENTIALS_DIRECTORY"] = folder.absolute("credentials").text
            #expect(try found().token == token("credential"))
            #expect(found().tokenSource == .credential)
            variables["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = nil
            #expect(try found().token == token("credential"))
            folder.delete("credentials/hf-token")
            #expect(try found().token == token("new"))
        }
    }

    @Test func tokensThatAreNotTaken() throws {
        try withTestFolder { folder in
            func problem(_ name: BytePath) -> HubTokenProblem? {
                let environment = HubEnvironment(environment: [:], tokenFile: folder.absolute(name))
                #expect(environment.token == nil)
                return environment.tokenProblem
            }
            #expect(problem("absent") == nil && problem("no/folder") == nil)
            try folder.write("real", "hf_x")
            try folder.link("link", to: "real")
            try folder.fifo("fifo")
            try folder.makeFolder("folder")
            for name: BytePath in ["link", "fifo", "folder"] { #expect(problem(name) == .notAFile, "\(name)") }
            try folder.write("long", String(repeating: "a", count: HubToken.maximumBytes + 1))
            try folder.write("text", [0x68, 0xff])
            try folder.write("header", "a\u{1}b")
            try folder.write("space", "a b")
            for name: BytePath in ["long", "text", "header", "space"] { #expect(problem(name) == .unusable, "\(name)") }
            try folder.write("empty", "\r\n \n")
            #expect(problem("empty") == nil)
            // The next one down is not a substitute: it may be someone else's.
            let environment = HubEnvironment(environment: ["HF_TOKEN": "a b"], tokenFile: folder.absolute("real"))
            #expect(environment.token == nil && environment.tokenProblem == .unusable)
        }
    }

    @Test func aTokenIsNeverShown() throws {
        let token = try token("hf_secret")
        var dumped = ""
        dump(token, to: &dumped)
        let environment = HubEnvironment(environment: ["HF_TOKEN": "hf_secret"])
        dump(environment, to: &dumped)
        for text in ["\(token)", String(reflecting: token), String(describing: environment), dumped] {
            #expect(!text.contains("secret"))
        }
    }
}
