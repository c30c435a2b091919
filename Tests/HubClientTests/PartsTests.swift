import HubCache
import TestSupport
import Testing

@testable import HubClient

/// The parts that take what a server says, without a server.
@Suite struct PartsTests {
    @Test func addresses() throws {
        let base = try #require(WebAddress("https://huggingface.co/a/b?x=1"))
        func resolved(_ location: String) -> String? { WebAddress(location, relativeTo: base)?.text }
        #expect(resolved("/c#part") == "https://huggingface.co/c")
        #expect(resolved("c?y") == "https://huggingface.co/a/c?y")
        #expect(resolved("//cdn.hf.co/x") == "https://cdn.hf.co/x")
        #expect(try WebAddress("HTTP://Example.COM:80/")?.origin == #require(WebAddress("http://example.com")).origin)
        #expect(resolved("https://huggingface.co:443/x").flatMap { WebAddress($0) }?.origin == base.origin)
        for other in [
            "https://huggingface.co.evil.example/", "https://evil.example/@huggingface.co",
            "https://huggingface.co:444/",
            "http://huggingface.co/", "https://huggingface.co./", "https://evil.example#@huggingface.co/",
        ] {
            #expect(WebAddress(other, relativeTo: base)?.origin != base.origin, "\(other)")
        }
        for bad in [
            "", " /x", "/x\r\nHost: y", "/\u{0}", "https://user@huggingface.co/",
            "https://huggingface.co@evil.example/",
            "file:///etc/passwd", "dict://x/", "https://", "https:///", "https://x:0/", "https://x:65536/",
            "/" + String(repeating: "a", count: 20_000),
        ] {
            #expect(WebAddress(bad, relativeTo: base) == nil, "\(bad.prefix(60))")
        }
    }

    @Test func whoMaySeeTheToken() throws {
        let token = try #require(try HubToken(cleaning: "hf_x"))
        func origin(_ text: String) throws -> WebOrigin { try #require(WebAddress(text)?.origin) }
        let main = try HubEndpoint(url: "https://huggingface.co", sendsToken: true)
        #expect(try main.token(token, for: origin("https://huggingface.co/api")) == token)
        for elsewhere in [
            "http://huggingface.co/", "https://huggingface.co:8443/", "https://hf.co/", "https://cdn-lfs.hf.co/",
            "http://127.0.0.1/",
        ] {
            #expect(try main.token(token, for: origin(elsewhere)) == nil, "\(elsewhere)")
        }
        let mirror = try HubEndpoint(url: "https://mirror.example", sendsToken: false)
        #expect(try mirror.token(token, for: origin("https://mirror.example/")) == nil)
        let plain = try HubEndpoint(url: "http://mirror.example", sendsToken: true, allowsHTTP: true)
        #expect(try plain.token(token, for: origin("http://mirror.example/")) == nil)
        let local = try HubEndpoint(url: "http://127.0.0.1:9", sendsToken: true)
        #expect(try local.token(token, for: origin("http://127.0.0.1:9/")) == token)
        #expect(try local.token(token, for: origin("http://127.0.0.1:8/")) == nil)
    }

    @Test func endpointsWithAPath() throws {
        let endpoint = try HubEndpoint(url: "https://mirror.example/api/hf/", sendsToken: false)
        #expect(endpoint.address(of: "/a/b?c=d")?.text == "https://mirror.example/api/hf/a/b?c=d")
        let root = try HubEndpoint(url: "https://mirror.example", sendsToken: false)
        #expect(root.address(of: "/a%2Fb")?.text == "https://mirror.example/a%2Fb")
    }

    @Test func encoding() {
        #expect(percentEncoded("a b/ü%?#".utf8) == "a%20b%2F%C3%BC%25%3F%23")
        #expect(percentEncoded("a/b-c_d.e~f".utf8, keepingSlash: true) == "a/b-c_d.e~f")
        #expect(percentEncoded([0xff, 0x0a]) == "%FF%0A")
    }

    @Test func links() {
        #expect(nextLink(in: ["<a>; rel=\"next\""]) == "a")
        #expect(nextLink(in: ["<a>; rel=prev", "<b>;rel=next;x=y"]) == "b")
        #expect(nextLink(in: ["<a>; title=\"x, <c>; rel=next\"; rel=\"prev\", <b>; REL=\"first Next\""]) == "b")
        for none in [
            "", "<", "<a", "a; rel=next", "<a>", "<a>; rel", "<a>; rel=\"nextish\"", "<>; \"", "<a>,; rel=next",
        ] {
            #expect(nextLink(in: [none]) == nil, "\(none)")
        }
    }

    @Test func json() throws {
        func read(_ text: String) -> HubJSON? { try? HubJSON(Array(text.utf8)) }
        #expect(
            read(" {\"a\" : [1, -2.5e+3, true, false, null, \"x\"]} \n")?["a"]
                == .array([
                    .number(Array("1".utf8)), .number(Array("-2.5e+3".utf8)), .boolean(true), .boolean(false), .null,
                    .string([0x78]),
                ]))
        #expect(read("\"\\u00e9\\ud83d\\ude00\\n\\/\\\"\"")?.text == "é😀\n/\"")
        // Two keys that look the same are two.
        #expect(read("{\"\\u00e9\": 1, \"e\\u0301\": 2}")?["\u{e9}"]?.count == 1)
        for bad in [
            "", "{", "}", "[1,]", "{\"a\":1,}", "{a:1}", "01", "1.", ".5", "+1", "1e", "tru", "nul", "\"\n\"",
            "\"\\x\"",
            "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\\u12\"", "\"", "{\"a\":1,\"a\":2}", "1 2", "NaN",
            "\u{feff}1", "{\"a\" 1}", "[1 2]", "'a'",
            String(repeating: "[", count: 65) + String(repeating: "]", count: 65),
        ] {
            #expect(read(bad) == nil, "\(bad)")
        }
        #expect(read(String(repeating: "[", count: 64) + String(repeating: "]", count: 64)) != nil)
        #expect((try? HubJSON([0x22, 0xff, 0x22])) == nil)
    }

