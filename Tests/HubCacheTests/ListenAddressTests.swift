import HubCache
import Testing

@Suite struct ListenAddressTests {
    @Test(arguments: [
        ("127.0.0.1:9750", true), ("127.8.9.10:1", true), ("[::1]:9750", true), ("[0:0:0:0:0:0:0:1]:9750", true),
        ("[::ffff:127.0.0.1]:80", true), ("0.0.0.0:9750", false), ("[::]:65535", false), ("10.0.0.7:9750", false),
        ("[2001:db8::1:2]:9750", false), ("[2001:DB8:0:0:1::]:9750", false), ("[::1.2.3.4]:9750", false),
        ("[1:2:3:4:5:6:7:8]:9750", false), ("[1:2:3:4:5:6:1.2.3.4]:9750", false), ("[fe80::1]:1", false),
    ]) func isOne(_ text: String, _ isLoopback: Bool) throws {
        let address = try ListenAddress(text)
        #expect(address.text == text)
        #expect(address.isLoopback == isLoopback)
        #expect(address.bytes.count == (text.hasPrefix("[") ? 16 : 4))
    }

    @Test(arguments: [
        "", ":", "9750", ":9750", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:09750",
        "127.0.0.1:+1", "127.0.0.1: 1", "127.0.0.1:٣", "127.1:9750", "127.0.0.256:9750", "127.0.0.01:9750",
        "0x7f.0.0.1:9750", "127.0.0.1.:9750", "1.2.3.4.5:9750", "host:9750", "localhost:9750", "*:9750", "::1:9750",
        "[::1]", "[::1]9750", "[]:9750", "[:]:9750", "[:::]:9750", "[1::2::3]:9750", "[1:2:3:4:5:6:7]:9750",
        "[1:2:3:4:5:6:7:8:9]:9750", "[1:2:3:4::5:6:7:8]:9750", "[12345::]:9750", "[g::]:9750", "[::1%lo]:9750",
        "[127.0.0.1]:9750", "[1.2.3.4::]:9750", "[::1.2.3]:9750", "[::1]:9750 ", "[1:]:9750", "[:1]:9750",
        "http://127.0.0.1:9750", "127.0.0.1:9750/metrics",
    ]) func isNone(_ text: String) {
        #expect(throws: UnitError.self) { try ListenAddress(text) }
    }

    @Test func isTheSameHoweverItIsWritten() throws {
        #expect(try ListenAddress("[::1]:9750") == ListenAddress("[0:0:0:0:0:0:0:1]:9750"))
        #expect(try ListenAddress("[::1]:9750") != ListenAddress("[::1]:9751"))
        #expect(try ListenAddress("127.0.0.1:9750") != ListenAddress("[::ffff:127.0.0.1]:9750"))
    }

    @Test func aNameHasASuggestion() {
        let found = #expect(throws: UnitError.self) { try ListenAddress("localhost:9750") }
        #expect(found?.suggestion == "127.0.0.1:9750")
    }
}