    @Test func headsThatAreNone() {
        func head(_ lines: [String]) throws -> ResponseHead {
            var head = ResponseHead()
            for line in lines { try head.add(Array((line + "\r\n").utf8)[...], HubSettings()) }
            return head
        }
        for bad in [
            ["SSH-2.0"], ["HTTP/1.1"], ["HTTP/1.1 2000 OK"], ["HTTP/1.1 -20 OK"], ["HTTP/1.1 999 OK"],
            ["HTTP/1.1 200 OK", "no colon"], ["HTTP/1.1 200 OK", ": x"],
        ] {
            #expect(throws: ExchangeFailure.self, "\(bad)") { try head(bad) }
        }
        // An interim answer's headers do not count, nor do trailers.
        let good = try? head([
            "HTTP/1.1 103 Early Hints", "ETag: \"early\"", "", "HTTP/2 200", "etag:  \"late\" ", "",
            "ETag: \"trailer\"",
        ])
        #expect(good?.status == 200 && (try? good?.value("etag")) == "\"late\"")
        #expect(good?.isComplete == true)
    }

    /// Whatever bytes come, they end in a value or an error.
    @Test func noise() {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array("HTTP/1.1 200\r\n:;,<>\"\\{}[]0123456789eE+-.utrfalsn\u{0}\u{ff}etagrelnext=W/".utf8)
        for _ in 0..<3000 {
            let bytes = (0..<Int.random(in: 0..<60, using: &random)).map { _ in alphabet.randomElement() ?? 0 }
            _ = try? HubJSON(bytes)
            _ = nextLink(in: [String(decoding: bytes, as: UTF8.self)])
            _ = WebAddress(String(decoding: bytes, as: UTF8.self))
            var head = ResponseHead()
            try? head.add(Array("HTTP/1.1 200 OK".utf8)[...], HubSettings())
            try? head.add((Array("etag: ".utf8) + bytes)[...], HubSettings())
            if let name = try? etag(of: head) {
                #expect(name.components.count == 1 && name != ".." && name.bytes.count <= 255)
            }
        }
    }
}
